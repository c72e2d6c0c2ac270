"""Open loop: the inputs, and their weights, that best carry a neuron's current."""

from __future__ import annotations

import numpy as np

from analysis.pruning.compensate import rows_of
from analysis.pruning.greedy import nonnegative_path, share_budget
from analysis.pruning.moments import Moments
from models_eq.hrsnn import HRSNN

_FLOOR = 1e-3  # of the dense weight: what an input is left with that should have none


def signs_of(net: HRSNN) -> np.ndarray:
    """Sign of each synapse, that of its neuron's kind where its weight is 0, shape (m,)."""
    kind = np.where(net.is_exc[net.i], 1.0, -1.0)
    return np.where(net.w == 0, kind, np.sign(net.w))


def select(
    dense: HRSNN,
    kept: HRSNN,
    count: int,
    moments: Moments,
    matters: np.ndarray,
    ridge: float,
    even: bool,
) -> np.ndarray:
    """Inputs and weights that lose least of the currents in the dense network.

    Parameters
    ----------
    dense, kept : HRSNN
        The dense network; its neurons that are kept, with the synapses that may be used.
    count : int
        Synapses to keep, exactly.
    moments : Moments
        Of the dense network's traces.
    matters : ndarray, shape (kept.n,)
        Weight of each neuron's error.
    ridge : float
        Penalty on weights, in units of the mean variance of the traces.
    even : bool
        The same number of inputs for all neurons, rather than where they help most.

    Returns
    -------
    ndarray, shape (kept.n, kept.n), (post, pre)
        Weights of the old sign, none of them 0 where a synapse is kept.
    """
    rows, full = rows_of(dense, kept), dense.weights
    degree, signs = kept.in_degree, signs_of(kept)
    order = np.argsort(kept.j, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(degree)])
    longest = int(min(degree.max(initial=0), 8 * count // kept.n + 10))
    paths, gains = [], []
    for post in range(kept.n):
        edge = order[bounds[post] : bounds[post + 1]]
        pre, sign = kept.i[edge], signs[edge]
        gram = moments.gram_of(dense, rows[post])
        row = full[[rows[post]], :].toarray()[0]
        target = gram @ row
        inside = gram[np.ix_(rows[pre], rows[pre])] * np.outer(sign, sign)
        scale = float(np.mean(np.diag(gram))) if gram.size else 0.0
        inside[np.diag_indices_from(inside)] += max(ridge, 1e-9) * scale
        w, cost = nonnegative_path(
            inside, target[rows[pre]] * sign, float(row @ target), min(longest, edge.size)
        )
        paths.append((edge, sign, w))
        gains.append(-np.diff(cost) * matters[post])
    quota = share_budget(gains, degree, count, even=even)
    weights = np.zeros((kept.n, kept.n))
    for post, (edge, sign, w) in enumerate(paths):
        k = min(int(quota[post]), len(w) - 1)
        chosen = w[k].copy()
        missing = int(quota[post]) - int((chosen > 0).sum())
        if missing:
            # Of no use to the fit, but the count is a promise: the largest of those left.
            size = np.where(chosen > 0, -1.0, np.abs(kept.w[edge]))
            extra = np.argsort(-size, kind="stable")[:missing]
            chosen[extra] = np.maximum(_FLOOR * np.abs(kept.w[edge[extra]]), 1e-12)
        weights[post, kept.i[edge]] = chosen * sign
    return weights


def lost_share(
    dense: HRSNN, kept: HRSNN, weights: np.ndarray, moments: Moments, matters: np.ndarray
) -> float:
    """Share of the variance of the currents that given weights do not carry.

    Parameters
    ----------
    dense, kept : HRSNN
        The dense network, and its neurons that are kept.
    weights : ndarray, shape (kept.n, kept.n), (post, pre)
        The new weights.
    moments : Moments
        Of the dense network's traces.
    matters : ndarray, shape (kept.n,)
        Weight of each neuron's error.

    Returns
    -------
    float
        ``sum_i q_i Var(c_i - w_i'.s) / sum_i q_i Var(c_i)``; 0 where there are no currents.
    """
    rows, full = rows_of(dense, kept), dense.weights
    lost, total = 0.0, 0.0
    for post in range(kept.n):
        gram = moments.gram_of(dense, rows[post])
        target = full[[rows[post]], :].toarray()[0]
        difference = target.copy()
        difference[rows] -= weights[post]
        lost += matters[post] * float(difference @ gram @ difference)
        total += matters[post] * float(target @ gram @ target)
    return float(lost / max(total, 1e-300))


def assemble(dense: HRSNN, kept: HRSNN, weights: np.ndarray, moments: Moments) -> HRSNN:
    """Network of ``kept`` with new weights; the mean input lost goes into ``i_ext``.

    Parameters
    ----------
    dense, kept : HRSNN
        The dense network, and its neurons that are kept.
    weights : ndarray, shape (kept.n, kept.n), (post, pre)
        0 where there is to be no synapse.
    moments : Moments
        Mean traces of the dense network.

    Returns
    -------
    HRSNN
    """
    rows = rows_of(dense, kept)
    i_ext = dense.i_ext[rows].copy()
    for post, row in enumerate(rows):
        mean = moments.mean_of(dense, row)
        i_ext[post] += float((dense.weights[[row], :] @ mean)[0] - weights[post] @ mean[rows])
    value = weights[kept.j, kept.i]
    return kept.replace(w=value, i_ext=i_ext).keep_edges(value != 0)
