"""A full disk, a folder that cannot be written, two runs in one folder: one error, no damage."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brain_lnp.cli import main
from brain_lnp.config import load_experiment
from brain_lnp.runfolder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
TEXT = """
[experiment]
name = "tiny"
device = "numpy"
[network]
n = 40
[prune]
methods = ["dense", "random_gain"]
synapses = [0.3]
[[tasks]]
name = "lorenz63"
horizon = 2
washout = 20
n_train = 100
n_validation = 30
n_test = 50
[output]
figures = false
"""
pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits the size of files")


def command(
    *argv: str, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, which nothing measures: a disk may be full."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.run(
        [sys.executable, "-m", "brain_lnp", *argv], env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=200, check=False, preexec_fn=before,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, str]:
    """Digest of every file."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "e.toml"
    path.write_text(TEXT)
    return path


def one_line_error(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    text = " ".join(done.stderr.split())
    assert all(word in text for word in words), done.stderr


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
    experiment: Path, tmp_path: Path
) -> None:
    def no_room() -> None:
        import resource

        # The dense network is larger than this, everything else smaller.
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    whole, folder = tmp_path / "whole", tmp_path / "run"
    assert main(["run", str(experiment), "-o", str(whole), "-q"]) == 0
    shutil.copytree(whole, folder)
    for path in [*folder.rglob("dense*"), *folder.rglob("evaluate*"), *folder.glob("results*")]:
        path.unlink()
    before = contents(folder)
    assert any(name.startswith("networks/random_gain") for name in before)
    done = command("run", str(experiment), "-o", str(folder), "-q", before=no_room)
    one_line_error(done, "expected a place that can be written to", "File too large", "dense")
    assert contents(folder) == before, "what was finished is there, and no half of a file"
    assert command("run", str(experiment), "-o", str(folder), "-q").returncode == 0
    assert (folder / "results.json").read_bytes() == (whole / "results.json").read_bytes()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write")
def test_a_folder_that_cannot_be_written_is_named(experiment: Path, tmp_path: Path) -> None:
    before = contents(tmp_path)
    for argv in (
        ("run", str(experiment), "-o", "/proc/brain_lnp_run"),
        ("sample", "--n", "20", "-o", "/proc/brain_lnp.npz"),
    ):
        one_line_error(command(*argv, "-q"), "/proc")
    assert contents(tmp_path) == before


def test_a_second_run_in_the_folder_of_another_is_refused_and_changes_nothing(
    experiment: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with RunFolder(folder, load_experiment(experiment)):
        before = contents(folder)
        one_line_error(command("run", str(experiment), "-o", str(folder), "-q"), "not in use")
        assert contents(folder) == before
    # Nor does another experiment take a folder that is not its own.
    assert main(["run", str(experiment), "-o", str(folder), "-q"]) == 0
    before = contents(folder)
    other = tmp_path / "other.toml"
    other.write_text(TEXT.replace("n = 40", "n = 41"))
    one_line_error(command("run", str(other), "-o", str(folder), "-q"), str(folder.name))
    assert contents(folder) == before
