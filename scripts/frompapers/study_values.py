"""Numbers of the study and how they are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from study_rows import TASKS, Row

from analysis.comparison import PairedRatio


def error(row: Row) -> float:
    """Geometric mean of the four errors."""
    return float(np.exp(np.mean([np.log(max(row[task], 1e-4)) for task in TASKS])))


def as_list(found: PairedRatio) -> list[float]:
    """Ratio, interval, pairs."""
    return [short(found.ratio), short(found.low), short(found.high), found.n]


def short(value: float) -> float:
    """Four digits."""
    return float(f"{value:.4g}")


def interval(found: Sequence[float] | None) -> str:
    """A ratio with its interval, as text."""
    return "" if found is None else f"{found[0]:.2f} ({found[1]:.2f}, {found[2]:.2f})"
