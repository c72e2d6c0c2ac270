"""Lyapunov spectra before and after

The ten largest exponents of the whole network under one frozen noise, with standard errors, and
how the largest ones settle while the average grows longer.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis import plots
from brain_lnp import HRSNNSpec, lyapunov_spectrum, prune, sample_hrsnn
from models_eq import noise_stimulus


def draw() -> Figure:
    """Draw the figure."""
    net = sample_hrsnn(HRSNNSpec(n=100), seed=1)
    sparse = prune(net, method="random_gain", synapses=0.2, seed=1).net
    found = {}
    for name, one in (("dense", net), ("random_gain", sparse)):
        noise = noise_stimulus(one, "4 s", seed=1)
        found[name] = lyapunov_spectrum(one, noise, k=10, duration="3 s", transient="1 s", seed=1)
    figure = Figure(figsize=(8.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    plots.lyapunov_spectrum(found, left)
    plots.convergence(found["random_gain"], right)
    return figure
