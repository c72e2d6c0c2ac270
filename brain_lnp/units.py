"""The units of work of an experiment: which networks it has, how each is pruned and judged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_lnp import tasks as task_makers
from brain_lnp.config import Experiment, TaskSection
from brain_lnp.evaluation import evaluate_batch, task_stimulus
from brain_lnp.lnp import LNP, LNP_METHODS
from brain_lnp.methods import STEP_FOUR, prune
from brain_lnp.summary import Record
from brain_lnp.tasks import Task, trivial
from models_eq.device import use_device
from models_eq.errors import FormatError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec, sample_hrsnn

logger = logging.getLogger("brain_lnp.units")

CONTROLS = ("dense", "none")
# What activity-based pruning may look at: this many rows or trials of each training part.
_ACTIVITY_LIMIT = {"series": 500, "images": 100}


@dataclass(frozen=True)
class Cell:
    """One network of an experiment: a method at a budget, for one seed."""

    seed: int
    method: str
    synapses: float
    neurons: float

    @property
    def key(self) -> str:
        """Name of the unit in the run folder."""
        return f"{self.method}_s{self.synapses:g}_n{self.neurons:g}_seed{self.seed}"

    @property
    def label(self) -> tuple[str, float, float]:
        """What is averaged over: method and budget."""
        return self.method, self.synapses, self.neurons


def cells(experiment: Experiment) -> list[Cell]:
    """All networks of an experiment; the controls have no budget and appear once a seed."""
    wanted: list[Cell] = []
    section = experiment.prune
    for seed in experiment.experiment.seeds:
        for method in section.methods:
            if method in CONTROLS:
                wanted.append(Cell(seed, method, 1.0 if method == "dense" else 0.0, 1.0))
                continue
            wanted += [
                Cell(seed, method, synapses, neurons)
                for neurons in section.neurons
                for synapses in section.synapses
            ]
    return wanted


def make_tasks(experiment: Experiment, seed: int) -> list[Task]:
    """The tasks of an experiment for one seed."""
    return [task_of(section, seed) for section in experiment.tasks]


def task_of(section: TaskSection, seed: int) -> Task:
    """The task that a section describes, for one seed."""
    makers: Mapping[str, Callable[..., Task]] = {
        "lorenz63": task_makers.lorenz63,
        "rossler": task_makers.rossler,
        "mackey_glass": task_makers.mackey_glass,
        "digits": task_makers.digits,
        "csv": task_makers.csv_series,
        "images": task_makers.load_npz_images,
        "events": task_makers.load_events,
    }
    return makers[section.name](seed=seed, **section.arguments())


def task_names(experiment: Experiment) -> list[str]:
    """A name for each task of an experiment: its own, numbered where it is not the only one.

    Rows are averaged over seeds by the name of their task, so two tasks that differ only in, say,
    the length of their training part must not share one.
    """
    names: list[str] = []
    for task in make_tasks(experiment, experiment.experiment.seeds[0]):
        name, number = task.name, 1
        while name in names:
            number += 1
            name = f"{task.name}_{number}"
        names.append(name)
    return names


def check_options(experiment: Experiment) -> None:
    """Refuse options that a method cannot take, before anything is computed.

    Raises
    ------
    ParameterError
        Naming the dotted key.
    """
    section = experiment.prune
    for method in section.methods:
        place = f"prune.options.{method}"
        for key in (options := section.options.get(method, {})):
            allowed = ["treatment", *STEP_FOUR]
            if method in LNP_METHODS:
                allowed = [
                    "treatment",
                    *sorted(set(LNP.__dataclass_fields__) - {"mode", "treatment"}),
                ]
            if key not in allowed:
                raise ParameterError(f"{place}.{key}", "one of " + ", ".join(allowed), key)
        try:
            LNP(**options)
        except ParameterError as error:
            field = f"{place}.{error.field}"
            raise type(error)(field, error.expected, error.got, error.hint) from None


def prune_cell(
    spec: HRSNNSpec,
    cell: Cell,
    sections: Sequence[TaskSection],
    options: Mapping[str, Any],
    device: str,
    checkpoint: str | None = None,
) -> tuple[Cell, HRSNN, Record]:
    """Sample and prune the network of a cell; its record says what each step did.

    ``checkpoint`` is a file from which an interrupted pruning goes on; one that is damaged, or was
    left by another version, is removed and the pruning begun anew.
    """
    with use_device(device):
        net = sample_hrsnn(spec, seed=cell.seed)
        if cell.method in CONTROLS:
            result = prune(net, cell.method, synapses=1.0, seed=cell.seed, **options)
        else:
            stimulus = None
            neurons: float | None = cell.neurons
            if cell.method.startswith("activity"):
                # The task decides what is active, so it sees every task's training input. With
                # all neurons allowed it drops neurons until the synapse budget is met.
                stimulus = _activity_stimuli([task_of(s, cell.seed) for s in sections], net.n)
                neurons = None if cell.neurons == 1.0 else cell.neurons
            given = {
                "synapses": cell.synapses, "neurons": neurons, "seed": cell.seed,
                "stimulus": stimulus, "checkpoint": checkpoint, **options,
            }  # fmt: skip
            try:
                result = prune(net, cell.method, **given)
            except (FormatError, ParameterError) as error:
                if checkpoint is None or not _spoilt(error):
                    raise
                logger.warning("Pruning %r from its beginning: %s", cell.key, error)
                for path in (Path(checkpoint), Path(checkpoint).with_suffix(".timescales.json")):
                    path.unlink(missing_ok=True)
                result = prune(net, cell.method, **given)
    record = {
        "stopped": result.stopped,
        "steps": [
            {"name": s.name, "n": s.n, "n_synapses": s.n_synapses, **s.diagnostics}
            for s in result.steps
        ],
    }
    return cell, result.net, record


def _spoilt(error: FormatError | ParameterError) -> bool:
    """Whether it is a checkpoint, or the record of Step IV, that cannot be gone on from."""
    return isinstance(error, FormatError) or error.field in ("checkpoint", "storage")


def _activity_stimuli(tasks: Sequence[Task], n: int) -> list[Any]:
    distinct = {task.input_digest: task for task in tasks}.values()
    return [
        task_stimulus(task, n, part="train", limit=_ACTIVITY_LIMIT[task.kind]) for task in distinct
    ]


def evaluate_group(
    group: Sequence[tuple[Cell, HRSNN]],
    sections: Sequence[TaskSection],
    names: Sequence[str],
    device: str,
) -> list[Record]:
    """Rows of several networks of one seed on tasks (with these names) that share their input."""
    seed = group[0][0].seed
    tasks = [task_of(section, seed) for section in sections]
    with use_device(device):
        found = evaluate_batch([net for _, net in group], tasks, seed=seed)
    return [
        {
            "seed": seed,
            "method": cell.method,
            "synapses": cell.synapses,
            "neurons": cell.neurons,
            **evaluation.to_dict(),
            "task": name,
        }
        for (cell, _), evaluations in zip(group, found, strict=True)
        for name, evaluation in zip(names, evaluations, strict=True)
    ]


def baseline_rows(sections: Sequence[TaskSection], names: Sequence[str], seed: int) -> list[Record]:
    """Errors of the trivial predictors of each task."""
    rows = []
    for section, task_name in zip(sections, names, strict=True):
        task = task_of(section, seed)
        for name, value in trivial.baselines(task).items():
            error = value if task.metric == "nrmse" else 1.0 - value
            rows.append({"seed": seed, "task": task_name, "baseline": name, "error": error})
    return rows


def keyed(key: str, function: Callable[..., list[Record]], *args: Any) -> tuple[str, list[Record]]:
    """Call a function and hand its key back with the result, which may come out of order."""
    return key, function(*args)
