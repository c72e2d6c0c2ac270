"""Random directed graphs: who listens to whom, and who is excitatory.

Every ``sample`` returns the presynaptic and postsynaptic neuron of each edge, sorted by
(pre, post), without self-loops or duplicates. Apart from Erdős–Rényi graphs every neuron has
exactly k inputs. ``k`` is a whole number, or a float in (0, 1): that fraction of n, rounded, so
``k=0.2`` means 80 inputs at n = 400.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np

from models_eq.graph import FixedDegree, Topology, check_k, distinct, neurons, rows, unit_interval
from models_eq.law import number, require

__all__ = [
    "Clustered",
    "DistanceDependent",
    "ErdosRenyi",
    "FixedInDegree",
    "SmallWorld",
    "Topology",
    "dale_signs",
]


@dataclass(frozen=True)
class ErdosRenyi(Topology):
    """Each ordered pair is an edge with probability p, independently.

    Parameters
    ----------
    p : float
        Probability of an edge, 0 to 1.

    References
    ----------
    Gilbert 1959, 10.1214/aoms/1177706098
    """

    p: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", unit_interval(self.p, "ErdosRenyi.p"))

    def in_degree(self, n: int) -> float:
        """p (n - 1)."""
        return self.p * (neurons(n) - 1)

    def _draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        targets = []
        for pre in range(n):  # row by row: n^2 doubles at once would be gigabytes
            hit = rng.random(n) < self.p
            hit[pre] = False
            targets.append(np.flatnonzero(hit))
        sources = np.repeat(np.arange(n), [t.size for t in targets])
        return sources, np.concatenate(targets)


@dataclass(frozen=True)
class FixedInDegree(FixedDegree):
    """Every neuron listens to k others, drawn uniformly without replacement.

    Parameters
    ----------
    k : int or float
        Inputs of each neuron: a number, or below 1 a share of all neurons.
    """

    k: int | float

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_k(self.k, "FixedInDegree.k"))

    def _draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        k = self._inputs(n)

        def sources(post: int) -> np.ndarray:
            drawn = distinct(rng, n - 1, k)
            return drawn + (drawn >= post)

        return rows(n, k, sources)


@dataclass(frozen=True)
class SmallWorld(FixedDegree):
    """Directed Watts-Strogatz graph in which every neuron keeps exactly k inputs.

    Neurons lie on a ring and listen to their k nearest neighbours (an odd k takes one more from
    the side of the lower index). Then the source of each edge is, with probability ``rewire``,
    replaced by a uniformly drawn other neuron.

    Parameters
    ----------
    k : int or float
        Inputs of each neuron: a number, or below 1 a share of all neurons.
    rewire : float
        Probability that an edge gets another source, 0 to 1.

    Notes
    -----
    All edges of a neuron that are to be rewired are taken out at once and as many distinct
    sources drawn among the neurons that are neither itself nor kept. So rewire = 0 is the ring,
    rewire = 1 is exactly :class:`FixedInDegree`, and any k < n can be rewired. Of m edges taken
    out, m^2/(n - 1 - k + m) come back on average.

    References
    ----------
    Watts & Strogatz 1998, 10.1038/30918
    """

    k: int | float
    rewire: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_k(self.k, "SmallWorld.k"))
        object.__setattr__(self, "rewire", unit_interval(self.rewire, "SmallWorld.rewire"))

    def _draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        k = self._inputs(n)
        step = np.arange(k) // 2 + 1
        offsets = np.where(np.arange(k) % 2 == 0, -step, step) % n

        def sources(post: int) -> np.ndarray:
            moved = rng.random(k) < self.rewire
            m = int(moved.sum())
            chosen = offsets
            if m:
                free = np.ones(n, dtype=bool)
                free[0] = False
                free[offsets[~moved]] = False
                candidates = np.flatnonzero(free)
                chosen = offsets.copy()
                chosen[moved] = candidates[distinct(rng, candidates.size, m)]
            return (post + chosen) % n

        return rows(n, k, sources)


@dataclass(frozen=True)
class DistanceDependent(FixedDegree):
    """Neurons on a torus listen to k others, rather near than far.

    Positions are uniform on the unit square with periodic borders; the k sources are drawn one
    by one without replacement, with weights exp(-d^2/(2 sigma^2)) in the distance d.

    Parameters
    ----------
    k : int or float
        Inputs of each neuron: a number, or below 1 a share of all neurons.
    sigma : float
        Reach, in sides of the square.

    Notes
    -----
    Successive draws are made at once: the k largest of log weight plus Gumbel noise have the
    same law (Yellott 1977, 10.1016/0022-2496(77)90026-8), and logarithms do not underflow.
    """

    k: int | float
    sigma: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_k(self.k, "DistanceDependent.k"))
        object.__setattr__(self, "sigma", number(self.sigma, "DistanceDependent.sigma"))
        name = "DistanceDependent.sigma"
        require(self.sigma > 0, name, "a width above 0 (the torus has side 1)", self.sigma)

    def positions(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Positions of n neurons on the unit torus, shape (n, 2), drawn from ``rng``.

        They are the first thing that ``sample`` draws: a generator in the same state gives the
        positions of the graph that ``sample`` would draw from it.
        """
        return rng.random((neurons(n), 2))

    def _draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        k = self._inputs(n)
        place = self.positions(rng, n)

        def sources(post: int) -> np.ndarray:
            apart = np.abs(place - place[post])
            apart = np.minimum(apart, 1 - apart)
            score = rng.gumbel(size=n) - np.sum(apart**2, axis=1) / (2 * self.sigma**2)
            score[post] = -np.inf
            return np.argpartition(score, n - k)[n - k :] if k else np.zeros(0, dtype=np.int64)

        return rows(n, k, sources)


