"""Options that every verb has, and Ctrl-C: it stops cleanly and says how to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer.main

from brain_lnp.cli import _VERBS, app, main
from models_eq import HRSNNSpec, sample_hrsnn, save

ROOT = Path(__file__).resolve().parents[1]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
TEXT = """
[experiment]
name = "small"
device = "numpy"
seeds = 2
[network]
n = 50
[prune]
methods = ["dense", "random_gain"]
synapses = [0.5]
[[tasks]]
name = "lorenz63"
n_train = 200
n_validation = 60
n_test = 60
washout = 40
[output]
figures = false
"""


@pytest.mark.parametrize("verb", [verb.__name__ for verb, _ in _VERBS])
def test_every_verb_has_the_shared_options(verb: str) -> None:
    given = {name for p in COMMANDS[verb].params for name in p.opts}
    assert {"--json", "--quiet", "-q", "--verbose", "-v"} <= given


@pytest.mark.parametrize("verb", ["sample", "simulate", "lyapunov", "prune", "evaluate", "demo"])
def test_what_is_random_takes_a_seed(verb: str) -> None:
    assert "--seed" in {name for p in COMMANDS[verb].params for name in p.opts}


@pytest.mark.parametrize("verb", ["simulate", "lyapunov", "prune", "evaluate", "demo", "run"])
def test_what_runs_takes_a_device(verb: str) -> None:
    assert "--device" in {name for p in COMMANDS[verb].params for name in p.opts}


@pytest.mark.parametrize(
    "verb", ["sample", "simulate", "lyapunov", "prune", "demo", "run", "report", "compare"]
)
def test_what_writes_takes_a_place(verb: str) -> None:
    assert {"--output", "-o"} <= {name for p in COMMANDS[verb].params for name in p.opts}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "with --checkpoint FILE.npz it could go on"),
        (["--checkpoint", "state.npz"], "the same command again to go on from state.npz"),
    ],
)
def test_an_interrupted_pruning_says_how_to_go_on(
    more: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    save(sample_hrsnn(HRSNNSpec(n=20), seed=1), "net.npz")
    monkeypatch.setattr(import_module("brain_lnp.methods"), "prune", stop)
    device = ["--device", "numpy"]
    assert main(["prune", "net.npz", "--synapses", "0.5", "-o", "o.npz", *more, *device]) == 130
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("interrupted: ") and words in said.err
    assert os.listdir() == ["net.npz"]


def started(folder: Path, *more: str) -> subprocess.Popen[str]:
    """``brain-lnp run`` in a process group of its own, as a terminal would start it."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "brain_lnp", "run", "small.toml", "-o", "out", "--json", *more],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_a_run_is_interrupted_and_goes_on_to_the_same_result(
    jobs: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "small.toml").write_text(TEXT)
    running = started(tmp_path, "--jobs", jobs)
    limit = time.monotonic() + 120
    while not list(tmp_path.glob("out/units/*.json")) and running.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)  # what a terminal sends: to workers as well
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert out == "" and "Traceback" not in err
    assert err.splitlines()[-1] == (
        "interrupted: run the same command again to go on from what is in out"
    )
    assert not (tmp_path / "out" / "run.lock").exists() and not list(tmp_path.glob("**/*.tmp*"))
    kept = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("out/units/*.json")}
    assert kept and not (tmp_path / "out" / "results.json").exists()
    monkeypatch.chdir(tmp_path)
    assert main(["run", "small.toml", "-o", "out", "--json", "--jobs", "1"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    for name, when in kept.items():
        assert (tmp_path / "out" / "units" / name).stat().st_mtime_ns == when, "done again"
    assert main(["run", "small.toml", "-o", "fresh", "--json", "--jobs", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == rows
