"""Stability of the linear network dx/dt = A x: its matrix, abscissa and largest stable scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg, optimize, sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs, eigsh, svds

from models_eq.errors import ParameterError

# Below this size LAPACK on the dense block beats ARPACK and cannot miss an eigenvalue.
_DENSE = 300
# Above this one the search for a crossing follows the leading eigenvalue from scale to scale.
_FOLLOW = 1000
_GROWTH = 1.5
_LIMIT = 1e6


def square_matrix(matrix: Any, name: str) -> sparse.csr_array:
    """A finite square matrix of at least one row as a CSR array, or a ParameterError."""
    a = sparse.csr_array(matrix, dtype=float)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or a.shape[0] == 0:
        raise ParameterError(name, "a square matrix", f"shape {a.shape}")
    if not np.isfinite(a.data).all():
        raise ParameterError(name, "finite entries", "an infinite or undefined one")
    return a


def _time_constants(tau: Any, n: int) -> np.ndarray:
    array = np.asarray(tau, dtype=float)
    if array.ndim == 0:
        array = np.full(n, float(array))
    if array.shape != (n,):
        raise ParameterError("tau", f"a scalar or shape ({n},)", f"shape {array.shape}")
    if not (np.isfinite(array) & (array > 0)).all():
        raise ParameterError("tau", "finite time constants above 0 s", float(array.min()))
    return array


def _start(n: int) -> np.ndarray:
    # ARPACK would draw its first vector from global state; a fixed one keeps runs equal.
    return np.random.Generator(np.random.PCG64(n)).standard_normal(n)


def _within_components(a: sparse.csr_array) -> tuple[sparse.csr_array, np.ndarray]:
    """Drop entries between strongly connected components, which do not touch the spectrum."""
    _, label = csgraph.connected_components(a, directed=True, connection="strong")
    coo = a.tocoo()
    row, col = coo.coords
    inside = (label[row] == label[col]) & (coo.data != 0)
    kept = sparse.csr_array((coo.data[inside], (row[inside], col[inside])), shape=a.shape)
    return kept, label


def system_matrix(tau: Any, coupling: Any, scale: float = 1.0) -> sparse.csr_array:
    """The matrix A = -D + s L of the linear network, D = diag(1/tau).

    Parameters
    ----------
    tau : array_like, scalar or shape (n,), s
        Time constants, above 0.
    coupling : array_like or sparse array, shape (n, n), 1/s
        L in (post, pre) order.
    scale : float, optional
        s, dimensionless.

    Returns
    -------
    scipy.sparse.csr_array, shape (n, n), 1/s

    Raises
    ------
    ParameterError
        For a coupling that is not square, or time constants that are not positive.
    """
    coupled = square_matrix(coupling, "coupling")
    n = coupled.shape[0]
    if not math.isfinite(scale):
        raise ParameterError("scale", "a finite number", scale)
    leak = sparse.diags_array(1.0 / _time_constants(tau, n))
    return sparse.csr_array(scale * coupled - leak)


def spectral_abscissa(a: Any) -> float:
    """Largest real part of the eigenvalues of a matrix.

    Parameters
    ----------
    a : array_like or sparse array, shape (n, n), 1/s
        The matrix.

    Returns
    -------
    float, 1/s

    Raises
    ------
    ParameterError
        For a matrix that is not square or not finite.

    Notes
    -----
    The spectrum is the union of the spectra of the strongly connected components, so a
    feed-forward network is exact whatever its couplings. Components of up to 300 neurons go
    to LAPACK; larger ones to ARPACK, and to LAPACK where that does not converge.
    """
    inside, label = _within_components(square_matrix(a, "a"))
    diagonal = inside.diagonal()
    size = np.bincount(label)
    best = float(diagonal[size[label] == 1].max(initial=-np.inf))
    for component in np.flatnonzero(size > 1):
        member = np.flatnonzero(label == component)
        best = max(best, _block_abscissa(inside[member][:, member]))
    return best


def _block_abscissa(block: sparse.csr_array) -> float:
    n = block.shape[0]
    if n > _DENSE:
        try:
            values = eigs(
                block,
                k=6,
                which="LR",
                ncv=min(n, 60),
                tol=1e-9,
                maxiter=40 * 60,
                v0=_start(n),
                return_eigenvectors=False,
            )
            if values.size:
                return float(values.real.max())
        except ArpackError:
            pass
    return float(linalg.eigvals(block.toarray(), overwrite_a=True).real.max())


def is_hurwitz(a: Any) -> bool:
    """Whether all eigenvalues of a matrix have a negative real part.

    Parameters
    ----------
    a : array_like or sparse array, shape (n, n)
        The matrix.

    Returns
    -------
    bool
        True if the spectral abscissa is below 0.
    """
    return spectral_abscissa(a) < 0.0


def hurwitz_scale(
    tau: Any, coupling: Any, at_most: float | None = None, *, rtol: float = 1e-6
) -> float:
    """Largest s for which -D + s L is Hurwitz, up to the first crossing.

    Parameters
    ----------
    tau : array_like, scalar or shape (n,), s
        Time constants.
    coupling : array_like or sparse array, shape (n, n), 1/s
        L in (post, pre) order.
    at_most : float, optional
        Upper end of the search, above 0.
    rtol : float, optional
        Relative width to which the crossing is enclosed.

    Returns
    -------
    float
        A scale at which the matrix is Hurwitz and that lies within `rtol` of the first
        crossing; `at_most` where there is none up to there; ``inf`` where no crossing is
        found up to 1e6 times the scale that is certainly stable (feed-forward couplings
        never cross).

    Raises
    ------
    ParameterError
        For bad shapes, time constants or `at_most`.

    Notes
    -----
    Real and oscillatory crossings both count, since the abscissa of the whole spectrum is
    followed. With S = D^(-1/2) L D^(-1/2) every s below 1 / lambda_max((S + S')/2) is stable;
    from there s grows by factors of 1.5 until it is not, and the crossing inside the bracket
    is enclosed by Brent's method. A band of instability narrower than such a factor,
    with stability beyond it, could be stepped over.
    """
    if at_most is not None and not (math.isfinite(at_most) and at_most > 0):
        raise ParameterError("at_most", "a finite scale above 0", at_most)
    full = square_matrix(coupling, "coupling")
    n = full.shape[0]
    rate = 1.0 / _time_constants(tau, n)
    inside, _ = _within_components(full)
    top = _numerical_abscissa(inside, rate)
    ceiling = math.inf if at_most is None else float(at_most)
    if top <= 0.0:
        return ceiling

    leak = sparse.diags_array(rate)

    def exact(s: float) -> float:
        return spectral_abscissa(s * inside - leak)

    abscissa = exact if n <= _FOLLOW else _Follower(inside, rate, exact)
    low = 0.999 / top
    if ceiling <= low:
        return ceiling
    stop = min(ceiling, low * _LIMIT)
    while True:
        high = min(low * _GROWTH, stop)
        if abscissa(high) >= 0.0:
            break
        if high >= stop:
            return ceiling
        low = high
    s = float(optimize.brentq(abscissa, low, high, xtol=rtol * low / 4, rtol=rtol / 4))
    while s > low and exact(s) >= 0.0:
        s *= 1.0 - rtol / 2
    return max(s, low)


class _Follower:
    """Abscissa of -D + s L for one s after the other, each from the last one's eigenvectors.

    Far from 0 only the sign counts, and two digits will do. ARPACK's tolerance is relative to the
    eigenvalue, which is 0 at the crossing: the spectrum is therefore shifted by the mean rate.
    """

    def __init__(
        self, coupling: sparse.csr_array, rate: np.ndarray, exact: Callable[[float], float]
    ) -> None:
        self.coupling, self.rate, self.exact = coupling, rate, exact
        self.shift = float(rate.mean())
        self.start = _start(rate.size)

    def __call__(self, s: float) -> float:
        rough = self._leading(s, 1e-3)
        return rough if abs(rough) > 0.05 * self.shift else self._leading(s, 1e-7)

    def _leading(self, s: float, tol: float) -> float:
        n = self.rate.size
        system = LinearOperator(
            (n, n), lambda x: s * (self.coupling @ x) + (self.shift - self.rate) * x, dtype=float
        )
        try:
            values, vectors = eigs(
                system, k=2, which="LR", ncv=80, tol=tol, maxiter=60, v0=self.start
            )
        except ArpackError:
            return self.exact(s)
        # A little of everything, so that a mode that overtakes the others is not missed.
        self.start = vectors.real.sum(axis=1) + 0.01 / math.sqrt(n) * _start(n)
        return float(values.real.max()) - self.shift


def _numerical_abscissa(coupling: sparse.csr_array, rate: np.ndarray) -> float:
    if coupling.nnz == 0:
        return 0.0
    half = sparse.diags_array(1.0 / np.sqrt(rate))
    scaled = half @ coupling @ half
    symmetric = (scaled + scaled.T) / 2
    n = rate.size
    if n > _DENSE:
        try:
            top = eigsh(symmetric, k=1, which="LA", v0=_start(n), return_eigenvectors=False)
            return float(top[0])
        except ArpackError:
            pass
    return float(linalg.eigvalsh(symmetric.toarray()).max())


def calibrated_scale(tau: Any, coupling: Any, fraction: float = 0.8) -> float:
    """A fraction of the largest stable scale, the s of mode ``calibrated``.

    Parameters
    ----------
    tau : array_like, scalar or shape (n,), s
        Time constants, D = diag(1/tau).
    coupling : array_like or sparse array, shape (n, n), 1/s
        L in (post, pre) order.
    fraction : float, optional
        Above 0 and below 1.

    Returns
    -------
    float
        ``fraction`` times `hurwitz_scale`; where -D + s L is never crossed,
        ``fraction / ||D^-1 L||`` (spectral norm); `fraction` without any coupling.

    Raises
    ------
    ParameterError
        For a fraction outside (0, 1).
    """
    if not 0.0 < fraction < 1.0:
        raise ParameterError("fraction", "a number above 0 and below 1", fraction)
    s = hurwitz_scale(tau, coupling)
    if math.isfinite(s):
        return fraction * s
    matrix = square_matrix(coupling, "coupling")
    n = matrix.shape[0]
    scaled = sparse.diags_array(_time_constants(tau, n)) @ matrix
    if n > _DENSE:
        norm = float(svds(scaled, k=1, v0=_start(n), return_singular_vectors=False)[0])
    else:
        norm = float(np.linalg.norm(scaled.toarray(), 2))
    return fraction / norm if norm > 0 else fraction
