"""Lyapunov Noise Pruning: the loop over its steps, and ``prune`` for every method."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.sparse.csgraph import connected_components

from analysis.lyapunov.nodes import NodeExponents, conditional_exponents
from analysis.pruning.baselines import BASELINES, prune_baseline
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
from analysis.pruning.result import PruneResult, PruneStep, budget
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
from models_eq.errors import BudgetError, ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.rng import check_seed, stream
from models_eq.simulate import simulate
from models_eq.stimulus import Stimulus, noise_stimulus

logger = logging.getLogger("brain_lnp.lnp")

Progress = Callable[[str, int, int], None]
LNP_METHODS = {"lnp": "tuned", "lnp_calibrated": "calibrated", "lnp_literal": "literal"}
NEURON_SCORES = ("betweenness", "degree", "rate", "random", "leverage")


class StabilityWarning(UserWarning):
    """The linear model of the literal recipe is not stable and had to be scaled down."""


@dataclass(frozen=True)
class LNP:
    """Lyapunov Noise Pruning.

    One iteration runs the network under task-agnostic noise, estimates an exponent for every
    neuron, gives each synapse a keeping probability (Step I), drops the neurons that fewest
    shortest paths pass through (Step II), adds a few edges where eigenvectors are localised
    (Step III), and pays back what the mask cost. Iterations follow a geometric schedule to the
    budget. The budget is exact.

    Parameters
    ----------
    mode : {'tuned', 'calibrated', 'literal'}
        ``literal`` follows the paper and Moore & Chaudhuri to the letter; its linear model is
        rarely stable, which is said. ``calibrated`` uses a stable linear model, the
        variance-keeping gain and the mean shift. ``tuned`` also balances degrees and chooses
        one gain factor by the capacity on fresh random input.
    n_iter : int
        Iterations, at least 1.
    over : {'closed', 'endpoints'}
        Neighbourhood of the harmonic mean in the Lyapunov matrix.
    times_weight : bool
        Whether the Lyapunov matrix is multiplied by |w|.
    neuron_score : str
        Score of Step II: ``betweenness``, ``degree``, ``rate``, ``random`` or ``leverage``.
    distance : {'hops', 'inverse_weight'}
        Length of an edge for betweenness.
    add : float
        Share of the synapse budget that Step III adds; 0 leaves the step out.
    noise_sd : float
        Standard deviation that the noise gives to a free membrane.
    noise_duration : str
        Length of the noise in each iteration.
    connected : float
        Pruning stops when the largest weakly connected part holds less than this share of the
        neurons; 0 never stops.
    treatment : {'none', 'variance', 'shift', 'tuned'}, optional
        How the mask is paid back, in place of what the mode says.
    dt : str
        Time step.

    Raises
    ------
    ParameterError
        For a value out of range.

    References
    ----------
    Chakraborty, Kang, Kumar & Mukhopadhyay 2024, arXiv 2403.03409; Moore & Chaudhuri 2020,
    arXiv 2011.07334.

    Examples
    --------
    >>> from models_eq import HRSNNSpec, sample_hrsnn, use_device
    >>> net = sample_hrsnn(HRSNNSpec(n=60), seed=1)
    >>> with use_device("numpy"):
    ...     result = LNP(mode="calibrated", n_iter=2).run(net, synapses=0.25, seed=1)
    >>> result.net.n_synapses, result.stopped
    (180, None)
    """

    mode: Literal["tuned", "calibrated", "literal"] = "tuned"
    n_iter: int = 5
    over: Literal["closed", "endpoints"] = "closed"
    times_weight: bool = False
    neuron_score: str = "betweenness"
    distance: Literal["hops", "inverse_weight"] = "hops"
    add: float = 0.02
    noise_sd: float = 0.35
    noise_duration: str = "3 s"
    connected: float = 0.5
    treatment: Treatment | None = None
    dt: str = "1 ms"

    def __post_init__(self) -> None:
        if self.mode not in ("tuned", "calibrated", "literal"):
            raise ParameterError("mode", "tuned, calibrated or literal", self.mode)
        if isinstance(self.n_iter, bool) or not isinstance(self.n_iter, int) or self.n_iter < 1:
            raise ParameterError("n_iter", "a whole number of at least 1", self.n_iter)
        if self.neuron_score not in NEURON_SCORES:
            raise ParameterError("neuron_score", ", ".join(NEURON_SCORES), self.neuron_score)
        for name, top in (("add", 0.5), ("connected", 1.0)):
            value = getattr(self, name)
            if not 0 <= value <= top:
                raise ParameterError(name, f"a share in 0..{top:g}", value)

    def run(
        self,
        net: HRSNN,
        *,
        synapses: float | int,
        neurons: float | int = 1.0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> PruneResult:
        """Prune ``net`` to a budget.

        Parameters
        ----------
        net : HRSNN
            The dense network.
        synapses, neurons : float or int
            Fraction (or count above 1) to keep.
        seed : int
            Seed of everything random.
        progress : callable, optional
            Called as ``progress(text, done, total)``.

        Returns
        -------
        PruneResult
            ``stopped`` says why, if pruning ended before the budget: the network fell apart,
            fell silent or lost stability; then ``net`` is the last good one.

        Raises
        ------
        BudgetError
            For a budget that cannot be met.
        SilentNetworkError
            If the dense network itself does not spike under the noise.
        """
        seed = check_seed(seed)
        target = budget(synapses, net.n_synapses, "synapses", 1)
        size = budget(neurons, net.n, "neurons", 1)
        run = _Run(self, net, seed)
        for k, (m_k, n_k) in enumerate(_schedule(net, target, size, self.n_iter)):
            if progress is not None:
                progress(f"iteration {k + 1} of {self.n_iter}", k, self.n_iter)
            why = run.iterate(k, m_k, n_k, last=k == self.n_iter - 1)
            if why is not None:
                logger.warning("pruning stopped in iteration %d: %s", k + 1, why)
                return run.result(why)
        if progress is not None:
            progress("done", self.n_iter, self.n_iter)
        return run.result(None)


def _schedule(net: HRSNN, target: int, size: int, n_iter: int) -> list[tuple[int, int]]:
    """Synapses and neurons to keep after each iteration, geometric and exact at the end."""
    steps = []
    for k in range(1, n_iter + 1):
        share = k / n_iter
        m = round(net.n_synapses * (target / net.n_synapses) ** share)
        n = round(net.n * (size / net.n) ** share)
        steps.append((max(target, m), max(size, n)))
    return steps


class _Run:
    """State of one pruning run: the raw network (weights as drawn) and its compensated twin."""

    def __init__(self, settings: LNP, dense: HRSNN, seed: int) -> None:
        self.settings, self.dense, self.seed = settings, dense, seed
        self.raw = self.paid = dense
        self.steps: list[PruneStep] = []
        self._rates: np.ndarray | None = None

    def result(self, why: str | None) -> PruneResult:
        name = next(k for k, mode in LNP_METHODS.items() if mode == self.settings.mode)
        net = self.paid.note(
            step=name, seed=self.seed, synapses=self.paid.n_synapses, neurons=self.paid.n
        )
        return PruneResult(net, name, self.seed, tuple(self.steps), why)

    def rng(self, k: int, part: int) -> np.random.Generator:
        return stream(self.seed, "prune", 20, k, part)

    def note(self, name: str, net: HRSNN, **found: Any) -> None:
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
        raw, matrix, p = self.choose_synapses(k, raw, scores, matrix, m_k)
        raw = self.rewire(k, raw, matrix, linear["scale"], m_k - raw.n_synapses)
        share = _largest_part(raw)
        if share < settings.connected:
            return f"the network fell apart (largest part {share:.0%} of the neurons)"
        self.raw = raw
        self.pay(raw, last)
        return None

    def synapse_scores(
        self, found: NodeExponents
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
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
    ) -> tuple[HRSNN, np.ndarray, np.ndarray]:
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
        return kept, matrix[mask], p

    def rewire(
        self, k: int, raw: HRSNN, matrix: np.ndarray, scale: float, n_add: int
    ) -> HRSNN:
        """Step III: add edges between second neighbours where eigenvectors are localised."""
        if n_add <= 0:
            return raw
        a = system_matrix(raw.tau_m, coupling_matrix(raw, matrix), scale)
        wider, found = delocalise(raw, a, n_add, self.rng(k, 2))
        self.note("rewire", wider, **found)
        return wider

    def pay(self, raw: HRSNN, last: bool) -> None:
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


def prune(
    net: HRSNN,
    method: str = "lnp",
    *,
    synapses: float | int,
    neurons: float | int | None = 1.0,
    seed: int = 0,
    stimulus: Stimulus | Sequence[Stimulus] | None = None,
    treatment: Treatment | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> PruneResult:
    """Prune a network by any method at a given budget.

    Parameters
    ----------
    net : HRSNN
        The dense network.
    method : str
        ``lnp`` (mode tuned), ``lnp_calibrated``, ``lnp_literal``; the baselines ``random``,
        ``random_gain``, ``random_matched``, ``fresh``, ``magnitude``, ``noise``, ``activity``,
        ``activity_no_gain``; or the controls ``dense`` and ``none`` (no recurrence).
    synapses : float or int
        Fraction in (0, 1], or count above 1, of the synapses to keep.
    neurons : float or int or None
        The same for neurons. None (activity-based pruning only) drops neurons until the synapse
        budget is met.
    seed : int
        Seed of everything random.
    stimulus : Stimulus or sequence of Stimulus, optional
        The tasks' training input, which activity-based pruning needs and no other uses.
    treatment : {'none', 'variance', 'shift', 'tuned'}, optional
        How the mask is paid back, in place of the method's own way.
    progress : callable, optional
        Called as ``progress(text, done, total)``.
    **options
        Fields of :class:`LNP`, for its methods.

    Returns
    -------
    PruneResult

    Raises
    ------
    ParameterError
        For an unknown method or option, or a missing stimulus.
    BudgetError
        For a budget that cannot be met.
    """
    if method in LNP_METHODS:
        known = set(LNP.__dataclass_fields__) - {"mode", "treatment"}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ParameterError(
                f"options of {method}", ", ".join(sorted(known)), ", ".join(unknown)
            )
        lnp = LNP(mode=LNP_METHODS[method], treatment=treatment, **options)  # type: ignore[arg-type]
        return lnp.run(
            net,
            synapses=synapses,
            neurons=1.0 if neurons is None else neurons,
            seed=seed,
            progress=progress,
        )
    if options:
        known_names = ", ".join((*LNP_METHODS, *BASELINES, "dense", "none"))
        if method not in (*BASELINES, "dense", "none"):
            raise ParameterError("method", f"one of {known_names}", method)
        raise ParameterError(f"options of {method}", "none", ", ".join(sorted(options)))
    if method not in (*BASELINES, "dense", "none"):
        names = ", ".join((*LNP_METHODS, "dense", "none", *BASELINES))
        raise ParameterError("method", f"one of {names}", method)
    return prune_baseline(
        net,
        method,
        synapses=synapses,
        neurons=neurons,
        seed=seed,
        stimulus=stimulus,
        treatment=treatment,
    )
