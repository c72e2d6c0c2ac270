"""Benchmark: two sweep processes against one, and resuming a finished sweep.

    python scripts/benchmark_sweep.py                       # prints a table
    python scripts/benchmark_sweep.py --json docs/results/sweep.json

Every run starts Python anew, as a user does. Runs with one and with two processes take turns,
``--repeats`` times; the speedup is the ratio within one pair. Needs a machine that does nothing
else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SWEEP = """
[sweep]
name = "benchmark"
seeds = [101, 102, 103, 104]
[base.experiment]
device = "numpy"
[base.network]
n = 200
[base.prune]
methods = ["dense", "random_gain", "lnp_calibrated"]
synapses = [0.1]
n_iter = 3
[[base.tasks]]
name = "lorenz63"
observe = "x"
[grid]
"network.coupling" = [0.04, 0.06, 0.08]
"""


def run(folder: Path, jobs: int) -> float:
    """Seconds on the clock of ``brain-lnp sweep``, the start of Python included."""
    (folder / "sweep.toml").write_text(SWEEP, encoding="utf-8")
    given = ["sweep", "sweep.toml", "-o", f"out{jobs}", "--jobs", str(jobs), "-q"]
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "brain_lnp", *given], cwd=folder, check=True,
        stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    return time.perf_counter() - begun


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    pairs, resumed, same = [], [], []
    for _ in range(given.repeats):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            one, two = run(folder, 1), run(folder, 2)
            pairs.append((one, two))
            resumed.append(run(folder, 2))
            found = [(folder / f"out{k}" / "results.json").read_bytes() for k in (1, 2)]
            same.append(found[0] == found[1])
    speedup = np.array([one / two for one, two in pairs])
    count = len(speedup)
    spread = float(speedup.std(ddof=1) / count**0.5) if count > 1 else None
    rows = [
        {"what": "two processes / one", "mean": float(speedup.mean()), "stderr": spread,
         "each": speedup.tolist(), "bar": ">= 1.8"},
        {"what": "resuming a finished sweep of 12 experiments, s", "mean": float(np.mean(resumed)),
         "stderr": None, "each": resumed, "bar": "< 5"},
        {"what": "results identical", "mean": float(np.mean(same)), "stderr": None,
         "each": same, "bar": "1"},
    ]  # fmt: skip
    for row in rows:
        error = "" if row["stderr"] is None else f" +- {row['stderr']:.2g}"
        print(f"{row['what']}: {row['mean']:.3g}{error} (asked: {row['bar']})")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    print(f"seconds with one and two processes: {pairs}; load at the end: {load}")
    if given.json:
        machine = (
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        data = {"machine": machine, "load_at_end": load, "seconds": pairs, "rows": rows}
        given.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
