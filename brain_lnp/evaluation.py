"""evaluate: run networks on a task, train readouts, report errors beside what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.metrics import accuracy, nrmse
from analysis.readout import LinearReadout, STDPReadout
from analysis.spikes import filtered_traces, rates, synaptic_operations
from brain_lnp.tasks import Task
from models_eq.errors import ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate_batch
from models_eq.stimulus import Stimulus
from models_eq.trajectory import Trajectory
from models_eq.units import positive_seconds


@dataclass(frozen=True)
class Evaluation:
    """How one network does on one task, on the test part.

    Attributes
    ----------
    task, metric : str
        Name of the task and of its metric.
    nrmse : float or None
        Root mean square error over the standard deviation of the target; None for labels.
    accuracy : float or None
        Share of correct labels; None for series.
    validation : float
        Error on the validation part, by which the readout's strength was chosen.
    alpha : float or None
        That strength; None for a readout that has none.
    mean_rate : float, Hz
        Mean firing rate during the task.
    sops_per_second : float, 1/s
        Recurrent synaptic operations per second of biological time.
    sops_per_sample : float
        The same per row (series) or per trial (images).
    readout_sops_per_second : float, 1/s
        Spikes times readout outputs. Inputs are currents and cost no synaptic operations.
    n_neurons, n_synapses : int
        Size of the network.
    digest : str
        Digest of the network.
    """

    task: str
    metric: str
    nrmse: float | None
    accuracy: float | None
    validation: float
    alpha: float | None
    mean_rate: float
    sops_per_second: float
    sops_per_sample: float
    readout_sops_per_second: float
    n_neurons: int
    n_synapses: int
    digest: str

    @property
    def error(self) -> float:
        """NRMSE, or the share of wrong labels: the smaller the better for both kinds."""
        if self.nrmse is not None:
            return self.nrmse
        assert self.accuracy is not None
        return 1.0 - self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the error beside them."""
        return {**asdict(self), "error": self.error}


def task_stimulus(
    task: Task, n_origin: int, *, part: str = "all", limit: int | None = None
) -> Stimulus:
    """A task's input as it reaches a network.

    Parameters
    ----------
    task : Task
        The task.
    n_origin : int
        Size of the network that the (pruned) network descends from.
    part : {'all', 'train'}
        Everything, or only what a method may see before the test.
    limit : int, optional
        At most so many rows (series) or trials (images).

    Raises
    ------
    ParameterError
        For an unknown part.
    """
    if part not in ("all", "train"):
        raise ParameterError("part", "all or train", part)
    first, last, _ = (task.split.train if part == "train" else slice(None)).indices(
        len(task.inputs)
    )
    if limit is not None:
        last = min(last, first + limit)
    return task.stimulus(n_origin, slice(first, last))


def evaluate(
    net: HRSNN,
    task: Task,
    readout: LinearReadout | STDPReadout | None = None,
    *,
    dt: Any = "1 ms",
    tau: Any = "50 ms",
    seed: int = 0,
) -> Evaluation:
    """Train a readout of one network for one task and test it.

    Parameters
    ----------
    net : HRSNN
        The network, pruned or not.
    task : Task
        What it is asked to do.
    readout : LinearReadout or STDPReadout, optional
        Template of the readout; labels get the classifier with the same settings.
    dt, tau : Quantity or str
        Time step, and time constant of the filtered spikes.
    seed : int
        Seed of the initial state.

    Returns
    -------
    Evaluation

    Raises
    ------
    SilentNetworkError
        If the network does not spike at all during the task.

    Notes
    -----
    Series: the state at the end of each row is read out. Images: the state at the end of the
    trial. Training part: fit; validation part: strength of the readout; test part: the result.
    """
    return evaluate_batch([net], [task], readout, dt=dt, tau=tau, seed=seed)[0][0]


