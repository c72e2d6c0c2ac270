"""Pools of worker processes: those of this machine, and those of a Dask cluster.

``joblib.Parallel`` gives up every call when one worker dies. A sweep of a thousand experiments must
not, so these work with joblib's own executor (loky) and with Dask one future at a time.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from joblib.externals.loky import get_reusable_executor
from threadpoolctl import threadpool_limits  # type: ignore[import]

from models_eq.errors import MissingFileError, ParameterError

Call = tuple[Callable[..., Any], tuple[Any, ...]]

# More threads than one a process would fight for the same cores, and sums differ in their last
# digits with the number of threads, while results must not depend on the number of workers.
ONE_THREAD = {
    f"{name}_NUM_THREADS": "1"
    for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR", "NUMBA")
}
_LOOK_S = 0.3  # how often a worker looks whether its parent lives
_IDLE_S = 300  # idle workers end after this time


@dataclass(frozen=True)
class Died:
    """In place of a result: the worker that computed it died, again and again."""

    why: str


class Pool(Protocol):
    """Where calls are computed."""

    def run(self, calls: Sequence[Call]) -> Generator[tuple[int, Any], None, None]:
        """Yield the number of each call with its result, or :class:`Died`, as they come."""


def single_threaded(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function with one thread for linear algebra."""
    with threadpool_limits(limits=1):
        return function(*args)


# -- processes of this machine -------------------------------------------------------------------


def _prepare(parent: int) -> None:
    """Make a fresh worker ready."""
    # Brian2 collects garbage before every run, which takes longer than a short run where hundreds
    # of thousands of objects of imported modules are looked through each time.
    gc.freeze()
    if os.name != "posix":
        return
    # A group of its own: Ctrl-C in a terminal reaches the parent alone, which ends its workers.
    with suppress(OSError):
        os.setpgid(0, 0)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End this worker, and what it started, when its parent is gone.

    A parent that is killed (SIGKILL, out of memory) cannot end its workers; they would compute on
    and keep the folder of their run in use.
    """
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    with suppress(OSError):
        if os.getpgid(0) == os.getpid():
            os.killpg(0, 9)
    os._exit(1)


class Processes:
    """Worker processes of this machine.

    Parameters
    ----------
    count : int
        How many, each with one thread for linear algebra.

    Raises
    ------
    ParameterError
        For a count below 1.

    Notes
    -----
    When a worker dies, the calls that were being computed are computed again, each alone in a
    process, so that the one to blame is known: if it dies again it yields :class:`Died`, and the
    others go on. Workers end with their parent, however it ends.
    """

    def __init__(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ParameterError("processes", "a whole number of at least 1", count)
        self.count = count

    def run(self, calls: Sequence[Call]) -> Generator[tuple[int, Any], None, None]:
        """Yield the number of each call with its result; an exception of a call is raised."""
        waiting, suspects = deque(range(len(calls))), deque[int]()
        flying: dict[Future[Any], int] = {}
        alone = False
        try:
            while waiting or suspects or flying:
                if not flying:
                    alone = bool(suspects)
                # Never more than can run: a death is due to something that is in flight.
                source, room = (suspects, 1) if alone else (waiting, self.count)
                while source and len(flying) < room:
                    number = source.popleft()
                    flying[self._submit(calls[number])] = number
                done, _ = wait(flying, return_when=FIRST_COMPLETED)
                broken = [f for f in done if isinstance(f.exception(), BrokenExecutor)]
                for future in done.difference(broken):
                    yield flying.pop(future), future.result()
                if not broken:
                    continue
                lost = sorted(flying.values())
                flying.clear()
                if not alone:
                    suspects.extend(lost)
                    continue
                for number in lost:
                    yield number, Died(_shown(broken[0].exception()))
        except BaseException:
            self._executor().shutdown(wait=True, kill_workers=True)
            raise

    def _executor(self) -> Any:
        return get_reusable_executor(
            max_workers=self.count, timeout=_IDLE_S, initializer=_prepare,
            initargs=(os.getpid(),), env=ONE_THREAD,
        )  # fmt: skip

    def _submit(self, call: Call) -> Future[Any]:
        function, args = call
        try:
            return self._executor().submit(single_threaded, function, *args)
        except BrokenExecutor:  # one died while it was idle; the next executor is a new one
            return self._executor().submit(single_threaded, function, *args)


def _shown(error: BaseException | None) -> str:
    """What is known of a death, in one line."""
    text = " ".join(str(error).split())
    what = text[text.index("exit codes") :] if "exit codes" in text else ""
    return f"its worker process died twice (killed, or out of memory?) {what}".strip()


# -- Dask ----------------------------------------------------------------------------------------

_ALONE = threading.Lock()


def _one_at_a_time(packed: bytes) -> Any:
    """Call in a Dask worker: Brian2 keeps its device in a global, so threads take turns."""
    with _ALONE:
        _import_brian2()
        function, args = pickle.loads(packed)  # of our own sending
        return single_threaded(function, *args)


def _import_brian2() -> None:
    """Import Brian2, which takes Ctrl-C for itself, where that is refused: in a thread of Dask."""
    if threading.current_thread() is threading.main_thread() or "brian2" in sys.modules:
        return
    real = signal.signal
    signal.signal = lambda number, handler: signal.getsignal(number)  # type: ignore[assignment]
    try:
        importlib.import_module("brian2")
    finally:
        signal.signal = real


class DaskWorkers:
    """The workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        A connected client.

    Notes
    -----
    Calls of one worker process are computed one after the other, whatever its number of threads.
    A call whose worker died is computed again elsewhere, as often as Dask's setting
    ``distributed.scheduler.allowed-failures`` says; then it yields :class:`Died`.
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, calls: Sequence[Call]) -> Generator[tuple[int, Any], None, None]:
        """Yield the number of each call with its result; an exception of a call is raised."""
        from distributed import as_completed

        sent: dict[Any, int] = {}
        suspects: list[tuple[int, str]] = []

        def send(number: int) -> Any:
            future = self.client.submit(_one_at_a_time, pickle.dumps(calls[number]), pure=False)
            sent[future] = number
            return future

        try:
            open_ = as_completed([send(k) for k in range(len(calls))], loop=self.client.loop)
            for future in open_:
                number = sent.pop(future)
                if (why := _given_up(future)) is None:
                    yield number, future.result()
                else:
                    suspects.append((number, why))
            # Dask also blames what waited at the worker that died: each once more, alone.
            for number, why in suspects:
                future = send(number)
                (future,) = as_completed([future], loop=self.client.loop)
                del sent[future]
                again = _given_up(future)
                yield number, future.result() if again is None else Died(again or why)
        finally:
            if sent:
                self.client.cancel(list(sent), force=True)


