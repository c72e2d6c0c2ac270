"""How well pruned copies of Brian2's example CUBA do what CUBA does.

    python scripts/own_model.py                                    # prints a table
    python scripts/own_model.py --json docs/results/own_model.json

The model knows nothing of this package. Each method keeps the same number of synapses of each
kind; every pruned model runs from the same initial state as the whole one, and its fidelity
stands beside that of the model to itself from another initial state. Mean and standard error
over models drawn from the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
from brian2 import NeuronGroup, Synapses, ms, mV

from analysis.metrics import mean_and_stderr
from brain_lnp import prune_model, use_device

EQUATIONS = """
dv/dt = (ge + gi - (v - El))/taum : volt (unless refractory)
dge/dt = -ge/taue : volt
dgi/dt = -gi/taui : volt
"""
MEASURES = ("rate_after", "rate_error", "rate_correlation", "population_correlation", "cv_after")
METHODS = ("lnp", "random_matched", "random", "magnitude")


def cuba(n: int, k: int, seed: int) -> tuple[NeuronGroup, list[Synapses], dict[str, Any]]:
    """Vogels & Abbott's network as of Brian2's examples, ``k`` inputs a neuron."""
    names = {
        "taum": 20 * ms, "taue": 5 * ms, "taui": 10 * ms, "Vt": -50 * mV, "Vr": -60 * mV,
        "El": -49 * mV, "we": 60 * 0.27 / 10 * mV, "wi": -20 * 4.5 / 10 * mV,
    }  # fmt: skip
    rng = np.random.default_rng(seed)
    group = NeuronGroup(
        n, EQUATIONS, threshold="v > Vt", reset="v = Vr", refractory=5 * ms, method="exact",
        namespace=names,
    )  # fmt: skip
    group.v = rng.uniform(-60, -50, n) * mV
    excitation = Synapses(group, group, on_pre="ge += we", namespace=names, name="excitation")
    inhibition = Synapses(group, group, on_pre="gi += wi", namespace=names, name="inhibition")
    first = round(0.8 * n)
    joined = rng.random((n, n)) < k / n
    for synapses, rows in ((excitation, slice(0, first)), (inhibition, slice(first, n))):
        i, j = np.nonzero(joined[rows])
        synapses.connect(i=i + rows.start, j=j)
    return group, [excitation, inhibition], names


def row(seed: int, share: float, given: argparse.Namespace) -> list[dict[str, Any]]:
    """What every method comes to on one model."""
    group, synapses, names = cuba(given.neurons, given.inputs, seed)
    found: list[dict[str, Any]] = []
    for method in METHODS:
        for compensate in (False, "variance", "mean"):
            result = prune_model(
                group, synapses, synapses={one.name: share for one in synapses}, method=method,
                compensate=compensate, seed=seed, duration=f"{given.seconds} s", namespace=names,
                rebuild=False,
            )  # fmt: skip
            assert result.fidelity is not None and result.ceiling is not None
            if not found:
                before = {"rate_before": result.fidelity.rate_before}
                found.append({"method": "itself", "paid": "", **result.ceiling.to_dict(), **before})
            paid = str(compensate or "nothing")
            found.append({"method": method, "paid": paid, **result.fidelity.to_dict()})
    return [{"seed": seed, "kept": share, **one} for one in found]


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neurons", type=int, default=1000)
    parser.add_argument("--inputs", type=int, default=80)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--share", type=float, nargs="+", default=[0.5])
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with use_device("auto"):
        rows = [one for share in given.share for s in given.seeds for one in row(s, share, given)]
    print(f"| kept | method | paid back | {' | '.join(MEASURES)} |")
    print("|---:|---|---|" + "---:|" * len(MEASURES))
    for key in dict.fromkeys((one["kept"], one["method"], one["paid"]) for one in rows):
        members = [one for one in rows if (one["kept"], one["method"], one["paid"]) == key]
        cells = []
        for name in MEASURES:
            values = [np.nan if one[name] is None else one[name] for one in members]
            mean, stderr = mean_and_stderr(values) if len(values) > 1 else (values[0], np.nan)
            cells.append(f"{mean:.2f} ± {stderr:.2f}")
        print(f"| {key[0]:g} | {key[1]} | {key[2]} | {' | '.join(cells)} |")
    if given.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        data = {"machine": machine, "neurons": given.neurons, "inputs": given.inputs, "rows": rows}
        given.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
