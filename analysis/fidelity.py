"""Fidelity: how well a pruned network stands in for the dense one under input it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.pruning.compensate import rows_of
from analysis.spikes import filtered_traces
from models_eq.checks import whole
from models_eq.errors import ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.simulate import simulate_batch
from models_eq.stimulus import Stimulus, slow_stimulus
from models_eq.trajectory import Trajectory
from models_eq.units import positive_seconds

CHANNELS = (1, 3, 20)


@dataclass(frozen=True)
class DriveFidelity:
    """Fidelity under one kind of input.

    Attributes
    ----------
    channels : int
        Channels of the input.
    share, stderr : float
        Share of variance reproduced, mean over the repetitions, and its standard error.
    ceiling : float
        The same share between two runs of the dense network from different initial states.
    """

    channels: int
    share: float
    stderr: float
    ceiling: float


@dataclass(frozen=True, repr=False)
class Fidelity:
    """How well a pruned network reproduces the dense one under unseen task-agnostic input.

    Attributes
    ----------
    share, stderr : float
        Share of variance of the dense filtered traces that the raw pruned ones reproduce, mean
        over drives and repetitions, and its standard error over the repetitions. 1 is perfect;
        below 0 the dense mean would have been the better guess.
    ceiling : float
        The same share between two runs of the dense network that differ in nothing but the
        initial state: what any stand-in can be expected to reach.
    median : float
        Median over neurons of the share of each one, all drives together; neurons whose dense
        trace never varies have none and are left out.
    rate_error : float
        Root mean square error of the mean rates over the root mean square of the dense ones.
    rate_correlation : float or None
        Correlation of the mean rates over neurons; None where the rates do not vary.
    drives : tuple of DriveFidelity
        One for each number of channels.
    """

    share: float
    stderr: float
    ceiling: float
    median: float
    rate_error: float
    rate_correlation: float | None
    drives: tuple[DriveFidelity, ...]

    def __repr__(self) -> str:
        return (
            f"Fidelity({self.share:.3f} +- {self.stderr:.3f} of the variance, "
            f"ceiling {self.ceiling:.3f}, rates off by {self.rate_error:.1%})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def share_of_variance(dense: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Share of variance of the dense traces that other ones reproduce, without any regression.

    Parameters
    ----------
    dense, other : ndarray, shape (trials, samples, n)
        Filtered traces under the same input.

    Returns
    -------
    ndarray, shape (trials,)
        ``1 - sum_ti (x - x')^2 / sum_ti (x - mean_t x)^2`` of each trial.

    Raises
    ------
    ParameterError
        For shapes that differ, or traces of a trial that do not vary.

    Examples
    --------
    >>> x = np.array([[[0.0], [2.0]]])
    >>> share_of_variance(x, x), share_of_variance(x, x + 1)
    (array([1.]), array([0.]))
    """
    x, y = np.asarray(dense, dtype=float), np.asarray(other, dtype=float)
    if x.shape != y.shape or x.ndim != 3:
        raise ParameterError("other", f"traces of shape {x.shape}", f"shape {y.shape}")
    variance = ((x - x.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2))
    if (variance <= 0).any():
        raise ParameterError("dense", "traces that vary", "constant ones")
    return 1.0 - ((x - y) ** 2).sum(axis=(1, 2)) / variance


