"""Lyapunov Noise Pruning: settings, schedule and the loop over its iterations."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from analysis.lyapunov.nodes import DEFINITIONS
from analysis.pruning.compensate import Treatment
from analysis.pruning.result import PruneResult, budget
from analysis.pruning.timescales import OBJECTIVES, TimescaleSearch
from brain_lnp.checkpoint import checked_path, keep, resume, run_digest
from brain_lnp.iteration import PruningRun
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import check_seed
from models_eq.units import positive_seconds

logger = logging.getLogger("brain_lnp.lnp")

Progress = Callable[[str, int, int], None]
LNP_METHODS = {"lnp": "tuned", "lnp_calibrated": "calibrated", "lnp_literal": "literal"}
SYNAPSE_SCORES = ("lyapunov", "weights", "random")
TIMESCALES = (None, "off", *OBJECTIVES)
REFITS = ("off", "weights", "select")
# What Step IV searches beside the mean of the time constants.
AXES: Mapping[str, dict[str, Any]] = {
    "mean": {},
    "mean and spread": {"spread": (0.0, 2.0)},
    "all": {"spread": (0.0, 2.0), "gain": (0.5, 2.0)},
}
NEURON_SCORES = ("betweenness", "degree", "rate", "random", "leverage")

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "mode": ("tuned", "calibrated", "literal"),
    "exponents": DEFINITIONS,
    "synapse_score": SYNAPSE_SCORES,
    "over": ("closed", "endpoints"),
    "times_weight": (None, False, True),
    "neuron_score": NEURON_SCORES,
    "distance": ("hops", "inverse_weight"),
    "timescales": TIMESCALES,
    "time_axes": tuple(AXES),
    "refit": REFITS,
    "treatment": (None, "none", "variance", "shift", "tuned"),
}


@dataclass(frozen=True)
class LNP:
    """Lyapunov Noise Pruning.

    One iteration runs the network under task-agnostic noise, estimates an exponent for every
    neuron, gives each synapse a keeping probability (Step I), drops the neurons that fewest
    shortest paths pass through (Step II), adds a few edges where eigenvectors are localised
    (Step III), and pays back what the mask cost. Iterations follow a geometric schedule to the
    budget. The budget is exact. At the end the time constants can be searched anew (Step IV).

    Each step can be left out: ``synapse_score="random"`` (Step I), all neurons kept or
    ``neuron_score="random"`` (Step II), ``add=0`` (Step III), ``timescales="off"`` (Step IV).

    Parameters
    ----------
    mode : {'tuned', 'calibrated', 'literal'}
        ``literal`` follows the paper and Moore & Chaudhuri to the letter; its linear model is
        rarely stable, which is said. ``calibrated`` uses a stable linear model, the
        variance-keeping gain and the mean shift. ``tuned`` also balances degrees and chooses
        one gain factor by the capacity on fresh random input.
    n_iter : int
        Iterations, at least 1.
    exponents : {'conditional', 'perturbed', 'weighted'}
        What the exponent of a neuron is, see :func:`~analysis.lyapunov.nodes.node_exponents`; the
        last costs n^3.
    synapse_score : {'lyapunov', 'weights', 'random'}
        What Step I draws synapses by: noise pruning with the Lyapunov matrix, noise pruning with
        the weights themselves (Moore & Chaudhuri), or chance alone.
    over : {'closed', 'endpoints'}
        Neighbourhood of the harmonic mean in the Lyapunov matrix.
    times_weight : bool, optional
        Whether the Lyapunov matrix is multiplied by |w|. By default in mode ``tuned`` only: L
        alone is blind to weights, and where these are uneven that wastes the budget.
    sharpness : float
        Exponent of the scores: keeping probabilities are min(1, rho s^sharpness). 1 is the papers';
        above it, the synapses that matter most are kept more surely.
    neuron_score : str
        Score of Step II: ``betweenness``, ``degree``, ``rate``, ``random`` or ``leverage``.
    silent_first : bool, optional
        Whether Step II drops neurons that are silent under noise, or unreachable, before all
        others. By default in the modes ``literal`` and ``calibrated``; a neuron that is silent
        under noise may well speak under an input, and without such neurons rates are higher.
    distance : {'hops', 'inverse_weight'}
        Length of an edge for betweenness.
    add : float
        Share of the synapse budget that Step III adds; 0 leaves the step out.
    timescales : {'off', 'exponents', 'capacity', 'rate'}, optional
        Objective of Step IV, see
        :class:`~analysis.pruning.timescales.TimescaleSearch`. By default ``exponents`` in mode
        ``tuned`` and off in the others.
    time_axes : {'mean', 'mean and spread', 'all'}
        What it searches: the mean of the time constants, their spread too, and one gain too.
    trials : int
        Candidates that it tries.
    noise_sd : float
        Standard deviation that the noise gives to a free membrane.
    noise_duration : str
        Length of the noise in each iteration.
    connected : float, optional
        Pruning stops when the largest weakly connected part holds less than this share of the
        neurons; 0 never stops. By default 0.5 in the modes ``literal`` and ``calibrated``, and 0
        in ``tuned``: with about one input a neuron, balanced masks are chains and rings, which
        hold the past of an input that reaches every neuron better than a denser graph does.
    treatment : {'none', 'variance', 'shift', 'tuned'}, optional
        How the mask is paid back, in place of what the mode says.
    refit : {'off', 'weights', 'select'}
        For fidelity to the dense network, in place of gains, shift and Steps III and IV: fit the
        weights of the final mask, or choose the inputs of the neurons kept as well, such that the
        dense traces are reproduced (:func:`~analysis.pruning.refit.refit`). For a readout that is
        trained anew it gains nothing.
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
    exponents: Literal["conditional", "perturbed", "weighted"] = "conditional"
    synapse_score: Literal["lyapunov", "weights", "random"] = "lyapunov"
    over: Literal["closed", "endpoints"] = "closed"
    times_weight: bool | None = None
    sharpness: float = 1.0
    neuron_score: str = "betweenness"
    silent_first: bool | None = None
    distance: Literal["hops", "inverse_weight"] = "hops"
    add: float = 0.02
    timescales: Literal["off", "exponents", "capacity", "rate"] | None = None
    time_axes: Literal["mean", "mean and spread", "all"] = "mean"
    trials: int = 32
    noise_sd: float = 0.35
    noise_duration: str = "3 s"
    connected: float | None = None
    treatment: Treatment | None = None
    refit: Literal["off", "weights", "select"] = "off"
    dt: str = "1 ms"

    def __post_init__(self) -> None:
        for name in ("n_iter", "trials"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ParameterError(name, "a whole number of at least 1", value)
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise ParameterError(name, "one of " + ", ".join(map(str, allowed)), value)
        for name, top in (("add", 0.5), ("connected", 1.0), ("sharpness", 8.0), ("noise_sd", None)):
            value = getattr(self, name)
            if value is None and name == "connected":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ParameterError(name, "a number", value)
            if not (math.isfinite(value) and value >= 0 and (top is None or value <= top)):
                expected = "a finite number of at least 0" if top is None else f"0 to {top:g}"
                raise ParameterError(name, expected, value)
        for name in ("noise_duration", "dt"):
            positive_seconds(getattr(self, name), name)

    @property
    def weighted(self) -> bool:
        """Whether the Lyapunov matrix is multiplied by |w|."""
        return self.mode == "tuned" if self.times_weight is None else self.times_weight

    @property
    def drops_silent_first(self) -> bool:
        """Whether Step II drops silent and unreachable neurons before all others."""
        return self.mode != "tuned" if self.silent_first is None else self.silent_first

    @property
    def added(self) -> float:
        """Share of the budget that Step III adds; refitted weights need synapses that existed."""
        return self.add if self.refit == "off" else 0.0

    @property
    def time_search(self) -> TimescaleSearch | None:
        """Step IV, or None where it is left out."""
        objective = self.timescales
        if objective is None:
            objective = "exponents" if self.mode == "tuned" and self.refit == "off" else "off"
        if objective == "off":
            return None
        return TimescaleSearch(
            trials=self.trials, objective=objective, noise_sd=self.noise_sd,
            noise_duration=self.noise_duration, dt=self.dt, **AXES[self.time_axes],
        )  # fmt: skip

    @property
    def least_connected(self) -> float:
        """Share of the neurons below which a largest part stops pruning."""
        if self.connected is None:
            return 0.0 if self.mode == "tuned" else 0.5
        return self.connected

    def run(
        self,
        net: HRSNN,
        *,
        synapses: float | int,
        neurons: float | int = 1.0,
        seed: int = 0,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
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
        checkpoint : path-like, optional
            File (``.npz``) that is written after every iteration. A run that was interrupted, or
            killed, goes on from it and ends with the identical result; Step IV keeps its own
            record beside it (``.timescales.json``). The files are left for the caller to delete.

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
        ParameterError
            For a checkpoint of another run, or a place that cannot be written to.
        FormatError
            For a checkpoint that is damaged.
        """
        seed = check_seed(seed)
        target = budget(synapses, net.n_synapses, "synapses", 1)
        size = budget(neurons, net.n, "neurons", 1)
        run = PruningRun(self, net, seed)
        path = None if checkpoint is None else checked_path(checkpoint)
        digest = run_digest(self, net, target, size, seed)
        state = None if path is None else resume(path, digest)
        if state is not None:
            run.restore(state)
        tell = progress or (lambda text, done, total: None)
        why = None
        for k, (m_k, n_k) in enumerate(_schedule(net, target, size, self.n_iter)):
            if state is not None and k < state.done:
                continue
            tell(f"iteration {k + 1} of {self.n_iter}", k, self.n_iter)
            why = run.iterate(k, m_k, n_k, target=target, last=k == self.n_iter - 1)
            if why is not None:
                run.settle()
                logger.warning("pruning stopped in iteration %d: %s", k + 1, why)
                break
            if path is not None:
                keep(run.state(digest, k + 1), path)
        if self.time_search is not None:
            tell("time constants", self.n_iter, self.n_iter)
        run.retime(None if path is None else path.with_suffix(".timescales.json"))
        tell("done", self.n_iter, self.n_iter)
        return self._result(run, why)

    def _result(self, run: PruningRun, why: str | None) -> PruneResult:
        name = next(name for name, mode in LNP_METHODS.items() if mode == self.mode)
        paid = run.paid
        net = paid.note(step=name, seed=run.seed, synapses=paid.n_synapses, neurons=paid.n)
        return PruneResult(net, name, run.seed, tuple(run.steps), why)


def _schedule(net: HRSNN, target: int, size: int, n_iter: int) -> list[tuple[int, int]]:
    """Synapses and neurons to keep after each iteration, geometric and exact at the end."""
    steps = []
    for k in range(1, n_iter + 1):
        share = k / n_iter
        m = round(net.n_synapses * (target / net.n_synapses) ** share)
        n = round(net.n * (size / net.n) ** share)
        steps.append((max(target, m), max(size, n)))
    return steps
