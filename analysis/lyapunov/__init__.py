"""Lyapunov exponents of networks, of any Brian2 model, of smooth systems, of single neurons."""

from __future__ import annotations

from analysis.lyapunov.displacement import DisplacementGrowth, displacement_growth
from analysis.lyapunov.eventdriven import simulate_events
from analysis.lyapunov.flows import Flow, Map
from analysis.lyapunov.node_growth import perturbed_exponents, weighted_exponents
from analysis.lyapunov.nodes import NodeExponents, conditional_exponents, node_exponents
from analysis.lyapunov.result import LyapunovResult
from analysis.lyapunov.spectrum import lyapunov_spectrum

__all__ = [
    "DisplacementGrowth",
    "Flow",
    "LyapunovResult",
    "Map",
    "NodeExponents",
    "conditional_exponents",
    "displacement_growth",
    "lyapunov_spectrum",
    "node_exponents",
    "perturbed_exponents",
    "simulate_events",
    "weighted_exponents",
]
