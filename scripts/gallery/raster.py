"""Spikes under one input

The same slow input to a dense network and to what random pruning with a gain leaves of it: a
raster, with the rates of both types above.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis import plots
from brain_lnp import HRSNNSpec, prune, sample_hrsnn, simulate
from models_eq import slow_stimulus
from models_eq.rng import stream


def draw() -> Figure:
    """Draw the figure."""
    net = sample_hrsnn(HRSNNSpec(n=150), seed=1)
    sparse = prune(net, method="random_gain", synapses=0.2, seed=1).net
    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    for ax, one in zip(figure.subplots(1, 2), (net, sparse), strict=True):
        stimulus = slow_stimulus(one.n_origin, 50, rng=stream(0, "input", 2))
        plots.raster(simulate(one, stimulus), one, ax)
    return figure
