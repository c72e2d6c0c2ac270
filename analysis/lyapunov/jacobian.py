"""Tangent dynamics of any Brian2 model, derived by sympy from its own strings.

Everything here is text in, text out: the Jacobian of the flow, the gradient of the threshold, the
derivatives of reset and synaptic action, and the jumps of tangent vectors at spikes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy

from analysis.lyapunov.symbolic import compose, derivative, parse, symbol, tidy
from models_eq.brian import BrianModel, Projection
from models_eq.brian_text import sides
from models_eq.errors import CapabilityError

LIVE = sympy.Symbol("live", real=True)
LAG = sympy.Symbol("lag", real=True)
TANGENT = "tg_"


def tangent(name: str) -> sympy.Symbol:
    """Symbol of the tangent of a variable (``tg_v_post`` for ``v_post``)."""
    return symbol(TANGENT + name)


@dataclass
class Tangent:
    """Tangent dynamics of one model.

    Attributes
    ----------
    variables : tuple of str
        State variables, in order.
    flow : dict of str to sympy expression
        Right-hand sides; ``live`` (1 or 0) says whether a neuron is not refractory.
    clamped : tuple of str
        Variables whose flow depends on ``live``.
    jacobian : dict of (str, str) to sympy expression
        Entries of Df that are not zero.
    threshold : sympy expression or None
        h, positive on one side of the threshold.
    gradient : dict of str to sympy expression
        Entries of the gradient of h that are not zero.
    reset : dict of str to sympy expression
        Variables that the reset changes, as functions of the state before it.
    driven : bool
        Whether t stands in the equations.
    clamped_writes : frozenset of str
        Variables that synapses do not write while a neuron is refractory.
    own_names : frozenset of str
        Names of all variables and parameters of a neuron.
    upward : bool
        Whether h is above 0 at a spike (else below).
    """

    variables: tuple[str, ...]
    flow: dict[str, Any]
    clamped: tuple[str, ...]
    jacobian: dict[tuple[str, str], Any]
    threshold: Any
    gradient: dict[str, Any]
    reset: dict[str, Any]
    driven: bool
    clamped_writes: frozenset[str] = frozenset()
    own_names: frozenset[str] = frozenset()
    upward: bool = True

    @property
    def rate(self) -> Any:
        """Growth of h along the flow of a neuron about to spike, 1/s."""
        t = sympy.Symbol("t", real=True, positive=True)
        rate = sum((d * self.free(x) for x, d in self.gradient.items()), sympy.Integer(0))
        if self.threshold is not None and t in self.threshold.free_symbols:
            moving = self.threshold.diff(t)
            rate += 0 if moving.has(sympy.Derivative, sympy.Subs) else moving
        return rate

    def free(self, name: str) -> Any:
        """Flow of a variable of a neuron that is not refractory."""
        return self.flow[name].xreplace({LIVE: sympy.Integer(1)})

    def held(self, name: str) -> Any:
        """Flow of a variable of a refractory neuron."""
        return self.flow[name].xreplace({LIVE: sympy.Integer(0)})

    def tangent_flow(self, name: str) -> Any:
        """Right-hand side of the tangent of a variable, Df dx."""
        terms = [
            self.jacobian[name, y] * tangent(y)
            for y in self.variables
            if (name, y) in self.jacobian
        ]
        return sympy.Add(*terms)

    @property
    def lag(self) -> Any:
        """Minus the shift in spike time of a perturbed neuron, s."""
        moved = sympy.Add(*[d * tangent(x) for x, d in self.gradient.items()])
        return moved / self.rate

    def reset_jump(self) -> dict[str, Any]:
        """Tangents of a neuron after its own spike, Dg dx + [f(g) - Dg f] lag."""
        after = {symbol(x): g for x, g in self.reset.items()}
        found = {}
        for x in self.variables:
            g = self.reset.get(x, symbol(x))
            row = {y: derivative(g, symbol(y), "reset") for y in self.variables}
            shift = self.held(x).xreplace(after) - sympy.Add(
                *[d * self.free(y) for y, d in row.items()]
            )
            moved = sympy.Add(*[d * tangent(y) for y, d in row.items()])
            found[x] = moved + tidy(shift) * LAG
        return {x: jump for x, jump in found.items() if jump != tangent(x)}

    @property
    def trace(self) -> Any:
        """Divergence of the flow, 1/s."""
        return sympy.Add(*[self.jacobian.get((x, x), 0) for x in self.variables])

    def reset_volume(self) -> Any:
        """Determinant of the jump at a neuron's own spike, or None where there is no rule.

        Notes
        -----
        Where a clamped variable is overwritten, its row is that of the lag, which takes its
        place until the release; ``unit_x`` is the scale of ``x`` over that of the lag.
        """
        jumps = self.reset_jump()
        matrix = []
        for x in self.variables:
            jump = jumps.get(x, tangent(x)).xreplace({LAG: self.lag})
            if x in self.clamped:
                if len(self.clamped) > 1 or jump != 0:
                    return None
                jump = self.lag * symbol(f"unit_{x}")
            matrix.append([sympy.expand(jump).coeff(tangent(y)) for y in self.variables])
        return None if len(matrix) > 6 else tidy(sympy.Matrix(matrix).det(method="berkowitz"))

    def kick_volume(self, projection: Projection) -> Any:
        """Determinant of the jump of a target at a kick."""
        kicked = self._kicked(projection)
        names = [symbol(f"{x}_post") for x in kicked]
        rows = [[derivative(g, y, "on_pre") for y in names] for g in kicked.values()]
        return tidy(sympy.Matrix(rows).det(method="berkowitz")) if rows else sympy.Integer(1)

    @property
    def explosive(self) -> list[str]:
        """Variables of the threshold whose growth has no bound, and which the reset takes back.

        As the membrane of quadratic and exponential integrate-and-fire neurons.
        """
        found = []
        for x in self.gradient:
            if x not in self.reset or (x, x) not in self.jacobian:
                continue
            bounded = self.jacobian[x, x].replace(
                lambda e: isinstance(e, sympy.sin | sympy.cos | sympy.tanh),
                lambda e: sympy.Dummy(real=True),
            )
            if symbol(x) in bounded.free_symbols:
                found.append(x)
        return found

    def _kicked(self, projection: Projection) -> dict[str, Any]:
        """Values of the variables that a projection writes, as functions of those before."""
        live = symbol("live_target")
        env = compose(projection.on_pre)
        kicked = {}
        for x in self.variables:
            before = symbol(f"{x}_post")
            if before in env:
                g = env[before]
                gated = x in self.clamped_writes
                kicked[x] = before + live * (g - before) if gated else g
        return kicked

    def kick_jump(self, projection: Projection) -> dict[str, Any]:
        """What a presynaptic spike adds to the tangents of its target.

        Returns
        -------
        dict of str to sympy expression
            By variable: (DG - 1) dx + [f(G) - DG f] lag, in postsynaptic (``_post``) and
            presynaptic (``_pre``) symbols. For frozen input the lag is 0.
        """
        post = {symbol(x): symbol(f"{x}_post") for x in self.own_names}
        pre = {symbol(x): symbol(f"{x}_pre") for x in self.own_names}
        live = symbol("live_target")
        kicked = self._kicked(projection)
        after = {symbol(f"{x}_post"): g for x, g in kicked.items()}
        found = {}
        lag = sympy.Integer(0) if projection.spikes is not None else symbol("lag_pre")
        for x in self.variables:
            here = self.flow[x].xreplace({**post, LIVE: live})
            moved, shift = sympy.Integer(0), here.xreplace(after)
            g = kicked.get(x)
            for y in self.variables if g is not None else ():
                by_post = derivative(g, symbol(f"{y}_post"), "on_pre")
                by_pre = derivative(g, symbol(f"{y}_pre"), "on_pre")
                moved += (by_post - int(x == y)) * tangent(f"{y}_post")
                moved += by_pre * tangent(f"{y}_pre")
                shift -= by_post * self.flow[y].xreplace({**post, LIVE: live})
                shift -= by_pre * self.free(y).xreplace(pre)
            if g is None:
                shift -= here
            jump = moved + (tidy(shift) * lag if lag != 0 else 0)
            if jump != 0:
                found[x] = jump
        return found


def derive(model: BrianModel) -> Tangent:
    """Derive the tangent dynamics of a model.

    Parameters
    ----------
    model : BrianModel
        The model.

    Raises
    ------
    CapabilityError
        For functions of the state without a known derivative, or a use of ``not_refractory``
        other than ``int(not_refractory)``.

    Notes
    -----
    With flow f, threshold h, reset g, action G on a target, and
    lag = (grad h . dx)/(grad h . f) at a spike (Zhou et al. 2010; Bizzarri et al. 2013):

        spiker   dx+ = Dg dx + [f(g(x)) - Dg f(x)] lag
        target   dx+ = DG dx + [f(G(x)) - DG f(x)] lag

    f taken at the actual states just before and after, so that the flow vector is mapped on
    itself. A variable that is clamped after the spike has no flow there; its perturbation lives on
    as the lag, and comes back as f lag at the release.

    References
    ----------
    Zhou, Sun, Rangan & Cai 2010, 10.1007/s10827-009-0201-3; Bizzarri, Brambilla & Storti Gajani
    2013, 10.1007/s10827-013-0448-6.
    """
    variables = tuple(model.state)
    alive = sympy.Function("int_")(symbol("not_refractory"))
    flow, jacobian = {}, {}
    for x in variables:
        right = parse(model.equations[x]) if x in model.equations else sympy.Integer(0)
        right = right.xreplace({alive: LIVE})
        if symbol("not_refractory") in right.free_symbols:
            raise CapabilityError(
                f"{model.name}.{x}", "not_refractory only as int(not_refractory)",
                model.equations[x],
            )  # fmt: skip
        flow[x] = LIVE * right if x in model.clamped else right
    for x in variables:
        for y in variables:
            entry = derivative(flow[x], symbol(y), f"{model.name}.equations")
            if entry != 0:
                jacobian[x, y] = entry
    threshold, gradient = None, {}
    if model.threshold is not None:
        left, right_side = (parse(side) for side in sides(model.threshold))
        threshold = left - right_side
        gradient = {x: derivative(threshold, symbol(x), "threshold") for x in variables}
        gradient = {x: d for x, d in gradient.items() if d != 0}
    env = compose(model.reset)
    reset = {x: env[symbol(x)] for x in variables if symbol(x) in env}
    clamped = tuple(x for x in variables if LIVE in flow[x].free_symbols)
    t = {"t", "t_in_timesteps"}
    driven = any({s.name for s in f.free_symbols} & t for f in flow.values())
    driven = driven or (
        threshold is not None and bool({s.name for s in threshold.free_symbols} & t)
    )
    return Tangent(
        variables=variables, flow=flow, clamped=clamped, jacobian=jacobian, threshold=threshold,
        gradient=gradient, reset=reset, driven=driven, clamped_writes=model.clamped,
        own_names=frozenset([*variables, *model.parameters, "neuron_index"]),
        upward=model.threshold is None or ">" in model.threshold,
    )  # fmt: skip
