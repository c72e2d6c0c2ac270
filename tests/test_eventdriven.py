"""The event-driven engine: closed forms, the derivative of its own map, and what it refuses."""

from __future__ import annotations

import mpmath
import numba
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from analysis.lyapunov._neuron import crossing, decay, earliest, jit
from analysis.lyapunov.eventdriven import event_engine, simulate_events
from models_eq.errors import CapabilityError, ConvergenceError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.stimulus import SpikeInput, Stimulus
from tests.lyapunov_cases import AVERAGED, EXACT, load_case


def alone(model: str, **fields: object) -> HRSNN:
    return HRSNN(model, 1, [], [], [], **fields)


def random_net(model: str, rng: np.random.Generator, n: int = 12, **fields: object) -> HRSNN:
    """A small network of both signs, with heterogeneous everything."""
    mask = (rng.random((n, n)) < 0.4) & ~np.eye(n, dtype=bool)
    i, j = np.nonzero(mask)
    settings = {
        "tau_m": rng.uniform(0.008, 0.03, n), "tau_syn": rng.uniform(0.003, 0.02, n),
        "t_ref": rng.choice([0.0, 0.002, 0.0013], n), "i_ext": rng.uniform(1.1, 2.0, n),
        "v_reset": rng.uniform(-0.3, 0.1, n), "v_th": rng.uniform(0.9, 1.1, n),
    }  # fmt: skip
    if model == "qif":
        settings = {"tau_m": settings["tau_m"], "i_ext": rng.uniform(-0.05, 0.4, n)}
    scale = {"lif_exp": 0.3, "lif_delta": 0.08, "qif": 0.5}[model]
    return HRSNN(model, n, i, j, rng.normal(0, scale, i.size), **{**settings, **fields})


def random_input(net: HRSNN, rng: np.random.Generator, duration: float) -> Stimulus:
    """Changing currents and input spikes, times off any grid."""
    weights = rng.normal(0, 0.1, (3, net.n)) * (rng.random((3, net.n)) < 0.5)
    spikes = SpikeInput(
        np.sort(rng.uniform(0, duration * 0.99, 30)), rng.integers(0, 3, 30), weights, 0
    )
    rows = rng.normal(0, 0.3, (int(np.ceil(duration / 0.005)), net.n))
    return Stimulus(rows, "5 ms", spikes)


# Closed forms


def test_periods_of_free_neurons():
    tau, drive, t_ref = 0.02, 1.5, 0.003
    run = simulate_events(
        alone("lif_delta", tau_m=tau, i_ext=drive, t_ref=t_ref), duration="1 s",
        initial_state={"v": 0.0},
    )  # fmt: skip
    period = tau * np.log(drive / (drive - 1)) + t_ref
    assert np.allclose(np.diff(run.t), period, rtol=1e-12)
    assert run.t[0] == pytest.approx(period - t_ref, rel=1e-12)
    run = simulate_events(alone("qif", tau_m=tau, i_ext=0.7), duration="1 s")
    assert np.allclose(np.diff(run.t), np.pi * tau / np.sqrt(0.7), rtol=1e-12)
    quiet = simulate_events(alone("qif", tau_m=tau, i_ext=-0.2), duration="1 s")
    assert quiet.n_spikes <= 1
    assert np.tan(quiet.final_state["theta"][0, 0] / 2) == pytest.approx(-np.sqrt(0.2), rel=1e-9)


@pytest.mark.parametrize(("tau", "tau_s"), [(0.02, 0.005), (0.005, 0.02), (0.01, 0.01)])
def test_next_crossing_is_that_of_the_differential_equation(tau, tau_s):
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(40):
        x, s, drive = rng.uniform(-0.5, 0.99), rng.normal(0, 3), rng.uniform(0.6, 1.5)

        def up(t, y):
            return y[0] - 1

        up.terminal, up.direction = True, 1
        truth = solve_ivp(
            lambda t, y, d=drive: [(d - y[0] + y[1]) / tau, -y[1] / tau_s],
            (0, 0.5), [x, s], events=up, rtol=1e-11, atol=1e-12,
        )  # fmt: skip
        h = crossing(0, x, s, drive, 1.0, tau, tau_s, 0.5)
        at = truth.t_events[0]
        assert (at.size > 0) == np.isfinite(h)
        # The cheap bound must never lie behind the crossing.
        assert earliest(x, s, drive, 1.0, tau, tau_s, 0.5) <= h
        if at.size:
            found += 1
            assert h == pytest.approx(at[0], abs=1e-8)
    assert 10 < found < 40


