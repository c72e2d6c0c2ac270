"""evaluate: against a recomputation by hand, batches, inputs of pruned networks, no leakage."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from analysis import LinearReadout
from analysis.spikes import filtered_traces, rates
from brain_lnp import evaluation, tasks
from brain_lnp.evaluation import evaluate, evaluate_batch, task_stimulus
from brain_lnp.tasks import Task
from models_eq.errors import ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.simulate import simulate, simulate_batch
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import Stimulus

N = 60
SIZES = {"n_train": 150, "n_validation": 50, "n_test": 80, "washout": 20}


pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=N), seed=1)


@pytest.fixture(scope="module")
def sparse(net) -> HRSNN:
    """Forty of the neurons, in no particular order, and a fifth of their synapses."""
    rng = np.random.Generator(np.random.PCG64(3))
    kept = net.keep_neurons(np.sort(rng.permutation(N)[:40]))
    return kept.keep_edges(rng.random(kept.n_synapses) < 0.2)


@pytest.fixture(scope="module")
def series() -> Task:
    return tasks.lorenz63(horizon=2, seed=4, **SIZES)


@pytest.fixture(scope="module")
def images() -> Task:
    return tasks.digits(seed=4, n_train=80, n_validation=30, n_test=40)


def by_hand(net: HRSNN, task: Task) -> np.ndarray:
    """Filtered spikes at the end of every row or trial, spike by spike."""
    stimulus = Stimulus(task.inputs @ task.stimulus_weights(net.n_origin), f"{task.hold!r} s")
    run = simulate(net, stimulus)
    series = task.kind == "series"
    ends = task.hold * np.arange(1, task.rows + 1) if series else np.array([task.duration])
    trials = 1 if series else len(task.inputs)
    x = np.zeros((trials, len(ends), net.n))
    for t, i, trial in zip(run.t + run.dt, run.i, run.trial, strict=True):
        after = ends >= t - 1e-9
        x[trial, after, i] += np.exp(-(ends[after] - t) / 0.05)
    return x[0] if series else x[:, -1]


# -- against a recomputation -------------------------------------------------------------------


def test_a_series_is_judged_as_by_hand(sparse, series):
    found = evaluate(sparse, series)
    x, y = by_hand(sparse, series), series.targets
    a, b, c = 20, 170, 220
    features, target = x[a:b], y[a:b]
    # The strength is relative to rows times the mean variance of the features that vary.
    variance = features.var(axis=0)
    alpha = found.alpha * len(features) * variance[variance > 0].mean()
    ridge = Ridge(alpha=alpha).fit(features, target)
    error = ridge.predict(x[c:]) - y[c:]
    nrmse = np.sqrt(np.mean(np.mean(error**2, axis=0) / y[c:].var(axis=0)))
    assert found.nrmse == pytest.approx(nrmse, rel=1e-4)
    error = ridge.predict(x[b:c]) - y[b:c]
    validation = np.sqrt(np.mean(np.mean(error**2, axis=0) / target.var(axis=0)))
    assert found.validation == pytest.approx(validation, rel=1e-4)
    assert (found.task, found.metric, found.accuracy) == (series.name, "nrmse", None)
    assert found.error == found.nrmse and found.digest == sparse.digest
    # And no other strength would have done better on the validation part.
    for other in LinearReadout().alphas:
        ridge = Ridge(alpha=alpha * other / found.alpha).fit(features, target)
        error = ridge.predict(x[b:c]) - y[b:c]
        value = np.sqrt(np.mean(np.mean(error**2, axis=0) / target.var(axis=0)))
        assert value > found.validation * (1 - 1e-4)


def test_images_are_judged_as_by_hand(sparse, images):
    found = evaluate(sparse, images)
    x, y = by_hand(sparse, images), images.targets
    alpha = found.alpha * 80 * x[:80].var(axis=0)[x[:80].var(axis=0) > 0].mean()
    classes = np.unique(y)
    ridge = Ridge(alpha=alpha).fit(x[:80], np.where(y[:80, None] == classes, 1.0, -1.0))
    right = classes[ridge.predict(x[110:]).argmax(axis=1)] == y[110:]
    assert found.accuracy == pytest.approx(right.mean(), abs=1e-9)
    wrong = classes[ridge.predict(x[80:110]).argmax(axis=1)] != y[80:110]
    assert found.validation == pytest.approx(wrong.mean(), abs=1e-9)
    assert (found.metric, found.nrmse) == ("accuracy", None)
    assert found.error == 1 - found.accuracy
    assert found.accuracy > 0.2, "chance is 0.1"


@pytest.mark.parametrize("kind", ["series", "images"])
def test_synaptic_operations_are_counted_one_by_one(kind, sparse, request):
    task: Task = request.getfixturevalue(kind)
    found = evaluate(sparse, task)
    run = simulate(sparse, task_stimulus(task, N))
    trials = 1 if kind == "series" else len(task.inputs)
    events = sum(int(np.sum(sparse.i == k)) for k in run.i)
    assert found.sops_per_second == pytest.approx(events / (trials * task.duration))
    samples = task.rows if kind == "series" else trials
    assert found.sops_per_sample == pytest.approx(events / samples)
    outputs = 3 if kind == "series" else 10
    each = run.n_spikes / (trials * task.duration)
    assert found.readout_sops_per_second == pytest.approx(each * outputs)
    assert found.mean_rate == pytest.approx(each / sparse.n) == pytest.approx(rates(run).mean())
    assert (found.n_neurons, found.n_synapses) == (40, sparse.n_synapses)


def test_a_dictionary_holds_plain_values_and_the_error(sparse, series):
    found = evaluate(sparse, series)
    data = found.to_dict()
    assert data["error"] == found.nrmse and data["accuracy"] is None
    assert {type(v) for v in data.values()} <= {str, float, int, type(None)}


def test_settings_reach_the_readout_and_the_simulation(sparse, series):
    base = evaluate(sparse, series)
    assert evaluate(sparse, series, LinearReadout(alphas=(0.5,))).alpha == 0.5
    assert evaluate(sparse, series, tau="10 ms").nrmse != base.nrmse
    assert evaluate(sparse, series, dt="0.5 ms").mean_rate != base.mean_rate
    assert evaluate(sparse, series) == base
    with pytest.raises(ParameterError, match="tau"):
        evaluate(sparse, series, tau=0.05)


# -- several at once ---------------------------------------------------------------------------


def test_a_batch_is_as_one_by_one_and_simulates_each_input_once(net, sparse, series, monkeypatch):
    later = tasks.lorenz63(horizon=5, seed=4, **SIZES)
    other = tasks.lorenz63(horizon=2, seed=5, **SIZES)
    few = tasks.digits(seed=4, n_train=30, n_validation=10, n_test=10)
    nets, all_tasks = [net, sparse], [series, few, later, other]
    alone = [[evaluate(one, task) for task in all_tasks] for one in nets]
    calls: list[tuple[int, int]] = []

    def counted(some, stimulus, **options):
        calls.append((len(some), stimulus.n_trials))
        return simulate_batch(some, stimulus, **options)

    monkeypatch.setattr(evaluation, "simulate_batch", counted)
    assert evaluate_batch(nets, all_tasks) == alone
    # Two horizons share one run of both; images run network by network.
    assert calls == [(2, 0), (1, 50), (1, 50), (2, 0)]


def test_nothing_to_evaluate_is_nothing_found(net, series):
    assert evaluate_batch([], [series]) == []
    assert evaluate_batch([net], []) == [[]]


def test_networks_of_different_origins_are_refused(net, series):
    other = sample_hrsnn(HRSNNSpec(n=50), seed=1)
    with pytest.raises(ParameterError, match="one origin"):
        evaluate_batch([net, other], [series])


# -- inputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["series", "images"])
def test_a_pruned_network_sees_the_input_of_its_parent(kind, net, sparse, request):
    task: Task = request.getfixturevalue(kind)
    # Without recurrence a neuron depends on its own input alone.
    whole, part = net.keep_edges([]), sparse.keep_edges([])
    stimulus = task_stimulus(task, N)
    x, z = (
        filtered_traces(simulate(one, stimulus), f"{task.hold!r} s", "50 ms")
        for one in (whole, part)
    )
    assert np.array_equal(x[..., part.ids], z) and z.any()
    # A negative control: other ids, other input.
    moved = part.replace(ids=(part.ids + 1) % N)
    y = filtered_traces(simulate(moved, stimulus), f"{task.hold!r} s", "50 ms")
    assert not np.array_equal(x[..., part.ids], y)


def test_the_training_part_of_a_stimulus_is_the_training_part(series, images):
    weights = series.stimulus_weights(N)
    whole, train = task_stimulus(series, N), task_stimulus(series, N, part="train")
    assert whole.current == pytest.approx(series.inputs @ weights)
    assert train.current == pytest.approx(series.inputs[20:170] @ weights)
    assert train.hold == whole.hold == series.hold
    few = task_stimulus(series, N, part="train", limit=10)
    assert np.array_equal(few.current, train.current[:10])
    assert task_stimulus(images, N, part="train").n_trials == 80
    assert task_stimulus(images, N, part="train", limit=7).n_trials == 7
    with pytest.raises(ParameterError, match="part"):
        task_stimulus(series, N, part="test")


def test_a_silent_network_is_an_error(net, series):
    with pytest.raises(SilentNetworkError, match="spikes during lorenz63"):
        evaluate(net.replace(i_ext=-1e3), series)


# -- honesty -----------------------------------------------------------------------------------


def test_test_targets_change_neither_strength_nor_validation(sparse, series):
    base = evaluate(sparse, series)
    test = series.split.test
    y = series.targets.copy()
    y[test] = stream(0, "noise").standard_normal(y[test].shape)
    other = evaluate(sparse, dataclasses.replace(series, targets=y))
    assert (other.alpha, other.validation) == (base.alpha, base.validation)
    assert other.nrmse != base.nrmse
    # Nor do inputs that come after the training and validation part.
    u = series.inputs.copy()
    u[test] = 0.0
    later = evaluate(sparse, dataclasses.replace(series, inputs=u))
    assert (later.alpha, later.validation) == (base.alpha, base.validation)
    assert later.nrmse != base.nrmse


def test_validation_targets_choose_the_strength_but_are_not_fitted(sparse, series):
    one = LinearReadout(alphas=(0.01,))
    base = evaluate(sparse, series, one)
    y = series.targets.copy()
    y[series.split.validation] = 0.0
    other = evaluate(sparse, dataclasses.replace(series, targets=y), one)
    assert other.nrmse == base.nrmse and other.validation != base.validation


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_training_targets_teach_nothing(seed, sparse, series):
    rng = stream(seed, "noise")
    train, validation, _ = series.split
    y = series.targets.copy()
    y[train], y[validation] = rng.permutation(y[train]), rng.permutation(y[validation])
    shuffled = evaluate(sparse, dataclasses.replace(series, targets=y))
    assert shuffled.nrmse is not None and shuffled.nrmse > 0.9
    base = evaluate(sparse, series).nrmse
    assert base is not None and base < 0.8


def test_shuffled_labels_teach_nothing(net, images):
    rng = stream(0, "noise")
    y = images.targets.copy()
    y[:110] = rng.permutation(y[:110])
    shuffled = evaluate(net, dataclasses.replace(images, targets=y))
    honest = evaluate(net, images)
    assert shuffled.accuracy is not None and honest.accuracy is not None
    assert shuffled.accuracy < 0.3 < honest.accuracy
