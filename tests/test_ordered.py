"""The ordered clock-driven engine against the event-driven one, whose loop is another."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.lyapunov.eventdriven import event_engine
from analysis.lyapunov.ordered import ordered_engine
from models_eq.errors import CapabilityError, ConvergenceError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import SpikeInput, Stimulus, noise_stimulus

SPAN = 0.2


def driven(model: str, seed: int = 1) -> tuple[HRSNN, Stimulus]:
    """A heterogeneous refractory network under noise and input spikes off the grid."""
    net = sample_hrsnn(HRSNNSpec(n=60, model=model), seed=seed)
    rng = np.random.default_rng(seed)
    net = net.replace(t_ref=rng.choice([0.0, 0.0004, 0.002, 0.0053], net.n), i_ext=net.i_ext + 0.3)
    if model == "lif_delta":
        net = net.replace(w=0.3 * net.w)
    noise = noise_stimulus(net, "0.2 s", seed=seed)
    weights = rng.normal(0, 0.1, (4, net.n))
    spikes = SpikeInput(np.sort(rng.uniform(0, 0.19, 40)), rng.integers(0, 4, 40), weights, 0)
    return net, Stimulus(noise.current, "1 ms", spikes)


def pair(model: str, dt: float, k: int = 5, **wrong: object):
    net, given = driven(model)
    engines = event_engine(net, given, seed=2), ordered_engine(net, given, dt=dt, seed=2, **wrong)
    for engine in engines:
        engine.carry(k)
        q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(engine.tangents), k)))
        engine.tangents[...] = q
        engine.advance_to(SPAN)
    return engines


@pytest.mark.parametrize("dt", [1e-3, 1e-4])
@pytest.mark.parametrize("model", ["lif_exp", "lif_delta"])
def test_both_engines_walk_the_same_way_whatever_the_step(model, dt):
    exact, ordered = pair(model, dt)
    assert exact.count.sum() > 200
    assert (exact.count == ordered.count).all() and (exact.held == ordered.held).all()
    assert np.allclose(exact.x, ordered.x, atol=1e-9) and np.allclose(exact.s, ordered.s, atol=1e-9)
    assert np.allclose(exact.release[exact.held], ordered.release[exact.held], atol=1e-11, rtol=0)
    assert np.allclose(exact.tangents, ordered.tangents, rtol=1e-6, atol=1e-9)
    if exact.log_volume is None:
        assert ordered.log_volume is None
    else:
        assert exact.log_volume == pytest.approx(ordered.log_volume, abs=1e-6)


@pytest.mark.parametrize("wrong", [{"order": -1}, {"sign": -1}, {"sign": 0}, {"on_grid": True}])
def test_what_is_wrong_on_purpose_is_caught(wrong):
    exact, ordered = pair("lif_exp", 1e-3, **wrong)
    assert not np.allclose(exact.tangents, ordered.tangents, rtol=1e-2, atol=1e-4)


def test_spikes_of_connected_neurons_in_one_step_are_counted():
    net = HRSNN("lif_exp", 3, [0], [1], [0.01], tau_m=0.02, i_ext=1.5)
    same = ordered_engine(net, dt=1e-3, initial_state={"v": [0.5, 0.5, 0.5]})
    same.advance_to(0.1)
    # Neurons 0 and 1 are connected and nearly together, neuron 2 is connected to none.
    assert same.shared == 2 * same.count[0] > 0
    apart = ordered_engine(net, dt=1e-3, initial_state={"v": [0.5, 0.0, 0.5]})
    apart.advance_to(0.1)
    assert apart.shared == 0


def test_two_spikes_of_one_neuron_in_one_step():
    net = HRSNN("lif_exp", 1, [], [], [], tau_m=0.02, i_ext=60.0, t_ref=[0.0003])
    exact, ordered = event_engine(net, seed=1), ordered_engine(net, dt=1e-3, seed=1)
    for engine in (exact, ordered):
        engine.advance_to(0.05)
    assert exact.count[0] == ordered.count[0] > 60
    assert ordered.x[0] == pytest.approx(exact.x[0], abs=1e-9) or exact.held[0]


def test_refusals():
    with pytest.raises(CapabilityError, match="event"):
        ordered_engine(HRSNN("qif", 1, [], [], [], tau_m=0.02), dt=1e-3)
    net = HRSNN("lif_exp", 1, [], [], [], tau_m=0.02)
    with pytest.raises(ParameterError, match="hold"):
        ordered_engine(net, Stimulus(np.zeros((3, 1)), "1 ms"), dt=3e-4)
    wild = HRSNN("lif_delta", 2, [0, 1], [1, 0], [1.5, 1.5], tau_m=0.02, i_ext=1.5)
    engine = ordered_engine(wild, dt=1e-3, seed=1)
    with pytest.raises(ConvergenceError, match="spikes a neuron"):
        engine.advance_to(1.0)
