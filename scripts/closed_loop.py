"""Free-running prediction of Lorenz63 and Rössler by sparse networks and their baselines.

    python scripts/closed_loop.py tune [--systems lorenz63 rossler] [--methods lnp none]
    python scripts/closed_loop.py run --seeds 101 102 103 104 105
    python scripts/closed_loop.py table

``tune`` looks at free runs on the validation part with tuning seeds, over as many settings for each
method; ``run`` takes each method's best setting (mean valid prediction time over the tuning seeds)
and chooses the ridge penalty alone, again on validation starts, before the test starts are looked
at once. Rows that are in ``docs/results/closed_loop.jsonl`` are not computed again.

Methods: ``lnp`` (2 % of the synapses), ``random_matched`` (a random mask
with all else equal), ``dense``, ``none`` (W = 0, the same readout), ``esn`` (an
echo-state network of as many units). ``--nets FOLDER`` takes ``METHOD_0.02_SEED.npz`` from there in
place of pruning anew.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results" / "closed_loop.jsonl"
FIGURE = ROOT / "docs" / "figures" / "closed_loop.png"
N, KEPT = 1000, 0.02
HOLD, DT, ORDER = "100 ms", "0.2 ms", 3  # of the filters
WASHOUT, TRAIN, COPIES = 100, 3000, 2  # rows; noisy repetitions of the training part
WARM, FREE = 50, {"lorenz63": 400, "rossler": 600}  # rows
VALIDATION, TEST = 8, 50  # starts
# An echo-state network has no noise that would need the larger penalties.
ALPHAS = {"spiking": (1e-8, 1e-6, 1e-4), "esn": (1e-12, 1e-10, 1e-8, 1e-6)}
METHODS = ("lnp", "random_matched", "dense", "none", "esn")
# As many settings for each method. Without noise on its training input nothing stays on the
# attractor of Rössler, whose z rests near 0 between bursts.
GRID: dict[tuple[str, str], dict[str, tuple[Any, ...]]] = {
    ("lorenz63", "spiking"): {
        "tau": (("20 ms",), ("40 ms",)), "noise": (1e-4,), "input_sd": (0.6, 1.2)
    },
    ("lorenz63", "esn"): {"noise": (0.0,), "input_scale": (0.1, 0.5), "radius": (0.4, 0.9)},
    ("rossler", "spiking"): {"tau": (("20 ms",),), "noise": (1e-3, 1e-2), "input_sd": (0.6, 1.2)},
    ("rossler", "esn"): {"noise": (1e-4, 1e-3), "input_scale": (0.1, 0.5), "radius": (0.4,)},
}  # fmt: skip


def settings_of(system: str, method: str) -> list[dict[str, Any]]:
    """All settings that ``tune`` tries for a method."""
    grid = GRID[system, "esn" if method == "esn" else "spiking"]
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


@cache
def task_of(system: str, seed: int) -> Any:
    """The task: training, then validation starts, then test starts, one after the other."""
    from brain_lnp import tasks

    window = WARM + FREE[system]
    return getattr(tasks, system)(
        "xyz", "xyz", 1, seed, washout=WASHOUT, n_train=TRAIN, hold=HOLD,
        n_validation=VALIDATION * window, n_test=TEST * window,
    )  # fmt: skip


def windows(task: Any, system: str, part: str) -> np.ndarray:
    """Stretches of warm-up and free run, shape (starts, rows, 3)."""
    rows = task.inputs[getattr(task.split, part)]
    return rows.reshape(-1, WARM + FREE[system], 3)


@cache
def network(method: str, seed: int, folder: str | None) -> Any:
    """The network of a method."""
    from brain_lnp import HRSNNSpec, load, prune, sample_hrsnn

    stored = Path(folder or ".") / f"{method}_{KEPT}_{seed}.npz"
    if folder and stored.exists():
        net = load(stored)
    else:
        net = sample_hrsnn(HRSNNSpec(n=N, coupling=0.06), seed=seed)
        if method in ("lnp", "random_matched"):
            net = prune(net, method, synapses=KEPT, seed=seed).net
    return net.keep_edges(np.zeros(net.n_synapses, dtype=bool)) if method == "none" else net


def training(task: Any, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is fed (noise on the input), the rows that count, and what truly comes next."""
    from models_eq.rng import stream

    rng = stream(seed, "noise", 11)
    rows = slice(0, WASHOUT + TRAIN)
    clean = task.inputs[rows]
    fed = clean + noise * rng.standard_normal((COPIES, *clean.shape))
    following = np.concatenate([task.targets[task.split.train]] * COPIES)
    return fed, fed[:, WASHOUT:].reshape(-1, 3), following


