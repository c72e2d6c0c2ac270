"""Benchmark: cpp_standalone, with and without OpenMP, against cython.

    python scripts/benchmark_devices.py --json docs/results/devices.json

Time of a run and time of the whole call of ``simulate``, as ratios to cython in one process. The
first call of each device compiles and is not counted. Runs of the devices alternate, so that a busy
machine slows both; the standard error is over repetitions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np


def compare(
    n: int, k: int, seconds: float, repeats: int, threads: list[int]
) -> list[dict[str, Any]]:
    """Times of one network of ``n`` neurons with ``k`` inputs each on all devices."""
    from models_eq import (
        FixedInDegree,
        HRSNNSpec,
        noise_stimulus,
        sample_hrsnn,
        simulate,
        use_device,
    )

    net = sample_hrsnn(HRSNNSpec(n=n, topology=FixedInDegree(k)), seed=1)
    stimulus = noise_stimulus(net, f"{seconds} s", seed=1)
    variants: dict[str, tuple[str, dict[str, int]]] = {"cython": ("cython", {})}
    variants["cpp_standalone"] = ("cpp_standalone", {})
    for count in threads:
        variants[f"cpp_standalone, {count} threads"] = ("cpp_standalone", {"threads": count})
    run: dict[str, list[float]] = {name: [] for name in variants}
    call: dict[str, list[float]] = {name: [] for name in variants}
    spikes = {}
    for turn in range(repeats + 1):
        for name, (device, options) in variants.items():
            with use_device(device, **options):
                started = time.perf_counter()
                found = simulate(net, stimulus, seed=1)
                whole = time.perf_counter() - started
            spikes[name] = found.n_spikes
            if turn:
                run[name].append(found.run_seconds)
                call[name].append(whole)
    rows = []
    for name in variants:
        ratio = np.array(run[name]) / run["cython"]
        overall = np.array(call[name]) / call["cython"]
        rows.append(
            {
                "n": n, "k": k, "seconds": seconds, "device": name, "spikes": spikes[name],
                "run_s": float(np.median(run[name])), "call_s": float(np.median(call[name])),
                "run_ratio": float(ratio.mean()),
                "run_ratio_se": float(ratio.std(ddof=1) / np.sqrt(repeats)),
                "call_ratio": float(overall.mean()),
                "call_ratio_se": float(overall.std(ddof=1) / np.sqrt(repeats)),
                "bar": 1.1,
            }
        )  # fmt: skip
    return rows


def main() -> None:
    """Run the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=5000)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 5.0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="*", default=[2])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [
        row
        for seconds in given.seconds
        for row in compare(given.neurons, given.inputs, seconds, given.repeats, given.threads)
    ]
    for row in rows:
        print(
            f"{row['seconds']:g} s, {row['device']:26s} run {row['run_s']:7.3f} s, "
            f"{row['run_ratio']:.2f} ± {row['run_ratio_se']:.2f} of cython; "
            f"whole call {row['call_s']:7.3f} s, {row['call_ratio']:.2f} "
            f"± {row['call_ratio_se']:.2f}; {row['spikes']} spikes"
        )
    if given.json:
        machine = {
            "processors": os.cpu_count(), "load": os.getloadavg()[0],
            "platform": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        }  # fmt: skip
        given.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
