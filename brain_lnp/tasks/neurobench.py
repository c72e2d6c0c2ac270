"""NeuroBench's chaotic function prediction: its fourteen series, its splits and its measures.

Fourteen Mackey–Glass equations that differ in their delay, sampled 75 times in a Lyapunov time of
197. A model learns ten Lyapunov times, of which the first 0.6 only warm it up, is given the first
row after them and predicts freely for ten more. Thirty shifts of half a Lyapunov time each.

References
----------
Yik et al. 2025, Nature Communications 16, 1545, doi:10.1038/s41467-025-56739-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from brain_lnp.tasks.chaotic import mackey_glass_series
from models_eq.checks import floats, whole
from models_eq.errors import ParameterError

TAUS = tuple(range(17, 31))
LYAPUNOV_TIME = 197.0
POINTS = 75
CONSTANT_PAST = 0.7206597
SHIFTS = 30
_TRAIN, _TEST, _WARM = 10 * POINTS, 10 * POINTS, 45  # rows; 0.6 Lyapunov times of warm-up


@dataclass(frozen=True, eq=False)
class NeuroBenchSeries:
    """One series at one shift.

    Attributes
    ----------
    train : ndarray, shape (751,)
        Rows to learn from: row k is the input whose target is row k + 1. The last one is the
        first input of the forecast, as the benchmark gives it.
    test : ndarray, shape (750,)
        What follows, to be predicted freely.
    warmup : int
        Rows at the beginning whose targets are not learnt from (45).
    tau, shift : int
        Delay of the equation, and how many half Lyapunov times the series starts later.
    """

    train: np.ndarray
    test: np.ndarray
    warmup: int
    tau: int
    shift: int


@lru_cache(maxsize=len(TAUS))
def _series(tau: int) -> np.ndarray:
    rows = _offset(SHIFTS - 1) + _TRAIN + _TEST + 1
    values = mackey_glass_series(LYAPUNOV_TIME / POINTS, rows, tau=float(tau), start=CONSTANT_PAST)
    values.setflags(write=False)
    return values


def _offset(shift: int) -> int:
    # 37.5 rows each; the benchmark drops the half row of every second shift.
    return int(0.5 * shift * POINTS)


def neurobench_series(tau: int = 17, shift: int = 0) -> NeuroBenchSeries:
    """One of the benchmark's series.

    Parameters
    ----------
    tau : int
        Delay, 17 to 30.
    shift : int
        0 to 29: begins this many half Lyapunov times later.

    Returns
    -------
    NeuroBenchSeries

    Raises
    ------
    ParameterError
        For another delay or shift.

    Notes
    -----
    ``x' = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x`` from the constant past 0.7206597. The
    benchmark's files come from another integrator: past some Lyapunov times, two accurate
    solutions of a chaotic equation are different trajectories on one attractor. Compare models
    on series of one origin.
    """
    tau, shift = whole(tau, "tau"), whole(shift, "shift", 0)
    if tau not in TAUS:
        raise ParameterError("tau", f"{TAUS[0]} to {TAUS[-1]}", tau)
    if shift >= SHIFTS:
        raise ParameterError("shift", f"0 to {SHIFTS - 1}", shift)
    first = _offset(shift)
    rows = _series(tau)[first : first + _TRAIN + _TEST + 1]
    return NeuroBenchSeries(rows[: _TRAIN + 1], rows[_TRAIN + 1 :], _WARM, tau, shift)


def smape(truth: Any, prediction: Any) -> float:
    """Symmetric mean absolute percentage error, 0 to 200.

    Parameters
    ----------
    truth, prediction : array_like, equal shapes
        The two series.

    Returns
    -------
    float
        ``200 mean(|p - y| / (|p| + |y|))``; 200 for a prediction with NaN or infinity, and where
        a term is 0/0, as the benchmark has it.

    Raises
    ------
    ParameterError
        For shapes that differ, or a truth that is not finite.

    Examples
    --------
    >>> smape([1.0, 1.0], [1.0, 3.0])
    50.0
    """
    y, p = floats(truth, "truth"), np.asarray(prediction, dtype=float)
    if y.shape != p.shape or y.size == 0:
        raise ParameterError("prediction", f"the shape of the truth {y.shape}", p.shape)
    if not np.isfinite(y).all():
        raise ParameterError("truth", "finite values", "NaN or infinity")
    size = np.abs(p) + np.abs(y)
    if not np.isfinite(p).all() or (size == 0).any():
        return 200.0
    return float(200.0 * np.mean(np.abs(p - y) / size))


@dataclass(frozen=True)
class Operations:
    """Synaptic operations of one step of the model (one row), as the benchmark counts them.

    Attributes
    ----------
    effective_acs : float
        Accumulates: nonzero weight times input of 0, 1 or -1.
    effective_macs : float
        Multiply-accumulates: nonzero weight times any other nonzero input.
    dense : float
        All operations, zeros included.
    """

    effective_acs: float
    effective_macs: float
    dense: float


def operations(layers: Sequence[tuple[Any, Any]], rows: int) -> Operations:
    """Count the synaptic operations of a run.

    Parameters
    ----------
    layers : sequence of (weights, inputs)
        Connections of shape (inputs, outputs) (dense or SciPy sparse), and what came in, of shape
        (evaluations, inputs). A layer that is evaluated several times in a row, such as the
        recurrence of a spiking network at each time step, has as many evaluations.
    rows : int
        Rows of the series that the evaluations belong to.

    Returns
    -------
    Operations

    Raises
    ------
    ParameterError
        For shapes that do not fit.

    Notes
    -----
    A layer whose inputs are all 0, 1 or -1 in an evaluation accumulates; otherwise it multiplies
    as well, and all of its effective operations of that evaluation count as such.
    """
    rows = whole(rows, "rows")
    acs = macs = dense = 0
    for k, (weights, inputs) in enumerate(layers):
        given = np.atleast_2d(np.asarray(inputs))
        if len(weights.shape) != 2 or given.shape[1] != weights.shape[0]:
            raise ParameterError(
                f"layers[{k}]", f"inputs of {weights.shape[0]} columns", f"shape {given.shape}"
            )
        fan_out = np.asarray((weights != 0).sum(axis=1)).ravel()
        effective = (given != 0) @ fan_out
        binary = np.isin(given, (-1, 0, 1)).all(axis=1)
        acs += int(effective[binary].sum())
        macs += int(effective[~binary].sum())
        dense += len(given) * int(np.prod(weights.shape))
    return Operations(acs / rows, macs / rows, dense / rows)


def connection_sparsity(weights: Sequence[Any]) -> float:
    """Share of zeros among all connection weights.

    Parameters
    ----------
    weights : sequence of arrays or SciPy sparse matrices
        Every connection of the model, readout included.

    Raises
    ------
    ParameterError
        Without any weight.
    """
    total = sum(int(np.prod(w.shape)) for w in weights)
    if not total:
        raise ParameterError("weights", "at least one weight", "none")
    return 1.0 - sum(int((w != 0).sum()) for w in weights) / total


def activation_sparsity(activations: Sequence[Any]) -> float:
    """Share of zeros among the outputs of all neurons at all evaluations.

    Parameters
    ----------
    activations : sequence of ndarray
        Outputs of each layer of neurons (spikes, or values).

    Raises
    ------
    ParameterError
        Without any activation.
    """
    total = sum(np.asarray(a).size for a in activations)
    if not total:
        raise ParameterError("activations", "at least one value", "none")
    return 1.0 - sum(int(np.count_nonzero(a)) for a in activations) / total


def footprint(arrays: Sequence[Any]) -> int:
    """Memory of everything that the model stores, bytes.

    Parameters
    ----------
    arrays : sequence of arrays or SciPy sparse matrices
        Weights, parameters and states. Of a sparse matrix, its values and both index arrays.
    """
    size = 0
    for array in arrays:
        parts = [array.data, array.indices, array.indptr] if hasattr(array, "indptr") else [array]
        size += sum(np.asarray(part).nbytes for part in parts)
    return size
