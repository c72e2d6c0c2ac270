"""Base of the random graphs, and the drawing of edges that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np

from models_eq.errors import ParameterError
from models_eq.law import arguments_of, number, require


def neurons(n: Any) -> int:
    """Return a number of neurons as an int, or raise ParameterError."""
    good = isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1
    require(good, "n", "a whole number of at least 1 neuron", n)
    return int(n)


def check_k(k: Any, name: str) -> int | float:
    """Return a count of inputs, or a fraction of n, or raise ParameterError."""
    expected = "a whole number of at least 0, or a fraction of n between 0 and 1"
    if isinstance(k, bool) or not isinstance(k, (int, float, np.integer, np.floating)):
        raise ParameterError(name, expected, k)
    if isinstance(k, (int, np.integer)):
        require(k >= 0, name, expected, k)
        return int(k)
    require(0 < k < 1, name, expected, k, "Write a count without a decimal point")
    return float(k)


def unit_interval(value: Any, name: str) -> float:
    """Return a number in 0..1, or raise ParameterError."""
    value = number(value, name)
    require(0 <= value <= 1, name, "a number in 0..1", value)
    return value


def _edges(pre: np.ndarray, post: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort edges by (pre, post)."""
    key = np.sort(pre.astype(np.int64).ravel() * n + post.astype(np.int64).ravel())
    return key // n, key % n


def rows(n: int, k: int, sources: Callable[[int], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Edges of a graph from a function that gives the k sources of each neuron."""
    pre = np.empty((n, k), dtype=np.int64)
    for post in range(n):
        pre[post] = sources(post)
    return _edges(pre, np.repeat(np.arange(n), k), n)


def distinct(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """k distinct numbers below n, in no meaningful order."""
    if k == 0:  # choice refuses an empty range
        return np.zeros(0, dtype=np.int64)
    return rng.choice(n, k, replace=False, shuffle=False)


class Topology(ABC):
    """Base of the graphs: ``sample``, ``in_degree``, ``to_dict``, ``from_dict``."""

    _kinds: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls) -> None:
        if cls.__name__ != "FixedDegree":  # no graph by itself
            Topology._kinds[cls.__name__] = cls

    def sample(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a graph.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of randomness.
        n : int
            Number of neurons.

        Returns
        -------
        i, j : ndarray of int64, shape (m,)
            Presynaptic and postsynaptic neuron of each edge, sorted by (i, j).

        Raises
        ------
        ParameterError
            If n neurons cannot have such a graph.
        """
        if not isinstance(rng, np.random.Generator):
            raise ParameterError("rng", "a numpy.random.Generator", rng)
        self.in_degree(n)
        return self._draw(rng, int(n))

    @abstractmethod
    def in_degree(self, n: int) -> float:
        """Expected number of inputs of a neuron among ``n``.

        Raises
        ------
        ParameterError
            If n neurons cannot have such a graph.
        """

    @abstractmethod
    def _draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]: ...

    def to_dict(self) -> dict[str, Any]:
        """Plain values (kind and parameters) for JSON or TOML."""
        parameters = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {"kind": type(self).__name__, **parameters}

    @staticmethod
    def from_dict(data: Any, name: str = "topology") -> Topology:
        """Build any topology from what ``to_dict`` gives; ``name`` is used in errors.

        Raises
        ------
        ParameterError
            For an unknown kind or key, a missing key, or a value out of range.
        """
        kind, arguments = arguments_of(data, Topology._kinds, name)
        result: Topology = kind(**arguments)
        return result


class FixedDegree(Topology):
    """Base of the graphs in which every neuron has exactly k inputs."""

    k: int | float

    def _inputs(self, n: int) -> int:
        n, name = neurons(n), f"{type(self).__name__}.k"
        k = self.k if isinstance(self.k, int) else round(self.k * n)
        if not isinstance(self.k, int):
            expected = "a fraction that leaves at least one input"
            require(k >= 1, name, expected, f"{self.k} of {n} neurons")
        expected = f"fewer inputs than the {n} neurons (no neuron listens to itself)"
        require(k < n, name, expected, k)
        return k

    def in_degree(self, n: int) -> float:
        """Exact number of inputs of every neuron among ``n``."""
        return float(self._inputs(n))
