"""Pools: every call once, a worker that dies harms no other call, and none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from joblib import delayed
from threadpoolctl import threadpool_info

from brain_lnp.pool import DaskWorkers, Died, Processes, dask_workers, slurm_workers
from brain_lnp.workers import run_calls
from models_eq.errors import MissingFileError, ParameterError, WorkerError

ROOT = Path(__file__).resolve().parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="processes are told apart by POSIX means")


def square(x: int) -> int:
    return x * x


def slow_square(x: int) -> int:
    time.sleep(3.0)
    return x * x


def die(x: int, times: int, folder: str) -> int:
    """Kill the worker this runs in, the first ``times`` times; then square."""
    before = len(list(Path(folder).glob(f"died{x}-*")))
    if before < times:
        (Path(folder) / f"died{x}-{before}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x * x


def raises(x: int) -> int:
    raise ValueError(f"{x} is no good")


def threads() -> set[int]:
    import numpy as np

    np.linalg.eigvals(np.eye(3))
    return {pool["num_threads"] for pool in threadpool_info()}


def brian2_is_there() -> str:
    """Draw a network: what needs Brian2, which refuses to be imported in a thread."""
    from models_eq.spec import HRSNNSpec, sample_hrsnn

    return sample_hrsnn(HRSNNSpec(n=20), seed=1).digest


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as found:
            yield found


@pytest.fixture(params=["processes", "dask"])
def pool(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "processes":
        yield Processes(2)
        return
    from distributed import Client

    with Client(request.getfixturevalue("cluster"), set_as_default=False) as client:
        yield DaskWorkers(client)


# -- the same for every pool -----------------------------------------------------------------------


def test_every_call_is_answered_once(pool: Any) -> None:
    found = list(pool.run([(square, (x,)) for x in range(7)]))
    assert sorted(found) == [(x, x * x) for x in range(7)]
    assert list(pool.run([])) == []


def test_a_worker_that_dies_once_costs_nothing(pool: Any, tmp_path: Path) -> None:
    calls = [(die, (x, int(x == 2), str(tmp_path))) for x in range(6)]
    assert sorted(pool.run(calls)) == [(x, x * x) for x in range(6)]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_call_that_kills_every_worker_is_named_alone(pool: Any, tmp_path: Path) -> None:
    calls = [(die, (x, 99 if x == 1 else 0, str(tmp_path))) for x in range(6)]
    found = dict(pool.run(calls))
    assert isinstance(found.pop(1), Died)
    assert found == {x: x * x for x in range(6) if x != 1}


def test_a_worker_has_one_thread(pool: Any) -> None:
    assert dict(pool.run([(threads, ())] * 2)) == {0: {1}, 1: {1}}


def test_brian2_can_be_used(pool: Any) -> None:
    found = dict(pool.run([(brian2_is_there, ())] * 2))
    assert found == {0: brian2_is_there(), 1: brian2_is_there()}


def test_an_exception_is_raised_by_processes() -> None:
    with pytest.raises(ValueError, match="3 is no good"):
        list(Processes(2).run([(raises, (3,))]))


# -- processes -------------------------------------------------------------------------------------


@posix
def test_a_call_between_those_that_kill_is_not_blamed(tmp_path: Path) -> None:
    # The first flies together with one that kills.
    calls = [(die, (x, 99 if x == 1 else 0, str(tmp_path))) for x in range(3)]
    found = dict(Processes(2).run([(slow_square, (0,)), *calls[1:]]))
    assert {x for x, value in found.items() if isinstance(value, Died)} == {1}
    found[0] = found[1]
    assert "died" in found[0].why and "SIGKILL" in found[0].why


@posix
def test_run_calls_says_that_a_worker_died(tmp_path: Path) -> None:
    calls = [delayed(die)(x, 99 * (x == 0), str(tmp_path)) for x in range(2)]
    with pytest.raises(WorkerError, match="Try fewer processes"):
        list(run_calls(calls, 2))


def test_closing_early_ends_the_workers(tmp_path: Path) -> None:
    calls = [(square, (0,)), (wait_long, (str(tmp_path),))]
    with closing(Processes(2).run(calls)) as finished:
        assert next(finished) == (0, 0)
        begun = time.monotonic()
        while not list(tmp_path.iterdir()):
            assert time.monotonic() - begun < 60
            time.sleep(0.05)
    (pid,) = (int(p.name) for p in tmp_path.iterdir())
    assert gone(pid)


@pytest.mark.parametrize("count", [0, -1, True, 1.5])
def test_a_count_that_is_none(count: Any) -> None:
    with pytest.raises(ParameterError, match="processes"):
        Processes(count)


def wait_long(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def gone(pid: int, seconds: float = 20.0) -> bool:
    """Whether a process ends within some time; one that nobody waits for counts as ended."""
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


PARENT = """
import sys
from brain_lnp.pool import Processes
from brain_lnp.cli_options import restore_interrupt
from tests.test_pool import wait_long
restore_interrupt()
list(Processes(2).run([(wait_long, (sys.argv[1],))] * 2))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_no_worker_outlives_its_parent(name: str, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], env=env, stderr=subprocess.DEVNULL
    )
    try:
        begun = time.monotonic()
        while len(list(tmp_path.iterdir())) < 2:
            assert time.monotonic() - begun < 120 and parent.poll() is None
            time.sleep(0.05)
        workers = [int(path.name) for path in tmp_path.iterdir()]
        assert not any(gone(pid, 0.1) for pid in workers), "so the check can fail"
        parent.send_signal(getattr(signal, name))
        assert parent.wait(60) != 0
        assert all(gone(pid) for pid in workers)
    finally:
        parent.kill()


# -- clusters --------------------------------------------------------------------------------------


def test_a_cluster_by_its_address_or_file(cluster: Any, tmp_path: Path) -> None:
    with dask_workers(cluster.scheduler_address) as pool:
        assert list(pool.run([(square, (3,))])) == [(0, 9)]
    file = tmp_path / "scheduler.json"
    with pytest.raises(MissingFileError, match="scheduler file"), dask_workers(str(file)):
        pass


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1"])
def test_no_cluster_at_an_address(address: str) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ParameterError, match="dask scheduler"), dask_workers(address, timeout=1):
        pass


SBATCH = """#!/bin/sh
cp "$1" "$FAKE_SLURM/script"
setsid bash "$FAKE_SLURM/script" > "$FAKE_SLURM/log" 2>&1 &
echo $! >> "$FAKE_SLURM/pids"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -- "-$job" 2> /dev/null; done
"""


@pytest.mark.slow
@posix
def test_slurm_jobs_are_submitted_used_and_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for SLURM runs the job script that SLURM would be given."""
    pytest.importorskip("dask_jobqueue")
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    options = {"queue": "long", "walltime": "00:05:00", "interface": "lo", "log_directory": None}
    with slurm_workers(1, {k: v for k, v in options.items() if v}) as pool:
        assert sorted(pool.run([(square, (x,)) for x in range(3)])) == [(0, 0), (1, 1), (2, 4)]
        assert dict(pool.run([(threads, ())])) == {0: {1}}
    script = (tmp_path / "script").read_text()
    assert "#SBATCH -p long" in script and "export OPENBLAS_NUM_THREADS=1" in script
    assert all(gone(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_options_that_slurm_does_not_take() -> None:
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(ParameterError, match=r"cluster\.options"):
        with slurm_workers(1, {"colour": "blue"}):
            pass
