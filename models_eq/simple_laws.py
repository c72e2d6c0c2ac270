"""The laws with one formula: Delta, Uniform, Gamma, LogNormal and the truncated Normal.

Import them from :mod:`models_eq.distributions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from brian2.units.fundamentalunits import Dimension
from scipy.special import gammaincc, gammainccinv, ndtr, ndtri

from models_eq.law import LEVELS, NODES, WEIGHTS, Distribution, number, require, settle

_SMALLEST_MASS = 1e-12


@dataclass(frozen=True, repr=False)
class Delta(Distribution):
    """One value for all.

    Parameters
    ----------
    value : Quantity, float or str
        The value.

    Examples
    --------
    >>> Delta("20 ms").mean
    0.02
    """

    value: float
    dimension: Dimension = field(default=None, kw_only=True)  # type: ignore[assignment]
    _dimensional = ("value",)

    def __post_init__(self) -> None:
        settle(self, self.dimension, value=self.value)

    @property
    def mean(self) -> float:
        """The value."""
        return self.value

    @property
    def variance(self) -> float:
        """Zero."""
        return 0.0

    @property
    def support(self) -> tuple[float, float]:
        """The value, twice."""
        return self.value, self.value

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return np.full(n, self.value)

    def _survival(self, x: np.ndarray) -> np.ndarray:
        return (x < self.value).astype(float)

    def _knots(self) -> np.ndarray:
        return np.array([self.value])


@dataclass(frozen=True, repr=False)
class Uniform(Distribution):
    """Uniform law on [low, high).

    Parameters
    ----------
    low, high : Quantity, float or str
        Bounds, ``low`` below ``high``.
    """

    low: float
    high: float
    dimension: Dimension = field(default=None, kw_only=True)  # type: ignore[assignment]
    _dimensional = ("low", "high")

    def __post_init__(self) -> None:
        settle(self, self.dimension, low=self.low, high=self.high)
        require(self.high > self.low, "Uniform.high", f"a value above low ({self.low})", self.high)

    @property
    def mean(self) -> float:
        """(low + high)/2."""
        return 0.5 * (self.low + self.high)

    @property
    def variance(self) -> float:
        """(high - low)^2/12."""
        return (self.high - self.low) ** 2 / 12

    @property
    def support(self) -> tuple[float, float]:
        """low, high."""
        return self.low, self.high

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.uniform(self.low, self.high, n)

    def _survival(self, x: np.ndarray) -> np.ndarray:
        return np.clip((self.high - x) / (self.high - self.low), 0, 1)

    def _knots(self) -> np.ndarray:
        return np.array([self.low, self.high])


@dataclass(frozen=True, repr=False)
class Gamma(Distribution):
    """Gamma law of a given shape and mean; variance mean^2/shape.

    Parameters
    ----------
    shape : float
        Shape, above 0.
    mean : Quantity, float or str
        Mean, above 0.
    """

    shape: float
    mean: float
    dimension: Dimension = field(default=None, kw_only=True)  # type: ignore[assignment]
    _dimensional = ("mean",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", number(self.shape, "Gamma.shape"))
        settle(self, self.dimension, mean=self.mean)
        require(self.shape > 0, "Gamma.shape", "a number above 0", self.shape)
        require(self.mean > 0, "Gamma.mean", "a value above 0", self.mean)

    @property
    def variance(self) -> float:
        """mean^2/shape."""
        return self.mean**2 / self.shape

    @property
    def support(self) -> tuple[float, float]:
        """0 (not reached) and infinity."""
        return 0.0, np.inf

    @property
    def is_positive(self) -> bool:
        """True."""
        return True

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.gamma(self.shape, self.mean / self.shape, n)

    def _survival(self, x: np.ndarray) -> np.ndarray:
        return gammaincc(self.shape, np.maximum(x, 0) * (self.shape / self.mean))

    def _knots(self) -> np.ndarray:
        return gammainccinv(self.shape, LEVELS) * self.mean / self.shape


@dataclass(frozen=True, repr=False)
class LogNormal(Distribution):
    """Lognormal law of a given mean and coefficient of variation.

    Parameters
    ----------
    mean : Quantity, float or str
        Mean, above 0.
    cv : float
        Standard deviation over mean, at least 0.

    Notes
    -----
    The logarithm is normal with variance log(1 + cv^2) and mean log(mean) minus half of that.
    """

    mean: float
    cv: float
    dimension: Dimension = field(default=None, kw_only=True)  # type: ignore[assignment]
    _dimensional = ("mean",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cv", number(self.cv, "LogNormal.cv"))
        settle(self, self.dimension, mean=self.mean)
        require(self.mean > 0, "LogNormal.mean", "a value above 0", self.mean)
        hint = "For one value take Delta"
        require(self.cv > 0, "LogNormal.cv", "a number above 0", self.cv, hint)

    @property
    def variance(self) -> float:
        """(cv mean)^2."""
        return (self.cv * self.mean) ** 2

    @property
    def support(self) -> tuple[float, float]:
        """0 (not reached) and infinity."""
        return 0.0, np.inf

    @property
    def is_positive(self) -> bool:
        """True."""
        return True

    @property
    def _log(self) -> tuple[float, float]:
        sigma2 = np.log1p(self.cv**2)
        return np.log(self.mean) - 0.5 * sigma2, np.sqrt(sigma2)

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        return rng.lognormal(*self._log, n)

    def _survival(self, x: np.ndarray) -> np.ndarray:
        mu, sigma = self._log
        with np.errstate(divide="ignore"):
            return ndtr((mu - np.log(np.maximum(x, 0))) / sigma)

    def _knots(self) -> np.ndarray:
        mu, sigma = self._log
        return np.exp(mu - sigma * ndtri(LEVELS))


@dataclass(frozen=True, repr=False, init=False)
class Normal(Distribution):
    """Normal law, truncated to [low, high] where bounds are given.

    Parameters
    ----------
    mean, sd : Quantity, str or float
        Mean and standard deviation *before* truncation, kept as ``mu`` and ``sd``; the
        attributes ``mean`` and ``variance`` are those of the truncated law.
    low, high : Quantity, str or float, optional
        Bounds; values outside are drawn anew, not moved (for that see :class:`Clipped`).

    Raises
    ------
    ParameterError
        For sd not above 0, or bounds between which the law has a mass below 1e-12.

    Notes
    -----
    With a, b the standardised bounds, Z = Phi(b) - Phi(a) and m = (phi(a) - phi(b))/Z, the mean
    is mu + sd m and the variance sd^2 (1 + (a phi(a) - b phi(b))/Z - m^2).
    """

    mu: float
    sd: float
    low: float | None
    high: float | None
    dimension: Dimension
    _dimensional = ("mean", "sd", "low", "high")

    def __init__(
        self,
        mean: Any,
        sd: Any,
        low: Any = None,
        high: Any = None,
        *,
        dimension: Dimension | None = None,
    ) -> None:
        # Not the generated one: the argument `mean` must not hide the mean of the truncated law.
        settle(self, dimension, {"mean": "mu"}, mean=mean, sd=sd, low=low, high=high)
        require(self.sd > 0, "Normal.sd", "a value above 0", self.sd, "For one value take Delta")
        if self.low is not None and self.high is not None:
            expected = f"a value above low ({self.low})"
            require(self.high > self.low, "Normal.high", expected, self.high)
        got = f"a mass of {self._mass:.1e} between low and high"
        enough = self._mass >= _SMALLEST_MASS
        require(enough, "Normal.low, Normal.high", "bounds nearer to mean", got)

    def _arguments(self) -> dict[str, Any]:
        return {"mean": self.mu, "sd": self.sd, "low": self.low, "high": self.high}

    @property
    def support(self) -> tuple[float, float]:
        """low and high, infinite where there is none."""
        low = -np.inf if self.low is None else self.low
        return low, np.inf if self.high is None else self.high

    @property
    def _bounds(self) -> tuple[float, float]:
        low, high = self.support
        return (low - self.mu) / self.sd, (high - self.mu) / self.sd

    @property
    def _right(self) -> bool:
        # Probabilities are counted from the tail in which the bounds lie, where they are
        # small and therefore precise.
        a, b = self._bounds
        return bool(np.isinf(b) and np.isfinite(a)) or (np.isfinite(a) and a + b > 0)

    @property
    def _mass(self) -> float:
        a, b = self._bounds
        return float(ndtr(-a) - ndtr(-b) if self._right else ndtr(b) - ndtr(a))

    @cached_property
    def _moments(self) -> tuple[float, float]:
        a, b = self._bounds
        if b - a < 2:
            # The closed form cancels for narrow bounds; quadrature about the mean does not.
            z = a + 0.5 * (b - a) * (NODES + 1)
            log = -0.5 * z**2
            density = WEIGHTS * np.exp(log - log.max())
            density /= density.sum()
            m = float(density @ z)
            return m, float(density @ (z - m) ** 2)
        edge = {x: np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi) / self._mass for x in (a, b)}
        m = edge[a] - edge[b]
        first = sum(s * x * edge[x] for s, x in ((1, a), (-1, b)) if np.isfinite(x))
        return float(m), float(1 + first - m**2)

    @property
    def mean(self) -> float:
        """Mean of the truncated law."""
        return self.mu + self.sd * self._moments[0]

    @property
    def variance(self) -> float:
        """Variance of the truncated law."""
        return self.sd**2 * self._moments[1]

    def _quantiles(self, above: np.ndarray) -> np.ndarray:
        a, b = self._bounds
        if self._right:
            z = -ndtri(ndtr(-b) + above * self._mass)
        else:
            z = ndtri(ndtr(a) + (1 - above) * self._mass)
        return np.clip(self.mu + self.sd * z, *self.support)

    def _draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        if self.low is None and self.high is None:
            return rng.normal(self.mu, self.sd, n)
        # random() may be exactly 0, whose quantile is infinite under one bound.
        return self._quantiles(np.maximum(rng.random(n), 2.0**-54))

    def _survival(self, x: np.ndarray) -> np.ndarray:
        a, b = self._bounds
        z = np.clip((x - self.mu) / self.sd, a, b)
        if self._right:
            return (ndtr(-z) - ndtr(-b)) / self._mass
        return (ndtr(b) - ndtr(z)) / self._mass

    def _knots(self) -> np.ndarray:
        knots = self._quantiles(LEVELS)
        return knots[np.isfinite(knots)]
