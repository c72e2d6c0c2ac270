"""Base of the probability laws, and the checks that laws, topologies and spec share."""

from __future__ import annotations

import inspect
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension, Quantity, get_unit
from scipy.special import ndtr

from models_eq.errors import ParameterError, UnitError
from models_eq.units import dimension_of, parse_quantity, to_si

# Survival probabilities whose quantiles split an integral into pieces on which a law is smooth.
# Evenly spaced on the scale of a normal law, and far out: the second moment of a heavy tail
# lies where the survival function is tiny.
LEVELS = ndtr(-np.arange(-7, 37.5, 0.5))
NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)


def require(condition: Any, name: str, expected: str, got: Any, hint: str = "") -> None:
    """Raise ParameterError unless ``condition`` holds."""
    if not condition:
        raise ParameterError(name, expected, got, hint)


def number(value: Any, name: str, dimension: Dimension = DIMENSIONLESS) -> float:
    """Read one finite scalar of a given dimension as an SI float.

    Raises
    ------
    UnitError
        For a bare number where a unit is needed, or for the wrong unit.
    ParameterError
        If the value is not one finite number (a bool is none).
    """
    if isinstance(value, (bool, np.bool_)):
        raise ParameterError(name, "a number", value)
    result = to_si(value, dimension, name)
    if not isinstance(result, float) or not np.isfinite(result):
        raise ParameterError(name, "one finite number", value)
    return result


def arguments_of(
    data: Any, kinds: Mapping[str, type], name: str
) -> tuple[type[Any], dict[str, Any]]:
    """Split ``{"kind": ..., **params}`` into a class and its checked arguments.

    Raises
    ------
    ParameterError
        For anything but a mapping, an unknown kind, an unknown or a missing key.
    """
    if not isinstance(data, Mapping):
        raise ParameterError(name, "a table with the key 'kind'", data)
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise ParameterError(f"{name}.kind", "one of " + ", ".join(kinds), kind)
    arguments = {key: value for key, value in data.items() if key != "kind"}
    known = {
        key: parameter.default is inspect.Parameter.empty
        for key, parameter in inspect.signature(kinds[kind]).parameters.items()
        if key != "dimension"
    }
    for key in arguments:
        require(key in known, f"{kind}.{key}", "one of the keys " + ", ".join(known), "this key")
    for key, needed in known.items():
        require(key in arguments or not needed, f"{kind}.{key}", "a value", "nothing")
    return kinds[kind], arguments


def settle(
    law: Distribution,
    dimension: Dimension | None,
    attributes: Mapping[str, str] | None = None,
    /,
    **values: Any,
) -> None:
    """Store values of a law under construction as SI floats, and their dimension.

    With an explicit dimension bare numbers are SI already; otherwise the first value that has
    a dimension sets it for all. ``attributes`` maps an argument to the attribute that keeps it
    where the two names differ.

    Raises
    ------
    UnitError
        For values whose dimensions differ.
    ParameterError
        For anything but finite numbers (None stays None).
    """
    kind = type(law).__name__
    given = {key: value for key, value in values.items() if value is not None}
    if dimension is None:
        dimension = DIMENSIONLESS
        for key, value in given.items():
            try:
                found = dimension_of(value, f"{kind}.{key}")
            except TypeError:
                raise ParameterError(f"{kind}.{key}", "a number or a quantity", value) from None
            if found is not DIMENSIONLESS:
                dimension = found
                break
    else:
        for key, value in given.items():
            bare = isinstance(value, numbers.Real) and not isinstance(value, (bool, Quantity))
            given[key] = float(value) * get_unit(dimension) if bare else value
    for key in values:
        checked = number(given[key], f"{kind}.{key}", dimension) if key in given else None
        object.__setattr__(law, (attributes or {}).get(key, key), checked)
    object.__setattr__(law, "dimension", dimension)


