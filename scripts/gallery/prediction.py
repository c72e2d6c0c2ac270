"""A prediction and its truth

Lorenz63 seen through its first coordinate, all three predicted five samples ahead by a linear
readout of a dense network and of a tenth of its synapses.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis import nrmse, plots
from brain_lnp import HRSNNSpec, prune, sample_hrsnn, tasks
from brain_lnp.reporting.panels import predictions


def draw() -> Figure:
    """Draw the figure."""
    net = sample_hrsnn(HRSNNSpec(n=150), seed=1)
    sparse = prune(net, method="random_matched", synapses=0.1, seed=1).net
    task = tasks.lorenz63(observe="x", horizon=5, seed=1, n_train=500, n_validation=120, n_test=200)
    truth = task.targets[task.split.test]
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    found = predictions({"dense": net, "10 %": sparse}, task, seed=1)
    for ax, (name, guess) in zip(figure.subplots(1, 2), found.items(), strict=True):
        plots.prediction(truth, guess, None, ax, names=("x", "y", "z"))
        ax.set_title(f"{name}: NRMSE {nrmse(truth, guess):.3f}", fontsize=8, loc="left")
    return figure
