"""Sweeps: the same on any workers, resumed after any end, failures listed, means over seeds."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brain_lnp.cli import main
from brain_lnp.experiment import run_experiment
from brain_lnp.pool import DaskWorkers
from brain_lnp.runfolder import RunFolder
from brain_lnp.sweep import SweepResult, run_sweep
from brain_lnp.sweepfile import Sweep, parse_sweep
from models_eq.errors import ParameterError

ROOT = Path(__file__).resolve().parents[1]
TEXT = """
[sweep]
name = "tiny"
seeds = [3, 5]
[base.experiment]
device = "numpy"
[base.network]
n = 30
[base.prune]
methods = ["dense", "random"]
synapses = [0.5]
[[base.tasks]]
name = "lorenz63"
horizon = 2
washout = 20
n_train = 80
n_validation = 30
n_test = 40
[grid]
network.n = [30, 40]
"""
# A network that nothing drives fails: it does not spike.
SILENT = 'network.i_ext = [{kind = "uniform", low = 0.6, high = 1.3}, 0.0]\n'
QUIET = TEXT.replace("n_test = 40", "n_test = 40\ninput_sd = 0.0").replace("[30, 40]", "[30]")


@pytest.fixture(scope="module")
def tiny() -> Sweep:
    return parse_sweep(TEXT)


@pytest.fixture(scope="module")
def finished(tiny: Sweep, tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    return run_sweep(tiny, tmp_path_factory.mktemp("sweep") / "one", jobs=1)


def copied(finished: SweepResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


def results(folder: Path) -> bytes:
    return (folder / "results.json").read_bytes()


def kill_once(work: Any, folder: str) -> Any:
    """As a worker does, but the first worker that comes here dies, its work half done."""
    from brain_lnp.sweep import run_point

    marker = Path(folder).parent / "died"
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return run_point(work, folder)


# -- what comes out --------------------------------------------------------------------------------


def test_a_row_is_what_the_experiment_says(
    tiny: Sweep, finished: SweepResult, tmp_path: Path
) -> None:
    assert len(finished.rows) == 2 * 2 * 2 and not finished.failures
    point = tiny.points()[1]
    alone = run_experiment(tiny.experiment(point, 5), tmp_path / "run", jobs=1)
    mine = [row for row in finished.rows if (row["point"], row["seed"]) == (2, 5)]
    for row, wanted in zip(mine, alone.rows, strict=True):
        assert row == {"point": 2, "network.n": 40, **wanted}


def test_means_and_standard_errors_are_over_seeds(finished: SweepResult) -> None:
    assert len(finished.summary) == 4
    for entry in finished.summary:
        a, b = (
            row["error"]
            for row in finished.rows
            if (row["point"], row["method"]) == (entry["point"], entry["method"])
        )
        assert entry["seeds"] == 2
        assert entry["error_mean"] == pytest.approx((a + b) / 2)
        # sqrt(((a - m)^2 + (b - m)^2) / 1) / sqrt(2)
        assert entry["error_stderr"] == pytest.approx(abs(a - b) / 2)
        assert entry["network.n"] == entry["n_neurons_mean"]
    assert {(b["point"], b["seeds"]) for b in finished.baselines} == {(1, 2), (2, 2)}


def test_the_files_hold_the_tables(finished: SweepResult) -> None:
    data = json.loads(results(finished.folder))
    assert (data["experiments"], data["finished"], data["failures"]) == (4, 4, [])
    assert (data["rows"], data["summary"]) == (finished.rows, finished.summary)
    for name, rows in (("results.csv", finished.summary), ("rows.csv", finished.rows)):
        with (finished.folder / name).open(newline="") as file:
            table = list(csv.DictReader(file))
        assert [row["network.n"] for row in table] == [str(row["network.n"]) for row in rows]
    with (finished.folder / "results.csv").open(newline="") as file:
        shown = [float(row["error_mean"]) for row in csv.DictReader(file)]
    assert shown == [row["error_mean"] for row in finished.summary]
    assert len(list((finished.folder / "runs").iterdir())) == 4


# -- where it runs ---------------------------------------------------------------------------------


@pytest.fixture
def clients() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None
    ) as cluster:
        with distributed.Client(cluster, set_as_default=False) as client:
            yield client


def test_two_processes_find_what_one_does(
    tiny: Sweep, finished: SweepResult, tmp_path: Path
) -> None:
    assert results(run_sweep(tiny, tmp_path / "two", jobs=2).folder) == results(finished.folder)


def test_a_cluster_finds_what_one_process_does(
    tiny: Sweep, finished: SweepResult, tmp_path: Path, clients: Any
) -> None:
    found = run_sweep(tiny, tmp_path / "dask", pool=DaskWorkers(clients))
    assert results(found.folder) == results(finished.folder)


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_killed_worker_changes_nothing(
    tiny: Sweep, finished: SweepResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_lnp.sweep.run_point", kill_once)
    found = run_sweep(tiny, tmp_path / "killed", jobs=2)
    assert (tmp_path / "died").exists() and not found.failures
    assert results(found.folder) == results(finished.folder)


def test_a_worker_that_does_not_see_the_folder_works_aside(
    tiny: Sweep, finished: SweepResult, tmp_path: Path
) -> None:
    from brain_lnp.sweep import _Work, run_point

    found = run_point(_Work(tiny, tiny.points()[0], 3), str(tmp_path / "elsewhere"))
    assert [{"point": 1, "network.n": 30, **row} for row in found["rows"]] == finished.rows[:2]
    assert not list(tmp_path.iterdir())
    assert found["rows"] != finished.rows[2:4]


def test_a_run_folder_in_use_does_not_hold_a_worker_up(
    tiny: Sweep, finished: SweepResult, tmp_path: Path
) -> None:
    from brain_lnp.sweep import _key, _Work, run_point

    folder, point = copied(finished, tmp_path), tiny.points()[0]
    with RunFolder(folder / "runs" / _key(point, 3), tiny.experiment(point, 3)):
        found = run_point(_Work(tiny, point, 3), str(folder))
    assert [{"point": 1, "network.n": 30, **row} for row in found["rows"]] == finished.rows[:2]


# -- resuming --------------------------------------------------------------------------------------


class NoPool:
    """A pool that may compute only so much."""

    def __init__(self, allowed: int = 0) -> None:
        self.left = allowed

    def run(self, calls: Any) -> Any:
        for number, (function, args) in enumerate(calls):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield number, function(*args)


def test_a_finished_sweep_computes_nothing(
    tiny: Sweep, finished: SweepResult, tmp_path: Path
) -> None:
    again = run_sweep(tiny, copied(finished, tmp_path), pool=NoPool())
    assert (again.rows, again.summary) == (finished.rows, finished.summary)


def test_an_interrupted_sweep_keeps_what_is_done(
    tiny: Sweep, finished: SweepResult, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_sweep(tiny, tmp_path / "s", pool=NoPool(2))
    part = json.loads(results(tmp_path / "s"))
    # Both points for the first seed: a look at the whole comes before more of it.
    assert part["finished"] == 2 and {row["seed"] for row in part["rows"]} == {3}
    with pytest.raises(KeyboardInterrupt):
        run_sweep(tiny, tmp_path / "s", pool=NoPool(1))
    run_sweep(tiny, tmp_path / "s", pool=NoPool(1))
    assert results(tmp_path / "s") == results(finished.folder)


def test_a_sweep_that_has_grown_computes_what_is_new(finished: SweepResult, tmp_path: Path) -> None:
    folder = copied(finished, tmp_path)
    wider = parse_sweep(TEXT.replace("[30, 40]", "[50, 40, 30]"))
    grown = run_sweep(wider, folder, pool=NoPool(2))
    assert [row["network.n"] for row in grown.rows[4:]] == [40] * 4 + [30] * 4
    kept = {(r["network.n"], r["seed"], r["method"]): r["error"] for r in finished.rows}
    assert {(r["network.n"], r["seed"], r["method"]): r["error"] for r in grown.rows[4:]} == kept
    other = parse_sweep(TEXT.replace("n = 30", "n = 31"))
    with pytest.raises(ParameterError, match="a sweep of the same base experiment"):
        run_sweep(other, folder, pool=NoPool())


def test_a_damaged_result_is_computed_again(
    tiny: Sweep, finished: SweepResult, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path)
    unit = next((folder / "units").iterdir())
    unit.write_bytes(unit.read_bytes()[:50])
    run_sweep(tiny, folder, pool=NoPool(1))
    assert results(folder) == results(finished.folder)


def test_failures_are_listed_and_tried_again(tmp_path: Path) -> None:
    sweep = parse_sweep(QUIET + SILENT)
    found = run_sweep(sweep, tmp_path / "s", pool=NoPool(4))
    assert {row["point"] for row in found.summary} == {1}
    assert [(f["point"], f["seed"], f["network.i_ext"]) for f in found.failures] == [
        (2, 3, 0.0), (2, 5, 0.0),
    ]  # fmt: skip
    assert all("SilentNetworkError" in f["error"] for f in found.failures)
    assert json.loads(results(tmp_path / "s"))["failures"] == found.failures
    assert run_sweep(sweep, tmp_path / "s", pool=NoPool(2)).failures == found.failures


def test_runs_are_not_kept_where_they_are_not_wanted(tmp_path: Path) -> None:
    text = TEXT.replace("seeds = [3, 5]", "seeds = [3]\nkeep_runs = false")
    found = run_sweep(parse_sweep(text), tmp_path / "s", pool=NoPool(2))
    assert len(found.rows) == 4 and not list((tmp_path / "s" / "runs").iterdir())


# -- the command line ------------------------------------------------------------------------------


def command(folder: Path, *more: str) -> list[str]:
    (folder / "sweep.toml").write_text(TEXT)
    given = ["sweep", str(folder / "sweep.toml"), "-o", str(folder / "out"), *more]
    return [sys.executable, "-m", "brain_lnp", *given]


@pytest.mark.parametrize("name", [pytest.param("SIGKILL", marks=pytest.mark.slow), "SIGTERM"])
def test_a_sweep_ended_from_outside_goes_on(
    name: str, finished: SweepResult, tmp_path: Path
) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command(tmp_path, "--jobs", "2"), env=env, stderr=subprocess.PIPE)
    begun = time.monotonic()
    while not list((tmp_path / "out" / "units").glob("*.json")):
        assert time.monotonic() - begun < 300 and child.poll() is None
        time.sleep(0.02)
    child.send_signal(getattr(signal, name))
    told = child.communicate(timeout=120)[1].decode()
    if name == "SIGTERM" and child.returncode != 0:  # 0: it was quicker
        assert child.returncode == 143 and "terminated: run the same command again" in told
        assert not (tmp_path / "out" / "run.lock").exists()
    assert main(command(tmp_path, "--jobs", "1", "-q")[3:]) == 0
    assert results(tmp_path / "out") == results(finished.folder)


def test_the_verb_prints_a_table_or_json(
    finished: SweepResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a narrow terminal the names of columns are cut.
    monkeypatch.setenv("COLUMNS", "200")
    argv = command(tmp_path, "-q")[3:]
    shutil.copytree(finished.folder, tmp_path / "out")
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "network.n" in out and f"{finished.summary[0]['error_mean']:.4g}" in out
    assert main([*argv, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["summary"] == finished.summary and data["failures"] == []


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (["--dask", "tcp://127.0.0.1:1", "--slurm", "2"], "slurm"),
        (["--device", "abacus"], "device"),
    ],
)
def test_wrong_options_are_one_line(
    more: list[str], field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command(tmp_path)[3:], *more]) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith(f"error: {field}: expected") and "\n" not in err
    assert not (tmp_path / "out").exists()
