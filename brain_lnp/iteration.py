"""One iteration of Lyapunov Noise Pruning: its steps, on a network and its compensated twin."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from analysis.lyapunov.nodes import NodeExponents, conditional_exponents
from analysis.pruning.compensate import Compensation, Treatment, noise_rates, slow_rates
from analysis.pruning.linear_response import (
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
from analysis.pruning.synapses import (
    balanced_mask,
    coupling_matrix,
    keep_probabilities,
    keeping_scores,
    leak_correction,
    literal_weights,
    lyapunov_matrix,
    sample_exact,
)
from analysis.spikes import rates
from models_eq.errors import BudgetError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.simulate import simulate
from models_eq.stimulus import noise_stimulus

if TYPE_CHECKING:
    from brain_lnp.lnp import LNP


class StabilityWarning(UserWarning):
    """The linear model of the literal recipe is not stable and had to be scaled down."""


class PruningRun:
    """State of one pruning run: the raw network (weights as drawn) and its compensated twin."""

    def __init__(self, settings: LNP, dense: HRSNN, seed: int) -> None:
        self.settings, self.dense, self.seed = settings, dense, seed
        self.raw = self.paid = dense
        self.steps: list[PruneStep] = []
        self._rates: np.ndarray | None = None

    def rng(self, k: int, part: int) -> np.random.Generator:
        """Generator of one part of iteration ``k``."""
        return stream(self.seed, "prune", 20, k, part)

    def note(self, name: str, net: HRSNN, **found: Any) -> None:
        """Record a step and what it measured."""
        self.steps.append(PruneStep(name, net.n, net.n_synapses, found))

    def exponents(self, k: int) -> tuple[NodeExponents | None, np.ndarray]:
        """Node exponents and rates under noise; None where nothing spikes."""
        noise = noise_stimulus(
            self.paid,
            self.settings.noise_duration,
            sd=self.settings.noise_sd,
            seed=self.seed,
            repetition=k,
        )
        run = simulate(
            self.paid, noise, dt=self.settings.dt, record=["spike_state"], seed=self.seed
        )
        if run.n_spikes == 0:
            return None, rates(run)
        return conditional_exponents(self.paid, run), rates(run)

    def iterate(self, k: int, m_k: int, n_k: int, last: bool) -> str | None:
        """One iteration; a reason to stop, or None."""
        settings = self.settings
        found, rate = self.exponents(k)
        if found is None:
            if k == 0:
                raise SilentNetworkError(
                    "net",
                    "a network that spikes under noise",
                    "no spike at all",
                    "Raise i_ext or the noise (noise_sd), or lower v_th",
                )
            return "the network fell silent under noise"
        mean = float(found.exponents.mean())
        if k > 0 and mean >= 0:
            return f"the network lost stability (mean node exponent {mean:+.3g} 1/s)"
        scores, matrix, linear = self.synapse_scores(found)
        raw = self.raw
        self.note(
            "exponents", raw, mean=mean, sd=float(found.exponents.std()),
            silent=int((rate == 0).sum()), mean_rate=float(rate.mean()), **linear,
        )  # fmt: skip
        if n_k < raw.n:
            keep = self.choose_neurons(k, raw, scores, m_k, n_k, rate)
            inside = keep[raw.i] & keep[raw.j]
            if int(inside.sum()) < m_k:
                raise BudgetError(
                    "synapses",
                    f"at most the {int(inside.sum())} synapses among the {n_k} neurons kept",
                    m_k,
                    "Keep more neurons or fewer synapses",
                )
            raw, scores, matrix = raw.keep_neurons(keep), scores[inside], matrix[inside]
            self.note("neurons", raw, score=settings.neuron_score)
        raw, matrix = self.choose_synapses(k, raw, scores, matrix, m_k)
        raw = self.rewire(k, raw, matrix, linear["scale"], m_k - raw.n_synapses)
        share = _largest_part(raw)
        if share < settings.connected:
            return f"the network fell apart (largest part {share:.0%} of the neurons)"
        self.raw = raw
        self.pay(raw, last)
        return None

    def synapse_scores(self, found: NodeExponents) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """Step I: scores and Lyapunov matrix at the synapses, and the linear model's data."""
        literal = self.settings.mode == "literal"
        net = self.paid
        matrix = lyapunov_matrix(
            net,
            found.exponents,
            over=self.settings.over,
            floor=1e-6 if literal else 0.5,
            mode="zero" if literal else "raise",
            times_weight=self.settings.times_weight,
        )
        coupling = coupling_matrix(net, matrix)
        linear: dict[str, Any] = {}
        if literal:
            whole = system_matrix(net.tau_m, coupling, 1.0)
            scale = 1.0
            if not is_hurwitz(whole):
                abscissa = float(spectral_abscissa(whole))
                scale = float(hurwitz_scale(net.tau_m, coupling, at_most=1.0))
                linear["abscissa"] = abscissa
                warnings.warn(
                    f"the linear model -D + L is not Hurwitz (abscissa {abscissa:+.4g} 1/s); "
                    f"L is scaled by {scale:.3g}",
                    StabilityWarning,
                    stacklevel=4,
                )
            q = np.ones(net.n)
        else:
            scale = float(calibrated_scale(net.tau_m, coupling))
            q = 2.0 / net.tau_m
        linear["scale"] = scale
        a = system_matrix(net.tau_m, coupling, scale)
        # At the edge of stability the equation is ill conditioned: that is the literal recipe.
        c = covariance(a, q, method="scipy" if literal else "smith", rtol=1e-4 if literal else 1e-8)
        return np.maximum(keeping_scores(net, matrix, c), 0.0), matrix, linear

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
            w = coupling_matrix(graph, graph.w)
            scale = calibrated_scale(graph.tau_m, w)
            c = covariance(system_matrix(graph.tau_m, w, scale), 2.0 / graph.tau_m)
            value = leverage(c, n_k)
        return select_neurons(value, n_k, rng, dead=unreachable(graph) | (rate == 0))

    def choose_synapses(
        self, k: int, raw: HRSNN, scores: np.ndarray, matrix: np.ndarray, m_k: int
    ) -> tuple[HRSNN, np.ndarray]:
        """Step I: draw the mask, less what Step III will add."""
        n_add = round(self.settings.add * m_k) if m_k < raw.n_synapses else 0
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

    def pay(self, raw: HRSNN, last: bool) -> None:
        """Compensate the mask; always from the dense weights, so that gains do not pile up."""
        mode = self.settings.mode
        final: Treatment = {"tuned": "tuned", "calibrated": "shift", "literal": "none"}[mode]  # type: ignore[assignment]
        treatment = self.settings.treatment or final
        if treatment == "tuned" and not last:
            treatment = "shift"
        compensation = Compensation(treatment, self.seed)
        self.paid, found = compensation(self.dense, raw, self.dense_rates)
        self.note("compensate", self.paid, **found)

    def dense_rates(self) -> np.ndarray:
        """Rates of the dense network under the drive that the mean shift is measured with."""
        if self._rates is None:
            measure = slow_rates if self.settings.mode == "tuned" else noise_rates
            self._rates = measure(self.dense, seed=self.seed)
        return self._rates


def _largest_part(net: HRSNN) -> float:
    """Share of the neurons in the largest weakly connected part."""
    _, label = connected_components(net.weights, directed=True, connection="weak")
    return float(np.bincount(label).max() / net.n)
