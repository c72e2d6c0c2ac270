"""Attractor, return map, power spectrum and invariant measure of free runs beside the truth.

    python scripts/closed_loop_figure.py [--seed 101] [--methods lnp none esn] [--nets FOLDER]

Draws ``docs/figures/closed_loop.png`` from the 50 test starts of Lorenz63 with the settings that
``closed_loop.py tune`` chose, and writes the distances to
``docs/results/closed_loop_climate.json``.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from closed_loop import FIGURE, RESULTS, WARM, attempt, best_setting, task_of, windows
from matplotlib.figure import Figure
from scipy.signal import welch

from analysis.climate import measure_distance, return_map, spectrum_distance

SYSTEM = "lorenz63"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--methods", nargs="+", default=["lnp", "none", "esn"])
    parser.add_argument("--nets")
    args = parser.parse_args()
    task = task_of(SYSTEM, args.seed)
    truth = windows(task, SYSTEM, "test")[:, WARM:]
    runs = {"truth": truth}
    for method in args.methods:
        setting = best_setting(SYSTEM, method)
        runs[method] = attempt(SYSTEM, method, args.seed, setting, args.nets, True)[1]
    figure = Figure(figsize=(11.0, 2.6 * len(runs)), layout="constrained")
    axes = figure.subplots(len(runs), 4, squeeze=False)
    distances = {}
    for row, (name, run) in zip(axes, runs.items(), strict=True):
        row[0].plot(run[:3, :, 0].T, run[:3, :, 2].T, lw=0.6)
        row[0].set(xlim=(-3, 3), ylim=(-3.5, 3.5), xlabel="x (sd)", ylabel=f"{name}\nz (sd)")
        maxima = np.concatenate([return_map(one[:, 2]) for one in run])
        row[1].plot(*maxima.T, ".", ms=1.5)
        row[1].set(xlim=(-0.5, 3.5), ylim=(-0.5, 3.5), xlabel="maximum of z", ylabel="next maximum")
        for drawn, style in ((truth, "k"), (run, "C1")):
            frequency, power = welch(drawn[..., 2], 1 / task.sample, nperseg=256)
            row[2].semilogy(frequency[1:64], power.mean(axis=0)[1:64], style, lw=1)
            row[3].hist(drawn[..., 0].ravel(), np.linspace(-3, 3, 61), density=True,
                        histtype="step", color=style)  # fmt: skip
        row[2].set(xlabel="frequency (1/time)", ylabel="power of z")
        row[3].set(xlabel="x (sd)", ylabel="density")
        if name != "truth":
            distances[name] = {
                "measure": measure_distance(truth, run),
                "spectrum_db": spectrum_distance(truth, run),
            }  # fmt: skip
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=90)
    report = {"system": SYSTEM, "seed": args.seed, "distances": distances}
    RESULTS.with_name("closed_loop_climate.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
