"""Tasks: are the systems integrated rightly, is nothing leaked, do trivial predictors fit."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from analysis.metrics import nrmse
from brain_lnp import tasks
from brain_lnp.tasks import chaotic, trivial
from models_eq.errors import ParameterError, UnitError

SHORT = {"n_train": 300, "n_validation": 60, "n_test": 100, "washout": 40}


def plain_task(**change):
    rng = np.random.default_rng(0)
    given = {
        "name": "plain", "inputs": rng.normal(size=(20, 2)), "targets": rng.normal(size=20),
        "kind": "series", "hold": 0.01, "washout": 2, "n_train": 10, "n_validation": 3,
        "n_test": 5, "horizon": 1,
    }  # fmt: skip
    return tasks.Task(**{**given, **change})


def image_arguments(**change):
    given = {
        "inputs": np.ones((6, 4, 2)), "targets": np.arange(6), "kind": "images", "washout": 0,
        "n_train": 3, "n_validation": 1, "n_test": 2, "metric": "accuracy", "horizon": 0,
    }  # fmt: skip
    return {**given, **change}


# ---------------------------------------------------------------- the value


def test_task_is_frozen_and_keeps_its_own_copy():
    inputs = np.zeros((20, 2))
    task = plain_task(inputs=inputs)
    inputs[:] = 1
    assert (task.inputs == 0).all()
    with pytest.raises(ValueError):
        task.inputs[0] = 1
    with pytest.raises(ValueError):
        task.targets[0] = 1
    with pytest.raises(AttributeError):
        task.hold = 1.0
    with pytest.raises(TypeError):
        task.baselines["mine"] = 0.0
    assert repr(task) == "Task(plain, 10+3+5 rows, 2 channels)"


def test_split_is_disjoint_in_order_and_complete():
    task = plain_task()
    rows = np.arange(20)
    assert rows[task.split.train].tolist() == list(range(2, 12))
    assert rows[task.split.validation].tolist() == [12, 13, 14]
    assert rows[task.split.test].tolist() == list(range(15, 20))
    assert task.duration == pytest.approx(0.2)


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"inputs": np.zeros(20)},
        {"inputs": np.full((20, 1), np.nan)},
        {"targets": np.zeros(19)},
        {"targets": np.full(20, np.inf)},
        {"kind": "video"},
        {"metric": "r2"},
        {"n_test": 6},
        {"n_validation": 0, "n_test": 8},
        {"washout": -1},
        {"washout": 2.0},
        {"n_train": True},
        {"hold": 0.0},
        {"hold": "10 mV"},
        {"input_sd": -1.0},
        {"horizon": -1},
        {"input_seed": -1},
        {"lyapunov_time": 0.0},
        {"sample": "long"},
        {"baselines": {"persistence": "good"}},
        image_arguments(washout=1, n_train=2),
        image_arguments(targets=np.arange(6.0)),  # labels are not real numbers
        image_arguments(horizon=2),
        image_arguments(inputs=np.ones((6, 4))),
    ],
)
def test_task_refuses(change):
    with pytest.raises(ParameterError) as error:
        plain_task(**change)
    # Parts are named together, since only their sum can be wrong.
    assert any(name in error.value.field for name in change)


def test_stimulus_weights_belong_to_original_neurons():
    task = plain_task(input_sd=3.0, input_seed=4)
    weights = task.stimulus_weights(5000)
    assert weights.shape == (2, 5000)
    # Standard error of a standard deviation: 3 / sqrt(2 * 10000).
    assert weights.std() == pytest.approx(3.0, abs=5 * 3 / np.sqrt(20000))
    assert abs(weights.mean()) < 5 * 3 / 100
    np.testing.assert_array_equal(task.stimulus_weights(100), weights[:, :100])
    np.testing.assert_allclose(replace(task, input_sd=1.0).stimulus_weights(5), weights[:, :5] / 3)
    assert not np.allclose(replace(task, input_seed=5).stimulus_weights(100), weights[:, :100])
    with pytest.raises(ParameterError):
        task.stimulus_weights(0)


def test_digests_tell_stimuli_and_tasks_apart():
    task = plain_task()
    assert replace(task).digest == task.digest
    other = replace(task, targets=task.targets + 1)
    assert other.input_digest == task.input_digest and other.digest != task.digest
    for change in (
        {"inputs": task.inputs + 1},
        {"input_seed": 1},
        {"input_sd": 1.0},
        {"hold": 0.02},
    ):
        changed = replace(task, **change)
        assert changed.input_digest != task.input_digest and changed.digest != task.digest
    assert replace(task, baselines={"a": 1.0}).digest == task.digest
    again = pickle.loads(pickle.dumps(replace(task, baselines={"a": 1.0})))
    assert again.digest == task.digest and dict(again.baselines) == {"a": 1.0}


# ---------------------------------------------------------------- the systems


@pytest.mark.parametrize(
    ("field", "start"),
    [(chaotic.lorenz63_field, [1.0, 2.0, 20.0]), (chaotic.rossler_field, [1.0, 2.0, 0.5])],
)
def test_trajectories_obey_the_field(field, start):
    h = 1e-3
    u = chaotic.trajectory(field, start, h, 4001)
    # Five-point derivative: error h^4 times the fifth derivative over 30.
    slope = (u[:-4] - 8 * u[1:-3] + 8 * u[3:-1] - u[4:]) / (12 * h)
    exact = np.array([field(0.0, v) for v in u[2:-2]])
    assert np.abs(slope - exact).max() < 1e-5 * np.abs(exact).max()
    # Tighter tolerances change little, and ever less.
    tight, tighter = (chaotic.trajectory(field, start, h, 4001, rtol=r) for r in (1e-11, 1e-12))
    assert np.abs(u - tighter).max() < 1e-5
    assert np.abs(tight - tighter).max() < 0.3 * np.abs(u - tighter).max()


def test_fixed_points_stay():
    r = np.sqrt(72.0)
    for point in ([r, r, 27.0], [-r, -r, 27.0], [0.0, 0.0, 0.0]):
        np.testing.assert_allclose(
            chaotic.trajectory(chaotic.lorenz63_field, point, 0.5, 5),
            np.tile(point, (5, 1)),
            atol=1e-6,
        )
    z = (5.7 - np.sqrt(5.7**2 - 4 * 0.04)) / 0.4
    point = [0.2 * z, -z, z]
    np.testing.assert_allclose(chaotic.rossler_field(0.0, np.array(point)), 0.0, atol=1e-15)
    u = chaotic.trajectory(chaotic.rossler_field, point, 0.5, 5)
    np.testing.assert_allclose(u, np.tile(point, (5, 1)), atol=1e-6)


def test_lorenz_stays_in_its_trapping_ellipsoid():
    # x^2 + y^2 + (z - sigma - rho)^2 <= b^2 (sigma + rho)^2 / (4 (b - 1)) on the attractor.
    b, total = 8 / 3, 38.0
    u = chaotic.trajectory(chaotic.lorenz63_field, [1.0, 1.0, 25.0], 0.02, 5000)[500:]
    distance = u[:, 0] ** 2 + u[:, 1] ** 2 + (u[:, 2] - total) ** 2
    assert distance.max() <= b**2 * total**2 / (4 * (b - 1))
    assert distance.max() > 0.5 * b**2 * total**2 / (4 * (b - 1))  # the bound bites
    assert (u[:, 0] > 5).any() and (u[:, 0] < -5).any()


def test_integration_that_fails_is_an_error():
    with pytest.raises(ArithmeticError):
        chaotic.trajectory(lambda _t, u: u**2, [1.0], 0.6, 3)  # infinite at t = 1


def test_mackey_glass_first_interval_is_exact():
    # Up to tau the delayed value is the history: x' = c - gamma x.
    start, tau, gamma = 0.7, 17.0, 0.1
    t = 0.37 * np.arange(46)
    c = 0.2 * start / (1 + start**10)
    exact = c / gamma + (start - c / gamma) * np.exp(-gamma * t)
    found = chaotic.mackey_glass_series(0.37, 46, tau=tau, start=start)
    assert t[-1] < tau
    np.testing.assert_allclose(found, exact, atol=1e-8, rtol=0)


def test_mackey_glass_second_interval_agrees_with_an_ode_solver():
    start, tau = 0.7, 17.0
    c = 0.2 * start / (1 + start**10)
    first = lambda t: c / 0.1 + (start - c / 0.1) * np.exp(-0.1 * t)  # noqa: E731

    def field(t, x):
        delayed = first(t - tau)
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * x

    theirs = solve_ivp(field, (tau, 2 * tau), [first(tau)], "DOP853", rtol=1e-12, atol=1e-12)
    ours = chaotic.mackey_glass_series(tau, 3, start=start)
    assert ours[2] == pytest.approx(theirs.y[0, -1], abs=1e-8)


def test_mackey_glass_is_of_fourth_order_and_keeps_its_equilibrium():
    coarse, middle, fine = (
        chaotic.mackey_glass_series(1.0, 200, start=0.5, step=step) for step in (0.2, 0.1, 0.05)
    )
    ratio = np.abs(coarse - middle).max() / np.abs(middle - fine).max()
    assert 12 < ratio < 20
    assert np.abs(middle - fine).max() < 1e-8
    np.testing.assert_allclose(chaotic.mackey_glass_series(1.0, 100, start=1.0), 1.0, atol=1e-14)


# ---------------------------------------------------------------- forecasts

FAMILIES = {
    "lorenz63": lambda **k: tasks.lorenz63(**{**SHORT, **k}),
    "rossler": lambda **k: tasks.rossler(**{**SHORT, **k}),
    "mackey_glass": lambda **k: tasks.mackey_glass(**{**SHORT, **k}),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_horizons_share_one_stimulus(family):
    build = FAMILIES[family]
    one, ten = build(horizon=1, seed=3), build(horizon=10, seed=3)
    np.testing.assert_array_equal(one.inputs, ten.inputs)
    assert one.input_digest == ten.input_digest and one.digest != ten.digest
    # The same moment, seen from 1 and from 10 rows before.
    np.testing.assert_allclose(one.targets[9:], ten.targets[:-9], atol=1e-6)
    assert build(horizon=1, seed=3).digest == one.digest
    assert not np.allclose(build(horizon=1, seed=4).inputs, one.inputs)
    train = one.split.train
    np.testing.assert_allclose(one.inputs[train].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(one.inputs[train].std(axis=0), 1, atol=1e-12)


def test_targets_lie_horizon_rows_ahead():
    task = FAMILIES["lorenz63"](observe="xyz", horizon=7)
    np.testing.assert_array_equal(task.targets[:-7], task.inputs[7:])
    part = FAMILIES["lorenz63"](observe="zx", predict="y", horizon=7)
    np.testing.assert_array_equal(part.inputs, task.inputs[:, [2, 0]])
    np.testing.assert_array_equal(part.targets, task.targets[:, [1]])
    assert task.lyapunov_time == pytest.approx(1 / 0.906) and task.sample == 0.02


@pytest.mark.parametrize(
    "change",
    [
        {"observe": "w"},
        {"observe": ""},
        {"predict": "xx"},
        {"horizon": 0},
        {"horizon": 1.5},
        {"n_train": 0},
        {"hold": 0.01},
        {"sample": -1.0},
        {"seed": -1},
    ],
)
def test_chaotic_arguments_are_checked(change):
    with pytest.raises(ParameterError) as error:
        FAMILIES["lorenz63"](**change)
    assert error.value.field == next(iter(change))
    if "hold" in change:
        assert isinstance(error.value, UnitError)


def forecast(values, **change):
    settings = {
        "horizon": 2, "washout": 10, "n_train": 60, "n_validation": 10, "n_test": 18, "hold": 0.01
    }  # fmt: skip
    return tasks.forecast_task("made", values, [0], [0], **{**settings, **change})


def test_scaling_looks_at_the_training_part_only():
    values = np.random.default_rng(0).normal(5, 2, (100, 1))
    plain = forecast(values)
    later = values.copy()
    later[70:] += 1000  # validation and test
    np.testing.assert_array_equal(forecast(later).inputs[:70], plain.inputs[:70])
    assert forecast(later).inputs[80:].min() > 100
    before = values.copy()
    before[:10] += 1000  # washout
    np.testing.assert_array_equal(forecast(before).inputs[10:], plain.inputs[10:])
    # Negative control: a jump inside the training part does change the scaling.
    within = values.copy()
    within[60:70] += 1000
    assert not np.allclose(forecast(within).inputs[:60], plain.inputs[:60])
    with pytest.raises(ParameterError, match="constant"):
        forecast(np.concatenate([np.zeros((70, 1)), np.ones((30, 1))]))


# ---------------------------------------------------------------- trivial predictors


def test_the_encoder_alone_sees_the_filtered_past():
    # The target is what the filter gives, which no single row tells.
    rng = np.random.default_rng(0)
    u = rng.normal(size=(400, 1))
    kept, filtered = np.exp(-10 / 50), np.zeros(400)
    for k in range(400):
        filtered[k] = u[k, 0] + (kept * filtered[k - 1] if k else 0.0)
    given = {
        "name": "x", "inputs": u, "targets": filtered, "kind": "series", "hold": "10 ms",
        "washout": 20, "n_train": 200, "n_validation": 80, "n_test": 100,
    }  # fmt: skip
    task = tasks.Task(**given)
    assert trivial.encoder_alone(task) < 1e-5
    # The negative control: with a filter of another length some is left.
    assert trivial.encoder_alone(task, "5 ms") > 0.1
    with pytest.raises(ParameterError, match="tau"):
        trivial.encoder_alone(task, "0 ms")


def test_persistence_by_hand():
    # A ramp standardised with sd s moves by 2 / s in two rows: NRMSE 2 / sd of the test part.
    task = forecast(np.arange(100.0)[:, None])
    assert trivial.persistence(task) == pytest.approx(2 / np.arange(18.0).std())
    partial = FAMILIES["lorenz63"](observe="x", horizon=5)
    full = FAMILIES["lorenz63"](observe="xyz", horizon=5)
    test = full.split.test
    by_hand = nrmse(full.targets[test], full.inputs[test])
    assert trivial.persistence(partial) == pytest.approx(by_hand)


def test_autoregression_solves_what_is_linear_and_nothing_else():
    # Full Lorenz state one row ahead: nearly linear in 20 taps.
    easy = tasks.lorenz63(observe="xyz", horizon=1)
    assert trivial.autoregression(easy) < 5e-4
    assert trivial.autoregression(replace(easy, targets=easy.targets[::-1])) > 0.5
    # An AR(2) process: the best error is known, the driving noise over the sd of the process.
    rng = np.random.default_rng(0)
    noise, x = rng.normal(size=4000), np.zeros(4000)
    for k in range(2, 4000):
        x[k] = 1.6 * x[k - 1] - 0.8 * x[k - 2] + noise[k]
    sizes = {"horizon": 1, "washout": 100, "n_train": 2500, "n_validation": 399, "n_test": 1000}
    found = trivial.autoregression(forecast(x[:, None], **sizes))
    assert found == pytest.approx(1 / x[3000:].std(), rel=0.06)
    # Negative control: white noise holds nothing, and a leak of the future would show.
    white = trivial.autoregression(forecast(noise[:, None], **sizes))
    assert 0.97 < white < 1.05


def test_autoregression_may_begin_without_washout():
    values = np.sin(0.3 * np.arange(93))[:, None]
    task = forecast(values, washout=0, n_train=60, n_validation=13)
    assert trivial.autoregression(task) < 1e-3
    with pytest.raises(ParameterError, match="taps"):
        trivial.autoregression(task, taps=60)


def test_trivial_predictors_refuse_what_does_not_apply():
    digits = tasks.digits()
    series = FAMILIES["mackey_glass"]()
    with pytest.raises(ParameterError):
        trivial.persistence(digits)
    with pytest.raises(ParameterError):
        trivial.autoregression(digits)
    with pytest.raises(ParameterError):
        trivial.raw_pixels(series)
    assert set(trivial.baselines(series)) == {"persistence", "autoregression"}
    kept = replace(series, baselines=trivial.baselines(series))
    assert kept.baselines["autoregression"] < kept.baselines["persistence"]