def free_runs(predictor: Any, model: Any, alphas: tuple[float, ...], starts: np.ndarray) -> Any:
    """Predictions of all penalties side by side, shape (penalties, starts, steps, 3)."""
    weights = []
    for alpha in alphas:
        predictor.use(alpha)
        weights.append((predictor.coef_, predictor.intercept_))

    def predict(state: np.ndarray, present: np.ndarray) -> np.ndarray:
        blocks = zip(np.split(state, len(alphas)), np.split(present, len(alphas)), strict=True)
        found = []
        for (coef, intercept), (x, u) in zip(weights, blocks, strict=True):
            predictor.coef_, predictor.intercept_ = coef, intercept
            found.append(predictor.predict(x, u))
        return np.concatenate(found)

    warm = np.tile(starts[:, :WARM], (len(alphas), 1, 1))
    steps = starts.shape[1] - WARM
    return model(warm, predict, steps).reshape(len(alphas), len(starts), steps, 3)


def trained(method: str, task: Any, seed: int, setting: dict[str, Any], nets: str | None) -> Any:
    """A fitted readout, the model as ``model(warmup, predict, steps)``, and what a row costs."""
    from analysis.echo_state import EchoState
    from analysis.readout.feedback import FeedbackReadout
    from analysis.rowwise import RowwiseRun
    from brain_lnp.closedloop import closed_loop

    fed, present, following = training(task, setting["noise"], seed)
    cost: dict[str, int] = {}
    if method == "esn":
        esn = EchoState(
            N, 3, radius=setting["radius"], input_scale=setting["input_scale"], seed=seed
        )
        state = esn.states(fed)[:, WASHOUT:]

        def model(warm: np.ndarray, predict: Any, steps: int) -> np.ndarray:
            return esn.free_run(warm, predict, steps)
    else:
        net = network(method, seed, nets)
        weights = task.stimulus_weights(net.n_origin) * (setting["input_sd"] / task.input_sd)
        taus = list(setting["tau"])
        driven = RowwiseRun(net, COPIES, HOLD, taus, order=ORDER, dt=DT, seed=seed)
        rows = [driven(fed[:, k] @ weights[:, net.ids]) for k in range(WASHOUT + TRAIN)]
        state = np.stack(rows[WASHOUT:], axis=1)
        cost["sops_per_row"] = round(float(driven.counts @ net.out_degree / driven.rows / COPIES))

        def model(warm: np.ndarray, predict: Any, steps: int) -> np.ndarray:
            return closed_loop(
                net, warm, predict, weights, HOLD, steps=steps, tau=taus, order=ORDER, dt=DT,
                seed=seed, engine="compiled",
            ).prediction  # fmt: skip

    readout = FeedbackReadout().fit(state.reshape(len(present), -1), present, following)
    return readout, model, cost


def times(prediction: np.ndarray, starts: np.ndarray, task: Any) -> np.ndarray:
    """Valid prediction time of each start in Lyapunov times."""
    from analysis import valid_prediction_time

    # Inputs are standardised: the attractor's extent is sqrt(3).
    return np.atleast_1d(
        valid_prediction_time(
            starts[:, WARM:], prediction, task.sample, lyapunov_time=task.lyapunov_time,
            scale=float(np.sqrt(3.0)),
        )
    )  # fmt: skip


