"""Which regressors to keep: greedy selection with weights of at least 0, and shared budgets."""

from __future__ import annotations

import numpy as np
from numba import njit

_TINY = 1e-10  # pivots below this share of the diagonal count as linearly dependent


@njit(cache=True)
def _pivot(gram: np.ndarray, cross: np.ndarray, factor: np.ndarray, left: np.ndarray,
           forward: np.ndarray, chosen: np.ndarray, m: int) -> None:  # fmt: skip
    """Row ``m`` of the partial Cholesky factor, for the regressor ``chosen[m]``, in place."""
    j = chosen[m]
    root = np.sqrt(left[j])
    row = gram[j].copy()
    for a in range(m):
        row -= factor[a, j] * factor[a]
    row /= root
    factor[m] = row
    value = cross[j]
    for a in range(m):
        value -= factor[a, j] * forward[a]
    forward[m] = value / root
    left -= row * row


@njit(cache=True)
def _restart(gram: np.ndarray, cross: np.ndarray, factor: np.ndarray, left: np.ndarray,
             forward: np.ndarray, chosen: np.ndarray, m: int) -> None:  # fmt: skip
    for a in range(gram.shape[0]):
        left[a] = gram[a, a]
    for a in range(m):
        _pivot(gram, cross, factor, left, forward, chosen, a)


@njit(cache=True)
def _solution(factor: np.ndarray, forward: np.ndarray, chosen: np.ndarray, m: int) -> np.ndarray:
    x = np.zeros(m)
    for a in range(m - 1, -1, -1):
        value = forward[a]
        for c in range(a + 1, m):
            value -= factor[a, chosen[c]] * x[c]
        x[a] = value / factor[a, chosen[a]]
    return x


@njit(cache=True)
def nonnegative_path(
    gram: np.ndarray, cross: np.ndarray, power: float, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Subsets of growing size and their best weights of at least 0, chosen greedily.

    Parameters
    ----------
    gram : ndarray, shape (K, K)
        Second moments of the regressors (with the ridge on the diagonal), positive definite.
    cross : ndarray, shape (K,)
        Second moments of regressors and target.
    power : float
        Second moment of the target.
    limit : int
        Largest subset, at most K.

    Returns
    -------
    weights : ndarray, shape (limit + 1, K)
        Row k has at most k positive entries; where fewer than k regressors help, the row of the
        largest subset that does is repeated.
    residual : ndarray, shape (limit + 1,)
        ``power - 2 cross.w + w.gram.w`` of each row, never rising.

    Notes
    -----
    Orthogonal least squares (the regressor that lowers the residual most once the weights are
    solved again) with the active set of Lawson & Hanson: weights that would turn negative leave,
    and may come back. A partial Cholesky factor of ``gram`` is kept, so a step costs O(K k) and a
    path O(K k^2 / 2).

    References
    ----------
    Chen, Billings & Luo 1989 (10.1080/00207178908953472); Lawson & Hanson 1974, ch. 23.
    """
    size = cross.size
    weights = np.zeros((limit + 1, size))
    residual = np.full(limit + 1, power)
    factor = np.zeros((limit + 1, size))
    forward = np.zeros(limit + 1)
    chosen = np.zeros(limit + 1, np.int64)
    inside = np.zeros(size, np.bool_)
    left = np.empty(size)
    _restart(gram, cross, factor, left, forward, chosen, 0)
    w = np.zeros(size)
    m, best, steps = 0, 0, 0
    while m < limit and steps < 10 * limit + 10:
        steps += 1
        slope = cross.copy()
        for a in range(m):
            slope -= w[chosen[a]] * gram[chosen[a]]
        enter, most = -1, 0.0
        for j in range(size):
            if not inside[j] and slope[j] > 1e-12 * abs(cross[j]) and left[j] > _TINY * gram[j, j]:
                gain = slope[j] * slope[j] / left[j]
                if gain > most:
                    enter, most = j, gain
        if enter < 0:
            break
        chosen[m], inside[enter] = enter, True
        _pivot(gram, cross, factor, left, forward, chosen, m)
        m += 1
        while True:
            z = _solution(factor, forward, chosen, m)
            step = 1.0
            for a in range(m):
                if z[a] <= 0:
                    step = min(step, w[chosen[a]] / (w[chosen[a]] - z[a] + 1e-300))
            stay = 0
            for a in range(m):
                j = chosen[a]
                w[j] = z[a] if step == 1.0 else w[j] + step * (z[a] - w[j])
                if w[j] > 1e-14:
                    chosen[stay] = j
                    stay += 1
                else:
                    w[j], inside[j] = 0.0, False
            if stay == m:
                break
            m = stay
            _restart(gram, cross, factor, left, forward, chosen, m)
        value = power
        for a in range(m):
            value -= cross[chosen[a]] * w[chosen[a]]
        if m > best or value < residual[m]:
            for k in range(m, limit + 1):
                if value < residual[k]:
                    weights[k], residual[k] = w, value
            best = max(best, m)
    return weights, residual


def share_budget(
    gains: list[np.ndarray], capacity: np.ndarray, count: int, *, even: bool = False
) -> np.ndarray:
    """How many inputs each neuron keeps, for a given total.

    Parameters
    ----------
    gains : list of ndarray
        For each neuron, by how much its first, second, ... input lowers the cost.
    capacity : ndarray of int, shape (n,)
        Inputs each neuron has.
    count : int
        Total, at most the sum of the capacities.
    even : bool
        The same for all instead, to within one and as far as the capacities go.

    Returns
    -------
    ndarray of int, shape (n,)

    Notes
    -----
    The next input goes where it lowers the cost most. Gains are first made non-rising (the
    running minimum), so that a neuron's inputs come in order. What is left once all gains are
    used goes to the neurons that keep fewest.
    """
    quota = np.zeros(capacity.size, dtype=np.int64)
    if not even:
        pairs = zip(gains, capacity, strict=True)
        falling = [np.minimum.accumulate(np.asarray(gain)[:c]) for gain, c in pairs]
        pooled = np.concatenate(falling) if falling else np.zeros(0)
        owner = np.repeat(np.arange(capacity.size), [g.size for g in falling])
        useful = np.flatnonzero(pooled > 0)
        order = useful[np.argsort(-pooled[useful], kind="stable")][:count]
        quota = np.bincount(owner[order], minlength=capacity.size)
    while quota.sum() < count:
        free = np.flatnonzero(quota < capacity)
        lowest = free[quota[free] == quota[free].min()]
        quota[lowest[: count - quota.sum()]] += 1
    return quota
