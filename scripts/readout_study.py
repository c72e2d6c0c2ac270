"""What readouts make of the recorded spikes of one pruned network: digits and MNIST.

Resumable: every row is kept as it comes, features are simulated once. Examples::

    python scripts/readout_study.py run --task digits --data mnist_10k_10k.npz --work runs/readout
    python scripts/readout_study.py tables
    python scripts/readout_study.py figure --work runs/readout

Settings of the STDP readout were chosen on the validation part of seed 1 with a prototype of the
rule; seeds 2 and 3 are there to confirm them. What is reported are test parts of seeds 101-105.
For the test, every readout is fitted to training and validation part together with the settings
that it had, the linear ones with the penalty that they chose there.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from readout_features import REPORT, TUNING, features

from analysis import mean_and_stderr
from analysis.readout import LinearClassifier, STDPReadout
from brain_lnp import use_device

ROWS = Path(__file__).resolve().parent.parent / "docs" / "results" / "readout_rows.json"
FIGURE = ROWS.parent.parent / "figures" / "stdp_weights.png"
EPOCHS = {"digits": 10, "mnist": 3}
READOUTS = ("stdp", "stdp_triplet", "ridge", "logistic")


def estimator(name: str, task: str) -> Any:
    """An unfitted readout."""
    if name == "stdp":
        return STDPReadout(epochs=EPOCHS[task])
    if name == "stdp_triplet":
        return STDPReadout(epochs=EPOCHS[task], a_plus=0.3, triplet=0.3)
    if name == "logistic":
        # Few and strong penalties: weak ones take minutes and won on no validation part.
        return LinearClassifier("logistic", alphas=(1e-4, 1e-3, 1e-2))
    return LinearClassifier("ridge")


def measure(args: argparse.Namespace, task: str, name: str, seed: int) -> dict[str, Any]:
    """One row: validation accuracy of a tuning seed, or test accuracy of a report seed."""
    X, y, (train, validation, test) = features(args.work, args.data, task, seed)
    X = X.astype(float)
    started = time.perf_counter()
    if seed in TUNING:
        fit, held = train, validation
    else:
        fit, held = slice(train.start, validation.stop), test
    model = estimator(name, task)
    if name in ("ridge", "logistic"):
        model.fit(X[train], y[train], X[validation], y[validation])
        if seed not in TUNING:
            model.set_params(alphas=(model.alpha_,), cv=2).fit(X[fit], y[fit], X[fit], y[fit])
    else:
        model.fit(X[fit], y[fit])
    return {
        "task": task, "readout": name, "seed": seed, "part": "validation" if seed in TUNING else
        "test", "accuracy": float(model.score(X[held], y[held])), "features": X.shape[1],
        "n_fit": len(y[fit]), "n_held": len(y[held]), "seconds": time.perf_counter() - started,
    }  # fmt: skip


def load_rows() -> list[dict[str, Any]]:
    """What was measured so far."""
    rows: list[dict[str, Any]] = json.loads(ROWS.read_text()) if ROWS.exists() else []
    return rows


def run(args: argparse.Namespace) -> None:
    """Measure what is not there yet."""
    seeds = args.seeds or (*TUNING, *REPORT)
    for seed in seeds:
        for name in args.readouts:
            key = (args.task, name, seed)
            if any((r["task"], r["readout"], r["seed"]) == key for r in load_rows()):
                continue
            row = measure(args, *key)
            print(row, flush=True)
            rows = [*load_rows(), row]
            rows.sort(key=lambda r: (r["task"], r["readout"], r["seed"]))
            ROWS.parent.mkdir(exist_ok=True)
            ROWS.write_text(json.dumps(rows, indent=1) + "\n")


def tables(_args: argparse.Namespace) -> None:
    """Print accuracies with standard errors over seeds."""
    rows = load_rows()
    print("| task | readout | part | seeds | accuracy |\n|---|---|---|---:|---:|")
    for key in sorted({(r["task"], r["readout"], r["part"]) for r in rows}):
        found = [r["accuracy"] for r in rows if (r["task"], r["readout"], r["part"]) == key]
        mean, error = mean_and_stderr(found) if len(found) > 1 else (found[0], float("nan"))
        print(f"| {' | '.join(key)} | {len(found)} | {mean:.4f} ± {error:.4f} |")


def figure(args: argparse.Namespace) -> None:
    """Weights learnt on digits by the first report seed, and what each group answers to."""
    from matplotlib import pyplot

    from analysis import plots
    from brain_lnp import tasks

    seed = REPORT[0]
    X, y, (train, _, test) = features(args.work, args.data, "digits", seed)
    model = estimator("stdp", "digits").fit(X[train].astype(float), y[train])
    figure = pyplot.figure(figsize=(7.0, 3.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.7, 1))
    plots.readout_weights(model, ax=top.subplots())
    # The mean image at a spike of each group: what the spikes of the reservoir stand for.
    images = tasks.digits(seed=seed).inputs[test][:, :8]
    votes = model.decision_function(X[test].astype(float))
    fields = np.einsum("nk,nab->kab", votes - votes.mean(axis=0), images) / len(images)
    largest = np.abs(fields).max()
    for k, ax in enumerate(bottom.subplots(1, 10)):
        ax.imshow(fields[k], cmap="RdBu_r", vmin=-largest, vmax=largest)
        ax.set_axis_off()
        ax.set_title(str(model.classes_[k]), fontsize=7)
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=160)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("run", "tables", "figure"))
    parser.add_argument("--task", choices=tuple(EPOCHS), default="digits")
    parser.add_argument("--seeds", type=int, nargs="*")
    parser.add_argument("--readouts", nargs="*", default=list(READOUTS))
    parser.add_argument("--data", type=Path, default=Path("mnist_10k_10k.npz"))
    parser.add_argument("--work", type=Path, default=Path("runs/readout"))
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    with use_device("auto"):
        {"run": run, "tables": tables, "figure": figure}[args.stage](args)


if __name__ == "__main__":
    main()