def fidelity(
    dense: HRSNN,
    pruned: HRSNN,
    *,
    seed: int,
    channels: Sequence[int] = CHANNELS,
    repetitions: int = 2,
    rows: int = 500,
    washout: int = 100,
    time_constant: float = 10.0,
    sd: float = 2.0,
    hold: Any = "10 ms",
    tau: Any = "50 ms",
    dt: Any = "1 ms",
) -> Fidelity:
    """Measure how well a pruned network stands in for the dense one.

    Both start from the same state and get the same input; neurons are matched through ``ids``.

    Parameters
    ----------
    dense, pruned : HRSNN
        The network that is to be replaced, and what is to replace it (possibly of fewer neurons).
    seed : int
        Seed of inputs, input weights and initial states. Take one that pruning did not see.
    channels : sequence of int
        Numbers of channels of the inputs, one drive each.
    repetitions : int
        Inputs and input weights drawn for each drive, at least 2.
    rows, washout : int
        Samples of an input, and how many of them are left out at the start.
    time_constant : float
        Correlation time of the inputs, in samples.
    sd : float
        Standard deviation of the input current of a neuron, all channels together.
    hold, tau, dt : Quantity or str
        Length of a sample, time constant of the filtered spikes, time step.

    Returns
    -------
    Fidelity

    Raises
    ------
    ParameterError
        For a pruned network that does not descend from the dense one, or numbers out of range.
    SilentNetworkError
        If the neurons kept do not spike in the dense network.

    Notes
    -----
    ``1 - sum_{t,i} (x_i - x'_i)^2 / sum_{t,i} (x_i - <x_i>_t)^2`` over the neurons kept, x the
    traces of the dense network and x' those of the pruned one. Traces are compared as they are:
    a readout trained on the dense network and used unchanged forgives no gain and no offset.
    """
    rows_kept = rows_of(dense, pruned)
    repetitions = whole(repetitions, "repetitions", 2)
    washout = whole(washout, "washout", 0)
    if whole(rows, "rows", 2) < washout + 2:
        raise ParameterError("rows", f"at least two samples after {washout} of washout", rows)
    counts = [whole(c, "channels") for c in channels]
    if not counts:
        raise ParameterError("channels", "at least one number of channels", channels)
    stimulus = _drives(dense.n_origin, counts, repetitions, rows, time_constant, sd, hold, seed)
    again = int(stream(seed, "v_init", 60).integers(2**31))
    first, stand_in = simulate_batch([dense, pruned], stimulus, dt=dt, seed=seed)
    other = simulate_batch([dense], stimulus, dt=dt, seed=again)[0]

    def traces(run: Trajectory, columns: np.ndarray) -> np.ndarray:
        return filtered_traces(run, hold, tau)[:, washout:, columns].astype(float)

    x, y = traces(first, rows_kept), traces(stand_in, np.arange(pruned.n))
    if not x.any():
        hint = "Raise i_ext or sd"
        raise SilentNetworkError("dense", "neurons that spike under the drive", "no spike", hint)
    shares = share_of_variance(x, y).reshape(len(counts), repetitions)
    ceilings = share_of_variance(x, traces(other, rows_kept)).reshape(shares.shape)
    error = shares.std(axis=1, ddof=1) / np.sqrt(repetitions)
    drives = tuple(
        DriveFidelity(c, float(s.mean()), float(e), float(top.mean()))
        for c, s, e, top in zip(counts, shares, error, ceilings, strict=True)
    )
    skipped = washout * stimulus.hold
    rate, rate_other = _rates(first, skipped)[rows_kept], _rates(stand_in, skipped)
    varies = np.ptp(rate) > 0 and np.ptp(rate_other) > 0
    return Fidelity(
        share=float(shares.mean()),
        stderr=float(np.sqrt(np.sum(error**2)) / len(counts)),
        ceiling=float(ceilings.mean()),
        median=_median(x, y),
        rate_error=float(np.sqrt(np.mean((rate_other - rate) ** 2) / np.mean(rate**2))),
        rate_correlation=float(np.corrcoef(rate, rate_other)[0, 1]) if varies else None,
        drives=drives,
    )


def _drives(
    n: int,
    counts: Sequence[int],
    repetitions: int,
    rows: int,
    time_constant: float,
    sd: float,
    hold: Any,
    seed: int,
) -> Stimulus:
    each = [
        slow_stimulus(
            n,
            rows,
            channels=count,
            time_constant=time_constant,
            sd=sd,
            hold=hold,
            rng=stream(seed, "input", 60, number, repetition),
        ).current
        for number, count in enumerate(counts)
        for repetition in range(repetitions)
    ]
    return Stimulus(np.stack(each), f"{positive_seconds(hold, 'hold')!r} s")


def _rates(run: Trajectory, skipped: float) -> np.ndarray:
    count = np.bincount(run.i[run.t >= skipped - 0.5 * run.dt], minlength=run.n)
    return count / ((run.duration - skipped) * run.n_trials)


def _median(x: np.ndarray, y: np.ndarray) -> float:
    variance = ((x - x.mean(axis=1, keepdims=True)) ** 2).sum(axis=(0, 1))
    varies = variance > 0
    error = ((x - y) ** 2).sum(axis=(0, 1))
    return float(np.median(1.0 - error[varies] / variance[varies]))
