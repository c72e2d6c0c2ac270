"""Inter-spike intervals with their threshold crossings located inside the time step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.neurons import coupling
from models_eq.trajectory import Trajectory


@dataclass(frozen=True)
class Crossings:
    """Threshold crossings, one for each spike, in the order of the spikes.

    Attributes
    ----------
    delay : ndarray, shape (k,), s
        Time from the crossing to the end of its step.
    f, slope : ndarray, shape (k,), 1/s
        Growth of v, and of v - threshold (the same but for alif), at the crossing.
    """

    delay: np.ndarray
    f: np.ndarray
    slope: np.ndarray


def crossings(net: HRSNN, trajectory: Trajectory) -> Crossings:
    """Locate the threshold crossing of each spike inside its step.

    Parameters
    ----------
    net : HRSNN
        A ``lif_exp``, ``lif_delta`` or ``alif`` network.
    trajectory : Trajectory
        A run of it, recorded with ``"spike_state"``.

    Notes
    -----
    The exact propagator is run backwards from the end of the step and v = threshold found by
    Newton's method inside a bracket. In ``lif_delta`` a kick that lifts v over the threshold
    counts as spread over one step: it puts the crossing at the start of the step, with slope
    kick/dt.
    """
    k = trajectory.i
    state, dt = trajectory.at_spike, trajectory.dt
    if k.size == 0:
        return Crossings(np.zeros(0), np.zeros(0), np.zeros(0))
    drive = net.v_rest[k] + net.i_ext[k] + state["i_stim"]
    tau, tau_s = net.tau_m[k], net.tau_syn[k]
    s_end = state.get("s", np.zeros(k.size))
    a_end = state.get("a", np.zeros(k.size))
    tau_a = net.params["tau_a"][k] if "tau_a" in net.params else np.ones(k.size)

    def excess(back: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distance above threshold that long before the end of the step, and its derivative."""
        s, a = s_end * np.exp(back / tau_s), a_end * np.exp(back / tau_a)
        v = drive + (state["v"] - drive - s * coupling(back, tau, tau_s)) * np.exp(back / tau)
        return v - net.v_th[k] - a, (v - drive - s) / tau - a / tau_a

    end = np.full(k.size, dt)
    over = excess(end)[0]
    delay = _root(excess, end, over > 0)
    s = s_end * np.exp(delay / tau_s)
    a = a_end * np.exp(delay / tau_a)
    f = (drive + s - net.v_th[k] - a) / tau
    slope = f + a / tau_a
    if net.model == "lif_delta":
        # Above threshold before the step began, by more than rounding.
        kicked = np.flatnonzero(over > 1e-9 * (net.v_th[k] - net.v_reset[k]))
        if kicked.size:
            kick = np.maximum(_kicks(net, trajectory, kicked), over[kicked])
            f[kicked] = slope[kicked] = kick / dt
    tiny = 1e-12 / tau  # a grazing crossing: its logarithm shall stay finite
    return Crossings(delay, f, np.where(np.abs(slope) < tiny, tiny, slope))


def _root(
    excess: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], end: np.ndarray, no: np.ndarray
) -> np.ndarray:
    """Where a function falls through 0 between 0 and ``end``; ``end`` where it does not (``no``).

    Newton's method, with a bisection wherever it would leave the bracket.
    """
    low, high = np.where(no, end, 0.0), end.copy()
    x = 0.5 * (low + high)
    close = 1e-12 * end
    for _ in range(40):
        value, slope = excess(x)
        above = value > 0
        low, high = np.where(above & ~no, x, low), np.where(above | no, high, x)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = x - value / slope
        # Rounding may put a root that is found just outside; what is undefined is outside.
        inside = (new >= low - close) & (new <= high + close)
        new = np.where(inside, np.clip(new, 0.0, end), 0.5 * (low + high))
        done, x = bool((np.abs(new - x) <= close).all()), new
        if done:
            break
    return x


def _kicks(net: HRSNN, trajectory: Trajectory, spikes: np.ndarray) -> np.ndarray:
    """Recurrent kick that the neurons of some spikes got at the end of the step before."""
    step = np.rint(trajectory.t / trajectory.dt).astype(np.int64)
    before = step[spikes] - 1
    first = np.searchsorted(step, before, side="left")
    count = np.searchsorted(step, before, side="right") - first
    at = np.repeat(np.arange(spikes.size), count)
    nth = np.arange(at.size) - np.repeat(np.cumsum(count) - count, count)
    wanted = trajectory.i[first[at] + nth] * net.n + trajectory.i[spikes][at]
    key = net.i * net.n + net.j  # ascending
    place = np.searchsorted(key, wanted)
    found = place < key.size
    found[found] = key[place[found]] == wanted[found]
    return np.bincount(at[found], net.w[place[found]], spikes.size)


@dataclass(frozen=True)
class Cycles:
    """Intervals between successive spikes of one neuron, in order of (neuron, time).

    Attributes
    ----------
    neuron : ndarray of int, shape (c,)
        Whose interval it is.
    length, active : ndarray, shape (c,), s
        From crossing to crossing, and the part of it from the release on.
    f_release : ndarray, shape (c,), 1/s
        dv/dt just after the release.
    f_start : ndarray, shape (c,), 1/s
        dv/dt at the crossing that starts the interval.
    delay_start : ndarray, shape (c,), s
        Delay of that crossing.
    slope : pair of ndarray, shape (c,), 1/s
        Growth of v - threshold at the crossings that start and end the interval.
    """

    neuron: np.ndarray
    length: np.ndarray
    active: np.ndarray
    f_release: np.ndarray
    f_start: np.ndarray
    delay_start: np.ndarray
    slope: tuple[np.ndarray, np.ndarray]


def cycles(net: HRSNN, trajectory: Trajectory) -> Cycles:
    """Inter-spike intervals of one trial.

    Parameters
    ----------
    net : HRSNN
        A ``lif_exp``, ``lif_delta`` or ``alif`` network.
    trajectory : Trajectory
        One trial of it, recorded with ``"spike_state"``.

    Raises
    ------
    ParameterError
        If the releases were not recorded.
    """
    at = crossings(net, trajectory)
    order = np.lexsort((trajectory.t, trajectory.i))
    i, f, slope, delay = trajectory.i[order], at.f[order], at.slope[order], at.delay[order]
    crossing = trajectory.t[order] + trajectory.dt - delay
    same = np.flatnonzero(np.diff(i) == 0)
    neuron = i[same]
    # The k-th release of a neuron follows its k-th spike; only the last may be missing.
    rank = np.arange(i.size) - np.searchsorted(i, i)
    held = trajectory.release
    if same.size and not held:
        raise ParameterError("trajectory", "a run with its releases recorded", "none")
    release = {name: np.asarray(value) for name, value in held.items()}
    r_order = np.lexsort((release["t"], release["i"])) if release else np.zeros(0, dtype=np.int64)
    r_first = np.searchsorted(release["i"][r_order] if release else r_order, neuron)
    chosen = r_order[r_first + rank[same]]
    nothing = np.zeros(same.size)
    start = release["t"][chosen] if release else nothing
    s = release["s"][chosen] if "s" in release else nothing
    stim = release["i_stim"][chosen] if release else nothing
    drive = net.v_rest[neuron] + net.i_ext[neuron] + stim + s
    return Cycles(
        neuron=neuron,
        length=crossing[same + 1] - crossing[same],
        active=crossing[same + 1] - start,
        f_release=(drive - net.v_reset[neuron]) / net.tau_m[neuron],
        f_start=f[same],
        delay_start=delay[same],
        slope=(slope[same], slope[same + 1]),
    )
