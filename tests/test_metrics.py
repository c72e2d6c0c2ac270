"""Metrics against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.metrics import accuracy, mean_and_stderr, nrmse, valid_prediction_time
from models_eq.errors import ParameterError


def test_nrmse_of_the_truth_is_zero_and_of_its_mean_is_one():
    y = np.random.default_rng(0).normal(3.0, 5.0, (200, 3))
    assert nrmse(y, y) == 0.0
    assert nrmse(y, np.broadcast_to(y.mean(axis=0), y.shape)) == pytest.approx(1.0, abs=1e-12)


def test_nrmse_is_the_root_of_the_mean_over_components():
    # Errors of one and of two standard deviations: sqrt((1 + 4) / 2).
    y = np.array([[-1.0, -10.0], [1.0, 10.0]])
    assert nrmse(y, y + [1.0, 20.0]) == pytest.approx(np.sqrt(2.5), rel=1e-14)
    # Twice the scale, half the error; the unit of a component does not matter.
    assert nrmse(y, y + [1.0, 20.0], scale=[2.0, 20.0]) == pytest.approx(np.sqrt(0.625))
    assert nrmse(y * 7, (y + [1.0, 20.0]) * 7) == pytest.approx(np.sqrt(2.5))
    assert nrmse(y[:, 0], y[:, 0] + 3, scale=1.5) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "scale"),
    [
        ([0.1, 0.1, 0.1], [1.0, 2.0, 3.0], None),
        ([[0.0, 1.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 1.0]], None),
        ([1.0, 2.0], [1.0, 2.0, 3.0], None),
        ([[1.0], [2.0]], [1.0, 2.0], None),
        ([1.0, np.nan], [1.0, 2.0], None),
        ([1.0, 2.0], [1.0, np.inf], None),
        ([], [], None),
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.0, 2.0], [1.0, 1.0]),
    ],
)
def test_nrmse_refuses(y_true, y_pred, scale):
    with pytest.raises(ParameterError):
        nrmse(y_true, y_pred, scale=scale)


def test_a_constant_target_has_an_error_once_a_scale_is_given():
    assert nrmse([1.0, 1.0], [2.0, 2.0], scale=0.5) == pytest.approx(2.0)


def test_valid_prediction_time_of_exponential_growth():
    # A circle of radius 1 has root-mean-square extent 1 and error e0 exp(lambda t).
    dt, rate = 0.001, 0.9
    t = dt * np.arange(20000)
    truth = np.column_stack([np.cos(2 * np.pi * t), np.sin(2 * np.pi * t)])
    starts = np.array([1e-4, 1e-3, 1e-2])
    error = starts[:, None] * np.exp(rate * t)
    prediction = np.stack([truth + e[:, None] * [0.6, 0.8] for e in error])
    exact = np.log(0.4 / starts)  # in Lyapunov times 1 / rate
    found = valid_prediction_time(np.stack([truth] * 3), prediction, dt, lyapunov_time=1 / rate)
    assert found.shape == (3,)
    np.testing.assert_allclose(found, exact, atol=1.1 * dt * rate)
    one = valid_prediction_time(truth, prediction[1], dt, lyapunov_time=1 / rate)
    assert isinstance(one, float) and one == pytest.approx(found[1])
    # A shift of the origin changes nothing; twice the extent allows twice the error.
    moved = valid_prediction_time(truth + 100, prediction[1] + 100, dt, lyapunov_time=1 / rate)
    assert moved == pytest.approx(one, abs=1.1 * dt * rate)
    wide = valid_prediction_time(truth, prediction[1], dt, lyapunov_time=1 / rate, scale=2.0)
    assert wide - one == pytest.approx(np.log(2), abs=2.1 * dt * rate)


def test_valid_prediction_time_at_its_ends():
    truth = np.sin(np.arange(10.0))
    assert valid_prediction_time(truth, truth, 0.5) == 5.0  # never leaves: the whole length
    assert valid_prediction_time(truth, truth + 10, 0.5) == 0.0
    diverged = truth.copy()
    diverged[3:] = np.nan
    assert valid_prediction_time(truth, diverged, 0.5) == 1.5
    # It is the first time above that counts, not a later return.
    back = truth.copy()
    back[2] += 10
    assert valid_prediction_time(truth, back, 1.0) == 2.0


@pytest.mark.parametrize(
    "change",
    [
        {"dt": 0.0},
        {"threshold": -1.0},
        {"lyapunov_time": np.inf},
        {"truth": np.ones(5)},
        {"truth": np.array([0.0, 1.0, np.nan, 0.0, 1.0])},
        {"prediction": np.zeros(4)},
    ],
)
def test_valid_prediction_time_refuses(change):
    arguments = {"truth": np.arange(5.0), "prediction": np.arange(5.0), "dt": 1.0}
    with pytest.raises(ParameterError):
        valid_prediction_time(**{**arguments, **change})


def test_accuracy():
    assert accuracy(["a", "b", "c", "d"], ["a", "b", "x", "y"]) == 0.5
    assert accuracy(np.array([1, 1, 0], dtype=np.uint8), np.array([1, 1, 1])) == pytest.approx(
        2 / 3
    )
    for bad in ([], [1, 2]), ([1, 2], [1]), ([1, 2], ["1", "2"]), ([[1]], [[1]]):
        with pytest.raises(ParameterError):
            accuracy(*bad)


def test_mean_and_stderr():
    mean, stderr = mean_and_stderr([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert stderr == pytest.approx(np.sqrt((2.25 + 0.25) * 2 / 3 / 4))
    values = np.random.default_rng(1).normal(size=(5, 3))
    mean, stderr = mean_and_stderr(values.T, axis=1)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    np.testing.assert_allclose(stderr, values.std(axis=0, ddof=1) / np.sqrt(5))
    for bad in [1.0], [1.0, np.nan], 3.0:
        with pytest.raises(ParameterError):
            mean_and_stderr(bad)
