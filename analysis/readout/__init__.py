"""Readouts: scikit-learn estimators from filtered spikes to targets."""

from __future__ import annotations

from analysis.readout.feedback import FeedbackReadout
from analysis.readout.linear import LinearClassifier, LinearReadout
from analysis.readout.stdp import STDPReadout

__all__ = ["FeedbackReadout", "LinearClassifier", "LinearReadout", "STDPReadout"]