def _given_up(future: Any) -> str | None:
    """Why the cluster gave a call up, or None if it came to an end, be it an error of its own."""
    from distributed.scheduler import KilledWorker

    error = "cancelled" if future.cancelled() else future.exception()
    if error == "cancelled" or isinstance(error, KilledWorker):
        return f"the cluster gave it up: {' '.join(str(error).split())}"
    return None


def _distributed() -> None:
    try:
        import distributed  # noqa: F401
    except ImportError:
        hint = "pip install 'brain-lnp[cluster]'"
        raise MissingFileError("distributed", "the Dask packages", "none", hint) from None


@contextmanager
def dask_workers(address: str, timeout: float = 20.0) -> Iterator[DaskWorkers]:
    """Connect to a Dask cluster that runs already.

    Parameters
    ----------
    address : str
        Of its scheduler, such as ``"tcp://10.0.0.1:8786"``, or a scheduler file (``*.json``).
    timeout : float, s
        How long to wait for it.

    Raises
    ------
    ParameterError
        If there is no scheduler.
    MissingFileError
        If Dask is not installed, or for a scheduler file that does not exist.
    """
    _distributed()
    from distributed import Client

    hint = (
        "Start one with: dask scheduler (and, for each process, dask worker ADDRESS --nthreads 1)"
    )
    is_file = address.endswith(".json")
    if is_file and not os.path.isfile(address):
        raise MissingFileError("dask", "an existing scheduler file", address, hint)
    given = {"scheduler_file": address} if is_file else {"address": address}
    try:
        client = Client(**given, timeout=timeout, set_as_default=False)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        why = f"{address} ({' '.join(str(error).split()) or type(error).__name__})"
        raise ParameterError("dask", "the address of a running scheduler", why, hint) from None
    with client:
        yield DaskWorkers(client)


@contextmanager
def slurm_workers(jobs: int, options: dict[str, Any]) -> Iterator[DaskWorkers]:
    """Start workers as SLURM jobs and end them afterwards.

    Parameters
    ----------
    jobs : int
        How many jobs are asked for.
    options : dict
        Keyword arguments of ``dask_jobqueue.SLURMCluster``, such as ``queue``, ``account``,
        ``memory`` and ``walltime``. Left out, a job is one process of one core and 4 GB.

    Raises
    ------
    ParameterError
        For options that SLURMCluster does not take, or where jobs cannot be submitted.
    MissingFileError
        If dask-jobqueue is not installed.
    """
    _distributed()
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        hint = "pip install 'brain-lnp[cluster]'"
        raise MissingFileError("dask_jobqueue", "dask-jobqueue", "none", hint) from None
    from distributed import Client

    given = {"cores": 1, "processes": 1, "memory": "4 GB", **options}
    exports = [f"export {name}={value}" for name, value in ONE_THREAD.items()]
    given["job_script_prologue"] = [*given.get("job_script_prologue", []), *exports]
    try:
        cluster = SLURMCluster(**given)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise ParameterError("cluster.options", "options of SLURMCluster", why) from None
    with cluster, Client(cluster, set_as_default=False) as client:
        # Adaptive: a job that ended (time limit, dead node) is asked for again.
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
        yield DaskWorkers(client)
