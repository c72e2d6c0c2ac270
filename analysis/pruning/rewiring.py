"""Delocalisation: a few added synapses that spread localised eigenvectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import eigs

from analysis.pruning.stability import square_matrix
from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN

_BLOCK = 512
_ALL_MODES = 1000  # neurons up to which all eigenvectors are computed, O(n^3)
_LEADING = 100  # eigenvectors above that


def inverse_participation_ratio(vectors: Any) -> np.ndarray:
    """Inverse participation ratio of each column.

    Parameters
    ----------
    vectors : array_like, real or complex, shape (n, k)
        Columns of any length but 0.

    Returns
    -------
    ndarray, shape (k,)
        From 1/n (spread evenly) to 1 (on one neuron).

    Raises
    ------
    ParameterError
        For anything but a matrix of finite columns that are not 0.

    Notes
    -----
    IPR_k = sum_i |r_ik|^4 / (sum_i |r_ik|^2)^2.

    Examples
    --------
    >>> inverse_participation_ratio([[1.0, 1.0], [0.0, -1.0]])
    array([1. , 0.5])
    """
    power = np.abs(np.asarray(vectors)) ** 2
    if power.ndim != 2 or power.shape[0] == 0:
        raise ParameterError("vectors", "shape (n, k)", f"shape {power.shape}")
    total = power.sum(axis=0)
    if not (np.isfinite(total) & (total > 0)).all():
        raise ParameterError("vectors", "finite columns that are not 0", "one that is not")
    return ((power / total) ** 2).sum(axis=0)


def right_eigenvectors(a: Any, modes: int | None = None) -> np.ndarray:
    """Right eigenvectors of a system matrix as columns of length 1.

    Parameters
    ----------
    a : array_like or sparse array, shape (n, n)
    modes : int, optional
        Only this many with the largest real parts (ARPACK, at most n - 2); by default all
        (LAPACK: some seconds at n = 1000, O(n^3)).

    Returns
    -------
    ndarray of complex, shape (n, k)

    Raises
    ------
    ParameterError
        For a matrix that is not square, or modes out of range.
    """
    matrix = square_matrix(a, "a")
    n = matrix.shape[0]
    if modes is None:
        _, vectors = linalg.eig(matrix.toarray(), overwrite_a=True)
        return np.asarray(vectors)
    if not 1 <= modes <= n - 2:
        raise ParameterError("modes", f"None, or 1 to {n - 2}", modes)
    start = np.random.Generator(np.random.PCG64(n)).standard_normal(n)
    _, vectors = eigs(matrix, k=int(modes), which="LR", v0=start)
    return np.asarray(vectors)


def _localised(vectors: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """IPR of all modes, and |r|^2 of the most localised fraction of them."""
    if not 0.0 < fraction <= 1.0:
        raise ParameterError("fraction", "a number above 0 and up to 1", fraction)
    ipr = inverse_participation_ratio(vectors)
    # Conjugate pairs tie up to rounding; the stable order keeps the choice reproducible.
    order = np.argsort(-np.round(ipr, 12), kind="stable")
    top = order[: max(1, round(fraction * ipr.size))]
    return ipr, np.abs(vectors[:, top]) ** 2 * ipr[top]


def localisation_scores(a: Any, fraction: float = 0.1, *, modes: int | None = None) -> np.ndarray:
    """How much of the localised modes sits on each neuron.

    Parameters
    ----------
    a : array_like or sparse array, shape (n, n)
        System matrix.
    fraction : float, optional
        Share of the modes, by IPR, that counts as localised.
    modes : int, optional
        As in `right_eigenvectors`.

    Returns
    -------
    ndarray, shape (n,)
        sum_k IPR_k |r_ik|^2 over the localised modes, the vectors of length 1.

    Raises
    ------
    ParameterError
        For a matrix that is not square, or options out of range.
    """
    return _localised(right_eigenvectors(a, modes), fraction)[1].sum(axis=1)


def heterogeneity_gain(net: HRSNN) -> np.ndarray:
    """Whether one more synapse at a neuron would widen the degrees in its neighbourhood.

    Parameters
    ----------
    net : HRSNN

    Returns
    -------
    ndarray, shape (n,)
        max(0, degree minus the mean degree over its closed neighbourhood): to first order
        the growth of the variance of these degrees with the neuron's own, halved and times the
        size of the neighbourhood.
    """
    own = np.arange(net.n)
    row = np.concatenate([net.i, net.j, own])
    col = np.concatenate([net.j, net.i, own])
    near = sparse.csr_array((np.ones(row.size), (row, col)), shape=(net.n, net.n))
    near.sum_duplicates()
    near.data[:] = 1.0
    degree = (net.in_degree + net.out_degree).astype(float)
    return np.maximum(0.0, degree - (near @ degree) / near.sum(axis=1))


def _candidates(
    net: HRSNN, power: np.ndarray, gain: np.ndarray, n_add: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, int]:
    """Pairs drawn among second neighbours, and the number of all candidates."""
    n = net.n
    graph = sparse.csr_array((np.ones(net.n_synapses), (net.i, net.j)), shape=(n, n))
    amplitude, weight = np.sqrt(power), power.sum(axis=1)
    key, pair, found = np.zeros(0), np.zeros(0, dtype=np.int64), 0
    for start in range(0, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        near = graph[rows]
        second = (near @ graph).toarray() > 0
        second &= near.toarray() == 0
        second[rows - start, rows] = False
        i, j = np.nonzero(second)
        i += start
        if i.size == 0:
            continue
        found += i.size
        overlap = amplitude[rows] @ amplitude.T
        local = np.maximum(0.0, weight[i] + weight[j] - 2.0 * overlap[i - start, j])
        with np.errstate(divide="ignore"):
            wait = rng.standard_exponential(i.size) / (local + gain[i] + gain[j])
        key, pair = np.concatenate([key, wait]), np.concatenate([pair, i * n + j])
        if key.size > n_add:
            # Pairs whose score is 0 wait for ever; among them the first found are taken.
            best = np.argsort(key, kind="stable")[:n_add]
            key, pair = key[best], pair[best]
    return pair // n, pair % n, found


def _donors(net: HRSNN, pre: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each new synapse a kept one of its neuron's sign, or any where there is none."""
    donor = np.zeros(pre.size, dtype=np.int64)
    for excitatory in (True, False):
        here = net.is_exc[pre] == excitatory
        pool = np.flatnonzero(net.w > 0 if excitatory else net.w < 0)
        if pool.size == 0:
            pool = np.arange(net.n_synapses)
        donor[here] = rng.choice(pool, int(here.sum()))
    return donor


