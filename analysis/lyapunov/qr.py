"""The QR engine: tangent vectors of any stepper, orthonormalised again and again, and their growth.

A stepper is what moves a base trajectory and its tangent vectors; this file knows neither
spikes nor equations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from analysis.lyapunov.result import LyapunovResult, block_means, block_stderr, slope_mean
from models_eq.checks import whole
from models_eq.errors import ConvergenceError, ParameterError

Progress = Callable[[int, int], None]
DEFAULT_K = 20
# What is smaller beside its vector than this is rounding.
ROUNDING = 1e-15


class Stepper(Protocol):
    """A base trajectory with tangent vectors, advanced one interval at a time."""

    def advance(self, interval: int) -> None:
        """Move base and tangents over the ``interval``-th stretch of length t_qr."""

    @property
    def tangents(self) -> np.ndarray:
        """Tangent vectors in place, shape (dimension, k), or (copies, dimension, k)."""


@dataclass(frozen=True)
class Growth:
    """What the QR engine collects.

    Attributes
    ----------
    log : ndarray, shape (m, copies, k)
        Logarithm of the growth of each orthonormal vector over each interval.
    squares : ndarray, shape (dimension, k)
        Mean squared components of the orthonormal vectors.
    """

    log: np.ndarray
    squares: np.ndarray


def orthonormal_start(
    dimension: int, k: int, rng: np.random.Generator, copies: int | None = None
) -> np.ndarray:
    """Random orthonormal vectors, shape (dimension, k) or (copies, dimension, k)."""
    shape = (dimension, k) if copies is None else (copies, dimension, k)
    q, _ = np.linalg.qr(rng.standard_normal(shape))
    return np.ascontiguousarray(q)


def follow(
    stepper: Stepper, warm_up: int, keep: int, *, progress: Progress | None = None
) -> Growth:
    """Advance a stepper and collect the growth of its tangent vectors.

    Parameters
    ----------
    stepper : Stepper
        Base and tangents. Its tangents are overwritten.
    warm_up, keep : int
        Intervals over which vectors only align, and intervals that are recorded.
    progress : callable, optional
        Called as ``progress(done, total)`` after each interval.

    Notes
    -----
    Y = Q R after each interval; the logarithms of the diagonal of R are the growth, and Q goes on
    (Benettin et al. 1980, 10.1007/BF02128236). A vector that is annihilated (an exponent of
    -infinity) goes on as whatever direction the decomposition gives it.
    """
    logs, squares = [], None
    total = warm_up + keep
    # The decompositions are many and small: threads would only wait for each other.
    with threadpool_limits(1 if stepper.tangents.size < 2_000_000 else None):
        for interval in range(total):
            stepper.advance(interval)
            tangents = stepper.tangents
            length = np.linalg.norm(tangents, axis=-2)
            q, r = np.linalg.qr(tangents)
            tangents[...] = q
            if interval >= warm_up:
                logs.append(log_growth(r, length))
                squares = q**2 if squares is None else squares + q**2
            if progress is not None:
                progress(interval + 1, total)
    log = np.array(logs)
    log = log[:, None, :] if log.ndim == 2 else log
    assert squares is not None
    mean = squares / keep
    return Growth(log, mean if mean.ndim == 2 else mean.mean(axis=0))


def log_growth(r: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Logarithm of the growth of each vector, from the triangular factor, shape (..., k).

    ``length``, shape (..., k), is that of the vectors before the decomposition: beside it the
    rest of a vector that was annihilated is rounding, and its growth -infinity.
    """
    size = np.abs(np.diagonal(r, axis1=-2, axis2=-1))
    with np.errstate(divide="ignore"):
        return np.where(size > ROUNDING * length, np.log(size), -np.inf)


def intervals(duration: float, t_qr: float, field: str = "duration", least: int = 16) -> int:
    """Number of intervals of ``t_qr`` in ``duration``, at least ``least``.

    Raises
    ------
    ParameterError
        If there are fewer.
    """
    count = round(duration / t_qr)
    if count < least:
        raise ParameterError(
            field, f"at least {least} intervals of t_qr ({t_qr:g})", f"{duration:g} ({count})"
        )
    return count


def how_many(k: int | None, dimension: int) -> int:
    """Number of exponents asked for: ``k``, or if None 20, or all where there are fewer.

    Raises
    ------
    ParameterError
        If there are not that many.
    """
    if k is None:
        return min(DEFAULT_K, dimension)
    k = whole(k, "k")
    if k > dimension:
        raise ParameterError("k", f"at most the {dimension} exponents of the system", k)
    return k


