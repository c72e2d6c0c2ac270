"""Free-running prediction: the loop against the open loop, and against what theory says."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import filtered_traces, valid_prediction_time
from analysis.readout.feedback import FeedbackReadout
from brain_lnp.closedloop import LIMIT, ClosedLoop, closed_loop
from models_eq import HRSNN, HRSNNSpec, Stimulus, sample_hrsnn, simulate, use_device
from models_eq.errors import CapabilityError, DeviceError, ParameterError

pytestmark = pytest.mark.usefixtures("numpy_device")
STARTS, WARM, STEPS = 3, 12, 10


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=60, coupling=0.1), seed=1)


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 60))


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    phase = np.arange(WARM + STEPS)[None, :] * 0.3 + np.arange(STARTS)[:, None]
    return np.stack([np.cos(phase), np.sin(phase)], axis=2)


def turning(_state: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Exact map of the signal: the perfect predictor."""
    c, s = np.cos(0.3), np.sin(0.3)
    return present @ np.array([[c, s], [-s, c]])


def open_loop(net: HRSNN, signal: np.ndarray, weights: np.ndarray, tau: str) -> np.ndarray:
    run = simulate(net, Stimulus.from_signal(signal, weights, "10 ms"), seed=4, copies=STARTS)
    return filtered_traces(run, "10 ms", tau)


def run(net: HRSNN, signal: np.ndarray, weights: np.ndarray, predict, **kw) -> ClosedLoop:
    settings = {"steps": STEPS, "seed": 4, "record": True, "tau": ["20 ms", "50 ms"], **kw}
    return closed_loop(net, signal[:, :WARM], predict, weights, "10 ms", **settings)


def test_fed_with_the_truth_it_has_the_traces_of_the_open_loop(net, signal, weights) -> None:
    found = run(net, signal, weights, turning, teacher=signal[:, WARM:])
    assert found.traces is not None and found.traces.shape == (STARTS, WARM + STEPS - 1, 120)
    assert found.mean_rate > 5
    for k, tau in enumerate(("20 ms", "50 ms")):
        truth = open_loop(net, signal, weights, tau)[:, :-1]
        np.testing.assert_allclose(found.traces[..., 60 * k : 60 * (k + 1)], truth, atol=1e-5)
    # The negative control: another input leaves other traces.
    other = run(net, signal, weights, turning, teacher=-signal[:, WARM:])
    assert np.abs(other.traces - found.traces)[:, WARM:].max() > 0.1
    np.testing.assert_array_equal(other.traces[:, : WARM - 1], found.traces[:, : WARM - 1])


def test_the_compiled_engine_is_the_same_network(net, signal, weights) -> None:
    slow = run(net, signal, weights, turning)
    fast = run(net, signal, weights, turning, engine="compiled")
    np.testing.assert_allclose(fast.prediction, slow.prediction, atol=1e-12)
    np.testing.assert_allclose(fast.traces, slow.traces, atol=1e-5)
    assert fast.mean_rate == pytest.approx(slow.mean_rate)
    assert fast.sops_per_row == pytest.approx(slow.sops_per_row)
    # The negative control: without its synapses it is another one.
    cut = net.keep_edges(np.zeros(net.n_synapses, dtype=bool))
    other = run(cut, signal, weights, turning, engine="compiled")
    assert np.abs(other.traces - slow.traces).max() > 0.1
    assert other.sops_per_row == 0


@pytest.mark.parametrize("engine", ["brian2", "compiled"])
def test_filters_of_a_higher_order_are_those_of_the_open_loop(net, signal, weights, engine) -> None:
    rest = signal[:, WARM:]
    found = run(net, signal, weights, turning, teacher=rest, order=3, engine=engine)
    driven = simulate(net, Stimulus.from_signal(signal, weights, "10 ms"), seed=4, copies=STARTS)
    for k, tau in enumerate(("20 ms", "50 ms")):
        mine = found.traces[..., 60 * k : 60 * (k + 1)]
        truth = filtered_traces(driven, "10 ms", tau, order=3)[:, :-1]
        np.testing.assert_allclose(mine, truth, atol=1e-5)
        # The negative control: the order matters.
        assert np.abs(mine - filtered_traces(driven, "10 ms", tau, order=2)[:, :-1]).max() > 0.1


def test_the_compiled_engine_refuses_other_models(signal, weights) -> None:
    other = sample_hrsnn(HRSNNSpec(n=60, model="lif_delta"), seed=1)
    with pytest.raises(CapabilityError, match="lif_exp"):
        run(other, signal, weights, turning, engine="compiled")


def test_a_perfect_predictor_stays_on_the_truth_and_feeds_it_back(net, signal, weights) -> None:
    found = run(net, signal, weights, turning)
    np.testing.assert_allclose(found.prediction, signal[:, WARM:], atol=1e-12)
    np.testing.assert_array_equal(
        valid_prediction_time(signal[:, WARM:], found.prediction, 1.0), np.full(STARTS, STEPS)
    )
    taught = run(net, signal, weights, turning, teacher=signal[:, WARM:])
    np.testing.assert_allclose(found.traces, taught.traces, atol=1e-5)


