"""Figures of Lyapunov exponents: spectra, how they settled, how displacements grow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from analysis.lyapunov.result import LyapunovResult
from analysis.plots import _style as style
from models_eq.checks import whole
from models_eq.errors import ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More markers than this on a spectrum run into a band: a line says the same.
_MARKERS = 60
# Points of a line that stays a line in print.
_POINTS = 1000


class Growing(Protocol):
    """Distances of displaced copies from their base: what :func:`displacement_growth` draws."""

    @property
    def t(self) -> np.ndarray:
        """Times since the displacement, shape (m,), s."""

    @property
    def distance(self) -> np.ndarray:
        """Distances, shape (copies, m); NaN where there is none to tell."""

    @property
    def displacement(self) -> float:
        """Distance at time 0."""

    @property
    def rate(self) -> float | None:
        """Leading exponent, 1/s, or None."""


def lyapunov_spectrum(
    results: LyapunovResult | Mapping[str, LyapunovResult],
    ax: Axes | None = None,
    *,
    relative: bool = False,
) -> Axes:
    """Lyapunov exponents with their standard errors, largest first.

    Parameters
    ----------
    results : LyapunovResult or Mapping of str to LyapunovResult
        Spectra by name, such as ``{"before": dense, "after": pruned}``; drawn in this order.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    relative : bool, optional
        Whether to draw against (index - 1/2) / dimension, from 0 to 1, so that systems of
        different size compare.

    Returns
    -------
    matplotlib.axes.Axes
        Exponents of -infinity are left out; the label counts them. Long spectra are lines in a
        band of one standard error.

    Raises
    ------
    ParameterError
        If there is no result, or units differ.
    """
    named = {"": results} if isinstance(results, LyapunovResult) else dict(results)
    if not named:
        raise ParameterError("results", "at least one result", "none")
    units = sorted({result.unit for result in named.values()})
    if len(units) > 1:
        raise ParameterError("results", "exponents in the same unit", ", ".join(units))
    ax = style.axes_or_new(ax)
    ax.axhline(0, color=style.GREY, linewidth=0.8, linestyle=":")
    many = max(result.k for result in named.values()) > _MARKERS
    for order, (name, result) in enumerate(named.items()):
        shown = np.isfinite(result.exponents)
        x = np.arange(1.0, result.k + 1)
        x = ((x - 0.5) / result.dimension if relative else x)[shown]
        y = result.exponents[shown]
        error = np.where(np.isfinite(result.stderr), result.stderr, 0.0)[shown]
        lost = int((~shown).sum())
        label = f"{name} ({lost} at \u2212\u221e)".strip() if lost else name
        look = style.look(name, order) if len(named) > 1 else style.Look(style.BLUE, "o")
        if many:
            ax.fill_between(x, y - error, y + error, color=look.colour, alpha=0.25, linewidth=0)
            ax.plot(x, y, color=look.colour, linewidth=1.2, label=label or None)
        else:
            ax.errorbar(
                x, y, yerr=error, linestyle="none", marker=look.marker, markersize=3.5,
                elinewidth=0.8, capsize=1.5, color=look.colour, label=label or None,
            )  # fmt: skip
    xlabel = "index / dimension" if relative else "index"
    style.dress(ax, xlabel, f"Lyapunov exponent ({units[0]})")
    if not relative:
        ax.locator_params(axis="x", integer=True)
    style.legend(ax)
    return ax


def convergence(result: LyapunovResult, ax: Axes | None = None, *, k: int | None = None) -> Axes:
    """Estimates of the exponents from the window up to each time.

    Parameters
    ----------
    result : LyapunovResult
        The spectrum.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    k : int, optional
        How many exponents, from the largest on; by default up to 4.

    Returns
    -------
    matplotlib.axes.Axes
        Bands of one standard error about the final values. The axis leaves out the first
        twentieth of the window, whose swings would flatten the rest.

    Raises
    ------
    ParameterError
        For more exponents than there are.
    """
    shown = _shown(result, k, 4)
    t, running = result.leading(shown[-1] + 1).convergence
    ax = style.axes_or_new(ax)
    settled = t >= t[-1] / 20
    every = _thinned(t.size)
    for order, index in enumerate(shown):
        value, error = float(result.exponents[index]), float(result.stderr[index])
        colour = _colour(order, len(shown))
        if np.isfinite(error):
            ax.axhspan(value - error, value + error, color=colour, alpha=0.2, linewidth=0)
        label = f"{_symbol(index)} = {_measured(value, error)}"
        ax.plot(
            t[every], running[every, index], color=colour, linewidth=1.1,
            label=label if _named(order, len(shown)) else None,
        )  # fmt: skip
    part = running[np.ix_(settled, shown)]
    edges = result.exponents[shown], np.nan_to_num(result.stderr[shown], posinf=0.0)
    low = min(float(part.min()), float((edges[0] - edges[1]).min()))
    high = max(float(part.max()), float((edges[0] + edges[1]).max()))
    room = 0.06 * (high - low) or 0.1 * max(abs(high), 1.0)
    ax.set_ylim(low - room, high + room)
    ax.set_xlim(0, t[-1])
    style.dress(ax, _time_label(result), f"exponent up to then ({result.unit})")
    _legend_above(ax)
    return ax


def local_exponents(
    result: LyapunovResult, ax: Axes | None = None, *, k: int | None = None, points: int = 300
) -> Axes:
    """Local exponents: growth rates along the window.

    Parameters
    ----------
    result : LyapunovResult
        The spectrum.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    k : int, optional
        How many exponents, from the largest on; by default up to 3.
    points : int, optional
        Intervals are averaged together until no more than this many remain.

    Returns
    -------
    matplotlib.axes.Axes
        Dashed lines mark the exponents.

    Raises
    ------
    ParameterError
        For more exponents than there are.
    """
    shown = _shown(result, k, 3)
    points = whole(points, "points")
    width = -(-len(result.local) // points)
    count = len(result.local) // width
    # Whole groups alone: a shorter one at the end would swing more than the others.
    mean = result.local[: count * width].reshape(count, width, -1).mean(axis=1)
    t = (np.arange(count) + 0.5) * width * result.t_qr
    ax = style.axes_or_new(ax)
    for order, index in enumerate(shown):
        colour = _colour(order, len(shown))
        label = _symbol(index) if _named(order, len(shown)) else None
        ax.plot(t, mean[:, index], color=colour, linewidth=0.8, alpha=0.75, label=label)
        ax.axhline(result.exponents[index], color=colour, linewidth=1.3, linestyle="--", zorder=3)
    ax.set_xlim(0, result.duration)
    style.dress(ax, _time_label(result), f"local exponent ({result.unit})")
    _legend_above(ax, ncols=min(6, len(shown)))
    return ax


def displacement_growth(growth: Growing, ax: Axes | None = None) -> Axes:
    """Distance between displaced copies and their base over time.

    Parameters
    ----------
    growth : DisplacementGrowth
        Or anything with its attributes ``t`` (shape (m,), s), ``distance`` (shape (copies, m)),
        ``displacement`` and ``rate`` (1/s, or None).
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Each copy thin (the first hundred), their geometric mean thick, and dashed
        ``displacement * exp(rate t)`` within the range of the distances. Distances of exactly 0
        are left out; the label counts copies that end there. Gaps (NaN) are bridged.

    Raises
    ------
    ParameterError
        If shapes do not fit.
    """
    t, distance = np.asarray(growth.t, dtype=float), np.atleast_2d(growth.distance).astype(float)
    if t.ndim != 1 or t.size == 0 or distance.ndim != 2 or distance.shape[1] != t.size:
        shapes = f"shapes {distance.shape} and {t.shape}"
        raise ParameterError("growth", "distance of shape (copies, m) for t of shape (m,)", shapes)
    unit, scale = ("ms", 1e3) if t[-1] <= 1 else ("s", 1.0)
    apart = np.array([_bridged(t, line) for line in distance])
    ax = style.axes_or_new(ax)
    style.dress(ax, f"time ({unit})", "distance from the base")
    if not np.isfinite(apart).any():
        style.note(ax, "all copies merged")
        return ax
    several = len(distance) > 1
    merged = int((distance[:, -1] <= 0).sum())
    label = f"{len(distance)} copies" if several else "1 copy"
    label += f" ({merged} merged)" if merged else ""
    thin = max(0.15, min(0.6, 6 / len(distance)))
    for order, line in enumerate(apart[:100]):
        ax.plot(
            t * scale, line, label=None if order else label,
            color=style.GREY if several else style.BLUE,
            linewidth=0.6 if several else 1.8, alpha=thin if several else 1.0,
        )  # fmt: skip
    if several:
        some = np.isfinite(apart).any(axis=0)
        mean = np.exp(np.nanmean(np.log(apart[:, some]), axis=0))
        ax.plot(t[some] * scale, mean, color=style.BLUE, linewidth=1.8, label="geometric mean")
    low, high = float(np.nanmin(apart)), float(np.nanmax(apart))
    low, high = min(low, growth.displacement), max(high, growth.displacement)
    if growth.rate is not None:
        slope = growth.displacement * np.exp(np.clip(growth.rate * t, -700, 700))
        inside = (slope >= low / 2) & (slope <= 2 * high)
        ax.plot(
            t[inside] * scale, slope[inside], color=style.VERMILLION, linewidth=1.2,
            linestyle="--", label=f"slope of {_symbol(0)} = {growth.rate:.3g} 1/s",
        )  # fmt: skip
    ax.set_yscale("log")
    ax.set_ylim(low / 3, high * 3)
    ax.set_xlim(t[0] * scale, t[-1] * scale if t.size > 1 else None)
    _legend_above(ax)
    if (box := ax.get_legend()) is not None:
        for handle in box.get_lines():
            handle.set_alpha(1.0)
    return ax


def _bridged(t: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Distances with their gaps filled in along a straight line of the logarithm; NaN for 0."""
    known = distance > 0
    if not known.any():
        return np.full(t.size, np.nan)
    filled = np.exp(np.interp(t, t[known], np.log(distance[known]), left=np.nan, right=np.nan))
    return np.where(distance == 0, np.nan, np.where(known, distance, filled))


