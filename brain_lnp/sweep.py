"""run_sweep: many experiments, here or on a cluster, resumable, with means over seeds."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_lnp.config import Experiment
from brain_lnp.environment import environment
from brain_lnp.experiment import run_experiment
from brain_lnp.pool import Pool, Processes, dask_workers, slurm_workers
from brain_lnp.runfolder import csv_text
from brain_lnp.summary import Record, summarise
from brain_lnp.sweepfile import Point, Sweep
from brain_lnp.unitfolder import UnitFolder, json_text, read_json, write_text
from brain_lnp.workers import Job, run_jobs
from models_eq.device import current_device, use_device
from models_eq.errors import BrainLNPError, ParameterError

logger = logging.getLogger("brain_lnp.sweep")

FORMAT = "brain_lnp sweep"
Progress = Callable[[str, int, int], None]
_WRITE_EVERY_S = 10.0


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes
    ----------
    rows : list of dict
        One for each point, seed, network and task; ``point`` counts the points from 1, and each
        swept field is a column of its dotted key.
    summary : list of dict
        Mean and standard error over seeds, for each point, method, budget and task.
    baselines : list of dict
        The same for the trivial baselines of each task.
    failures : list of dict
        Point, seed and error of each experiment that failed.
    folder : Path
        Where everything lies.
    """

    rows: list[Record]
    summary: list[Record]
    baselines: list[Record]
    failures: list[Record]
    folder: Path


class SweepFolder(UnitFolder):
    """The folder of one sweep, locked while it is open.

    ``units/*.json`` hold the results of each experiment, ``runs/`` their run folders, and
    ``results.json``, ``results.csv`` (means over seeds) and ``rows.csv`` (each seed) the tables,
    which grow while the sweep goes on. A sweep of the same base goes on from what is there.
    """

    same = "a sweep of the same base experiment"

    def __init__(self, path: str | os.PathLike[str], sweep: Sweep) -> None:
        super().__init__(path, FORMAT, sweep.name, sweep.digest)

    def _create(self) -> None:
        super()._create()
        if not (self.path / "environment.json").exists():
            text = json_text(environment(), "environment")
            write_text(self.path / "environment.json", text)
        (self.path / "runs").mkdir(exist_ok=True)


def run_sweep(
    sweep: Sweep,
    folder: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    jobs: int | None = None,
    pool: Pool | None = None,
) -> SweepResult:
    """Run a sweep, or what is left of it.

    Parameters
    ----------
    sweep : Sweep
        What to run.
    folder : path-like
        Its folder. A sweep of the same base that was interrupted, or killed, goes on there; one
        that has grown (more values, samples or seeds) computes what is new.
    progress : callable, optional
        Called as ``progress(text, done, total)``.
    jobs : int, optional
        Processes, by default those of the base experiment.
    pool : Pool, optional
        Where the experiments run, in place of processes here, see :mod:`brain_lnp.pool`.

    Returns
    -------
    SweepResult
        It does not depend on where, on how many workers and in which order they ran.

    Raises
    ------
    ParameterError
        For a folder that holds something else or is in use.
    """
    sweep = settled(sweep)
    where = pool or Processes(sweep.base.experiment.jobs if jobs is None else jobs)
    points = sweep.points()
    with SweepFolder(folder, sweep) as kept:
        table = _Table(sweep, points, kept)
        wanted = [
            Job(_key(point, seed), run_point, (_Work(sweep, point, seed), str(kept.path.resolve())))
            for seed in sweep.seeds
            for point in points
        ]
        try:
            found = run_jobs(wanted, kept, progress=progress, pool=where, landed=table.add)
        except BaseException:
            if table.by_key:
                table.write({})
            raise
        return table.write(found.failures)


@contextmanager
def workers_of(sweep: Sweep) -> Iterator[Pool | None]:
    """The cluster that a sweep asks for, started or connected to; None is this machine."""
    cluster = sweep.cluster
    if cluster is None:
        yield None
    elif cluster.kind == "slurm":
        with slurm_workers(cluster.jobs, cluster.options) as pool:
            yield pool
    else:
        if cluster.address is None:
            raise ParameterError("cluster.address", "the address of a Dask scheduler", "nothing")
        with dask_workers(cluster.address) as pool:
            yield pool


def _key(point: Point, seed: int) -> str:
    return f"point_{point.name}_seed{seed}"


# -- one experiment, in a worker -------------------------------------------------------------------


