"""Linear readouts: ridge for numbers, ridge or logistic for labels, as scikit-learn estimators.

Two estimators, because scikit-learn keeps regressors and classifiers apart: ``LinearReadout``
(numbers) and ``LinearClassifier`` (labels), with the same settings. ``LinearReadout`` is what a
user passes around; whoever has the targets asks it for the estimator that fits them::

    estimator = readout.for_targets(y)       # labels give a LinearClassifier
    estimator.fit(X, y, X_val, y_val).predict(X_test)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import special
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from analysis.readout._paths import (
    LOGISTIC_STEPS,
    LogisticPath,
    Pair,
    RidgePath,
    decide,
    is_labels,
    penalties,
)
from models_eq.errors import ConvergenceError, ParameterError

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-7, 2, 10))
KINDS = ("ridge", "logistic")


def _check_settings(estimator: Any) -> list[float]:
    if estimator.kind not in KINDS:
        raise ParameterError("kind", " or ".join(KINDS), estimator.kind)
    if isinstance(estimator.cv, bool) or not isinstance(estimator.cv, (int, np.integer)):
        raise ParameterError("cv", "a whole number of folds", estimator.cv)
    if estimator.cv < 2:
        raise ParameterError("cv", "at least 2 folds", estimator.cv)
    return penalties(estimator.alphas)


def _validation(estimator: Any, y: np.ndarray, X_val: Any, y_val: Any) -> Pair | None:
    if X_val is None and y_val is None:
        return None
    if X_val is None or y_val is None:
        raise ParameterError("X_val, y_val", "both or neither", "one of the two")
    X_val = validate_data(estimator, X_val, reset=False, dtype=np.float64)
    numbers = isinstance(estimator, RegressorMixin)
    y_val = check_array(y_val, ensure_2d=False, dtype=np.float64 if numbers else None)
    if y_val.shape != (len(X_val), *y.shape[1:]):
        raise ParameterError("y_val", f"shape {(len(X_val), *y.shape[1:])}", f"{y_val.shape}")
    return X_val, y_val


def _folds(fold: np.ndarray) -> Iterator[Pair]:
    """(training, validation) masks; fold -1 is never left out."""
    for k in range(int(fold.max()) + 1):
        yield fold != k, fold == k


class _Linear(BaseEstimator):
    """The settings both estimators share."""

    def __init__(
        self,
        kind: str = "ridge",
        alphas: Sequence[float] = ALPHAS,
        cv: int = 5,
        standardise: bool = False,
        refit: bool = False,
    ) -> None:
        self.kind = kind
        self.alphas = alphas
        self.cv = cv
        self.standardise = standardise
        self.refit = refit

    def for_targets(self, y: Any) -> LinearReadout | LinearClassifier:
        """An unfitted estimator with these settings for targets like ``y``.

        Integers, booleans and text are labels (LinearClassifier); floating-point numbers are
        not (LinearReadout).

        Raises
        ------
        ParameterError
            For targets that are neither.
        """
        kind = LinearClassifier if is_labels(y) else LinearReadout
        return kind(**self.get_params())


class LinearReadout(MultiOutputMixin, RegressorMixin, _Linear):
    """Ridge readout of real-valued targets, its penalty chosen on data it was not fitted to.

    Parameters
    ----------
    kind : {'ridge', 'logistic'}
        What ``for_targets`` makes of labels. Numbers need ``'ridge'``.
    alphas : sequence of float
        Candidate penalties, relative to rows times the mean variance of the (varying) features,
        so that neither the length of a recording nor the unit of its features matters.
    cv : int
        Folds inside the training data where ``fit`` gets no validation pair: contiguous blocks
        in the order of the rows (neighbouring rows of a series are alike; shuffled folds would
        flatter), stratified for labels.
    standardise : bool
        Divide each feature by its own standard deviation (otherwise all by a common one). Off
        by default: a neuron that hardly spikes in the training part has a tiny deviation, and
        its first spike in the test part would be blown up a billionfold.
    refit : bool
        With a validation pair: fit again on both parts once the penalty is chosen.

    Attributes
    ----------
    alpha_ : float
        The penalty chosen; of equals, the largest.
    validation_error_ : float
        NRMSE of that penalty on the validation pair or over all folds, in standard deviations of
        the training targets.
    coef_ : ndarray, shape (features,) or (outputs, features)
        For the raw features; 0 for a feature that is constant in training.
    intercept_ : float or ndarray, shape (outputs,)
    n_features_in_ : int

    Notes
    -----
    Minimises ``|Y - Z B|^2 + alpha n |B|^2``, Z the centred and standardised features, for all
    penalties from one eigendecomposition: about ``n p^2 + 9 p^3`` operations, a second or less for
    3000 rows of 1000 features. One penalty serves all outputs.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> readout = LinearReadout().fit(X[:60], X[:60, 0], X[60:], X[60:, 0])
    >>> readout.alpha_
    1e-07
    >>> LinearReadout(cv=3).for_targets(["a", "b"])
    LinearClassifier(cv=3)
    """

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> LinearReadout:
        """Choose the penalty and fit.

        Parameters
        ----------
        X : array_like, shape (rows, features)
        y : array_like, shape (rows,) or (rows, outputs)
        X_val, y_val : array_like, optional
            Validation pair. Without it the penalty is chosen by folds of ``X``.

        Raises
        ------
        ParameterError
            For bad settings or half a validation pair.
        ValueError
            scikit-learn's own, for NaN, infinities and wrong shapes.
        """
        alphas = _check_settings(self)
        if self.kind != "ridge":
            raise ParameterError(
                "kind", "'ridge' for numbers", self.kind, "Logistic readouts are for labels"
            )
        X, y = validate_data(
            self, X, y, dtype=np.float64, multi_output=True, y_numeric=True, ensure_min_samples=2
        )
        y = np.asarray(y, dtype=float)
        pair = _validation(self, y, X_val, y_val)
        Y = y.reshape(len(y), -1)
        variance = Y.var(axis=0)
        variance[variance == 0] = 1.0

        def squared(model: RidgePath, X_out: np.ndarray, Y_out: np.ndarray) -> np.ndarray:
            each = [(p - Y_out) ** 2 / variance for p in model.predictions(X_out, alphas)]
            return np.array([e.mean(axis=1).sum() for e in each])

        model = None
        if pair is not None:
            Y_val = pair[1].reshape(len(pair[1]), -1)
            model = RidgePath(X, Y, self.standardise, alphas[-1])
            errors = squared(model, pair[0], Y_val) / len(Y_val)
            if self.refit:
                X, Y, model = np.vstack([X, pair[0]]), np.vstack([Y, Y_val]), None
        else:
            errors = np.zeros(len(alphas))
            n_folds = min(self.cv, len(X))
            for inside, outside in _folds(np.arange(len(X)) * n_folds // len(X)):
                fold = RidgePath(X[inside], Y[inside], self.standardise, alphas[-1])
                errors += squared(fold, X[outside], Y[outside]) / len(X)
        best = int(np.argmin(errors))
        self.alpha_ = alphas[best]
        self.validation_error_ = float(np.sqrt(errors[best]))
        if model is None:
            model = RidgePath(X, Y, self.standardise, self.alpha_)
        coef, intercept = model.solution(self.alpha_)
        self.coef_ = coef[:, 0] if y.ndim == 1 else coef.T
        self.intercept_ = float(intercept[0]) if y.ndim == 1 else intercept
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted targets, shape (rows,) or (rows, outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return X @ self.coef_.T + self.intercept_


class LinearClassifier(ClassifierMixin, _Linear):
    """Linear readout of labels: ridge on +-1 class indicators, or logistic regression.

    Parameters
    ----------
    kind, alphas, cv, standardise, refit
        As for :class:`LinearReadout`; the logistic loss is penalised by
        ``alpha n |B|^2 / 2``. ``'ridge'`` is much the faster.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    alpha_, n_features_in_
        As for :class:`LinearReadout`.
    validation_error_ : float
        Share of wrong labels of the chosen penalty, on the validation pair or over all folds.
    coef_ : ndarray, shape (classes, features), or (1, features) for two classes
    intercept_ : ndarray, shape (classes,) or (1,)
    """

    def _model(self, X: np.ndarray, y: np.ndarray, alphas: list[float]) -> RidgePath | LogisticPath:
        if self.kind == "logistic":
            return LogisticPath(X, y, self.standardise)
        classes = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        Y = np.where(y[:, None] == classes, 1.0, -1.0)
        return RidgePath(X, Y, self.standardise, alphas[-1])

    def _wrong(self, model: Any, X: np.ndarray, y: np.ndarray, alphas: list[float]) -> np.ndarray:
        """Number of wrong labels per penalty; infinite where the fit did not arrive."""
        if isinstance(model, RidgePath):
            scores = model.predictions(X, alphas)
            return np.array([np.sum(decide(s, self.classes_) != y) for s in scores], dtype=float)
        wrong = np.full(len(alphas), np.inf)
        for k, alpha in enumerate(alphas):
            if not model.fit(alpha):
                break  # weaker penalties are harder still
            coef, intercept, classes = model.solutions[alpha]
            wrong[k] = np.sum(decide(X @ coef + intercept, classes) != y)
        return wrong

    def _fold_numbers(self, y: np.ndarray) -> np.ndarray:
        # A class of one member is never left out: no fold could learn it.
        fold = np.full(len(y), -1)
        for label in self.classes_:
            members = np.flatnonzero(y == label)
            if len(members) > 1:
                fold[members] = np.arange(len(members)) % self.cv
        if fold.max() < 0:
            raise ParameterError(
                "y", "a class with two members", "one of each", "Pass X_val and y_val"
            )
        return fold

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> LinearClassifier:
        """Choose the penalty and fit.

        Parameters
        ----------
        X : array_like, shape (rows, features)
        y : array_like, shape (rows,)
            Labels.
        X_val, y_val : array_like, optional
            Validation pair. Without it the penalty is chosen by stratified folds of ``X``.

        Raises
        ------
        ParameterError
            For bad settings, a single class, or half a validation pair.
        ConvergenceError
            If logistic regression arrived for none of the penalties.
        ValueError
            scikit-learn's own, for NaN, infinities, wrong shapes and real-valued targets.
        """
        alphas = _check_settings(self)
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ParameterError("y", "labels of at least two classes", "one class")
        pair = _validation(self, y, X_val, y_val)
        model = None
        if pair is not None:
            model = self._model(X, y, alphas)
            errors = self._wrong(model, *pair, alphas) / len(pair[1])
            if self.refit:
                X, y, model = np.vstack([X, pair[0]]), np.concatenate([y, pair[1]]), None
                self.classes_ = np.unique(y)
        else:
            fold = self._fold_numbers(y)
            errors = np.zeros(len(alphas))
            for inside, outside in _folds(fold):
                part = self._model(X[inside], y[inside], alphas)
                errors += self._wrong(part, X[outside], y[outside], alphas) / np.sum(fold >= 0)
        best = int(np.argmin(errors))
        if model is None:
            model = self._model(X, y, alphas[: best + 1])
        alpha = alphas[best]
        if isinstance(model, LogisticPath):
            if not (np.isfinite(errors[best]) and model.fit(alpha)):
                raise ConvergenceError(
                    "alphas",
                    f"a penalty for which logistic regression arrives in {LOGISTIC_STEPS} steps",
                    self.alphas,
                    "Use larger alphas, or kind='ridge'",
                )
            coef, intercept, _ = model.solutions[alpha]
        else:
            coef, intercept = model.solution(alpha)
        self.alpha_, self.validation_error_ = alpha, float(errors[best])
        self.coef_, self.intercept_ = coef.T, intercept
        return self

    def _scores(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return X @ self.coef_.T + self.intercept_

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores, shape (rows, classes), or (rows,) for two classes (above 0: the second)."""
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """Predicted labels, shape (rows,)."""
        return decide(self._scores(X), self.classes_)

    @available_if(lambda self: self.kind == "logistic")
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, shape (rows, classes); only for ``kind='logistic'``."""
        scores = self._scores(X)
        if scores.shape[1] == 1:
            scores = np.hstack([np.zeros_like(scores), scores])
        return special.softmax(scores, axis=1)
