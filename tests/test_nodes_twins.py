"""Conditional exponents against twins: exact neurons, one displaced, in the same frozen input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from analysis.lyapunov import conditional_exponents
from analysis.lyapunov.cycles import crossings
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.stimulus import SpikeInput, Stimulus, noise_stimulus
from models_eq.trajectory import Trajectory

SHIFT = 1e-7  # s, displacement of the twins
STATE = ["spike_state"]


pytestmark = pytest.mark.usefixtures("numpy_device")


def uncoupled(model: str, tau_m: object, **fields: object) -> HRSNN:
    return HRSNN(model, np.size(tau_m), [], [], [], tau_m=tau_m, **fields)


class Neuron:
    """Exact solution of one leaky neuron between its frozen kicks and switches of current.

    ``drive[k]`` and ``s[k]`` hold from ``k dt`` on (s decays); ``kick[k]`` acts on v at ``k dt``.
    """

    def __init__(
        self, net: HRSNN, k: int, dt: float, drive: np.ndarray, s: np.ndarray, kick: np.ndarray
    ) -> None:
        self.tau, self.tau_s, self.v_th = net.tau_m[k], net.tau_syn[k], net.v_th[k]
        self.v_reset = net.v_reset[k]
        self.tau_a = net.params["tau_a"][k] if net.params else 1.0
        self.dt, self.drive, self.s, self.kick = dt, drive, s, kick

    def segment(self, t: float, step: int, v: float, x: float) -> float:
        """v a time x after t, which lies in the given step."""
        s = self.s[step] * np.exp(-(t - step * self.dt) / self.tau_s)
        d, a, b = self.drive[step], np.exp(-x / self.tau), np.exp(-x / self.tau_s)
        return d + (v - d) * a + s * (b - a) / (1 - self.tau / self.tau_s)

    def crossing(self, start: float, a: float = 0.0) -> float:
        """Time of the first crossing after a release at ``start``; a is the adaptation then."""
        v, t = self.v_reset, start
        step = int(np.floor(start / self.dt + 1e-6))
        while step < self.drive.size:
            end = (step + 1) * self.dt

            def excess(x: float, t: float = t, step: int = step, v: float = v) -> float:
                threshold = self.v_th + a * np.exp(-(t + x - start) / self.tau_a)
                return self.segment(t, step, v, x) - threshold

            if excess(end - t) > 0:
                return t + brentq(excess, 0, end - t, xtol=1e-16, rtol=1e-15)
            v = self.segment(t, step, v, end - t) + self.kick[step + 1]
            t, step = end, step + 1
        return np.inf


def frozen(net: HRSNN, run: Trajectory, k: int, stimulus: Stimulus | None) -> Neuron:
    """Neuron k with the input that it got in a simulation, on the grid of the simulation."""
    steps = round(run.duration / run.dt)
    drive = np.full(steps, net.v_rest[k] + net.i_ext[k])
    if stimulus is not None:
        drive = drive + np.repeat(stimulus.current[:, k], round(stimulus.hold / run.dt))[:steps]
    kick = np.zeros(steps + 1)
    row = net.weights.toarray()[k]
    np.add.at(kick, np.rint(run.t / run.dt).astype(int) + 1, row[run.i])
    s, decay = np.zeros(steps + 1), np.exp(-run.dt / net.tau_syn[k])
    if net.model != "lif_delta":
        for step in range(steps):
            s[step + 1] = s[step] * decay + kick[step + 1]
        kick[:] = 0
    return Neuron(net, k, run.dt, drive, s, kick)


def twin_exponent(net: HRSNN, run: Trajectory, k: int, stimulus: Stimulus | None) -> float:
    """Growth of a small shift of spike times between twins that share their input.

    Spikes are set back on the grid, in the simulation as here: reset and release follow the
    crossing by a given time, and move with it.
    """
    neuron = frozen(net, run, k, stimulus)
    release = run.release["t"][run.release["i"] == k]
    spike = run.t[run.i == k]
    jump = net.params["jump_a"][k] if net.params else 0.0
    a_end = run.at_spike["a"][run.i == k] if net.params else np.zeros(spike.size)
    delay = crossings(net, run).delay[run.i == k]
    here = spike[0] + run.dt - delay[0]  # of the base; a at a crossing is a_end exp(delay/tau_a)
    difference = 0.0  # of the twin's a at its crossing
    total, start = 0.0, here
    for n in range(spike.size - 1):
        held = release[n] - here
        a = a_end[n] * np.exp(delay[n] / neuron.tau_a)
        ends = []
        for shift, extra in ((0.0, 0.0), (SHIFT, difference)):
            after = (a + extra) * np.exp(-delay[n] / neuron.tau_a) + jump
            at_release = after * np.exp(-(held - delay[n]) / neuron.tau_a)
            end = neuron.crossing(release[n] + shift, at_release)
            ends.append((end, at_release * np.exp(-(end - release[n] - shift) / neuron.tau_a)))
        assert ends[0][0] == pytest.approx(spike[n + 1] + run.dt - delay[n + 1], abs=1e-11)
        growth = (ends[1][0] - ends[0][0]) / SHIFT
        total += np.log(abs(growth))
        difference = (ends[1][1] - ends[0][1]) / growth
        here = ends[0][0]
    return total / (here - start)


def noise_driven(model: str, n: int = 6) -> tuple[HRSNN, Stimulus]:
    net = uncoupled(
        model, np.linspace(0.008, 0.05, n), t_ref=0.002 * (np.arange(n) % 2), i_ext=1.1,
        tau_syn=0.005,
    )  # fmt: skip
    return net, noise_stimulus(net, "2 s", sd=0.3, seed=4, hold="2 ms")


@pytest.mark.parametrize("model", ["lif_exp", "lif_delta", "alif"])
def test_driven_by_frozen_noise_agrees_with_twins(model):
    net, noise = noise_driven(model)
    run = simulate(net, noise, record=STATE, seed=2)
    found = conditional_exponents(net, run)
    assert found.cycles.min() > 10
    for k in range(net.n):
        twin = twin_exponent(net, run, k, noise)
        assert found.exponents[k] == pytest.approx(twin, rel=1e-3, abs=1e-2), k
    if model != "alif":
        assert (found.exponents < 0).all(), "frozen noise makes a leaky neuron reliable"


def test_driven_by_synapses_agrees_with_twins():
    # One pacemaker, one inhibited, one excited, one that gets both.
    net = HRSNN(
        "lif_exp", 5, i=[0, 1, 0, 1, 4, 4], j=[2, 3, 4, 4, 2, 3],
        w=[-0.3, 0.3, -0.2, 0.3, 0.1, -0.1],
        tau_m=[0.02, 0.013, 0.02, 0.03, 0.011], tau_syn=[0.005, 0.005, 0.007, 0.003, 0.0051],
        t_ref=0.002, i_ext=[1.3, 1.5, 1.5, 1.2, 1.4],
    )  # fmt: skip
    run = simulate(net, duration="4 s", record=STATE, seed=3)
    found = conditional_exponents(net, run)
    for k in range(net.n):
        assert found.exponents[k] == pytest.approx(
            twin_exponent(net, run, k, None), rel=1e-3, abs=1e-4
        )
    assert np.abs(found.exponents[:2]).max() < 1e-9, "the two pacemakers get nothing"
    # Clocks of unrelated periods drive quasi-periodically: next to no growth or decay.
    assert np.abs(found.exponents[2:4]).max() < 1


def test_irregular_inhibition_makes_a_neuron_reliable():
    net = HRSNN(
        "lif_exp", 6, i=np.arange(1, 6), j=[0] * 5, w=-1, tau_m=0.02, tau_syn=0.003, t_ref=0.002,
        i_ext=[1.5, 1, 1, 1, 1, 1],
    )  # fmt: skip
    noise = noise_stimulus(net, "3 s", seed=1)
    current = noise.current.copy()
    current[:, 0] = 0
    stimulus = Stimulus(current, "1 ms")
    run = simulate(net, stimulus, record=STATE)
    found = conditional_exponents(net, run)
    assert found.exponents[0] == pytest.approx(twin_exponent(net, run, 0, stimulus), rel=1e-3)
    assert found.exponents[0] < -5 * found.stderr[0] and found.cycles[0] > 50


def test_delta_inhibition_agrees_with_twins():
    net = HRSNN(
        "lif_delta", 3, i=[0, 1], j=[2, 2], w=[-0.2, -0.1], tau_m=[0.02, 0.013, 0.025],
        t_ref=[0, 0.002, 0.002], i_ext=[1.2, 1.4, 1.6],
    )  # fmt: skip
    run = simulate(net, duration="4 s", record=STATE, seed=3)
    found = conditional_exponents(net, run)
    assert found.exponents[2] == pytest.approx(twin_exponent(net, run, 2, None), rel=1e-3)
    assert found.exponents[2] < -1


def continuous_exponent(net: HRSNN, k: int, stimulus: Stimulus) -> float:
    """The same for a neuron that knows no grid: a refractory period from crossing to release."""
    rows = stimulus.current[:, k]
    steps = np.zeros(rows.size + 1)
    neuron = Neuron(net, k, stimulus.hold, net.v_rest[k] + net.i_ext[k] + rows, steps, steps)
    here = neuron.crossing(0.0)
    start, total = here, 0.0
    while True:
        end = neuron.crossing(here + net.t_ref[k])
        twin = neuron.crossing(here + net.t_ref[k] + SHIFT)
        if not np.isfinite(twin):
            return total / (here - start)
        total += np.log(abs(twin - end) / SHIFT)
        here = end


def test_the_grid_agrees_with_the_exact_neuron():
    n = 12
    net = uncoupled(
        "lif_exp", np.linspace(0.01, 0.04, n), t_ref=0.002, i_ext=np.linspace(1.1, 1.5, n)
    )  # fmt: skip
    rng = np.random.default_rng(5)
    stimulus = Stimulus(0.6 * rng.standard_normal((250, n)), "10 ms")
    run = simulate(net, stimulus, dt="0.05 ms", initial_state={"v": net.v_reset}, record=STATE)
    found = conditional_exponents(net, run)
    exact = np.array([continuous_exponent(net, k, stimulus) for k in range(n)])
    assert (exact < -1).all() and (found.cycles > 30).all()
    # Histories part where a rounded spike falls on the other side of a switch, hence 2 % for
    # the mean and the standard error for each.
    assert found.exponents.mean() == pytest.approx(exact.mean(), rel=0.02)
    assert (np.abs(found.exponents - exact) < found.stderr).all()


def test_kicked_qif_agrees_with_twins():
    n = 4
    net = uncoupled("qif", [0.01, 0.02, 0.02, 0.03], i_ext=[0.3, 0.5, -0.1, 0.8])
    rng = np.random.default_rng(1)
    step = np.unique(rng.integers(0, 1000, 60))
    kicks = SpikeInput(step * 1e-3, np.zeros_like(step), rng.normal(0.3, 0.6, (1, n)), 0)
    stimulus = Stimulus(0.2 * rng.standard_normal((200, n)), "5 ms", kicks)
    theta = np.tile([0.5, -1.0, 0.2, 1.0], (2, 1))
    theta[1] += 1e-8
    start = {"theta": theta}
    run = simulate(net, stimulus, initial_state=start, copies=2, record=STATE)
    end = run.final_state["theta"]
    apart = np.abs(np.mod(end[1] - end[0] + np.pi, 2 * np.pi) - np.pi)
    growth = run.final_state["growth"][0]
    measurable = growth > -12  # below that the twins agree to rounding
    assert measurable.sum() >= 2
    assert np.allclose(growth[measurable], np.log(apart[measurable] / 1e-8), atol=0.02)
    found = conditional_exponents(net, run.one_trial(0))
    spiking = found.cycles > 3
    assert spiking.sum() >= 3
    assert np.abs(found.exponents - growth / run.duration)[spiking].max() < 5 / run.duration
