"""Brian2 text of a model together with tangent vectors: equations, one step, reset, synapses."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy
from brian2.equations.codestrings import Expression
from brian2.equations.equations import (
    BOOLEAN,
    DIFFERENTIAL_EQUATION,
    FLOAT,
    INTEGER,
    PARAMETER,
    Equations,
    SingleEquation,
)
from brian2.units.allunits import second
from brian2.units.fundamentalunits import DIMENSIONLESS

from analysis.lyapunov.jacobian import LIVE, TANGENT, Tangent, tangent
from analysis.lyapunov.symbolic import as_code, symbol, text
from models_eq.brian import BrianModel, Projection

_T = sympy.Symbol("t", real=True, positive=True)
_DT = sympy.Symbol("dt", real=True, positive=True)
_ALIVE = sympy.Function("int_")(symbol("not_refractory"))


def equations(model: BrianModel, flow: Tangent) -> Equations:
    """Equations of a model and of its tangent, visible and checked for units.

    Returns
    -------
    Equations
        ``tg_x`` has the dimension of ``x``; ``lag`` and ``lag_held`` are times.
    """
    found = []
    for x in flow.variables:
        dim = model.dimensions[x]
        flags = ["unless refractory"] if x in model.clamped else None
        if x not in model.equations:
            found += [_parameter(x, dim), _parameter(TANGENT + x, dim)]
            continue
        found.append(_differential(x, dim, model.equations[x], flags))
        # The flag would also keep synapses from writing; what they may write is up to us.
        right = text(flow.tangent_flow(x).xreplace({LIVE: _ALIVE}))
        if right == "0":
            found.append(_parameter(TANGENT + x, dim))
        else:
            found.append(_differential(TANGENT + x, dim, right, None))
    for name, value in model.parameters.items():
        kind = {"b": BOOLEAN, "i": INTEGER, "u": INTEGER}.get(np.asarray(value).dtype.kind, FLOAT)
        found.append(_parameter(name, model.dimensions[name], kind))
    found.append(_parameter("neuron_index", DIMENSIONLESS, INTEGER))
    found.append(_parameter("lag", second.dim))
    found.append(_parameter("volume", DIMENSIONLESS))
    found.append(_parameter("squares", DIMENSIONLESS))
    if flow.clamped:
        found.append(_parameter("lag_held", second.dim))
    return Equations(found)


def _parameter(name: str, dim: Any, kind: str = FLOAT) -> SingleEquation:
    return SingleEquation(PARAMETER, name, dim, var_type=kind)


def _differential(name: str, dim: Any, right: str, flags: list[str] | None) -> SingleEquation:
    return SingleEquation(DIFFERENTIAL_EQUATION, name, dim, expr=Expression(right), flags=flags)


def step(model: BrianModel, flow: Tangent, volume: bool = False) -> str:
    """One step of the classical Runge–Kutta method for state and tangent together.

    The tangent is the derivative of the very map that moves the state. What is the same in all
    four stages is computed once, and what flow and Jacobian share, once in each stage.

    Where a membrane grows faster than a step can follow (exponential and quadratic models just
    before the spike: dt df/dv above 0.3), the step is Euler's, cut off just beyond the threshold,
    and the tangent is carried along as a shift in time, dx' = dx + [f(x') - f(x)] lag, which maps
    the flow vector on itself as the flow does.
    """
    moving = [x for x in flow.variables if x in model.equations]
    targets = [(x, flow.flow[x]) for x in moving]
    targets += [(TANGENT + x, flow.tangent_flow(x)) for x in moving]
    targets = [(x, f) for x, f in targets if f != 0]
    if volume:
        targets.append(("volume", flow.trace))
    lines = []
    if flow.clamped:
        lines += [f"{LIVE} = int(not_refractory)", f"released = {LIVE}*lag_held"]
        back = {x: flow.free(x) - flow.held(x) for x in flow.clamped}
        lines += [f"back_{x} = {text(e)}" for x, e in back.items()]
        lines += [f"{TANGENT}{x} = {TANGENT}{x} + released*back_{x}" for x in back]
        if volume:
            x = flow.clamped[0]
            lines.append("holding = int(lag_held != 0)*live")
            lines.append(f"volume = volume + holding*log(abs(back_{x}/unit_{x}) + 1 - holding)")
        lines.append("lag_held = lag_held - released")
    names = [x for x, _ in targets]
    needed = set().union(*(f.free_symbols for _, f in targets)) if targets else set()
    staged = [x for x in names if symbol(x) in needed]
    numbered = sympy.numbered_symbols("c_", real=True)
    shared, right = sympy.cse([f for _, f in targets], symbols=numbered, order="none")
    changing = {symbol(x) for x in staged} | {_T}
    held = []
    for c, e in shared:
        if e.free_symbols & changing:
            changing.add(c)
        else:
            held.append(c)
            lines.append(f"{c} = {text(e)}")
    steep = flow.explosive
    if steep:
        grows = [f"int(dt*({text(flow.jacobian[x, x])}) < 0.3)" for x in steep]
        lines.append("smooth = " + "*".join(grows))

    def evaluate(stage: int, rename: dict[Any, Any], wanted: list[str]) -> None:
        """Write down ``k = dt*f`` of the wanted variables at the state of a stage."""
        chosen = {x: e for x, e in zip(names, right, strict=True) if x in wanted}
        missing = set().union(*(e.free_symbols for e in chosen.values())) if chosen else set()
        for c, e in reversed(shared):
            missing |= e.free_symbols if c in missing else set()
        for c, e in shared:
            if c in missing and c not in held:
                rename[c] = symbol(f"{c}_at{stage}")
                lines.append(f"{rename[c]} = {text(e.xreplace(rename))}")
        for x, e in chosen.items():
            lines.append(f"k{stage}_{x} = dt*({text(e.xreplace(rename))})")

    for stage, part in enumerate((0.0, 0.5, 0.5, 1.0), start=1):
        rename: dict[Any, Any] = {}
        if stage > 1:
            rename = {symbol(x): symbol(f"{x}_at{stage}") for x in staged}
            rename[_T] = _T + sympy.Float(part) * _DT if part != 1.0 else _T + _DT
            share = f"{part}*smooth" if steep else f"{part}"
            lines += [f"{x}_at{stage} = {x} + {share}*k{stage - 1}_{x}" for x in staged]
        evaluate(stage, rename, names)
    rk4 = {x: f"(k1_{x} + 2.0*(k2_{x} + k3_{x}) + k4_{x})/6.0" for x in names}
    if not steep:
        return "\n".join([*lines, *(f"{x} = {x} + {rk4[x]}" for x in names)])
    lines += _limit(flow)
    moved = [x for x in names if x in flow.flow]
    for x in moved:
        euler = f"limit*k1_{x}" if x in flow.gradient else f"k1_{x}"
        lines.append(f"{x}_at5 = {x} + smooth*{rk4[x]} + (1.0 - smooth)*{euler}")
    after = {symbol(x): symbol(f"{x}_at5") for x in moved}
    evaluate(5, {**after, _T: _T + _DT}, moved)
    steady = flow.rate
    lines.append(f"rate_1 = (1.0 - smooth)*({text(steady)}) + smooth")
    lines.append(f"rate_5 = (1.0 - smooth)*({text(steady.xreplace(after))}) + smooth")
    tangents = sympy.Add(*[d * tangent(x) for x, d in flow.gradient.items()])
    lines.append(f"ahead = (1.0 - smooth)*({text(tangents)})/rate_1")
    for x in names:
        if x in flow.flow:
            lines.append(f"{x} = {x}_at5")
        elif x == "volume":
            lines.append(f"volume = volume + smooth*{rk4[x]} + log(abs(rate_5/rate_1))")
        else:
            y = x.removeprefix(TANGENT)
            lines.append(f"{x} = {x} + smooth*{rk4[x]} + (k5_{y} - k1_{y})/dt*ahead")
    return "\n".join(lines)


def _limit(flow: Tangent) -> list[str]:
    """Share of an Euler step that ends just beyond the threshold."""
    sign = 1 if flow.upward else -1
    ahead = {symbol(x): symbol(x) + symbol(f"k1_{x}") for x in flow.gradient}
    return [
        f"below = {text(sign * flow.threshold)}",
        f"above = {text(sign * flow.threshold.xreplace(ahead))}",
        "over = int(above > 0)*(1.0 - smooth)",
        "limit = 1.0 - over + over*1.001*below/(below - above + 1.0 - over)",
    ]


def at_threshold(flow: Tangent) -> str:
    """Lag of a neuron that has just reached its threshold."""
    return "\n".join(as_code([("lag", flow.lag)], "h_"))


def has_volume_rule(flow: Tangent) -> bool:
    """Whether the determinant of the jumps is known."""
    return flow.threshold is None or flow.reset_volume() is not None


def at_reset(model: BrianModel, flow: Tangent, volume: bool = False) -> str:
    """Reset of state and tangent of a neuron that has spiked."""
    jumps = flow.reset_jump()
    targets = [(f"new_{TANGENT}{x}", jump) for x, jump in jumps.items() if jump != 0]
    factor = flow.reset_volume() if volume else 1
    if factor not in (None, 1):
        targets.append(("factor", factor))
    lines = as_code(targets, "g_")
    if factor not in (None, 1):
        lines.append("volume += log(abs(factor))")
    lines += model.reset.splitlines()
    # A bare 0 has no unit.
    lines += [
        f"{TANGENT}{x} = " + (f"0*{TANGENT}{x}" if jump == 0 else f"new_{TANGENT}{x}")
        for x, jump in jumps.items()
    ]
    if flow.clamped:
        lines.append("lag_held = lag")
    return "\n".join(lines)


def at_kick(flow: Tangent, projection: Projection, volume: bool = False) -> str:
    """Synaptic action on state and tangent of the target."""
    jumps = flow.kick_jump(projection)
    # Everything from the values before the kick, also where the action overwrites them.
    targets = [(f"jump_{x}", jump) for x, jump in jumps.items()]
    factor = flow.kick_volume(projection) if volume else 1
    if factor != 1:
        targets.append(("factor", factor))
    lines = as_code(targets, "g_")
    if any("live_target" in line for line in lines):
        lines.insert(0, "live_target = int(not_refractory_post)")
    if factor != 1:
        lines.append("volume_post += log(abs(factor))")
    lines += projection.on_pre.splitlines()
    lines += [f"{TANGENT}{x}_post += jump_{x}" for x in jumps]
    return "\n".join(lines)


def scales(model: BrianModel, flow: Tangent) -> dict[str, float]:
    """A typical size of each variable (SI), so that rows of different dimension compare.

    Exponents do not depend on it. It is the median size of what has the same dimension: initial
    values, parameters, weights, constants; 1 for what has none, and 10 ms for the lag.
    """
    known: dict[Any, list[float]] = {}

    def add(dim: Any, values: Any) -> None:
        size = np.abs(np.asarray(values, dtype=float).ravel())
        size = size[np.isfinite(size) & (size > 0)]
        if size.size:
            known.setdefault(dim, []).append(float(np.median(size)))

    for values in (model.state, model.parameters):
        for name, value in values.items():
            add(model.dimensions[name], value)
    for projection in model.projections:
        for name, value in projection.parameters.items():
            add(projection.dimensions[name], value)
    for value in model.namespace.values():
        if hasattr(value, "dim") and not callable(value):
            add(value.dim, value)
    found = {}
    for x in flow.variables:
        dim = model.dimensions[x]
        plain = dim is DIMENSIONLESS or dim not in known
        found[tangent(x).name] = 1.0 if plain else float(np.median(known[dim]))
    if flow.clamped:
        found["lag_held"] = 0.01
    return found
