"""What a synapse is worth: Lyapunov matrix, scores, and the literal rescaling."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy import sparse

from analysis.pruning.sampling import checked_vector
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN

_BLOCK = 256
# Dense products in double precision up to this size; above it single precision halves time
# and memory, and counts up to 2^24 stay exact.
_DOUBLE = 2000
# A dense multiply-add costs about this share of one in a sparse product.
_DENSE_COST = 1 / 50


def lyapunov_matrix(
    net: HRSNN,
    exponents: Any,
    *,
    over: Literal["closed", "endpoints"] = "closed",
    floor: float = 0.5,
    mode: Literal["raise", "zero"] = "raise",
    times_weight: bool = False,
) -> np.ndarray:
    """Entries of the Lyapunov matrix at the synapses of a network.

    Parameters
    ----------
    net : HRSNN
        The network, with m synapses.
    exponents : array_like, shape (n,), 1/s
        One exponent per neuron.
    over : {'closed', 'endpoints'}, optional
        Harmonic mean over the union of the two closed neighbourhoods, or over the two
        endpoints alone.
    floor : float, 1/s, optional
        Smallest |lambda| that counts, above 0. Mode ``calibrated`` uses 0.5, ``literal`` 1e-6.
    mode : {'raise', 'zero'}, optional
        What a |lambda| below the floor does: it is raised to the floor, or it makes every
        harmonic mean that contains it zero.
    times_weight : bool, optional
        Multiply by |w|.

    Returns
    -------
    ndarray, shape (m,), 1/s
        In the order of ``net.i``, ``net.j``.

    Raises
    ------
    ParameterError
        For exponents of the wrong shape, or unknown options.

    Notes
    -----
    L_ij = sign(w_ij) H{ |lambda_k| : k in N(i) u N(j) }, where N(i) is neuron i with all its
    pre- and postsynaptic partners. With B the symmetric Boolean matrix of these closed
    neighbourhoods, B B and B diag(1/|lambda|) B hold the sizes and sums of the
    intersections; they are formed in blocks of rows and read only at the synapses. At
    n = 5000 with 1000 inputs each this takes ten seconds on two cores and less than 1 GB.

    Examples
    --------
    >>> net = HRSNN("lif_exp", 3, i=[0, 1], j=[1, 2], w=[0.5, -0.2], tau_m=0.02)
    >>> lyapunov_matrix(net, [-2.0, -4.0, -4.0])
    array([ 3., -3.])
    """
    rate = np.abs(checked_vector(exponents, net.n, "exponents"))
    if not (np.isfinite(floor) and floor > 0):
        raise ParameterError("floor", "a finite number above 0 1/s", floor)
    if mode not in ("raise", "zero"):
        raise ParameterError("mode", "'raise' or 'zero'", mode)
    if over not in ("closed", "endpoints"):
        raise ParameterError("over", "'closed' or 'endpoints'", over)
    low = rate < floor
    inverse = 1.0 / np.maximum(rate, floor)
    i, j = net.i, net.j
    if over == "endpoints":
        mean = 2.0 / (inverse[i] + inverse[j])
        touched = low
    else:
        near = _closed_neighbourhoods(net)
        size, total = near.sum(axis=1), near @ inverse
        shared, shared_total = _intersections(near, inverse, i, j)
        mean = (size[i] + size[j] - shared) / (total[i] + total[j] - shared_total)
        touched = near @ low.astype(float) > 0
    if mode == "zero":
        # The union holds a low exponent just when one of the two neighbourhoods does.
        mean = np.where(touched[i] | touched[j], 0.0, mean)
    signed = np.sign(net.w) * mean
    return signed * np.abs(net.w) if times_weight else signed


def _closed_neighbourhoods(net: HRSNN) -> sparse.csr_array:
    own = np.arange(net.n)
    row = np.concatenate([net.i, net.j, own])
    col = np.concatenate([net.j, net.i, own])
    near = sparse.csr_array((np.ones(row.size), (row, col)), shape=(net.n, net.n))
    near.sum_duplicates()
    near.data[:] = 1.0
    return near


def _intersections(
    near: sparse.csr_array, x: np.ndarray, i: np.ndarray, j: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """|N(i) n N(j)| and the sum of x over it, at the pairs (i, j); i ascending."""
    n = x.size
    count, total = np.zeros(i.size), np.zeros(i.size)
    degree = near.sum(axis=1)
    dense = float(degree @ degree) > _DENSE_COST * float(n) ** 3
    # B is symmetric, so its columns are its rows.
    kind = np.float64 if n <= _DOUBLE else np.float32
    right = near.astype(kind).toarray() if dense else near
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        here = slice(*np.searchsorted(i, [start, stop]))
        if here.start == here.stop:
            continue
        row, col = i[here] - start, j[here]
        left = right[start:stop]
        if dense:
            count[here] = (left @ right)[row, col]
            total[here] = ((left * x.astype(kind)) @ right)[row, col]
        else:
            count[here] = (left @ right).toarray()[row, col]
            weighted = left @ sparse.diags_array(x)
            total[here] = (weighted @ right).toarray()[row, col]
    return count, total


def coupling_matrix(net: HRSNN, entries: Any) -> sparse.csr_array:
    """Values at the synapses as a sparse matrix in (post, pre) order.

    Parameters
    ----------
    net : HRSNN
        The network, with m synapses.
    entries : array_like, shape (m,)
        Such as what `lyapunov_matrix` returns, or the weights.

    Returns
    -------
    scipy.sparse.csr_array, shape (n, n)
    """
    value = checked_vector(entries, net.n_synapses, "entries")
    return sparse.csr_array((value, (net.j, net.i)), shape=(net.n, net.n))


def keeping_scores(net: HRSNN, coupling: Any, covariance: Any) -> np.ndarray:
    """Importance of each synapse in the linear noise-driven network.

    Parameters
    ----------
    net : HRSNN
        The network, with m synapses.
    coupling : array_like, shape (m,), 1/s
        L at the synapses.
    covariance : array_like, shape (n, n)
        Stationary covariance C.

    Returns
    -------
    ndarray, shape (m,)
        At least 0.

    Raises
    ------
    ParameterError
        For wrong shapes, or a C that gives a negative score, so is no covariance.

    Notes
    -----
    s_ij = |L_ij| (C_ii + C_jj - 2 sign(w_ij) C_ij) [1]_; keeping probabilities are
    proportional to it.

    References
    ----------
    .. [1] E. Moore and R. Chaudhuri, Using noise to probe recurrent neural network
       structure and prune synapses, NeurIPS 2020, arXiv:2011.07334.
    """
    strength = np.abs(checked_vector(coupling, net.n_synapses, "coupling"))
    c = np.asarray(covariance, dtype=float)
    if c.shape != (net.n, net.n):
        raise ParameterError("covariance", f"shape ({net.n}, {net.n})", f"shape {c.shape}")
    i, j = net.i, net.j
    variance = np.diag(c)
    spread = variance[i] + variance[j] - 2.0 * np.sign(net.w) * c[j, i]
    slack = 1e-9 * (np.abs(variance[i]) + np.abs(variance[j]))
    bad = ~(spread >= -slack)
    if bad.any():
        k = int(np.flatnonzero(bad)[0])
        raise ParameterError(
            "covariance",
            "a positive semidefinite matrix",
            f"C_ii + C_jj - 2 sign C_ij = {spread[k]:.4g} at synapse {i[k]} -> {j[k]}",
            "A linear model that is not Hurwitz has no covariance.",
        )
    return strength * np.maximum(spread, 0.0)


def literal_weights(net: HRSNN, mask: Any, p: Any) -> np.ndarray:
    """Kept weights divided by their keeping probabilities, as in the papers.

    Parameters
    ----------
    net : HRSNN
        The network, with m synapses.
    mask : array_like of bool, shape (m,)
        Which synapses are kept.
    p : array_like, shape (m,)
        Keeping probabilities; above 0 wherever the mask keeps.

    Returns
    -------
    ndarray, shape (mask.sum(),)
        In the order of ``net.keep_edges(mask).w``; its expectation over masks is w.

    Raises
    ------
    ParameterError
        For wrong shapes, or a kept synapse whose probability is 0.
    """
    keep = np.asarray(mask)
    if keep.dtype != bool or keep.shape != (net.n_synapses,):
        raise ParameterError("mask", f"a mask over {net.n_synapses} synapses", keep.dtype)
    kept = checked_vector(p, net.n_synapses, "p", lowest=0.0)[keep]
    if (kept <= 0).any() or (kept > 1).any():
        raise ParameterError("p", "probabilities above 0 and up to 1 where kept", kept.min())
    return net.w[keep] / kept


def leak_correction(a_old: Any, a_new: Any) -> np.ndarray:
    """What the leaks of the linear model gain when its couplings are pruned and rescaled.

    Parameters
    ----------
    a_old, a_new : array_like or sparse array, shape (n, n), 1/s
        System matrices before and after.

    Returns
    -------
    ndarray, shape (n,), 1/s
        To be added to D, that is, ``A_new - diag(correction)``. It belongs to the linear
        model and must not be written into tau: about half the leaks would turn negative.

    Raises
    ------
    ParameterError
        For matrices of different shapes.

    Notes
    -----
    D_ii += sum over j != i of (|A_ij new| - |A_ij|), which keeps diagonally dominant
    matrices diagonally dominant (Moore and Chaudhuri 2020).
    """
    old, new = sparse.csr_array(a_old, dtype=float), sparse.csr_array(a_new, dtype=float)
    if old.shape != new.shape or old.shape[0] != old.shape[1]:
        raise ParameterError("a_new", f"a square matrix, shape {old.shape}", f"{new.shape}")
    row = [np.abs(m).sum(axis=1) - np.abs(m.diagonal()) for m in (old, new)]
    return np.asarray(row[1] - row[0], dtype=float)
