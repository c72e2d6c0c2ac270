"""Conditional exponents against closed forms and deliberately wrong formulas."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from analysis.lyapunov import NodeExponents, conditional_exponents, node_exponents
from analysis.lyapunov.cycles import crossings, cycles
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.stimulus import Stimulus, noise_stimulus
from models_eq.storage import load, save

STATE = ["spike_state"]


pytestmark = pytest.mark.usefixtures("numpy_device")


def uncoupled(model: str, tau_m: object, **fields: object) -> HRSNN:
    return HRSNN(model, np.size(tau_m), [], [], [], tau_m=tau_m, **fields)


# Closed forms


@pytest.mark.parametrize("model", ["lif_exp", "lif_delta", "alif"])
@pytest.mark.parametrize("dt", ["1 ms", "0.1 ms"])
def test_free_running_neurons_have_exponent_zero(model, dt):
    net = uncoupled(
        model, [0.005, 0.01, 0.02, 0.05, 0.1, 0.02], t_ref=[0, 0.002, 0.005, 0, 0.0023, 0.001],
        i_ext=[1.2, 1.5, 2.5, 1.1, 1.5, 1.02], v_rest=[0, 0.1, -0.3, 0, 0, 0],
        v_reset=[0, 0.2, -1, -0.5, 0, 0], v_th=[1, 1.2, 0.9, 1, 1, 1],
    )  # fmt: skip
    duration = "2 s" if model == "alif" else "1 s"
    run = simulate(net, duration=duration, dt=dt, record=STATE, seed=1)
    found = conditional_exponents(net, run)
    assert (found.cycles > 2).all()
    assert np.abs(found.exponents).max() < 1e-9
    # With adaptation the first intervals differ, but they too map the flow onto itself.
    assert found.stderr.max() < 1e-9


def test_leaving_out_or_turning_round_the_jump_is_not_zero():
    net = uncoupled("lif_exp", [0.01, 0.02, 0.05], t_ref=0.002, i_ext=1.5)
    run = simulate(net, duration="2 s", record=STATE)
    c = cycles(net, run)
    total = np.bincount(c.neuron, c.length)
    decay = np.bincount(c.neuron, -c.active / net.tau_m[c.neuron]) / total
    jump = np.bincount(c.neuron, np.log(np.abs(c.f_release / c.slope[1]))) / total
    assert np.abs(decay + jump).max() < 1e-9
    assert (np.abs(decay) > 0.5 / net.tau_m).all()
    assert (np.abs(decay - jump) > 1 / net.tau_m).all()
    # At the spike, dv/dt at the end of the step is not that at the crossing.
    at_end = (1.5 - run.at_spike["v"]) / net.tau_m[run.i]
    assert np.abs(at_end / crossings(net, run).f - 1).max() > 0.01


def test_a_silent_neuron_forgets_with_its_membrane():
    tau = np.array([0.01, 0.03])
    for model, slowest in (("lif_exp", tau), ("lif_delta", tau), ("alif", [0.2, 0.2])):
        net = uncoupled(model, tau, i_ext=0.5)
        found = conditional_exponents(net, simulate(net, duration="0.5 s", record=STATE))
        assert np.allclose(found.exponents, -1 / np.asarray(slowest))
        assert not found.cycles.any() and not found.stderr.any()


def test_one_interval_says_nothing_about_its_error():
    net = uncoupled("lif_exp", 0.02, i_ext=1.5)
    run = simulate(net, duration="40 ms", record=STATE, initial_state={"v": 0.9})
    found = conditional_exponents(net, run)
    assert found.cycles[0] == 1 and np.isinf(found.stderr[0])
    assert abs(found.exponents[0]) < 1e-9


def test_free_running_and_excitable_qif():
    net = uncoupled("qif", [0.02, 0.02, 0.05, 0.02], i_ext=[0.5, 2.0, 1.0, -0.25])
    start = {"theta": [0.1, 1.0, -2.0, 2 * np.arctan(-0.5)]}
    run = simulate(net, duration="2 s", record=STATE, initial_state=start)
    found = conditional_exponents(net, run)
    assert np.abs(found.exponents[:3]).max() < 1e-6
    assert (found.cycles[:3] > 5).all() and found.cycles[3] == 0
    # At the stable fixed point V = -sqrt(-I): d(dV)/dt = 2 V/tau dV.
    assert found.exponents[3] == pytest.approx(-2 * np.sqrt(0.25) / 0.02, rel=1e-9)
    # From elsewhere the way there counts once.
    elsewhere = simulate(net, duration="2 s", record=STATE, initial_state={"theta": 0.3})
    late = conditional_exponents(net, elsewhere).exponents[3]
    assert late == pytest.approx(-50, abs=3 / 2.0)
    # Spikes alone give the same, with an error of the order of 1/T.
    rough = conditional_exponents(net, simulate(net, duration="2 s", initial_state=start))
    assert np.abs(rough.exponents - found.exponents).max() < 1.0
    assert (rough.stderr == 0.5).all()


# Averages


def test_the_sum_rule_holds_on_raw_recordings():
    """lambda = -(1 - nu t_ref)/tau + nu <log|f_release/f_spike|>, from the recordings alone."""
    rng = np.random.default_rng(0)
    n = 20
    mask = (rng.random((n, n)) < 0.3) & ~np.eye(n, dtype=bool)
    j, i = np.nonzero(mask)
    net = HRSNN(
        "lif_delta", n, i, j, -0.05, tau_m=rng.uniform(0.01, 0.03, n), t_ref=0.002, i_ext=1.5
    )  # fmt: skip
    noise = noise_stimulus(net, "1 s", seed=1)
    run = simulate(net, noise, record=STATE, seed=1)
    found = conditional_exponents(net, run)
    for k in range(n):
        tau, mine, freed = net.tau_m[k], run.i == k, run.release["i"] == k
        drive = 1.5 + run.at_spike["i_stim"][mine]
        crossing = (
            run.t[mine] + run.dt + tau * np.log((drive - run.at_spike["v"][mine]) / (drive - 1.0))
        )
        f_spike = ((drive - 1.0) / tau)[1:]
        cycle = np.diff(crossing)
        f_release = ((1.5 + run.release["i_stim"][freed]) / tau)[: cycle.size]
        refractory = run.release["t"][freed][: cycle.size] - crossing[:-1]
        nu = cycle.size / cycle.sum()
        expected = -(1 - nu * refractory.mean()) / tau
        expected += nu * np.mean(np.log(np.abs(f_release / f_spike)))
        assert found.exponents[k] == pytest.approx(expected, rel=1e-6), k
        assert found.cycles[k] == mine.sum() - 1


def test_the_standard_error_is_that_of_repetitions():
    n = 60
    net = uncoupled("lif_exp", np.full(n, 0.02), t_ref=0.002, i_ext=1.1)
    found = node_exponents(net, duration="2 s", seed=7)
    spread = found.exponents.std(ddof=1)
    assert 0.6 < found.stderr.mean() / spread < 1.6
    longer = node_exponents(net, duration="8 s", seed=7)
    assert longer.stderr.mean() == pytest.approx(found.stderr.mean() / 2, rel=0.2)
    assert abs(longer.exponents.mean() - found.exponents.mean()) < 4 * spread / np.sqrt(n)


def test_a_spike_set_off_by_a_delta_kick_keeps_nothing():
    net = HRSNN(
        "lif_delta", 2, i=[0], j=[1], w=[2.0], tau_m=[0.02, 0.03], t_ref=0.002, i_ext=[1.5, 0.5]
    )  # fmt: skip
    by_dt = []
    for dt in (1e-3, 1e-4):
        run = simulate(net, duration="1 s", dt=f"{dt} s", record=STATE)
        found = conditional_exponents(net, run)
        # The crossing lies at the start of the step after the kick, the release 2 ms later on.
        t = run.t[run.i == 1]
        assert np.allclose(t, run.t[run.i == 0][: t.size] + dt)
        period = np.diff(t).mean()
        active = period - 0.002
        expected = (-active / 0.03 + np.log(0.5 / 0.03 * dt / 2.0)) / period
        assert found.exponents[1] == pytest.approx(expected, rel=1e-6)
        by_dt.append(found.exponents[1] * period)
    assert by_dt[0] - by_dt[1] == pytest.approx(np.log(10), rel=0.05)


# Entrance


def test_node_exponents_take_noise_or_a_stimulus():
    net = uncoupled("lif_exp", [0.01, 0.02, 0.04], t_ref=0.002, i_ext=1.1)
    noisy = node_exponents(net, duration="1 s", seed=3)
    again = node_exponents(net, duration="1 s", seed=3)
    assert np.array_equal(noisy.exponents, again.exponents)
    assert not np.allclose(noisy.exponents, node_exponents(net, duration="1 s", seed=4).exponents)
    by_hand = simulate(
        net, noise_stimulus(net, "1 s", seed=3), duration="1 s", record=STATE, seed=3
    )  # fmt: skip
    assert np.array_equal(noisy.exponents, conditional_exponents(net, by_hand).exponents)
    assert (noisy.exponents < 0).all() and noisy.definition == "conditional"
    quiet = node_exponents(net, Stimulus(np.zeros((1, 3)), "2 s"), dt="0.5 ms")
    assert np.abs(quiet.exponents).max() < 1e-9
    assert "conditional, 3 neurons" in repr(noisy)


def test_what_is_refused():
    net = uncoupled("lif_exp", [0.02, 0.03], i_ext=1.5)
    for name in ("leading", "nonsense"):
        with pytest.raises(CapabilityError, match="'conditional'"):
            node_exponents(net, definition=name)
    with pytest.raises(ParameterError, match="trials"):
        node_exponents(net, Stimulus(np.zeros((2, 3, 2)), "10 ms"))
    run = simulate(net, duration="0.1 s", record=STATE)
    with pytest.raises(ParameterError, match="another network"):
        conditional_exponents(net.replace(i_ext=1.4), run)
    with pytest.raises(ParameterError, match="spike_state"):
        conditional_exponents(net, simulate(net, duration="0.1 s"))
    with pytest.raises(ParameterError, match="one trial"):
        conditional_exponents(net, simulate(net, duration="0.1 s", copies=2, record=STATE))


def test_exponents_survive_saving_and_pickling(tmp_path: Path):
    found = NodeExponents(np.array([-1.0, -2.5]), np.array([0.1, np.inf]), np.array([3, 1]))
    for back in (load(save(found, tmp_path / "e.npz")), pickle.loads(pickle.dumps(found))):
        assert type(back) is NodeExponents and back.definition == "conditional"
        for name in ("exponents", "stderr", "cycles"):
            assert np.array_equal(getattr(back, name), getattr(found, name))
