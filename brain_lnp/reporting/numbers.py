"""Numbers for people: as many digits as their standard error allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def plus_minus(row: Mapping[str, Any], name: str, factor: float = 1.0) -> str:
    """``name_mean ± name_stderr`` of a summary row times a factor; a dash where there is none."""
    mean, error = row.get(f"{name}_mean"), row.get(f"{name}_stderr")
    if mean is None:
        return "-"
    return short(mean * factor, None if error is None else error * factor)


def short(value: float, error: float | None = None) -> str:
    """A value with its standard error, two digits of which are shown.

    Parameters
    ----------
    value : float
        The value.
    error : float, optional
        Its standard error; NaN and None mean that it is not known.

    Returns
    -------
    str
        ``"0.146 ± 0.007"``; without an error four digits of the value.

    Examples
    --------
    >>> short(0.14621, 0.00712), short(1234.5, 31.2), short(3.0, 0.0), short(0.14621)
    ('0.1462 ± 0.0071', '1234 ± 31', '3', '0.1462')
    """
    if not math.isfinite(value):
        return "-"
    if error is None or not math.isfinite(error):
        return _minus(f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}")
    if error == 0 and value == round(value):  # a count that is the same for every seed
        return _minus(f"{value:.0f}")
    if error == 0:
        return _minus(f"{value:.4g} ± 0")
    places = max(0, 1 - math.floor(math.log10(error)))
    return _minus(f"{value:.{places}f} ± {error:.{places}f}")


def _minus(text: str) -> str:
    return text.replace("-", "\u2212", 1) if text.startswith("-") else text
