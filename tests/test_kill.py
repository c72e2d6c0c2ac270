"""A command that is killed at any moment goes on to the bit-identical result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from brain_lnp.cli import main
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.storage import load

ROOT = Path(__file__).resolve().parents[1]
TEXT = """
[experiment]
name = "tiny"
device = "numpy"
[network]
n = 40
[prune]
methods = ["dense", "random", "lnp_calibrated"]
synapses = [0.3]
n_iter = 3
[prune.options.lnp_calibrated]
noise_duration = "200 ms"
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
KILLS = [3, 20]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="kills processes"),
]


def killed(argv: list[str], begun: Callable[[], bool], after: float) -> bool:
    """Kill the command some seconds after it began its work; False if it was done by then."""
    child = subprocess.Popen(
        [sys.executable, "-m", "brain_lnp", *argv, "-q"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    start = time.monotonic()
    while not begun() and child.poll() is None:
        assert time.monotonic() - start < 300
        time.sleep(0.01)
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    return child.wait(60) == -signal.SIGKILL


def timed(argv: list[str]) -> float:
    begun = time.monotonic()
    assert main([*argv, "-q"]) == 0
    return time.monotonic() - begun


def run_of(folder: Path) -> dict[str, bytes | str]:
    """Results, and what the networks are: their files carry nothing else."""
    nets = {p.name: load(p, expected=HRSNN).digest for p in (folder / "networks").glob("*.npz")}
    return {"results": (folder / "results.json").read_bytes(), **nets}


@pytest.mark.parametrize("kills", KILLS)
def test_a_run_killed_at_random_moments(kills: int, tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    file.write_text(TEXT)
    argv = ["run", str(file), "-o"]
    timed([*argv, str(tmp_path / "warm")])
    seconds = timed([*argv, str(tmp_path / "whole")])
    whole = run_of(tmp_path / "whole")
    rng, hits, k = stream(kills, "sweep", 1), 0, 0
    while hits < kills:  # a moment after its end is no kill
        k += 1
        assert k < 4 * kills, "it is always done before it is killed"
        folder = tmp_path / f"killed{k}"
        hits += killed([*argv, str(folder)], (folder / "run.json").exists, seconds * rng.random())
        assert main([*argv, str(folder), "-q"]) == 0
        assert run_of(folder) == whole
        left = {p.name for p in folder.rglob("*") if p.name.endswith(".tmp")}
        assert not (folder / "run.lock").exists() and not (folder / "checkpoints").exists(), left


@pytest.mark.parametrize("kills", KILLS)
def test_a_pruning_killed_at_random_moments(kills: int, tmp_path: Path) -> None:
    net = str(tmp_path / "net.npz")
    assert main(["sample", "--n", "60", "--seed", "2", "-o", net, "-q"]) == 0
    argv = [
        "prune", net, "--synapses", "0.3", "--method", "lnp_calibrated", "--n-iter", "6",
        "--option", "noise_duration=200 ms", "--device", "numpy", "-o",
    ]  # fmt: skip
    timed([*argv, str(tmp_path / "warm.npz")])
    seconds = timed([*argv, str(tmp_path / "whole.npz")])
    whole = load(tmp_path / "whole.npz", expected=HRSNN)
    rng, hits, k = stream(kills, "sweep", 2), 0, 0
    while hits < kills:
        k += 1
        assert k < 4 * kills, "it is always done before it is killed"
        kept, out = tmp_path / f"kept{k}.npz", tmp_path / f"out{k}.npz"
        given = [*argv, str(out), "--checkpoint", str(kept)]
        hits += killed(given, kept.exists, seconds * rng.random())
        assert main([*given, "-q", "--force"]) == 0
        again = load(out, expected=HRSNN)
        assert again == whole and again.history == whole.history
