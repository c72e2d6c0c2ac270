"""What a network does under a task-agnostic drive: moments of its synaptic traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.spikes import filtered_traces
from models_eq.checks import whole
from models_eq.errors import ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.stimulus import Stimulus, deviation, ou_signal
from models_eq.trajectory import Trajectory
from models_eq.units import positive_seconds

TAU = "50 ms"
_SWEEPS = 60
_LARGEST = 0.9


@dataclass(frozen=True)
class Drive:
    """Task-agnostic drive: trials of slow random input, each through fresh random weights.

    Attributes
    ----------
    channels : tuple of int
        Numbers of channels, which the trials take in turn.
    trials : int
        Trials side by side.
    rows, washout : int
        Samples of a trial, and how many of them are left out at its start.
    times : (float, float)
        Shortest and longest correlation time of a channel, in samples (log-uniform between).
    sd : float
        Standard deviation of the input current of a neuron, all channels together.
    hold : str
        Length of a sample.

    Raises
    ------
    ParameterError
        For numbers out of range.
    UnitError
        For a hold without a unit.
    """

    channels: tuple[int, ...] = (20,)
    trials: int = 24
    rows: int = 200
    washout: int = 50
    times: tuple[float, float] = (3.0, 30.0)
    sd: float = 2.0
    hold: str = "10 ms"

    def __post_init__(self) -> None:
        if not self.channels:
            raise ParameterError("channels", "at least one number of channels", self.channels)
        for count in self.channels:
            whole(count, "channels")
        whole(self.trials, "trials")
        whole(self.washout, "washout", 0)
        if whole(self.rows, "rows", 2) < self.washout + 2:
            expected = f"at least two samples after {self.washout} of washout"
            raise ParameterError("rows", expected, self.rows)
        if not 0 < self.times[0] <= self.times[1] < np.inf:
            raise ParameterError("times", "0 < shortest <= longest, in samples", self.times)
        deviation(self.sd)
        positive_seconds(self.hold, "hold")

    def stimulus(self, n: int, rng: np.random.Generator) -> Stimulus:
        """One draw of it, for ``n`` (original) neurons."""
        current = np.empty((self.trials, self.rows, n))
        for trial in range(self.trials):
            count = self.channels[trial % len(self.channels)]
            times = np.exp(rng.uniform(np.log(self.times[0]), np.log(self.times[1]), size=count))
            weights = rng.normal(0.0, self.sd / np.sqrt(count), size=(count, n))
            current[trial] = ou_signal(self.rows, times, rng) @ weights
        return Stimulus(current, self.hold)


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and covariances of the synaptic traces, and how neurons respond to their drive.

    Attributes
    ----------
    taus : ndarray, shape (g,), s
        The distinct synaptic time constants.
    mean : ndarray, shape (g, n)
        Mean of the traces ``s_j = sum over spikes of exp(-t/tau)``, for each tau.
    gram : ndarray, shape (g, n, n)
        Their covariance.
    response, response_syn : ndarray, shape (n,)
        Mean squared slope of the trace (of 50 ms, and of the synaptic tau) on the drive.
    """

    taus: np.ndarray
    mean: np.ndarray
    gram: np.ndarray
    response: np.ndarray
    response_syn: np.ndarray

    @classmethod
    def pooled(cls, parts: Sequence[Moments]) -> Moments:
        """Moments of several recordings of the same network and length together."""
        mean = np.mean([p.mean for p in parts], axis=0)
        spread = [(p.mean - mean)[:, :, None] * (p.mean - mean)[:, None, :] for p in parts]
        gram = np.mean([p.gram + s for p, s in zip(parts, spread, strict=True)], axis=0)
        return cls(
            parts[0].taus,
            mean,
            gram,
            np.mean([p.response for p in parts], axis=0),
            np.mean([p.response_syn for p in parts], axis=0),
        )

    def gram_of(self, net: HRSNN, post: int) -> np.ndarray:
        """Covariance of the traces as neuron ``post`` of ``net`` sees them, shape (n, n)."""
        return self.gram[np.searchsorted(self.taus, net.tau_syn[post])]

    def mean_of(self, net: HRSNN, post: int) -> np.ndarray:
        """Mean of the traces as neuron ``post`` of ``net`` sees them, shape (n,)."""
        return self.mean[np.searchsorted(self.taus, net.tau_syn[post])]


def synaptic_traces(run: Trajectory, taus: np.ndarray, hold: Any, washout: int) -> list[np.ndarray]:
    """Traces of each neuron for each synaptic time constant.

    Returns
    -------
    list of ndarray, shape (trials, rows - washout, n), float32
    """
    return [filtered_traces(run, hold, f"{float(tau)!r} s")[:, washout:] for tau in taus]


def currents(net: HRSNN, weights: np.ndarray, traces: list[np.ndarray], taus: np.ndarray) -> Any:
    """Recurrent current of each neuron, shape (trials, rows, n).

    Parameters
    ----------
    net : HRSNN
        Gives the time constants.
    weights : ndarray, shape (n, n), (post, pre)
    traces, taus
        As of :func:`synaptic_traces`.
    """
    result = np.empty(traces[0].shape, dtype=np.float32)
    for tau, trace in zip(taus, traces, strict=True):
        mine = net.tau_syn == tau
        result[:, :, mine] = trace @ weights[mine].T.astype(np.float32)
    return result


