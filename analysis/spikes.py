"""What spike trains say: rates, irregularity, filtered traces, synaptic operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.special import factorial

from models_eq.checks import whole
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.neurons import neuron_model
from models_eq.trajectory import Trajectory
from models_eq.units import positive_seconds


def rates(trajectory: Trajectory) -> np.ndarray:
    """Mean firing rate of each neuron over all trials.

    Parameters
    ----------
    trajectory : Trajectory
        Spikes.

    Returns
    -------
    ndarray, shape (n,), Hz
    """
    count = np.bincount(trajectory.i, minlength=trajectory.n)
    return count / (trajectory.duration * trajectory.n_trials)


def interval_cv(trajectory: Trajectory) -> np.ndarray:
    """Coefficient of variation of the inter-spike intervals of each neuron.

    Parameters
    ----------
    trajectory : Trajectory
        Spikes; no interval spans two trials.

    Returns
    -------
    ndarray, shape (n,)
        About 1 for a Poisson process, 0 for a regular train; NaN (undefined) where a neuron has
        fewer than two intervals within trials.
    """
    order = np.lexsort((trajectory.t, trajectory.trial, trajectory.i))
    t, i, trial = trajectory.t[order], trajectory.i[order], trajectory.trial[order]
    same = (np.diff(i) == 0) & (np.diff(trial) == 0)
    interval, neuron = np.diff(t)[same], i[1:][same]
    count = np.bincount(neuron, minlength=trajectory.n)
    enough = count >= 2
    share = 1.0 / np.maximum(count, 1)
    mean = np.bincount(neuron, interval, trajectory.n) * share
    # Around the mean, not as a difference of squares: a regular train has exactly no variance.
    variance = np.bincount(neuron, (interval - mean[neuron]) ** 2, trajectory.n) * share
    return np.where(enough, np.sqrt(variance) / np.where(enough, mean, 1.0), np.nan)


def gamma_kernel(age: np.ndarray, order: int) -> np.ndarray:
    """Kernels of a chain of ``order`` equal leaky integrators, each driven by the one before.

    Parameters
    ----------
    age : ndarray
        Time since the spike in units of the time constant.
    order : int
        Number of integrators.

    Returns
    -------
    ndarray, shape (order, ...)
        ``age^k exp(-age) / k!`` for k = 0 .. order - 1, each of the shape of ``age``: all have the
        area of one time constant.

    References
    ----------
    de Vries & Principe 1992, Neural Networks 5:565 (the gamma memory).
    """
    power = np.arange(order).reshape(-1, *[1] * np.ndim(age))
    return np.asarray(age**power * np.exp(-age) / factorial(power))


def filtered_traces(
    trajectory: Trajectory, interval: Any, tau: Any = "50 ms", order: int = 1
) -> np.ndarray:
    """Spike trains filtered by a decaying exponential, or a chain of them, at regular times.

    Parameters
    ----------
    trajectory : Trajectory
        Spikes; a spike of the step ``t .. t + dt`` counts at its end, ``t + dt``.
    interval : Quantity or str
        Sampling interval; samples lie at ``interval, 2 interval, ...`` up to the duration.
    tau : Quantity or str
        Time constant of the filter.
    order : int
        Leaky integrators one after the other. An exponential jumps by 1 at each spike, which a
        readout sees as noise; from the second order on the trace is continuous, and later.

    Returns
    -------
    ndarray, shape (n_trials, samples, n), float32
        ``x_i(T) = sum over spikes t <= T of k((T - t) / tau)``, with ``k(a) = a^(order - 1)
        exp(-a) / (order - 1)!`` (:func:`gamma_kernel`).

    Raises
    ------
    ParameterError
        If the interval is longer than a trial, or the order is below 1.
    """
    order = whole(order, "order")
    step, decay = positive_seconds(interval, "interval"), positive_seconds(tau, "tau")
    samples = int(np.floor(trajectory.duration / step + 1e-6))
    if samples < 1:
        raise ParameterError(
            "interval", f"at most the duration ({trajectory.duration:g} s)", f"{step:g} s"
        )
    when = trajectory.t + trajectory.dt
    index = np.maximum(np.ceil(when / step - 1e-6).astype(np.int64) - 1, 0)
    inside = index < samples
    index, when = index[inside], when[inside]
    kernels = gamma_kernel(((index + 1) * step - when) / decay, order)
    flat = (trajectory.trial[inside] * samples + index) * trajectory.n + trajectory.i[inside]
    shape = (trajectory.n_trials, samples, trajectory.n)
    kept = gamma_kernel(np.array(step / decay), order)
    stages: list[np.ndarray] = []
    for k, weight in enumerate(kernels):
        value = np.bincount(flat, weight, int(np.prod(shape))).reshape(shape)
        for j, earlier in enumerate(stages):  # what the integrators before hand on in an interval
            value[:, 1:] += kept[k - j] * earlier[:, :-1]
        if samples > 1:
            value = lfilter([1.0], [1.0, -kept[0]], value, axis=1)
        stages.append(value)
    return stages[-1].astype(np.float32)


def synaptic_operations(trajectory: Trajectory, net: HRSNN) -> float:
    """Recurrent synaptic operations per second of biological time.

    Parameters
    ----------
    trajectory : Trajectory
        A run of ``net``.
    net : HRSNN
        The network whose synapses transmit.

    Returns
    -------
    float
        ``sum over spikes of the out-degree of the spiking neuron``, divided by the time of all
        trials, 1/s.

    Raises
    ------
    ParameterError
        If the trajectory belongs to a network of another size.
    """
    if trajectory.n != net.n:
        raise ParameterError("net", f"a network of {trajectory.n} neurons", net)
    return float(rates(trajectory) @ net.out_degree)


def mean_drive(net: HRSNN, rate: np.ndarray) -> np.ndarray:
    """Mean recurrent input of each neuron at given presynaptic rates.

    Parameters
    ----------
    net : HRSNN
        The network.
    rate : ndarray, shape (n,), Hz
        Presynaptic rates.

    Returns
    -------
    ndarray, shape (n,)
        ``sum_j W_ij tau nu_j`` with ``tau = tau_syn`` where the model has a synaptic current (a
        kick of it lasts that long) and ``tau = tau_m`` where kicks act on the membrane.
    """
    tau = net.tau_syn if neuron_model(net.model).has_synaptic_current else net.tau_m
    return tau * (net.weights @ rate)
