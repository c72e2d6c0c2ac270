"""Lyapunov exponents: one for each neuron."""

from __future__ import annotations

from analysis.lyapunov.nodes import NodeExponents, conditional_exponents, node_exponents

__all__ = ["NodeExponents", "conditional_exponents", "node_exponents"]
