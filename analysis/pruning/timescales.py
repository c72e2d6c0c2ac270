"""Step IV: time constants and gain of a pruned network, chosen by Bayesian optimisation."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from analysis.capacity import capacity
from analysis.lyapunov.nodes import conditional_exponents
from analysis.pruning.search import Axis, Trial, best_of, search
from analysis.spikes import rates
from models_eq.checks import floats, whole
from models_eq.errors import ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.rng import check_seed
from models_eq.simulate import simulate_batch
from models_eq.stimulus import deviation, noise_stimulus
from models_eq.units import positive_seconds

logger = logging.getLogger("brain_lnp.timescales")

OBJECTIVES = ("exponents", "capacity", "rate")
BOUNDS = ("1 ms", "500 ms")
MOST_CLUSTERS = 8  # above that all clusters share one scale and one spread

Params = Mapping[str, float]


def apply_timescales(
    net: HRSNN, scale: Any, spread: Any, gain: float = 1.0, *, bounds: tuple[Any, Any] = BOUNDS
) -> HRSNN:
    """Rescale the membrane time constants within each cluster, and all weights.

    Parameters
    ----------
    net : HRSNN
        The network.
    scale, spread : float or array_like, shape (clusters,)
        Factor of the mean (above 0) and exponent of the spread (at least 0), for all clusters or
        for each, in the order of ``numpy.unique(net.cluster)``.
    gain : float
        Factor of every weight, above 0.
    bounds : (low, high), quantities or str
        Time constants are clipped to this range; one that lies outside already stays where it is
        rather than moving further away.

    Returns
    -------
    HRSNN
        With other ``tau_m`` and ``w``; the history is as it was.

    Raises
    ------
    ParameterError
        For values out of range or of the wrong shape.
    UnitError
        For bounds without a unit.

    Notes
    -----
    ``tau_i -> m (tau_i / mean)^k mean`` with m the scale, k the spread, and the mean that of the
    neuron's cluster: k = 0 makes the neurons of a cluster equal, k > 1 more different. m = k = 1
    changes nothing, to the last bit.

    Examples
    --------
    >>> net = HRSNN("lif_exp", 2, i=[0], j=[1], w=[0.5], tau_m=[0.01, 0.03])
    >>> apply_timescales(net, 2.0, 0.0, 3.0).tau_m, apply_timescales(net, 2.0, 0.0, 3.0).w
    (array([0.04, 0.04]), array([1.5]))
    """
    labels, member = np.unique(net.cluster, return_inverse=True)
    m, k = _per_cluster(scale, labels.size, "scale"), _per_cluster(spread, labels.size, "spread")
    if (m <= 0).any():
        raise ParameterError("scale", "factors above 0", scale)
    if (k < 0).any():
        raise ParameterError("spread", "exponents of at least 0", spread)
    if not (np.isfinite(gain) and gain > 0):
        raise ParameterError("gain", "a factor above 0", gain)
    low, high = (positive_seconds(value, "bounds") for value in bounds)
    if not low < high:
        raise ParameterError("bounds", "a range of times", bounds)
    tau = net.tau_m
    mean = (np.bincount(member, tau) / np.bincount(member))[member]
    # In this order, so that m = k = 1 is a multiplication by exactly 1.
    new = tau * (m[member] * (tau / mean) ** (k[member] - 1.0))
    new = np.clip(new, np.minimum(low, tau), np.maximum(high, tau))
    return net.replace(tau_m=new, w=net.w * float(gain))


def _per_cluster(value: Any, count: int, name: str) -> np.ndarray:
    array = floats(value, name)
    array = np.full(count, float(array)) if array.ndim == 0 else array
    if array.shape != (count,):
        raise ParameterError(name, f"a number, or one for each of {count} clusters", value)
    if not np.isfinite(array).all():
        raise ParameterError(name, "finite numbers", value)
    return array


@dataclass(frozen=True)
class TimescaleSearch:
    """Search for the time constants and the gain of a network, without any task.

    Candidates are measured side by side and with common random numbers: the same noise (scaled
    to each neuron's time constant), the same initial state, the same capacity inputs. The first
    is the network as it is, so the result is never worse than the start.

    Attributes
    ----------
    trials : int
        Candidates in all.
    batch : int
        Candidates asked for and simulated at once; part of what decides the result.
    objective : {'exponents', 'capacity', 'rate'}
        Maximise the mean ``|lambda_i|`` of the conditional exponents under noise, or the capacity
        (:func:`analysis.capacity.capacity`). ``rate`` is a control: the lowest mean rate above 0,
        as the largest 1/rate, s.
    scale, spread, gain : (low, high)
        Ranges of m, k (:func:`apply_timescales`) and the gain, around 1; m and the gain on a
        logarithmic scale. ``(1, 1)`` leaves one out, as it does k and the gain by default: the
        exponents also rise with more spread and less gain, and the errors of tasks with them.
    rate_bound : float
        A candidate whose mean rate under noise lies above this many times the reference is out;
        infinity allows any rate.
    noise_sd : float
        Standard deviation that the noise gives to a free membrane.
    noise_duration, dt : str
        Length of the noise, and time step.
    rows : tuple of int
        Samples of washout, training and test for the capacity.

    Raises
    ------
    ParameterError
        For a value out of range, naming the field.

    Notes
    -----
    With several clusters, up to 8, each has an m and a k of its own; more than 8 share them.
    Time constants stay within 1 ms .. 500 ms (:func:`apply_timescales`). What cannot matter is
    not searched: the gain without synapses, the spread where time constants are equal.

    A silent neuron has ``|lambda| = 1/tau``, more than most spiking ones: ``exponents`` therefore
    favours fast membranes and few spikes. Compare with ``rate``, and with m alone
    (``spread=(1, 1), gain=(1, 1)``), before anything is concluded from it.

    References
    ----------
    Akiba, Sano, Yanase, Ohta & Koyama 2019, 10.1145/3292500.3330701 (Optuna); Chakraborty, Kang,
    Kumar & Mukhopadhyay 2024, arXiv 2403.03409.
    """

    trials: int = 32
    batch: int = 8
    objective: Literal["exponents", "capacity", "rate"] = "exponents"
    scale: tuple[float, float] = (0.3, 3.0)
    spread: tuple[float, float] = (1.0, 1.0)
    gain: tuple[float, float] = (1.0, 1.0)
    rate_bound: float = 1.5
    noise_sd: float = 0.35
    noise_duration: str = "3 s"
    dt: str = "1 ms"
    rows: tuple[int, int, int] = (100, 1500, 700)

    def __post_init__(self) -> None:
        for name in ("trials", "batch"):
            object.__setattr__(self, name, whole(getattr(self, name), name))
        if self.objective not in OBJECTIVES:
            raise ParameterError("objective", "one of " + ", ".join(OBJECTIVES), self.objective)
        for name in ("scale", "spread", "gain"):
            value = getattr(self, name)
            pair = floats(value, name)
            if pair.shape != (2,) or not np.isfinite(pair).all() or not pair[0] <= 1 <= pair[1]:
                raise ParameterError(name, "a range (low, high) with 1 in it", value)
            if pair[0] < 0 or (name != "spread" and pair[0] == 0):
                raise ParameterError(name, "a range above 0", value)
            object.__setattr__(self, name, (float(pair[0]), float(pair[1])))
        bound = floats(self.rate_bound, "rate_bound")
        if bound.ndim or not bound > 0:
            raise ParameterError("rate_bound", "a factor above 0", self.rate_bound)
        deviation(self.noise_sd)
        for name in ("noise_duration", "dt"):
            positive_seconds(getattr(self, name), name)

    def __call__(
        self,
        net: HRSNN,
        *,
        seed: int,
        reference_rate: float | None = None,
        storage: str | os.PathLike[str] | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> tuple[HRSNN, dict[str, Any]]:
        """Search for the best time constants of ``net``.

        Parameters
        ----------
        net : HRSNN
            The network, as a rule pruned and compensated.
        seed : int
            Seed of the candidates, the noise, the capacity inputs and the initial state.
        reference_rate : float, optional, Hz
            What ``rate_bound`` refers to; by default the mean rate of ``net`` under the noise.
        storage : path-like, optional
            File that keeps the finished batches, so that a search that was killed goes on and
            ends with the identical result; :func:`analysis.pruning.search.study_of` opens it
            with Optuna.
        progress : callable, optional
            Called as ``progress(text, done, total)``.

        Returns
        -------
        net : HRSNN
            With the best ``tau_m`` and ``w``; the history is left to the caller.
        diagnostics : dict
            Plain values: ``scale`` (m), ``spread`` (k) (lists, one for each of ``clusters``,
            where there are several), ``gain``; the ``objective`` and its ``value`` at the start
            and best; mean ``rate`` and synaptic operations per second under noise at both;
            ``rate_limit``; numbers of ``trials``, of ``infeasible`` ones and of network
            ``evaluations``; and whether anything met the bound (``feasible``). If nothing did,
            the network comes back as it was.

        Raises
        ------
        SilentNetworkError
            If the network does not spike under noise and there is no reference rate.
        CapabilityError
            If exponents are the objective and the neuron model has none.
        ParameterError
            For a bad seed or reference rate, or a file that belongs to another search.
        FormatError
            For a file that is something else.
        """
        seed = check_seed(seed)
        if reference_rate is not None and not 0 < reference_rate < math.inf:
            raise ParameterError("reference_rate", "a rate above 0 Hz", reference_rate)
        space = _Space(net, self)

        def score(asked: Sequence[Params], known: Sequence[Trial]) -> list[Trial]:
            start = known[0].found["rate"] if known else None
            return self._score(space, asked, seed, reference_rate or start)

        trials = search(
            space.axes, score, start={axis.name: 1.0 for axis in space.axes},
            trials=self.trials if space.axes else 1, batch=self.batch, seed=seed, storage=storage,
            key={"net": net.digest, "seed": seed, "reference_rate": reference_rate, **asdict(self)},
            progress=progress,
        )  # fmt: skip
        return self._result(space, trials, reference_rate)

    def _score(
        self, space: _Space, asked: Sequence[Params], seed: int, reference: float | None
    ) -> list[Trial]:
        nets = [space.apply(params) for params in asked]
        noise = [
            noise_stimulus(one, self.noise_duration, sd=self.noise_sd, seed=seed) for one in nets
        ]
        record = ["spike_state"] if self.objective == "exponents" else []
        runs = simulate_batch(nets, noise, dt=self.dt, record=record, seed=seed)
        rate = [rates(run) for run in runs]
        mean = [float(one.mean()) for one in rate]
        # Without a reference this is the first batch, and its first candidate is the start.
        limit = self.rate_bound * (mean[0] if reference is None else reference)
        if limit == 0:
            hint = "Raise i_ext or the noise (noise_sd), or lower v_th"
            raise SilentNetworkError("net", "a network that spikes under noise", "no spike", hint)
        fine = [k for k, one in enumerate(mean) if 0 < one <= limit]
        value: dict[int, float] = {}
        if self.objective == "exponents":
            for k in fine:
                exponents = conditional_exponents(nets[k], runs[k]).exponents
                value[k] = float(np.abs(exponents).mean())
        elif self.objective == "rate":
            value = {k: 1.0 / mean[k] for k in fine}
        elif fine:
            held = capacity([nets[k] for k in fine], seed=seed, rows=self.rows, dt=self.dt)
            value = dict(zip(fine, held.mean(axis=1).tolist(), strict=True))
        # What is out scores below 0, and the lower the further out; no objective is below 0.
        out = [limit / one - 1.0 if one else -1.0 for one in mean]
        operations = [float(one @ net.out_degree) for one, net in zip(rate, nets, strict=True)]
        found = [
            {"feasible": k in value, "rate": mean[k], "operations": operations[k]}
            for k in range(len(nets))
        ]
        scores = [value.get(k, out[k]) for k in range(len(nets))]
        return [Trial(*one) for one in zip(asked, scores, found, strict=True)]

    def _result(
        self, space: _Space, trials: Sequence[Trial], reference: float | None
    ) -> tuple[HRSNN, dict[str, Any]]:
        start, best = trials[0], best_of(trials)
        if not best.found["feasible"]:
            best = start
            logger.warning("no time constants met the bound on the rate: they stay as they were")
        limit = self.rate_bound * (reference or start.found["rate"])
        feasible = sum(trial.found["feasible"] for trial in trials)
        return space.apply(best.params), {
            "objective": self.objective,
            "scale": space.vector("scale", best.params),
            "spread": space.vector("spread", best.params),
            "gain": best.params.get("gain", 1.0),
            **({"clusters": list(space.labels)} if space.labels else {}),
            "value_start": start.score if start.found["feasible"] else None,
            "value": best.score if best.found["feasible"] else None,
            "rate_start": start.found["rate"],
            "rate": best.found["rate"],
            "operations_start": start.found["operations"],
            "operations": best.found["operations"],
            "rate_limit": limit if math.isfinite(limit) else None,
            "trials": len(trials),
            "infeasible": len(trials) - feasible,
            "evaluations": len(trials),
            "feasible": feasible > 0,
        }


class _Space:
    """The map of one network: the axes that can matter, and what a point on them stands for."""

    def __init__(self, net: HRSNN, settings: TimescaleSearch) -> None:
        self.net = net
        clusters = [int(label) for label in np.unique(net.cluster)]
        uneven = {c for c in clusters if np.ptp(net.tau_m[net.cluster == c]) > 0}
        # Those with a scale and a spread of their own; none where one does for all.
        self.labels = clusters if 1 < len(clusters) <= MOST_CLUSTERS else []
        axes = []
        for tail, group in [(f"_{c}", {c}) for c in self.labels] or [("", set(clusters))]:
            axes.append(Axis(f"scale{tail}", *settings.scale, log=True))
            if group & uneven:
                axes.append(Axis(f"spread{tail}", *settings.spread))
        if net.n_synapses:
            axes.append(Axis("gain", *settings.gain, log=True))
        self.axes = [axis for axis in axes if axis.low < axis.high]

    def vector(self, name: str, params: Params) -> Any:
        if self.labels:
            return [params.get(f"{name}_{label}", 1.0) for label in self.labels]
        return params.get(name, 1.0)

    def apply(self, params: Params) -> HRSNN:
        m, k = self.vector("scale", params), self.vector("spread", params)
        return apply_timescales(self.net, m, k, params.get("gain", 1.0))