class _Work:
    """What a worker needs for one experiment: made there, as drawing it up takes a moment."""

    def __init__(self, sweep: Sweep, point: Point, seed: int) -> None:
        self.sweep, self.point, self.seed = sweep, point, seed

    def experiment(self) -> Experiment:
        return self.sweep.experiment(self.point, self.seed)


def run_point(work: Any, folder: str) -> dict[str, Any]:
    """Run one experiment of a sweep.

    Parameters
    ----------
    work : object
        Has ``experiment()``, ``sweep``, ``point`` and ``seed``.
    folder : str
        The sweep's folder. Where it can be seen (here, or on a shared disk) the run folder lies in
        it, from which an interrupted experiment goes on; elsewhere in a temporary one.
    """
    experiment, sweep = work.experiment(), work.sweep
    shared = Path(folder)
    begun = time.monotonic()
    if not _is_of(shared, sweep.digest):
        return _run_aside(experiment, begun)
    run = shared / "runs" / _key(work.point, work.seed)
    try:
        found = _plain(run_experiment(experiment, run, jobs=1), begun)
    except ParameterError as error:
        # A worker that was given up, but cannot be stopped from afar, may still be at it.
        if error.expected != "a folder not in use":
            raise
        return _run_aside(experiment, begun)
    if not sweep.keep_runs:
        shutil.rmtree(run, ignore_errors=True)
    return found


def _is_of(folder: Path, digest: str) -> bool:
    try:
        return read_json(folder / "run.json").get("digest") == digest
    except (BrainLNPError, OSError):
        return False


def _run_aside(experiment: Experiment, begun: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="brain-lnp-") as place:
        return _plain(run_experiment(experiment, Path(place) / "run", jobs=1), begun)


def _plain(result: Any, begun: float) -> dict[str, Any]:
    trivial = [
        {"task": b["task"], "baseline": b["baseline"], "error": b["error_mean"]}
        for b in result.baselines
    ]
    return {"rows": result.rows, "baselines": trivial, "seconds": time.monotonic() - begun}


# -- the tables ------------------------------------------------------------------------------------


class _Table:
    """Results so far, written as they come."""

    def __init__(self, sweep: Sweep, points: list[Point], folder: SweepFolder) -> None:
        self.sweep, self.points, self.folder = sweep, points, folder
        self.by_key: dict[str, dict[str, Any]] = {}
        self._written = time.monotonic()

    def add(self, key: str, result: dict[str, Any]) -> None:
        self.by_key[key] = result
        if time.monotonic() - self._written > _WRITE_EVERY_S:
            self.write({})

    def _labelled(self, what: str) -> list[Record]:
        return [
            {"point": number, "seed": seed, **row}
            for number, point in enumerate(self.points, 1)
            for seed in self.sweep.seeds
            for row in self.by_key.get(_key(point, seed), {}).get(what, [])
        ]

    def _with_values(self, rows: list[Record]) -> list[Record]:
        return [
            {"point": row["point"], **self.points[row["point"] - 1].values, **row} for row in rows
        ]

    def write(self, failures: dict[str, str]) -> SweepResult:
        """Write all that there is."""
        rows, trivial = self._labelled("rows"), self._labelled("baselines")
        by = ("point", "method", "synapses", "neurons", "task")
        failed = [
            {"point": number, "seed": seed, "error": failures[_key(point, seed)]}
            for number, point in enumerate(self.points, 1)
            for seed in self.sweep.seeds
            if _key(point, seed) in failures
        ]
        result = SweepResult(
            self._with_values(rows),
            self._with_values(summarise(rows, by)),
            self._with_values(summarise(trivial, ("point", "task", "baseline"))),
            self._with_values(failed),
            self.folder.path,
        )
        wanted = len(self.points) * len(self.sweep.seeds)
        data = {
            "name": self.sweep.name, "experiments": wanted, "finished": len(self.by_key),
            "seeds": list(self.sweep.seeds), "summary": result.summary,
            "baselines": result.baselines, "failures": result.failures, "rows": result.rows,
        }  # fmt: skip
        text = json_text(data, "results")
        plain = json.loads(text)
        write_text(self.folder.path / "results.json", text)
        write_text(self.folder.path / "results.csv", csv_text(plain["summary"]))
        write_text(self.folder.path / "rows.csv", csv_text(plain["rows"]))
        self._written = time.monotonic()
        return result


def settled(sweep: Sweep) -> Sweep:
    """The sweep with its device settled here: workers that differ must not choose for themselves.

    Raises
    ------
    DeviceError
        If the device does not run on this machine.
    """
    with use_device(sweep.base.experiment.device):
        return sweep.on(current_device().name)