def test_a_drifting_predictor_is_valid_until_its_drift_passes_the_threshold(
    net, signal, weights
) -> None:
    # Each step adds 0.11 along one axis; on a circle of radius 1 rotation keeps the length of
    # a displacement, so that a radial drift of 0.11 a step passes 0.4 at the fourth row.
    def drifting(state: np.ndarray, present: np.ndarray) -> np.ndarray:
        following = turning(state, present)
        radius = np.linalg.norm(following, axis=1, keepdims=True)
        return following * (radius + 0.11) / radius

    found = run(net, signal, weights, drifting)
    times = valid_prediction_time(signal[:, WARM:], found.prediction, 1.0, scale=1.0)
    np.testing.assert_array_equal(times, np.full(STARTS, 3))


def test_a_start_that_diverges_leaves_the_others_alone(net, signal, weights) -> None:
    def breaking(state: np.ndarray, present: np.ndarray) -> np.ndarray:
        following = turning(state, present)
        following[0] = np.nan
        return following

    found = run(net, signal, weights, breaking)
    assert (found.prediction[0] == LIMIT).all()
    np.testing.assert_allclose(found.prediction[1:, 0], signal[1:, WARM], atol=1e-12)
    np.testing.assert_allclose(found.prediction[1:], signal[1:, WARM:], atol=1e-12)


def test_a_start_is_predicted_as_it_is_alone(net, signal, weights) -> None:
    rng = np.random.default_rng(3)
    coef = rng.normal(size=(60, 2)) * 0.02

    def predict(state: np.ndarray, present: np.ndarray) -> np.ndarray:
        return 0.9 * turning(state, present) + np.tanh(state @ coef)

    together = run(net, np.concatenate([signal[:1], -signal[:1]]), weights, predict, tau="50 ms")
    alone = run(net, signal[:1], weights, predict, tau="50 ms")
    np.testing.assert_allclose(together.prediction[:1], alone.prediction, atol=1e-9)
    assert np.abs(together.prediction[1] - alone.prediction[0]).max() > 0.1


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("warmup", {"warmup": np.zeros((2, 3))}),
        ("warmup", {"warmup": np.full((1, 3, 2), np.nan)}),
        ("steps", {"steps": 0}),
        ("teacher", {"teacher": np.zeros((1, 3, 2))}),
        ("weights", {"weights": np.zeros((3, 60))}),
        ("dt", {"dt": "3 ms"}),
        ("engine", {"engine": "other"}),
        ("predict", {"predict": lambda _s, u: u[:, :1]}),
    ],
)
def test_what_is_wrong_is_named(net, signal, weights, field, change) -> None:
    settings = {
        "warmup": signal[:, :WARM], "predict": turning, "weights": weights, "hold": "10 ms",
        "steps": 2, **change,
    }  # fmt: skip
    with pytest.raises(ParameterError, match=field):
        closed_loop(net, **settings)


def test_a_standalone_device_is_refused(net, signal, weights) -> None:
    with use_device("numpy"), pytest.raises(DeviceError, match="Python"):
        from models_eq.device import DeviceChoice

        with DeviceChoice("cpp_standalone"):
            run(net, signal, weights, turning)


def test_the_feedback_readout_finds_a_linear_map_exactly() -> None:
    rng = np.random.default_rng(0)
    state, present = rng.normal(size=(200, 6)), rng.normal(size=(200, 2))
    following = state @ rng.normal(size=(6, 2)) + present @ rng.normal(size=(2, 2)) + 1.5
    for difference in (False, True):
        readout = FeedbackReadout(difference=difference).fit(state, present, following, 1e-12)
        np.testing.assert_allclose(readout.predict(state, present), following, atol=1e-8)
        heavy = readout.use(1e6).predict(state, present)
        rest = present if difference else 0
        np.testing.assert_allclose(
            heavy - rest, np.broadcast_to((following - rest).mean(0), heavy.shape), atol=1e-3
        )
    blind = FeedbackReadout(direct=False, difference=False).fit(state, present, following, 1e-12)
    assert np.abs(blind.predict(state, present) - following).max() > 0.1


def test_the_feedback_readout_is_ridge_regression() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(1)
    state, present = rng.normal(size=(50, 8)) + 2, rng.normal(size=(50, 1))
    following = rng.normal(size=(50, 1))
    readout = FeedbackReadout(difference=False, square=True).fit(state, present, following, 0.1)
    z = np.hstack([state, state[:, ::2] ** 2, present])
    truth = Ridge(0.1 * len(z) * z.var(axis=0).mean()).fit(z, following)
    np.testing.assert_allclose(
        readout.predict(state, present)[:, 0], truth.predict(z).ravel(), atol=1e-9
    )
