"""Exponents of Brian2 models by replicas: analytic truth, sum rule, controls, devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from brian2 import NeuronGroup, SpikeGeneratorGroup, Synapses, TimedArray, ms, prefs
from scipy.integrate import solve_ivp

from analysis.lyapunov import replicas
from analysis.lyapunov.jacobian import derive
from analysis.lyapunov.nodes import conditional_exponents
from analysis.lyapunov.replica_code import at_threshold, scales
from analysis.lyapunov.replicas import replica_spectrum, same_step_share
from analysis.lyapunov.result import LyapunovResult
from analysis.lyapunov.symbolic import text
from models_eq import HRSNN, Stimulus, simulate, use_device
from models_eq.brian import BrianModel, brian_model_of
from models_eq.errors import CapabilityError, ConvergenceError, ParameterError
from models_eq.stimulus import SpikeInput, noise_stimulus
from tests.brian_models import adex, coba, facilitating, hodgkin_huxley, izhikevich
from tests.lyapunov_cases import load_case

LIF = "dv/dt = (drive - v)/(10*ms) : 1"


@pytest.fixture(autouse=True)
def _uncompiled() -> Iterator[None]:
    """Small networks: NumPy spares compilations."""
    before = prefs.codegen.target
    prefs.codegen.target = "numpy"
    with use_device("numpy"):
        yield
    prefs.codegen.target = before


def spectrum(model: BrianModel, **more: Any) -> LyapunovResult:
    given = {"k": 1, "duration": 0.4, "dt": 1e-4, "transient": 0.05, "t_qr": 0.01, "seed": 0}
    return replica_spectrum(model, **{**given, **more})


def lif(drive: float = 1.5, eqs: str = LIF, **more: Any) -> BrianModel:
    settings = {"threshold": "v > 1", "reset": "v = 0", "method": "euler", **more}
    group = NeuronGroup(1, eqs, namespace={"drive": drive}, **settings)
    return BrianModel.from_objects(group, namespace={})


HELD = LIF + " (unless refractory)"
GATED = "dv/dt = (drive - v)*int(not_refractory)/(10*ms) : 1"


def test_a_silent_neuron_forgets_with_its_time_constant() -> None:
    found = spectrum(lif(0.9))
    assert found.exponents[0] == pytest.approx(-100, rel=1e-6)
    assert (found.n_spikes, found.same_step_share, found.conditional) == (0, None, False)
    assert found.volume_rate == pytest.approx(-100, rel=1e-6)


@pytest.mark.parametrize(
    ("model", "period"),
    [
        # On the grid v passes 1 after 110 steps; a release needs one step at least.
        (lambda: lif(), 0.011),
        (lambda: lif(threshold="1 < v"), 0.011),
        (lambda: lif(eqs=HELD, refractory=0 * ms), 0.011),
        (lambda: lif(eqs=HELD, refractory=2 * ms), 0.0129),
        (lambda: lif(eqs=GATED, refractory=2 * ms), 0.0129),
    ],
)
def test_a_free_running_neuron_has_exponent_zero(model: Any, period: float) -> None:
    found = spectrum(model(), duration=40 * period, t_qr=period, transient=5 * period)
    assert found.n_spikes == 40
    assert abs(found.exponents[0]) < 1e-4
    assert found.sum_rule_residual == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("build", "t_qr"), [(adex, 0.01), (lambda: adex(1, "v > -30*mV"), 0.01), (izhikevich, 0.01)]
)
def test_adaptive_neurons_have_exponent_zero_and_obey_the_sum_rule(build: Any, t_qr: float) -> None:
    model = BrianModel.from_objects(*build(), namespace={})
    found = spectrum(model, k=2, duration=0.6, transient=0.3, t_qr=t_qr)
    assert found.n_spikes > 8
    assert abs(found.exponents[0]) < 3
    assert found.exponents[1] < -10
    assert found.exponents.sum() == pytest.approx(found.volume_rate, rel=2e-3)


def test_a_network_with_conductances_has_exponent_zero_and_obeys_the_sum_rule() -> None:
    model = BrianModel.from_objects(*coba(6), namespace={})
    found = spectrum(model, k=18, duration=0.6, transient=0.3, t_qr=0.005, dt=5e-5)
    assert found.n_spikes > 50 and found.dimension == 18
    assert np.abs(found.exponents).min() < 0.6
    assert found.exponents.sum() == pytest.approx(found.volume_rate, rel=2e-3)
    np.testing.assert_allclose(found.participation.sum(axis=0), 1.0)


def test_parameters_that_move_are_part_of_the_state() -> None:
    model = BrianModel.from_objects(*facilitating(2), namespace={})
    found = spectrum(model, k=6, duration=0.6, transient=0.3)
    assert found.dimension == 6 and found.n_spikes > 50
    assert np.abs(found.exponents).min() < 0.3
    assert found.exponents.sum() == pytest.approx(found.volume_rate, rel=5e-3)


# Each of these breaks one part, and the exponent 0 is lost.


def growth(model: BrianModel) -> float:
    """The leading exponent, also of an estimate that is refused."""
    try:
        return float(spectrum(model, duration=1.5).exponents[0])
    except ConvergenceError as error:
        return float(error.partial.exponents[0])


def test_without_the_row_of_the_lag_nothing_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(model: BrianModel, flow: Any) -> dict[str, float]:
        return {k: v for k, v in scales(model, flow).items() if k != "lag_held"}

    monkeypatch.setattr(replicas, "scales", rows)
    # 7 ms of refractoriness: the frame often meets a neuron that is held.
    assert not abs(growth(lif(eqs=HELD, refractory=7 * ms))) < 20


@pytest.mark.parametrize("factor", [0, -1])
@pytest.mark.parametrize("held", [True, False])
def test_without_saltation_or_with_its_sign_wrong_zero_is_lost(
    monkeypatch: pytest.MonkeyPatch, factor: int, held: bool
) -> None:
    def wrong(flow: Any) -> str:
        return f"{at_threshold(flow)}\nlag = {factor}*lag"

    # The reset keeps part of the perturbation; otherwise -1 is a mere sign of the vector.
    more = {"eqs": HELD, "refractory": 2 * ms} if held else {"eqs": LIF}
    model = lif(reset="v -= 1 - 0.3*v", **more)
    assert abs(growth(model)) < 1
    monkeypatch.setattr(replicas, "at_threshold", wrong)
    assert not abs(growth(model)) < 5


def test_frozen_currents_make_exponents_conditional() -> None:
    group = NeuronGroup(
        1, "dv/dt = (drive(t) - v)/(10*ms) : 1", threshold="v > 1", reset="v = 0", method="euler",
        namespace={"drive": TimedArray([1.2, 2.5], dt=200 * ms)},
    )  # fmt: skip
    model = BrianModel.from_objects(group, namespace={})
    found = spectrum(model, transient=0, duration=0.4)
    assert found.conditional and derive(model).driven
    # Periodic on each stretch; only the change of the drive in between is remembered.
    assert abs(found.exponents[0]) < 5


def test_frozen_spikes_leave_the_exponent_of_the_membrane() -> None:
    group = NeuronGroup(2, LIF, threshold="v > 1", reset="v = 0", method="euler",
                        namespace={"drive": 0.5})  # fmt: skip
    source = SpikeGeneratorGroup(1, [0] * 20, np.arange(20) * 20 * ms)
    synapses = Synapses(source, group, "w : 1", on_pre="v_post = 0.8*v_post + w")
    synapses.connect()
    synapses.w = 0.1
    found = spectrum(BrianModel.from_objects(group, synapses, namespace={}), transient=0, k=2)
    assert found.conditional and found.n_spikes == 0
    np.testing.assert_allclose(found.exponents, -100 + np.log(0.8) / 0.02, rtol=2e-2)
    assert found.sum_rule_residual == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(
    "name",
    ["lif_exp", *(pytest.param(name, marks=pytest.mark.slow) for name in ("alif", "qif"))],
)
def test_uncoupled_neurons_in_noise_have_their_conditional_exponents(name: str) -> None:
    net = HRSNN(
        name, 2, i=[], j=[], w=[], tau_m=[0.02, 0.01], tau_syn=0.007, t_ref=0.002, i_ext=1.3
    )
    noise = noise_stimulus(net, "4 s", sd=0.3, seed=3)
    t = np.arange(0.01, 4, 0.01)
    stimulus = Stimulus(noise.current, "1 ms", SpikeInput(t, 0, [[0.05, -0.03]], 0))
    start = {"theta" if name == "qif" else "v": [0.1, 0.2]}
    run = simulate(net, stimulus, dt="0.1 ms", record=["spike_state"], seed=1, initial_state=start)
    alone = conditional_exponents(net, run)
    found = spectrum(
        brian_model_of(net, 1e-4, start), k=None, transient=0, duration=4.0, net=net,
        stimulus=stimulus,
    )  # fmt: skip
    assert found.conditional and found.n_spikes == pytest.approx(run.i.size, abs=2)
    for value, error in zip(alone.exponents, alone.stderr, strict=True):
        # The replicas look at all of the time, the other at whole intervals between spikes.
        allowed = 1 + 3 * np.hypot(found.stderr, error)
        assert (np.abs(found.exponents - value) < allowed).any(), (alone.exponents, found)


def test_what_does_not_fit_is_refused_by_name() -> None:
    model = lif()
    with pytest.raises(ParameterError, match="k"):
        spectrum(model, k=2)
    with pytest.raises(ParameterError, match="t_qr"):
        spectrum(model, t_qr=0.00015)
    with pytest.raises(ParameterError, match="initial_state"):
        spectrum(model, initial_state={"u": np.zeros(1)})
    with pytest.raises(ParameterError, match="duration"):
        spectrum(model, duration=0.05)
    net = HRSNN("lif_exp", 1, i=[], j=[], w=[], tau_m=0.02)
    with pytest.raises(ParameterError, match="net"):
        spectrum(model, stimulus=Stimulus(np.zeros((9, 1)), "1 ms"))
    assert spectrum(brian_model_of(net, 1e-4), k=2).dimension == 2


def test_cuda_is_refused_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from models_eq.device import DeviceChoice

    monkeypatch.setattr(replicas, "current_device", lambda: DeviceChoice("cuda_standalone"))
    with pytest.raises(CapabilityError, match="host"):
        spectrum(lif())


def test_one_seed_one_result_and_no_global_random_state() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002  # noqa: NPY002
    model = BrianModel.from_objects(*coba(4), namespace={})
    first, second = (spectrum(model, k=3, duration=0.2) for _ in range(2))
    np.testing.assert_array_equal(first.exponents, second.exponents)
    np.testing.assert_array_equal(first.local, second.local)
    other = spectrum(model, k=3, duration=0.2, seed=1)
    assert (other.local != first.local).any()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002  # noqa: NPY002


def test_progress_is_told_of_every_interval() -> None:
    seen: list[tuple[int, int]] = []
    spectrum(lif(), duration=0.2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 25) for i in range(25)]


def test_the_share_of_spikes_with_a_connected_one_in_their_step() -> None:
    model = brian_model_of(HRSNN("lif_exp", 3, i=[0], j=[1], w=[1.0], tau_m=0.02), 1e-4)
    i, steps = np.array([0, 1, 2, 0, 2, 1]), np.array([1, 1, 1, 2, 2, 3])
    assert same_step_share(model, i, steps) == pytest.approx(2 / 6)


def test_equations_and_code_have_consistent_units() -> None:
    """Brian2 checks them at the start of a run."""
    for build in (adex, coba, hodgkin_huxley, facilitating):
        n = {"n": 2} if build is not adex else {}
        model = BrianModel.from_objects(*build(**n), namespace={})
        assert text(derive(model).lag)
        with suppress(ConvergenceError):  # 1.6 ms are too short for an estimate
            spectrum(model, k=2, duration=0.0016, transient=0, t_qr=1e-4, dt=2e-5)


def test_a_coupled_pair_has_its_exact_exponents_on_cpp_standalone() -> None:
    case = load_case("lifexp_N2_inh")
    model = brian_model_of(case.net, 1e-5, case.start)
    with use_device("cpp_standalone"):
        found = spectrum(model, k=4, duration=4.0, transient=0.5, dt=1e-5)
    allowed = np.maximum(0.005 * np.abs(case.exponents), 0.05)
    assert (np.abs(found.exponents - case.exponents) < allowed).all(), found.exponents
    assert found.volume_rate == pytest.approx(case.total, rel=2e-3)
    assert found.sum_rule_residual == pytest.approx(0, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cython", "cpp_standalone"])
def test_devices_agree(device: str) -> None:
    """On a model with rows of different scales, refractory, driven by currents."""
    model = BrianModel.from_objects(*coba(6), namespace={})
    expected = spectrum(model, k=18, duration=0.3)
    with use_device(device):
        found = spectrum(model, k=18, duration=0.3)
    np.testing.assert_allclose(found.local, expected.local, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.participation, expected.participation, rtol=1e-5)
    assert found.volume_rate == pytest.approx(expected.volume_rate, rel=1e-9)
    assert found.n_spikes == expected.n_spikes


@pytest.mark.slow
def test_a_chaotic_phase_network_has_its_exponents() -> None:
    case = load_case("theta_N20")
    model = brian_model_of(case.net, 1e-5, case.start)
    with use_device("cpp_standalone"):
        found = spectrum(model, k=4, duration=30.0, transient=1.0, dt=1e-5)
    assert (np.abs(found.exponents - case.exponents[:4]) < 4 * found.stderr).all(), found
    assert found.n_spikes / 30 / 20 == pytest.approx(case.rate, rel=0.02)


@pytest.mark.slow
def test_hodgkin_huxley_agrees_with_the_monodromy_of_its_orbit() -> None:
    model = BrianModel.from_objects(*hodgkin_huxley(1), namespace={})
    with use_device("cpp_standalone"):
        found = spectrum(model, k=5, duration=2.0, transient=0.5, t_qr=0.001, dt=1e-5)
    assert abs(found.exponents[0]) < 0.3
    expected = floquet(model)
    np.testing.assert_allclose(found.exponents[1:3], expected[1:3], rtol=0.01)
    assert found.exponents.sum() == pytest.approx(found.volume_rate, rel=1e-3)
    assert found.exponents.sum() == pytest.approx(expected[-1], rel=0.02)


def floquet(model: BrianModel) -> np.ndarray:
    """Two leading Floquet exponents below 0, padded, and their sum, by an adaptive integrator."""
    from tests.test_jacobian import number

    flow = derive(model)
    fixed = {k: float(v[0]) for k, v in model.parameters.items()}
    fixed |= {k: float(v) for k, v in model.namespace.items()}
    names = flow.variables
    f = [compile(text(flow.flow[x]), "f", "eval") for x in names]
    df = {key: compile(text(e), "df", "eval") for key, e in flow.jacobian.items()}

    def rhs(t: float, y: np.ndarray) -> np.ndarray:
        n = len(names)
        values = {**fixed, **dict(zip(names, y[:n], strict=True))}
        out = np.zeros_like(y)
        out[:n] = [number(code, values) for code in f]
        if y.size > n:
            jacobian = np.zeros((n, n))
            for (a, b), code in df.items():
                jacobian[names.index(a), names.index(b)] = number(code, values)
            out[n : n + n * n] = (jacobian @ y[n : n + n * n].reshape(n, n)).ravel()
            out[-1] = np.trace(jacobian)
        return out

    def crossing(t: float, y: np.ndarray) -> float:
        return y[0] + 0.02

    crossing.direction = 1.0
    start = np.array([model.state[x][0] for x in names])
    options = {"method": "LSODA", "rtol": 1e-8, "atol": 1e-11}
    first = solve_ivp(rhs, (0, 0.3), start, events=crossing, **options)
    period = float(np.diff(first.t_events[0])[-1])
    orbit = first.y_events[0][-1]
    both = np.concatenate([orbit, np.eye(len(names)).ravel(), [0.0]])
    once = solve_ivp(rhs, (0, period), both, **options)
    n = len(names)
    multipliers = np.linalg.eigvals(once.y[n : n + n * n, -1].reshape(n, n))
    exponents = np.sort(np.log(np.abs(multipliers[np.abs(multipliers) > 1e-9])) / period)[::-1]
    return np.concatenate([exponents, [once.y[-1, -1] / period]])
