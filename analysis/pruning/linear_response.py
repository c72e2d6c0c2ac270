"""The linear noise-driven network dx/dt = A x + noise: its covariance, and its stability."""

from __future__ import annotations

import math
import warnings
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from scipy import linalg, sparse

from analysis.pruning.doubling import corrected
from analysis.pruning.stability import (
    calibrated_scale,
    hurwitz_scale,
    is_hurwitz,
    spectral_abscissa,
    square_matrix,
    system_matrix,
)
from models_eq.errors import ConvergenceError, ParameterError

__all__ = [
    "calibrated_covariance",
    "calibrated_scale",
    "covariance",
    "hurwitz_scale",
    "is_hurwitz",
    "spectral_abscissa",
    "system_matrix",
]

# From this size on single precision, corrected in double, is the faster way.
_LARGE = 1000


def covariance(
    a: Any,
    q: Any,
    *,
    method: Literal["auto", "mixed", "smith", "scipy"] = "auto",
    rtol: float = 1e-8,
    max_iter: int = 60,
) -> np.ndarray:
    """Stationary covariance C of dx/dt = A x + noise, from A C + C A' = -Q.

    Parameters
    ----------
    a : array_like or sparse array, shape (n, n), 1/s
        A, Hurwitz.
    q : array_like, shape (n,) or (n, n)
        Intensity of the white noise, symmetric; a vector is a diagonal.
    method : {'auto', 'mixed', 'smith', 'scipy'}, optional
        ``smith``: the squared Smith iteration, all in matrix products. ``mixed``: doubling in
        single precision, corrected in double (:mod:`analysis.pruning.doubling`), for large n.
        ``scipy``: Bartels and Stewart's ``solve_continuous_lyapunov``, the reference, several
        times slower from n = 1000. ``auto``: ``smith`` up to n = 1000; above, ``mixed``, and
        ``smith`` where single precision will not do.
    rtol : float, optional
        Bound on the residual ||A C + C A' + Q|| / ||Q|| (Frobenius norms).
    max_iter : int, optional
        Bound on the number of doublings.

    Returns
    -------
    ndarray, shape (n, n)
        Symmetric.

    Raises
    ------
    ParameterError
        If A is not Hurwitz (the abscissa is named), or for wrong shapes.
    ConvergenceError
        If the residual stays above `rtol`; ``partial`` holds the last C.

    Notes
    -----
    With a shift p > 0, M = (A - p I)^-1 and F = I + 2 p M the equation becomes
    C = F C F' + 2 p M Q M', summed by doubling: C <- C + F C F', F <- F F [1]_. Each doubling
    is three products; their number grows like the logarithm of the condition.

    References
    ----------
    .. [1] R. A. Smith, Matrix equation XA + BX = C, SIAM J. Appl. Math. 16 (1968).
       https://doi.org/10.1137/0116017
    """
    system = square_matrix(a, "a")
    n = system.shape[0]
    noise = np.asarray(q.toarray() if sparse.issparse(q) else q, dtype=float)
    if noise.shape not in ((n,), (n, n)):
        raise ParameterError("q", f"shape ({n},) or ({n}, {n})", f"shape {noise.shape}")
    if not np.isfinite(noise).all():
        raise ParameterError("q", "finite entries", "an infinite or undefined one")
    if noise.ndim == 2 and not np.allclose(noise, noise.T, rtol=1e-10, atol=0.0):
        raise ParameterError("q", "a symmetric matrix", "an asymmetric one")
    if method not in ("auto", "mixed", "smith", "scipy"):
        raise ParameterError("method", "'auto', 'mixed', 'smith' or 'scipy'", method)
    size = float(np.linalg.norm(noise))
    if size > 0.0 and (method == "mixed" or (method == "auto" and n > _LARGE)):
        found = _mixed(system, noise, rtol, required=method == "mixed")
        if found is not None:
            return found
    abscissa = _stable_abscissa(system)
    if size == 0.0:
        return np.zeros((n, n))
    if method == "scipy":
        full = np.diag(noise) if noise.ndim == 1 else noise
        c = linalg.solve_continuous_lyapunov(system.toarray(), -full)
    else:
        c = _smith(system, noise, abscissa, max_iter)
    c = (c + c.T) / 2
    left = system @ c
    left += left.T
    if noise.ndim == 1:
        left[np.diag_indices(n)] += noise
    else:
        left += noise
    residual = float(np.linalg.norm(left)) / size
    # The comparison is written so that a residual of NaN fails it.
    if not residual <= rtol:
        raise ConvergenceError(
            "covariance",
            f"a relative residual of at most {rtol:g}",
            f"{residual:.3g} (spectral abscissa {abscissa:+.4g} 1/s)",
            "A system this close to instability has no usable covariance; lower the scale.",
            partial=c,
        )
    return c


