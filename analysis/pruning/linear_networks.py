"""Pruning of linear networks dx/dt = A x + noise, given as matrices, and what it does to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import linalg, optimize, sparse

from analysis.pruning.linear_response import covariance
from analysis.pruning.sampling import keep_probabilities, sample_exact
from analysis.pruning.stability import square_matrix
from analysis.pruning.synapses import leak_correction
from models_eq.errors import BudgetError, ParameterError

__all__ = [
    "SpectralDistance",
    "noise_probabilities",
    "prune_by_probability",
    "prune_linear",
    "spectral_distance",
]

Method = Literal["noise", "uniform", "weight", "largest"]
METHODS = ("noise", "uniform", "weight", "largest")


def _is_symmetric(a: sparse.csr_array) -> bool:
    gap = abs(a - a.T)
    return gap.nnz == 0 or float(gap.max()) <= 1e-12 * float(abs(a).max())


def _synapses(a: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and value of what is drawn: synapses, or pairs where the matrix is symmetric."""
    coo = (sparse.triu(a, k=1) if _is_symmetric(a) else a).tocoo()
    row, col = coo.coords
    off = (row != col) & (coo.data != 0)
    if not off.any():
        raise ParameterError("a", "a matrix with entries off the diagonal", "none")
    return row[off], col[off], coo.data[off]


def _count(density: float, available: int) -> int:
    if not 0.0 < density <= 1.0:
        raise BudgetError("density", "a fraction kept, above 0 and at most 1", density)
    count = round(density * available)
    if count < 1:
        raise BudgetError("density", f"at least one of {available} synapses or pairs", density)
    return count


def _noise(noise: Any, n: int) -> Any:
    return np.ones(n) if noise is None else noise


def noise_probabilities(a: Any, density: float, *, noise: Any = None) -> np.ndarray:
    """Keeping probabilities of the synapses from the covariance that noise drives.

    Parameters
    ----------
    a : array_like or sparse array, shape (n, n), 1/s
        A in (post, pre) order, Hurwitz.
    density : float
        Fraction of the synapses to keep, above 0 and at most 1.
    noise : array_like, shape (n,) or (n, n), optional
        Intensity Q of the white noise; the identity by default.

    Returns
    -------
    ndarray, shape (n, n)
        0 where there is no synapse. Symmetric where A is. The sum is the whole number
        (symmetric A: the even number) of synapses nearest to the fraction asked for.

    Raises
    ------
    ParameterError
        For a matrix that is not square, not Hurwitz or without synapses.
    BudgetError
        For a density out of range, or below one synapse.

    Notes
    -----
    p_ij = min(1, rho |A_ij| (C_ii + C_jj - 2 sign(A_ij) C_ij)) [1]_, with A C + C A' = -Q. For
    symmetric A and Q = I, C = -A^-1 / 2, and for diagonally dominant A the bracket is half the
    effective resistance between i and j, the leverage by which Spielman and Srivastava [2]_
    draw the edges of a spectral sparsifier.

    References
    ----------
    .. [1] E. Moore and R. Chaudhuri, Using noise to probe recurrent neural network structure
       and prune synapses, NeurIPS 2020. https://doi.org/10.48550/arXiv.2011.07334
    .. [2] D. A. Spielman and N. Srivastava, Graph sparsification by effective resistances,
       SIAM J. Comput. 40 (2011). https://doi.org/10.1137/080734029

    Examples
    --------
    A chain of three with a weak and a strong link: each is the only path, so both are needed.

    >>> a = [[-1.1, 1, 0], [1, -4.1, 3], [0, 3, -3.1]]
    >>> noise_probabilities(a, 0.5).round(2)
    array([[0. , 0.49, 0. ], [0.49, 0. , 0.51], [0. , 0.51, 0. ]])
    """
    system = square_matrix(a, "a")
    row, col, value = _synapses(system)
    count = _count(density, value.size)
    c = covariance(system, _noise(noise, system.shape[0]))
    variance = np.diag(c)
    spread = variance[row] + variance[col] - 2.0 * np.sign(value) * c[row, col]
    # C is positive semidefinite, so that only rounding can make this negative.
    scores = np.abs(value) * np.maximum(spread, 0.0)
    return _placed(system, row, col, keep_probabilities(scores, count))


def _placed(a: sparse.csr_array, row: np.ndarray, col: np.ndarray, p: np.ndarray) -> np.ndarray:
    out = np.zeros(a.shape)
    out[row, col] = p
    return out + out.T if _is_symmetric(a) else out