def _shown(result: LyapunovResult, k: int | None, most: int) -> np.ndarray:
    """Indices of the exponents to draw; those of -infinity have no line."""
    count = min(most, result.k) if k is None else whole(k, "k")
    if count > result.k:
        raise ParameterError("k", f"at most {result.k} exponents", k)
    shown = np.flatnonzero(np.isfinite(result.local[:, :count]).all(axis=0))
    if shown.size == 0:
        raise ParameterError("result", "finite exponents", "-infinity alone")
    return shown


def _symbol(index: int) -> str:
    return rf"$\lambda_{{{index + 1}}}$"


def _measured(value: float, error: float) -> str:
    """A value to the digits that its error leaves, such as ``0.906 ± 0.003``."""
    if not 0 < error < np.inf:
        text = f"{value:.4g}"
    else:
        places = max(0, -int(np.floor(np.log10(error))))
        value = round(value, places) + 0.0  # never a negative zero
        text = f"{value:.{places}f} \u00b1 {error:.{places}f}"
    return text.replace("-", "\u2212")


def _colour(order: int, count: int) -> Any:
    """The palette for few lines, and shades from first to last for many."""
    if count <= len(style.CYCLE):
        return style.CYCLE[order]
    from matplotlib import colormaps

    return colormaps["viridis"](0.9 * order / (count - 1))


def _named(order: int, count: int) -> bool:
    """Whether a line has its own entry: all of few, first and last of many."""
    return count <= len(style.CYCLE) or order in (0, count - 1)


def _thinned(size: int) -> np.ndarray:
    """Indices of at most some thousand points, the last among them."""
    step = max(1, size // _POINTS)
    return np.arange((size - 1) % step, size, step)


def _time_label(result: LyapunovResult) -> str:
    return {"1/s": "time (s)", "1/step": "steps"}.get(result.unit, "time (dimensionless)")


def _legend_above(ax: Axes, ncols: int = 2) -> None:
    style.legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=ncols)