def delocalise(
    net: HRSNN,
    a: Any,
    n_add: int,
    rng: np.random.Generator,
    *,
    fraction: float = 0.1,
    modes: int | None = None,
) -> tuple[HRSNN, dict[str, Any]]:
    """Add synapses between second neighbours where localised modes sit.

    Parameters
    ----------
    net : HRSNN
        The network, with m synapses.
    a : array_like or sparse array, shape (n, n), 1/s
        System matrix of the linear model of `net`, in (post, pre) order.
    n_add : int
        Synapses to add, at least 0.
    rng : numpy.random.Generator
        Source of randomness.
    fraction : float, optional
        Share of the modes, by IPR, that counts as localised.
    modes : int, optional
        Look at this many eigenvectors with the largest real parts, the slowest modes; by default
        at all up to 1000 neurons and at 100 above, where all would take minutes.

    Returns
    -------
    net : HRSNN
        With up to `n_add` more synapses; no pair twice, no self-loop, Dale's law kept
        through ``net.is_exc``.
    diagnostics : dict
        ``requested``, ``candidates``, ``added``, ``short`` (requested minus added, above 0
        where candidates are too few), ``modes`` (how many were analysed),
        ``mean_ipr_before`` and ``mean_ipr_after`` over these, ``top_ipr_before`` and
        ``top_ipr_after`` over the localised ones.

    Raises
    ------
    BudgetError
        For a negative number of synapses.
    ParameterError
        If A does not fit the network, or an option is out of range.

    Notes
    -----
    A candidate i -> j has a path i -> k -> j, i != j and no synapse i -> j. Candidates are
    drawn without replacement with probabilities proportional to

        sum_k IPR_k (|r_ik| - |r_jk|)^2 / max_v l_v  +  (h_i + h_j) / (2 max_v h_v),

    the sum over the localised modes, l_v = sum_k IPR_k |r_vk|^2 the `localisation_scores` and h
    the `heterogeneity_gain`. Its first term is l_i + l_j less the overlap: an edge inside
    one mode's support would not spread it, one that leaves it does. Drawing rather than
    taking the best keeps the additions from piling up on one neuron.

    Each new synapse copies the weight of a random kept one of its presynaptic neuron's
    sign (of any kept one, with that sign, where there is none) and, for the IPR
    afterwards, that one's entry of A.
    """
    matrix = square_matrix(a, "a")
    if matrix.shape[0] != net.n:
        raise ParameterError("a", f"shape ({net.n}, {net.n})", f"shape {matrix.shape}")
    if isinstance(n_add, bool) or int(n_add) != n_add or n_add < 0:
        raise BudgetError("n_add", "a whole number of at least 0 synapses", n_add)
    if modes is None and net.n > _ALL_MODES:
        modes = _LEADING
    vectors = right_eigenvectors(matrix, modes)
    ipr, power = _localised(vectors, fraction)
    top = max(1, round(fraction * ipr.size))
    gain = heterogeneity_gain(net)
    strongest, widest = float(power.sum(axis=1).max()), float(gain.max())
    if widest > 0:
        gain = gain / (2.0 * widest)
    pre, post, found = _candidates(net, power / strongest, gain, int(n_add), rng)
    after = ipr
    if pre.size:
        donor = _donors(net, pre, rng)
        sign = np.where(net.is_exc[pre], 1.0, -1.0)
        entry = sign * np.abs(matrix[net.j[donor], net.i[donor]])
        added = sparse.csr_array((entry, (post, pre)), shape=matrix.shape)
        after = inverse_participation_ratio(right_eigenvectors(matrix + added, modes))
        net = net.add_edges(pre, post, sign * np.abs(net.w[donor]))
    diagnostics = {
        "requested": int(n_add),
        "candidates": found,
        "added": int(pre.size),
        "short": int(n_add) - int(pre.size),
        "modes": int(ipr.size),
        "mean_ipr_before": float(ipr.mean()),
        "mean_ipr_after": float(after.mean()),
        "top_ipr_before": float(np.sort(ipr)[-top:].mean()),
        "top_ipr_after": float(np.sort(after)[-top:].mean()),
    }
    return net, diagnostics
