"""Checks that the value types share: numbers, indices and selections, or a ParameterError."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension, Quantity

from models_eq.errors import ParameterError, UnitError
from models_eq.units import to_si


def frozen(array: np.ndarray) -> np.ndarray:
    """Return ``array`` read-only and contiguous; copied unless nobody else can write to it."""
    array = np.ascontiguousarray(array)
    # A read-only view of somebody's writeable array would still change under us.
    if array.flags.writeable or not array.flags.owndata:
        array = array.copy()
        array.setflags(write=False)
    return array


def floats(value: Any, field: str, dimension: Dimension = DIMENSIONLESS) -> np.ndarray:
    """SI floats of a value that may carry a unit; bare numbers are SI already.

    Parameters
    ----------
    value : array_like, Quantity, str, or sequence of these
        Numbers, a quantity, or text such as ``"20 ms"``.
    field : str
        Name used in the error.
    dimension : Dimension
        What a unit must amount to.

    Raises
    ------
    UnitError
        For another dimension.
    ParameterError
        If the value is not made of real numbers.
    """
    if isinstance(value, (Quantity, str)):
        return np.asarray(to_si(value, dimension, field), dtype=float)
    if isinstance(value, (list, tuple)) and any(isinstance(x, (Quantity, str)) for x in value):
        # NumPy would drop the units of the elements, whatever they are.
        value = [floats(x, field, dimension) for x in value]
    try:
        if np.iscomplexobj(value):
            raise TypeError
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ParameterError(field, "real numbers", value) from None


def per_neuron(value: Any, n: int, field: str, dimension: Dimension = DIMENSIONLESS) -> np.ndarray:
    """Finite floats of shape (n,), read-only; scalars broadcast.

    Raises
    ------
    UnitError
        For a quantity of another dimension.
    ParameterError
        For another shape, or values that are not finite numbers.
    """
    array = floats(value, field, dimension)
    if array.ndim == 0:
        array = np.full(n, float(array))
    if array.shape != (n,):
        raise ParameterError(field, f"a scalar or shape ({n},)", f"shape {array.shape}")
    refuse(~np.isfinite(array), array, field, "finite numbers")
    return frozen(array)


def refuse(
    bad: np.ndarray, array: np.ndarray, field: str, expected: str, what: str = "neuron"
) -> None:
    """Raise ParameterError, naming the first offender, if anything is bad."""
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        raise ParameterError(field, expected, f"{array[k]} at {what} {k}")


def integers(value: Any, field: str) -> np.ndarray:
    """Whole numbers as int64; floats pass if they are whole.

    Raises
    ------
    UnitError
        For a quantity.
    ParameterError
        For anything else that is not made of whole numbers.
    """
    if isinstance(value, Quantity):
        raise UnitError(field, "whole numbers without a unit", value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise ParameterError(field, "whole numbers", value) from None
    if array.size and not np.issubdtype(array.dtype, np.integer):
        real = np.issubdtype(array.dtype, np.floating)
        if not real or not np.isfinite(array).all() or np.any(array != np.floor(array)):
            raise ParameterError(field, "whole numbers", f"dtype {array.dtype}")
    return array.astype(np.int64)


def flags(value: Any, field: str) -> np.ndarray:
    """Booleans; the numbers 0 and 1 pass as well.

    Raises
    ------
    ParameterError
        For anything else.
    """
    array = np.asarray(value)
    if array.dtype != bool:
        array = integers(value, field)
        if not np.isin(array, (0, 1)).all():
            raise ParameterError(field, "True or False", value)
    return array.astype(bool)


def whole(value: Any, field: str, least: int = 1, what: str = "") -> int:
    """One whole number of at least ``least`` as an int.

    Raises
    ------
    ParameterError
        For anything else; a bool is no number here.
    """
    fine = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_, Quantity))
    if not fine or not np.isfinite(value) or int(value) != value or value < least:
        raise ParameterError(field, f"a whole number of at least {least}{what}", value)
    return int(value)


def selection(keep: Any, size: int, field: str, what: str) -> np.ndarray:
    """Sorted indices of a selection given as a mask or as indices.

    Parameters
    ----------
    keep : array_like of bool, shape (size,), or of int
        Mask, or indices in any order.
    size : int
        Number of things to select from.
    field, what : str
        Name used in the error, and what is selected.

    Raises
    ------
    ParameterError
        For a mask of the wrong length, or indices out of range.
    """
    array = np.asarray(keep)
    if array.dtype == bool:
        if array.shape != (size,):
            raise ParameterError(field, f"a mask over {size} {what}s", f"shape {array.shape}")
        return np.flatnonzero(array)
    if array.ndim > 1:
        raise ParameterError(field, "a mask or a list of indices", f"shape {array.shape}")
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise ParameterError(field, "a boolean mask or integer indices", f"dtype {array.dtype}")
    index = np.unique(array)
    if index[0] < 0 or index[-1] >= size:
        raise ParameterError(field, f"indices in 0..{size - 1}", f"{index[0]}..{index[-1]}")
    return index
