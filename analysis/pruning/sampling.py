"""Keeping probabilities, and masks of an exact count drawn with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_eq.errors import BudgetError, ParameterError


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
        Source of randomness.

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
