"""plan: what an experiment or a sweep will take in time, memory and disk, before it starts."""

from __future__ import annotations

import heapq
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from analysis.pruning.result import budget
from brain_lnp.config import Experiment
from brain_lnp.costmeasure import judged_size
from brain_lnp.costmodel import CostModel, Size
from brain_lnp.experiment import evaluation_groups
from brain_lnp.lnp import LNP, LNP_METHODS, _schedule
from brain_lnp.sweepfile import Sweep
from brain_lnp.units import CONTROLS, Cell, cells, check_options, task_of
from models_eq.device import current_device, use_device
from models_eq.errors import ParameterError
from models_eq.spec import sample_hrsnn
from models_eq.units import positive_seconds

START_S = 3.0  # a worker imports Brian2 and the rest
_SYNAPSE_BYTES = 20  # of a network on disk
_UNIT_BYTES = 6_000
FACTOR = 2.0  # a prediction is meant to be right within this factor, either way


@dataclass(frozen=True)
class Part:
    """One kind of work of a plan.

    Attributes
    ----------
    name : str
        What it is.
    count : int
        How often it is done.
    seconds : float
        Of one core, all together.
    memory : float, bytes
        Peak of the process that does it.
    """

    name: str
    count: int
    seconds: float
    memory: float


@dataclass(frozen=True)
class Plan:
    """What is to be expected.

    Attributes
    ----------
    name, device : str
    experiments : int
        1, or the number of experiments of a sweep.
    parts : tuple of Part
    core_seconds, seconds : float
        Of one core, and on the clock with that many processes.
    processes : int
    memory : float, bytes
        Of all processes at their peaks.
    disk : float, bytes
    problems : tuple of str
        What does not fit; empty where all does.
    """

    name: str
    device: str
    experiments: int
    parts: tuple[Part, ...]
    core_seconds: float
    seconds: float
    processes: int
    memory: float
    disk: float
    problems: tuple[str, ...] = ()


@dataclass
class _Ledger:
    """Work by kind, and the seconds of each unit that is run as one."""

    model: CostModel
    device: str
    parts: dict[str, list[float]] = field(default_factory=dict)
    units: list[float] = field(default_factory=list)
    disk: float = 0.0

    def add(self, name: str, size: Size, memory: float, times: int = 1) -> float:
        seconds = times * self.model.time(self.device, name, size)
        known = self.parts.setdefault(name, [0, 0.0, 0.0])
        known[0] += times
        known[1] += seconds
        known[2] = max(known[2], memory)
        return seconds


def plan(
    what: Experiment | Sweep,
    model: CostModel,
    *,
    folder: str | os.PathLike[str] = ".",
    processes: int | None = None,
    memory: float | None = None,
) -> Plan:
    """Predict time, memory and disk of an experiment or a sweep.

    Parameters
    ----------
    what : Experiment or Sweep
    model : CostModel
        What parts cost, see :func:`~brain_lnp.costmeasure.model_for_here`.
    folder : path-like
        Where results will lie; its disk is looked at.
    processes : int, optional
        By default as the experiment says, at most one for each core.
    memory : float, optional, bytes
        What there is; by default what this machine has free. Not looked at for a cluster.

    Returns
    -------
    Plan

    Raises
    ------
    ParameterError
        For an experiment that cannot be run.

    Notes
    -----
    Times are meant to be right within a factor 2 where the machine does nothing else. Compilation
    (the first time on ``cython``; every network on ``cpp_standalone``) comes on top.
    """
    base = what.base if isinstance(what, Sweep) else what
    cluster = what.cluster if isinstance(what, Sweep) else None
    count = base.experiment.jobs if processes is None else processes
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ParameterError("jobs", "a whole number of at least 1", count)
    with use_device(base.experiment.device):
        device = current_device().name
    ledger = _Ledger(model, device)
    number = 0
    if isinstance(what, Sweep):
        count = cluster.jobs if cluster is not None else count
        for point in what.points():
            one = _Ledger(model, device)
            _experiment(what.experiment(point, what.seeds[0]), one)
            number += len(what.seeds)
            for name, (times, seconds, peak) in one.parts.items():
                known = ledger.parts.setdefault(name, [0, 0.0, 0.0])
                known[0] += times * len(what.seeds)
                known[1] += seconds * len(what.seeds)
                known[2] = max(known[2], peak)
            ledger.units += [sum(one.units)] * len(what.seeds)
            ledger.disk += one.disk * len(what.seeds) if what.keep_runs else _UNIT_BYTES
        name = what.name
    else:
        count = min(count, os.cpu_count() or 1)
        _experiment(what, ledger)
        number, name = 1, what.experiment.name
    return _finished(ledger, name, number, count, Path(folder), memory, cluster is None)


