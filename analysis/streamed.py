"""Features of many trials without keeping their spikes: what readouts of image tasks are fed with.

Ten thousand images through a thousand neurons are a hundred million spikes. Here trials run in
blocks; of each block only the filtered spike trains at a few moments stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis._clocked import clocked, run_trials
from analysis.spikes import filtered_traces, gamma_kernel
from models_eq.checks import whole
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.inputs import check_hold
from models_eq.plan import initial_states
from models_eq.simulate import simulate
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds

ENGINES = ("compiled", "brian2")


@dataclass(frozen=True, eq=False)
class StreamedTraces:
    """Filtered spike trains of many trials, and how often each neuron spiked.

    Attributes
    ----------
    traces : ndarray, shape (trials, windows, n), float32
        ``x_i(T) = sum over spikes t <= T of k((T - t) / tau)`` at the end T of each window, as
        :func:`~analysis.spikes.filtered_traces` has it.
    counts : ndarray of int, shape (n,)
        Spikes of each neuron over all trials.
    duration : float, s
        Length of a trial.
    """

    traces: np.ndarray
    counts: np.ndarray
    duration: float

    @property
    def rates(self) -> np.ndarray:
        """Mean rate of each neuron, shape (n,), Hz."""
        return self.counts / (self.duration * len(self.traces))


def streamed_traces(
    net: HRSNN,
    signal: np.ndarray,
    weights: np.ndarray,
    hold: Any,
    *,
    windows: int | Sequence[int] = 1,
    tau: Any = "50 ms",
    order: int = 1,
    dt: Any = "1 ms",
    seed: int = 0,
    block: int = 256,
    engine: str = "compiled",
    jobs: int = 1,
) -> StreamedTraces:
    """Filtered spike trains of a network at a few moments of each of many trials.

    Parameters
    ----------
    net : HRSNN
        The network; its state is reset for each trial.
    signal : ndarray, shape (trials, rows, c)
        Input channels.
    weights : ndarray, shape (c, n_origin)
        Input weights, drawn for the original neurons.
    hold : Quantity or str
        How long a row lasts.
    windows : int or sequence of int
        How many equal windows a trial is cut into, or the rows (1-based) at whose end it is read.
    tau : Quantity or str
        Time constant of the filter.
    order : int
        Order of the filter, as :func:`~analysis.spikes.filtered_traces` has it.
    dt : Quantity or str
        Time step.
    seed : int
        Seed of the initial state.
    block : int
        Trials whose input is laid out at a time.
    engine : {'compiled', 'brian2'}
        ``'compiled'`` is a loop over the same exact map on the same clock, for ``lif_exp``;
        ``'brian2'`` runs any model on the current device. They agree until rounding separates
        them.
    jobs : int
        Threads of the compiled engine.

    Returns
    -------
    StreamedTraces

    Raises
    ------
    ParameterError
        Naming the argument that is wrong.
    CapabilityError
        If the compiled engine is asked for another model than ``lif_exp``.

    Notes
    -----
    The sequence of a step is that of Brian2: exact propagation over ``dt`` with the input held,
    threshold, synapses, reset. The compiled loop takes one trial after the other, so that its state
    stays in the processor's cache; it is what makes tens of thousands of images affordable.
    """
    signal = np.asarray(signal)
    if signal.ndim != 3 or signal.size == 0:
        raise ParameterError("signal", "shape (trials, rows, channels)", f"shape {signal.shape}")
    if engine not in ENGINES:
        raise ParameterError("engine", " or ".join(ENGINES), engine)
    block, jobs, order = whole(block, "block"), whole(jobs, "jobs"), whole(order, "order")
    rows = _ends(windows, signal.shape[1])
    decay, step = positive_seconds(tau, "tau"), positive_seconds(dt, "dt")
    # Checks the shapes, the hold and the columns before anything long begins.
    first = Stimulus.from_signal(signal[:1], weights, hold)
    check_hold(first, step)
    columns = first.columns(net)
    blocks = [signal[a : a + block] for a in range(0, len(signal), block)]
    if engine == "brian2":

        def run(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            stimulus = Stimulus.from_signal(part, weights, hold)
            spikes = simulate(net, stimulus, dt=dt, seed=seed)
            traces = filtered_traces(spikes, f"{first.hold!r} s", f"{decay!r} s", order)
            return traces[:, rows - 1], np.bincount(spikes.i, minlength=net.n)

        done = [run(part) for part in blocks]
    else:
        kernel = decay, order
        loop = _Loop(net, np.asarray(weights)[:, columns], first.hold, rows, kernel, step, seed)
        with ThreadPoolExecutor(jobs) as pool:
            done = list(pool.map(loop, blocks))
    traces = np.concatenate([part[0] for part in done])
    counts = np.sum([part[1] for part in done], axis=0)
    return StreamedTraces(traces, counts, first.duration)


def _ends(windows: int | Sequence[int], rows: int) -> np.ndarray:
    if isinstance(windows, (int, np.integer)) and not isinstance(windows, bool):
        count = whole(windows, "windows")
        if count > rows:
            raise ParameterError("windows", f"at most the {rows} rows of a trial", count)
        return np.round(np.arange(1, count + 1) * rows / count).astype(np.int64)
    ends = np.asarray(windows)
    good = ends.ndim == 1 and ends.size and ends.dtype.kind in "iu"
    if not good or (np.diff(ends) <= 0).any() or ends[0] < 1 or ends[-1] > rows:
        raise ParameterError("windows", f"a number, or increasing rows within 1..{rows}", windows)
    return ends.astype(np.int64)


class _Loop:
    """The compiled loop with everything but the input filled in."""

    def __init__(
        self,
        net: HRSNN,
        weights: np.ndarray,
        hold: float,
        rows: np.ndarray,
        kernel: tuple[float, int],
        dt: float,
        seed: int,
    ) -> None:
        if net.model != "lif_exp":
            raise CapabilityError(
                "engine", "lif_exp for 'compiled'", net.model, "Pass engine='brian2'"
            )
        self.weights = weights.astype(np.float32)
        self.rows, self.n = rows, net.n
        per_row = round(hold / dt)
        state = initial_states([net], None, 1, seed)
        ages = dt * np.arange(per_row + 1) / kernel[0]
        fade = gamma_kernel(ages, kernel[1])[None]
        self.fixed = (per_row, state["v"], *clocked(net, dt), fade, rows)

    def __call__(self, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        current = signal.astype(np.float32) @ self.weights
        traces = np.zeros((len(signal), len(self.rows), self.n), dtype=np.float32)
        counts = np.zeros(self.n, dtype=np.int64)
        run_trials(current, *self.fixed, traces, counts)
        return traces, counts
