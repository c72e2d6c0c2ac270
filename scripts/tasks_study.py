"""One pruned network, many tasks: what a sparse network file is worth on each, and beside what.

    python scripts/tasks_study.py run --data-dir DATA     # networks, then errors; resumes
    python scripts/tasks_study.py table                   # docs/tasks_table.md and its figure

For each seed the networks of ``tasks_networks.py`` (1000 neurons, 2 % of the synapses; none of
the choices of ``lnp`` and ``random_matched`` has seen a task) read all tasks through the same kind
of linear readout. Beside them: persistence, ridge on the last 20 inputs, classifiers on raw
pixels, the same readout on the encoder alone, and an echo-state network with as many units, the
best on validation data of six settings. MNIST (10,000 training and 10,000 test images) and N-MNIST
(500 and 100 recordings) have five seeds.
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
from analysis.metrics import accuracy, mean_and_stderr, nrmse
from analysis.readout.linear import LinearReadout
from analysis.streamed import streamed_traces
from brain_lnp import tasks, use_device
from brain_lnp.evaluation import evaluate_batch
from brain_lnp.tasks import trivial
from brain_lnp.tasks.series import csv_series
from brain_lnp.tasks.task import Task
from models_eq.errors import MissingFileError

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS = DOCS / "results" / "tasks_study.jsonl"
SEEDS = tuple(range(101, 111))
LARGE = 5000  # images
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
    if seed in SEEDS[:5]:
        series["N-MNIST"] = lambda: tasks.load_events(
            "nmnist_500_100.npz", directory=data, seed=seed
        )
        series["MNIST"] = lambda: tasks.load_npz_images(
            "mnist_10k_10k.npz", directory=data, seed=seed, n_train=8000, n_validation=2000,
            n_test=10000, licence="none stated (LeCun, Cortes & Burges)",
        )  # fmt: skip
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


def of_images(net: Any, task: Task, seed: int) -> dict[str, float]:
    """What ``evaluate`` finds, by the compiled loop, which tens of thousands of images need."""
    found = streamed_traces(
        net, task.inputs, task.stimulus_weights(net.n_origin), f"{task.hold!r} s", seed=seed
    )
    train, validation, test = task.split
    x, y = found.traces[:, 0], task.targets
    readout = LinearReadout().for_targets(y)
    readout.fit(x[train], y[train], x[validation], y[validation])
    return {
        "error": 1.0 - accuracy(y[test], readout.predict(x[test])),
        "validation": float(readout.validation_error_),
        "sops": float(found.rates @ net.out_degree),
    }


def beside(task: Task, seed: int) -> dict[str, Callable[[], float]]:
    """What stands beside the networks, each computed where it is missing."""
    if task.kind == "images":
        return {
            f"raw_pixels_{kind}": lambda kind=kind: 1.0 - trivial.raw_pixels(task, kind)
            for kind in ("ridge", "logistic")
        }
    return {
        "encoder alone": lambda: trivial.encoder_alone(task),
        "persistence": lambda: trivial.persistence(task),
        "autoregression": lambda: trivial.autoregression(task),
        "echo-state network": lambda: echo_state(task, seed),
    }


def measure(seed: int, data: Path | None, folder: Path, done: set[tuple[str, str]]) -> list[Row]:
    """Errors of networks and baselines of one seed that are missing; wrong share for images."""
    given = named_tasks(seed, data)
    rows: list[Row] = []
    missing = {name: one for name, one in given.items() if (name, NETWORKS[0]) not in done}
    nets = [network(name, seed, folder) for name in NETWORKS] if missing else []
    large = {
        name: one
        for name, one in missing.items()
        if one.kind == "images" and len(one.inputs) > LARGE
    }
    usual = {name: one for name, one in missing.items() if name not in large}
    with use_device("auto"):
        judged = evaluate_batch(nets, list(usual.values()), seed=seed)
    for k, (who, net) in enumerate(zip(NETWORKS, nets, strict=False)):
        found: dict[str, dict[str, float]] = {
            name: {"error": one.error, "validation": one.validation, "sops": one.sops_per_second}
            for name, one in zip(usual, judged[k], strict=True)
        }
        found |= {name: of_images(net, one, seed) for name, one in large.items()}
        size = {"neurons": net.n, "synapses": net.n_synapses}
        rows += [{"seed": seed, "task": task, "who": who, **one, **size}
                 for task, one in found.items()]  # fmt: skip
    for task, one in given.items():
        rows += [{"seed": seed, "task": task, "who": who, "error": made()}
                 for who, made in beside(one, seed).items() if (task, who) not in done]  # fmt: skip
    return rows


def read() -> list[Row]:
    """What was measured."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def run(seeds: list[int], data: Path | None, folder: Path) -> None:
    """Measure the seeds that are missing."""
    there = read()
    for seed in seeds:
        done = {(row["task"], row["who"]) for row in there if row["seed"] == seed}
        lines = [json.dumps(row) + "\n" for row in measure(seed, data, folder, done)]
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
    few = {name: len({r["seed"] for r in rows if r["task"] == name}) for name in names}
    fewer = "".join(f", {n} for {name}" for name, n in few.items() if n < len(seeds))
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
        f"for images; mean ± standard error over {len(seeds)} seeds{fewer}. One network file a "
        "seed serves all tasks: 1000 neurons, 2 % of the synapses, pruned without a task. A "
        "network's readout sees it at the end of each row of a series, and once, at the end, of an "
        "image. The encoder alone is the same readout on the filtered inputs; of images it is the "
        "ridge on all raw pixels.",
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
