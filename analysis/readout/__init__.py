"""Readouts: scikit-learn estimators from filtered spikes to targets."""

from __future__ import annotations

from analysis.readout.linear import LinearClassifier, LinearReadout
from analysis.readout.stdp import STDPReadout

__all__ = ["LinearClassifier", "LinearReadout", "STDPReadout"]
