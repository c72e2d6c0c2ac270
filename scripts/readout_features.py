"""Networks and recorded features of the readout study: pruned once, simulated once, kept."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from analysis.streamed import streamed_traces
from brain_lnp import HRSNN, HRSNNSpec, load, prune, sample_hrsnn, save, tasks

N, SYNAPSES = 1000, 0.05
WINDOWS = 5  # an MNIST image is read at five times of its presentation
TUNING, REPORT = (1, 2, 3), (101, 102, 103, 104, 105)


def network(work: Path, seed: int) -> HRSNN:
    """The pruned network of a seed: no task had any part in it."""
    path = work / f"net_{seed}.npz"
    if not path.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            dense = sample_hrsnn(HRSNNSpec(n=N), seed=seed)
            found = prune(dense, "lnp", synapses=SYNAPSES, timescales="off", seed=seed)
        save(found.net, path)
    net: HRSNN = load(path)
    return net


def mnist(data: Path, seed: int, *, with_test: bool) -> Any:
    """MNIST at 14 x 14 pixels (means of 2 x 2), row by row; 8000 / 2000 / 10,000 images."""
    with np.load(data) as file:
        x, y = file["x_train"] / 255.0, file["y_train"]
        held = (file["x_test"] / 255.0, file["y_test"])
    pooled = [a.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) for a in (x, held[0])]
    # Tuning never simulates a test image: one stands in for the part that a task must have.
    test = (pooled[1], held[1]) if with_test else (pooled[0][:10], y[:10])
    return tasks.image_task(
        pooled[0], y, test=test, name="mnist_14x14", n_train=8000, n_validation=2000, seed=seed,
        n_test=None,
    )  # fmt: skip


def recorded(net: HRSNN, task: Any, windows: int) -> np.ndarray:
    """Filtered spikes at the ends of equal stretches of each trial (whole rows), side by side."""
    weights = task.stimulus_weights(net.n_origin)
    run = streamed_traces(net, task.inputs, weights, f"{task.hold!r} s", windows=windows, seed=0)
    return run.traces.reshape(len(task.inputs), -1)


def features(work: Path, data: Path, name: str, seed: int) -> tuple[np.ndarray, np.ndarray, Any]:
    """Features and labels of a task in the order training, validation, test, and its split."""
    with_test = seed in REPORT
    digits = name == "digits"
    task = tasks.digits(seed=seed) if digits else mnist(data, seed, with_test=with_test)
    path = work / f"{name}_{seed}.npy"
    if not path.exists():
        X = recorded(network(work, seed), task, 1 if digits else WINDOWS)
        partial = path.with_suffix(".part.npy")
        np.save(partial, X)
        os.replace(partial, path)
    return np.load(path), np.asarray(task.targets), task.split
