"""Stimulus: frozen inputs as arrays, the same for every device, copy and pruned network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from models_eq.checks import floats, frozen, integers, refuse, whole
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.units import TIME, positive_seconds

_WEIGHTS = "SpikeInput.weights"


@dataclass(frozen=True, eq=False)
class SpikeInput:
    """Frozen input spikes on channels, projected onto the network.

    Parameters
    ----------
    t : ndarray, shape (k,), s
        Spike times, from the start of the trial. One acts at the end of its time step, as the
        network's own spikes do.
    channel : ndarray of int, shape (k,)
        Channel of each spike.
    weights : ndarray, shape (c, n)
        Kick that a spike of a channel gives to each (original) neuron.
    trial : ndarray of int, shape (k,)
        Trial of each spike; 0 throughout where there are no trials.

    Raises
    ------
    ParameterError
        Naming the field that is wrong.
    """

    t: np.ndarray
    channel: np.ndarray
    weights: np.ndarray
    trial: np.ndarray

    def __post_init__(self) -> None:
        t, weights = floats(self.t, "SpikeInput.t", TIME), floats(self.weights, _WEIGHTS)
        channel = integers(self.channel, "SpikeInput.channel")
        trial = integers(self.trial, "SpikeInput.trial")
        if t.ndim != 1:
            raise ParameterError("SpikeInput.t", "a 1-d array", f"shape {t.shape}")
        for name, array in (("channel", channel), ("trial", trial)):
            if array.shape not in ((), t.shape):
                raise ParameterError(
                    f"SpikeInput.{name}", f"a scalar or shape {t.shape}", f"shape {array.shape}"
                )
        channel, trial = np.broadcast_to(channel, t.shape), np.broadcast_to(trial, t.shape)
        refuse(~(np.isfinite(t) & (t >= 0)), t, "SpikeInput.t", "times of at least 0 s", "spike")
        if weights.ndim != 2 or 0 in weights.shape:
            raise ParameterError(_WEIGHTS, "shape (channels, n)", f"shape {weights.shape}")
        if not np.isfinite(weights).all():
            raise ParameterError(_WEIGHTS, "finite values", "NaN or infinity")
        outside = (channel < 0) | (channel >= weights.shape[0])
        expected = f"channels in 0..{weights.shape[0] - 1}"
        refuse(outside, channel, "SpikeInput.channel", expected, "spike")
        refuse(trial < 0, trial, "SpikeInput.trial", "trials of at least 0", "spike")
        for name, value in (("t", t), ("channel", channel), ("trial", trial), ("weights", weights)):
            object.__setattr__(self, name, frozen(value))


@dataclass(frozen=True, eq=False)
class Stimulus:
    """A frozen input: currents held piecewise constant, and optionally spikes.

    Columns stand for the neurons of the *original* network, so that a pruned network
    (through ``net.ids``) sees the same input as its parent did.

    Parameters
    ----------
    current : ndarray, shape (rows, n) or (trials, rows, n)
        Drive added to ``i_ext``, dimensionless. With trials, the state is reset at the start of
        each and trials run side by side.
    hold : Quantity or str
        How long each row lasts.
    spikes : SpikeInput, optional
        Frozen input spikes on top.

    Raises
    ------
    ParameterError
        For a wrong shape or values that are not finite.
    UnitError
        For a hold without a unit.
    """

    current: np.ndarray
    hold: Any
    spikes: SpikeInput | None = field(default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hold", positive_seconds(self.hold, "hold"))
        current = floats(self.current, "Stimulus.current")
        if current.ndim not in (2, 3) or 0 in current.shape:
            raise ParameterError(
                "Stimulus.current", "shape (rows, n) or (trials, rows, n)", f"{current.shape}"
            )
        if not np.isfinite(current).all():
            raise ParameterError("Stimulus.current", "finite values", "NaN or infinity")
        object.__setattr__(self, "current", frozen(current))
        if self.spikes is not None:
            self._check_spikes(self.spikes)

    def _check_spikes(self, spikes: SpikeInput) -> None:
        if not isinstance(spikes, SpikeInput):
            raise ParameterError("Stimulus.spikes", "a SpikeInput", type(spikes).__name__)
        columns, trials = spikes.weights.shape[1], max(1, self.n_trials)
        if columns != self.n:
            raise ParameterError(_WEIGHTS, f"{self.n} columns", f"{columns}")
        # Later ones would leak into the trial that runs next.
        late = spikes.t >= self.duration * (1 - 1e-9)
        refuse(late, spikes.t, "SpikeInput.t", f"times below {self.duration:g} s", "spike")
        beyond = spikes.trial >= trials
        refuse(beyond, spikes.trial, "SpikeInput.trial", f"trials below {trials}", "spike")

    @property
    def n(self) -> int:
        """Number of (original) neurons that the input is drawn for."""
        return int(self.current.shape[-1])

    @property
    def n_rows(self) -> int:
        """Rows of a trial."""
        return int(self.current.shape[-2])

    @property
    def n_trials(self) -> int:
        """Number of trials; 0 where the input is one continuous stretch."""
        return int(self.current.shape[0]) if self.current.ndim == 3 else 0

    @property
    def duration(self) -> float:
        """Length of a trial (or of the whole input), s."""
        return self.n_rows * self.hold

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        h = hashlib.sha256(repr((self.current.shape, self.hold)).encode())
        h.update(np.ascontiguousarray(self.current).tobytes())
        if self.spikes is not None:
            for array in (
                self.spikes.t,
                self.spikes.channel,
                self.spikes.trial,
                self.spikes.weights,
            ):
                h.update(array.tobytes())
        return h.hexdigest()

    @classmethod
    def from_signal(cls, signal: Any, weights: Any, hold: Any) -> Stimulus:
        """Project a few channels onto the neurons.

        Parameters
        ----------
        signal : array_like, shape (rows, c) or (trials, rows, c)
            Dimensionless signal.
        weights : array_like, shape (c, n)
            Input weights, drawn for the original neurons.
        hold : Quantity or str
            How long each row lasts.

        Raises
        ------
        ParameterError
            For shapes that do not fit, or values that are not finite.
        """
        signal, weights = floats(signal, "signal"), floats(weights, "weights")
        if weights.ndim != 2 or signal.ndim < 2 or signal.shape[-1] != weights.shape[0]:
            raise ParameterError(
                "weights",
                f"shape ({signal.shape[-1] if signal.ndim else '?'}, n)",
                f"shape {weights.shape} for a signal of shape {signal.shape}",
            )
        for name, array in (("signal", signal), ("weights", weights)):
            if not np.isfinite(array).all():
                raise ParameterError(name, "finite values", "NaN or infinity")
        current = signal @ weights
        current.setflags(write=False)  # nobody else has it: spares the copy
        return cls(current, hold)

    def columns(self, net: HRSNN) -> np.ndarray:
        """Column of each neuron of ``net``, shape (net.n,).

        Raises
        ------
        ParameterError
            If the stimulus fits neither the network's origin nor the network itself.
        """
        if self.n == net.n_origin:
            return net.ids
        if self.n == net.n:
            return np.arange(net.n)
        raise ParameterError(
            "stimulus",
            f"{net.n_origin} columns (original neurons) or {net.n} (present ones)",
            f"{self.n} columns",
        )


def deviation(sd: Any) -> float:
    """Return a standard deviation as a float, or raise ParameterError naming ``sd``."""
    value = floats(sd, "sd")
    if value.ndim or not np.isfinite(value) or value < 0:
        raise ParameterError("sd", "a standard deviation of at least 0", sd)
    return float(value)


def noise_stimulus(
    net: HRSNN,
    duration: Any,
    *,
    sd: float = 0.35,
    hold: Any = "1 ms",
    seed: int = 0,
    repetition: int = 0,
) -> Stimulus:
    """Task-agnostic frozen noise: independent white noise into every neuron.

    Parameters
    ----------
    net : HRSNN
        Gives the time constants and the original indices.
    duration : Quantity or str
        Length of the noise.
    sd : float
        Standard deviation that the noise gives to a free membrane (one that neither spikes nor
        receives synaptic input), dimensionless.
    hold : Quantity or str
        The noise is constant for this long.
    seed, repetition : int
        Seed and number of the realisation.

    Returns
    -------
    Stimulus
        Of ``n_origin`` columns. Neurons that ``net`` no longer has get zeros.

    Notes
    -----
    A membrane with decay ``a = exp(-hold/tau)`` turns held noise of standard deviation ``q``
    into fluctuations of variance ``q^2 (1 - a)/(1 + a)``; ``q`` follows for each neuron.
    """
    sd = deviation(sd)
    repetition = whole(repetition, "repetition", 0)
    length, step = positive_seconds(duration, "duration"), positive_seconds(hold, "hold")
    rows = max(1, int(np.ceil(length / step - 1e-9)))
    rng = stream(seed, "noise", repetition)
    a = np.exp(-step / net.tau_m)
    q = sd * np.sqrt((1 + a) / (1 - a))
    noise = rng.standard_normal((rows, net.n_origin))
    current = np.zeros_like(noise)
    current[:, net.ids] = noise[:, net.ids] * q
    current.setflags(write=False)
    return Stimulus(current, f"{step!r} s")


def ou_signal(rows: int, time_constants: Any, rng: np.random.Generator) -> np.ndarray:
    """Ornstein–Uhlenbeck channels of unit variance.

    Parameters
    ----------
    rows : int
        Number of samples.
    time_constants : array_like, shape (c,)
        Correlation time of each channel, in samples.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, shape (rows, c)
        ``x[k+1] = a x[k] + sqrt(1 - a^2) xi`` with ``a = exp(-1/time_constant)``, started in the
        stationary distribution.
    """
    tau = np.atleast_1d(floats(time_constants, "time_constants"))
    rows = whole(rows, "rows")
    if tau.ndim != 1 or not (np.isfinite(tau) & (tau > 0)).all():
        raise ParameterError("time_constants", "times above 0, in samples", tau)
    a = np.exp(-1 / tau)
    xi = rng.standard_normal((rows, tau.size))
    x = np.empty_like(xi)
    x[0] = xi[0]
    scale = np.sqrt(1 - a**2)
    for k in range(1, rows):
        x[k] = a * x[k - 1] + scale * xi[k]
    return x


def slow_stimulus(
    n_origin: int,
    rows: int,
    *,
    channels: int = 3,
    time_constant: float = 10.0,
    sd: float = 2.0,
    hold: Any = "10 ms",
    rng: np.random.Generator,
) -> Stimulus:
    """Task-agnostic slow input: Ornstein–Uhlenbeck channels through random weights.

    Parameters
    ----------
    n_origin : int
        Neurons of the original network.
    rows, channels : int
        Samples and channels.
    time_constant : float
        Correlation time of a channel, in samples.
    sd : float
        Standard deviation of the input current into a neuron, all channels together.
    hold : Quantity or str
        Length of a sample.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Stimulus
        Frozen input of the original neurons, without trials.
    """
    n_origin, channels = whole(n_origin, "n_origin"), whole(channels, "channels")
    sd = deviation(sd)
    signal = ou_signal(rows, np.full(channels, floats(time_constant, "time_constant")), rng)
    weights = rng.normal(0.0, sd / np.sqrt(channels), size=(channels, n_origin))
    return Stimulus.from_signal(signal, weights, hold)