def test_a_kick_and_an_input_spike_arrive_at_their_own_time():
    tau, w = 0.02, 0.4
    net = HRSNN("lif_exp", 2, [0], [1], [w], tau_m=tau, tau_syn=0.005, i_ext=[1.5, 0.0])
    run = simulate_events(net, duration="30 ms", initial_state={"v": [0.5, 0.0]})
    since = 0.03 - run.t[run.i == 0]
    s = w * np.exp(-since / 0.005).sum()
    v = w * ((np.exp(-since / 0.005) - np.exp(-since / tau)) / (1 - tau / 0.005)).sum()
    assert run.final_state["s"][0, 1] == pytest.approx(s, rel=1e-12)
    assert run.final_state["v"][0, 1] == pytest.approx(v, rel=1e-10)
    given = Stimulus(np.zeros((3, 1)), "10 ms", SpikeInput([0.01234], 0, [[0.3]], 0))
    one = simulate_events(
        alone("lif_delta", tau_m=tau), given, duration="30 ms", initial_state={"v": 0.0}
    )
    assert one.final_state["v"][0, 0] == pytest.approx(0.3 * np.exp(-(0.03 - 0.01234) / tau))


def test_a_kick_over_threshold_spikes_at_once_and_spreads():
    net = HRSNN(
        "lif_delta", 3, [0, 1], [1, 2], [0.9, 0.9], tau_m=0.02, i_ext=[1.5, 0.2, 0.2], t_ref=0.002
    )
    run = simulate_events(net, duration="30 ms", initial_state={"v": [0.0, 0.15, 0.15]})
    first = run.t[run.i == 0][0]
    assert run.t[run.i == 1][0] == first == run.t[run.i == 2][0]


@pytest.mark.parametrize("name", [*EXACT, *AVERAGED])
def test_rates_of_the_reference_networks(name):
    case = load_case(name)
    run = simulate_events(case.net, duration="20 s", initial_state=case.start)
    assert run.n_spikes / case.net.n / 20 == pytest.approx(case.rate, rel=0.02)


# The tangent vectors are the derivative of the map that is simulated


