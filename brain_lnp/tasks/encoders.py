"""Encoders: images as currents, whole or row by row; Poisson, latency and population codes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from brain_lnp.tasks.task import whole
from models_eq.errors import ParameterError
from models_eq.rng import stream
from models_eq.units import FREQUENCY, positive_seconds, to_si


class SpikeTrain(NamedTuple):
    """Spikes sorted by (time, index): ``t`` in seconds, ``i`` the channel."""

    t: np.ndarray
    i: np.ndarray


def row_by_row(images: Any, blank: int = 2) -> np.ndarray:
    """Read each image from top to bottom, one row of pixels at a time.

    Parameters
    ----------
    images : array_like, shape (trials, height, width) or (trials, height, width, colours)
    blank : int
        Rows of zeros appended, in which the network can finish.

    Returns
    -------
    ndarray, shape (trials, height + blank, width * colours)

    Raises
    ------
    ParameterError
        For another shape, or a negative number of blank rows.

    Examples
    --------
    >>> row_by_row([[[1, 2], [3, 4]]], blank=1).tolist()
    [[[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]]]
    """
    array = np.asarray(images, dtype=float)
    if array.ndim not in (3, 4) or array.size == 0:
        raise ParameterError(
            "images", "shape (trials, height, width) or with colours last", f"{array.shape}"
        )
    blank = whole(blank, "blank", 0)
    flat = array.reshape(*array.shape[:2], -1)
    return np.concatenate([flat, np.zeros((len(flat), blank, flat.shape[2]))], axis=1)


def current(images: Any, rows: int = 1, blank: int = 0) -> np.ndarray:
    """Show each image as a whole, as one constant current a channel.

    Parameters
    ----------
    images : array_like, shape (trials, ...)
        Every number of an image becomes a channel.
    rows : int
        How many rows (of the task's ``hold``) it stays.
    blank : int
        Rows of zeros appended.

    Returns
    -------
    ndarray, shape (trials, rows + blank, channels)

    Raises
    ------
    ParameterError
        For a single number a trial, or a wrong count of rows.

    Examples
    --------
    >>> current([[[1, 2], [3, 4]]], rows=2).tolist()
    [[[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]]
    """
    array = np.asarray(images, dtype=float)
    if array.ndim < 2 or array.size == 0:
        raise ParameterError("images", "shape (trials, ...), not empty", f"{array.shape}")
    rows, blank = whole(rows, "rows", 1), whole(blank, "blank", 0)
    flat = array.reshape(len(array), 1, -1)
    return np.concatenate(
        [np.repeat(flat, rows, axis=1), np.zeros((len(flat), blank, flat.shape[2]))], axis=1
    )


def population(values: Any, centres: int = 8, *, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Gaussian receptive fields: each number becomes a hill of activity over several channels.

    Parameters
    ----------
    values : array_like, shape (..., c)
        What each channel carries; what lies outside ``low .. high`` excites the outermost fields.
    centres : int
        Fields a channel, at least 3, evenly spaced from ``low`` to ``high``.
    low, high : float
        Range, to be taken from training data.

    Returns
    -------
    ndarray, shape (..., c * centres)
        ``exp(-(v - m_k)^2 / (2 s^2))`` within 0..1, ``s = (high - low) / (centres - 1)``: fit for
        :func:`poisson`, :func:`latency`, or as currents. Fields of one channel are neighbours.

    Raises
    ------
    ParameterError
        For values that are not finite, fewer than three fields, or an empty range.

    References
    ----------
    Bohte, La Poutré & Kok 2002, Neurocomputing 48, 17-37, doi:10.1016/S0925-2312(01)00658-0.

    Examples
    --------
    >>> population([0.5], 3).round(2).tolist()
    [0.61, 1.0, 0.61]
    """
    array = np.asarray(values, dtype=float)
    if array.ndim < 1 or array.size == 0 or not np.isfinite(array).all():
        raise ParameterError("values", "finite numbers of shape (..., c)", f"shape {array.shape}")
    centres = whole(centres, "centres", 3)
    if not (np.isfinite(low) and np.isfinite(high) and high > low):
        raise ParameterError("low, high", "a range", [low, high])
    middle = np.linspace(low, high, centres)
    width = (high - low) / (centres - 1)
    hills = np.exp(-0.5 * ((np.clip(array, low, high)[..., None] - middle) / width) ** 2)
    return hills.reshape(*array.shape[:-1], -1)


def _intensities(values: Any, ndim: tuple[int, ...], shape: str) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.ndim not in ndim or array.size == 0:
        raise ParameterError("values", f"shape {shape}", f"shape {array.shape}")
    if not ((array >= 0) & (array <= 1)).all():
        raise ParameterError("values", "intensities within 0..1", "some outside or NaN")
    return array


def poisson(
    values: Any, *, max_rate: Any = "100 Hz", hold: Any = "10 ms", seed: int = 0
) -> SpikeTrain:
    """Poisson spikes at rates proportional to intensities.

    Parameters
    ----------
    values : array_like, shape (c,) or (rows, c)
        Intensities within 0..1, each row held for ``hold``.
    max_rate : Quantity or str
        Rate of intensity 1.
    hold : Quantity or str
        Time one row is held.
    seed : int

    Returns
    -------
    SpikeTrain
        The same for the same seed, whatever runs it.

    Raises
    ------
    ParameterError
        For intensities outside 0..1 or a wrong unit.
    """
    array = np.atleast_2d(_intensities(values, (1, 2), "(c,) or (rows, c)"))
    rate, held = to_si(max_rate, FREQUENCY, "max_rate"), positive_seconds(hold, "hold")
    if not (np.ndim(rate) == 0 and np.isfinite(rate) and rate > 0):
        raise ParameterError("max_rate", "one finite rate above 0", max_rate)
    rng = stream(seed, "input", 2)
    counts = rng.poisson(array * rate * held).ravel()
    # Given their number, the spikes of a Poisson process lie uniformly in the row.
    cell = np.repeat(np.arange(array.size), counts)
    row, i = np.divmod(cell, array.shape[1])
    t = (row + rng.random(cell.size)) * held
    order = np.lexsort((i, t))
    return SpikeTrain(t[order], i[order])


def latency(values: Any, *, window: Any = "50 ms", threshold: float = 0.0) -> SpikeTrain:
    """One spike for each intensity above a threshold, the brighter the earlier.

    Parameters
    ----------
    values : array_like, shape (c,)
        Intensities within 0..1.
    window : Quantity or str
        Time by which the faintest spikes.
    threshold : float
        Intensities up to this one stay silent; at least 0 and below 1.

    Returns
    -------
    SpikeTrain
        ``t = window (1 - v) / (1 - threshold)`` for ``v > threshold``.

    Raises
    ------
    ParameterError
        For intensities outside 0..1, a threshold outside [0, 1), or a wrong unit.

    Examples
    --------
    >>> latency([1.0, 0.0, 0.5], window="10 ms")
    SpikeTrain(t=array([0.   , 0.005]), i=array([0, 2]))
    """
    array = _intensities(values, (1,), "(c,)")
    if not 0 <= threshold < 1:
        raise ParameterError("threshold", "a number in [0, 1)", threshold)
    i = np.flatnonzero(array > threshold)
    t = positive_seconds(window, "window") * (1 - array[i]) / (1 - threshold)
    order = np.lexsort((i, t))
    return SpikeTrain(t[order], i[order])
