"""A displacement grows or fades

Copies of one network under one frozen input, a little apart at the start: their distance over
time, and the rate at which it shrinks.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis import displacement_growth, plots
from brain_lnp import HRSNNSpec, sample_hrsnn
from models_eq import noise_stimulus


def draw() -> Figure:
    """Draw the figure."""
    net = sample_hrsnn(HRSNNSpec(n=60), seed=1)
    noise = noise_stimulus(net, "2 s", seed=1)
    found = displacement_growth(net, noise, copies=4, seed=1)
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    plots.displacement_growth(found, figure.subplots())
    return figure