def slopes(net: HRSNN, drive: np.ndarray, trace: np.ndarray, tau: np.ndarray, hold: float) -> Any:
    """Slope of each neuron's trace on its drive while it is driven above threshold.

    Parameters
    ----------
    net : HRSNN
        Gives threshold and rest.
    drive, trace : ndarray, shape (trials, rows, n)
        Whole input current, and the trace of the neuron's own spikes.
    tau : ndarray, shape (n,), s
        Time constants of the trace; the drive is filtered alike.
    hold : float, s
        Interval of the rows.

    Returns
    -------
    slope : ndarray, shape (n,)
        At least 0; 0 for a neuron that is hardly ever above threshold.
    above : ndarray, shape (n,)
        Share of the rows above it.
    """
    decay = np.exp(-hold / tau)
    smooth = np.empty_like(drive)
    level = drive[:, 0].copy()
    for row in range(drive.shape[1]):
        level = decay * level + (1 - decay) * drive[:, row]
        smooth[:, row] = level
    over = smooth > net.v_th - net.v_rest
    count = np.maximum(over.sum(axis=(0, 1)), 1)
    x = np.where(over, smooth - np.where(over, smooth, 0).sum(axis=(0, 1)) / count, 0.0)
    y = np.where(over, trace, 0.0)
    power = (x * x).sum(axis=(0, 1))
    slope = (x * y).sum(axis=(0, 1)) / np.where(power > 0, power, 1.0)
    return np.maximum(slope, 0.0).astype(float), over.mean(axis=(0, 1))


def observe(net: HRSNN, stimulus: Stimulus, drive: Drive, *, dt: Any, seed: int) -> Moments:
    """Run a network under a drive and take the moments of its traces.

    Parameters
    ----------
    net : HRSNN
        The network.
    stimulus : Stimulus
        A draw of ``drive``.
    drive : Drive
        Gives washout and hold.
    dt : Quantity or str
        Time step.
    seed : int
        Seed of the initial state.

    Raises
    ------
    SilentNetworkError
        If no neuron spikes.
    """
    run = simulate(net, stimulus, dt=dt, seed=seed)
    taus = np.unique(net.tau_syn)
    traces = synaptic_traces(run, taus, drive.hold, drive.washout)
    if not any(trace.any() for trace in traces):
        hint = "Raise i_ext, or the sd of the drive"
        raise SilentNetworkError("dense", "a network that spikes under the drive", "no spike", hint)
    mean, gram = [], []
    for trace in traces:
        flat = trace.reshape(-1, net.n)
        centre = flat.mean(axis=0, dtype=float)
        flat = flat - centre.astype(np.float32)
        mean.append(centre)
        gram.append((flat.T @ flat).astype(float) / len(flat))
    whole_drive = currents(net, net.weights.toarray(), traces, taus) + net.i_ext
    whole_drive += stimulus.current[:, drive.washout :, stimulus.columns(net)]
    own = np.empty_like(traces[0])
    for tau, trace in zip(taus, traces, strict=True):
        own[:, :, net.tau_syn == tau] = trace[:, :, net.tau_syn == tau]
    slow = filtered_traces(run, drive.hold, TAU)[:, drive.washout :]
    hold = stimulus.hold
    fast_slope, above = slopes(net, whole_drive, own, net.tau_syn, hold)
    slow_slope, _ = slopes(net, whole_drive, slow, np.full(net.n, 0.05), hold)
    return Moments(
        taus, np.array(mean), np.array(gram), above * slow_slope**2, above * fast_slope**2
    )


def importance(net: HRSNN, moments: Moments) -> np.ndarray:
    """How much an error in a neuron's current matters to the traces of the whole network.

    Parameters
    ----------
    net : HRSNN
        The network.
    moments : Moments
        Of the network.

    Returns
    -------
    ndarray, shape (n,)
        Variance of all traces that unit variance of a current error brings about; at least a
        thousandth of the mean, so that no neuron is given up.

    Notes
    -----
    Independent errors of variance e spread as ``v = e + (W o W) diag(G) v`` with G the mean
    squared slope of traces on drive, and show in the traces as ``sum_i H_i v_i``. So
    ``q = (1 - (W o W) diag(G))^-T H``, summed as a series; where that would grow without bound,
    G is scaled down.
    """
    squares = net.weights.power(2)
    gain = moments.response_syn.copy()
    start = moments.response
    x = np.full(net.n, net.n**-0.5)
    radius = 0.0
    for _ in range(_SWEEPS):
        y = squares @ (gain * x)
        radius = float(np.linalg.norm(y))
        x = y / radius if radius > 0 else x
    if radius > _LARGEST:
        gain *= _LARGEST / radius
    total, term = start.copy(), start.copy()
    for _ in range(_SWEEPS):
        term = gain * (squares.T @ term)
        total += term
    floor = 1e-3 * float(total.mean())
    return np.maximum(total, floor) if floor > 0 else np.ones(net.n)
