"""Flow and Map: smooth systems as values, each with a Jacobian that is checked when it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from brian2.units.fundamentalunits import DIMENSIONLESS, Quantity

from models_eq.checks import floats, frozen
from models_eq.errors import ParameterError, UnitError
from models_eq.units import TIME

Field = Callable[[np.ndarray], np.ndarray]
# Below this dimension each entry of a Jacobian is checked, and above it its action on vectors.
_ENTRIES = 100


class _Smooth:
    """What flows and maps share: dimension, repr, and the checks."""

    initial: np.ndarray
    jacobian: Field
    name: str
    unit: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.label}, dimension {self.dimension})"

    @property
    def dimension(self) -> int:
        """Number of variables n."""
        return int(self.initial.shape[-1])

    @property
    def label(self) -> str:
        """Its name, or what it is where it has none."""
        return self.name or type(self).__name__.lower()

    def _check(self, function: Field, field: str) -> None:
        initial = floats(self.initial, "initial")
        if initial.ndim not in (1, 2) or 0 in initial.shape:
            raise ParameterError(
                "initial", "shape (n,) or (copies, n), not empty", f"shape {initial.shape}"
            )
        if not np.isfinite(initial).all():
            raise ParameterError("initial", "finite numbers", initial)
        object.__setattr__(self, "initial", frozen(initial))
        first = initial if initial.ndim == 1 else initial[0]
        # Beside the start: at the start itself terms may vanish, or have a kink. And as many points
        # as tell a function of one point, which would index the wrong axis, from one of many.
        points = nudged(first, np.random.default_rng(0), 3 if self.dimension == 2 else 2)
        value = _called(function, points, field, points.shape)
        shape = (*points.shape, self.dimension)
        found = _called(self.jacobian, points, "jacobian", shape)
        _compare(function, points[0], value[0], found[0], field)


@dataclass(frozen=True, eq=False, repr=False)
class Flow(_Smooth):
    """A system of ordinary differential equations, dx/dt = rhs(x).

    Parameters
    ----------
    rhs : callable
        ``rhs(x)`` takes points of shape (..., n) and returns dx/dt, shape (..., n).
    jacobian : callable
        ``jacobian(x)`` takes points of shape (..., n) and returns the derivatives
        d rhs_a / d x_b as entries [..., a, b], shape (..., n, n).
    initial : array_like, shape (n,) or (copies, n)
        Where trajectories start; of one point, further copies start beside it.
    name : str, optional
        What the system is called in results.
    time : {'', 's'}, optional
        Unit of time: none, or seconds.

    Raises
    ------
    ParameterError
        Naming the field that is wrong; ``jacobian`` where it is not the derivative of ``rhs``
        (by central differences beside the first initial point).

    Examples
    --------
    >>> Flow(lambda x: -3 * x, lambda x: np.full((*x.shape, 1), -3.0), [1.0])
    Flow(flow, dimension 1)
    >>> Flow(lambda x: -3 * x, lambda x: np.full((*x.shape, 1), 3.0), [1.0])
    Traceback (most recent call last):
    ...
    models_eq.errors.ParameterError: jacobian: expected the derivative of rhs, ...
    """

    rhs: Field
    jacobian: Field
    initial: np.ndarray
    name: str = field(default="", kw_only=True)
    time: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.time not in ("", "s"):
            raise ParameterError(
                "time", "'' (no unit) or 's'", self.time, "Scale the right-hand side to 1/s"
            )
        self._check(self.rhs, "rhs")

    @property
    def unit(self) -> str:  # type: ignore[override]
        """Unit of its exponents."""
        return "1/s" if self.time == "s" else "1/time"


@dataclass(frozen=True, eq=False, repr=False)
class Map(_Smooth):
    """A system in discrete time, x -> step(x).

    Parameters
    ----------
    step : callable
        ``step(x)`` takes points of shape (..., n) and returns their images, shape (..., n).
    jacobian : callable
        ``jacobian(x)`` takes points of shape (..., n) and returns the derivatives
        d step_a / d x_b as entries [..., a, b], shape (..., n, n).
    initial : array_like, shape (n,) or (copies, n)
        Where trajectories start; of one point, further copies start beside it.
    name : str, optional
        What the system is called in results.

    Raises
    ------
    ParameterError
        Naming the field that is wrong; ``jacobian`` where it is not the derivative of ``step``.
    """

    step: Field
    jacobian: Field
    initial: np.ndarray
    name: str = field(default="", kw_only=True)

    unit = "1/step"
    time = ""

    def __post_init__(self) -> None:
        self._check(self.step, "step")


def scale_of(x: np.ndarray) -> np.ndarray:
    """What counts as large in each variable at a point, shape (n,)."""
    largest = float(np.abs(x).max())
    return np.maximum(np.abs(x), 0.1 * largest) if largest > 0 else np.ones_like(x)


def nudged(x: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Points about one percent from a point of shape (n,), shape (count, n)."""
    return x + 0.01 * scale_of(x) * rng.standard_normal((count, x.size))


