"""Figures of the study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from study_tables import Curves
from study_values import error

from analysis.comparison import PairedRatio

COLOURS = {
    "LNP": "#d55e00", "random_matched": "#0072b2", "activity": "#009e73", "magnitude": "#cc79a7",
    "noise": "#e69f00", "fresh": "#56b4e9", "sparse": "#999999",
}  # fmt: skip
MARKERS = dict(zip(COLOURS, "osD^vP*", strict=True))


def curves_figure(panels: Sequence[tuple[str, Curves]], path: Path) -> None:
    """Error relative to dense against synaptic operations, one panel a network size."""
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(max(5.6, 4.6 * len(panels)), 4.2),
        sharey=True,
        layout="constrained",
    )
    for ax, (title, curves) in zip(np.atleast_1d(axes), panels, strict=True):
        dense = curves.rows["dense", 1.0, 1.0]
        for variant, colour in COLOURS.items():
            points = []
            for budget in curves.budgets(variant):
                rows = curves.rows[variant, budget, 1.0]
                found = curves.versus_dense((variant, budget, 1.0))
                if found is not None:
                    cost = float(np.exp(np.mean([np.log(row["sops"]) for row in rows.values()])))
                    points.append((cost, found))
            if points:
                _line(ax, points, variant, colour)
        cost = float(np.exp(np.mean([np.log(row["sops"]) for row in dense.values()])))
        ax.plot(cost, 1.0, "ks", ms=7, label="dense")
        none = curves.versus_dense(("no recurrence", 1.0, 1.0))
        if none is not None:
            ax.axhline(none.ratio, color="0.5", lw=1, ls=":", label="no recurrence")
        ax.set(xscale="log", yscale="log", title=title, xlabel="synaptic operations (1/s)")
        ax.set_yticks([0.5, 0.7, 1, 1.5, 2, 3], ["0.5", "0.7", "1", "1.5", "2", "3"])
        ax.minorticks_off()
        ax.axhline(1, color="k", lw=0.6)
    first = np.atleast_1d(axes)[0]
    first.set_ylabel("error relative to dense (Q)")
    handles, labels = first.get_legend_handles_labels()
    figure.legend(
        handles, labels, fontsize=8, frameon=False, ncols=5, loc="outside upper center"
    )  # fmt: skip
    _save(figure, path)


def _line(ax: Any, points: list[tuple[float, PairedRatio]], variant: str, colour: str) -> None:
    x = [cost for cost, _ in points]
    y = np.array([found.ratio for _, found in points])
    low = y - [found.low for _, found in points]
    high = np.array([found.high for _, found in points]) - y
    ax.errorbar(
        x, y, [low, high], color=colour, marker=MARKERS[variant], ms=5, lw=1.3, capsize=2,
        label=variant.replace("_", " "), alpha=0.9,
    )  # fmt: skip


def forest_figure(
    groups: Sequence[tuple[str, Sequence[tuple[str, PairedRatio | None]]]], path: Path, label: str
) -> None:
    """Ratios with their intervals, one row each, in groups."""
    rows = [(g, name, found) for g, members in groups for name, found in members if found]
    figure, ax = plt.subplots(figsize=(6.6, 0.3 * len(rows) + 1.1), layout="constrained")
    for y, (_, _, found) in enumerate(rows):
        colour = "#009e73" if found.better else "#d55e00" if found.worse else "0.35"
        ax.errorbar(
            found.ratio, y, xerr=[[found.ratio - found.low], [found.high - found.ratio]],
            fmt="o", color=colour, capsize=2, ms=5,
        )  # fmt: skip
    ax.axvline(1, color="k", lw=0.8)
    names = [f"{group}: {name}" if group else name for group, name, _ in rows]
    ax.set_yticks(range(len(rows)), names, fontsize=8)
    ax.invert_yaxis()
    ax.set(xscale="log", xlabel=label)
    ticks = [t for t in (0.3, 0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3) if _inside(ax, t)]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks], fontsize=8)
    ax.minorticks_off()
    _save(figure, path)


def _inside(ax: Any, tick: float) -> bool:
    low, high = ax.get_xlim()
    return bool(low <= tick <= high)


def coupling_figure(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Validation error of the dense network against its coupling, one line a family."""
    figure, ax = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    names = list(dict.fromkeys((row["family"], row["n"]) for row in rows))
    for k, (family, n) in enumerate(names):
        mine = [row for row in rows if (row["family"], row["n"]) == (family, n)]
        values = sorted({row["coupling"] for row in mine})
        mean = []
        for value in values:
            here = [row for row in mine if row["coupling"] == value]
            mean.append(np.exp(np.mean([np.log(validation_error(row)) for row in here])))
        label = f"{family.replace('_', ' ')}, {n}"
        ax.plot(values, mean, "o-", ms=4, color=f"C{k}", label=label)
    ax.set(xlabel="coupling J", ylabel="validation error (geometric mean)", yscale="log")
    ax.legend(fontsize=7, frameon=False)
    _save(figure, path)


def spectra_figure(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Leading Lyapunov exponents before and after, mean over seeds and standard error."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained", sharey=True)
    for ax, key, title in zip(
        axes, ("exponents", "task_exponents"), ("under noise", "under Lorenz input"), strict=True
    ):
        for k, name in enumerate(dict.fromkeys(row["name"] for row in rows)):
            found = np.array([row[key] for row in rows if row["name"] == name])
            mean = found.mean(axis=0)
            few = len(found) < 2
            stderr = 0 * mean if few else found.std(axis=0, ddof=1) / np.sqrt(len(found))
            index = np.arange(1, mean.size + 1)
            style = {"fmt": "o-", "ms": 3, "lw": 1, "capsize": 2, "color": f"C{k}"}
            ax.errorbar(index, mean, stderr, label=name, **style)
        ax.axhline(0, color="k", lw=0.8)
        ax.set(xlabel="index", title=title, xticks=[1, 5, 10, 15, 20])
    axes[0].set_ylabel("Lyapunov exponent (1/s)")
    axes[1].legend(frameon=False, fontsize=8)
    _save(figure, path)


def validation_error(row: dict[str, Any]) -> float:
    """Geometric mean of the four errors on the validation parts."""
    return error({t: row[f"{t}_validation"] for t in ("x1", "xh", "nh", "digits")})


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    print(f"wrote {path.name}")
