"""run_experiment: networks, pruning and evaluation of a whole experiment, resumable."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed, parallel_config

from brain_lnp import tasks as task_makers
from brain_lnp.config import Experiment, TaskSection, demo_experiment
from brain_lnp.evaluate import evaluate_batch, task_stimulus
from brain_lnp.lnp import LNP_METHODS, prune
from brain_lnp.runfolder import RunFolder
from brain_lnp.tasks import Task, trivial
from models_eq.device import current_device, use_device
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec, sample_hrsnn

logger = logging.getLogger("brain_lnp.experiment")

Progress = Callable[[str, int, int], None]
Record = dict[str, Any]
CONTROLS = ("dense", "none")
# What activity-based pruning may look at: this many rows or trials of each training part.
_ACTIVITY_LIMIT = {"series": 1000, "images": 200}


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


@dataclass(frozen=True)
class ExperimentResult:
    """What an experiment found.

    Attributes
    ----------
    rows : list of dict
        One for each network and task.
    summary : list of dict
        Mean and standard error over seeds, one for each method, budget and task.
    baselines : list of dict
        The same for the trivial baselines of each task.
    folder : Path
        Where everything lies.
    """

    rows: list[Record]
    summary: list[Record]
    baselines: list[Record]
    folder: Path


def quick_demo_experiment() -> Experiment:
    """The demo cut down to one budget, three small seeds and one task of each kind."""
    return demo_experiment("quick.toml")


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
    return [_make_task(section, seed) for section in experiment.tasks]


def _make_task(section: TaskSection, seed: int) -> Task:
    makers: Mapping[str, Callable[..., Task]] = {
        "lorenz63": task_makers.lorenz63,
        "rossler": task_makers.rossler,
        "mackey_glass": task_makers.mackey_glass,
        "digits": task_makers.digits,
        "csv": task_makers.csv_series,
        "images": task_makers.load_npz_images,
    }
    return makers[section.name](seed=seed, **section.arguments())


def _prune_cell(
    spec: HRSNNSpec, cell: Cell, sections: Sequence[TaskSection], options: Mapping[str, Any],
    device: str,
) -> tuple[Cell, HRSNN, Record]:  # fmt: skip
    with use_device(device):
        net = sample_hrsnn(spec, seed=cell.seed)
        if cell.method in CONTROLS:
            result = prune(net, cell.method, synapses=1.0, seed=cell.seed)
        else:
            stimulus = None
            neurons: float | None = cell.neurons
            if cell.method.startswith("activity"):
                # The task decides what is active, so it sees every task's training input. With
                # all neurons allowed it drops neurons until the synapse budget is met.
                stimulus = _activity_stimuli([_make_task(s, cell.seed) for s in sections], net.n)
                neurons = None if cell.neurons == 1.0 else cell.neurons
            result = prune(
                net,
                cell.method,
                synapses=cell.synapses,
                neurons=neurons,
                seed=cell.seed,
                stimulus=stimulus,
                **options,
            )
    record = {
        "stopped": result.stopped,
        "steps": [
            {"name": s.name, "n": s.n, "n_synapses": s.n_synapses, **s.diagnostics}
            for s in result.steps
        ],
    }
    return cell, result.net, record


def _activity_stimuli(tasks: Sequence[Task], n: int) -> list[Any]:
    distinct = {task.input_digest: task for task in tasks}.values()
    return [
        task_stimulus(task, n, part="train", limit=_ACTIVITY_LIMIT[task.kind]) for task in distinct
    ]


def _evaluate_group(
    group: Sequence[tuple[Cell, HRSNN]], sections: Sequence[TaskSection], device: str
) -> list[Record]:
    """Rows of several networks of one seed on tasks that share their input."""
    seed = group[0][0].seed
    tasks = [_make_task(section, seed) for section in sections]
    with use_device(device):
        found = evaluate_batch([net for _, net in group], tasks, seed=seed)
    return [
        {
            "seed": seed,
            "method": cell.method,
            "synapses": cell.synapses,
            "neurons": cell.neurons,
            **evaluation.to_dict(),
        }
        for (cell, _), evaluations in zip(group, found, strict=True)
        for evaluation in evaluations
    ]


def _baselines(sections: Sequence[TaskSection], seed: int) -> list[Record]:
    rows = []
    for section in sections:
        task = _make_task(section, seed)
        for name, value in trivial.baselines(task).items():
            error = value if task.metric == "nrmse" else 1.0 - value
            rows.append({"seed": seed, "task": task.name, "baseline": name, "error": error})
    return rows


def run_experiment(
    experiment: Experiment,
    folder: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    jobs: int | None = None,
) -> ExperimentResult:
    """Run an experiment, or what is left of it.

    Parameters
    ----------
    experiment : Experiment
        What to run.
    folder : path-like
        Run folder. An interrupted run of the same experiment is resumed there.
    progress : callable, optional
        Called as ``progress(text, done, total)``.
    jobs : int, optional
        Processes; by default those of the experiment, at most one for each core.

    Returns
    -------
    ExperimentResult

    Raises
    ------
    ParameterError
        For a folder that holds something else, or a task that cannot be made.
    BrainLNPError
        Whatever pruning or evaluation refuses.
    """
    count = jobs if jobs is not None else experiment.experiment.jobs
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ParameterError("jobs", "a whole number of at least 1", count)
    count = min(count, os.cpu_count() or 1)
    spec = experiment.network.to_spec()
    with use_device(experiment.experiment.device):
        device = current_device().name
    with RunFolder(folder, experiment, device=device) as run:
        work = _Work(experiment, spec, run, device, count, progress)
        networks = work.prune_all()
        rows, baselines = work.evaluate_all(networks)
        result = ExperimentResult(
            rows, summarise(rows), summarise(baselines, ("task", "baseline")), run.path
        )
        run.write_results(
            rows,
            {"summary": result.summary, "baselines": result.baselines},
        )
    return result


class _Work:
    """The units of an experiment, run in processes, stored as they come."""

    def __init__(
        self,
        experiment: Experiment,
        spec: HRSNNSpec,
        run: RunFolder,
        device: str,
        jobs: int,
        progress: Progress | None,
    ) -> None:
        self.experiment, self.spec, self.run = experiment, spec, run
        self.device, self.jobs = device, jobs
        self.progress = progress or (lambda text, done, total: None)
        self.cells = cells(experiment)
        self.groups = self._groups()
        self.total = len(self.cells) + len(self.groups) + len(experiment.experiment.seeds)
        self.done = 0

    def _groups(self) -> list[tuple[str, list[Cell], list[TaskSection]]]:
        """Evaluation units: one a seed and family of tasks, images in smaller portions."""
        by_family: dict[str, list[TaskSection]] = {}
        for section in self.experiment.tasks:
            given = {k: v for k, v in section.arguments().items() if k != "horizon"}
            by_family.setdefault(f"{section.name} {sorted(given.items())}", []).append(section)
        groups = []
        for seed in self.experiment.experiment.seeds:
            mine = [cell for cell in self.cells if cell.seed == seed]
            for number, (family, sections) in enumerate(by_family.items()):
                size = 4 if family.startswith(("digits", "images")) else len(mine)
                for start in range(0, len(mine), size):
                    key = f"evaluate_t{number}_seed{seed}_{start}"
                    groups.append((key, mine[start : start + size], sections))
        return groups

    def tick(self, text: str) -> None:
        self.done += 1
        self.progress(text, self.done, self.total)

    def parallel(self, calls: list[Any]) -> Iterator[Any]:
        if self.jobs == 1 or len(calls) < 2:
            yield from (function(*args, **kwargs) for function, args, kwargs in calls)
            return
        # One BLAS thread a process: more would fight for the same cores.
        with parallel_config(backend="loky", inner_max_num_threads=1):
            yield from Parallel(n_jobs=self.jobs, return_as="generator_unordered")(calls)

    def prune_all(self) -> dict[Cell, HRSNN]:
        networks: dict[Cell, HRSNN] = {}
        calls = []
        section = self.experiment.prune
        for cell in self.cells:
            if self.run.done(cell.key):
                networks[cell] = self.run.load_network(cell.key)
                self.tick(f"{cell.key} (done before)")
                continue
            options: dict[str, Any] = dict(section.options.get(cell.method, {}))
            if cell.method in LNP_METHODS:
                options.setdefault("n_iter", section.n_iter)
            calls.append(
                delayed(_prune_cell)(self.spec, cell, self.experiment.tasks, options, self.device)
            )
        # The slow ones first, so that no process is left alone with one at the end.
        calls.sort(key=lambda call: call[1][1].method not in LNP_METHODS)
        for cell, net, record in self.parallel(calls):
            self.run.save_network(cell.key, net)
            self.run.store(cell.key, record)
            networks[cell] = net
            self.tick(f"pruned {cell.key}")
        return networks

    def evaluate_all(self, networks: Mapping[Cell, HRSNN]) -> tuple[list[Record], list[Record]]:
        found: dict[str, list[Record]] = {}
        calls = []
        for key, members, sections in self.groups:
            if self.run.done(key):
                found[key] = self.run.fetch(key)["rows"]
                self.tick(f"{key} (done before)")
                continue
            group = [(cell, networks[cell]) for cell in members]
            calls.append(delayed(_keyed)(key, _evaluate_group, group, sections, self.device))
        for seed in self.experiment.experiment.seeds:
            key = f"baselines_seed{seed}"
            if self.run.done(key):
                found[key] = self.run.fetch(key)["rows"]
                self.tick(f"{key} (done before)")
                continue
            calls.append(delayed(_keyed)(key, _baselines, self.experiment.tasks, seed))
        for key, rows in self.parallel(calls):
            self.run.store(key, {"rows": rows})
            found[key] = rows
            self.tick(key)
        rows = [row for key, *_ in self.groups for row in found[key]]
        seeds = self.experiment.experiment.seeds
        return rows, [row for seed in seeds for row in found[f"baselines_seed{seed}"]]


def _keyed(key: str, function: Callable[..., list[Record]], *args: Any) -> tuple[str, list[Record]]:
    return key, function(*args)


def summarise(
    rows: Sequence[Record], by: Sequence[str] = ("method", "synapses", "neurons", "task")
) -> list[Record]:
    """Mean and standard error over seeds of every number in rows that agree in ``by``.

    Parameters
    ----------
    rows : sequence of dict
        Rows of an experiment.
    by : sequence of str
        What stays apart.

    Returns
    -------
    list of dict
        In order of first appearance; ``x_mean`` and ``x_stderr`` (None for one seed) for each
        number x, and ``seeds``, how many.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    summary = []
    for key, members in groups.items():
        entry: Record = dict(zip(by, key, strict=True))
        entry["seeds"] = len(members)
        for name, value in members[0].items():
            if name in by or name == "seed" or isinstance(value, (str, bool)) or value is None:
                continue
            values = np.array([member[name] for member in members], dtype=float)
            entry[f"{name}_mean"] = float(values.mean())
            entry[f"{name}_stderr"] = (
                float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else None
            )
        summary.append(entry)
    return summary
