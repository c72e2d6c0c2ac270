"""Pruning of a Brian2 user's own NeuronGroup and Synapses."""

from __future__ import annotations

from brain_lnp.usermodel.api import PrunedModel, prune_model

__all__ = ["PrunedModel", "prune_model"]