@dataclass(frozen=True)
class Clustered(FixedDegree):
    """Clusters of equal size that are denser inside than between.

    Every neuron has k inputs, round(inside k) of them drawn uniformly from its own cluster and
    the others uniformly from all other clusters.

    Parameters
    ----------
    n_clusters : int
        Clusters.
    k : int or float
        Inputs of each neuron: a number, or below 1 a share of all neurons.
    inside : float
        Share of them from its own cluster, 0 to 1.
    """

    n_clusters: int
    k: int | float
    inside: float

    def __post_init__(self) -> None:
        count = self.n_clusters
        good = isinstance(count, numbers.Integral) and not isinstance(count, bool) and count >= 1
        require(good, "Clustered.n_clusters", "a whole number of at least 1", count)
        object.__setattr__(self, "n_clusters", int(count))
        object.__setattr__(self, "k", check_k(self.k, "Clustered.k"))
        object.__setattr__(self, "inside", unit_interval(self.inside, "Clustered.inside"))

    def labels(self, n: int) -> np.ndarray:
        """Cluster of each neuron, shape (n,): contiguous blocks whose sizes differ by at most 1.

        Blocks make the clusters visible in the weight matrix. Cluster and sign do not
        coincide, because :func:`dale_signs` spreads the excitatory neurons over the clusters.

        Raises
        ------
        ParameterError
            If there are more clusters than neurons.
        """
        n = neurons(n)
        require(self.n_clusters <= n, "Clustered.n_clusters", f"at most n = {n}", self.n_clusters)
        return np.arange(n) * self.n_clusters // n

    def _inputs(self, n: int) -> int:
        k = super()._inputs(n)
        near, sizes = round(self.inside * k), np.bincount(self.labels(n))
        for count, room, where in (
            (near, sizes.min() - 1, "inside a cluster"),
            (k - near, n - sizes.max(), "outside a cluster"),
        ):
            expected = f"at most {room} inputs from {where}"
            require(count <= room, "Clustered.inside", expected, f"{count} of k = {k}")
        return k

    def _draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        k, labels = self._inputs(n), self.labels(n)
        near = round(self.inside * k)
        start = np.searchsorted(labels, np.arange(self.n_clusters + 1))

        def sources(post: int) -> np.ndarray:
            first, last = start[labels[post]], start[labels[post] + 1]
            own = first + distinct(rng, last - first - 1, near)
            other = distinct(rng, n - (last - first), k - near)
            other += np.where(other >= first, last - first, 0)
            return np.concatenate([own + (own >= post), other])

        return rows(n, k, sources)


def dale_signs(
    n: int, fraction_exc: float, rng: np.random.Generator, labels: np.ndarray | None = None
) -> np.ndarray:
    """Draw which neurons are excitatory: exactly round(fraction_exc n), spread at random.

    Parameters
    ----------
    n : int
        Number of neurons.
    fraction_exc : float
        Fraction of excitatory neurons, in 0..1.
    rng : numpy.random.Generator
        Gives n uniform numbers whatever the other arguments are.
    labels : ndarray of int, shape (n,), optional
        Clusters; each then gets its share of excitatory neurons, to within one.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for excitatory neurons.

    Raises
    ------
    ParameterError
        For a fraction outside 0..1 or labels of the wrong shape.
    """
    n = neurons(n)
    count = round(unit_interval(fraction_exc, "fraction_exc") * n)
    labels = np.zeros(n, dtype=np.int64) if labels is None else np.asarray(labels)
    require(labels.shape == (n,), "labels", f"shape ({n},)", f"shape {labels.shape}")
    order = np.lexsort((rng.random(n), labels))
    # Over the neurons in order the running count follows the straight line to `count`, so
    # that every cluster (a run in this order) gets its share.
    line = np.arange(n + 1) * count // n
    signs = np.zeros(n, dtype=bool)
    signs[order[np.diff(line) > 0]] = True
    return signs
