"""Pruning: what each step and each baseline does to a network."""

from __future__ import annotations

from analysis.pruning.balance import balanced_mask
from analysis.pruning.baselines import BASELINES, Baseline, prune_baseline
from analysis.pruning.compensate import (
    Compensation,
    apply_gains,
    mean_shift,
    noise_rates,
    slow_rates,
    variance_gains,
)
from analysis.pruning.linear_networks import (
    noise_probabilities,
    prune_linear,
    spectral_distance,
)
from analysis.pruning.linear_response import (
    calibrated_scale,
    covariance,
    hurwitz_scale,
    is_hurwitz,
    spectral_abscissa,
    system_matrix,
)
from analysis.pruning.neurons import betweenness, leverage, select_neurons
from analysis.pruning.refit import refit, refit_weights
from analysis.pruning.result import PruneResult, PruneStep
from analysis.pruning.rewiring import delocalise, inverse_participation_ratio
from analysis.pruning.sampling import keep_probabilities, sample_exact
from analysis.pruning.synapses import (
    coupling_matrix,
    keeping_scores,
    literal_weights,
    lyapunov_matrix,
)
from analysis.pruning.timescales import TimescaleSearch, apply_timescales

__all__ = [
    "BASELINES",
    "Baseline",
    "Compensation",
    "PruneResult",
    "PruneStep",
    "TimescaleSearch",
    "apply_gains",
    "apply_timescales",
    "balanced_mask",
    "betweenness",
    "calibrated_scale",
    "coupling_matrix",
    "covariance",
    "delocalise",
    "hurwitz_scale",
    "inverse_participation_ratio",
    "is_hurwitz",
    "keep_probabilities",
    "keeping_scores",
    "leverage",
    "literal_weights",
    "lyapunov_matrix",
    "mean_shift",
    "noise_probabilities",
    "noise_rates",
    "prune_baseline",
    "prune_linear",
    "refit",
    "refit_weights",
    "sample_exact",
    "select_neurons",
    "slow_rates",
    "spectral_abscissa",
    "spectral_distance",
    "system_matrix",
    "variance_gains",
]
