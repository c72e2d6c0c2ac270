"""Error against what it costs

Three ways to spend the same budgets, three seeds each, on one small task: mean and standard error
of both the error and the synaptic operations. At this size the ways overlap; [the
study](pruning_study.md) has the large one.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis import plots
from brain_lnp import HRSNNSpec, evaluate, prune, sample_hrsnn, tasks
from brain_lnp.summary import summarise

METHODS = ("random_gain", "random_matched", "magnitude")


def draw() -> Figure:
    """Draw the figure."""
    rows = []
    for seed in (101, 102, 103):
        net = sample_hrsnn(HRSNNSpec(n=60), seed=seed)
        task = tasks.lorenz63(
            observe="x", horizon=5, seed=seed, n_train=300, n_validation=80, n_test=150
        )
        nets = {("dense", 1.0): net}
        for method in METHODS:
            for share in (0.5, 0.1):
                nets[method, share] = prune(net, method=method, synapses=share, seed=seed).net
        for (method, share), one in nets.items():
            row = {"seed": seed, "method": method, "synapses": share, "neurons": 1.0}
            rows.append({**row, **evaluate(one, task, seed=seed).to_dict(), "task": "lorenz63"})
    figure = Figure(figsize=(5.0, 4.2), layout="constrained")
    ax = figure.subplots()
    plots.error_against_sops(summarise(rows), ax, value="error", sops="sops_per_second")
    return figure
