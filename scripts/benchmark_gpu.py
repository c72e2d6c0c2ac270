"""Everything that needs a GPU, in one call: the cuda checks, then time against cpp_standalone.

    python scripts/benchmark_gpu.py                       # all of it
    python scripts/benchmark_gpu.py --quick               # small networks, a few minutes
    python scripts/benchmark_gpu.py --json docs/results/gpu.json

1. What this machine has and lacks, and the tests marked ``cuda``.
2. The same network on both devices: first step in which spikes differ, rates, exponents of neurons.
3. Time per biological second, compilation apart, against cpp_standalone with OpenMP on all cores
   and without, for N = 1,000 to 100,000; double and single precision.
4. Perturbed copies of one network, all in one launch, against one after the other.

Without a GPU it says so, and runs the checks that only generate and compile code. The table is
printed last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SIZES = ((1000, 100), (5000, 1000), (10_000, 1000), (50_000, 1000), (100_000, 100), (100_000, 1000))
QUICK = ((1000, 100), (5000, 500))
BAR = 5.0  # at N = 50,000, K = 1000


def network(n: int, k: int) -> Any:
    """A network in the reference regime: |w| scales as 1/sqrt(K)."""
    from models_eq import FixedInDegree, HRSNNSpec, sample_hrsnn

    return sample_hrsnn(HRSNNSpec(n=n, topology=FixedInDegree(k)), seed=1)


def checks(marker: str) -> bool:
    """Run the tests marked ``cuda`` that can run here, and show what pytest says."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", marker, "tests/test_cuda.py"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def measure(device: str, net: Any, seconds: float, **options: Any) -> dict[str, Any]:
    """Compilation, and time of the loop and of the whole program for a biological second."""
    from models_eq import compile_program, use_device

    with use_device(device, **options):
        program = compile_program(net, duration=f"{seconds} s")
    started = time.perf_counter()
    run = program.run(seed=1)
    whole = time.perf_counter() - started
    return {
        "compile_s": program.compile_seconds,
        "loop_s": run.run_seconds / seconds,
        "whole_s": whole / seconds,
        "rate": run.n_spikes / (net.n * seconds),
    }


def variants(gpu: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, device and options of what is compared."""
    cores = os.cpu_count() or 1
    yield "cpp, one thread", "cpp_standalone", {}
    if cores > 1:
        yield f"cpp, {cores} threads", "cpp_standalone", {"threads": cores}
    if gpu:
        yield "cuda, double", "cuda_standalone", {}
        yield "cuda, single", "cuda_standalone", {"precision": "single"}


def scaling(sizes: tuple[tuple[int, int], ...], seconds: float, gpu: bool) -> list[dict[str, Any]]:
    """Time of every variant at every size; what fails is kept with its reason."""
    rows: list[dict[str, Any]] = []
    for n, k in sizes:
        net, best = network(n, k), np.inf
        for name, device, options in variants(gpu):
            row: dict[str, Any] = {"n": n, "k": k, "what": name}
            try:
                row |= measure(device, net, seconds, **options)
            except Exception as error:  # one size that does not fit must not end the rest
                row["error"] = f"{type(error).__name__}: {error}"[:200]
            if "loop_s" in row:
                if device == "cpp_standalone":
                    best = min(best, row["loop_s"])
                else:
                    row["speedup"] = best / row["loop_s"]
            rows.append(row)
            print(row, flush=True)
    return rows


def agreement(n: int = 1000, k: int = 100) -> dict[str, Any]:
    """The same network on both devices, until rounding separates them."""
    from analysis import node_exponents
    from models_eq import noise_stimulus, simulate, use_device

    net = network(n, k)
    stimulus = noise_stimulus(net, "2 s", seed=1)
    runs, exponents = [], []
    for device in ("cpp_standalone", "cuda_standalone"):
        with use_device(device):
            runs.append(simulate(net, stimulus, seed=1, record=["spike_state"]))
            exponents.append(node_exponents(net, stimulus, dt="1 ms", seed=0))
    steps = [set(zip(np.rint(r.t / r.dt).astype(int), r.i.tolist(), strict=True)) for r in runs]
    apart = min((step for step, _ in steps[0] ^ steps[1]), default=None)
    fine = np.isfinite(exponents[0].values) & np.isfinite(exponents[1].values)
    return {
        "first_difference_s": None if apart is None else apart * runs[0].dt,
        "rates": [r.n_spikes / (n * r.duration) for r in runs],
        "exponents_mean": [float(e.values[fine].mean()) for e in exponents],
    }


def perturbed(copies: int, gpu: bool, n: int = 1000, k: int = 100) -> list[dict[str, Any]]:
    """Copies displaced by 1e-6 in one launch, against as many launches of one."""
    from models_eq import compile_program, use_device

    net, rows = network(n, k), []
    start = np.random.default_rng(0).random((copies, n))
    for device in ("cpp_standalone", *(("cuda_standalone",) if gpu else ())):
        with use_device(device):
            one = compile_program(net, duration="1 s")
            many = compile_program(net, duration="1 s", copies=copies)
        single = one.run(initial_state={"v": start[0]}).run_seconds
        together = many.run(initial_state={"v": start}).run_seconds
        rows.append(
            {
                "what": device,
                "copies": copies,
                "together_s": together,
                "gain": copies * single / together,
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> int:
    """Run what can run here, and print one table last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    from models_eq import capabilities
    from models_eq.cuda import missing_for_compiling

    found = {one.device: one for one in capabilities()}
    cuda = found["cuda_standalone"]
    print(f"cuda_standalone: {cuda.reason}")
    if not cuda.available:
        missing = missing_for_compiling()
        print("No GPU to run on here: only code generation and compilation are checked.")
        if missing:
            print("Compilation cannot be checked either: " + "; ".join(missing))
            return 1
        fine = checks("cuda and not gpu")
        print(
            f"\ncompile-only checks  {'passed' if fine else 'FAILED'}\nGPU benchmark        not run"
        )
        return 0 if fine else 1
    fine = checks("cuda")
    result: dict[str, Any] = {"gpu": cuda.reason, "cores": os.cpu_count(), "checks": fine}
    result["agreement"] = agreement()
    result["perturbed"] = perturbed(given.copies, True)
    result["scaling"] = scaling(QUICK if given.quick else SIZES, given.seconds, True)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nchecks {'passed' if fine else 'FAILED'}; {cuda.reason}; {os.cpu_count()} cores")
    print(f"agreement {result['agreement']}")
    for row in result["perturbed"]:
        print(f"{row['copies']} copies, {row['what']:16s} {row['gain']:.1f} times one at a time")
    print(f"{'N':>7s} {'K':>5s} {'':18s} {'compile s':>9s} {'s per s':>9s} {'Hz':>6s} speed-up")
    for row in result["scaling"]:
        if "error" in row:
            print(f"{row['n']:7d} {row['k']:5d} {row['what']:18s} {row['error']}")
            continue
        gain = f"{row['speedup']:.1f}" if "speedup" in row else ""
        bar = f" (bar {BAR:g})" if gain and (row["n"], row["k"]) == (50_000, 1000) else ""
        print(
            f"{row['n']:7d} {row['k']:5d} {row['what']:18s} {row['compile_s']:9.1f} "
            f"{row['loop_s']:9.3f} {row['rate']:6.1f} {gain}{bar}"
        )
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
