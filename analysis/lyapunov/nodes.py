"""One Lyapunov exponent per neuron: growth of a perturbation under its frozen input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.lyapunov.cycles import Cycles, cycles
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.packing import Arrays, Held, register, take
from models_eq.simulate import simulate
from models_eq.stimulus import Stimulus, noise_stimulus
from models_eq.trajectory import Trajectory

DEFINITIONS = ("conditional", "perturbed", "weighted")


@dataclass(frozen=True, eq=False)
class NodeExponents:
    """One exponent per neuron.

    Attributes
    ----------
    exponents : ndarray, shape (n,), 1/s
        The exponents.
    stderr : ndarray, shape (n,), 1/s
        Standard error from the scatter between inter-spike intervals, taken as independent; 0
        where an exponent is exact (silent and periodic neurons), infinite where there is one
        interval only.
    cycles : ndarray of int, shape (n,)
        Inter-spike intervals that went into each (windows, or intervals between
        orthonormalisations, for the other definitions). A neuron without one has the exponent of
        its subthreshold dynamics.
    definition : str
        ``"conditional"``, ``"perturbed"`` or ``"weighted"``, see :func:`node_exponents`.
    horizon : float, s
        Over which a displacement grew (``perturbed``); 0 otherwise.
    """

    exponents: np.ndarray
    stderr: np.ndarray
    cycles: np.ndarray
    definition: str = "conditional"
    horizon: float = 0.0

    def __repr__(self) -> str:
        return (
            f"NodeExponents({self.definition}, {self.exponents.size} neurons, "
            f"mean {self.exponents.mean():.3g} 1/s)"
        )


def node_exponents(
    net: HRSNN,
    stimulus: Stimulus | None = None,
    *,
    duration: Any = None,
    dt: Any = "1 ms",
    seed: int = 0,
    definition: str = "conditional",
    horizon: Any = None,
) -> NodeExponents:
    """Simulate a network and estimate one exponent for each neuron.

    Parameters
    ----------
    net : HRSNN
        The network.
    stimulus : Stimulus, optional
        Frozen input, without trials. By default task-agnostic noise
        (:func:`models_eq.noise_stimulus`) drawn from ``seed``.
    duration : Quantity or str, optional
        Length of the run; by default that of the stimulus, or 3 s of noise.
    dt : Quantity or str
        Time step of ``conditional``; the other definitions choose their own, see
        :mod:`analysis.lyapunov.node_growth`.
    seed : int
        Seed of the initial state and of the noise.
    definition : {'conditional', 'perturbed', 'weighted'}
        What the exponent of a neuron is, see Notes.
    horizon : Quantity or str, optional
        Over which a displacement grows, for ``perturbed``; by default 0.1 s.

    Returns
    -------
    NodeExponents

    Raises
    ------
    CapabilityError
        For another definition, or a model without a formula.
    ParameterError
        For a stimulus with trials, a horizon where there is none, or whatever
        :func:`models_eq.simulate` refuses.

    Notes
    -----
    ``conditional``
        Growth of a perturbation of the neuron alone, its input frozen
        (:func:`conditional_exponents`). 0 for a neuron that runs freely, -1/tau for a silent one.
        Cost: one run; any n.
    ``perturbed``
        Growth of the distance between whole states, over a stated horizon, after neuron i alone
        was displaced (:func:`~analysis.lyapunov.node_growth.perturbed_exponents`). How much the
        network feels the neuron. Cost: n tangent vectors over five horizons, memory 16 n^2 bytes.
    ``weighted``
        The exponents of the network, each weighted by the neuron's part in its vector
        (:func:`~analysis.lyapunov.node_growth.weighted_exponents`). Cost: the whole spectrum,
        time n^3; some hundred neurons.

    None of them says reliably what removing the neuron would do.

    Examples
    --------
    >>> from models_eq import use_device
    >>> net = HRSNN("lif_exp", 2, i=[0], j=[1], w=[0.1], tau_m=[0.02, 0.05])
    >>> with use_device("numpy"):
    ...     found = node_exponents(net, Stimulus(np.zeros((1, 2)), "1 s"))
    >>> found.exponents  # nothing spikes: the membranes forget with their time constants
    array([-50., -20.])
    """
    if definition not in DEFINITIONS:
        raise CapabilityError(
            "definition", "one of " + ", ".join(map(repr, DEFINITIONS)), definition,
            "Of the definitions in the literature only these exist here",
        )  # fmt: skip
    if stimulus is None:
        duration = "3 s" if duration is None else duration
        stimulus = noise_stimulus(net, duration, seed=seed)
    elif stimulus.n_trials:
        raise ParameterError("stimulus", "one without trials", f"{stimulus.n_trials} trials")
    if horizon is not None and definition != "perturbed":
        raise ParameterError("horizon", f"nothing for definition={definition!r}", horizon)
    if definition != "conditional":
        # They stand on the spectrum, which stands on this file.
        from analysis.lyapunov import node_growth

        if definition == "weighted":
            return node_growth.weighted_exponents(
                net, stimulus, duration=duration, dt=None, seed=seed
            )
        return node_growth.perturbed_exponents(
            net, stimulus, duration=duration, seed=seed,
            horizon="0.1 s" if horizon is None else horizon,
        )  # fmt: skip
    run = simulate(net, stimulus, duration=duration, dt=dt, record=["spike_state"], seed=seed)
    return conditional_exponents(net, run)


def conditional_exponents(net: HRSNN, trajectory: Trajectory) -> NodeExponents:
    """Exponent of each neuron in its frozen input.

    Parameters
    ----------
    net : HRSNN
        The network that ran.
    trajectory : Trajectory
        One trial of it, recorded with ``"spike_state"``. For ``qif`` the final state will do,
        at the price of an error of the order of 1/duration.

    Returns
    -------
    NodeExponents

    Raises
    ------
    ParameterError
        If the trajectory does not belong to the network or lacks the recording.
    CapabilityError
        For a model without a formula.

    Notes
    -----
    For the leaky models a perturbation decays with the membrane while the neuron integrates and
    is multiplied by a jump (saltation) at each spike, so that over an inter-spike interval

        log growth = -T_active / tau_m + log | f(release) / f(spike) |

    with f = dv/dt. Threshold crossings are located inside the time step by inverting the exact
    propagator; what follows on the grid (reset, release) moves along with the crossing. Summed
    over intervals this is ``-(1 - nu t_ref)/tau_m + nu <log|f(release)/f(spike)|>`` with t_ref
    from crossing to release; a free-running neuron has 0, a silent one ``-1/tau_m``.

    ``alif``: the product of the 2 x 2 maps of (v, a) from crossing to crossing, started along
    the flow; growth is that of the shift in spike time. ``qif``: the growth of the phase, which
    is integrated along with it, from crossing to crossing, where the speed of the phase is
    always 2/tau_m.

    ``lif_delta``: a spike that a kick sets off at once is tied to the time of the kick and
    keeps nothing of the perturbation: the exponent proper is -infinity. On a grid the kick
    counts as spread over one step, f(spike) = kick/dt, so the exponents of neurons driven over
    threshold by excitatory kicks are finite and fall with log(dt).

    References
    ----------
    Zhou, Sun, Rangan & Cai 2010, 10.1007/s10827-009-0201-3; Bizzarri, Brambilla & Storti Gajani
    2013, 10.1007/s10827-013-0448-6.
    """
    if trajectory.digest != net.digest:
        raise ParameterError("trajectory", "a run of this network", "one of another network")
    if trajectory.n_trials != 1:
        raise ParameterError("trajectory", "one trial", f"{trajectory.n_trials} trials")
    if net.model == "qif":
        return _qif(net, trajectory)
    if net.model not in ("lif_exp", "lif_delta", "alif"):
        raise CapabilityError("model", "lif_exp, lif_delta, alif or qif", net.model)
    if trajectory.n_spikes and "v" not in trajectory.at_spike:
        raise ParameterError(
            "trajectory", "a run recorded with record=['spike_state']", "spikes alone"
        )
    c = cycles(net, trajectory)
    if net.model == "alif":
        return _alif(net, c)
    tau = net.tau_m[c.neuron]
    f_release = np.maximum(np.abs(c.f_release), 1e-12 / tau)
    growth = -c.active / tau + np.log(f_release / np.abs(c.slope[1]))
    return _average(net, c.neuron, growth, c.length)


def _average(
    net: HRSNN, neuron: np.ndarray, growth: np.ndarray, length: np.ndarray
) -> NodeExponents:
    count = np.bincount(neuron, minlength=net.n)
    total = np.bincount(neuron, length, net.n)
    silent = count == 0
    mean = np.bincount(neuron, growth, net.n) / np.where(silent, 1.0, total)
    # Standard error of a ratio of sums over intervals; one interval says nothing about it.
    residual = growth - mean[neuron] * length
    spread = np.bincount(neuron, residual**2, net.n)
    stderr = np.sqrt(spread * count / np.maximum(count - 1, 1)) / np.where(silent, 1.0, total)
    return NodeExponents(
        exponents=np.where(silent, -1.0 / net.tau_m, mean),
        stderr=np.where(count == 1, np.inf, stderr),
        cycles=count,
    )


def _alif(net: HRSNN, c: Cycles) -> NodeExponents:
    """Product of the 2 x 2 tangent maps of (v, a), one interval of every neuron at a time."""
    count = np.bincount(c.neuron, minlength=net.n)
    first = np.searchsorted(c.neuron, np.arange(net.n))
    tau, tau_a, jump = net.tau_m, net.params["tau_a"], net.params["jump_a"]
    # The vector lives at the crossing, just before the spike: (dv, da) of a shift in time.
    spikes = np.flatnonzero(count > 0)
    dv, da = np.zeros(net.n), np.zeros(net.n)
    dv[spikes] = c.f_start[first[spikes]]
    da[spikes] = dv[spikes] - c.slope[0][first[spikes]]
    growth = np.zeros(c.neuron.size)
    for k in range(int(count.max(initial=0))):
        n = np.flatnonzero(count > k)
        at = first[n] + k
        lag = (dv[n] - da[n]) / c.slope[0][at]
        # The threshold jumps at the end of the step and moves with the spike.
        da[n] -= lag * jump[n] / tau_a[n] * np.exp(c.delay_start[at] / tau_a[n])
        da[n] *= np.exp(-c.length[at] / tau_a[n])
        dv[n] = c.f_release[at] * lag * np.exp(-c.active[at] / tau[n])
        size = np.maximum(np.abs(dv[n] - da[n]) / np.abs(c.slope[1][at]), 1e-300)
        growth[at] = np.log(size)
        dv[n] /= size
        da[n] /= size
    result = _average(net, c.neuron, growth, c.length)
    slowest = -1.0 / np.maximum(tau, tau_a)
    return NodeExponents(
        np.where(count == 0, slowest, result.exponents), result.stderr, result.cycles
    )


def _qif(net: HRSNN, trajectory: Trajectory) -> NodeExponents:
    if "growth" not in trajectory.final_state:
        raise ParameterError("trajectory", "one that holds its final state", "none")
    # Without intervals only the end points are known: an error of the order of 1/T.
    whole = trajectory.final_state["growth"][0] / trajectory.duration
    error = np.full(net.n, 1.0 / trajectory.duration)
    if "growth" not in trajectory.at_spike:
        return NodeExponents(whole, error, np.zeros(net.n, dtype=np.int64))
    order = np.lexsort((trajectory.t, trajectory.i))
    i = trajectory.i[order]
    state = {name: value[order] for name, value in trajectory.at_spike.items()}
    drive, theta = net.i_ext[i] + state["i_stim"], state["theta"]
    speed = (1 - np.cos(theta)) + (1 + np.cos(theta)) * drive  # times 1/tau_m; 2 at the crossing
    growth = state["growth"] - np.log(speed / 2)
    delay = net.tau_m[i] * (theta - np.pi) / (0.5 * (speed + 2))
    crossing = trajectory.t[order] + trajectory.dt - delay
    same = np.flatnonzero(np.diff(i) == 0)
    result = _average(net, i[same], np.diff(growth)[same], np.diff(crossing)[same])
    none = result.cycles == 0
    return NodeExponents(
        np.where(none, whole, result.exponents), np.where(none, error, result.stderr), result.cycles
    )


def _encode(value: NodeExponents) -> tuple[Arrays, Mapping[str, Any]]:
    arrays = {name: getattr(value, name) for name in ("exponents", "stderr", "cycles")}
    return arrays, {"definition": value.definition, "horizon": value.horizon}


def _decode(arrays: Held, meta: Mapping[str, Any]) -> NodeExponents:
    shape = take(arrays, "exponents", "<f8").shape
    return NodeExponents(
        take(arrays, "exponents"), take(arrays, "stderr", "<f8", shape),
        take(arrays, "cycles", "<i8", shape), meta["definition"], meta.get("horizon", 0.0),
    )  # fmt: skip


register("NodeExponents", NodeExponents, _encode, _decode)
