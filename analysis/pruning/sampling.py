"""How many and which: keeping probabilities, exact-count sampling, balanced masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN


def checked_vector(value: Any, size: int, name: str, *, lowest: float = -np.inf) -> np.ndarray:
    """Finite numbers of a given length and lower bound as floats, or a ParameterError."""
    array = np.asarray(value, dtype=float)
    if array.shape != (size,):
        raise ParameterError(name, f"shape ({size},)", f"shape {array.shape}")
    bad = ~np.isfinite(array) | (array < lowest)
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        bound = "" if lowest == -np.inf else f" of at least {lowest:g}"
        raise ParameterError(name, f"finite numbers{bound}", f"{array[k]} at {k}")
    return array


def keep_probabilities(scores: Any, target_count: float) -> np.ndarray:
    """Probabilities min(1, rho s) whose sum is a given number of synapses.

    Parameters
    ----------
    scores : array_like, shape (m,)
        At least 0.
    target_count : float
        Expected number of synapses to keep, 0 to m.

    Returns
    -------
    ndarray, shape (m,)
        Where fewer scores than the target are positive, those are kept for certain and the
        rest of the target is spread evenly over the zeros.

    Raises
    ------
    ParameterError
        For negative or undefined scores.
    BudgetError
        For a target outside 0 to m.

    Notes
    -----
    rho is exact: with the scores in descending order and the c largest capped at 1, it is
    (target - c) / (sum of the others), for the smallest c that needs no further cap.

    Examples
    --------
    >>> keep_probabilities([4.0, 1.0, 1.0, 0.0], 2)
    array([1. , 0.5, 0.5, 0. ])
    """
    s = np.asarray(scores, dtype=float)
    s = checked_vector(s, s.size, "scores", lowest=0.0)
    target = float(target_count)
    if not 0.0 <= target <= s.size:
        raise BudgetError("target_count", f"0 to {s.size} synapses", target_count)
    p = np.zeros(s.size)
    positive = s > 0
    n_positive = int(positive.sum())
    if n_positive <= target:
        p[positive] = 1.0
        if n_positive < s.size:
            p[~positive] = (target - n_positive) / (s.size - n_positive)
        return p
    order = np.argsort(-s, kind="stable")[:n_positive]
    ranked = s[order]
    # Summed from the smallest up, so that a heavy head does not swallow the tail.
    tail = np.cumsum(ranked[::-1])[::-1]
    capped = np.arange(n_positive)
    fits = (target - capped) * (ranked / tail) <= 1.0
    c = int(np.argmax(fits))
    p[order[:c]] = 1.0
    p[order[c:]] = np.minimum(1.0, (target - c) * (ranked[c:] / tail[c]))
    return p


def sample_exact(p: Any, rng: np.random.Generator) -> np.ndarray:
    """Draw a mask of exactly round(sum p) synapses with inclusion probabilities p.

    Parameters
    ----------
    p : array_like, shape (m,)
        Probabilities, 0 to 1. Where their sum is not whole no fixed count has exactly these
        inclusion probabilities; they are then first scaled (and capped at 1) to the
        nearest whole sum.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of bool, shape (m,)

    Raises
    ------
    ParameterError
        For values outside 0 to 1.

    Notes
    -----
    Madow's systematic sampling [1]_ in random order: the probabilities are laid end to end
    and every whole number plus one common uniform offset picks the synapse it falls on.

    References
    ----------
    .. [1] W. G. Madow, On the theory of systematic sampling II, Ann. Math. Stat. 20 (1949).
       https://doi.org/10.1214/aoms/1177729988
    """
    probability = np.asarray(p, dtype=float)
    probability = checked_vector(probability, probability.size, "p", lowest=0.0)
    if (probability > 1.0).any():
        raise ParameterError("p", "probabilities of at most 1", float(probability.max()))
    total = float(probability.sum())
    count = round(total)
    if abs(total - count) > 1e-9 * max(1.0, total):
        probability = keep_probabilities(probability, count)
    # Those that are certain stay out of the sum: rounding must neither miss nor repeat them.
    mask = probability >= 1.0 - 1e-12
    need = count - int(mask.sum())
    open_ = np.flatnonzero(~mask & (probability > 0))
    if need <= 0 or open_.size == 0:
        return mask
    order = rng.permutation(open_)
    edge = np.cumsum(probability[order])
    edge *= need / edge[-1]
    point = rng.random() + np.arange(need)
    picked = np.minimum(np.searchsorted(edge, point, side="right"), order.size - 1)
    mask[order[picked]] = True
    short = count - int(mask.sum())
    if short > 0:  # two points on one synapse, by rounding of the last bit of a sum
        left = np.flatnonzero(~mask)
        mask[left[np.argsort(-probability[left], kind="stable")[:short]]] = True
    return mask


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
    count : int
        Number of synapses to keep, 0 to m.
    p : array_like, shape (m,)
        Preferences, at least 0, such as keeping probabilities; only their ratios count.
        Constant p gives a uniformly random balanced mask; a synapse with p = 0 is kept only
        where its row has too few others, even at the cost of uneven outputs.
    rng : numpy.random.Generator

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
    Every synapse draws an exponential waiting time -log(u)/p once. The rows come in
    random order, and each takes the synapses of least (outputs its partner has kept so far,
    waiting time), so p decides among partners in equal need. Then, until nothing changes, a
    row swaps the partner with most outputs for an unused one that has at least two fewer, the
    longest waiting time leaving and the shortest entering first. A swap lowers the sum of
    squared out-degrees, so this ends. Cost: one sort of each row, n rows a pass.
    """
    weight = checked_vector(p, net.n_synapses, "p", lowest=0.0)
    quota = row_quotas(net.in_degree, count, rng)
    mask = np.zeros(net.n_synapses, dtype=bool)
    if count == 0:
        return mask
    with np.errstate(divide="ignore"):
        wait = rng.standard_exponential(weight.size) / weight
    by_row = np.argsort(net.j, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(net.in_degree)])
    rows = [by_row[bounds[r] : bounds[r + 1]] for r in range(net.n)]
    load = np.zeros(net.n, dtype=np.int64)
    visits = rng.permutation(np.flatnonzero(quota > 0))
    for r in visits:
        member = rows[r]
        never = np.isinf(wait[member])
        best = np.lexsort((wait[member], load[net.i[member]], never))[: quota[r]]
        mask[member[best]] = True
        load[net.i[member[best]]] += 1
    _even_out(net.i, [rows[r] for r in visits], wait, mask, load)
    return mask


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
