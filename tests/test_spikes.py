from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.spikes import filtered_traces, interval_cv, mean_drive, rates, synaptic_operations
from models_eq.device import use_device
from models_eq.errors import ParameterError, UnitError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.trajectory import Trajectory

DT = 1e-3


def spikes(
    t: list[float] | np.ndarray,
    i: list[int] | np.ndarray,
    *,
    n: int = 3,
    duration: float = 0.1,
    trial: list[int] | np.ndarray | None = None,
    n_trials: int = 1,
) -> Trajectory:
    i = np.asarray(i, dtype=np.int64)
    trial = np.zeros_like(i) if trial is None else np.asarray(trial, dtype=np.int64)
    return Trajectory(np.asarray(t, float), i, trial, n, n_trials, duration, DT, "numpy", "x")


def direct_sum(
    run: Trajectory, interval: float, tau: float, shift: float = DT, n_samples: int | None = None
) -> np.ndarray:
    """Filtered traces from the definition, one spike and one sample at a time."""
    samples = round(run.duration / interval) if n_samples is None else n_samples
    out = np.zeros((run.n_trials, samples, run.n))
    for t, i, trial in zip(run.t, run.i, run.trial, strict=True):
        for k in range(samples):
            since = (k + 1) * interval - (t + shift)
            if since > -1e-9:
                out[trial, k, i] += np.exp(-since / tau)
    return out


def random_run(seed: int = 0, n_trials: int = 1) -> Trajectory:
    rng = np.random.default_rng(seed)
    hits = np.argwhere(rng.random((n_trials, 100, 3)) < 0.2)
    return spikes(
        hits[:, 1] * DT, hits[:, 2], trial=hits[:, 0], n_trials=n_trials, duration=100 * DT
    )


def test_rates_by_hand():
    run = spikes([0.0, 0.01, 0.02, 0.05], [0, 0, 2, 0], duration=0.5)
    assert np.allclose(rates(run), [6.0, 0.0, 2.0])
    # The same spikes spread over two trials are twice the time.
    two = spikes(
        [0.0, 0.01, 0.02, 0.05], [0, 0, 2, 0], trial=[0, 0, 1, 1], n_trials=2, duration=0.5
    )
    assert np.allclose(rates(two), [3.0, 0.0, 1.0])
    assert np.array_equal(rates(spikes([], [])), np.zeros(3))


@pytest.mark.parametrize("order", [2, 3, 5])
def test_a_chain_of_integrators_is_the_gamma_kernel(order):
    rng = np.random.default_rng(order)
    t, i = np.sort(rng.integers(0, 100, 60)) * DT, rng.integers(0, 3, 60)
    found = filtered_traces(spikes(t, i), "10 ms", "20 ms", order)
    for k in range(10):
        age = ((k + 1) * 0.01 - (t + DT)) / 0.02
        kernel = np.where(
            age > -1e-9, age ** (order - 1) * np.exp(-age) / math.factorial(order - 1), 0
        )
        np.testing.assert_allclose(found[0, k], np.bincount(i, kernel, 3), atol=1e-5)
    # From the second order on, a spike in the last step before a sample adds nothing yet.
    assert filtered_traces(spikes([0.009], [0]), "10 ms", order=order)[0, 0, 0] < 1e-9
    with pytest.raises(ParameterError, match="order"):
        filtered_traces(spikes(t, i), "10 ms", order=0)


