"""lyapunov_spectrum against networks whose exponents are known, and what it says and refuses."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from analysis.lyapunov.engines import engine_spectrum
from analysis.lyapunov.result import LyapunovResult
from analysis.lyapunov.spectrum import lyapunov_spectrum
from analysis.lyapunov.systems import henon
from models_eq.errors import CapabilityError, ConvergenceError, ParameterError, UnitError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import Stimulus, noise_stimulus
from models_eq.storage import load, save
from models_eq.topology import FixedInDegree
from tests.lyapunov_cases import AVERAGED, EXACT, Case, load_case

METHODS = ("event", "saltation", "perturbed")


def measures(method: str, model: str) -> bool:
    """Whether a method measures a model on its compiled engines."""
    return not (
        (method == "perturbed" and model == "lif_delta")
        or (method == "saltation" and model == "qif")
    )


def exact_enough(found: np.ndarray, case: Case) -> bool:
    """Half a percent, or 0.05/s, on the first four exponents."""
    wanted = case.exponents[: found.size]
    return bool((np.abs(found - wanted) <= np.maximum(0.005 * np.abs(wanted), 0.05)).all())


def within_errors(found: LyapunovResult, case: Case) -> bool:
    """Three combined standard errors on the first four exponents."""
    error = np.hypot(found.stderr, case.stderr[: found.k])
    return bool((np.abs(found.exponents - case.exponents[: found.k]) <= 3 * error + 0.002).all())


# Against theory and independent references


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", EXACT)
def test_exact_networks(name, method):
    case = load_case(name)
    if not measures(method, case.net.model):
        pytest.skip("refused: see test_refusals_name_the_method_that_works")
    found = lyapunov_spectrum(
        case.net, k=4, duration="20 s", transient="5 s", method=method, initial_state=case.start
    )
    assert exact_enough(found.exponents, case), found
    # The errors that it claims are of the size of the errors that it makes.
    assert (np.abs(found.exponents - case.exponents[:4]) <= 4 * found.stderr + 1e-3).all()


@pytest.mark.parametrize("method", ["event", "saltation"])
@pytest.mark.parametrize("name", AVERAGED)
def test_averaged_networks(name, method):
    case = load_case(name)
    if not measures(method, case.net.model):
        pytest.skip("qif has no linear flow: the replicas measure it")
    duration = {"lifexp_N200_inh_chaos": "100 s", "lif_N100_inh_het": "40 s"}.get(name, "150 s")
    found = lyapunov_spectrum(
        case.net, k=4, duration=duration, method=method, initial_state=case.start
    )
    assert within_errors(found, case), found
    assert found.stderr[0] < max(0.3, 0.03 * abs(found.exponents[0]))


def test_the_balanced_network_of_monteforte_and_wolf():
    """Theta neurons, N = 2000, K = 100, J0 = 1, tau = 10 ms, 1 Hz: 21.5/s (2010)."""
    n, k = 2000, 100
    rng = np.random.default_rng(1)
    linked = rng.random((n, n)) < k / n
    np.fill_diagonal(linked, False)
    post, pre = np.nonzero(linked)
    # The drive is what gives 1 Hz.
    net = HRSNN("qif", n, pre, post, -1 / np.sqrt(k), tau_m=0.01, i_ext=0.0712)
    found = lyapunov_spectrum(net, k=1, duration="12 s", transient="3 s", seed=1)
    assert found.n_spikes / n / found.duration == pytest.approx(1.0, abs=0.03)
    assert abs(found.exponents[0] - 21.5) < 3 * found.stderr[0]
    assert found.stderr[0] < 0.8


@pytest.mark.parametrize("name", ["lifexp_N20_inh", "theta_N20", "lifexp_N200_inh_chaos"])
def test_displaced_copies_agree_with_tangents_on_the_same_trajectory(name):
    case = load_case(name)
    arguments = {"k": 3, "duration": "6 s", "transient": "2 s", "initial_state": case.start}
    copies = lyapunov_spectrum(case.net, method="perturbed", **arguments)
    tangents = lyapunov_spectrum(case.net, method="event", **arguments)
    error = np.hypot(copies.stderr, tangents.stderr)
    assert (np.abs(copies.exponents - tangents.exponents) <= 2 * error).all()
    # A chaotic orbit is lost to rounding after some time, the others are followed throughout.
    if name == "lifexp_N20_inh":
        assert np.allclose(copies.exponents, tangents.exponents, atol=1e-3)


@pytest.mark.parametrize(
    "wrong", [{"sign": 0}, {"sign": -1}, {"on_grid": True}, {"order": -1}],
    ids=["no jump", "wrong sign", "reset on the grid", "spikes re-sorted"],
)  # fmt: skip
def test_the_checks_catch_what_is_wrong_on_purpose(wrong):
    exact, chaotic = load_case("clean_lif_N6_s1"), load_case("lifexp_N200_inh_chaos")

    def run(case, **how):
        arguments = {"k": 4, "duration": 20, "dt": 1e-3, "transient": 5, "t_qr": 0.01, "seed": 0}
        try:
            return engine_spectrum(
                case.net, None, method="saltation", initial_state=case.start, **arguments, **how
            )
        except ConvergenceError as error:
            return error.partial

    assert exact_enough(run(exact).exponents, exact)
    assert not exact_enough(run(exact, **wrong).exponents, exact)
    assert within_errors(run(chaotic), chaotic)
    assert not within_errors(run(chaotic, **wrong), chaotic)


def test_an_autonomous_network_without_its_zero_is_an_error():
    case = load_case("clean_lif_N6_s1")
    with pytest.raises(ConvergenceError, match="exponent 0") as caught:
        engine_spectrum(
            case.net, None, method="saltation", k=4, duration=20, dt=1e-3, transient=5, t_qr=0.01,
            seed=0, sign=0,
        )  # fmt: skip
    assert isinstance(caught.value.partial, LyapunovResult)
    assert caught.value.partial.nearest_zero < -1


# Sum rules, refractoriness, heterogeneity, conditional exponents


def network(model: str, seed: int = 1, n: int = 40) -> HRSNN:
    net = sample_hrsnn(HRSNNSpec(n=n, model=model), seed=seed)
    if model == "qif":
        return net.replace(w=0.5 * net.w, i_ext=0.2 * net.i_ext)
    # Kicks over threshold would force spikes, which have an exponent of -infinity.
    return net.replace(w=-np.abs(net.w) * 0.3) if model == "lif_delta" else net


@pytest.mark.parametrize("driven", [False, True])
@pytest.mark.parametrize("model", ["lif_exp", "lif_delta", "qif"])
def test_the_whole_spectrum_obeys_the_sum_rule(model, driven):
    net = network(model)
    given = noise_stimulus(net, "3 s", seed=1) if driven else None
    for method in ("event", "saltation"):
        if not measures(method, model):
            continue
        found = lyapunov_spectrum(
            net, given, k=net.n * (2 if model == "lif_exp" else 1), duration="2 s",
            transient="1 s", method=method,
        )  # fmt: skip
        assert found.k == found.dimension and found.conditional is driven
        assert abs(found.sum_rule_residual) < 1e-6 * abs(found.volume_rate)
        assert np.allclose(found.participation.sum(axis=0), 1)
        # Orthonormal frames share the unit sphere evenly among all neurons.
        assert np.allclose(found.participation.sum(axis=1), found.dimension / net.n)


def test_the_sum_rule_is_the_formula_of_theory():
    """-sum (1 - nu t_ref)/tau - sum 1/tau_s + sum nu <log|f at release / f at the spike|>."""
    net = sample_hrsnn(HRSNNSpec(n=30), seed=2).keep_edges([])
    net = net.replace(i_ext=1.2 + net.i_ext, t_ref=0.002)
    found = lyapunov_spectrum(net, k=60, duration="3 s", transient="1 s")
    # Uncoupled and constant: the jump undoes the decay, n zeros, and the synapses decay alone.
    assert found.volume_rate == pytest.approx(-(1 / net.tau_syn).sum(), rel=1e-3)
    assert np.abs(found.exponents[:30]).max() < 0.05
    assert np.allclose(np.sort(found.exponents[30:]), np.sort(-1 / net.tau_syn), atol=0.05)


def test_a_driven_network_has_no_zero_and_forgets():
    net = network("lif_exp")
    found = lyapunov_spectrum(net, noise_stimulus(net, "5 s", seed=3), k=3)
    assert found.conditional and found.method == "saltation"
    assert found.exponents[0] + 3 * found.stderr[0] < 0
    assert found.kaplan_yorke == 0 and found.entropy_rate == 0


def test_silence_is_not_an_error():
    net = HRSNN("lif_exp", 3, [0], [1], [0.1], tau_m=[0.02, 0.05, 0.1], i_ext=0.5)
    found = lyapunov_spectrum(net, k=3, duration="2 s", initial_state={"v": 0.0})
    assert found.n_spikes == 0
    assert np.allclose(found.exponents, [-10, -20, -50], atol=0.05)


def test_rescaled_units_leave_exponents_alone():
    net = network("lif_exp", n=20)
    scaled = net.replace(
        w=7 * net.w, i_ext=7 * net.i_ext, v_th=7 * net.v_th, v_reset=7 * net.v_reset,
        v_rest=7 * net.v_rest,
    )  # fmt: skip
    start = np.random.default_rng(1).uniform(0, 1, net.n)
    one = lyapunov_spectrum(net, k=4, duration="3 s", initial_state={"v": start})
    other = lyapunov_spectrum(scaled, k=4, duration="3 s", initial_state={"v": 7 * start})
    assert np.allclose(one.exponents, other.exponents, atol=0.5)
    assert one.n_spikes == pytest.approx(other.n_spikes, rel=0.01)


def test_memory_grows_as_neurons_times_exponents():
    def peak(n: int, k: int) -> int:
        net = sample_hrsnn(HRSNNSpec(n=n, topology=FixedInDegree(5)), seed=1)
        tracemalloc.start()
        engine_spectrum(
            net, None, method="saltation", k=k, duration=0.32, dt=1e-3, transient=0, t_qr=0.02,
            seed=0,
        )  # fmt: skip
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(200, 50)
    small, wide, large = peak(200, 50), peak(200, 200), peak(800, 50)
    assert wide < 4.5 * small and large < 4.5 * small
    # A square array of so many neurons would be larger by itself.
    assert large < 8 * (2 * 800) ** 2 / 3


# What it says


def test_auto_picks_by_model_and_input_and_says_why():
    small, big = network("lif_exp", n=20), network("lif_exp", n=600)
    found = lyapunov_spectrum(small, k=2, duration="0.5 s", transient="0.1 s")
    assert found.method == "event" and found.reason.startswith("auto: 20 neurons")
    noise = noise_stimulus(small, "0.5 s", seed=1)
    found = lyapunov_spectrum(small, noise, k=2)
    assert found.method == "saltation" and "changing input" in found.reason
    assert found.dt == 1e-4 and 0 <= found.same_step_share <= 1
    found = lyapunov_spectrum(big, k=1, duration="0.2 s", transient="0.1 s")
    assert found.method == "saltation" and "500" in found.reason
    found = lyapunov_spectrum(network("qif", n=20), k=2, duration="0.5 s", transient="0.1 s")
    assert found.method == "event" and found.dt == 0 and found.same_step_share is None
    found = lyapunov_spectrum(small, k=2, duration="0.5 s", transient="0.1 s", method="event")
    assert found.reason == "asked for"
    found = lyapunov_spectrum(henon(), duration=500, transient=50)
    assert found.method == "map" and "smooth" in found.reason


def test_defaults_fit_the_stimulus():
    net = network("lif_exp", n=20)
    found = lyapunov_spectrum(net, noise_stimulus(net, "1 s", seed=1))
    assert found.transient == pytest.approx(0.2) and found.duration == pytest.approx(0.8)
    assert found.k == 20 and found.dimension == 40
    found = lyapunov_spectrum(net, noise_stimulus(net, "1 s", seed=1), duration="0.5 s", k=1)
    assert found.transient == pytest.approx(0.5)


def test_same_seed_same_result_and_files_round_trip(tmp_path):
    net = network("lif_exp", n=20)
    one, same, other = (
        lyapunov_spectrum(net, k=2, duration="1 s", transient="0.2 s", seed=seed)
        for seed in (1, 1, 2)
    )
    assert (one.exponents == same.exponents).all() and (one.exponents != other.exponents).all()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    lyapunov_spectrum(net, k=1, duration="0.3 s", transient="0.1 s", method="perturbed")
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    back = load(save(one, tmp_path / "spectrum.npz"))
    assert isinstance(back, LyapunovResult) and (back.local == one.local).all()
    assert back.to_dict() == one.to_dict()


def test_progress_is_told_and_can_stop_it():
    net, seen = network("lif_exp", n=10), []
    lyapunov_spectrum(
        net, k=1, duration="0.2 s", transient="0.1 s", progress=lambda a, b: seen.append((a, b))
    )
    assert seen[-1] == (25, 25) and [a for a, _ in seen] == list(range(1, 26))

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lyapunov_spectrum(net, k=1, duration="0.2 s", progress=stop)


# What it refuses


def test_refusals_name_the_method_that_works():
    delta = HRSNN("lif_delta", 2, [0], [1], [0.1], tau_m=0.02, i_ext=1.5)
    with pytest.raises(CapabilityError, match=r"order.*event"):
        lyapunov_spectrum(delta, k=1, duration="1 s", method="perturbed")
    alif = HRSNN("alif", 2, [0], [1], [0.1], tau_m=0.02, i_ext=1.5)
    with pytest.raises(CapabilityError, match=r"grid erases.*saltation"):
        lyapunov_spectrum(alif, k=1, duration="1 s", method="perturbed")
    with pytest.raises(CapabilityError, match=r"closed form.*saltation"):
        lyapunov_spectrum(alif, k=1, duration="1 s", method="event")
    with pytest.raises(CapabilityError, match="smooth"):
        lyapunov_spectrum(henon(), duration=100, method="event")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"k": 0}, "k"), ({"k": 41}, "k: expected at most the 40"), ({"k": 2.5}, "k"),
        ({"duration": 3}, "duration"), ({"duration": "-1 s"}, "duration"),
        ({"duration": "50 ms"}, "duration: expected at least 16 intervals"),
        ({"transient": "-1 s"}, "transient"), ({"t_qr": 0.01}, "t_qr"),
        ({"method": "guess"}, "method"), ({"seed": -1}, "seed"),
        ({"method": "event", "dt": 1}, "dt"),
        ({"method": "saltation", "dt": "3 ms"}, "dt"),
        ({"initial_state": {"x": 1}}, "initial_state"),
        ({"stimulus": "noise"}, "stimulus"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(arguments, field):
    net = network("lif_exp", n=20)
    with pytest.raises((ParameterError, UnitError), match=field):
        lyapunov_spectrum(net, **{"duration": "1 s", **arguments})


def test_a_stimulus_that_does_not_fit_is_named():
    net = network("lif_exp", n=20)
    with pytest.raises(ParameterError, match="at most the stimulus"):
        lyapunov_spectrum(net, noise_stimulus(net, "1 s", seed=1), duration="2 s")
    with pytest.raises(ParameterError, match="trials"):
        lyapunov_spectrum(net, Stimulus(np.zeros((2, 500, 20)), "1 ms"), duration="0.2 s")
    with pytest.raises(ParameterError, match="columns"):
        lyapunov_spectrum(net, Stimulus(np.zeros((500, 7)), "1 ms"))
    with pytest.raises(ParameterError, match="system"):
        lyapunov_spectrum("net")
