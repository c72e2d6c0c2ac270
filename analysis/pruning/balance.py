"""Balanced masks: even in-degrees and out-degrees, with preferences inside that."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.pruning.sampling import checked_vector
from models_eq.errors import BudgetError
from models_eq.hrsnn import HRSNN

_ROUNDS = 60  # of alternate scaling; the prices then hold to about a percent


def row_quotas(available: Any, count: int, rng: np.random.Generator) -> np.ndarray:
    """Share out a number of synapses over rows as evenly as the rows allow.

    Parameters
    ----------
    available : array_like of int, shape (n,)
        Inputs each row has.
    count : int
        Total to share out, 0 to ``sum(available)``.
    rng : numpy.random.Generator
        Chooses the rows that get one more.

    Returns
    -------
    ndarray of int, shape (n,)
        Sums to `count`; each is k, k + 1, or all that the row has if that is fewer.

    Raises
    ------
    BudgetError
        For a count out of range.
    """
    degree = np.asarray(available, dtype=np.int64)
    if not 0 <= count <= degree.sum() or int(count) != count:
        raise BudgetError("count", f"a whole number, 0 to {int(degree.sum())}", count)
    # With the rows in ascending order, rows before position r are full at level degree[r].
    ranked = np.sort(degree)
    below = np.concatenate([[0], np.cumsum(ranked)[:-1]])
    at_level = below + ranked * np.arange(degree.size, 0, -1)
    r = int(np.searchsorted(at_level, count, side="right"))
    if r == degree.size:
        return degree.copy()
    level = int((count - below[r]) // (degree.size - r))
    quota = np.minimum(degree, level)
    more = rng.permutation(np.flatnonzero(degree > level))[: int(count) - int(quota.sum())]
    quota[more] += 1
    return quota


def balanced_mask(net: HRSNN, count: int, p: Any, rng: np.random.Generator) -> np.ndarray:
    """Draw a mask with even in-degrees and out-degrees, led by p within that.

    Parameters
    ----------
    net : HRSNN
        The network, with m synapses.
    count : int
        Number of synapses to keep, 0 to m.
    p : array_like, shape (m,)
        Preferences, at least 0, such as keeping probabilities; only their ratios count.
        Constant p gives a uniformly random balanced mask; a synapse with p = 0 is kept only
        where its row has too few others, even at the cost of uneven outputs.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of bool, shape (m,)
        Exactly `count` are True. Every neuron keeps k or k + 1 inputs, or all it has if that
        is fewer (`row_quotas`); the numbers of kept outputs differ as little as swaps
        within rows can make them.

    Raises
    ------
    BudgetError
        For a count out of range.
    ParameterError
        For preferences of the wrong shape or below 0.

    Notes
    -----
    Preferences are first multiplied by a price for each partner, such that sampling every row in
    proportion to price times preference gives all partners the same expected number of outputs
    (alternate scaling of rows and columns, Sinkhorn [1]_); so p decides within the balance, not
    against it. Every synapse then draws an exponential waiting time -log(u)/(price p), and each
    row takes the shortest: successive sampling without replacement. What chance leaves uneven is
    swapped out: until nothing changes, a row gives up the partner with most outputs for an
    unused one that has at least two fewer, the longest waiting time leaving and the shortest
    entering first. A swap lowers the sum of squared out-degrees, so this ends. Cost: 60 passes
    over the synapses, one sort of each row, n rows a pass of swaps.

    References
    ----------
    .. [1] R. Sinkhorn, A relationship between arbitrary positive matrices and doubly stochastic
       matrices, Ann. Math. Stat. 35 (1964). https://doi.org/10.1214/aoms/1177703591
    """
    weight = checked_vector(p, net.n_synapses, "p", lowest=0.0)
    quota = row_quotas(net.in_degree, count, rng)
    mask = np.zeros(net.n_synapses, dtype=bool)
    if count == 0:
        return mask
    price = partner_prices(net, quota, weight)
    with np.errstate(divide="ignore"):
        wait = rng.standard_exponential(weight.size) / (weight * price[net.i])
    by_row = np.argsort(net.j, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(net.in_degree)])
    rows = [by_row[bounds[r] : bounds[r + 1]] for r in range(net.n)]
    visits = rng.permutation(np.flatnonzero(quota > 0))
    for r in visits:
        member = rows[r]
        mask[member[np.argsort(wait[member], kind="stable")[: quota[r]]]] = True
    load = np.bincount(net.i[mask], minlength=net.n)
    _even_out(net.i, [rows[r] for r in visits], wait, mask, load)
    return mask


def partner_prices(net: HRSNN, quota: np.ndarray, preference: np.ndarray) -> np.ndarray:
    """Factor for each presynaptic neuron that evens the expected numbers of kept outputs.

    Parameters
    ----------
    net : HRSNN
    quota : ndarray of int, shape (n,)
        Inputs that each row keeps.
    preference : ndarray, shape (m,)
        At least 0.

    Returns
    -------
    ndarray, shape (n,)
        Prices c, geometric mean 1, such that with p_ij = min(1, r_j c_i preference_ij) and r_j
        fitted to the row quotas, the columns sum to equal numbers, as far as the graph allows; 1
        for neurons without outputs.
    """
    pre, post = net.i, net.j
    price = np.ones(net.n)
    sends = np.bincount(pre, preference, minlength=net.n) > 0
    if not sends.any():
        return price
    share = quota.sum() / sends.sum()
    for _ in range(_ROUNDS):
        offered = preference * price[pre]
        row = np.bincount(post, offered, minlength=net.n)
        p = np.minimum(1.0, offered * (quota / np.where(row > 0, row, 1.0))[post])
        column = np.bincount(pre, p, minlength=net.n)[sends]
        scaled = price[sends] * (share / np.where(column > 0, column, share))
        # Bounded, or a partner that every row shuns would drive its price to infinity.
        price[sends] = np.clip(scaled / np.exp(np.mean(np.log(scaled))), 1e-6, 1e6)
    return price


def _even_out(
    pre: np.ndarray,
    rows: list[np.ndarray],
    wait: np.ndarray,
    mask: np.ndarray,
    load: np.ndarray,
) -> None:
    """Swap within rows, in place, until no swap evens the loads any further."""
    changed = True
    while changed:
        changed = False
        for member in rows:
            while True:
                inside = member[mask[member]]
                outside = member[~mask[member] & np.isfinite(wait[member])]
                if outside.size == 0:
                    break
                high, low = load[pre[inside]], load[pre[outside]]
                if high.max() - low.min() < 2:
                    break
                leave = inside[np.lexsort((-wait[inside], -high))[0]]
                enter = outside[np.lexsort((wait[outside], low))[0]]
                mask[leave], mask[enter] = False, True
                load[pre[leave]] -= 1
                load[pre[enter]] += 1
                changed = True
