"""Wind and sunspots: does a sparse network add to what the last 20 values already tell?

    python scripts/measured_series.py run --data-dir DATA --seeds 101 102
    python scripts/measured_series.py table

The readout predicts what a ridge regression on 20 taps leaves over; its penalty is chosen on the
validation part and may grow until nothing is added, so that the regression is the baseline and
the limit. Networks are those of ``tasks_networks.py``. Horizons, input weights and filters were
chosen on the validation part of tuning seed 1.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tasks_networks import FOLDER, network

from analysis.comparison import paired_ratio
from analysis.metrics import mean_and_stderr, nrmse
from analysis.readout.linear import LinearReadout
from analysis.streamed import streamed_traces
from brain_lnp.tasks.series import csv_series
from brain_lnp.tasks.task import Task

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "measured_series.jsonl"
TAPS = 20
TAP_ALPHAS = tuple(float(a) for a in np.logspace(-14, 1, 16))
ALPHAS = tuple(float(a) for a in np.logspace(-6, 5, 12))
WIND = {"path": "wind_turbine_scada_10min_2018.csv", "time": "time_local",
        "column": ["active_power_kw", "wind_speed_mps"], "predict": "active_power_kw"}  # fmt: skip


class Setting(NamedTuple):
    """A series and how it is shown and read."""

    series: dict[str, Any]
    input_sd: float
    tau: str


SETTINGS = {
    "sunspots, 60 months ahead": Setting(
        {"path": "sunspots_monthly_1749_2025.csv", "column": "sunspot_number", "horizon": 60},
        2.0, "200 ms",
    ),
    "wind power, longest run, 6 hours ahead": Setting(
        {**WIND, "gaps": "longest", "horizon": 36}, 0.5, "200 ms"
    ),
    "wind power, whole year, 1 hour ahead": Setting(
        {**WIND, "gaps": "interpolate", "horizon": 6}, 2.0, "20 ms"
    ),
}  # fmt: skip


def lagged(inputs: np.ndarray) -> np.ndarray:
    """Each row and the ``TAPS - 1`` before it, side by side."""
    n, c = inputs.shape
    return np.hstack([np.vstack([np.zeros((k, c)), inputs[: n - k]]) for k in range(TAPS)])


def corrected(features: np.ndarray, task: Task) -> tuple[float, float]:
    """Test error of the regression on taps, and of it with the correction by the features."""
    train, validation, test = task.split
    y, taps = task.targets, lagged(task.inputs)
    full = slice(max(train.start, TAPS - 1), train.stop)
    simple = LinearReadout(alphas=TAP_ALPHAS)
    simple.fit(taps[full], y[full], taps[validation], y[validation])
    before = simple.predict(taps).reshape(y.shape)
    rest = y - before
    more = LinearReadout(alphas=ALPHAS)
    more.fit(features[train], rest[train], features[validation], rest[validation])
    after = before[test] + more.predict(features[test]).reshape(before[test].shape)
    return float(nrmse(y[test], before[test])), float(nrmse(y[test], after))


def traces(net: Any, task: Task, setting: Setting, seed: int) -> np.ndarray:
    """Filtered spikes at the end of every row."""
    weights = task.stimulus_weights(net.n_origin) * (setting.input_sd / task.input_sd)
    return streamed_traces(
        net, task.inputs[None], weights, f"{task.hold!r} s", windows=len(task.inputs),
        tau=setting.tau, seed=seed,
    ).traces[0]  # fmt: skip


def read() -> list[dict[str, Any]]:
    """What was measured."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def run(args: argparse.Namespace) -> None:
    """Measure what is missing."""
    for name in args.tasks:
        setting = SETTINGS[name]
        for seed in args.seeds:
            for who in args.networks:
                if (name, who, seed) in {(r["task"], r["who"], r["seed"]) for r in read()}:
                    continue
                task = csv_series(**setting.series, seed=seed, directory=args.data_dir)
                found = traces(network(who, seed, args.folder), task, setting, seed)
                taps, error = corrected(found, task)
                row = {"task": name, "who": who, "seed": seed, "taps": taps, "error": error}
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def table(rows: list[dict[str, Any]]) -> str:
    """Errors, and their ratio to the regression's, as Markdown."""
    lines = ["| series | network | 20 taps | with the network | ratio (95 %) | seeds |",
             "|---|---|---:|---:|---:|---:|"]  # fmt: skip
    for name, who in dict.fromkeys((r["task"], r["who"]) for r in rows):
        mine = [r for r in rows if (r["task"], r["who"]) == (name, who)]
        if len(mine) < 2:
            continue
        errors, taps = [r["error"] for r in mine], [r["taps"] for r in mine]
        mean, stderr = mean_and_stderr(errors)
        found = paired_ratio(errors, taps)
        lines.append(
            f"| {name} | {who} | {np.mean(taps):.4f} | {mean:.4f} ± {stderr:.4f} | "
            f"{found.ratio:.4f} ({found.low:.4f}, {found.high:.4f}) | {found.n} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run or tabulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(101, 111)))
    parser.add_argument("--tasks", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--networks", nargs="+", default=["lnp", "dense", "none"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    args = parser.parse_args()
    if args.what == "run":
        run(args)
    else:
        print(table(read()))


if __name__ == "__main__":
    main()
