"""Fair comparison of two methods: paired over seeds, at equal cost, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from models_eq.errors import ParameterError


@dataclass(frozen=True)
class PairedRatio:
    """Ratio of two methods' errors over paired repetitions.

    Attributes
    ----------
    ratio : float
        Geometric mean of the ratios; below 1 the first method is better.
    low, high : float
        Confidence interval of it.
    n : int
        Pairs.
    wins : int
        Pairs in which the first method is strictly better.
    """

    ratio: float
    low: float
    high: float
    n: int
    wins: int

    @property
    def better(self) -> bool:
        """Whether the interval lies below 1."""
        return self.high < 1.0

    @property
    def worse(self) -> bool:
        """Whether the interval lies above 1."""
        return self.low > 1.0


def paired_ratio(errors: Any, others: Any, confidence: float = 0.95) -> PairedRatio:
    """Geometric mean ratio of paired errors and its t interval.

    Parameters
    ----------
    errors, others : array_like, shape (n,)
        Errors above 0 of two methods on the same n repetitions (seeds), n at least 2.
    confidence : float
        Level of the interval, in (0, 1).

    Returns
    -------
    PairedRatio

    Raises
    ------
    ParameterError
        For fewer than two pairs, other shapes, errors that are not above 0, or a bad level.

    Notes
    -----
    With d the differences of logarithms, ``exp(mean d -+ t sd/sqrt(n))``, t the quantile of
    Student's distribution with n - 1 degrees of freedom. Pairing takes out what a seed does to
    both methods alike.

    Examples
    --------
    >>> paired_ratio([1.0, 2.0, 4.0], [2.0, 4.0, 8.0]).ratio
    0.5
    """
    a, b = _errors(errors, "errors"), _errors(others, "others")
    if a.shape != b.shape:
        raise ParameterError("others", f"as many as errors ({a.size})", f"{b.size}")
    if a.size < 2:
        raise ParameterError("errors", "at least two pairs", a.size)
    if not 0 < confidence < 1:
        raise ParameterError("confidence", "a level in (0, 1)", confidence)
    d = np.log(a) - np.log(b)
    half = stats.t.ppf(0.5 + confidence / 2, d.size - 1) * d.std(ddof=1) / np.sqrt(d.size)
    middle = float(d.mean())
    low, high = np.exp([middle - half, middle + half]).tolist()
    return PairedRatio(float(np.exp(middle)), low, high, d.size, int((d < 0).sum()))


def error_at(cost: Any, costs: Any, errors: Any) -> np.ndarray:
    """What error a method would have at another cost, from its curve of error over cost.

    Parameters
    ----------
    cost : array_like, shape (q,)
        Where to read the curve, such as synaptic operations per second; above 0.
    costs, errors : array_like, shape (points,)
        Points of the curve, all above 0, in any order.

    Returns
    -------
    ndarray, shape (q,)
        Interpolated, the logarithm of the error over the logarithm of the cost; beyond either
        end NaN: nothing is known there.

    Raises
    ------
    ParameterError
        For fewer than two points, other shapes, or values that are not above 0.

    Examples
    --------
    >>> error_at([10.0, 1000.0], [1.0, 100.0], [0.4, 0.1])
    array([0.2, nan])
    """
    x, y = _errors(costs, "costs"), _errors(errors, "errors")
    if x.shape != y.shape or x.size < 2:
        got = f"{x.size} and {y.size}"
        raise ParameterError("costs", "at least two points, as many as errors", got)
    order = np.argsort(x, kind="stable")
    at = np.log(_errors(cost, "cost"))
    found = np.interp(at, np.log(x[order]), np.log(y[order]), left=np.nan, right=np.nan)
    result: np.ndarray = np.exp(found)
    return result


def _errors(value: Any, name: str) -> np.ndarray:
    array = np.atleast_1d(np.asarray(value, dtype=float))
    if array.ndim != 1 or not (np.isfinite(array) & (array > 0)).all():
        raise ParameterError(name, "finite numbers above 0, one dimension", value)
    return array
