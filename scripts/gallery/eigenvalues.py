"""Eigenvalues before and after

Of the recurrent weights of a dense network and of two sparse ones, on one scale. Right of the
dashed line a rate network would lose its stability. Random pruning with a gain that keeps the
variance leaves the radius about as it was.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis import plots
from brain_lnp import HRSNNSpec, prune, sample_hrsnn


def draw() -> Figure:
    """Draw the figure."""
    net = sample_hrsnn(HRSNNSpec(n=200), seed=1)
    nets = {"dense": net}
    for method, title in (("random_gain", "random, 10 %"), ("magnitude", "magnitude, 10 %")):
        nets[title] = prune(net, method=method, synapses=0.1, seed=1).net
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, (name, one) in zip(axes, nets.items(), strict=True):
        plots.eigenvalue_spectrum(one, ax)
        ax.set_title(name, fontsize=9)
    reach = max(abs(end) for ax in axes for end in (*ax.get_xlim(), *ax.get_ylim()))
    for ax in axes:
        ax.set_aspect("equal", adjustable="box")
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    return figure
