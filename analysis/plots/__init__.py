"""Figures: each function takes a result and ``ax=None``, and returns the axes it drew on.

matplotlib is imported when a function is called, and no global setting of it is touched.
"""

from __future__ import annotations

from analysis.plots.activity import node_exponents, raster, rate_histogram
from analysis.plots.labels import confusion
from analysis.plots.lyapunov import (
    convergence,
    displacement_growth,
    local_exponents,
    lyapunov_spectrum,
)
from analysis.plots.network import node_exponents_on_network
from analysis.plots.results import error_against_sops, prediction
from analysis.plots.structure import eigenvalue_spectrum, weight_histogram, weight_matrix

__all__ = [
    "confusion",
    "convergence",
    "displacement_growth",
    "eigenvalue_spectrum",
    "error_against_sops",
    "local_exponents",
    "lyapunov_spectrum",
    "node_exponents",
    "node_exponents_on_network",
    "prediction",
    "raster",
    "rate_histogram",
    "weight_histogram",
    "weight_matrix",
]
