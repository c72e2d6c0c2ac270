"""Derived Jacobians, threshold gradients and jumps, against finite differences of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from brian2 import prefs
from brian2.units.allunits import all_units
from brian2.units.fundamentalunits import Quantity

from analysis.lyapunov.jacobian import LAG, Tangent, derive, tangent
from analysis.lyapunov.symbolic import as_code, compose, derivative, parse, symbol, text, tidy
from models_eq import HRSNN
from models_eq.brian import BrianModel, Spikes, brian_model_of
from models_eq.brian_text import sides, statements
from models_eq.errors import CapabilityError
from tests.brian_models import adex, coba, facilitating, hodgkin_huxley, izhikevich

FUNCTIONS = {
    "exp": np.exp, "sin": np.sin, "cos": np.cos, "tan": np.tan, "arctan": np.arctan,
    "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "clip": np.clip, "sign": np.sign,
    "int": int, "floor": np.floor, "pi": np.pi,
    "exprel": lambda x: np.expm1(x) / x if x else 1.0,
}  # fmt: skip
UNITS = {str(unit): float(unit) for unit in all_units}
Values = dict[str, float]


@pytest.fixture(autouse=True)
def _uncompiled() -> Iterator[None]:
    """Making synapses in NumPy spares a compilation."""
    before = prefs.codegen.target
    prefs.codegen.target = "numpy"
    yield
    prefs.codegen.target = before


def number(expression: str, values: Values) -> float:
    """Value of a Brian2 expression, in SI numbers."""
    return float(eval(expression, {**UNITS, **FUNCTIONS, **values}))


def run(code: str, values: Values) -> Values:
    """Values after statements, executed one after the other."""
    values = dict(values)
    for name, operator, right in statements(code):
        value = number(right, values)
        before = values.get(name, 0.0)
        if operator == "":
            values[name] = value
        elif operator == "+":
            values[name] = before + value
        elif operator == "-":
            values[name] = before - value
        else:
            raise AssertionError(operator)
    return values


def own(name: str) -> Callable[[], BrianModel]:
    def build() -> BrianModel:
        net = HRSNN(name, 2, i=[0], j=[1], w=[0.3], tau_m=0.02, tau_syn=0.007, i_ext=1.4,
                    t_ref=0.002)  # fmt: skip
        return brian_model_of(net, 1e-4)

    return build


def users(build: Callable[..., tuple], *args: int) -> Callable[[], BrianModel]:
    return lambda: BrianModel.from_objects(*build(*args), namespace={})


MODELS = {
    "lif_exp": own("lif_exp"), "lif_delta": own("lif_delta"), "qif": own("qif"),
    "alif": own("alif"), "adex": users(adex), "izhikevich": users(izhikevich),
    "coba": users(coba), "hh": users(hodgkin_huxley, 2), "facilitating": users(facilitating),
}  # fmt: skip
RANGES = {"v": (0.0, 1.2), "theta": (-3.0, 3.0)}
VOLTS = (-0.068, -0.045)


def points(model: BrianModel, count: int = 4) -> list[Values]:
    """Random states of a neuron, with parameters and constants."""
    rng = np.random.default_rng(5)
    fixed = {name: float(np.asarray(v).flat[0]) for name, v in model.parameters.items()}
    fixed |= {k: float(v) for k, v in model.namespace.items() if isinstance(v, Quantity)}
    found = []
    for _ in range(count):
        values = dict(fixed, not_refractory=1.0, live=1.0)
        for name in model.state:
            low, high = RANGES.get(name, (0.1, 0.9))
            scale = 1.0
            if (name == "v" and "Vr" in model.namespace) or model.name == "volts":
                low, high = VOLTS
            if name == "v" and not model.dimensions["v"].is_dimensionless:
                low, high = VOLTS
            elif not model.dimensions[name].is_dimensionless:
                scale = 1e-10 if "w" in name else 1e-4
            values[name] = scale * rng.uniform(low, high)
        found.append(values)
    return found


def flow_at(flow: Tangent, values: Values, x: str, live: float = 1.0) -> float:
    return number(text(flow.flow[x]), {**values, "live": live})


def difference(f: Callable[[Values], float], values: Values, x: str) -> float:
    """Central difference of a function of the values."""
    step = 1e-5 * max(abs(values[x]), 1e-3 if abs(values[x]) > 1e-3 else abs(values[x]))
    up, down = {**values, x: values[x] + step}, {**values, x: values[x] - step}
    return (f(up) - f(down)) / (2 * step)


@pytest.fixture(params=MODELS, ids=str)
def model(request: pytest.FixtureRequest) -> BrianModel:
    return MODELS[request.param]()


def test_the_flow_is_the_right_hand_side_and_the_jacobian_its_derivative(model: BrianModel) -> None:
    flow = derive(model)
    for values in points(model):
        for x in flow.variables:
            f = flow_at(flow, values, x)
            if x in model.equations:
                assert f == pytest.approx(number(model.equations[x], values), rel=1e-10)
            else:
                assert f == 0
            for y in flow.variables:
                entry = flow.jacobian.get((x, y), parse("0"))
                expected = difference(lambda v, x=x: flow_at(flow, v, x), values, y)
                size = max(abs(expected), 1e-6 * abs(f / values[y]))
                assert number(text(entry), values) == pytest.approx(
                    expected, rel=1e-5, abs=1e-4 * size
                )


def test_the_gradient_of_the_threshold_is_its_derivative(model: BrianModel) -> None:
    flow = derive(model)
    left, right = sides(model.threshold)
    assert flow.gradient
    for values in points(model, 2):
        for x in flow.variables:
            expected = difference(lambda v: number(left, v) - number(right, v), values, x)
            found = number(text(flow.gradient.get(x, parse("0"))), values)
            assert found == pytest.approx(expected, abs=1e-6)


def test_the_reset_and_its_jump_follow_the_statements(model: BrianModel) -> None:
    flow = derive(model)
    jumps = flow.reset_jump()
    rng = np.random.default_rng(2)
    for values in points(model):
        after = run(model.reset, values)
        for x, g in flow.reset.items():
            assert number(text(g), values) == pytest.approx(after[x], rel=1e-12)
        dx = {x: rng.normal() * values[x] for x in flow.variables}
        lag = 0.37
        for x in flow.variables:
            live = 0.0 if model.clamped else 1.0
            expected = flow_at(flow, {**values, **after}, x, live) * lag
            for y in flow.variables:
                d = difference(lambda v, x=x: run(model.reset, v)[x], values, y)
                expected += d * (dx[y] - flow_at(flow, values, y) * lag)
            known = {**values, **{str(tangent(y)): dx[y] for y in dx}, "lag": lag}
            found = number(text(jumps.get(x, tangent(x))), known)
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-7 * abs(values[x]))


@pytest.mark.parametrize("live", [1.0, 0.0])
def test_the_jump_of_a_target_follows_the_statements(model: BrianModel, live: float) -> None:
    flow = derive(model)
    rng = np.random.default_rng(3)
    if live == 0.0 and not flow.clamped:
        return
    for projection in model.projections:
        jumps = flow.kick_jump(projection)
        for pre, post in zip(points(model), points(model)[::-1], strict=True):
            # The two ends of the synapse in one set of values.
            both = {f"{x}_pre": pre[x] for x in pre} | {f"{x}_post": post[x] for x in post}
            both |= {x: pre[x] for x in model.namespace if x in pre}
            both |= {x: float(v[0]) for x, v in projection.parameters.items()}

            def kicked(v: Values, p=projection) -> Values:
                after = run(p.on_pre, v)
                kept = {} if live else {f"{x}_post": v[f"{x}_post"] for x in model.clamped}
                return {**after, **kept}

            def f(v: Values, x: str, side: str = "_post", pre: Values = pre) -> float:
                here = {y: v[y + side] for y in pre} | {n: v[n] for n in model.namespace if n in v}
                return flow_at(flow, here, x, 1.0 if side == "_pre" else live)

            dx = {
                x + s: rng.normal() * both[x + s] for x in flow.variables for s in ("_pre", "_post")
            }
            lag = 0.2
            known = {**both, "lag_pre": lag, "live_target": live}
            known |= {str(tangent(x)): d for x, d in dx.items()}
            for x in flow.variables:
                expected = f(kicked(both), x) * lag - dx[f"{x}_post"]
                for side in ("_pre", "_post"):
                    for y in flow.variables:
                        d = difference(lambda v, x=x: kicked(v)[f"{x}_post"], both, y + side)
                        expected += d * (dx[y + side] - f(both, y, side) * lag)
                found = number(text(jumps[x]), known) if x in jumps else 0.0
                assert found == pytest.approx(
                    expected, rel=1e-4, abs=1e-5 * (abs(both[f"{x}_post"]) + abs(f(both, x)) * lag)
                )


def test_a_frozen_input_moves_no_time(model: BrianModel) -> None:
    flow = derive(model)
    for p in model.projections:
        frozen = type(p)(
            p.name, p.on_pre, p.i, p.j, p.parameters, p.dimensions,
            Spikes(1, np.zeros(0, int), np.zeros(0)),
        )  # fmt: skip
        for jump in flow.kick_jump(frozen).values():
            assert "lag_pre" not in text(jump)


def test_the_flow_vector_has_lag_one_and_stays_the_flow_vector(model: BrianModel) -> None:
    flow = derive(model)
    values = points(model, 1)[0]
    known = {**values, **{str(tangent(x)): flow_at(flow, values, x) for x in flow.variables}}
    assert number(text(flow.lag), known) == pytest.approx(1.0, rel=1e-12)
    after = {**values, **run(model.reset, values)}
    jumps = flow.reset_jump()
    for x in flow.variables:
        live = 0.0 if model.clamped else 1.0
        found = number(text(jumps.get(x, tangent(x))), {**known, "lag": 1.0})
        before = abs(flow_at(flow, values, x))
        assert found == pytest.approx(flow_at(flow, after, x, live), rel=1e-9, abs=1e-9 * before)


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        ("exp(2*x)", 0.3, 2 * np.exp(0.6)),
        ("sin(x)*x", 0.3, np.sin(0.3) + 0.3 * np.cos(0.3)),
        ("abs(x)", -0.3, -1.0),
        ("clip(x**2, 0, 1)", 0.5, 1.0),
        ("clip(x**2, 0, 1)", 1.5, 0.0),
        ("clip(3, x, 4)", 3.5, 1.0),
        ("x*int(x > 0.1)", 0.3, 1.0),
        ("floor(x) + sign(x)*x", 0.3, 1.0),
        ("x % 0.25", 0.3, 1.0),
        ("exprel(x)", 0.0, 0.5),
        ("exprel(x)", 1e-9, 0.5),
        ("exprel(x)", 0.019, 0.5 + 0.019 / 3 + 0.019**2 / 8 + 0.019**3 / 30),
        ("exprel(x)", 2.0, (np.exp(2) + 1) / 4),
        ("sqrt(x)", 0.25, 1.0),
        ("x**y", 0.5, 2 * 0.5),
    ],
)
def test_derivative_rules(expression: str, value: float, expected: float) -> None:
    found = text(derivative(parse(expression), symbol("x")))
    assert number(found, {"x": value, "y": 2.0}) == pytest.approx(expected, rel=1e-8)


def test_a_function_of_the_state_without_a_derivative_is_refused() -> None:
    with pytest.raises(CapabilityError, match=r"here.*lookup"):
        derivative(parse("lookup(x) + x"), symbol("x"), "here")
    assert derivative(parse("lookup(t)*x"), symbol("x")) == parse("lookup(t)")


def test_statements_act_one_after_the_other() -> None:
    env = compose("a = b + 1\nb *= a; c -= int(a > 2)\nb /= 2\nd **= 2\ne %= 3")
    values = {"b": 2.0, "c": 5.0, "d": 3.0, "e": 7.5}
    found = {str(k): number(text(v), values) for k, v in env.items()}
    assert found == {"a": 3.0, "b": 3.0, "c": 4.0, "d": 9.0, "e": 1.5}


def test_common_subexpressions_are_computed_once() -> None:
    lines = as_code([("p", parse("exp(x)*y")), ("q", parse("exp(x) + 1"))], "z_")
    assert lines[0] == "z_0 = exp(x)" and sum("exp" in line for line in lines) == 1


def test_what_cancels_is_gone() -> None:
    assert tidy(parse("(a - v + s + w)/tau - (a - v + s)/tau")) == parse("w/tau")
    flow = derive(MODELS["lif_exp"]())
    assert LAG not in flow.reset_jump().get("s", tangent("s")).free_symbols
