"""Independent calls in other processes, and jobs whose results are kept as they come."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from brain_lnp.pool import Call, Died, Pool, Processes, single_threaded
from brain_lnp.unitfolder import UnitFolder
from models_eq.errors import ParameterError, WorkerError

logger = logging.getLogger("brain_lnp.workers")

Progress = Callable[[str, int, int], None]


def run_calls(
    calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]], processes: int
) -> Generator[Any, None, None]:
    """Results of calls, as of ``joblib.delayed``, in the order in which they come.

    Parameters
    ----------
    calls : sequence of (function, args, kwargs)
    processes : int
        1 runs them here, one after the other.

    Raises
    ------
    WorkerError
        If a process dies over a call, and again when it is tried once more.
    """
    if processes == 1 or len(calls) < 2:
        for function, args, kwargs in calls:
            yield single_threaded(partial(function, **kwargs), *args)
        return
    bound = [(partial(function, **kwargs), args) for function, args, kwargs in calls]
    with closing(Processes(processes).run(bound)) as finished:
        for _, found in finished:
            if isinstance(found, Died):
                hint = "Try fewer processes"
                raise WorkerError("processes", "workers that live", found.why, hint)
            yield found


@dataclass(frozen=True)
class Job:
    """One unit of work.

    Attributes
    ----------
    key : str
        Names it, in the folder and in tables; no two jobs share one.
    call : callable
        A function of a module, so that another process can import it; returns a dict of plain
        data.
    args : tuple
        Its arguments.
    """

    key: str
    call: Callable[..., Mapping[str, Any]]
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What jobs gave.

    Attributes
    ----------
    results : dict of str to dict
        By key, in the order of the jobs.
    failures : dict of str to str
        The error of each job that failed, by key.
    """

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def _guarded(job: Job) -> tuple[dict[str, Any] | None, str]:
    try:
        return dict(job.call(*job.args)), ""
    except Exception as error:  # whatever it is, the other jobs go on
        logger.debug("%s", traceback.format_exc())
        return None, f"{type(error).__name__}: {error}"


class _Here:
    """A pool that is this process."""

    def run(self, calls: Sequence[Call]) -> Generator[tuple[int, Any], None, None]:
        for number, (function, args) in enumerate(calls):
            yield number, single_threaded(function, *args)


def run_jobs(
    jobs: Sequence[Job],
    folder: UnitFolder,
    *,
    processes: int = 1,
    progress: Progress | None = None,
    pool: Pool | None = None,
    landed: Callable[[str, dict[str, Any]], None] | None = None,
) -> Outcome:
    """Run jobs, or those of them that a folder does not hold yet.

    Parameters
    ----------
    jobs : sequence of Job
        They run in this order; results do not depend on it.
    folder : UnitFolder
        Results are kept there as they come. A run that was interrupted, or killed, goes on from
        them; jobs that failed are tried again.
    processes : int
        Processes on this machine; 1 is this one.
    progress : callable, optional
        Called as ``progress(text, done, total)``.
    pool : Pool, optional
        Where they run, in place of ``processes``: see :mod:`brain_lnp.pool`.
    landed : callable, optional
        Called as ``landed(key, result)`` with every result, those kept before included.

    Returns
    -------
    Outcome
        A job that failed, or over which its process died, is listed there and does not stop the
        others.

    Raises
    ------
    ParameterError
        For two jobs of one key, or a number of processes below 1.
    """
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise ParameterError("processes", "a whole number of at least 1", processes)
    keys = [job.key for job in jobs]
    if len(set(keys)) < len(keys):
        twice = next(key for k, key in enumerate(keys) if key in keys[:k])
        raise ParameterError("jobs", "a key of its own for each", twice)
    tell = progress or (lambda text, done, total: None)
    note = landed or (lambda key, result: None)
    results: dict[str, dict[str, Any]] = {}
    for key in keys:
        if (kept := folder.kept(key)) is not None:
            results[key] = kept
            note(key, kept)
    failures: dict[str, str] = {}
    done = len(results)
    tell(f"{done} done before", done, len(jobs))
    open_ = [job for job in jobs if job.key not in results]
    # With several processes asked for, one open job runs in one of its own too: it may die.
    here = pool is None and processes == 1
    where = _Here() if here else pool or Processes(processes)
    # Closed at once where something fails here: no worker computes on for nobody.
    with closing(where.run([(_guarded, (job,)) for job in open_])) as finished:
        for number, found in finished:
            key, done = open_[number].key, done + 1
            result, why = (None, found.why) if isinstance(found, Died) else found
            if result is None:
                failures[key] = why
                logger.warning("%s failed: %s", key, why)
                tell(f"{key} failed: {why}", done, len(jobs))
                continue
            folder.store(key, result)
            results[key] = folder.fetch(key)
            note(key, results[key])
            tell(key, done, len(jobs))
    ordered = {key: results[key] for key in keys if key in results}
    return Outcome(ordered, {key: failures[key] for key in keys if key in failures})
