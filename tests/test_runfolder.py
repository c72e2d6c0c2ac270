"""Run folders: what is recorded, resuming, one run at a time, damaged units."""

from __future__ import annotations

import csv
import getpass
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from brain_lnp import runfolder
from brain_lnp.config import Experiment, parse_experiment
from brain_lnp.environment import commit_of, environment
from brain_lnp.lock import started
from brain_lnp.runfolder import RunFolder
from models_eq.errors import FormatError, MissingFileError, ParameterError
from models_eq.hrsnn import HRSNN

TEXT = """
[experiment]
name = "tiny"
[network]
n = 50
[prune]
methods = ["dense"]
[[tasks]]
name = "digits"
"""


@pytest.fixture
def experiment() -> Experiment:
    return parse_experiment(TEXT)


def names(path: Path) -> set[str]:
    return {p.name for p in path.iterdir()}


def test_what_a_new_folder_holds(tmp_path: Path, experiment: Experiment) -> None:
    path = tmp_path / "deep" / "run"
    with RunFolder(path, experiment) as run:
        assert "run.lock" in names(path)
        run.write_results([{"a": 1}])
    files = {"run.json", "config.toml", "environment.json", "units", "networks"}
    assert names(path) == files | {"results.json", "results.csv"}
    assert parse_experiment((path / "config.toml").read_text()).digest == experiment.digest
    assert json.loads((path / "run.json").read_text())["digest"] == experiment.digest


def test_the_environment_tells_versions_and_no_names() -> None:
    data = environment("numpy")
    assert data["dependencies"]["numpy"] == np.__version__ and data["device"] == "numpy"
    assert data["processors"] == os.cpu_count()
    text = json.dumps(data)
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert str(Path(runfolder.__file__).parent) not in text
    for private in (socket.gethostname(), getpass.getuser() if os.environ.get("USER") else ""):
        assert not private or f'"{private}"' not in text


def test_the_commit_is_read_from_the_checkout(tmp_path: Path) -> None:
    git, commit = tmp_path / ".git", "0123456789abcdef" * 2 + "01234567"
    assert commit_of(git) is None
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    assert commit_of(git) is None
    (git / "packed-refs").write_text(f"# pack-refs\n{commit} refs/heads/main\n")
    assert commit_of(git) == commit
    (git / "refs" / "heads" / "main").write_text("f" * 40 + "\n")
    assert commit_of(git) == "f" * 40
    (git / "HEAD").write_text(commit)
    assert commit_of(git) == commit
    (git / "HEAD").write_text("nonsense")
    assert commit_of(git) is None


def test_an_interrupted_run_resumes(tmp_path: Path, experiment: Experiment) -> None:
    with pytest.raises(KeyboardInterrupt), RunFolder(tmp_path / "run", experiment) as run:
        run.store("seed=0/dense", {"error": np.float64(0.5), "rates": np.arange(3)})
        raise KeyboardInterrupt
    with RunFolder(tmp_path / "run", parse_experiment(TEXT + "[output]\nfigures = false")) as run:
        assert run.done("seed=0/dense") and not run.done("seed=1/dense")
        assert run.fetch("seed=0/dense") == {"error": 0.5, "rates": [0, 1, 2]}
        with pytest.raises(MissingFileError):
            run.fetch("seed=1/dense")


def test_foreign_folders_are_refused_and_untouched(tmp_path: Path, experiment: Experiment) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ParameterError, match=r"thesis\.tex"):
        RunFolder(tmp_path, experiment)
    assert names(tmp_path) == {"thesis.tex"}
    with pytest.raises(ParameterError, match="File exists"):
        RunFolder(tmp_path / "thesis.tex", experiment)


def test_another_configuration_is_refused(tmp_path: Path, experiment: Experiment) -> None:
    RunFolder(tmp_path / "run", experiment).close()
    before = (tmp_path / "run" / "config.toml").read_text()
    with pytest.raises(ParameterError, match="another configuration"):
        RunFolder(tmp_path / "run", parse_experiment(TEXT.replace("50", "51")))
    assert (tmp_path / "run" / "config.toml").read_text() == before
    assert "run.lock" not in names(tmp_path / "run")


@pytest.mark.parametrize(
    "marker", ["", "{", "[]", '{"format": "other"}', '{"format": "brain_lnp run", "version": 99}']
)
def test_damaged_markers(tmp_path: Path, experiment: Experiment, marker: str) -> None:
    (tmp_path / "run.json").write_text(marker)
    with pytest.raises(FormatError, match=r"run\.json"):
        RunFolder(tmp_path, experiment)
    assert names(tmp_path) == {"run.json"}


