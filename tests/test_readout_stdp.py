"""STDP readout: the same layer in plain NumPy, scikit-learn's checks, and what it cannot learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from analysis import plots
from analysis.readout import STDPReadout
from analysis.readout._balance import Balance
from analysis.readout._layer import Layer, answer, learn
from brain_lnp import HRSNNSpec, evaluate, sample_hrsnn, tasks
from models_eq.device import use_device
from models_eq.errors import ParameterError, UnitError

pytestmark = pytest.mark.usefixtures("numpy_device")

LAYER = Layer(
    groups=3, each=2, dt=1e-3, steps=6, tau_m=5e-3, tau_minus=20e-3, tau_slow=0.114,
    tau_inhibition=5e-3, rest=1, teaching=4.0, inhibition=0.5, homeostasis=0.02, plus=0.3,
    minus=0.1, triplet=0.2, w_max=0.6,
)  # fmt: skip


def by_hand(layer, x, order, label, rate, w, bias, *, learns=True):
    """The layer step by step, without Brian2: weights, excitability, spikes without teaching."""
    w, bias = w.copy(), bias.copy()
    decay = {k: np.exp(-layer.dt / t) for k, t in (
        ("m", layer.tau_m), ("i", layer.tau_inhibition), ("y", layer.tau_minus),
        ("z", layer.tau_slow))}  # fmt: skip
    loss = layer.minus * (1 - decay["y"])
    counts = np.zeros((len(order), layer.size), dtype=int)
    for turn, sample in enumerate(order):
        for sign in (-1, 1) if learns else (-1,):
            v, rest, inhibited, y, z = (np.zeros(layer.size) for _ in range(5))
            gate = sign * rate[turn] if learns else 0.0
            mine = np.where(layer.group_of == label[sample], 1.0, -1.0)
            teach = layer.teaching * mine if sign > 0 else 0.0
            for row in x[sample]:
                drive, area = row @ w, np.zeros(layer.size)
                for _ in range(layer.steps):
                    u = drive + bias + teach - layer.inhibition * inhibited
                    v = np.where(rest < 0.5, u + (v - u) * decay["m"], 0.0)
                    rest = np.maximum(rest - 1, 0)
                    inhibited, y, z = inhibited * decay["i"], y * decay["y"], z * decay["z"]
                    area += y
                    fired = v > 1
                    gain = (layer.plus + layer.triplet * z) * fired
                    w = np.clip(w + gate * np.outer(row, gain), -layer.w_max, layer.w_max)
                    inhibited += fired.sum() - fired
                    v[fired], rest[fired] = 0.0, layer.rest
                    y, z, bias = y + fired, z + fired, bias + gate * layer.homeostasis * fired
                    counts[turn] += fired * (sign < 0)
                w = np.clip(w - gate * loss * np.outer(row, area), -layer.w_max, layer.w_max)
    return w, bias, counts


def problem(rows=2, samples=6, features=15, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, rows, features)) / 2
    order = rng.permutation(samples)
    return x, order, rng.integers(0, 3, samples), np.linspace(1.0, 0.5, samples)


def check_against_hand(seed=0, layer=LAYER, hand=LAYER):
    x, order, label, rate = problem(seed=seed)
    rng = np.random.default_rng(seed + 1)
    w, bias = rng.normal(0, 0.3, (15, 6)), rng.normal(0, 0.1, 6)
    expected = by_hand(hand, x, order, label, rate, w, bias)
    found = learn(layer, x, order, label, rate, w, bias)
    assert expected[2].sum() > 0 and np.abs(expected[0] - w).max() > 0.1, "nothing happened"
    unbounded = by_hand(replace(hand, w_max=99.0), x, order, label, rate, w, bias)[0]
    assert np.abs(unbounded - expected[0]).max() > 0.1, "the bound has to matter"
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)
    w, bias = 4 * found[0], found[1]
    counts, drive = answer(layer, x, w, bias)
    # Answers do not clip: only learning bounds weights.
    wide = replace(hand, w_max=99.0)
    free = by_hand(wide, x, np.arange(len(x)), label, rate, w, bias, learns=False)[2]
    assert free.sum() > 5
    np.testing.assert_array_equal(counts, free)
    np.testing.assert_allclose(drive, x.mean(axis=1) @ w + bias)


@pytest.mark.parametrize("seed", [0, 1])
def test_learning_and_answers_equal_the_layer_by_hand(seed):
    check_against_hand(seed)


@pytest.mark.parametrize("change", ["inhibition", "triplet", "minus", "homeostasis", "teaching"])
def test_the_comparison_notices_every_part_of_the_rule(change):
    with pytest.raises(AssertionError, match="Not equal"):
        check_against_hand(layer=replace(LAYER, **{change: 0.7 * getattr(LAYER, change)}))


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cython", "cpp_standalone"])
def test_other_devices_learn_the_same(device):
    with use_device(device):
        check_against_hand()


# The rest of scikit-learn's checks holds.
EXPECTED_FAILED_CHECKS: dict[str, str] = {}


@parametrize_with_checks(
    [STDPReadout(epochs=2, presentation="6 ms")],
    expected_failed_checks=lambda _: EXPECTED_FAILED_CHECKS,
)
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


def counts(n=150, features=20, classes=3, seed=0):
    """Poisson counts whose rates depend on the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    rate = rng.gamma(2.0, 2.0, size=(classes, features))
    return rng.poisson(rate[y]).astype(float), y


