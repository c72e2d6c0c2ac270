"""What an iteration of Lyapunov Noise Pruning keeps: Steps I to III on one network."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.lyapunov.nodes import NodeExponents
from analysis.pruning.balance import balanced_mask
from analysis.pruning.linear_response import (
    calibrated_covariance,
    calibrated_scale,
    covariance,
    hurwitz_scale,
    is_hurwitz,
    spectral_abscissa,
    system_matrix,
)
from analysis.pruning.neurons import (
    betweenness,
    degree,
    leverage,
    random_scores,
    select_neurons,
    unreachable,
)
from analysis.pruning.result import PruneStep
from analysis.pruning.rewiring import delocalise
from analysis.pruning.sampling import keep_probabilities, sample_exact
from analysis.pruning.synapses import (
    coupling_matrix,
    keeping_scores,
    leak_correction,
    literal_weights,
    lyapunov_matrix,
)
from models_eq.errors import ConvergenceError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream

if TYPE_CHECKING:
    from brain_lnp.lnp import LNP


class StabilityWarning(UserWarning):
    """The linear model of the literal recipe is not stable and had to be scaled down."""


class Selection:
    """Steps I to III, and the record of what each did.

    Attributes
    ----------
    settings : LNP
    seed : int
    steps : list of PruneStep
        In order.
    """

    def __init__(self, settings: LNP, seed: int) -> None:
        self.settings, self.seed = settings, seed
        self.steps: list[PruneStep] = []

    def rng(self, k: int, part: int) -> np.random.Generator:
        """Generator of one part of iteration ``k``."""
        return stream(self.seed, "prune", 20, k, part)

    def note(self, name: str, net: HRSNN, **found: Any) -> None:
        """Record a step and what it measured."""
        self.steps.append(PruneStep(name, net.n, net.n_synapses, found))

    def synapse_scores(
        self, net: HRSNN, found: NodeExponents
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Step I: scores and Lyapunov matrix at the synapses, and the linear model's data."""
        settings = self.settings
        literal = settings.mode == "literal"
        matrix = lyapunov_matrix(
            net,
            found.exponents,
            over=settings.over,
            floor=1e-6 if literal else 0.5,
            mode="zero" if literal else "raise",
            times_weight=settings.weighted,
        )
        if settings.synapse_score == "lyapunov":
            scores, linear = self._noise_scores(net, matrix)
            return scores, matrix, linear
        # Step III still needs a scale for the matrix whose eigenvectors it looks at.
        scale = float(calibrated_scale(net.tau_m, coupling_matrix(net, matrix)))
        if settings.synapse_score == "random":
            return np.ones(net.n_synapses), matrix, {"scale": scale}
        scores, own = self._noise_scores(net, net.w)
        return scores, matrix, {"scale": scale, "scale_of_weights": own["scale"]}

    def _noise_scores(self, net: HRSNN, entries: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Scores of the linear noise-driven network that has these couplings."""
        coupling = coupling_matrix(net, entries)
        linear: dict[str, Any] = {}
        if self.settings.mode == "literal":
            scale = _literal_scale(net, coupling, linear)
            c, scale = _edge_covariance(net, coupling, scale)
        else:
            c, scale = calibrated_covariance(net.tau_m, coupling)
        linear["scale"] = scale
        scores = np.maximum(keeping_scores(net, entries, c), 0.0)
        if self.settings.sharpness != 1.0:
            # Only ratios count; those to the largest cannot overflow.
            scores = (scores / (scores.max(initial=0.0) or 1.0)) ** self.settings.sharpness
        return scores, linear

    def choose_neurons(
        self, k: int, raw: HRSNN, scores: np.ndarray, m_k: int, n_k: int, rate: np.ndarray
    ) -> np.ndarray:
        """Step II: mask of the neurons to keep, judged on a provisionally pruned graph."""
        rng = self.rng(k, 0)
        score_name = self.settings.neuron_score
        graph = raw.keep_edges(sample_exact(keep_probabilities(scores, m_k), rng))
        if score_name == "betweenness":
            value = betweenness(graph, distance=self.settings.distance)
        elif score_name == "degree":
            value = degree(graph)
        elif score_name == "rate":
            value = rate
        elif score_name == "random":
            value = random_scores(graph, rng)
        else:
            c, _ = calibrated_covariance(graph.tau_m, coupling_matrix(graph, graph.w))
            value = leverage(c, n_k)
        dead = unreachable(graph) | (rate == 0) if self.settings.drops_silent_first else None
        return select_neurons(value, n_k, rng, dead=dead)

    def choose_synapses(
        self, k: int, raw: HRSNN, scores: np.ndarray, matrix: np.ndarray, m_k: int
    ) -> tuple[HRSNN, np.ndarray]:
        """Step I: draw the mask, less what Step III will add."""
        n_add = round(self.settings.added * m_k) if m_k < raw.n_synapses else 0
        count = m_k - n_add
        p = keep_probabilities(scores, count)
        spread = float(p.std() / p.mean()) if p.size else 0.0
        rng = self.rng(k, 1)
        if self.settings.mode == "tuned":
            mask = balanced_mask(raw, count, p, rng)
        else:
            mask = sample_exact(p, rng)
        kept = raw.keep_edges(mask)
        found: dict[str, Any] = {"cv_p": spread, "equals_random": spread < 0.1}
        if self.settings.mode == "literal":
            kept = kept.replace(w=literal_weights(raw, mask, p))
            before = coupling_matrix(raw, matrix)
            after = coupling_matrix(kept, matrix[mask] / p[mask])
            found["leak_correction_mean"] = float(np.mean(leak_correction(before, after)))
        self.note("synapses", kept, **found)
        return kept, matrix[mask]

    def rewire(self, k: int, raw: HRSNN, matrix: np.ndarray, scale: float, n_add: int) -> HRSNN:
        """Step III: add edges between second neighbours where eigenvectors are localised."""
        if n_add <= 0:
            return raw
        a = system_matrix(raw.tau_m, coupling_matrix(raw, matrix), scale)
        wider, found = delocalise(raw, a, n_add, self.rng(k, 2))
        self.note("rewire", wider, **found)
        return wider

    def top_up(
        self, k: int, wider: HRSNN, parent: HRSNN, scores: np.ndarray, missing: int
    ) -> HRSNN:
        """Give back dropped synapses where Step III found too few pairs: the count is exact."""
        if missing <= 0:
            return wider
        n = parent.n
        dropped = np.flatnonzero(
            ~np.isin(parent.i * n + parent.j, wider.i * n + wider.j, assume_unique=True)
        )
        p = keep_probabilities(scores[dropped], missing)
        back = dropped[sample_exact(p, self.rng(k, 3))]
        full = wider.add_edges(parent.i[back], parent.j[back], parent.w[back])
        self.note("top_up", full, added=int(back.size))
        return full


def _literal_scale(net: HRSNN, coupling: Any, linear: dict[str, Any]) -> float:
    """1 where the literal linear model is stable; else, with a warning, the largest that is."""
    whole = system_matrix(net.tau_m, coupling, 1.0)
    if is_hurwitz(whole):
        return 1.0
    abscissa = float(spectral_abscissa(whole))
    scale = float(hurwitz_scale(net.tau_m, coupling, at_most=1.0))
    linear["abscissa"] = abscissa
    warnings.warn(
        f"the linear model -D + L is not Hurwitz (abscissa {abscissa:+.4g} 1/s); "
        f"L is scaled by {scale:.3g}",
        StabilityWarning,
        stacklevel=6,
    )
    return scale


def _edge_covariance(net: HRSNN, coupling: Any, scale: float) -> tuple[np.ndarray, float]:
    """Covariance with Q = I at the given scale, or the next below at which it can be computed.

    The literal recipe goes to the very edge of stability, where the equation is singular; how
    far from it the bisection ended is chance, so the scale gives way until the residual is fine.
    """
    for margin in (0.0, 1e-6, 1e-5, 1e-4, 1e-3):
        s = scale * (1.0 - margin)
        a = system_matrix(net.tau_m, coupling, s)
        with suppress(ConvergenceError, ParameterError):
            return covariance(a, np.ones(net.n), method="scipy", rtol=1e-4), s
    s = scale * 0.99
    a = system_matrix(net.tau_m, coupling, s)
    return covariance(a, np.ones(net.n), method="scipy", rtol=1e-4), s
