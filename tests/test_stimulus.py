"""Stimulus: what it accepts, and the statistics of task-agnostic inputs."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from brian2 import ms, mV

from models_eq.errors import ParameterError, UnitError
from models_eq.hrsnn import HRSNN
from models_eq.stimulus import SpikeInput, Stimulus, noise_stimulus, ou_signal, slow_stimulus

SPIKES: dict[str, Any] = {
    "t": [0.001, 0.005],
    "channel": [0, 1],
    "weights": np.ones((2, 3)),
    "trial": 0,
}
CURRENT = np.zeros((4, 3))


def net(n: int = 3, **fields: Any) -> HRSNN:
    return HRSNN("lif_exp", n, i=[], j=[], w=[], **{"tau_m": 0.02, **fields})


BAD_SPIKES = [
    ("t", [-0.001, 0.0]),
    ("t", [0.0, np.nan]),
    ("t", [[0.0, 0.1]]),
    ("t", 0.001),
    ("t", [1, 2] * mV),
    ("t", "soon"),
    ("channel", [0, 2]),
    ("channel", [-1, 0]),
    ("channel", [0, 0.5]),
    ("channel", [0, 1, 1]),
    ("weights", np.ones(3)),
    ("weights", np.ones((2, 3, 1))),
    ("weights", np.full((2, 3), np.nan)),
    ("weights", np.ones((0, 3))),
    ("weights", np.ones((2, 3)) * mV),
    ("trial", [0, -1]),
    ("trial", [0, 0, 0]),
    ("trial", 0.5),
    ("trial", "first"),
]


@pytest.mark.parametrize(("name", "value"), BAD_SPIKES)
def test_bad_spike_input_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        SpikeInput(**{**SPIKES, name: value})
    assert caught.value.field == f"SpikeInput.{name}"


BAD_STIMULUS = [
    ("current", np.zeros(3), "Stimulus.current"),
    ("current", np.zeros((0, 3)), "Stimulus.current"),
    ("current", np.zeros((1, 2, 3, 4)), "Stimulus.current"),
    ("current", np.full((4, 3), np.inf), "Stimulus.current"),
    ("current", np.ones((4, 3)) * mV, "Stimulus.current"),
    ("current", "strong", "Stimulus.current"),
    ("hold", 0.01, "hold"),
    ("hold", 0 * ms, "hold"),
    ("hold", -1 * ms, "hold"),
    ("hold", "10 mV", "hold"),
    ("hold", None, "hold"),
    ("spikes", 3, "Stimulus.spikes"),
    ("spikes", SpikeInput(**{**SPIKES, "weights": np.ones((2, 4))}), "SpikeInput.weights"),
    ("spikes", SpikeInput(**{**SPIKES, "t": [0.0, 0.04]}), "SpikeInput.t"),
    ("spikes", SpikeInput(**{**SPIKES, "trial": [0, 1]}), "SpikeInput.trial"),
]


@pytest.mark.parametrize(("name", "value", "field"), BAD_STIMULUS)
def test_a_bad_stimulus_is_refused_by_name(name: str, value: Any, field: str) -> None:
    good = {"current": CURRENT, "hold": "10 ms", "spikes": SpikeInput(**SPIKES)}
    assert Stimulus(**good).duration == pytest.approx(0.04)
    with pytest.raises(ParameterError) as caught:
        Stimulus(**{**good, name: value})
    assert caught.value.field == field


def test_every_field_has_a_bad_case() -> None:
    assert {name for name, _ in BAD_SPIKES} == {f.name for f in fields(SpikeInput)}
    assert {name for name, *_ in BAD_STIMULUS} == {f.name for f in fields(Stimulus)}


def test_arrays_are_our_own_and_read_only() -> None:
    current, weights = CURRENT.copy(), np.ones((2, 3))
    stimulus = Stimulus(current, "10 ms", SpikeInput(**{**SPIKES, "weights": weights}))
    digest = stimulus.digest
    current += 1
    weights += 1
    assert stimulus.current.max() == 0
    assert stimulus.spikes is not None
    assert stimulus.spikes.weights.max() == 1
    assert Stimulus(CURRENT, "10 ms", SpikeInput(**SPIKES)).digest == digest
    with pytest.raises(ValueError, match="read-only"):
        stimulus.current[0] = 1


def test_the_digest_sees_everything() -> None:
    spikes = SpikeInput(**SPIKES)
    other = SpikeInput(**{**SPIKES, "t": [0.001, 0.006]})
    stimuli = [
        Stimulus(CURRENT, "10 ms"),
        Stimulus(CURRENT, "20 ms"),
        Stimulus(CURRENT + 1, "10 ms"),
        Stimulus(CURRENT[None], "10 ms"),
        Stimulus(CURRENT, "10 ms", spikes),
        Stimulus(CURRENT, "10 ms", other),
    ]
    assert len({s.digest for s in stimuli}) == len(stimuli)


def test_sizes() -> None:
    one, many = Stimulus(CURRENT, 10 * ms), Stimulus(np.zeros((5, 4, 3)), "10 ms")
    assert (one.n, one.n_rows, one.n_trials) == (3, 4, 0)
    assert (many.n, many.n_rows, many.n_trials) == (3, 4, 5)
    assert many.duration == pytest.approx(0.04)


@pytest.mark.parametrize("shape", [(6, 2), (4, 6, 2)])
def test_a_signal_is_projected(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    signal, weights = rng.normal(size=shape), rng.normal(size=(2, 3))
    stimulus = Stimulus.from_signal(signal, weights, "10 ms")
    np.testing.assert_allclose(stimulus.current, np.einsum("...c,cn->...n", signal, weights))
    assert not stimulus.current.flags.writeable


@pytest.mark.parametrize(
    ("signal", "weights", "field"),
    [
        (np.ones((6, 2)), np.ones((3, 4)), "weights"),
        (np.ones((6, 2)), np.ones(2), "weights"),
        (np.ones(6), np.ones((1, 4)), "weights"),
        (np.full((6, 2), np.nan), np.ones((2, 4)), "signal"),
        (np.ones((6, 2)), np.full((2, 4), np.inf), "weights"),
        (np.ones((6, 2)) * mV, np.ones((2, 4)), "signal"),
        ("loud", np.ones((2, 4)), "signal"),
    ],
)
def test_a_bad_signal_is_refused(signal: Any, weights: Any, field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Stimulus.from_signal(signal, weights, "10 ms")
    assert caught.value.field == field


def test_columns_lead_to_the_original_neurons() -> None:
    parent = net(6)
    child = parent.keep_neurons([1, 4, 5])
    np.testing.assert_array_equal(Stimulus(np.zeros((2, 6)), "1 ms").columns(child), [1, 4, 5])
    np.testing.assert_array_equal(Stimulus(np.zeros((2, 3)), "1 ms").columns(child), [0, 1, 2])
    with pytest.raises(ParameterError, match=r"stimulus.*6 columns"):
        Stimulus(np.zeros((2, 4)), "1 ms").columns(child)


def test_noise_gives_a_free_membrane_the_standard_deviation_asked_for() -> None:
    big = net(400, tau_m=np.repeat([0.005, 0.02, 0.05, 0.1], 100))
    noise = noise_stimulus(big, "3 s", sd=0.35, hold="1 ms", seed=1)
    assert noise.current.shape == (3000, 400)
    decay = np.exp(-1e-3 / big.tau_m)
    v = np.zeros(400)
    total = np.zeros(400)
    for k, row in enumerate(noise.current):
        v = decay * v + (1 - decay) * row
        total += v**2 * (k >= 1000)
    sd = np.sqrt(total.reshape(4, 100).mean(axis=1) / 2000)
    # 2 s hold 2 / (2 tau) independent values a neuron, of 100 neurons each.
    tau = np.array([0.005, 0.02, 0.05, 0.1])
    np.testing.assert_allclose(sd / 0.35, 1, atol=4 * np.sqrt(tau.max() / 2 / 100 / 2))


def test_noise_reaches_a_pruned_network_unchanged() -> None:
    parent = net(6, tau_m=np.linspace(0.01, 0.03, 6))
    child = parent.keep_neurons([1, 4])
    a = noise_stimulus(parent, "50 ms", seed=2).current
    b = noise_stimulus(child, "50 ms", seed=2).current
    np.testing.assert_array_equal(a[:, [1, 4]], b[:, [1, 4]])
    assert np.all(b[:, [0, 2, 3, 5]] == 0)
    others = [
        noise_stimulus(parent, "50 ms", seed=3).current,
        noise_stimulus(parent, "50 ms", seed=2, repetition=1).current,
    ]
    for other in others:
        assert np.abs(np.corrcoef(a.ravel(), other.ravel())[0, 1]) < 0.3
    assert np.all(noise_stimulus(parent, "50 ms", sd=0.0).current == 0)


@pytest.mark.parametrize(
    "change",
    [
        {"sd": -1.0}, {"sd": np.nan}, {"sd": "x"}, {"sd": 1 * mV}, {"sd": [1.0]}, {"hold": 1.0},
        {"duration": 1.0}, {"duration": "0 s"}, {"seed": -1}, {"repetition": 0.5},
        {"repetition": -1},
    ],
)  # fmt: skip
def test_bad_noise_is_refused(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(ParameterError, match=name):
        noise_stimulus(net(), **{"duration": "10 ms", **change})


def test_ou_channels_have_unit_variance_and_their_correlation_time() -> None:
    rows, tau = 40_000, np.array([4.0, 20.0])
    x = ou_signal(rows, tau, np.random.default_rng(0))
    error = np.sqrt(2 * tau / rows)
    assert np.all(np.abs(x.mean(axis=0)) < 4 * error)
    assert np.all(np.abs(x.var(axis=0) - 1) < 4 * error)
    lagged = (x[5:] * x[:-5]).mean(axis=0)
    assert np.all(np.abs(lagged - np.exp(-5 / tau)) < 4 * error)
    assert abs((x[:, 0] * x[:, 1]).mean()) < 4 * error.max()


def test_ou_starts_in_its_stationary_distribution() -> None:
    first = ou_signal(1, np.full(5000, 50.0), np.random.default_rng(1))[0]
    assert abs(first.std() - 1) < 0.05


def test_slow_input_has_the_standard_deviation_asked_for() -> None:
    stimulus = slow_stimulus(400, 2000, sd=2.0, channels=20, rng=np.random.default_rng(0))
    assert (stimulus.n, stimulus.n_rows, stimulus.hold) == (400, 2000, 0.01)
    assert abs(stimulus.current.std() - 2) < 0.15


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rows": 0}, "rows"), ({"channels": 0}, "channels"), ({"channels": 1.5}, "channels"),
        ({"time_constant": 0.0}, "time_constants"), ({"time_constant": np.nan}, "time_constants"),
        ({"sd": -1.0}, "sd"), ({"n_origin": 0}, "n_origin"), ({"hold": 1}, "hold"),
    ],
)  # fmt: skip
def test_bad_slow_input_is_refused(change: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {"n_origin": 3, "rows": 5}
    with pytest.raises(ParameterError, match=field):
        slow_stimulus(**{**good, **change}, rng=np.random.default_rng(0))


def test_units_of_the_hold_are_a_unit_error() -> None:
    with pytest.raises(UnitError, match="hold"):
        Stimulus(CURRENT, 10.0)
