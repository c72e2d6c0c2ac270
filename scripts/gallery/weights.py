"""What pruning leaves

Weights of a small-world network before and after pruning to a fifth, on the original indices, and
their magnitudes: what is kept is stronger, so that the recurrent input keeps its variance.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis import plots
from brain_lnp import HRSNNSpec, prune, sample_hrsnn


def draw() -> Figure:
    """Draw the figure."""
    net = sample_hrsnn(HRSNNSpec(n=120), seed=1)
    sparse = prune(net, method="lnp_calibrated", synapses=0.2, n_iter=1, seed=1).net
    figure = Figure(figsize=(9.0, 3.0), layout="constrained")
    axes = figure.subplots(1, 3)
    plots.weight_matrix(net, sparse, axes[:2])
    plots.weight_histogram(net, sparse, axes[2])
    return figure
