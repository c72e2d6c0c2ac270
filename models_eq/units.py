"""The one gate between Brian2 quantities (or text such as ``"20 ms"``) and SI floats."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from brian2.units.allunits import all_units
from brian2.units.fundamentalunits import (
    DIMENSIONLESS,
    Dimension,
    DimensionMismatchError,
    Quantity,
    get_dimensions,
    get_or_create_dimension,
)

from models_eq.errors import ParameterError, UnitError

TIME: Dimension = get_or_create_dimension(s=1)
FREQUENCY: Dimension = get_or_create_dimension(s=-1)

_UNIT_BY_NAME: dict[str, Quantity] = {str(unit): unit for unit in all_units}
_UNIT_BY_NAME.update({"second": _UNIT_BY_NAME["s"], "hertz": _UNIT_BY_NAME["Hz"]})
_TEXT = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z0-9^/]*)\s*$")
_EXAMPLE = {TIME: "20*ms or '20 ms'", FREQUENCY: "10*Hz or '10 Hz'"}


def parse_quantity(text: str, field: str) -> Quantity | float:
    """Read text such as ``"20 ms"`` or ``"0.3"``.

    Parameters
    ----------
    text : str
        A number, white space and the name of a Brian2 unit (or no unit at all).
    field : str
        Name used in the error.

    Returns
    -------
    Quantity or float
        A float where no unit was given.

    Raises
    ------
    UnitError
        If the text is not a number followed by a known unit.

    Examples
    --------
    >>> parse_quantity("20 ms", "tau_m")
    20. * msecond
    """
    match = _TEXT.match(text)
    if match is None:
        raise UnitError(field, "a number and a unit such as '20 ms'", text)
    number, unit = match.groups()
    if not unit:
        return float(number)
    if unit not in _UNIT_BY_NAME:
        raise UnitError(field, "a known unit such as ms, s or Hz", text)
    return float(number) * _UNIT_BY_NAME[unit]


def dimension_of(value: Any, field: str) -> Dimension:
    """Dimension of a quantity, of text, or of a bare number (dimensionless)."""
    if isinstance(value, str):
        value = parse_quantity(value, field)
    return get_dimensions(value)


def to_si(value: Any, dimension: Dimension, field: str) -> Any:
    """Convert a quantity or text to SI floats, refusing bare numbers for dimensional fields.

    Parameters
    ----------
    value : Quantity, str, float or array
        The value to convert.
    dimension : Dimension
        What is asked for: ``TIME``, ``FREQUENCY`` or ``DIMENSIONLESS``.
    field : str
        Name used in the error.

    Returns
    -------
    float or ndarray
        SI value; a float for scalars.

    Raises
    ------
    UnitError
        For a bare number where a dimension is needed, or a wrong dimension.
    ParameterError
        If the value is not a number.

    Examples
    --------
    >>> to_si("20 ms", TIME, "tau_m")
    0.02
    """
    if isinstance(value, str):
        value = parse_quantity(value, field)
    try:
        found = get_dimensions(value)
        array = np.asarray(value, dtype=float)
    except DimensionMismatchError:
        raise UnitError(field, "values of one dimension", value) from None
    except (TypeError, ValueError):
        raise ParameterError(field, "a number or a quantity", value) from None
    if found is not dimension:
        if dimension is DIMENSIONLESS:
            raise UnitError(field, "a dimensionless number", value)
        example = _EXAMPLE.get(dimension, f"a quantity of dimension {dimension}")
        what = "a bare number" if found is DIMENSIONLESS else "another dimension"
        raise UnitError(field, f"a quantity with a unit ({example})", f"{value!r} ({what})")
    return float(array) if array.ndim == 0 else array


def seconds(value: Any, field: str) -> float:
    """Convert a duration (``2*second`` or ``"2 s"``) to seconds; must be finite and scalar.

    Raises
    ------
    UnitError
        For a bare number or a wrong unit.
    ParameterError
        If not finite or not a scalar.
    """
    result = to_si(value, TIME, field)
    if not isinstance(result, float) or not np.isfinite(result):
        raise ParameterError(field, "one finite time", value)
    return result


def positive_seconds(value: Any, field: str) -> float:
    """Like :func:`seconds`, but zero and negative times are refused."""
    result = seconds(value, field)
    if result <= 0:
        raise ParameterError(field, "a time above 0", value)
    return result