def attempt(
    system: str, method: str, seed: int, setting: dict[str, Any], nets: str | None, test: bool
) -> tuple[dict[str, Any], np.ndarray | None]:
    """One row: the penalty chosen on validation starts, then the test starts if asked for."""
    task, began = task_of(system, seed), time.perf_counter()
    readout, model, cost = trained(method, task, seed, setting, nets)
    starts = windows(task, system, "validation")
    alphas = ALPHAS["esn" if method == "esn" else "spiking"]
    runs = free_runs(readout, model, alphas, starts)
    scores = [float(times(run, starts, task).mean()) for run in runs]
    best = int(np.argmax(scores))
    row: dict[str, Any] = {
        "system": system, "method": method, "seed": seed, "setting": setting,
        "alpha": alphas[best], "validation": scores[best], **cost,
    }  # fmt: skip
    prediction = None
    if test:
        starts = windows(task, system, "test")
        prediction = free_runs(readout, model, (alphas[best],), starts)[0]
        found = times(prediction, starts, task)
        row["vpt"] = float(found.mean())
        row["se"] = float(found.std(ddof=1) / np.sqrt(found.size))
        row["starts"] = found.round(3).tolist()
    row["seconds"] = round(time.perf_counter() - began, 1)
    return row, prediction


def stored() -> list[dict[str, Any]]:
    """Rows computed before."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def add(row: dict[str, Any]) -> None:
    """Append a row."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")


def key(row: dict[str, Any]) -> str:
    """What makes a row the same as another."""
    names = ("stage", "system", "method", "seed", "setting")
    return json.dumps([row.get(name) for name in names])


def best_setting(system: str, method: str) -> dict[str, Any]:
    """Setting of the largest mean validation time over tuning seeds."""
    rows = [r for r in stored() if r["stage"] == "tune" and r["system"] == system]
    scores: dict[str, list[float]] = {}
    for row in rows:
        if row["method"] == method:
            scores.setdefault(json.dumps(row["setting"]), []).append(row["validation"])
    if not scores:
        raise SystemExit(f"Nothing tuned for {system}, {method}: run 'tune' first")
    return json.loads(max(scores, key=lambda k: float(np.mean(scores[k]))))


def work(args: argparse.Namespace) -> None:
    """Compute the rows that are missing."""
    done = {key(row) for row in stored()}
    test = args.stage == "run"
    for seed, system, method in itertools.product(args.seeds, args.systems, args.methods):
        for setting in [best_setting(system, method)] if test else settings_of(system, method):
            head = {"stage": args.stage, "system": system, "method": method, "seed": seed,
                    "setting": json.loads(json.dumps(setting))}  # fmt: skip
            if key(head) in done:
                continue
            row, _ = attempt(system, method, seed, setting, args.nets, test)
            add({**head, **row})
            print(json.dumps({k: v for k, v in row.items() if k != "starts"}), flush=True)


def summary() -> list[tuple[str, str, int, float, float]]:
    """(system, method, seeds, mean, standard error over seeds) of the test rows."""
    found = []
    for system, method in itertools.product(FREE, METHODS):
        wanted = ["run", system, method]
        rows = [r for r in stored() if [r["stage"], r["system"], r["method"]] == wanted]
        values = [r["vpt"] for r in rows]
        if len(values) > 1:
            error = float(np.std(values, ddof=1) / np.sqrt(len(values)))
            found.append((system, method, len(values), float(np.mean(values)), error))
    return found


def table() -> None:
    """Print the summary as Markdown."""
    print("| system | method | seeds | VPT (Lyapunov times) |\n|---|---|---|---|")
    for system, method, count, mean, error in summary():
        print(f"| {system} | {method} | {count} | {mean:.2f} ± {error:.2f} |")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("tune", "run", "table"))
    parser.add_argument("--systems", nargs="+", default=list(FREE), choices=list(FREE))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--nets")
    args = parser.parse_args()
    if args.stage == "table":
        table()
        return
    if args.seeds is None:
        args.seeds = [1, 2] if args.stage == "tune" else list(range(101, 106))
    work(args)


if __name__ == "__main__":
    main()