def _called(function: Field, points: np.ndarray, field: str, shape: tuple[int, ...]) -> np.ndarray:
    if not callable(function):
        raise ParameterError(field, "a function of points", function)
    expected = f"shape {shape} for points of shape {points.shape}"
    hint = "Index variables from the right, as in x[..., 0]"
    try:
        with np.errstate(all="ignore"):
            raw = function(points.copy())
            if isinstance(raw, Quantity):
                raise UnitError(field, "numbers without a unit", "a quantity")
            value = floats(raw, field)
    except (IndexError, ValueError, TypeError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(field, expected, f"{type(error).__name__}: {error}", hint) from error
    if value.shape != shape:
        raise ParameterError(field, expected, f"shape {value.shape}", hint)
    if not np.isfinite(value).all():
        raise ParameterError(field, "finite numbers beside the initial point", "NaN or infinity")
    return value


def _compare(
    function: Field, x: np.ndarray, value: np.ndarray, jacobian: np.ndarray, field: str
) -> None:
    """Refuse a Jacobian that is not what central differences give."""
    n = x.size
    h = 6e-6 * scale_of(x)  # the cube root of the rounding error balances both errors
    rng = np.random.default_rng(1)
    along = np.diag(h) if n <= _ENTRIES else h * rng.standard_normal((3, n))
    both = function(np.concatenate([x + along, x - along]))
    found = (both[: len(along)] - both[len(along) :]) / 2
    claimed = along @ jacobian.T
    # Both in units of a derivative, so that variables of different size weigh the same.
    size = np.abs(along).max(axis=1, keepdims=True)
    error = np.abs(found - claimed) / size
    entry = max(float(np.abs(jacobian).max()), float(np.abs(found / size).max()))
    rounding = 100 * np.finfo(float).eps * np.abs(value) / size
    wrong = ~(error <= 1e-6 * entry + rounding)
    if not wrong.any():
        return
    a = np.argmax(np.where(wrong, error, -1.0).max(axis=1))
    b = np.argmax(np.where(wrong[a], error[a], -1.0))
    if n <= _ENTRIES:
        got = f"{jacobian[b, a]:.6g} at [{b}, {a}] where differences give {found[a, b] / h[a]:.6g}"
    else:
        got = f"other values in row {b}"
    raise ParameterError(
        "jacobian",
        f"the derivative of {field}",
        got,
        "Entry [a, b] is the derivative of component a by variable b",
    )


def time_of(value: Any, system: Flow | Map, field: str) -> float:
    """A time as a float in the system's own unit; quantities where that is the second.

    Raises
    ------
    UnitError
        For a quantity where time has no unit.
    ParameterError
        If it is not one finite number of at least 0.
    """
    number = floats(value, field, TIME if system.time == "s" else DIMENSIONLESS)
    if number.ndim or not np.isfinite(number) or number < 0:
        raise ParameterError(field, "one finite time of at least 0", value)
    return float(number)