@pytest.mark.parametrize("n_trials", [1, 3])
@pytest.mark.parametrize("interval", [1, 10, 25, 100])
def test_filtered_traces_are_the_direct_sum(interval, n_trials):
    run = random_run(n_trials=n_trials)
    found = filtered_traces(run, f"{interval} ms", "20 ms")
    assert found.shape == (n_trials, 100 // interval, 3) and found.dtype == np.float32
    assert np.allclose(found, direct_sum(run, interval * DT, 0.02), atol=1e-5)


def test_a_spike_counts_at_the_end_of_its_step():
    run = random_run()
    found = filtered_traces(run, "10 ms", "20 ms")
    early = direct_sum(run, 0.01, 0.02, shift=0.0)
    assert not np.allclose(found, early, atol=1e-2)
    # One in the step that ends with the sample is in it in full, one a step later is not.
    assert filtered_traces(spikes([0.009], [0]), "10 ms")[0, 0, 0] == pytest.approx(1.0)
    late = filtered_traces(spikes([0.010], [0]), "10 ms")[0, :2, 0]
    assert late[0] == 0 and late[1] == pytest.approx(np.exp(-9 / 50))


def test_an_incomplete_last_interval_is_left_out():
    run = spikes([0.0, 0.095], [0, 0])
    found = filtered_traces(run, "30 ms", "20 ms")
    assert found.shape == (1, 3, 3)
    assert np.allclose(found, direct_sum(run, 0.03, 0.02, n_samples=3), atol=1e-6)


def test_traces_of_silence_and_bad_arguments():
    assert not filtered_traces(spikes([], []), "10 ms").any()
    with pytest.raises(ParameterError, match="interval"):
        filtered_traces(spikes([], []), "200 ms")
    with pytest.raises(UnitError, match="tau"):
        filtered_traces(spikes([], []), "10 ms", 0.05)


def test_traces_do_not_run_from_one_trial_into_the_next():
    run = spikes([0.099], [1], trial=[0], n_trials=2)
    found = filtered_traces(run, "10 ms", "1 s")
    assert found[0, -1, 1] == pytest.approx(1.0) and not found[1].any()


def test_synaptic_operations_by_hand():
    net = HRSNN("lif_exp", 3, i=[0, 0, 1], j=[1, 2, 2], w=[1.0, 1.0, -1.0], tau_m=0.02)
    # Out-degrees 2, 1, 0: 3 * 2 + 2 * 1 + 5 * 0 operations in half a second.
    run = spikes(np.arange(10) * DT, [0] * 3 + [1] * 2 + [2] * 5, duration=0.5)
    assert synaptic_operations(run, net) == pytest.approx(16.0)
    twice = spikes(
        np.tile(np.arange(10) * DT, 2), ([0] * 3 + [1] * 2 + [2] * 5) * 2,
        trial=[0] * 10 + [1] * 10, n_trials=2, duration=0.5,
    )  # fmt: skip
    assert synaptic_operations(twice, net) == pytest.approx(16.0)
    assert synaptic_operations(run, net.keep_edges([])) == 0
    # The in-degree would give another number.
    assert synaptic_operations(run, net) != pytest.approx(float(rates(run) @ net.in_degree))
    with pytest.raises(ParameterError, match="net"):
        synaptic_operations(run, HRSNN("lif_exp", 2, [], [], [], 0.02))


def test_interval_cv_of_poisson_and_regular_trains():
    rng = np.random.default_rng(3)
    poisson = np.cumsum(rng.exponential(0.02, 4000))
    regular = np.arange(400) * 0.05
    t, i = np.concatenate([poisson, regular]), np.repeat([0, 1], [4000, 400])
    order = np.argsort(t, kind="stable")
    cv = interval_cv(spikes(t[order], i[order], duration=100.0))
    # The standard error of a CV of 1 over 4000 intervals is 1/sqrt(4000) = 0.016.
    assert abs(cv[0] - 1) < 0.06
    assert cv[1] < 1e-10
    assert np.isnan(cv[2])


def test_interval_cv_takes_no_interval_across_trials():
    t = [0.01, 0.02, 0.03, 0.05, 0.06, 0.07]
    run = spikes(t, [0] * 6, trial=[0, 0, 0, 1, 1, 1], n_trials=2)
    assert interval_cv(run)[0] < 1e-10
    # As one train the interval of 20 ms among four of 10 ms counts.
    assert interval_cv(spikes(t, [0] * 6))[0] == pytest.approx(4 / 12)
    assert np.isnan(interval_cv(spikes([0.01, 0.02], [0, 0]))[0]), "one interval has no scatter"


@pytest.mark.parametrize(("model", "tau"), [("lif_exp", 0.005), ("lif_delta", 0.02)])
def test_mean_drive_by_hand(model, tau):
    net = HRSNN(model, 3, i=[0, 1], j=[2, 2], w=[0.5, -0.2], tau_m=0.02, tau_syn=0.005)
    drive = mean_drive(net, np.array([10.0, 20.0, 0.0]))
    assert np.allclose(drive, [0, 0, tau * (0.5 * 10 - 0.2 * 20)])


def test_mean_drive_is_the_mean_of_the_simulated_current():
    net = HRSNN(
        "lif_exp", 2, i=[0], j=[1], w=[-0.4], tau_m=0.02, tau_syn=0.02, i_ext=[1.5, 0.0]
    )  # fmt: skip
    with use_device("numpy"):
        run = simulate(net, duration="2 s", record=["s"])
    # Sampled at the start of steps, after kicks: on average half a step of decay too early.
    sampled = run.samples["s"][0, 200:, 1].mean() * (1 - 0.5 * DT / 0.02)
    assert sampled == pytest.approx(mean_drive(net, rates(run))[1], rel=0.03)
