"""Whether a pruned model does what the model did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from brian2 import NeuronGroup

from analysis.fidelity import share_of_variance
from analysis.spikes import filtered_traces, interval_cv, rates
from brain_lnp.usermodel.reading import ModelReading, Unreadable
from models_eq.trajectory import Trajectory

_SAMPLE = 0.01  # s between the samples of the filtered traces


@dataclass(frozen=True)
class ModelFidelity:
    """How well one model stands in for another, from the same initial state under the same input.

    Attributes
    ----------
    rate_before, rate_after : float, Hz
        Mean rate of the neurons kept, in the model and in what stands in for it.
    rate_error : float or None
        Root mean square difference of their rates over the root mean square of the rates before;
        None where the model is silent.
    rate_correlation : float or None
        Correlation of their rates over neurons; None where these do not vary.
    cv_before, cv_after : float or None
        Mean coefficient of variation of their inter-spike intervals: 0 regular, about 1 irregular;
        None where no neuron has two intervals.
    population_correlation : float or None
        Correlation over time of the population's activity, the mean of the filtered spike trains;
        None where it does not vary.
    share : float or None
        Share of variance of the filtered spike trains (50 ms, every 10 ms) that is reproduced
        neuron by neuron: 1 is perfect, below 0 the mean would have been the better guess. None
        where the model draws random numbers, so that no two runs have the same input, or where
        nothing varies.
    duration : float, s
        Of both runs.

    Notes
    -----
    A chaotic model forgets its initial state within a second or so, and not even a copy that
    differs by a rounding error has a share above about -1 then. Read every number beside the same
    one of :attr:`PrunedModel.ceiling <brain_lnp.usermodel.api.PrunedModel>`, which is what the
    model reaches against itself.
    """

    rate_before: float
    rate_after: float
    rate_error: float | None
    rate_correlation: float | None
    cv_before: float | None
    cv_after: float | None
    population_correlation: float | None
    share: float | None
    duration: float

    def __str__(self) -> str:
        def text(value: float | None) -> str:
            return "-" if value is None else f"{value:.3g}"

        return (
            f"{self.rate_before:.3g} -> {self.rate_after:.3g} Hz, rates off by "
            f"{text(self.rate_error)}, correlation of rates {text(self.rate_correlation)}, of the "
            f"population {text(self.population_correlation)}, irregularity {text(self.cv_before)} "
            f"-> {text(self.cv_after)}, share of variance {text(self.share)}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compare(dense: Trajectory, other: Trajectory, kept: np.ndarray, random: bool) -> ModelFidelity:
    """Fidelity of a run to that of the dense model.

    Parameters
    ----------
    dense : Trajectory
    other : Trajectory
        Of the neurons kept alone, or of all.
    kept : ndarray of int, shape (k,)
        Neurons of the dense model that the other one has.
    random : bool
        Whether the model draws random numbers, so that no two runs have the same input.

    Returns
    -------
    ModelFidelity
    """
    own = kept if other.n == dense.n else np.arange(other.n)
    before, after = rates(dense)[kept], rates(other)[own]
    share = population = None
    if dense.duration >= 2 * _SAMPLE:
        x = filtered_traces(dense, f"{_SAMPLE} s")[:, :, kept].astype(float)
        y = filtered_traces(other, f"{_SAMPLE} s")[:, :, own].astype(float)
        population = _correlation(x[0].mean(axis=1), y[0].mean(axis=1))
        if not random and np.ptp(x, axis=1).any():
            share = float(share_of_variance(x, y)[0])
    power = float(np.mean(before**2))
    return ModelFidelity(
        rate_before=float(before.mean()),
        rate_after=float(after.mean()),
        rate_error=float(np.sqrt(np.mean((after - before) ** 2) / power)) if power else None,
        rate_correlation=_correlation(before, after),
        cv_before=_irregularity(dense, kept),
        cv_after=_irregularity(other, own),
        population_correlation=population,
        share=share,
        duration=dense.duration,
    )


def _correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    if not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return None
    # Rounding must not keep a series from agreeing with itself.
    return 1.0 if np.array_equal(x, y) else float(np.corrcoef(x, y)[0, 1])


def _irregularity(run: Trajectory, kept: np.ndarray) -> float | None:
    cv = interval_cv(run)[kept]
    defined = np.isfinite(cv)
    return float(cv[defined].mean()) if defined.any() else None


def deal_out(
    group: NeuronGroup, reading: ModelReading | None, rng: np.random.Generator, required: bool
) -> None:
    """Give a group another initial state, as probable as its own.

    The states of the neurons are dealt out among them anew. Where they are all the same, the
    membrane is drawn between reset and threshold.

    Parameters
    ----------
    group : NeuronGroup
        A copy; is changed.
    reading : ModelReading or None
        Of the original, where it has been read.
    rng : numpy.random.Generator
    required : bool

    Raises
    ------
    Unreadable
        If another state is `required` and there is none: all neurons are in the same one, and
        threshold or reset are unknown.
    """
    order = rng.permutation(len(group))
    found = False
    for name, equation in group.user_equations.items():
        variable = group.variables[name]
        if equation.type == "differential equation" and not variable.scalar:
            value = np.array(variable.get_value())
            found |= bool((value != value[order]).any())
            variable.set_value(value[order])
    between = None if reading is None or found else reading.potentials()
    if reading is not None and between is not None:
        high, low = between
        drawn = low + rng.random(len(group)) * (high - low)
        group.variables[reading.membrane].set_value(drawn)
    elif required and not found:
        raise Unreadable("all neurons start alike, and threshold or reset are unknown")