def _stable_abscissa(system: sparse.csr_array) -> float:
    abscissa = spectral_abscissa(system)
    if abscissa >= 0.0:
        raise ParameterError(
            "a",
            "a Hurwitz matrix",
            f"spectral abscissa {abscissa:+.6g} 1/s",
            "Scale the coupling by hurwitz_scale(tau, coupling) or less.",
        )
    return abscissa


def _mixed(
    system: sparse.csr_array, noise: np.ndarray, rtol: float, *, required: bool
) -> np.ndarray | None:
    """Covariance with single precision at its heart, or None where that is not enough."""
    partial = None
    try:
        c, residual, certain = corrected(system, noise, rtol)
        if residual <= rtol:
            if not certain:
                _stable_abscissa(system)
            return c
        partial, got = c, f"{residual:.3g}"
    except ArithmeticError as error:
        got = str(error)
    abscissa = _stable_abscissa(system)
    if not required:
        return None
    raise ConvergenceError(
        "covariance",
        f"a relative residual of at most {rtol:g} from single precision with corrections",
        f"{got} (spectral abscissa {abscissa:+.4g} 1/s)",
        "Use method='smith', all in double precision.",
        partial=partial,
    )


def calibrated_covariance(tau: Any, coupling: Any) -> tuple[np.ndarray, float]:
    """Covariance of the linear network at the calibrated scale, driven by noise of Q = 2 D.

    Parameters
    ----------
    tau : array_like, scalar or shape (n,), s
    coupling : array_like or sparse array, shape (n, n), 1/s
        L in (post, pre) order.

    Returns
    -------
    covariance : ndarray, shape (n, n)
    scale : float
        The s that it belongs to.

    Raises
    ------
    ConvergenceError
        If no scale down to a millionth of the calibrated one has a covariance.

    Notes
    -----
    Where few weak cycles bound the stable scale, long feed-forward chains of strong couplings
    amplify the noise by so many orders of magnitude that no solver gets a covariance with any
    digit right. Then s is halved until there is one.
    """
    scale = float(calibrated_scale(tau, coupling))
    noise = np.broadcast_to(2.0 / np.asarray(tau, dtype=float), (np.shape(coupling)[0],))
    for halving in range(21):
        s = scale * 0.5**halving
        with suppress(ConvergenceError):
            return covariance(system_matrix(tau, coupling, s), noise), s
    raise ConvergenceError(
        "covariance",
        "a linear model whose covariance can be computed",
        f"none at scales from {scale:.3g} down to {s:.3g}",
    )


def _smith(
    system: sparse.csr_array, noise: np.ndarray, abscissa: float, max_iter: int
) -> np.ndarray:
    n = system.shape[0]
    # For a real spectrum in [-b, -a] the shift sqrt(a b) contracts fastest.
    fastest = float(np.abs(system).sum(axis=1).max())
    shift = math.sqrt(-abscissa * max(fastest, -abscissa))
    with warnings.catch_warnings():
        # What matters of the condition is the residual, which is looked at in the end.
        warnings.simplefilter("ignore", linalg.LinAlgWarning)
        inverse = linalg.inv(system.toarray() - shift * np.eye(n), overwrite_a=True)
    weighted = inverse * noise if noise.ndim == 1 else inverse @ noise
    c = 2 * shift * (weighted @ inverse.T)
    f = inverse
    f *= 2 * shift
    f[np.diag_indices(n)] += 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(max_iter):
            step = f @ c @ f.T
            c += step
            change, total = float(np.linalg.norm(step)), float(np.linalg.norm(c))
            # Each relative change is about the square of the one before it.
            if not change > 1e-10 * total:
                break
            f = f @ f
    return c
