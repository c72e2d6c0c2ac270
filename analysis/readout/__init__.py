"""Readouts: scikit-learn estimators from filtered spikes to targets."""

from __future__ import annotations

from analysis.readout.linear import LinearClassifier, LinearReadout

__all__ = ["LinearClassifier", "LinearReadout"]
