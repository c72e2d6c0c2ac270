"""The jobs of the study: networks of one family and seed, pruned and judged."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedKFold
from study_networks import CONTROLS, VARIANTS, dense_network

from analysis import LinearReadout, fidelity, lyapunov_spectrum, node_exponents
from analysis.pruning import refit
from brain_lnp import prune, tasks
from brain_lnp.evaluation import evaluate_batch, task_features, task_stimulus
from brain_lnp.transfer import transfer
from models_eq import HRSNN, noise_stimulus, simulate, use_device
from models_eq.errors import BrainLNPError

TASKS = ("x1", "xh", "nh", "digits")
Row = dict[str, Any]


def four_tasks(seed: int) -> list[Any]:
    """x1 and xh: Lorenz63 from x alone, 1 and 10 samples ahead; nh: from all, 10; digits."""
    return [
        tasks.lorenz63(observe="x", horizon=1, seed=seed),
        tasks.lorenz63(observe="x", horizon=10, seed=seed),
        tasks.lorenz63(observe="xyz", horizon=10, seed=seed),
        tasks.digits(seed=seed),
    ]


def _activity_stimuli(seed: int, n: int) -> list[Any]:
    """What activity-based pruning sees: 5 s of each Lorenz input, 100 digits."""
    x, _, full, digits = four_tasks(seed)
    return [
        task_stimulus(x, n, part="train", limit=500),
        task_stimulus(full, n, part="train", limit=500),
        task_stimulus(digits, n, part="train", limit=100),
    ]


def pruned(dense: HRSNN, name: str, synapses: float, neurons: float, seed: int) -> tuple[Any, Row]:
    """Prune by a variant; the network, and what the steps said of it."""
    variant = {**VARIANTS, **CONTROLS}[name]
    given: dict[str, Any] = {"synapses": synapses, "neurons": neurons}
    if variant.sees_the_task:
        given["stimulus"] = _activity_stimuli(seed, dense.n)
        given["neurons"] = None if neurons == 1.0 else neurons
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = prune(dense, variant.method, seed=seed, **given, **variant.options)
    found: Row = {"seconds": time.perf_counter() - started, "stopped": result.stopped}
    paid, chosen = result.diagnostics("compensate"), result.diagnostics("synapses")
    found["factor"] = paid.get("factor")
    found["capacity"] = max(paid["capacity"]) if "capacity" in paid else None
    found["cv_p"] = chosen.get("cv_p")
    retimed = result.diagnostics("timescales")
    found["m"], found["k"] = (retimed.get(key) for key in ("scale", "spread"))
    return result.net, found


def measure(
    family: str, n: int, seed: int, cells: list[tuple[str, float, float]], coupling: float | None
) -> Row:
    """Rows of several variants and the dense network they come from.

    Parameters
    ----------
    family, n, seed
        Which dense network.
    cells : list of (variant, synapses, neurons)
    coupling : float, optional
        In place of the tuned one.
    """
    with use_device("auto"):
        dense = dense_network(family, n, seed, coupling)
        rows: list[Row] = []
        nets = []
        for name, synapses, neurons in cells:
            row: Row = {
                "family": family, "n": n, "seed": seed, "variant": name, "synapses": synapses,
                "neurons": neurons, "coupling": coupling,
            }  # fmt: skip
            try:
                net, found = pruned(dense, name, synapses, neurons, seed)
            except BrainLNPError as error:
                # Such as a budget that the neurons which a method keeps cannot meet.
                rows.append({**row, "failed": f"{type(error).__name__}: {error}"})
                continue
            rows.append({**row, **found})
            nets.append(net)
        judged = iter(zip(nets, evaluate_batch(nets, four_tasks(seed), seed=seed), strict=True))
        for row in rows:
            if "failed" in row:
                continue
            net, found = next(judged)
            row |= _scores(net, found)
            exponents = node_exponents(net, seed=seed)
            row["mean_exponent"] = float(exponents.exponents.mean())
            row["mean_abs_exponent"] = float(np.abs(exponents.exponents).mean())
    return {"rows": rows}


def _scores(net: HRSNN, found: list[Any]) -> Row:
    row: Row = {"kept_neurons": net.n, "kept_synapses": net.n_synapses}
    for task, one in zip(TASKS, found, strict=True):
        row[task] = one.error
        row[f"{task}_validation"] = one.validation
        row[f"{task}_sops"] = one.sops_per_second
    row["rate"] = found[1].mean_rate
    # Series and images count the same.
    row["sops"] = float(np.mean([found[0].sops_per_second, found[3].sops_per_second]))
    return row


def folds(family: str, n: int, seed: int, cells: list[tuple[str, float, float]], _: Any) -> Row:
    """Errors on all 1,797 digits by five-fold cross-validation, the readout's strength inside."""
    with use_device("auto"):
        dense = dense_network(family, n, seed)
        task = tasks.digits(seed=seed)
        stimulus = task_stimulus(task, n)
        rows = []
        for name, synapses, neurons in cells:
            net, _found = pruned(dense, name, synapses, neurons, seed)
            features = task_features(simulate(net, stimulus, seed=seed), task, 0.05, net)
            split = StratifiedKFold(5, shuffle=True, random_state=seed)
            wrong = 0
            for fit, test in split.split(features, task.targets):
                readout = LinearReadout().for_targets(task.targets)
                readout.fit(features[fit], task.targets[fit])
                wrong += int(np.sum(readout.predict(features[test]) != task.targets[test]))
            rows.append(
                {"family": family, "n": n, "seed": seed, "variant": name, "synapses": synapses,
                 "neurons": neurons, "error": wrong / len(task.targets)}
            )  # fmt: skip
    return {"rows": rows}