def evaluate_batch(
    nets: Sequence[HRSNN],
    tasks: Sequence[Task],
    readout: LinearReadout | STDPReadout | None = None,
    *,
    dt: Any = "1 ms",
    tau: Any = "50 ms",
    seed: int = 0,
) -> list[list[Evaluation]]:
    """Evaluate several networks of one origin on several tasks.

    Tasks with the same input share one simulation, and networks run side by side.

    Parameters
    ----------
    nets : sequence of HRSNN
        Networks that descend from one.
    tasks : sequence of Task
        What they are asked to do.
    readout, dt, tau, seed
        As for :func:`evaluate`.

    Returns
    -------
    list (networks) of list (tasks) of Evaluation
        As :func:`evaluate` would give one by one.

    Raises
    ------
    ParameterError
        For networks of different origins.
    SilentNetworkError
        If a network does not spike at all during a task.
    """
    nets, tasks = list(nets), list(tasks)
    if not nets:
        return []
    if len({net.n_origin for net in nets}) > 1:
        raise ParameterError("nets", "networks of one origin", [net.n_origin for net in nets])
    template = LinearReadout() if readout is None else readout
    decay = positive_seconds(tau, "tau")
    result: list[list[Evaluation | None]] = [[None] * len(tasks) for _ in nets]
    by_input: dict[str, list[int]] = {}
    for k, task in enumerate(tasks):
        by_input.setdefault(task.input_digest, []).append(k)
    for members in by_input.values():
        first = tasks[members[0]]
        stimulus = task_stimulus(first, nets[0].n_origin)
        # Trials already fill a simulation with copies; a series leaves room for all networks.
        chunks = [nets] if first.kind == "series" else [[net] for net in nets]
        position = 0
        for chunk in chunks:
            for net, run in zip(
                chunk, simulate_batch(chunk, stimulus, dt=dt, seed=seed), strict=True
            ):
                features = task_features(run, first, decay, net)
                for k in members:
                    result[position][k] = _judge(net, run, features, tasks[k], template)
                position += 1
    return [[one for one in row if one is not None] for row in result]


def task_features(run: Trajectory, task: Task, tau: float, net: HRSNN) -> np.ndarray:
    """What a readout of a task sees of a run: filtered spikes at the end of each row or trial.

    Parameters
    ----------
    run : Trajectory
    task : Task
    tau : float, s
        Time constant of the filter.
    net : HRSNN
        The network that ran, for the error.

    Returns
    -------
    ndarray, shape (rows, n) or (trials, n)

    Raises
    ------
    SilentNetworkError
        If nothing spiked.
    """
    if run.n_spikes == 0:
        raise SilentNetworkError(
            "net",
            f"a network that spikes during {task.name}",
            f"no spike at all from {net!r}",
            "Raise i_ext or the task's input_sd",
        )
    interval = task.hold if task.kind == "series" else task.duration
    traces = filtered_traces(run, f"{interval!r} s", f"{tau!r} s")
    return traces[0] if task.kind == "series" else traces[:, -1]


def _judge(
    net: HRSNN,
    run: Trajectory,
    features: np.ndarray,
    task: Task,
    template: LinearReadout | STDPReadout,
) -> Evaluation:
    train, validation, test = task.split
    y = task.targets
    estimator = template.for_targets(y)
    estimator.fit(features[train], y[train], features[validation], y[validation])
    predicted = estimator.predict(features[test])
    alpha = getattr(estimator, "alpha_", None)
    is_series = task.metric == "nrmse"
    operations = synaptic_operations(run, net)
    outputs = 1 if y.ndim == 1 and is_series else (y.shape[1] if is_series else len(np.unique(y)))
    rate = rates(run)
    sample = task.hold if task.kind == "series" else task.duration
    return Evaluation(
        task=task.name,
        metric=task.metric,
        nrmse=float(nrmse(y[test], predicted)) if is_series else None,
        accuracy=None if is_series else float(accuracy(y[test], predicted)),
        validation=float(estimator.validation_error_),
        alpha=None if alpha is None else float(alpha),
        mean_rate=float(rate.mean()),
        sops_per_second=operations,
        sops_per_sample=operations * sample,
        readout_sops_per_second=float(rate.sum() * outputs),
        n_neurons=net.n,
        n_synapses=net.n_synapses,
        digest=net.digest,
    )