def prune_by_probability(
    a: Any,
    p: Any,
    rng: np.random.Generator,
    *,
    rescale: bool = True,
    correct_leak: bool = True,
) -> sparse.csr_array:
    """Draw the synapses of a linear network by given probabilities.

    Parameters
    ----------
    a : array_like or sparse array, shape (n, n), 1/s
        A in (post, pre) order. Where it is symmetric, so is the result.
    p : array_like, shape (n, n)
        Keeping probabilities, 0 to 1, read at the synapses (symmetric A: above the diagonal).
    rng : numpy.random.Generator
    rescale : bool, optional
        Divide what is kept by p, which makes A its expectation off the diagonal.
    correct_leak : bool, optional
        Change each leak by the change of the summed magnitudes of its row, which keeps
        diagonally dominant matrices diagonally dominant, so Hurwitz.

    Returns
    -------
    scipy.sparse.csr_array, shape (n, n), 1/s
        With exactly round(sum p) synapses (symmetric A: twice as many as pairs drawn).

    Raises
    ------
    ParameterError
        For wrong shapes or probabilities outside 0 to 1.

    Notes
    -----
    A'_ij = m_ij A_ij / p_ij and A'_ii = A_ii - sum over j != i of (|A'_ij| - |A_ij|), with m_ij
    1 or 0. For symmetric A with the surplus leaks d_i = -A_ii - sum |A_ij|, both -A and -A' are
    diag(d) + sum of |A_ij| b b' over the pairs, b = e_i - sign(A_ij) e_j: A' is unbiased as a
    whole, and negative definite where no d_i is negative and one in each component is positive.
    """
    system = square_matrix(a, "a")
    row, col, value = _synapses(system)
    probability = np.asarray(p, dtype=float)
    if probability.shape != system.shape:
        raise ParameterError("p", f"shape {system.shape}", f"shape {probability.shape}")
    probability = probability[row, col]
    mask = sample_exact(probability, rng)
    kept = value[mask] / probability[mask] if rescale else value[mask]
    return _assembled(system, row[mask], col[mask], kept, correct_leak)


def _assembled(
    a: sparse.csr_array, row: np.ndarray, col: np.ndarray, value: np.ndarray, correct_leak: bool
) -> sparse.csr_array:
    off = sparse.csr_array((value, (row, col)), shape=a.shape)
    if _is_symmetric(a):
        off = off + off.T
    leak = a.diagonal()
    if correct_leak:
        leak = leak - leak_correction(a, off)
    return sparse.csr_array(off + sparse.diags_array(leak))


def prune_linear(
    a: Any,
    density: float,
    rng: np.random.Generator,
    *,
    method: Method = "noise",
    noise: Any = None,
    rescale: bool = True,
    correct_leak: bool = True,
) -> sparse.csr_array:
    """Prune a linear network to a fraction of its synapses.

    Parameters
    ----------
    a : array_like or sparse array, shape (n, n), 1/s
        A in (post, pre) order. Symmetric matrices lose synapses in pairs.
    density : float
        Fraction of the synapses to keep, above 0 and at most 1; met exactly up to rounding.
    rng : numpy.random.Generator
        Source of randomness.
    method : {'noise', 'uniform', 'weight', 'largest'}, optional
        Probabilities by `noise_probabilities`, all equal, or proportional to \\|A_ij\\| (at most
        1); or the largest \\|A_ij\\| for certain, ties at random.
    noise : array_like, shape (n,) or (n, n), optional
        Intensity of the white noise for ``noise``; the identity by default.
    rescale : bool, optional
        Divide what is kept by p; ``largest``, which has no p, multiplies it by the one gain
        that keeps the sum of \\|A_ij\\|.
    correct_leak : bool, optional
        As in `prune_by_probability`.

    Returns
    -------
    scipy.sparse.csr_array, shape (n, n), 1/s

    Raises
    ------
    ParameterError
        For an unknown method, a matrix without synapses, or, with ``noise``, one that is not
        Hurwitz.
    BudgetError
        For a density out of range, or below one synapse.
    """
    if method not in METHODS:
        raise ParameterError("method", " or ".join(map(repr, METHODS)), method)
    if method == "noise":
        p = noise_probabilities(a, density, noise=noise)
        return prune_by_probability(a, p, rng, rescale=rescale, correct_leak=correct_leak)
    system = square_matrix(a, "a")
    row, col, value = _synapses(system)
    size = np.abs(value)
    count = _count(density, size.size)
    if method == "largest":
        best = np.lexsort((rng.random(size.size), -size))[:count]
        gain = size.sum() / size[best].sum() if rescale else 1.0
        return _assembled(system, row[best], col[best], gain * value[best], correct_leak)
    share = keep_probabilities(size if method == "weight" else np.ones(size.size), count)
    p = _placed(system, row, col, share)
    return prune_by_probability(a, p, rng, rescale=rescale, correct_leak=correct_leak)


