"""Jobs: kept as they come, resumed, failures listed, the same on any number of processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from brain_lnp.unitfolder import UnitFolder
from brain_lnp.workers import Job, run_jobs
from models_eq.errors import FormatError, ParameterError


def square(x: float, log: str) -> dict[str, float]:
    """Write down that it was called, and square."""
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{x:g}\n")
    return {"x": x, "square": x * x}


def fails(x: float) -> dict[str, float]:
    raise ValueError(f"{x:g} is no good")


def folder(path: Path, digest: str = "d") -> UnitFolder:
    return UnitFolder(path, "brain_lnp study", "squares", digest)


def jobs(tmp_path: Path) -> list[Job]:
    return [Job(f"n{x}", square, (float(x), str(tmp_path / "log"))) for x in range(4)]


def calls(tmp_path: Path) -> list[str]:
    return sorted((tmp_path / "log").read_text().split())


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_kept_and_not_computed_twice(processes, tmp_path):
    told: list[tuple[str, int, int]] = []
    with folder(tmp_path / "run") as run:
        first = run_jobs(jobs(tmp_path)[:2], run)
    with folder(tmp_path / "run") as run:
        whole = run_jobs(
            jobs(tmp_path), run, processes=processes, progress=lambda *args: told.append(args)
        )
    assert calls(tmp_path) == ["0", "1", "2", "3"], "each once"
    assert list(whole.results) == ["n0", "n1", "n2", "n3"] and not whole.failures
    assert whole.results["n3"] == {"x": 3.0, "square": 9.0}
    assert first.results == {k: whole.results[k] for k in ("n0", "n1")}
    assert told[0] == ("2 done before", 2, 4) and sorted(t[1] for t in told) == [2, 3, 4]


def test_a_failure_is_listed_and_does_not_stop_the_rest(tmp_path):
    some = [Job("bad", fails, (3.0,)), *jobs(tmp_path)]
    with folder(tmp_path / "run") as run:
        out = run_jobs(some, run)
        assert out.failures == {"bad": "ValueError: 3 is no good"} and len(out.results) == 4
        again = run_jobs(some, run)
    assert again.failures == out.failures and calls(tmp_path) == ["0", "1", "2", "3"]


def test_an_interruption_keeps_what_is_done(tmp_path):
    def stop(text: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), folder(tmp_path / "run") as run:
        run_jobs(jobs(tmp_path), run, progress=stop)
    with folder(tmp_path / "run") as run:
        assert len(run_jobs(jobs(tmp_path), run).results) == 4
    assert calls(tmp_path) == ["0", "1", "2", "3"]


def test_what_is_refused(tmp_path):
    with folder(tmp_path / "run") as run:
        with pytest.raises(ParameterError, match=r"jobs.*n0"):
            run_jobs([*jobs(tmp_path), *jobs(tmp_path)], run)
        with pytest.raises(ParameterError, match="processes"):
            run_jobs([], run, processes=0)
        with pytest.raises(ParameterError, match="not in use"):
            folder(tmp_path / "run")
    with pytest.raises(ParameterError, match="another configuration"):
        folder(tmp_path / "run", digest="e")
    with pytest.raises(FormatError, match="marker"):
        UnitFolder(tmp_path / "run", "brain_lnp run", "squares", "d")