@pytest.mark.parametrize("driven", [False, True])
@pytest.mark.parametrize("model", ["lif_exp", "lif_delta", "qif"])
def test_tangents_are_the_derivative_of_the_simulated_map(model, driven):
    rng = np.random.default_rng(5)
    net = random_net(model, rng)
    given = random_input(net, rng, 0.06) if driven else None
    first = "theta" if model == "qif" else "v"
    start = {first: rng.uniform(0.0, 0.85, net.n)}
    if model == "lif_exp":
        start["s"] = rng.normal(0, 0.1, net.n)
    d = len(start)
    base = event_engine(net, given, k=net.n * d, initial_state=start)
    base.tangents[...] = np.eye(net.n * d)
    base.advance_to(0.06)
    assert (base.count > 0).sum() >= 5
    checked = 0
    for column in range(net.n * d):
        sides = []
        for sign in (1, -1):
            moved = {name: value.copy() for name, value in start.items()}
            name = list(start)[column % d]
            moved[name][column // d] += sign * 1e-7
            engine = event_engine(net, given, initial_state=moved)
            engine.advance_to(0.06)
            sides.append(engine)
        up, down = sides
        if any((side.count != base.count).any() for side in sides):
            continue
        if (up.held != base.held).any() or (down.held != base.held).any():
            continue
        rows = [up.x - down.x] if d == 1 else [up.x - down.x, up.s - down.s]
        difference = np.stack(rows, axis=1) / 2e-7
        # A refractory neuron remembers when it will be released.
        lag = -(up.release - down.release) / 2e-7
        held = base.held
        difference[held, 0] = (lag * (net.v_th - net.v_reset) / net.tau_m)[held]
        assert np.allclose(base.tangents[:, column], difference.ravel(), rtol=2e-4, atol=2e-5)
        checked += 1
    assert checked > 0.8 * net.n * d


@pytest.mark.parametrize("model", ["lif_exp", "lif_delta", "qif"])
def test_the_growth_of_volumes_is_the_determinant(model):
    rng = np.random.default_rng(2)
    net = random_net(model, rng, n=6)
    net = net.replace(w=-np.abs(net.w)) if model == "lif_delta" else net
    engine = event_engine(net, random_input(net, rng, 0.05), seed=1)
    if model == "lif_delta":
        engine = event_engine(net, seed=1)
    engine.carry(net.n * engine.net.variables)
    engine.tangents[...] = np.eye(len(engine.tangents))
    engine.advance_to(0.05)
    assert engine.count.sum() > 3
    assert np.linalg.slogdet(engine.tangents)[1] == pytest.approx(engine.log_volume, abs=1e-8)


def test_a_forced_spike_moves_with_the_kick_that_forced_it():
    net = HRSNN("lif_delta", 2, [0], [1], [0.9], tau_m=0.02, i_ext=[1.5, 0.2])
    engine = event_engine(net, k=2, initial_state={"v": [0.0, 0.15]})
    engine.tangents[...] = np.eye(2)
    engine.advance_to(0.025)
    assert list(engine.count) == [1, 1] and engine.log_volume is None
    # What neuron 1 knew of its own state is gone; what it knows now is when neuron 0 spiked.
    assert engine.tangents[1, 1] == 0 and engine.tangents[1, 0] != 0


# Refusals


def test_an_avalanche_without_end_is_an_error():
    net = HRSNN("lif_delta", 2, [0, 1], [1, 0], [1.5, 1.5], tau_m=0.02, i_ext=1.5)
    with pytest.raises(ConvergenceError, match="avalanche"):
        simulate_events(net, duration="1 s")


def test_wrong_input_is_named():
    net = alone("alif", tau_m=0.02)
    with pytest.raises(CapabilityError, match="model"):
        simulate_events(net, duration="1 s")
    net = alone("lif_exp", tau_m=0.02)
    with pytest.raises(ParameterError, match="duration"):
        simulate_events(net, Stimulus(np.zeros((2, 1)), "1 ms"), duration="1 s")
    with pytest.raises(ParameterError, match="trials"):
        simulate_events(net, Stimulus(np.zeros((2, 2, 1)), "1 ms"), duration="1 ms")
    with pytest.raises(ParameterError, match="stimulus"):
        simulate_events(net, np.zeros(3), duration="1 ms")


def test_compiled_code_needs_no_folder_that_can_be_written(monkeypatch):
    """A read-only installation compiles anew; it must not fail at import."""
    compile_ = numba.njit

    def nowhere(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_(**options)

    monkeypatch.setattr(numba, "njit", nowhere)
    assert jit(lambda x: x + 1)(1) == 2


@pytest.mark.parametrize("shift", [1e-12, 1e-5, 0.019, 0.021, 3.0])
def test_the_membrane_response_has_no_gap_where_its_two_forms_meet(shift):
    """K(h) with h/tau_s - h/tau on both sides of the switch, against exact arithmetic."""
    h, tau = 0.01, 0.02
    tau_s = h / (h / tau + shift)
    with mpmath.workdps(50):
        em, es = mpmath.exp(-mpmath.mpf(h) / tau), mpmath.exp(-mpmath.mpf(h) / tau_s)
        exact = float((es - em) / (1 - mpmath.mpf(tau) / tau_s))
    assert decay(h, tau, tau_s)[2] == pytest.approx(exact, rel=2e-14)
