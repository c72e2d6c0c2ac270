"""Probability laws of heterogeneous parameters: frozen values with exact moments.

Values with a dimension come as Brian2 quantities or text such as ``"20 ms"``; samples and
moments are SI floats. All laws are imported from here; this file holds those that are made
of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension

from models_eq.errors import ParameterError, UnitError
from models_eq.law import NODES, WEIGHTS, Distribution, number, require, settle
from models_eq.simple_laws import Delta, Gamma, LogNormal, Normal, Uniform
from models_eq.units import dimension_of

__all__ = [
    "Clipped",
    "Delta",
    "Distribution",
    "Gamma",
    "LogNormal",
    "Mixture",
    "Normal",
    "Uniform",
    "as_distribution",
]


def as_distribution(value: Any, name: str, dimension: Dimension | None = None) -> Distribution:
    """Read a law, a table as of ``to_dict``, or one value (a Delta law).

    Parameters
    ----------
    value : Distribution, Mapping, Quantity, str or float
        What to read.
    name : str
        Name used in errors.
    dimension : Dimension, optional
        What the values must be; any by default.

    Raises
    ------
    UnitError
        For the wrong dimension, bare numbers included.
    ParameterError
        For anything else that is no law.
    """
    law: Distribution
    if isinstance(value, Distribution):
        law = value
    elif isinstance(value, Mapping):
        law = Distribution.from_dict(value, name)
    else:
        if dimension is None:
            try:
                dimension = dimension_of(value, name)
            except TypeError:
                raise ParameterError(name, "a distribution or a value", value) from None
        return Delta(number(value, name, dimension), dimension=dimension)
    if dimension is not None and law.dimension is not dimension:
        wanted = "dimensionless values" if dimension is DIMENSIONLESS else f"values in {dimension}"
        raise UnitError(name, f"a distribution of {wanted}", law, "Give values as '20 ms'")
    return law


@dataclass(frozen=True, repr=False)
class Mixture(Distribution):
    """Mixture of laws of one dimension; weights are normalised to sum to 1.

    Parameters
    ----------
    components : sequence of Distribution
        Laws of one dimension.
    weights : sequence of float
        How much each counts, above 0.

    Examples
    --------
    >>> fast_and_slow = Mixture((Delta("10 ms"), Delta("100 ms")), (3, 1))
    >>> round(fast_and_slow.mean, 6)
    0.0325
    """

    components: tuple[Distribution, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("components", "weights"):
            value = getattr(self, name)
            bad = isinstance(value, (str, Mapping)) or not np.iterable(value)
            require(not bad, f"Mixture.{name}", "a sequence", value)
        parts = tuple(as_distribution(c, "Mixture.components") for c in self.components)
        weights = [number(w, "Mixture.weights") for w in self.weights]
        require(len(parts) > 0, "Mixture.components", "at least one distribution", "none")
        expected = f"{len(parts)} weights, one for each component"
        require(len(weights) == len(parts), "Mixture.weights", expected, len(weights))
        good = min(weights) >= 0 and sum(weights) > 0
        require(good, "Mixture.weights", "weights of at least 0, not all 0", weights)
        for part in parts:
            as_distribution(part, "Mixture.components", parts[0].dimension)
        total = float(np.sum(weights))
        if abs(total - 1) < 1e-12:
            total = 1.0  # so that weights that are read back stay the same to the last bit
        object.__setattr__(self, "components", parts)
        object.__setattr__(self, "weights", tuple(w / total for w in weights))

    @property
    def dimension(self) -> Dimension:
        """Dimension of the components."""
        return self.components[0].dimension

    @property
    def _present(self) -> list[tuple[float, Distribution]]:
        pairs = zip(self.weights, self.components, strict=True)
        return [(weight, part) for weight, part in pairs if weight > 0]

    @property
    def mean(self) -> float:
        """Weighted mean of the means."""
        return float(sum(w * part.mean for w, part in self._present))

    @property
    def variance(self) -> float:
        """Mean of the variances plus variance of the means."""
        mean = self.mean
        return float(sum(w * (p.variance + (p.mean - mean) ** 2) for w, p in self._present))

    @property
    def support(self) -> tuple[float, float]:
        """Hull of the supports of the components."""
        supports = [part.support for _, part in self._present]
        return min(low for low, _ in supports), max(high for _, high in supports)

    @property
    def is_positive(self) -> bool:
        """Whether all components of nonzero weight are positive."""
        return all(part.is_positive for _, part in self._present)

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        edges = np.cumsum(self.weights)[:-1]
        which = np.searchsorted(edges, rng.random(n), side="right")
        values = np.empty(n)
        for k, part in enumerate(self.components):
            mine = np.flatnonzero(which == k)
            values[mine] = part._draw(rng, mine.size)
        return values

    def _survival(self, x: np.ndarray) -> np.ndarray:
        total = np.zeros_like(x)
        for weight, part in self._present:
            total += weight * part._survival(x)
        return total

    def _knots(self) -> np.ndarray:
        return np.concatenate([part._knots() for _, part in self._present])


@dataclass(frozen=True, repr=False)
class Clipped(Distribution):
    """A law whose values outside [low, high] are moved to the bound (not drawn anew).

    Parameters
    ----------
    base : Distribution
        The law.
    low, high : Quantity, float or str
        Bounds, in the dimension of ``base``.

    Notes
    -----
    With S the survival function of the base and m the mean of the clipped law,
    m = low + integral of S from low to high, and the variance is the integral of 2 (x - m) S(x)
    from m to high plus that of 2 (m - x) (1 - S(x)) from low to m.

    Examples
    --------
    >>> Clipped(Gamma(3, "20 ms"), "3 ms", "150 ms").support
    (0.003, 0.15)
    """

    base: Distribution
    low: float
    high: float
    dimension: Dimension = field(default=None, kw_only=True)  # type: ignore[assignment]
    _dimensional = ("low", "high")

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            require(getattr(self, name) is not None, f"Clipped.{name}", "a value", None)
        object.__setattr__(self, "base", as_distribution(self.base, "Clipped.base"))
        settle(self, self.dimension, low=self.low, high=self.high)
        as_distribution(self.base, "Clipped.base", self.dimension)
        require(self.high > self.low, "Clipped.high", f"a value above low ({self.low})", self.high)

    @cached_property
    def _moments(self) -> tuple[float, float]:
        knots = self.base._knots()
        inside = knots[(knots > self.low) & (knots < self.high)]
        x, dx = _pieces(np.array([self.low, *inside, self.high]))
        mean = self.low + float(np.sum(dx * self.base._survival(x)))
        mean = min(max(mean, self.low), self.high)
        x, dx = _pieces(np.array([self.low, *inside, mean, self.high]))
        above = self.base._survival(x)
        variance = np.sum(2 * dx * np.abs(x - mean) * np.where(x > mean, above, 1 - above))
        return mean, float(variance)

    @property
    def mean(self) -> float:
        """Mean of the clipped law."""
        return self._moments[0]

    @property
    def variance(self) -> float:
        """Variance of the clipped law."""
        return self._moments[1]

    @property
    def support(self) -> tuple[float, float]:
        """Support of the base, clipped."""
        low, high = np.clip(self.base.support, self.low, self.high)
        return float(low), float(high)

    @property
    def is_positive(self) -> bool:
        """Whether low, or else all of the base, lies above 0."""
        return self.low > 0 or (self.base.is_positive and self.high > 0)

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return np.clip(self.base._draw(rng, n), self.low, self.high)

    def _survival(self, x: np.ndarray) -> np.ndarray:
        inside = np.where(x < self.low, 1.0, self.base._survival(x))
        return np.where(x < self.high, inside, 0.0)

    def _knots(self) -> np.ndarray:
        knots = self.base._knots()
        return np.array([self.low, *knots[(knots > self.low) & (knots < self.high)], self.high])


def _pieces(knots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on every interval between knots."""
    knots = np.unique(knots)
    half = 0.5 * np.diff(knots)[:, None]
    return knots[:-1, None] + half * (NODES + 1), half * WEIGHTS