def test_a_folder_cut_off_at_its_marker_is_completed(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(device: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runfolder, "environment", fail)
    with pytest.raises(KeyboardInterrupt):
        RunFolder(tmp_path / "run", experiment)
    monkeypatch.undo()
    with RunFolder(tmp_path / "run", experiment) as run:
        run.store("a", {})
    assert (tmp_path / "run" / "environment.json").exists()


# -- one run at a time ---------------------------------------------------------------------------


def test_two_runs_in_one_folder(tmp_path: Path, experiment: Experiment) -> None:
    with RunFolder(tmp_path, experiment):
        with pytest.raises(ParameterError, match=f"process id {os.getpid()}"):
            RunFolder(tmp_path, experiment)
        assert "run.lock" in names(tmp_path)
    RunFolder(tmp_path, experiment).close()


def test_another_process_holds_the_folder(tmp_path: Path, experiment: Experiment) -> None:
    RunFolder(tmp_path, experiment).close()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        start = started(other.pid)
        lock = {"pid": other.pid, "start": start, "token": "x"}
        (tmp_path / "run.lock").write_text(json.dumps(lock))
        with pytest.raises(ParameterError, match=f"process id {other.pid}"):
            RunFolder(tmp_path, experiment)
    finally:
        other.communicate(b"\n")
    with RunFolder(tmp_path, experiment) as run:  # that process is gone now
        run.store("a", {"x": 1})


@pytest.mark.skipif(os.name != "posix", reason="stale locks are told by POSIX means")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": -1}', '{"pid": "x"}', "reused"])
def test_stale_locks_are_taken_over(
    tmp_path: Path, experiment: Experiment, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    if text == "reused":  # the number of a living process that began at another time
        text = json.dumps({"pid": os.getpid(), "start": "1", "token": "x"})
    RunFolder(tmp_path, experiment).close()
    (tmp_path / "run.lock").write_text(text)
    with caplog.at_level(logging.WARNING, "brain_lnp"), RunFolder(tmp_path, experiment):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    assert "Taking over" in caplog.text


def test_closing_leaves_the_lock_of_another_run(tmp_path: Path, experiment: Experiment) -> None:
    run = RunFolder(tmp_path, experiment)
    (tmp_path / "run.lock").write_text('{"pid": 1, "token": "other"}')
    run.close()
    run.close()
    assert "run.lock" in names(tmp_path)
    with pytest.raises(ParameterError, match="closed"):
        run.store("a", {})


# -- units, networks, results --------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "list", "renamed"])
def test_a_damaged_unit_is_reported_and_not_done(
    tmp_path: Path, experiment: Experiment, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    with RunFolder(tmp_path, experiment) as run:
        run.store("a", {"error": 0.125})
        run.store("b", {"error": 0.25})
        path = run._unit("a")
        text = path.read_text()
        changed = {
            "truncate": text[: len(text) // 2],
            "flip": text.replace("0.125", "0.135"),
            "empty": "",
            "list": "[1]",
            "renamed": run._unit("b").read_text(),
        }
        path.write_text(changed[damage])
        with caplog.at_level(logging.WARNING, "brain_lnp"):
            assert not run.done("a")
        assert path.name in caplog.text
        with pytest.raises(FormatError, match=path.name):
            run.fetch("a")
        run.store("a", {"error": 0.125})
        assert run.done("a") and run.done("b")


def test_keys_that_look_alike_stay_apart(tmp_path: Path, experiment: Experiment) -> None:
    keys = ["a/b", "a_b", "a b", "../../x", "A/B", "k" * 500, "k" * 501, "\u00fc"]
    with RunFolder(tmp_path / "run", experiment) as run:
        for k, key in enumerate(keys):
            run.store(key, {"k": k})
        assert [run.fetch(key)["k"] for key in keys] == list(range(len(keys)))
        assert len(names(tmp_path / "run" / "units")) == len(keys)
        for bad in ("", None, 3):
            with pytest.raises(ParameterError, match="key"):
                run.store(bad, {})  # type: ignore[arg-type]
    assert names(tmp_path) == {"run"}


@pytest.mark.parametrize("value", [float("nan"), np.inf, object(), {1, 2}, 1j])
def test_units_hold_finite_plain_data(
    tmp_path: Path, experiment: Experiment, value: object
) -> None:
    with RunFolder(tmp_path, experiment) as run:
        with pytest.raises(ParameterError, match="finite"):
            run.store("a", {"x": value})
        assert not run.done("a") and names(tmp_path / "units") == set()


def test_a_failed_write_leaves_nothing(
    tmp_path: Path, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with RunFolder(tmp_path, experiment) as run:
        run.store("a", {"x": 1})
        monkeypatch.setattr(os, "replace", fail)
        for write in (lambda: run.store("a", {"x": 2}), lambda: run.write_results([{"x": 1}])):
            with pytest.raises(ParameterError, match="No space"):
                write()
        monkeypatch.undo()
        assert run.fetch("a") == {"x": 1}
    assert not [p for p in tmp_path.rglob("*") if "tmp" in p.name]
    assert "results.json" not in names(tmp_path)


def test_networks(tmp_path: Path, experiment: Experiment) -> None:
    net = HRSNN("lif_exp", 3, i=[0, 1], j=[1, 2], w=[0.5, -0.2], tau_m=0.02)
    with RunFolder(tmp_path, experiment) as run:
        path = run.save_network("seed 0/lnp", net)
        assert path.parent == tmp_path / "networks" and path.suffix == ".npz"
        assert run.load_network("seed 0/lnp") == net
        with pytest.raises(MissingFileError):
            run.load_network("seed 1/lnp")


def test_results_as_json_and_csv(tmp_path: Path, experiment: Experiment) -> None:
    rows = [
        {"method": "lnp, tuned", "seed": np.int64(0), "error": 0.1, "note": None},
        {"method": 'a "b"', "seed": 1, "kept": [1, 2], "error": np.float64(1 / 3)},
    ]
    with RunFolder(tmp_path, experiment) as run:
        run.write_results(rows, {"summary": [{"seeds": 2}]})
        written = json.loads((tmp_path / "results.json").read_text())
        assert written["rows"][1]["error"] == 1 / 3 and written["summary"] == [{"seeds": 2}]
        table = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
        assert list(table[0]) == ["method", "seed", "error", "note", "kept"]
        assert table[0]["method"] == "lnp, tuned" and table[0]["note"] == ""
        assert float(table[1]["error"]) == 1 / 3 and json.loads(table[1]["kept"]) == [1, 2]
        run.write_results([])
        assert json.loads((tmp_path / "results.json").read_text()) == {"rows": []}
        with pytest.raises(ParameterError, match="results"):
            run.write_results([{"x": float("nan")}])