def summarise(
    log: np.ndarray,
    t_qr: float,
    *,
    moving: bool = True,
    volume: np.ndarray | None = None,
    per_neuron: np.ndarray | None = None,
    **about: Any,
) -> LyapunovResult:
    """Turn recorded growth into a result, or say that it has not converged.

    Parameters
    ----------
    log : ndarray, shape (m, copies, k)
        Logarithms of growth, see :class:`Growth`.
    t_qr : float
        Length of an interval.
    moving : bool
        Whether the system kept moving (spiking, oscillating): an autonomous one then has an
        exponent 0, and its absence is an error.
    volume : ndarray, shape (m,), optional
        Logarithm of the growth of volumes over each interval, which the sum of all exponents must
        equal.
    per_neuron : ndarray, shape (n, k), optional
        Participation of each neuron.
    **about
        Further fields of :class:`~analysis.lyapunov.result.LyapunovResult`.

    Raises
    ------
    ConvergenceError
        If growth is not finite, drifts over the whole window, or an autonomous moving system
        does not show its exponent 0. The error's ``partial`` is the result.
    """
    local = log.mean(axis=1) / t_qr
    mean = slope_mean(local)
    if volume is not None:
        about["volume_rate"] = float(slope_mean(volume)) / t_qr
    stderr = _stderr(log, t_qr)
    order = np.argsort(-mean, kind="stable")
    result = LyapunovResult(
        exponents=mean[order],
        stderr=stderr[order],
        local=np.ascontiguousarray(local[:, order]),
        t_qr=t_qr,
        duration=len(local) * t_qr,
        participation=None if per_neuron is None else np.ascontiguousarray(per_neuron[:, order]),
        **about,
    )
    _trust(result, moving)
    return result


def _stderr(log: np.ndarray, t_qr: float) -> np.ndarray:
    copies = log.shape[1]
    finite = np.isfinite(log).all(axis=(0, 1))
    rate = np.where(finite, log, 0.0) / t_qr
    if copies >= 8:
        found = slope_mean(rate).std(axis=0, ddof=1) / np.sqrt(copies)
    else:
        found = block_stderr(rate.mean(axis=1))
    return np.where(finite, found, 0.0)


def _trust(result: LyapunovResult, moving: bool) -> None:
    """Raise ConvergenceError for an estimate that is visibly wrong."""
    if np.isnan(result.exponents).any() or np.isposinf(result.exponents).any():
        raise ConvergenceError(
            "exponents", "finite growth", "infinite or undefined growth",
            "Take a smaller dt or t_qr", partial=result,
        )  # fmt: skip
    finite = np.isfinite(result.exponents)
    # A rule that gives a finite volume leaves no room for a vector that is annihilated.
    if not finite.all() and result.volume_rate is not None and np.isfinite(result.volume_rate):
        raise ConvergenceError(
            "exponents", "growth above rounding", "vectors that collapsed within one interval",
            "Take a shorter t_qr", partial=result,
        )  # fmt: skip
    scale = max(1e-12, float(np.abs(result.exponents[finite]).max(initial=0.0)))
    if (k := _drifting(result, finite, scale)) is not None:
        raise ConvergenceError(
            "exponents",
            "an average that has settled",
            f"a trend in exponent {k + 1} ({result.exponents[k]:.3g} {result.unit})",
            "Take a longer transient or duration",
            partial=result,
        )
    if result.conditional or not moving or result.method == "map" or not finite.all():
        return
    # The zero exponent lies in what was computed if the last exponent is clearly below it.
    last = result.exponents[-1] + 4 * result.stderr[-1]
    allowed = 5 * result.stderr[np.argmin(np.abs(result.exponents))] + 0.02 * scale
    allowed += 2 / result.duration  # the end points of the window
    if last < -allowed and abs(result.nearest_zero) > allowed:
        raise ConvergenceError(
            "exponents",
            "an exponent 0, which an autonomous system that keeps moving must have",
            f"{result.nearest_zero:.3g} {result.unit} as the nearest",
            "Take a smaller dt, or a longer transient and duration",
            partial=result,
        )


def _drifting(result: LyapunovResult, finite: np.ndarray, scale: float) -> int | None:
    """Index of an exponent whose block means follow a line, or None."""
    count = 16
    if len(result.local) < count:
        return None
    means = block_means(result.local[:, finite], count)
    x = np.arange(count) - (count - 1) / 2
    slope = x @ means / (x @ x)
    rest = means - means.mean(axis=0) - np.outer(x, slope)
    error = np.sqrt((rest**2).sum(axis=0) / (count - 2) / (x @ x))
    drift = np.abs(slope) * count
    # Chance takes |t| above 7 with 14 degrees of freedom six times in a million.
    # What few spikes a block leave over at its ends (some nats) is no drift either.
    bad = (np.abs(slope) > 7 * error) & (drift > 0.05 * scale + 5 / result.duration)
    return int(np.flatnonzero(finite)[np.flatnonzero(bad)[0]]) if bad.any() else None