def test_it_learns_what_counts_say_and_nothing_from_shuffled_labels():
    X, y = counts()
    text = np.array(["low", "mid", "top"])[y]
    fitted = STDPReadout(epochs=3).fit(X[:100], text[:100])
    assert fitted.score(X[100:], text[100:]) > 0.9
    assert fitted.coef_.shape == (3, 20) and fitted.classes_.tolist() == ["low", "mid", "top"]
    assert fitted.online_error_[-1] < fitted.online_error_[0]
    chance = np.random.default_rng(1).permutation(text)
    wrong = STDPReadout(epochs=3).fit(X[:100], chance[:100])
    assert wrong.score(X[100:], chance[100:]) < 0.6


def test_online_learning_gets_better_and_agrees_on_statistics():
    X, y = counts()
    online = STDPReadout()
    scores = []
    for start in range(0, 100, 20):
        online.partial_fit(X[start : start + 20], y[start : start + 20], classes=[0, 1, 2])
        scores.append(online.score(X[100:], y[100:]))
    assert scores[-1] > 0.9 and len(online.online_error_) == 5
    at_once = Balance.empty(20).joined(X[:100])
    np.testing.assert_allclose(online.balance_.mean, at_once.mean)
    np.testing.assert_allclose(online.balance_.squares, at_once.squares)
    assert np.mean(at_once(X[:100]) ** 2) * 20 == pytest.approx(1.0)
    with pytest.raises(ParameterError, match="labels out of"):
        online.partial_fit(X[:3], [0, 1, 7])


def test_rows_are_played_back_and_a_validation_pair_chooses_the_pass():
    X, y = counts(90)
    played = np.stack([X, 0 * X + 1.0], axis=1)
    fitted = STDPReadout(epochs=3).fit(played[:60], y[:60], played[60:], y[60:])
    assert fitted.validation_error_ == pytest.approx(1 - fitted.score(played[60:], y[60:]))
    assert fitted.score(played[60:], y[60:]) > 0.85
    with pytest.raises(ParameterError, match="both or neither"):
        STDPReadout().fit(X, y, X)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"a_plus": 0.0}, ParameterError),
        ({"teaching": 0.5}, ParameterError),
        ({"homeostasis": -1.0}, ParameterError),
        ({"epochs": 0}, ParameterError),
        ({"per_class": 1.5}, ParameterError),
        ({"tau_m": 5.0}, UnitError),
        ({"presentation": "1.5 ms"}, ParameterError),
    ],
)
def test_bad_settings_are_named(settings, kind):
    X, y = counts(12)
    with pytest.raises(kind) as error:
        STDPReadout(**settings).fit(X, y)
    assert error.value.field == next(iter(settings))


def test_evaluate_takes_it_and_numbers_are_refused():
    net = sample_hrsnn(HRSNNSpec(n=60), seed=1)
    task = tasks.digits(seed=1, n_train=100, n_validation=40, n_test=60)
    found = evaluate(net, task, STDPReadout(epochs=3))
    assert found.accuracy is not None and found.accuracy > 0.4  # chance is 0.1
    assert found.alpha is None and found.nrmse is None
    with pytest.raises(ParameterError, match="LinearReadout"):
        STDPReadout().for_targets(np.array([0.5, 1.0]))


def test_weights_are_drawn_in_any_order():
    X, y = counts(30)
    fitted = STDPReadout(epochs=1).fit(X, y)
    ax = plots.readout_weights(fitted, order=np.arange(20)[::-1])
    np.testing.assert_array_equal(ax.images[0].get_array(), fitted.coef_[:, ::-1])
    assert plots.readout_weights(fitted).images[0].get_array().shape == (3, 20)
    with pytest.raises(ParameterError, match="permutation"):
        plots.readout_weights(fitted, order=[0, 0])
    with pytest.raises(ParameterError, match="fitted"):
        plots.readout_weights(STDPReadout())
