"""Brandes' dependencies along shortest paths, source by source, in compiled loops."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

# Sums are formed over this many groups of sources in a fixed order, so that the last digit does
# not depend on the number of threads.
_GROUPS = 32


def hop_dependencies(
    pre: np.ndarray, post: np.ndarray, n: int, sources: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Dependencies on each neuron of the shortest paths out of some sources, in hops.

    Parameters
    ----------
    pre, post : ndarray of int, shape (m,)
        Edges.
    n : int
        Number of neurons.
    sources : ndarray of int, shape (k,)

    Returns
    -------
    total, squares : ndarray, shape (n,)
        Sum over the sources of the dependency and of its square.

    Notes
    -----
    Brandes' algorithm [1]_ by breadth-first search. A search ends with the level that completes
    what can be reached, and the edges that leave this level are never looked at: in a dense
    graph, where all are reached in two hops, k^2 edges per source instead of k n (k outputs each).

    References
    ----------
    .. [1] U. Brandes, A faster algorithm for betweenness centrality, J. Math. Sociol. 25
       (2001). https://doi.org/10.1080/0022250X.2001.9990249
    """
    start, target = _adjacency(pre, post, n)
    listens = np.zeros(n, dtype=bool)
    listens[post] = True
    groups = [group for group in np.array_split(sources, _GROUPS) if group.size]

    def one(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        total, squares = np.zeros(n), np.zeros(n)
        _hops(start, target, listens, group.astype(np.int64), total, squares)
        return total, squares

    with ThreadPoolExecutor(numba.get_num_threads()) as pool:
        parts = list(pool.map(one, groups))
    return _sum([part[0] for part in parts], n), _sum([part[1] for part in parts], n)


def length_dependencies(
    pre: np.ndarray, post: np.ndarray, length: np.ndarray, n: int, sources: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`hop_dependencies` for edges of any positive length, by Dijkstra's algorithm.

    Parameters
    ----------
    pre, post : ndarray of int, shape (m,)
        Edges.
    length : ndarray, shape (m,)
        Above 0.
    n : int
        Number of neurons.
    sources : ndarray of int, shape (k,)

    Returns
    -------
    total, squares : ndarray, shape (n,)
    """
    graph = sparse.csr_array((length, (pre, post)), shape=(n, n))
    by_post = np.argsort(post, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(post, minlength=n))])
    total, squares = np.zeros(n), np.zeros(n)
    for source in sources:
        distance = csgraph.dijkstra(graph, indices=int(source))
        order = np.argsort(distance, kind="stable")
        order = order[: int(np.isfinite(distance).sum())]
        share = _lengths(order, distance, start, pre[by_post], length[by_post])
        total += share
        squares += share**2
    return total, squares


def _adjacency(pre: np.ndarray, post: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(pre, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(pre, minlength=n))]).astype(np.int64)
    return start, post[order].astype(np.int32)


def _sum(parts: list[np.ndarray], n: int) -> np.ndarray:
    total = np.zeros(n)
    for part in parts:
        total += part
    return total


@numba.njit(nogil=True, cache=True)
def _hops(  # type: ignore[no-untyped-def]
    start, target, listens, sources, total, squares
):
    """Breadth-first search out of every source, then the sharing out on the way back."""
    n = listens.size
    hearing = 0
    for v in range(n):
        hearing += listens[v]
    level = np.empty(n, dtype=np.int32)
    paths = np.empty(n)
    share = np.empty(n)
    order = np.empty(n, dtype=np.int32)
    for source in sources:
        level[:] = -1
        reachable = hearing if listens[source] else hearing + 1
        level[source], paths[source], order[0] = 0, 1.0, source
        first, last, found = 0, 1, 1
        while first < last and found < reachable:
            depth = level[order[first]] + 1
            for k in range(first, last):
                v = order[k]
                for e in range(start[v], start[v + 1]):
                    u = target[e]
                    if level[u] < 0:
                        level[u] = depth
                        paths[u] = 0.0
                        order[found] = u
                        found += 1
                    if level[u] == depth:
                        paths[u] += paths[v]
            first, last = last, found
        # Those of the last level lie on no path to others: first .. found - 1.
        for k in range(first, found):
            share[order[k]] = 1.0 / paths[order[k]]
        for k in range(first - 1, 0, -1):
            v = order[k]
            below = level[v] + 1
            s = 0.0
            for e in range(start[v], start[v + 1]):
                u = target[e]
                if level[u] == below:
                    s += share[u]
            dependency = paths[v] * s
            total[v] += dependency
            squares[v] += dependency * dependency
            share[v] = (1.0 + dependency) / paths[v]


@numba.njit(cache=True)
def _lengths(order, distance, start, pre, length):  # type: ignore[no-untyped-def]
    """One source's dependencies: paths counted outwards, then shared out inwards."""
    paths = np.zeros(distance.size)
    share = np.zeros(distance.size)
    paths[order[0]] = 1.0
    for v in order[1:]:
        for e in range(start[v], start[v + 1]):
            if distance[pre[e]] + length[e] <= distance[v] * (1.0 + 1e-12):
                paths[v] += paths[pre[e]]
    for v in order[:0:-1]:
        for e in range(start[v], start[v + 1]):
            if distance[pre[e]] + length[e] <= distance[v] * (1.0 + 1e-12):
                share[pre[e]] += paths[pre[e]] / paths[v] * (1.0 + share[v])
    share[order[0]] = 0.0
    return share
