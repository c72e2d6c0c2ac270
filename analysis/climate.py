"""Whether a free run lives on the right attractor once it has left the true trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import welch
from scipy.stats import wasserstein_distance

from models_eq.checks import floats, whole
from models_eq.errors import ParameterError


def _series(value: Any, name: str, ndim: tuple[int, ...]) -> np.ndarray:
    array = floats(value, name)
    if array.ndim not in ndim or array.size == 0:
        raise ParameterError(name, f"{' or '.join(map(str, ndim))} axes, not empty", array.shape)
    if not np.isfinite(array).all():
        raise ParameterError(name, "finite values", "NaN or infinity")
    return array


def return_map(series: Any) -> np.ndarray:
    """Each maximum of a series beside the next one.

    Parameters
    ----------
    series : array_like, shape (rows,)
        One variable, sampled finely enough for its maxima to be parabolas.

    Returns
    -------
    ndarray, shape (maxima - 1, 2)
        Heights of successive maxima, from the parabola through the three highest samples.

    Raises
    ------
    ParameterError
        For another shape, or values that are not finite.

    References
    ----------
    Lorenz 1963, J. Atmos. Sci. 20, 130-141, fig. 4.
    """
    x = _series(series, "series", (1,))
    k = np.flatnonzero((x[1:-1] > x[:-2]) & (x[1:-1] >= x[2:])) + 1
    left, top, right = x[k - 1], x[k], x[k + 1]
    bend = left - 2 * top + right
    height = top - (right - left) ** 2 / (8 * bend)
    return np.column_stack([height[:-1], height[1:]])


def measure_distance(truth: Any, prediction: Any) -> float:
    """Distance between the invariant measures of two trajectories.

    Parameters
    ----------
    truth, prediction : array_like, shape (rows, d) or (starts, rows, d)
        States; the numbers of rows may differ.

    Returns
    -------
    float
        Wasserstein-1 distance of each variable's distribution in standard deviations of the
        truth, averaged over variables: 0 for equal distributions.

    Raises
    ------
    ParameterError
        For different numbers of variables, a truth that is constant in one, or values that are
        not finite.
    """
    true = _series(truth, "truth", (2, 3))
    pred = _series(prediction, "prediction", (2, 3))
    if true.shape[-1] != pred.shape[-1]:
        raise ParameterError("prediction", f"{true.shape[-1]} variables", pred.shape[-1])
    true, pred = true.reshape(-1, true.shape[-1]), pred.reshape(-1, pred.shape[-1])
    if (np.ptp(true, axis=0) == 0).any():
        raise ParameterError("truth", "variables that vary", "a constant one")
    each = [
        wasserstein_distance(a / a.std(), b / a.std()) for a, b in zip(true.T, pred.T, strict=True)
    ]
    return float(np.mean(each))


def spectrum_distance(truth: Any, prediction: Any, segment: int = 256) -> float:
    """Distance between the power spectra of two trajectories.

    Parameters
    ----------
    truth, prediction : array_like, shape (rows, d) or (starts, rows, d)
        States, equally sampled; the numbers of rows may differ.
    segment : int
        Rows of a segment of Welch's estimate; the shorter trajectory has at least as many.

    Returns
    -------
    float
        Root mean square of the difference in decibel over all frequencies that carry more than
        1e-4 of the truth's largest power, averaged over variables.

    Raises
    ------
    ParameterError
        For shapes that do not fit, or trajectories shorter than a segment.
    """
    segment = whole(segment, "segment", 8)
    powers = []
    for name, value in (("truth", truth), ("prediction", prediction)):
        rows = _series(value, name, (2, 3))
        if rows.shape[-2] < segment:
            raise ParameterError(name, f"at least {segment} rows", rows.shape[-2])
        power = welch(rows, nperseg=segment, axis=-2)[1]
        powers.append(power.reshape(-1, *power.shape[-2:]).mean(axis=0)[1:])
    true, pred = powers
    if true.shape != pred.shape:
        raise ParameterError("prediction", f"{true.shape[1]} variables", pred.shape[1])
    if (true.max(axis=0) == 0).any():
        raise ParameterError("truth", "variables that vary", "a constant one")
    carried = true > 1e-4 * true.max(axis=0)
    # A forecast that has come to rest has no power at all: a finite, very large distance.
    floor = 1e-12 * true.max(axis=0)
    decibel = 10 * np.log10(np.maximum(pred, floor) / np.maximum(true, floor))
    each = [np.sqrt(np.mean(d[c] ** 2)) for d, c in zip(decibel.T, carried.T, strict=True)]
    return float(np.mean(each))
