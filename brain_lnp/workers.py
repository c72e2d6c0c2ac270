"""Independent calls in processes of this machine, and jobs whose results are kept as they come."""

from __future__ import annotations

import gc
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from joblib import Parallel, parallel_config
from threadpoolctl import threadpool_limits  # type: ignore[import]

from brain_lnp.unitfolder import UnitFolder
from models_eq.errors import ParameterError

logger = logging.getLogger("brain_lnp.workers")

Progress = Callable[[str, int, int], None]
Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_settled = False


def _in_worker(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function in a worker process, made ready once."""
    global _settled
    if not _settled:
        # Brian2 collects garbage before every run, which takes longer than a short run where
        # hundreds of thousands of objects of imported modules are looked through each time.
        gc.freeze()
        _settled = True
    return function(*args, **kwargs)


def run_calls(calls: Sequence[Call], processes: int) -> Iterator[Any]:
    """Results of calls, as of ``joblib.delayed``, in the order in which they come.

    Parameters
    ----------
    calls : sequence of (function, args, kwargs)
    processes : int
        1 runs them here, one after the other.
    """
    if processes == 1 or len(calls) < 2:
        for function, args, kwargs in calls:
            # As in processes of their own: sums differ in their last digits with the number
            # of threads, and results must not depend on the number of processes.
            with threadpool_limits(limits=1):
                done = function(*args, **kwargs)
            yield done
        return
    # One BLAS thread a process: more would fight for the same cores.
    wrapped = [(_in_worker, (function, *args), kwargs) for function, args, kwargs in calls]
    with parallel_config(backend="loky", inner_max_num_threads=1):
        yield from Parallel(n_jobs=processes, return_as="generator_unordered")(wrapped)


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


def _guarded(job: Job) -> tuple[str, dict[str, Any] | None, str]:
    try:
        return job.key, dict(job.call(*job.args)), ""
    except Exception as error:  # whatever it is, the other jobs go on
        logger.debug("%s", traceback.format_exc())
        return job.key, None, f"{type(error).__name__}: {error}"


def run_jobs(
    jobs: Sequence[Job],
    folder: UnitFolder,
    *,
    processes: int = 1,
    progress: Progress | None = None,
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
        Processes on this machine.
    progress : callable, optional
        Called as ``progress(text, done, total)``.

    Returns
    -------
    Outcome
        A job that failed is listed there and does not stop the others.

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
    results = {key: folder.fetch(key) for key in keys if folder.done(key)}
    failures: dict[str, str] = {}
    done = len(results)
    tell(f"{done} done before", done, len(jobs))
    open_ = [job for job in jobs if job.key not in results]
    for key, found, why in run_calls([(_guarded, (job,), {}) for job in open_], processes):
        done += 1
        if found is None:
            failures[key] = why
            logger.warning("%s failed: %s", key, why)
            tell(f"{key} failed: {why}", done, len(jobs))
            continue
        folder.store(key, found)
        results[key] = folder.fetch(key)
        tell(key, done, len(jobs))
    ordered = {key: results[key] for key in keys if key in results}
    return Outcome(ordered, {key: failures[key] for key in keys if key in failures})
