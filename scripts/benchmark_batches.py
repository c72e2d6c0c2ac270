"""How much many samples side by side in one simulation save: images a second, and trials a second.

    python scripts/benchmark_batches.py [--json docs/results/batches.json]

Row-by-row images of MNIST's size (28 rows of 10 ms and two blank ones) through N = 1000 neurons
with 5 % of all possible synapses, dt 1 ms, exact integration. Rates are given per second of
wall-clock time and of processor time; on a machine that is not idle only the second means much. The
network is
built once in every measurement. The random pixels have MNIST's share of dark ones: the time depends
on spikes, not on what the images show.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np


def material(trials: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """Network, signal and input weights."""
    from models_eq import FixedInDegree, HRSNNSpec, sample_hrsnn

    net = sample_hrsnn(HRSNNSpec(n=1000, topology=FixedInDegree(k=50)), seed=1)
    rng = np.random.default_rng(0)
    pixels = rng.random((trials, 28, 28)) * (rng.random((trials, 28, 28)) < 0.19)
    pixels -= pixels.mean(axis=0)
    pixels /= np.sqrt(np.mean(np.sum(pixels**2, axis=2)))
    signal = np.concatenate([pixels, np.zeros((trials, 2, 28))], axis=1)
    return net, signal, 2.0 * rng.standard_normal((28, 1000))


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall-clock and processor seconds, and what came out."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def brian_images(trials: int, device: str) -> tuple[float, float, float]:
    """Wall and processor seconds of ``trials`` images with features, and the mean rate."""
    from analysis.streamed import streamed_traces
    from models_eq import use_device

    net, signal, weights = material(trials)
    with use_device(device):
        streamed_traces(net, signal[:64], weights, "10 ms", engine="brian2")  # compiles
        wall, cpu, out = timed(
            lambda: streamed_traces(net, signal, weights, "10 ms", windows=6, engine="brian2")
        )
    return wall, cpu, float(out.rates.mean())


def images(device: str, trials: int, processes: int) -> dict[str, Any]:
    """Images a second of simulate() with features, in one process and in several."""
    from analysis.streamed import streamed_traces

    wall, cpu, rate = brian_images(trials, device)
    with ProcessPoolExecutor(processes) as pool:
        both = list(pool.map(brian_images, [trials] * processes, [device] * processes))
    # Start and compilation of the processes are no part of a long run.
    together = max(w for w, _, _ in both)
    net, signal, weights = material(trials)
    streamed_traces(net, signal[:2], weights, "10 ms")
    c_wall, c_cpu, _ = timed(lambda: streamed_traces(net, signal, weights, "10 ms", windows=6))
    return {
        "images": trials,
        "mean_rate_hz": round(rate, 1),
        "brian2_per_wall_second": round(trials / wall, 1),
        "brian2_per_cpu_second": round(trials / cpu, 1),
        f"brian2_{processes}_processes_per_wall_second": round(trials * processes / together, 1),
        "compiled_per_wall_second": round(trials / c_wall, 1),
        "compiled_per_cpu_second": round(trials / c_cpu, 1),
    }


def samples(device: str, trials: int, copies: int | None) -> tuple[float, float, int, int]:
    """Run phase and processor seconds of ``trials`` samples, how many ran at a time, spikes."""
    from models_eq import Stimulus, simulate, use_device
    from models_eq.plan import MAX_COPIES, NEURONS_SIDE_BY_SIDE

    net, signal, weights = material(trials)
    stimulus = Stimulus.from_signal(signal, weights, "10 ms")
    with use_device(device):
        simulate(net, Stimulus.from_signal(signal[:2], weights, "10 ms"), copies=1)  # compiles
        _, cpu, run = timed(lambda: simulate(net, stimulus, copies=copies))
    at_a_time = copies or min(MAX_COPIES, NEURONS_SIDE_BY_SIDE // net.n)
    return run.run_seconds, cpu, at_a_time, run.n_spikes


def side_by_side(device: str, trials: int, repeats: int, processes: int) -> dict[str, Any]:
    """Throughput of several layouts over that of one sample at a time, in turn."""
    from analysis.streamed import streamed_traces

    net, signal, weights = material(trials)
    streamed_traces(net, signal[:2], weights, "10 ms")
    found: dict[str, list[float]] = {}
    with ProcessPoolExecutor(processes) as pool:
        for _ in range(repeats):
            one, _, _, spikes = samples(device, trials, 1)
            for name, copies in (("all", trials), ("default", None)):
                run, _, at_a_time, same = samples(device, trials, copies)
                if same != spikes:
                    raise RuntimeError("the two layouts ran different networks")
                found.setdefault(f"{name} ({at_a_time})", []).append(one / run)
            # Each process builds the network once, as the one does, and runs its share.
            share = [trials // processes] * processes
            ran = list(pool.map(samples, [device] * processes, share, [None] * processes))
            rate = sum(share) / max(run for run, *_ in ran)
            found.setdefault(f"default, {processes} processes", []).append(rate * one / trials)
            wall, _, _ = timed(lambda: streamed_traces(net, signal, weights, "10 ms", windows=6))
            found.setdefault("compiled loop, one thread", []).append(one / wall)
    return {
        "samples": trials,
        "repeats": repeats,
        "device": device,
        "throughput_over_one_at_a_time": {
            name: {"median": round(float(np.median(v)), 2), "all": [round(x, 2) for x in v]}
            for name, v in found.items()
        },
    }


def main() -> None:
    """Read the arguments, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--device", default="cython")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load_average": round(os.getloadavg()[0], 1),
        "side_by_side": side_by_side(args.device, args.samples, args.repeats, args.processes),
        "images": images(args.device, args.images, args.processes),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
