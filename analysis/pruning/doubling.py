"""The Lyapunov equation in matrix products: single precision, corrected in double."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import numpy as np
from scipy import linalg, sparse

# Above this share of entries a dense product is faster than a sparse one.
_DENSE_SHARE = 0.03
# Newton's steps even out the time scales; from here on squaring is cheaper and as fast.
_EVEN = 0.3
_STEPS = 12
_DOUBLINGS = 14
_CORRECTIONS = 6
# A doubling squares the relative change: this one leaves some 1e-5, about what the rounding of
# float32 does, and one correction then gives ten digits.
_CHANGE = 1e-2
_BLOCKS = 4


class Doubling:
    """Approximate inverse of C -> -(A C + C A') in single precision, to be used repeatedly.

    Parameters
    ----------
    a : ndarray of float32, shape (n, n), 1/s
        A, Hurwitz.

    Raises
    ------
    ArithmeticError
        If A turns out not to be Hurwitz, or so close to it that single precision will not do.

    Notes
    -----
    Newton's iteration for the matrix sign, A <- (c A + (c A)^-1)/2 [1]_, keeps C if
    Q <- (c Q + A^-1 Q A^-T / c)/2, and with c = sqrt(||A^-1|| / ||A||) two or three steps bring
    a spectrum that spans a factor of 50 close to -1. Then, with B = (A - I)^-1 and F = I + 2 B,
    C = 2 B Q B' + F C F' is summed by doubling: C <- C + F C F', F <- F F [2]_.

    References
    ----------
    .. [1] J. D. Roberts, Linear model reduction and solution of the algebraic Riccati equation by
       use of the sign function, Int. J. Control 32 (1980).
       https://doi.org/10.1080/00207178008922881
    .. [2] R. A. Smith, Matrix equation XA + BX = C, SIAM J. Appl. Math. 16 (1968).
       https://doi.org/10.1137/0116017
    """

    @np.errstate(over="ignore", invalid="ignore")
    def __init__(self, a: np.ndarray) -> None:
        one = np.arange(a.shape[0])
        self.newton: list[tuple[np.float32, np.ndarray]] = []
        for _ in range(_STEPS):
            inverse = _inverse(a)
            c = np.float32(math.sqrt(float(np.linalg.norm(inverse) / np.linalg.norm(a))))
            self.newton.append((c, inverse))
            a = a * (c / 2)
            a += inverse * (1 / (2 * c))
            a[one, one] += 1.0
            distance = float(np.linalg.norm(a)) / math.sqrt(one.size)
            a[one, one] -= 1.0
            if not math.isfinite(distance):
                raise ArithmeticError("the matrix sign does not exist")
            if distance < _EVEN:
                break
        else:
            raise ArithmeticError("the matrix sign does not converge to -1")
        a[one, one] -= 1.0
        self.start = _inverse(a)
        f = 2 * self.start
        f[one, one] += 1.0
        self.powers = [f]

    @property
    def certain(self) -> bool:
        """Whether the powers computed so far prove that A is Hurwitz: ||F^(2^k)|| < 1."""
        return bool(np.linalg.norm(self.powers[-1]) < 1.0)

    @np.errstate(over="ignore", invalid="ignore")
    def __call__(self, q: np.ndarray) -> np.ndarray:
        """C for a right-hand side, with a relative error of about 1e-5.

        Parameters
        ----------
        q : ndarray of float32, shape (n,) or (n, n)
            Symmetric; a vector is a diagonal.

        Returns
        -------
        ndarray of float32, shape (n, n)

        Raises
        ------
        ArithmeticError
            If doubling does not converge: A is not Hurwitz, or hardly.
        """
        for c, inverse in self.newton:
            step = congruence(inverse, q)
            step *= 1 / (2 * c)
            if q.ndim == 1:
                step[np.diag_indices_from(step)] += (c / 2) * q
            else:
                step += (c / 2) * q
            q = step
        solution = 2 * congruence(self.start, q)
        del q
        for k in range(_DOUBLINGS):
            if k == len(self.powers):
                self.powers.append(self.powers[-1] @ self.powers[-1])
            step = congruence(self.powers[k], solution)
            solution += step
            change = float(np.linalg.norm(step) / np.linalg.norm(solution))
            if not math.isfinite(change):
                break
            if change <= _CHANGE:
                return solution
        raise ArithmeticError("doubling does not converge")


def _inverse(a: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        # What matters of the condition is the residual, which is looked at in the end.
        warnings.simplefilter("ignore", linalg.LinAlgWarning)
        try:
            return np.ascontiguousarray(linalg.inv(a, check_finite=False))
        except linalg.LinAlgError:
            raise ArithmeticError("a singular matrix") from None


def congruence(b: np.ndarray, x: np.ndarray) -> np.ndarray:
    """B X B' for a symmetric X (or a diagonal, given as a vector), of which half is computed.

    Parameters
    ----------
    b : ndarray, shape (n, n)
    x : ndarray, shape (n,) or (n, n)

    Returns
    -------
    ndarray, shape (n, n)
    """
    if x.ndim == 1 and (x >= 0).all():
        root = b * np.sqrt(x)
        return root @ root.T  # a product that NumPy hands to syrk: half the operations
    n = b.shape[0]
    left = b * x if x.ndim == 1 else b @ x
    out = np.empty_like(left)
    edges = np.linspace(0, n, _BLOCKS + 1).astype(int)
    for start, stop in pairwise(edges):
        np.matmul(left[start:stop], b[:stop].T, out=out[start:stop, :stop])
        out[:start, start:stop] = out[start:stop, :start].T
    return out


@np.errstate(over="ignore", invalid="ignore")
def corrected(
    system: sparse.csr_array, noise: np.ndarray, rtol: float
) -> tuple[np.ndarray, float, bool]:
    """Solve A C + C A' = -Q in single precision and correct it in double.

    Parameters
    ----------
    system : scipy.sparse.csr_array, shape (n, n), 1/s
        A, Hurwitz.
    noise : ndarray, shape (n,) or (n, n)
        Q, symmetric and not 0; a vector is a diagonal.
    rtol : float
        Corrections go on until the relative residual is below.

    Returns
    -------
    covariance : ndarray, shape (n, n)
        Symmetric.
    residual : float
        ||A C + C A' + Q|| / ||Q||, Frobenius norms; above `rtol` if corrections gain no more.
    certain : bool
        Whether the way there proves that A is Hurwitz. False is no proof that it is not.

    Raises
    ------
    ArithmeticError
        If A is not Hurwitz, or so close to it that single precision will not do.

    Notes
    -----
    Iterative refinement [1]_: every residual, the last one too, is computed in double precision
    from the C that is returned, and each correction gains four to five digits. Memory: some
    eight n x n matrices in single and four in double precision, 1.6 GB at n = 5000.

    References
    ----------
    .. [1] N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM (2002),
       chapter 12. https://doi.org/10.1137/1.9780898718027
    """
    size = float(np.linalg.norm(noise))
    inverse = Doubling(system.toarray().astype(np.float32))
    c = inverse((noise / size).astype(np.float32)).astype(float)
    c *= size
    c = (c + c.T) / 2
    residual = _residual(system, c, noise)
    error = float(np.linalg.norm(residual)) / size
    for _ in range(_CORRECTIONS):
        if not error > rtol:
            break
        scale = error * size
        step = inverse((residual / scale).astype(np.float32))
        better = scale / 2 * (step + step.T).astype(float)
        del step
        better += c
        residual = _residual(system, better, noise)
        left_over = float(np.linalg.norm(residual)) / size
        if not left_over < error:
            break
        c, error = better, left_over
    return c, error, inverse.certain


def _residual(system: sparse.csr_array, c: np.ndarray, noise: np.ndarray) -> np.ndarray:
    dense = system.nnz > _DENSE_SHARE * c.size
    left = np.asarray((system.toarray() if dense else system) @ c)
    residual = left + left.T
    if noise.ndim == 1:
        residual[np.diag_indices_from(residual)] += noise
    else:
        residual += noise
    return residual
