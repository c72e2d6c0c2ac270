"""run_experiment: networks, pruning and evaluation of a whole experiment, resumable."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import delayed

from brain_lnp.config import Experiment, demo_experiment
from brain_lnp.lnp import LNP_METHODS
from brain_lnp.runfolder import RunFolder
from brain_lnp.summary import Record, summarise
from brain_lnp.units import (
    Cell,
    baseline_rows,
    cells,
    check_options,
    evaluate_group,
    keyed,
    prune_cell,
    task_names,
)
from brain_lnp.workers import run_calls
from models_eq.device import current_device, use_device
from models_eq.errors import FormatError, MissingFileError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec

logger = logging.getLogger("brain_lnp.experiment")

Progress = Callable[[str, int, int], None]


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
    check_options(experiment)
    names = task_names(experiment)
    with use_device(experiment.experiment.device):
        device = current_device().name
    with RunFolder(folder, experiment, device=device) as run:
        work = _Work(experiment, spec, names, run, device, count, progress)
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


def evaluation_groups(
    experiment: Experiment, found: Sequence[Cell]
) -> list[tuple[str, list[Cell], list[int]]]:
    """Evaluation units: one a seed and family of tasks, images in smaller portions.

    Each is its key, the networks, and the numbers of the tasks.
    """
    by_family: dict[str, list[int]] = {}
    for number, section in enumerate(experiment.tasks):
        given = {k: v for k, v in section.arguments().items() if k != "horizon"}
        by_family.setdefault(f"{section.name} {sorted(given.items())}", []).append(number)
    groups = []
    for seed in experiment.experiment.seeds:
        mine = [cell for cell in found if cell.seed == seed]
        for number, (family, members) in enumerate(by_family.items()):
            size = 4 if family.startswith(("digits", "images", "events")) else len(mine)
            for start in range(0, len(mine), size):
                key = f"evaluate_t{number}_seed{seed}_{start}"
                groups.append((key, mine[start : start + size], members))
    return groups


class _Work:
    """The units of an experiment, run in processes, stored as they come."""

    def __init__(
        self,
        experiment: Experiment,
        spec: HRSNNSpec,
        names: list[str],
        run: RunFolder,
        device: str,
        jobs: int,
        progress: Progress | None,
    ) -> None:
        self.experiment, self.spec, self.run = experiment, spec, run
        self.names = names
        self.device, self.jobs = device, jobs
        self.progress = progress or (lambda text, done, total: None)
        self.cells = cells(experiment)
        self.groups = evaluation_groups(experiment, self.cells)
        self.total = len(self.cells) + len(self.groups) + len(experiment.experiment.seeds)
        self.done = 0

    def tick(self, text: str) -> None:
        self.done += 1
        self.progress(text, self.done, self.total)

    def _kept(self, cell: Cell) -> HRSNN | None:
        """The network of a finished cell, or None if it is yet to be pruned (again)."""
        if not self.run.done(cell.key):
            return None
        try:
            return self.run.load_network(cell.key)
        except (MissingFileError, FormatError) as error:
            logger.warning("Pruning %r again: %s", cell.key, error)
            return None

    def prune_all(self) -> dict[Cell, HRSNN]:
        networks: dict[Cell, HRSNN] = {}
        calls = []
        section = self.experiment.prune
        for cell in self.cells:
            if (net := self._kept(cell)) is not None:
                networks[cell] = net
                self.tick(f"{cell.key} (done before)")
                continue
            options: dict[str, Any] = dict(section.options.get(cell.method, {}))
            if cell.method in LNP_METHODS:
                options.setdefault("n_iter", section.n_iter)
            kept = str(self.run.checkpoint(cell.key))
            calls.append(
                delayed(prune_cell)(
                    self.spec, cell, self.experiment.tasks, options, self.device, kept
                )
            )
        # The slow ones first, so that no process is left alone with one at the end.
        calls.sort(key=lambda call: call[1][1].method not in LNP_METHODS)
        # But another kind second: two processes that start alike wait for each other's compiler.
        other = next((k for k, c in enumerate(calls) if c[1][1].method not in LNP_METHODS), 0)
        if other > 1:
            calls.insert(1, calls.pop(other))
        with closing(run_calls(calls, self.jobs)) as pruned:
            for cell, net, record in pruned:
                self.run.save_network(cell.key, net)
                self.run.store(cell.key, record)
                self.run.drop_checkpoint(cell.key)
                networks[cell] = net
                self.tick(f"pruned {cell.key}")
        self.run.end_checkpoints()
        return networks

    def evaluate_all(self, networks: Mapping[Cell, HRSNN]) -> tuple[list[Record], list[Record]]:
        found: dict[str, list[Record]] = {}
        calls = []
        tasks = self.experiment.tasks
        for key, members, numbers in self.groups:
            if self.run.done(key):
                found[key] = self.run.fetch(key)["rows"]
                self.tick(f"{key} (done before)")
                continue
            group = [(cell, networks[cell]) for cell in members]
            sections = [tasks[k] for k in numbers]
            names = [self.names[k] for k in numbers]
            calls.append(delayed(keyed)(key, evaluate_group, group, sections, names, self.device))
        for seed in self.experiment.experiment.seeds:
            key = f"baselines_seed{seed}"
            if self.run.done(key):
                found[key] = self.run.fetch(key)["rows"]
                self.tick(f"{key} (done before)")
                continue
            calls.append(delayed(keyed)(key, baseline_rows, tasks, self.names, seed))
        with closing(run_calls(calls, self.jobs)) as judged:
            for key, rows in judged:
                self.run.store(key, {"rows": rows})
                found[key] = rows
                self.tick(key)
        rows = [row for key, *_ in self.groups for row in found[key]]
        seeds = self.experiment.experiment.seeds
        return rows, [row for seed in seeds for row in found[f"baselines_seed{seed}"]]