def faithful(family: str, n: int, seed: int, cells: list[tuple[str, float, float]], _: Any) -> Row:
    """How well networks stand in for the dense one, and its own readout used unchanged."""
    with use_device("auto"):
        dense = dense_network(family, n, seed)
        nets = []
        for name, synapses, _neurons in cells:
            if name == "refit":
                nets.append(refit(dense, round(synapses * dense.n_synapses), seed=seed)[0])
            else:
                nets.append(prune(dense, name, synapses=synapses, treatment="shift", seed=seed).net)
        task = tasks.lorenz63(observe="x", horizon=10, seed=seed)
        carried = transfer(dense, nets, [task], seed=seed)
        robust = transfer(dense, nets, [task], robust=True, seed=seed)
        rows = []
        for (name, synapses, _neurons), net, (one,), (two,) in zip(
            cells, nets, carried, robust, strict=True
        ):
            found = fidelity(dense, net, seed=1000 + seed)
            rows.append(
                {"family": family, "n": n, "seed": seed, "variant": name, "synapses": synapses,
                 "share": found.share, "ceiling": found.ceiling, "median": found.median,
                 "rate_error": found.rate_error, "transfer": one.ratio, "robust": two.ratio,
                 "robust_dense": two.readout_error / two.dense_error}
            )  # fmt: skip
    return {"rows": rows}


def spectra(family: str, n: int, seed: int, cells: list[tuple[str, float, float]], _: Any) -> Row:
    """The 20 leading Lyapunov exponents, under the noise that pruning uses and under a task."""
    with use_device("auto"):
        dense = dense_network(family, n, seed)
        task = tasks.lorenz63(observe="x", horizon=10, seed=seed)
        driven = task_stimulus(task, n, part="train", limit=round(2.5 / task.hold))
        rows = []
        for name, synapses, neurons in cells:
            net, _found = pruned(dense, name, synapses, neurons, seed)
            row = {
                "family": family, "n": n, "seed": seed, "name": f"{name}, {100 * synapses:g} %"
            }  # fmt: skip
            noise = noise_stimulus(net, "2.5 s", seed=seed, repetition=99)
            for prefix, stimulus in (("", noise), ("task_", driven)):
                found = lyapunov_spectrum(
                    net, stimulus, k=20, duration="2 s", transient="0.5 s", dt="1 ms",
                    method="saltation", seed=seed,
                )  # fmt: skip
                row[f"{prefix}exponents"] = found.exponents.tolist()
                row[f"{prefix}stderr"] = found.stderr.tolist()
            rows.append(row)
    return {"rows": rows}
