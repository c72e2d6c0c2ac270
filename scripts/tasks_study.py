"""One pruned network, many tasks: what a sparse network file is worth on each, and beside what.

    python scripts/tasks_study.py run --data-dir DATA     # networks, then errors; resumes
    python scripts/tasks_study.py table                   # docs/tasks_table.md and its figure

For each seed the networks of ``tasks_networks.py`` (1000 neurons, 2 % of the synapses; none of
the choices of ``lnp`` and ``random_matched`` has seen a task) read all tasks through the same kind
of linear readout. Beside them: persistence, ridge on the last 20 inputs, classifiers on raw
pixels, and an echo-state network with as many units, the best on validation data of six settings.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tasks_networks import FOLDER, NETWORKS, network

from analysis.comparison import paired_ratio
from analysis.echo_state import EchoState
from analysis.metrics import mean_and_stderr, nrmse
from analysis.readout.linear import LinearReadout
from brain_lnp import tasks, use_device
from brain_lnp.evaluation import evaluate_batch
from brain_lnp.tasks.series import csv_series
from brain_lnp.tasks.task import Task
from brain_lnp.tasks.trivial import baselines
from models_eq.errors import MissingFileError

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS = DOCS / "results" / "tasks_study.jsonl"
SEEDS = tuple(range(101, 111))
NAMES = {"lnp": "LNP", "activity": "activity, half the neurons", "none": "no recurrence"}
Row = dict[str, Any]


def named_tasks(seed: int, data: Path | None) -> dict[str, Task]:
    """The tasks, those whose file is not there left out."""
    found: dict[str, Task] = {
        "Lorenz63, x to xyz, 1 ahead": tasks.lorenz63(observe="x", horizon=1, seed=seed),
        "Lorenz63, x to xyz, 10 ahead": tasks.lorenz63(observe="x", horizon=10, seed=seed),
        "Lorenz63, xyz, 10 ahead": tasks.lorenz63(observe="xyz", horizon=10, seed=seed),
        "Rossler, x to xyz, 10 ahead": tasks.rossler(observe="x", horizon=10, seed=seed),
        "Mackey-Glass, 10 ahead": tasks.mackey_glass(horizon=10, seed=seed),
        "Mackey-Glass, 50 ahead": tasks.mackey_glass(horizon=50, seed=seed),
        "digits": tasks.digits(seed=seed),
    }
    series: dict[str, Callable[[], Task]] = {
        "wind speed, 1 hour ahead": lambda: csv_series(
            "wind_turbine_scada_10min_2018.csv", "wind_speed_mps", time="time_local",
            gaps="longest", horizon=6, seed=seed, directory=data,
        ),
        "sunspots, 12 months ahead": lambda: csv_series(
            "sunspots_monthly_1749_2025.csv", "sunspot_number", horizon=12, seed=seed,
            directory=data,
        ),
        "Google, next day's log return": lambda: csv_series(
            "goog_daily_2004_2020.csv", "close", transform="log_return", horizon=1, seed=seed,
            directory=data,
        ),
    }  # fmt: skip
    for name, made in series.items():
        try:
            found[name] = made()
        except MissingFileError as error:
            print(f"left out: {name}: {error}")
    return found


def echo_state(task: Task, seed: int, n: int = 1000) -> float:
    """Error of an echo-state network, the best of six settings on the validation part."""
    train, validation, test = task.split
    best: tuple[float, float] | None = None
    for radius in (0.5, 0.9, 1.1):
        for leak in (0.3, 1.0):
            net = EchoState(
                n, task.channels, radius=radius, leak=leak, input_scale=0.5, density=0.02,
                seed=seed,
            )  # fmt: skip
            x = net.states(task.inputs[None])[0]
            readout = LinearReadout(alphas=tuple(np.logspace(-10, 2, 13)))
            readout.fit(x[train], task.targets[train], x[validation], task.targets[validation])
            judged = nrmse(task.targets[validation], readout.predict(x[validation]))
            if best is None or judged < best[0]:
                best = judged, nrmse(task.targets[test], readout.predict(x[test]))
    assert best is not None
    return best[1]


def measure(seed: int, data: Path | None, folder: Path) -> list[Row]:
    """Errors of all networks and baselines of one seed; wrong share for images."""
    given = named_tasks(seed, data)
    rows: list[Row] = []
    with use_device("auto"):
        nets = [network(name, seed, folder) for name in NETWORKS]
        judged = evaluate_batch(nets, list(given.values()), seed=seed)
    for who, net, found in zip(NETWORKS, nets, judged, strict=True):
        for task, one in zip(given, found, strict=True):
            rows.append(
                {"seed": seed, "task": task, "who": who, "error": one.error,
                 "validation": one.validation, "sops": one.sops_per_second, "neurons": net.n,
                 "synapses": net.n_synapses}
            )  # fmt: skip
    for task, one in given.items():
        beside = baselines(one)
        if one.kind == "images":
            beside = {name: 1.0 - value for name, value in beside.items()}
        else:
            beside["echo-state network"] = echo_state(one, seed)
        rows += [{"seed": seed, "task": task, "who": k, "error": v} for k, v in beside.items()]
    return rows


def read() -> list[Row]:
    """What was measured."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def run(seeds: list[int], data: Path | None, folder: Path) -> None:
    """Measure the seeds that are missing."""
    done = {row["seed"] for row in read()}
    for seed in seeds:
        if seed in done:
            continue
        lines = [json.dumps(row) + "\n" for row in measure(seed, data, folder)]
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
        print(f"seed {seed}: {len(lines)} rows", flush=True)


