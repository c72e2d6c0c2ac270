"""Figures of experiments: predictions, and error against cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.plots import _style as style
from models_eq.errors import ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
_DASHES = (":", "-.", (0, (5, 1)), (0, (1, 3)), (0, (3, 1, 1, 1, 1, 1)))


def _number(value: Any) -> float:
    """A float; 0 for an absent or undefined one (a standard error of a single seed)."""
    return float(value) if value is not None and np.isfinite(value) else 0.0


class _Point(NamedTuple):
    """One network, averaged over seeds."""

    method: str
    neurons: float
    y: float
    y_error: float
    x: float
    x_error: float


def _chosen(summary: Iterable[Row], task: str | None, names: tuple[str, str]) -> list[Row]:
    rows = list(summary)
    if not rows:
        raise ParameterError("summary", "at least one row", "none")
    needed = ("method", *(f"{name}_mean" for name in names))
    for k, row in enumerate(rows):
        missing = [key for key in needed if key not in row]
        if missing:
            raise ParameterError(f"summary[{k}]", "the key " + ", ".join(missing), list(row))
    tasks = list(dict.fromkeys(row["task"] for row in rows if "task" in row))
    if task is not None:
        if task not in tasks:
            raise ParameterError("task", "one of " + ", ".join(map(str, tasks)), task)
        rows = [row for row in rows if row.get("task") == task]
    elif len(tasks) > 1:
        raise ParameterError(
            "task", "the name of one task", f"rows of {len(tasks)} tasks", f"One of {tasks}"
        )
    return rows


def _points(rows: list[Row], value: str, sops: str) -> list[_Point]:
    points = [
        _Point(
            str(row["method"]),
            _number(row.get("neurons", 1.0)),
            float(row[f"{value}_mean"]),
            _number(row.get(f"{value}_stderr")),
            float(row[f"{sops}_mean"]),
            _number(row.get(f"{sops}_stderr")),
        )
        for row in rows
        # A measure that does not apply to a task is None; it is not a point at 0.
        if row[f"{value}_mean"] is not None and row[f"{sops}_mean"] is not None
    ]
    if not points:
        raise ParameterError("summary", "rows with a value", "none")
    return points


def _in_order(points: list[_Point]) -> dict[str, list[_Point]]:
    """Points of each method, in the order of the legend."""
    known = list(style.LOOKS)
    methods = dict.fromkeys(point.method for point in points)
    ordered = [m for m in known if m in methods] + [m for m in methods if m not in known]
    return {m: [point for point in points if point.method == m] for m in ordered}


def error_against_sops(
    summary: Iterable[Row],
    ax: Axes | None = None,
    *,
    task: str | None = None,
    metric: str | None = None,
    baselines: Mapping[str, float] | None = None,
    value: str = "value",
    sops: str = "sops",
    names: Mapping[str, str] | None = None,
    legend: bool = True,
) -> Axes:
    """Error against synaptic operations: one line a method, through its budgets.

    Parameters
    ----------
    summary : iterable of Mapping
        Rows with ``method``, ``value_mean``, ``sops_mean`` (1/s) and, where there are any,
        ``value_stderr``, ``sops_stderr``, ``task`` and ``neurons`` (fraction kept).
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    task : str, optional
        Which task; needed where there are rows of several.
    metric : str, optional
        Label of the vertical axis; by default the rows' ``metric``, or ``NRMSE``.
    baselines : Mapping of str to float, optional
        Values of trivial predictors, drawn as horizontal lines. One that lies far from all
        points does not stretch the axis; the legend then gives its value and on which side.
    value, sops : str, optional
        How the two quantities are called in the rows, such as ``"error"`` and
        ``"sops_per_second"``: ``_mean`` and ``_stderr`` are put behind.
    names : Mapping of str to str, optional
        What a method is called in the legend; by default its name, spaces for underscores.
    legend : bool, optional
        Whether to name the methods, below the axes. Beside other panels, one legend may do.

    Returns
    -------
    matplotlib.axes.Axes
        Error bars are one standard error. A method that keeps several fractions of neurons has
        a line for each: filled markers for the largest, open ones for the others. A point
        without operations (no recurrence) stands at the left edge, since log 0 does not exist.

    Raises
    ------
    ParameterError
        For no rows, rows without the keys above, or an unknown or missing task.
    """
    rows = _chosen(summary, task, (value, sops))
    points = _points(rows, value, sops)
    metric = metric or rows[0].get("metric") or "NRMSE"
    label = metric.upper() if metric == "nrmse" else metric
    positive = [point.x for point in points if point.x > 0]
    edge = min(positive) / 3 if positive else 1.0

    ax = style.axes_or_new(ax, height=3.2)
    ax.set_xscale("log")
    most = max(point.neurons for point in points)
    partial: set[float] = set()
    for k, (method, mine) in enumerate(_in_order(points).items()):
        fractions = sorted({point.neurons for point in mine}, reverse=True)
        for fraction in fractions:
            line = [point for point in mine if point.neurons == fraction]
            named = fraction == fractions[0]
            title = (names or {}).get(method, method.replace("_", " "))
            _line(ax, line, style.look(method, k), edge, fraction == most, title if named else "")
        partial |= {fraction for fraction in fractions if fraction != most}
    low = min(point.y - point.y_error for point in points)
    high = max(point.y + point.y_error for point in points)
    _limits_and_baselines(ax, low, high, baselines or {})
    if partial:
        shares = ", ".join(f"{100 * share:.3g} %" for share in sorted(partial, reverse=True))
        ax.plot(
            [], [], color=style.GREY, marker="o", markerfacecolor="white", markersize=4,
            linestyle="--", linewidth=0.9, label=f"open: {shares} of neurons",
        )  # fmt: skip
    style.dress(ax, "synaptic operations (1/s)", label, "" if task is None else str(task))
    if legend:
        from matplotlib.transforms import ScaledTranslation

        # Shifted by inches, which leaves room for the label below whatever the size.
        shift = ScaledTranslation(-0.4, -0.42, ax.figure.dpi_scale_trans)
        style.legend(
            ax,
            loc="upper left",
            bbox_to_anchor=(0.0, 0.0),
            bbox_transform=ax.transAxes + shift,
            borderaxespad=0,
            ncols=2,
            columnspacing=1.0,
        )
    return ax


def _limits_and_baselines(
    ax: Axes, low: float, high: float, baselines: Mapping[str, float]
) -> None:
    span = (high - low) or max(abs(high), 1e-12)
    inside = [low, high]
    for k, (name, height) in enumerate(baselines.items()):
        near = low - 0.5 * span <= height <= high + 0.5 * span
        ax.axhline(
            height,
            color=style.GREY,
            linewidth=0.9,
            linestyle=_DASHES[k % len(_DASHES)],
            zorder=0,
            label=name if near else f"{name} ({height:.3g} {'↑' if height > high else '↓'})",
        )
        inside += [height] if near else []
    pad = 0.07 * ((max(inside) - min(inside)) or span)
    ax.set_ylim(min(inside) - pad, max(inside) + pad)


def _line(
    ax: Axes, points: list[_Point], look: style.Look, edge: float, full: bool, label: str
) -> None:
    """Draw one method at one fraction of neurons."""
    points = sorted(points, key=lambda point: point.x)
    method = points[0].method
    sops = np.array([point.x for point in points])
    x = np.where(sops > 0, sops, edge)
    xerr = np.where(sops > 0, [point.x_error for point in points], 0.0)
    yerr = np.array([point.y_error for point in points])
    # The bar may not reach 0, to which a logarithmic axis would have no end.
    bars = np.array([np.minimum(xerr, 0.9 * x), xerr])
    unvaried = method in ("dense", "none") or len(points) == 1
    if label and (sops <= 0).all():
        label += " (0 operations)"
    strong = method in ("lnp", "dense")
    ax.errorbar(
        x,
        [point.y for point in points],
        xerr=bars if xerr.any() else None,
        yerr=yerr if yerr.any() else None,
        color=look.colour,
        marker=look.marker,
        markersize=8 if method == "dense" else 5,
        markerfacecolor=look.colour if full else "white",
        markeredgewidth=0.9,
        linestyle="none" if unvaried else "-" if full else "--",
        linewidth=1.5 if strong else 1.0,
        elinewidth=0.8,
        capsize=0,
        zorder=4 if strong else 3,
        label=label or None,
    )


def prediction(
    truth: Any,
    prediction: Any,
    t: Any = None,
    ax: Axes | None = None,
    *,
    names: Sequence[str] = (),
) -> Axes:
    """A target and its prediction over time.

    Parameters
    ----------
    truth, prediction : array_like, shape (rows,) or (rows, d)
        Target and prediction in one unit. Several components are drawn one above the other, each
        in units of its own spread.
    t : array_like, shape (rows,), s, optional
        Times; by default the rows are counted.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    names : sequence of str, optional
        Name (and unit) of each component.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ParameterError
        For shapes that differ.
    """
    true, pred = np.asarray(truth, dtype=float), np.asarray(prediction, dtype=float)
    if true.ndim not in (1, 2) or true.shape != pred.shape:
        raise ParameterError(
            "prediction", f"the shape of the truth {true.shape}, with 1 or 2 axes", pred.shape
        )
    rows = len(true)
    time = np.arange(rows, dtype=float) if t is None else np.asarray(t, dtype=float)
    if time.shape != (rows,):
        raise ParameterError("t", f"shape ({rows},)", f"shape {time.shape}")
    d = 1 if true.ndim == 1 else true.shape[1]
    true, pred = true.reshape(rows, d), pred.reshape(rows, d)
    if names and len(names) != d:
        raise ParameterError("names", f"{d} names", names)
    names = list(names) or (["value"] if d == 1 else [f"component {k}" for k in range(d)])

    ax = style.axes_or_new(ax, height=2.0 if d == 1 else 2.5)
    centre = np.zeros(d)
    if d > 1 and rows:
        spread = np.ptp(true, axis=0)
        spread[spread == 0] = 1.0
        middle = (true.max(axis=0) + true.min(axis=0)) / 2
        centre = -np.arange(d, dtype=float) * 1.15
        true = (true - middle) / spread + centre
        pred = (pred - middle) / spread + centre
    for k in range(d):
        first = k == 0
        ax.plot(
            time, true[:, k], color=style.BLACK, linewidth=1.8, alpha=0.35,
            label="target" if first else None,
        )  # fmt: skip
        ax.plot(
            time, pred[:, k], color=style.VERMILLION, linewidth=0.9,
            label="prediction" if first else None,
        )  # fmt: skip
    style.dress(ax, "row" if t is None else "time (s)", names[0] if d == 1 else "")
    if d > 1:
        ax.set_yticks(centre, names)
        if rows:
            # A readout that diverges must not squeeze the rest into a line.
            ax.set_ylim(centre[-1] - 0.75, centre[0] + 0.75)
    if rows > 1:
        ax.set_xlim(time.min(), time.max())
    style.legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    return ax
