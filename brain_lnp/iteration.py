"""One iteration of Lyapunov Noise Pruning: its steps, on a network and its compensated twin."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from analysis.lyapunov.nodes import NodeExponents, conditional_exponents, node_exponents
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
from models_eq.errors import BudgetError, ConvergenceError, ParameterError, SilentNetworkError
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
        self._found: tuple[NodeExponents | None, np.ndarray] | None = None
        self._rates: np.ndarray | None = None

    def rng(self, k: int, part: int) -> np.random.Generator:
        """Generator of one part of iteration ``k``."""
        return stream(self.seed, "prune", 20, k, part)

    def note(self, name: str, net: HRSNN, **found: Any) -> None:
        """Record a step and what it measured."""
        self.steps.append(PruneStep(name, net.n, net.n_synapses, found))

    def exponents(self, k: int, net: HRSNN) -> tuple[NodeExponents | None, np.ndarray]:
        """Node exponents and rates of a network under noise; None where nothing spikes."""
        settings = self.settings
        noise = noise_stimulus(
            net, settings.noise_duration, sd=settings.noise_sd, seed=self.seed, repetition=k
        )
        run = simulate(net, noise, dt=settings.dt, record=["spike_state"], seed=self.seed)
        if run.n_spikes == 0:
            return None, rates(run)
        if settings.exponents == "conditional":
            return conditional_exponents(net, run), rates(run)
        found = node_exponents(net, noise, definition=settings.exponents, seed=self.seed)
        return found, rates(run)

    def iterate(self, k: int, m_k: int, n_k: int, *, target: int, last: bool) -> str | None:
        """One iteration to ``m_k`` synapses and ``n_k`` neurons.

        Returns None, or why what it came to is no good; everything is then as before it.
        """
        mark = len(self.steps)
        found, rate = self.exponents(0, self.dense) if self._found is None else self._found
        if found is None:
            raise SilentNetworkError(
                "net",
                "a network that spikes under noise",
                "no spike at all",
                "Raise i_ext or the noise (noise_sd), or lower v_th",
            )
        scores, matrix, linear = self.synapse_scores(found)
        raw = self.raw
        m_k = min(m_k, raw.n_synapses)
        self.note(
            "exponents", raw, definition=found.definition,
            mean=float(found.exponents.mean()), sd=float(found.exponents.std()),
            silent=int((rate == 0).sum()), mean_rate=float(rate.mean()), **linear,
        )  # fmt: skip
        if n_k < raw.n:
            keep = self.choose_neurons(k, raw, scores, m_k, n_k, rate)
            inside = keep[raw.i] & keep[raw.j]
            available = int(inside.sum())
            # On the way there fewer than planned will do; at the end the count is exact.
            if available < (m_k if last else target):
                raise BudgetError(
                    "synapses",
                    f"at most the {available} synapses among the {n_k} neurons kept",
                    m_k if last else target,
                    "Keep more neurons or fewer synapses",
                )
            m_k = min(m_k, available)
            raw, scores, matrix = raw.keep_neurons(keep), scores[inside], matrix[inside]
            self.note("neurons", raw, score=self.settings.neuron_score)
        kept, matrix = self.choose_synapses(k, raw, scores, matrix, m_k)
        wider = self.rewire(k, kept, matrix, linear["scale"], m_k - kept.n_synapses)
        raw = self.top_up(k, wider, raw, scores, m_k - wider.n_synapses)
        share = _largest_part(raw)
        if share < self.settings.connected:
            return self._back(
                mark, f"the network fell apart (largest part {share:.0%} of the neurons)"
            )
        paid = self.pay(raw, last)
        judged = self.exponents(k + 1, paid)
        if (why := _trouble(judged[0])) is not None:
            return self._back(mark, why)
        self.raw, self.paid, self._found = raw, paid, judged
        return None

    def _back(self, mark: int, why: str) -> str:
        """Forget the steps of an iteration that came to nothing, so that they describe the net."""
        del self.steps[mark:]
        return why

    def settle(self) -> None:
        """After an early stop: the final treatment for the last good network, if it bears it."""
        if self.raw is self.dense or self.treatment(last=True) == self.treatment(last=False):
            return
        mark = len(self.steps)
        paid = self.pay(self.raw, last=True)
        if _trouble(self.exponents(0, paid)[0]) is None:
            self.paid = paid
        else:
            del self.steps[mark:]

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
        else:
            scale = float(calibrated_scale(net.tau_m, coupling))
        linear["scale"] = scale
        if literal:
            c, linear["scale"] = _edge_covariance(net, coupling, scale)
        else:
            c = covariance(system_matrix(net.tau_m, coupling, scale), 2.0 / net.tau_m)
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

    def treatment(self, last: bool) -> Treatment:
        """How a mask is paid back; the tuned gain, which takes long, at the end only."""
        final: Treatment = {"tuned": "tuned", "calibrated": "shift", "literal": "none"}[  # type: ignore[assignment]
            self.settings.mode
        ]
        treatment = self.settings.treatment or final
        return "shift" if treatment == "tuned" and not last else treatment

    def pay(self, raw: HRSNN, last: bool) -> HRSNN:
        """Compensate the mask; always from the dense weights, so that gains do not pile up."""
        compensation = Compensation(self.treatment(last), self.seed)
        paid, found = compensation(self.dense, raw, self.dense_rates)
        self.note("compensate", paid, **found)
        return paid

    def dense_rates(self) -> np.ndarray:
        """Rates of the dense network under the drive that the mean shift is measured with."""
        if self._rates is None:
            settings = self.settings
            if settings.mode == "tuned":
                self._rates = slow_rates(self.dense, seed=self.seed, dt=settings.dt)
            else:
                self._rates = noise_rates(
                    self.dense, seed=self.seed, duration=settings.noise_duration, dt=settings.dt
                )
        return self._rates


def _trouble(found: NodeExponents | None) -> str | None:
    """What is wrong with a network that has these exponents under noise, if anything."""
    if found is None:
        return "the network fell silent under noise"
    mean = float(found.exponents.mean())
    if mean >= 0:
        return f"the network lost stability (mean node exponent {mean:+.3g} 1/s)"
    return None


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


def _largest_part(net: HRSNN) -> float:
    """Share of the neurons in the largest weakly connected part."""
    _, label = connected_components(net.weights, directed=True, connection="weak")
    return float(np.bincount(label).max() / net.n)
