"""Paths of linear solutions over many penalties, from one factorisation or one warm start."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from models_eq.errors import ParameterError

# The Gram matrix squares the condition number: below this penalty, relative to its largest
# eigenvalue, more than six digits would be lost and the slower SVD of X itself is taken.
_GRAM_FLOOR = 1e-10
LOGISTIC_STEPS = 2000

Pair = tuple[np.ndarray, np.ndarray]


def scaling(X: np.ndarray, standardise: bool) -> Pair:
    """Mean and divisor per feature; infinite for a constant one, whose coefficient is then 0."""
    mean, sd = X.mean(axis=0), X.std(axis=0)
    constant = sd <= 1e-12 * np.abs(X).max(axis=0)
    scale = np.where(constant, np.inf, sd)
    if not standardise and not constant.all():
        scale[~constant] = np.sqrt(np.mean(sd[~constant] ** 2))
    return mean, scale


def penalties(values: Any) -> list[float]:
    """Penalties from strong to weak, so that the first of several equals is the simplest."""
    try:
        array = np.atleast_1d(np.asarray(values, dtype=float))
    except (TypeError, ValueError):
        raise ParameterError("alphas", "a sequence of numbers", values) from None
    if array.ndim != 1 or array.size == 0 or not (np.isfinite(array) & (array > 0)).all():
        raise ParameterError("alphas", "at least one number, all finite and above 0", values)
    return sorted({float(a) for a in array}, reverse=True)


class RidgePath:
    """All ridge solutions of one training set from one factorisation.

    With Z the centred and scaled features, ``coef(alpha) = L [P / (ev + alpha n)]``, where
    (L, ev, P) come from the eigenvectors of Z'Z, of ZZ' (fewer rows than features), or the SVD.
    All of it through NumPy: SciPy brings a second BLAS, whose threads fight with NumPy's.
    """

    def __init__(self, X: np.ndarray, Y: np.ndarray, standardise: bool, smallest: float) -> None:
        self.mean, self.scale = scaling(X, standardise)
        self.y_mean = Y.mean(axis=0)
        self.n = len(X)
        Z = (X - self.mean) / self.scale
        Yc = Y - self.y_mean
        tall = Z.shape[0] >= Z.shape[1]
        ev, Q = np.linalg.eigh(Z.T @ Z if tall else Z @ Z.T)
        if smallest * self.n >= _GRAM_FLOOR * ev[-1]:
            self.ev = np.maximum(ev, 0.0)
            self.left = Q if tall else Z.T @ Q
            self.proj = Q.T @ (Z.T @ Yc) if tall else Q.T @ Yc
        else:
            U, s, Vt = np.linalg.svd(Z, full_matrices=False)
            self.ev, self.left, self.proj = s**2, Vt.T, s[:, None] * (U.T @ Yc)

    def _inner(self, alpha: float) -> np.ndarray:
        return self.proj / (self.ev + alpha * self.n)[:, None]

    def predictions(self, X: np.ndarray, alphas: Sequence[float]) -> Iterator[np.ndarray]:
        reduced = ((X - self.mean) / self.scale) @ self.left
        for alpha in alphas:
            yield reduced @ self._inner(alpha) + self.y_mean

    def solution(self, alpha: float) -> Pair:
        """Coefficients (features, outputs) and intercepts (outputs,) for the raw features."""
        coef = (self.left @ self._inner(alpha)) / self.scale[:, None]
        return coef, self.y_mean - self.mean @ coef


class LogisticPath:
    """Logistic regressions of one training set, from the strongest penalty to the weakest."""

    def __init__(self, X: np.ndarray, y: np.ndarray, standardise: bool) -> None:
        self.mean, self.scale = scaling(X, standardise)
        self.Z, self.y = (X - self.mean) / self.scale, y
        self.solutions: dict[float, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self.model = LogisticRegression(max_iter=LOGISTIC_STEPS, warm_start=True)

    def fit(self, alpha: float) -> bool:
        """Fit one penalty; False where the optimiser did not arrive."""
        if alpha not in self.solutions:
            self.model.set_params(C=1 / (alpha * len(self.Z)))
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                try:
                    self.model.fit(self.Z, self.y)
                except ConvergenceWarning:
                    return False
            coef = self.model.coef_.T / self.scale[:, None]
            intercept = self.model.intercept_ - self.mean @ coef
            self.solutions[alpha] = coef, intercept, self.model.classes_
        return True


def decide(scores: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Labels of the highest scores; one column of scores stands for the second of two."""
    if scores.shape[1] == 1:
        return classes[(scores[:, 0] > 0).astype(int)]
    return classes[scores.argmax(axis=1)]


def is_labels(y: Any) -> bool:
    """True for integers, booleans and text, False for floating-point numbers.

    Raises
    ------
    ParameterError
        For anything else.
    """
    kind = np.asarray(y).dtype.kind
    if kind in "iubUS" or (kind == "O" and all(isinstance(v, str) for v in np.ravel(y))):
        return True
    if kind == "f":
        return False
    raise ParameterError("y", "numbers, or labels (integers or text)", str(np.asarray(y).dtype))