@dataclass(frozen=True)
class SpectralDistance:
    """How far the dynamics of one linear network is from another's; relative, 0 where equal.

    Attributes
    ----------
    eigenvalue_mean, eigenvalue_max : float
        Of \\|mu_k - lambda_k\\| / \\|lambda_k\\| over all matched eigenvalues.
    leading_mean : float
        The mean over the leading ones alone, those of largest real part, so of slowest decay.
    quadratic_mean, quadratic_max : float or None
        Of \\|v_k' B v_k / lambda_k - 1\\| over the eigenvectors v_k of a symmetric A.
    quadratic_worst : float or None
        The maximum of \\|x' B x / x' A x - 1\\| over all x, for a negative definite A: the epsilon
        of a spectral sparsifier.
    covariance : float or None
        \\|\\|C_B - C_A\\|\\| / \\|\\|C_A\\|\\| in the Frobenius norm; None where B is not Hurwitz.
    """

    eigenvalue_mean: float
    eigenvalue_max: float
    leading_mean: float
    quadratic_mean: float | None
    quadratic_max: float | None
    quadratic_worst: float | None
    covariance: float | None


def _matched(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    gap = np.abs(old[:, None] - new[None, :])
    row, col = optimize.linear_sum_assignment(gap)
    return gap[row, col] / np.abs(old[row])


def spectral_distance(
    a: Any, b: Any, *, leading: int | None = None, noise: Any = None
) -> SpectralDistance:
    """Distance of a pruned linear network from the one it came from.

    Parameters
    ----------
    a, b : array_like or sparse array, shape (n, n), 1/s
        A before and B after, A Hurwitz.
    leading : int, optional
        Number of leading eigenvalues; a tenth of n, rounded up, by default.
    noise : array_like, shape (n,) or (n, n), optional
        Intensity of the white noise that drives both; the identity by default.

    Returns
    -------
    SpectralDistance

    Raises
    ------
    ParameterError
        For matrices of different shapes, an A that is not Hurwitz, or a number out of range.

    Notes
    -----
    Real spectra are matched in order, others by the assignment of least total distance in the
    complex plane; the leading ones of A are matched with those of B alone. Every -A' = -B
    within (1 +- epsilon) of -A has its sorted eigenvalues within the same factors.
    """
    before, after = square_matrix(a, "a"), square_matrix(b, "b")
    n = before.shape[0]
    if after.shape != before.shape:
        raise ParameterError("b", f"shape {before.shape}", f"shape {after.shape}")
    top = -(-n // 10) if leading is None else leading
    if not 1 <= top <= n:
        raise ParameterError("leading", f"1 to {n}", leading)
    q = _noise(noise, n)
    c = covariance(before, q)  # refuses an A that is not Hurwitz, so no lambda is 0
    old_matrix, new_matrix = before.toarray(), after.toarray()
    forms: tuple[float | None, float | None, float | None] = (None, None, None)
    if _is_symmetric(before) and _is_symmetric(after):
        old, v = linalg.eigh(old_matrix)
        new = linalg.eigvalsh(new_matrix)
        off = np.abs(old - new) / np.abs(old)
        lead = off[-top:]
        form = np.abs(np.einsum("ik,ik->k", v, new_matrix @ v) / old - 1.0)
        half = v / np.sqrt(-old)
        worst = np.abs(linalg.eigvalsh(half.T @ -new_matrix @ half) - 1.0)
        forms = (float(form.mean()), float(form.max()), float(worst.max()))
    else:
        old, new = linalg.eigvals(old_matrix), linalg.eigvals(new_matrix)
        off = _matched(old, new)
        lead = _matched(*(x[np.argsort(-x.real, kind="stable")[:top]] for x in (old, new)))
    change = None
    if float(new.real.max()) < 0.0:
        change = float(np.linalg.norm(covariance(after, q) - c) / np.linalg.norm(c))
    return SpectralDistance(float(off.mean()), float(off.max()), float(lead.mean()), *forms, change)