class Distribution(ABC):
    """Base of the laws: ``sample``, ``mean``, ``variance``, ``support``, all SI.

    The keyword ``dimension`` of most laws says that bare numbers are SI values of that
    dimension; without it the dimension is read from the quantities or text.

    Attributes
    ----------
    mean, variance : float
        Exact moments, SI.
    support : tuple of float
        Smallest and largest value, SI; possibly infinite.
    is_positive : bool
        Whether values of 0 or less are impossible.
    dimension : Dimension
        Brian2 dimension of a value.
    """

    _dimensional: ClassVar[tuple[str, ...]] = ()
    _kinds: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls) -> None:
        Distribution._kinds[cls.__name__] = cls

    if TYPE_CHECKING:
        # Not defined at run time: a dataclass would take an inherited property for the
        # default of a field of the same name.
        @property
        def dimension(self) -> Dimension: ...
        @property
        def mean(self) -> float: ...
        @property
        def variance(self) -> float: ...

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw ``n`` values, SI, shape (n,), from the given generator alone.

        Raises
        ------
        ParameterError
            If ``rng`` is no Generator or ``n`` no whole number of at least 0.
        """
        if not isinstance(rng, np.random.Generator):
            raise ParameterError("rng", "a numpy.random.Generator", rng)
        if isinstance(n, bool) or not isinstance(n, numbers.Integral) or n < 0:
            raise ParameterError("n", "a whole number of at least 0", n)
        return self._draw(rng, int(n))

    @property
    def is_positive(self) -> bool:
        """Whether values of 0 or less are impossible."""
        return self.support[0] > 0

    @property
    @abstractmethod
    def support(self) -> tuple[float, float]:
        """Smallest and largest value, SI."""

    @abstractmethod
    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray: ...

    @abstractmethod
    def _survival(self, x: np.ndarray) -> np.ndarray:
        """Probability of a value above x."""

    @abstractmethod
    def _knots(self) -> np.ndarray:
        """Points between which the survival function is smooth."""

    def scaled(self, factor: float) -> Self:
        """Law of ``factor`` times the value; ``factor`` is dimensionless and above 0.

        Raises
        ------
        ParameterError
            For a factor that is not above 0.
        """
        factor = number(factor, "factor")
        require(factor > 0, "factor", "a number above 0", factor)
        arguments = self._arguments()
        for name, value in arguments.items():
            if isinstance(value, Distribution):
                arguments[name] = value.scaled(factor)
            elif isinstance(value, tuple):
                arguments[name] = tuple(
                    v.scaled(factor) if isinstance(v, Distribution) else v for v in value
                )
            elif name in self._dimensional and value is not None:
                arguments[name] = factor * value
        if self._dimensional:
            arguments["dimension"] = self.dimension
        return type(self)(**arguments)

    def _arguments(self) -> dict[str, Any]:
        names = [name for name in inspect.signature(type(self)).parameters if name != "dimension"]
        return {name: getattr(self, name) for name in names}

    def _text(self, value: float) -> str:
        return f"{value!r} {get_unit(self.dimension)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values (kind and parameters) for JSON or TOML; times as text like "0.02 s".

        Raises
        ------
        ParameterError
            If the dimension has no unit with a name.
        """
        result: dict[str, Any] = {"kind": type(self).__name__}
        for name, value in self._arguments().items():
            if value is None:
                continue
            if isinstance(value, Distribution):
                value = value.to_dict()
            elif isinstance(value, tuple):
                value = [v.to_dict() if isinstance(v, Distribution) else v for v in value]
            elif name in self._dimensional and self.dimension is not DIMENSIONLESS:
                value = self._text(value)
                try:
                    parse_quantity(value, name)
                except UnitError:
                    expected = "a dimension that has a named unit"
                    raise ParameterError(f"{result['kind']}.{name}", expected, value) from None
            result[name] = value
        return result

    @staticmethod
    def from_dict(data: Any, name: str = "distribution") -> Distribution:
        """Build any law from ``data``, as ``to_dict`` gives it; ``name`` is used in errors.

        Raises
        ------
        ParameterError
            For an unknown kind or key, a missing key, or a value out of range.
        """
        law, arguments = arguments_of(data, Distribution._kinds, name)
        result: Distribution = law(**arguments)
        return result

    def __repr__(self) -> str:
        shown = []
        for name, value in self._arguments().items():
            if name in self._dimensional and value is not None:
                dimensional = self.dimension is not DIMENSIONLESS
                value = self._text(value) if dimensional else value
            if value is not None:
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"
