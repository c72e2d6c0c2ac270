"""transfer: the dense network's own readout, used unchanged on what pruned networks do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.metrics import accuracy, nrmse
from analysis.pruning.compensate import rows_of
from analysis.readout import LinearReadout
from brain_lnp.evaluation import task_features, task_stimulus
from brain_lnp.tasks import Task
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate_batch
from models_eq.units import positive_seconds


@dataclass(frozen=True)
class Transfer:
    """How one pruned network does with the readout of the dense one, on the test part.

    Attributes
    ----------
    task, metric : str
        Name of the task and of its metric.
    error : float
        Of the pruned network: NRMSE, or the share of wrong labels.
    dense_error : float
        Of the dense network with its ordinary readout.
    ratio : float or None
        The first over the second; None where the dense network makes no error.
    readout_error : float
        Of the dense network with the readout that was used: ``dense_error`` unless that one is
        robust.
    alpha : float
        Strength of the readout.
    n_neurons, n_synapses : int
        Size of the pruned network.
    digest : str
        Digest of the pruned network.
    """

    task: str
    metric: str
    error: float
    dense_error: float
    ratio: float | None
    readout_error: float
    alpha: float
    n_neurons: int
    n_synapses: int
    digest: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def transfer(
    dense: HRSNN,
    nets: Sequence[HRSNN],
    tasks: Sequence[Task],
    readout: LinearReadout | None = None,
    *,
    robust: bool = False,
    dt: Any = "1 ms",
    tau: Any = "50 ms",
    seed: int = 0,
) -> list[list[Transfer]]:
    """Train a readout of the dense network and use it unchanged on pruned ones.

    Parameters
    ----------
    dense : HRSNN
        The network that the readout is trained on.
    nets : sequence of HRSNN
        Networks that descend from it.
    tasks : sequence of Task
        What the networks are asked to do.
    readout : LinearReadout, optional
        Template of the readout; labels get the classifier with the same settings.
    robust : bool
        Regularise the readout, for each pruned network anew, with how far that network's traces
        stray from the dense network's under the inputs of the training part (see Notes). Series
        only.
    dt, tau : Quantity or str
        Time step, and time constant of the filtered spikes.
    seed : int
        Seed of the initial state, the same for all networks.

    Returns
    -------
    list (networks) of list (tasks) of Transfer

    Raises
    ------
    ParameterError
        For a network that does not descend from the dense one, or a robust readout of labels.
    SilentNetworkError
        If a network does not spike at all during a task.

    Notes
    -----
    The readout is fitted and regularised on the dense network's training and validation parts,
    as ``evaluate`` does. Features are matched through ``ids``; that of a removed neuron is held
    at its mean over the dense training part.

    An ordinary readout weighs small differences between traces that a stand-in does not keep. The
    robust one minimises ``|Y - X B|^2 + |E B|^2 + alpha n |B|^2``, X the centred traces of the
    dense network, E the deviations of the pruned one from them: ridge regression with an error in
    the regressors. Targets are only ever paired with the dense network's traces, so that this is
    not retraining.

    References
    ----------
    Fuller 1987, Measurement Error Models, 10.1002/9780470316665.
    """
    if not isinstance(dense, HRSNN):
        raise ParameterError("dense", "an HRSNN", type(dense).__name__)
    nets, tasks = list(nets), list(tasks)
    if robust and any(task.metric != "nrmse" for task in tasks):
        raise ParameterError("robust", "False for tasks with labels", robust)
    columns = [rows_of(dense, net) for net in nets]
    template = LinearReadout() if readout is None else readout
    decay = positive_seconds(tau, "tau")
    result: list[list[Transfer | None]] = [[None] * len(tasks) for _ in nets]
    by_input: dict[str, list[int]] = {}
    for k, task in enumerate(tasks):
        by_input.setdefault(task.input_digest, []).append(k)
    for members in by_input.values():
        features = _all_features([dense, *nets], tasks[members[0]], dt, decay, seed)
        for k in members:
            task = tasks[k]
            y, (train, validation, test) = task.targets, task.split
            own = features[0]
            estimator = template.for_targets(y)
            estimator.fit(own[train], y[train], own[validation], y[validation])
            reference = own_error = _error(task, y[test], estimator.predict(own[test]))
            for position, (net, present) in enumerate(zip(nets, columns, strict=True)):
                seen = np.tile(own[train].mean(axis=0), (len(own), 1))
                seen[:, present] = features[position + 1]
                if robust:
                    x, t = _with_deviations(own[train], seen[train], y[train])
                    estimator.fit(x, t, own[validation], y[validation])
                    own_error = _error(task, y[test], estimator.predict(own[test]))
                error = _error(task, y[test], estimator.predict(seen[test]))
                result[position][k] = Transfer(
                    task=task.name,
                    metric=task.metric,
                    error=error,
                    dense_error=reference,
                    ratio=error / reference if reference > 0 else None,
                    readout_error=own_error,
                    alpha=float(estimator.alpha_),
                    n_neurons=net.n,
                    n_synapses=net.n_synapses,
                    digest=net.digest,
                )
    return [[one for one in row if one is not None] for row in result]


def _with_deviations(
    own: np.ndarray, other: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that add ``E'E`` to the Gram matrix, and nothing to the means or to ``X'Y``."""
    off = (other - own) / np.sqrt(2)
    mean = own.mean(axis=0)
    rows = np.concatenate([own, mean + off, mean - off])
    return rows, np.concatenate([targets, np.tile(targets.mean(axis=0), (2 * len(off), 1))])


def _all_features(
    nets: Sequence[HRSNN], task: Task, dt: Any, decay: float, seed: int
) -> list[np.ndarray]:
    stimulus = task_stimulus(task, nets[0].n_origin)
    # Trials already fill a simulation with copies; a series leaves room for all networks.
    chunks = [list(nets)] if task.kind == "series" else [[net] for net in nets]
    return [
        task_features(run, task, decay, net)
        for chunk in chunks
        for net, run in zip(chunk, simulate_batch(chunk, stimulus, dt=dt, seed=seed), strict=True)
    ]


def _error(task: Task, truth: np.ndarray, predicted: np.ndarray) -> float:
    if task.metric == "nrmse":
        return float(nrmse(truth, predicted))
    return 1.0 - float(accuracy(truth, predicted))