def _finished(
    ledger: _Ledger,
    name: str,
    number: int,
    count: int,
    folder: Path,
    memory: float | None,
    here: bool,
) -> Plan:
    parts = tuple(Part(key, int(n), s, peak) for key, (n, s, peak) in ledger.parts.items())
    processes = max(1, min(count, len(ledger.units)))
    peak = processes * max((part.memory for part in parts), default=0.0)
    there = available_memory() if memory is None else memory
    problems = []
    if here and there is not None and peak > there:
        hint = " or fewer jobs" if processes > 1 else ""
        problems.append(
            f"memory: expected at most the {_size(there)} that are free, got {_size(peak)} for "
            f"{processes} process{'es' * (processes > 1)}. Take smaller networks{hint}"
        )
    free = free_disk(folder)
    if ledger.disk > free:
        problems.append(
            f"disk: expected at most the {_size(free)} that are free in {folder}, got "
            f"{_size(ledger.disk)}. Choose another folder"
        )
    return Plan(
        name, ledger.device, number, parts, sum(ledger.units),
        START_S + _on_the_clock(ledger.units, processes), processes, peak, ledger.disk,
        tuple(problems),
    )  # fmt: skip


def _on_the_clock(units: Iterable[float], processes: int) -> float:
    """When the last process ends, each taking the longest unit that is left."""
    ends = [0.0] * processes
    for seconds in sorted(units, reverse=True):
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


# -- an experiment ---------------------------------------------------------------------------------


def _experiment(experiment: Experiment, ledger: _Ledger) -> None:
    check_options(experiment)
    seeds = experiment.experiment.seeds
    # One network is drawn: laws and graphs settle how many synapses there are.
    net = sample_hrsnn(experiment.network.to_spec(), seed=seeds[0])
    found = cells(experiment)
    sizes = {cell.label: _kept(cell, net.n, net.n_synapses) for cell in found}
    for cell in found:
        ledger.units.append(_prune(experiment, cell, net.n, net.n_synapses, ledger))
        ledger.disk += sizes[cell.label].n_synapses * _SYNAPSE_BYTES + 100 * net.n + _UNIT_BYTES
    made = [task_of(section, seeds[0]) for section in experiment.tasks]
    for _, members, numbers in evaluation_groups(experiment, found):
        tasks = [made[k] for k in numbers]
        nets = [sizes[cell.label] for cell in members]
        size = judged_size(nets, tasks)
        rows = len(tasks[0].inputs)
        most = ledger.model.bytes(rows_n=rows * sum(one.n for one in nets), m=net.n_synapses)
        ledger.units.append(ledger.add(tasks[0].kind, size, most))
    ledger.disk += 1e5 + 2e5 * experiment.output.figures


def _kept(cell: Cell, n: int, m: int) -> Any:
    if cell.method in CONTROLS:
        return SimpleNamespace(n=n, n_synapses=m if cell.method == "dense" else 0)
    n_kept = budget(cell.neurons, n, "prune.neurons", 1)
    return SimpleNamespace(n=n_kept, n_synapses=budget(cell.synapses, m, "prune.synapses", 1))


def _prune(experiment: Experiment, cell: Cell, n: int, m: int, ledger: _Ledger) -> float:
    """Seconds of one cell."""
    model = ledger.model
    peak = model.bytes(m=m, n2=n**2)
    seconds = ledger.add("draw", Size(n, m), peak)
    if cell.method in CONTROLS:
        return seconds
    section = experiment.prune
    options = dict(section.options.get(cell.method, {}))
    if cell.method not in LNP_METHODS:
        name = f"prune {cell.method}"
        return seconds + ledger.add(name, Size(n, m), model.bytes(m=m, n2=n**2 / 4))
    settings = LNP(mode=LNP_METHODS[cell.method], **{"n_iter": section.n_iter, **options})  # type: ignore[arg-type]
    steps = positive_seconds(settings.noise_duration, "noise_duration") / positive_seconds(
        settings.dt, "dt"
    )
    kept = _kept(cell, n, m)
    dense: Any = SimpleNamespace(n=n, n_synapses=m)
    seconds += ledger.add("exponents", Size(n, m, steps), peak)
    seconds += ledger.add("dense rates", Size(n, m), peak)
    n_iter = settings.n_iter
    for k, (m_k, n_k) in enumerate(_schedule(dense, kept.n_synapses, kept.n, n_iter)):
        before, after = Size(n, m), Size(n_k, m_k, steps)
        seconds += ledger.add("step I", before, peak)
        if n_k < n:
            seconds += ledger.add("step II", before, peak)
        seconds += ledger.add("choice and step III", before, peak)
        is_tuned = k == n_iter - 1 and (settings.treatment or settings.mode) == "tuned"
        seconds += ledger.add("gain" if is_tuned else "compensation", after, peak)
        seconds += ledger.add("exponents", after, peak)
        n, m = n_k, m_k
    if settings.time_search is not None:
        seconds += ledger.add("step IV", Size(n, m, steps), peak, settings.trials)
    return seconds


# -- what there is ---------------------------------------------------------------------------------


def available_memory() -> float | None:
    """Bytes that processes may still take here, or None where that cannot be told."""
    found: list[float] = []
    with suppress(OSError, StopIteration, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(x for x in lines if x.startswith("MemAvailable:"))
        found.append(1024.0 * int(line.split()[1]))
    with suppress(OSError, ValueError):  # a container, or a job of a batch system
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        found.append(float(limit - int((group / "memory.current").read_text())))
    if not found:
        with suppress(OSError, ValueError, AttributeError):
            found.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    return max(0.0, min(found)) if found else None


def free_disk(folder: Path) -> float:
    """Free bytes of the disk on which a folder lies, or will."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return float(shutil.disk_usage(place).free)


def _size(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
