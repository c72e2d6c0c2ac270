"""Measures of how well a prediction fits: NRMSE, valid prediction time, accuracy, means."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_eq.errors import ParameterError


def _finite(value: Any, field: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ParameterError(field, "an array of numbers", value) from None
    if array.size == 0:
        raise ParameterError(field, "at least one value", f"shape {array.shape}")
    bad = ~np.isfinite(array)
    if bad.any():
        raise ParameterError(field, "finite numbers", f"{int(bad.sum())} that are NaN or infinite")
    return array


def _same_shape(a: np.ndarray, b: np.ndarray, field: str) -> None:
    if a.shape != b.shape:
        raise ParameterError(field, f"the shape of the target {a.shape}", f"shape {b.shape}")


def nrmse(y_true: Any, y_pred: Any, scale: Any = None) -> float:
    """Root-mean-square error in units of the target's standard deviation.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (rows,) or (rows, d)
        Target and prediction, in any common unit.
    scale : float or array_like, shape (d,), optional
        Standard deviations to divide by, where they come from elsewhere (such as the training
        part). Default: those of ``y_true``.

    Returns
    -------
    float
        0 for a perfect prediction, 1 for the mean of the target.

    Raises
    ------
    ParameterError
        For shapes that differ, values that are not finite, a component of the target that is
        constant (unless ``scale`` is given), or a scale that is not above 0.

    Notes
    -----
    ``NRMSE = sqrt(mean over c of <(y_c - yhat_c)^2> / sd_c^2)``, ``<>`` the mean over rows.

    Examples
    --------
    >>> nrmse([0.0, 2.0], [1.0, 1.0])
    1.0
    """
    true = _finite(y_true, "y_true")
    pred = _finite(y_pred, "y_pred")
    _same_shape(true, pred, "y_pred")
    if true.ndim not in (1, 2):
        raise ParameterError("y_true", "shape (rows,) or (rows, d)", f"shape {true.shape}")
    true, pred = true.reshape(len(true), -1), pred.reshape(len(pred), -1)
    if scale is None:
        # Exact: the sd of a constant need not round to 0, its range does.
        constant = np.ptp(true, axis=0) == 0
        if constant.any():
            raise ParameterError(
                "y_true",
                "a target that varies",
                f"component {int(np.flatnonzero(constant)[0])} is constant",
                "Pass scale= to divide by standard deviations from elsewhere",
            )
        sd = true.std(axis=0)
    else:
        sd = _finite(scale, "scale")
        if sd.shape not in ((), (1,), (true.shape[1],)) or (sd <= 0).any():
            raise ParameterError("scale", f"a number or {true.shape[1]} numbers above 0", scale)
    return float(np.sqrt(np.mean(np.mean((true - pred) ** 2, axis=0) / sd**2)))


def valid_prediction_time(
    truth: Any,
    prediction: Any,
    dt: float,
    threshold: float = 0.4,
    lyapunov_time: float = 1.0,
    scale: float | None = None,
) -> float | np.ndarray:
    """Time for which a free-running forecast stays close to the truth.

    Parameters
    ----------
    truth, prediction : array_like, shape (steps,), (steps, d) or (starts, steps, d)
        The two trajectories, step by step from the start of the forecast.
    dt : float
        Time of one step, in the unit of ``lyapunov_time``.
    threshold : float
        Largest error that still counts as valid, in units of ``scale``.
    lyapunov_time : float
        ``1 / lambda_1``; the answer is in multiples of it (1: the unit of ``dt``).
    scale : float, optional
        Root-mean-square extent of the attractor. Default: the root of the mean of
        ``||truth - mean||^2`` over all starts and steps given; for short forecasts pass the
        value of a long trajectory.

    Returns
    -------
    float or ndarray, shape (starts,)
        One number per start. A forecast that stays valid throughout gives the whole length,
        which is a lower bound.

    Raises
    ------
    ParameterError
        For shapes that differ, a truth that is not finite or does not vary, or numbers not
        above 0.

    Notes
    -----
    ``e(t) = ||truth(t) - prediction(t)|| / scale``; the result is the number of steps before
    the first one with ``e > threshold``, times ``dt / lyapunov_time``. A prediction that is NaN
    or infinite has diverged and counts as above the threshold. The extent is taken about the
    mean, so that a shift of the origin changes nothing.

    References
    ----------
    Pathak et al. 2018, Phys. Rev. Lett. 120, 024102, doi:10.1103/PhysRevLett.120.024102.
    """
    true = _finite(truth, "truth")
    pred = np.asarray(prediction, dtype=float)
    _same_shape(true, pred, "prediction")
    if true.ndim == 1:
        true, pred = true[:, None], pred[:, None]
    if true.ndim not in (2, 3):
        raise ParameterError(
            "truth", "shape (steps,), (steps, d) or (starts, steps, d)", f"shape {true.shape}"
        )
    for field, value in (("dt", dt), ("threshold", threshold), ("lyapunov_time", lyapunov_time)):
        if not (np.isfinite(value) and value > 0):
            raise ParameterError(field, "a finite number above 0", value)
    if scale is None:
        flat = true.reshape(-1, true.shape[-1])
        scale = float(np.sqrt(np.mean(np.sum((flat - flat.mean(axis=0)) ** 2, axis=1))))
    if not (np.isfinite(scale) and scale > 0):
        raise ParameterError("scale", "an attractor that extends (above 0)", scale)
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.linalg.norm(true - pred, axis=-1) / scale
        above = ~(error <= threshold)  # also true for NaN
    steps = np.where(above.any(axis=-1), above.argmax(axis=-1), above.shape[-1])
    times = steps * (dt / lyapunov_time)
    return float(times) if times.ndim == 0 else times


def accuracy(y_true: Any, y_pred: Any) -> float:
    """Share of labels that are right.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (n,)
        Labels: integers, strings or booleans.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    ParameterError
        For no labels at all, shapes that differ, or labels of two kinds.

    Examples
    --------
    >>> accuracy([0, 1, 2, 3], [0, 1, 2, 0])
    0.75
    """
    true, pred = np.asarray(y_true), np.asarray(y_pred)
    if true.ndim != 1 or true.size == 0:
        raise ParameterError("y_true", "at least one label, shape (n,)", f"shape {true.shape}")
    _same_shape(true, pred, "y_pred")
    # Comparing text with numbers is False everywhere: a wrong call, not a bad classifier.
    if (true.dtype.kind in "US") != (pred.dtype.kind in "US") and "O" not in (
        true.dtype.kind,
        pred.dtype.kind,
    ):
        raise ParameterError("y_pred", f"labels like the target's ({true.dtype})", str(pred.dtype))
    return float(np.mean(true == pred))


def mean_and_stderr(values: Any, axis: int = 0) -> tuple[Any, Any]:
    """Mean over independent repetitions, and its standard error.

    Parameters
    ----------
    values : array_like
        One value (or array of values) per repetition, such as a seed.
    axis : int
        The axis of the repetitions.

    Returns
    -------
    mean, stderr : float or ndarray
        ``stderr = sd / sqrt(n)`` with ``n - 1`` in the variance.

    Raises
    ------
    ParameterError
        For fewer than two repetitions, an axis that does not exist, or values that are not
        finite.

    Examples
    --------
    >>> mean_and_stderr([1.0, 3.0])
    (2.0, 1.0)
    """
    array = _finite(values, "values")
    if not -array.ndim <= axis < array.ndim:
        raise ParameterError("axis", f"an axis of an array of shape {array.shape}", axis)
    n = array.shape[axis]
    if n < 2:
        raise ParameterError("values", "at least two repetitions for a standard error", n)
    mean, error = array.mean(axis=axis), array.std(axis=axis, ddof=1) / np.sqrt(n)
    return (float(mean), float(error)) if mean.ndim == 0 else (mean, error)
