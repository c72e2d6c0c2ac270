"""transfer: the dense readout unchanged, against a recomputation by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import LinearReadout
from analysis.metrics import nrmse
from analysis.spikes import filtered_traces
from brain_lnp import tasks
from brain_lnp.evaluation import evaluate, task_stimulus
from brain_lnp.tasks import Task
from brain_lnp.transfer import transfer
from models_eq.errors import ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.spec import HRSNNSpec, sample_hrsnn

SIZES = {"n_train": 150, "n_validation": 50, "n_test": 80, "washout": 20}


pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=60), seed=1)


@pytest.fixture(scope="module")
def series() -> Task:
    return tasks.lorenz63(observe="x", horizon=2, seed=4, **SIZES)


def features(net: HRSNN, task: Task) -> np.ndarray:
    run = simulate(net, task_stimulus(task, net.n_origin), seed=0)
    return filtered_traces(run, f"{task.hold!r} s", "50 ms")[0]


def test_the_dense_network_transfers_to_itself(net: HRSNN, series: Task) -> None:
    (found,) = transfer(net, [net], [series])[0]
    own = evaluate(net, series)
    assert found.error == found.dense_error == own.nrmse
    assert found.ratio == 1.0 and found.alpha == own.alpha
    assert (found.task, found.metric, found.n_synapses) == (own.task, "nrmse", net.n_synapses)
    assert found.to_dict()["digest"] == net.digest


def test_against_a_recomputation_by_hand(net: HRSNN, series: Task) -> None:
    kept = net.keep_neurons(np.arange(20, 60)).replace(w=0.0)
    found = transfer(net, [kept], [series], LinearReadout(alphas=[1e-3]))[0][0]
    train, _, test = series.split
    x, y = features(net, series).astype(float), series.targets
    mean = x[train].mean(axis=0)
    z = x[train] - mean
    penalty = 1e-3 * len(z) * z.var(axis=0)[z.var(axis=0) > 0].mean()
    weights = np.linalg.solve(z.T @ z + penalty * np.eye(60), z.T @ (y[train] - y[train].mean(0)))
    seen = np.tile(mean, (SIZES["n_test"], 1))
    seen[:, 20:] = features(kept, series)[test]
    by_hand = nrmse(y[test], (seen - mean) @ weights + y[train].mean(0))
    assert found.error == pytest.approx(by_hand, rel=1e-4)
    assert found.ratio == pytest.approx(by_hand / found.dense_error, rel=1e-4)


def test_retraining_would_do_better(net: HRSNN, series: Task) -> None:
    """Negative control: without recurrence the old readout fails where a new one does not."""
    bare = net.keep_edges([])
    found = transfer(net, [bare], [series])[0][0]
    assert found.error > 1.5 * evaluate(bare, series).error
    assert found.ratio is not None and found.ratio > 1.5


def test_several_networks_and_tasks_of_both_kinds(net: HRSNN, series: Task) -> None:
    images = tasks.digits(seed=4, n_train=80, n_validation=30, n_test=40)
    nets = [net, net.replace(w=0.8 * net.w)]
    rows = transfer(net, nets, [series, images], seed=2)
    assert [[t.metric for t in row] for row in rows] == [["nrmse", "accuracy"]] * 2
    assert rows[0][1].error == rows[0][1].dense_error
    assert rows[1] == transfer(net, nets[1:], [series, images], seed=2)[0]
    assert transfer(net, [], [series]) == []


def test_a_robust_readout_against_a_recomputation_by_hand(net: HRSNN, series: Task) -> None:
    other = net.replace(w=0.8 * net.w)
    found = transfer(net, [other], [series], LinearReadout(alphas=[1e-9]), robust=True)[0][0]
    train, _, test = series.split
    x, z, y = features(net, series), features(other, series), series.targets
    x, z = x.astype(float), z.astype(float)
    mean, level, off = x[train].mean(axis=0), y[train].mean(axis=0), z[train] - x[train]
    gram = (x[train] - mean).T @ (x[train] - mean) + off.T @ off
    # A neuron that is silent in training has no say.
    weights = np.linalg.lstsq(gram, (x[train] - mean).T @ (y[train] - level))[0]
    by_hand = [nrmse(y[test], (one[test] - mean) @ weights + level) for one in (z, x)]
    assert [found.error, found.readout_error] == pytest.approx(by_hand, rel=1e-3)
    plain = transfer(net, [other], [series], LinearReadout(alphas=[1e-9]))[0][0]
    assert found.dense_error == plain.dense_error == plain.readout_error
    assert found.error < plain.error, "the plain readout weighs what the other network lacks"
    itself = transfer(net, [net], [series], robust=True)[0][0]
    assert itself.error == itself.readout_error == pytest.approx(itself.dense_error, rel=0.2)


def test_strangers_and_silence_are_refused(net: HRSNN, series: Task) -> None:
    with pytest.raises(ParameterError, match="descends"):
        transfer(net.keep_neurons([0, 1]), [net], [series])
    with pytest.raises(ParameterError, match="dense"):
        transfer("net", [net], [series])  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="robust"):
        transfer(net, [net], [tasks.digits(seed=1)], robust=True)
    silent = net.replace(i_ext=-1e3)
    with pytest.raises(SilentNetworkError, match="spikes during"):
        transfer(net, [silent], [series])