def loss(rows: list[Row], task: str) -> tuple[float, float, float, int]:
    """Error of the sparse network over that of dense, paired, with its 95 % interval."""
    by = {who: {r["seed"]: r["error"] for r in rows if (r["task"], r["who"]) == (task, who)}
          for who in ("lnp", "dense")}  # fmt: skip
    seeds = sorted(set(by["lnp"]) & set(by["dense"]))
    found = paired_ratio([by["lnp"][s] for s in seeds], [by["dense"][s] for s in seeds])
    return found.ratio, found.low, found.high, found.n


def table(rows: list[Row], docs: Path = DOCS) -> None:
    """Write the page and the figure."""
    seeds = sorted({row["seed"] for row in rows})
    names = list(dict.fromkeys(row["task"] for row in rows))
    whos = list(dict.fromkeys(row["who"] for row in rows))
    shown = [NAMES.get(who, who.replace("_", " ")) for who in whos]
    lines = ["| task | " + " | ".join(shown) + " | LNP over dense (95 %) |"]
    lines.append("|---|" + "---:|" * (len(whos) + 1))
    bounded = 0
    for name in names:
        cells = []
        for who in whos:
            values = [r["error"] for r in rows if (r["task"], r["who"]) == (name, who)]
            if not values:
                cells.append("")
                continue
            mean, stderr = mean_and_stderr(values) if len(values) > 1 else (values[0], np.nan)
            same = len(values) > 1 and np.ptp(values) == 0
            cells.append(f"{mean:.3f}" if same else f"{mean:.3f} ± {stderr:.3f}")
        ratio, low, high, _ = loss(rows, name)
        bounded += high < 1.05
        cells.append(f"{ratio:.2f} ({low:.2f}, {high:.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    kept = {who: [r for r in rows if r["who"] == who and "sops" in r] for who in NETWORKS}
    costs = ["| | neurons | synapses | kSOP/s |", "|---|---:|---:|---:|"]
    for who, members in kept.items():
        sops = mean_and_stderr([r["sops"] / 1e3 for r in members])
        costs.append(
            f"| {NAMES.get(who, who)} | {np.mean([r['neurons'] for r in members]):.0f} | "
            f"{np.mean([r['synapses'] for r in members]):.0f} | {sops[0]:.0f} ± {sops[1]:.0f} |"
        )
    page = [
        "# One sparse network, many tasks",
        "Made by `python scripts/tasks_study.py table`. NRMSE of forecasts, share of wrong labels "
        f"for images; mean ± standard error over {len(seeds)} seeds. One network file a seed "
        "serves all tasks: 1000 neurons, 2 % of the synapses, pruned without a task.",
        "\n".join(lines),
        f"On {bounded} of {len(names)} tasks the upper 95 % bound of LNP's error over that of the "
        "dense network, paired by seed, is below 1.05.",
        "```{figure} figures/tasks_study.png\nErrors over those of the dense network of the same "
        "seed, geometric means with 95 % intervals.\n```",
        "What the networks cost, averaged over the tasks:",
        "\n".join(costs),
    ]
    (docs / "tasks_table.md").write_text("\n\n".join(page) + "\n", encoding="utf-8")
    figure(rows, names, [who for who in whos if who != "dense"], docs / "figures")


def figure(rows: list[Row], names: list[str], whos: list[str], folder: Path) -> None:
    """Errors over those of dense."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(8.5, 0.55 * len(names) + 1.6), layout="constrained")
    drawn = [who for who in whos if not who.startswith("raw")]
    for k, who in enumerate(drawn):
        for row, name in enumerate(names):
            mine = {r["seed"]: r["error"] for r in rows if (r["task"], r["who"]) == (name, who)}
            base = {r["seed"]: r["error"] for r in rows if (r["task"], r["who"]) == (name, "dense")}
            seeds = sorted(set(mine) & set(base))
            if len(seeds) < 2:
                continue
            found = paired_ratio([mine[s] for s in seeds], [base[s] for s in seeds])
            y = row + 0.8 * (k / max(1, len(drawn) - 1) - 0.5)
            bar = [[found.ratio - found.low], [found.high - found.ratio]]
            label = NAMES.get(who, who.replace("_", " ")) if row == 0 else None
            ax.errorbar(found.ratio, y, xerr=bar, fmt="o", ms=4, color=f"C{k}", label=label)
    ax.axvline(1, color="k", lw=0.8)
    ax.set_xscale("log")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel("error over that of the dense network")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    fig.savefig(folder / "tasks_study.png", dpi=140)
    plt.close(fig)


def main() -> None:
    """Run or tabulate."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    given = parser.parse_args()
    if given.what == "run":
        run(given.seeds, given.data_dir, given.folder)
    else:
        table(read())


if __name__ == "__main__":
    main()
