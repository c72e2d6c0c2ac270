"""One exponent a neuron

Conditional Lyapunov exponents under frozen noise, over the membrane time constant and on the
network. A neuron that never spikes stands on the curve -1/tau; spikes move it.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis import conditional_exponents, plots
from brain_lnp import HRSNNSpec, sample_hrsnn, simulate
from models_eq import noise_stimulus


def draw() -> Figure:
    """Draw the figure."""
    net = sample_hrsnn(HRSNNSpec(n=150), seed=1)
    run = simulate(net, noise_stimulus(net, "2 s", seed=1), record=["spike_state"])
    found = conditional_exponents(net, run)
    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    plots.node_exponents(found, net, left)
    plots.node_exponents_on_network(net, found, right)
    return figure
