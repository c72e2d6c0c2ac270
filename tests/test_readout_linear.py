"""Linear readouts: scikit-learn's own checks, its own solutions, and who sees which data."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from analysis.metrics import nrmse
from analysis.readout import LinearClassifier, LinearReadout
from models_eq.errors import ConvergenceError, ParameterError


@parametrize_with_checks(
    [LinearReadout(), LinearClassifier(), LinearClassifier(kind="logistic", alphas=(0.01,), cv=2)]
)
def test_scikit_learn_conformance(estimator, check):
    check(estimator)
    assert not hasattr(estimator, "alpha_")  # checks work on clones


def regression(n=120, p=30, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(rng.normal(0, 10, p), np.exp(rng.normal(0, 2, p)), (n, p))
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    Y = standard @ rng.normal(size=(p, d)) / np.sqrt(p) + rng.normal(0, 0.5, (n, d)) + 4.0
    return X, Y


def blobs(n=300, p=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(classes, p))[y] * 1.5 + rng.normal(size=(n, p)), y


def by_scikit_learn(X, Y, alpha, standardise=True):
    scaler = StandardScaler(with_std=standardise).fit(X)
    ridge = Ridge(alpha=alpha * len(X) * (1 if standardise else X.var(axis=0).mean()))
    ridge.fit(scaler.transform(X), Y)
    coef = ridge.coef_ / (scaler.scale_ if standardise else 1.0)
    return coef, ridge.intercept_ - coef @ scaler.mean_


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("alpha", [1e-8, 1e-3, 1.0, 100.0])
@pytest.mark.parametrize(("n", "p"), [(120, 30), (20, 50)])
def test_ridge_equals_scikit_learn(n, p, alpha, standardise):
    X, Y = regression(n, p)
    fitted = LinearReadout(alphas=[alpha], standardise=standardise).fit(X, Y)
    coef, intercept = by_scikit_learn(X, Y, alpha, standardise)
    np.testing.assert_allclose(fitted.coef_, coef, rtol=1e-6, atol=1e-6 * np.abs(coef).max())
    np.testing.assert_allclose(fitted.intercept_, intercept, rtol=1e-6, atol=1e-6)
    single = LinearReadout(alphas=[alpha], standardise=standardise).fit(X, Y[:, 1])
    assert single.coef_.shape == (p,) and isinstance(single.intercept_, float)
    np.testing.assert_allclose(single.predict(X), fitted.predict(X)[:, 1], rtol=1e-9)


def test_tiny_penalties_on_collinear_features_keep_their_accuracy():
    # Samples of a smooth curve are collinear: its normal equations reach no better than 1e-5.
    t = np.linspace(0, 20, 500)
    X = np.column_stack([np.sin(t + 0.01 * k) + 0.1 * np.cos(3 * t + 0.03 * k) for k in range(8)])
    y = np.sin(t + 0.2) + 0.1 * np.cos(3 * t + 0.6)
    fitted = LinearReadout(alphas=[1e-20]).fit(X, y)
    assert nrmse(y, fitted.predict(X)) < 1e-10


def test_penalties_do_not_depend_on_units_or_length():
    X, Y = regression()
    unit = np.exp(np.random.default_rng(5).normal(0, 5, X.shape[1]))
    split = X[:80], Y[:80], X[80:], Y[80:]
    plain = LinearReadout(standardise=True).fit(*split)
    other = LinearReadout(standardise=True).fit(X[:80] * unit, Y[:80], X[80:] * unit, Y[80:])
    assert other.alpha_ == plain.alpha_
    np.testing.assert_allclose(other.predict(X * unit), plain.predict(X), rtol=1e-8)
    twice = LinearReadout(alphas=[0.1]).fit(np.vstack([X, X]), np.vstack([Y, Y]))
    np.testing.assert_allclose(twice.coef_, LinearReadout(alphas=[0.1]).fit(X, Y).coef_, rtol=1e-8)


def test_the_penalty_is_the_best_of_the_validation_pair_and_nothing_else_is_taken_from_it():
    X, Y = regression(n=90, p=60)
    alphas = (1e-4, 1e-2, 0.1, 1.0, 10.0)
    fitted = LinearReadout(standardise=True, alphas=alphas).fit(X[:60], Y[:60], X[60:], Y[60:])
    scale = Y[:60].std(axis=0)
    errors = []
    for alpha in alphas:
        coef, intercept = by_scikit_learn(X[:60], Y[:60], alpha)
        errors.append(nrmse(Y[60:], X[60:] @ coef.T + intercept, scale=scale))
    assert fitted.alpha_ == alphas[int(np.argmin(errors))]
    assert 0 < int(np.argmin(errors)) < len(alphas) - 1, "the test needs an inner optimum"
    assert fitted.validation_error_ == pytest.approx(min(errors), rel=1e-6)
    alone = LinearReadout(standardise=True, alphas=[fitted.alpha_]).fit(X[:60], Y[:60])
    np.testing.assert_allclose(fitted.coef_, alone.coef_, rtol=1e-8)
    both = LinearReadout(standardise=True, alphas=alphas, refit=True).fit(
        X[:60], Y[:60], X[60:], Y[60:]
    )
    assert both.alpha_ == fitted.alpha_
    whole = LinearReadout(standardise=True, alphas=[fitted.alpha_]).fit(X, Y)
    np.testing.assert_allclose(both.coef_, whole.coef_, rtol=1e-8)
    assert np.abs(both.coef_ - fitted.coef_).max() > 1e-3 * np.abs(fitted.coef_).max()


def test_folds_are_blocks_in_time():
    X, Y = regression(n=100, p=10)
    fitted = LinearReadout(standardise=True, alphas=[0.1], cv=4).fit(X, Y)
    squared = []
    for inside, outside in KFold(4).split(X):
        coef, intercept = by_scikit_learn(X[inside], Y[inside], 0.1)
        squared.append((X[outside] @ coef.T + intercept - Y[outside]) ** 2 / Y.var(axis=0))
    assert fitted.validation_error_ == pytest.approx(np.sqrt(np.mean(np.vstack(squared))))


def test_a_neuron_that_wakes_up_in_the_test_part_does_not_ruin_the_prediction():
    X, Y = regression(n=200, p=10)
    X[:, 3] = 0.0
    X[0, 3] = 1e-9  # the last trace of a spike before the training part
    train, validation, test = slice(0, 120), slice(120, 160), slice(160, 200)
    X[170, 3] = 1.0
    errors = {}
    for standardise in (False, True):
        fitted = LinearReadout(standardise=standardise)
        fitted.fit(X[train], Y[train], X[validation], Y[validation])
        errors[standardise] = nrmse(Y[test], fitted.predict(X[test]))
    assert errors[False] < 1
    assert errors[True] > 1e3, "the control: dividing by a tiny deviation does ruin it"


def test_silent_features_get_no_weight_even_if_they_speak_later():
    X, Y = regression()
    X[:, 3], X[:, 4] = 0.0, 0.1
    for kind in LinearReadout(), LinearReadout(standardise=True):
        fitted = kind.fit(X, Y)
        assert (fitted.coef_[:, 3:5] == 0).all()
        louder = X.copy()
        louder[:, 3:5] += 5.0
        np.testing.assert_array_equal(fitted.predict(louder), fitted.predict(X))
    only = LinearReadout().fit(np.zeros((10, 2)), np.arange(10.0))
    np.testing.assert_allclose(only.predict(np.zeros((3, 2))), 4.5)


def test_labels_choose_the_classifier():
    readout = LinearReadout(alphas=(0.1, 1.0), cv=3, standardise=False, refit=True)
    for labels in (np.arange(3), np.array(["a", "b"]), [True, False], np.uint8([1, 2])):
        made = readout.for_targets(labels)
        assert isinstance(made, LinearClassifier)
        assert made.get_params() == readout.get_params()
    for numbers in (np.array([1.0, 2.0]), np.zeros((3, 2), dtype=np.float32)):
        made = readout.for_targets(numbers)
        assert isinstance(made, LinearReadout) and made is not readout
    assert isinstance(LinearClassifier().for_targets([1.5]), LinearReadout)
    with pytest.raises(ParameterError):
        readout.for_targets(np.array([1j]))


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_equals_scikit_learn(classes):
    X, y = blobs(classes=classes)
    scaler = StandardScaler().fit(X)
    theirs = LogisticRegression(C=1 / (0.01 * len(X)), tol=1e-6).fit(scaler.transform(X), y)
    ours = LinearClassifier(kind="logistic", alphas=[0.01], standardise=True).fit(X, y)
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(scaler.transform(X)), atol=2e-3
    )
    np.testing.assert_allclose(ours.predict_proba(X).sum(axis=1), 1.0)
    assert (ours.predict(X) == theirs.predict(scaler.transform(X))).mean() > 0.99
    assert not hasattr(LinearClassifier(), "predict_proba")


@pytest.mark.parametrize("kind", ["ridge", "logistic"])
@pytest.mark.parametrize("text", [False, True])
def test_classifier_with_validation_pair(kind, text):
    X, y = blobs()
    y = np.array(["low", "mid", "top"])[y] if text else y
    X_train, X_val, X_test = X[:150], X[150:220], X[220:]
    made = LinearClassifier(kind=kind, alphas=(1e-3, 0.1, 10.0))
    made.fit(X_train, y[:150], X_val, y[150:220])
    assert made.validation_error_ == pytest.approx(np.mean(made.predict(X_val) != y[150:220]))
    assert made.score(X_test, y[220:]) > 0.75
    assert made.decision_function(X_test).shape == (80, 3)
    alone = clone(made).set_params(alphas=(made.alpha_,)).fit(X_train, y[:150])
    np.testing.assert_allclose(made.coef_, alone.coef_, rtol=0.05, atol=0.02)
    # Negative control: labels that have nothing to do with the features.
    chance = np.random.default_rng(3).permutation(y)
    made.fit(X_train, chance[:150], X_val, chance[150:220])
    assert made.score(X_test, chance[220:]) < 0.55


def test_classes_of_one_member_do_not_break_folds():
    X, y = blobs()
    y = y.copy()
    y[0] = 7
    assert 7 in LinearClassifier().fit(X, y).classes_
    with pytest.raises(ParameterError, match="X_val"):
        LinearClassifier().fit(X[:3], [0, 1, 2])


def test_logistic_that_does_not_arrive_is_an_error(monkeypatch):
    monkeypatch.setattr("analysis.readout._paths.LOGISTIC_STEPS", 1)
    X, y = blobs()
    with pytest.raises(ConvergenceError):
        LinearClassifier(kind="logistic", alphas=[1e-6]).fit(X, y, X, y)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "lasso"},
        {"kind": "logistic"},
        {"alphas": ()},
        {"alphas": (0.0,)},
        {"alphas": (np.nan,)},
        {"alphas": "strong"},
        {"cv": 1},
        {"cv": 2.5},
        {"cv": True},
    ],
)
def test_bad_settings_are_named(settings):
    X, Y = regression(n=20, p=3)
    with pytest.raises(ParameterError) as error:
        LinearReadout(**settings).fit(X, Y)
    assert error.value.field == next(iter(settings))


def test_bad_data():
    X, Y = regression(n=20, p=3)
    broken = X.copy()
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        LinearReadout().fit(broken, Y)
    with pytest.raises(ValueError, match="NaN"):
        LinearReadout().fit(X, Y, broken, Y)
    with pytest.raises(ParameterError, match="both or neither"):
        LinearReadout().fit(X, Y, X)
    with pytest.raises(ParameterError, match="y_val"):
        LinearReadout().fit(X, Y, X, Y[:, 0])
    with pytest.raises(ValueError, match="features"):
        LinearReadout().fit(X, Y, X[:, :2], Y)
    with pytest.raises(ParameterError, match="two classes"):
        LinearClassifier().fit(X, np.zeros(20, dtype=int))


def test_large_problems_take_seconds():
    # CPU time, since the machine may be shared; one factorisation for all ten penalties.
    X = np.random.default_rng(0).normal(size=(2500, 600))
    Y = X[:, :3] + 1.0
    start = time.process_time()
    fitted = LinearReadout().fit(X[:2000], Y[:2000], X[2000:], Y[2000:])
    assert time.process_time() - start < 5.0
    assert fitted.validation_error_ < 1e-3
