"""Memory and kernel measures: what a network keeps of its input, how it tells inputs apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.metrics import mean_and_stderr
from analysis.spikes import filtered_traces
from models_eq.checks import whole
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.simulate import simulate
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds


def delayed_r2(states: np.ndarray, signal: np.ndarray, delays: int, washout: int = 0) -> np.ndarray:
    """Share of the variance of a past input that a linear readout of the states explains.

    Parameters
    ----------
    states : ndarray, shape (rows, n)
    signal : ndarray, shape (rows,)
    delays : int
        Delays 0 to ``delays - 1``, in rows.
    washout : int
        Rows left out at the beginning, besides the longest delay.

    Returns
    -------
    ndarray, shape (delays,)
        ``1 - (1 - R^2) (T - 1) / (T - p - 1)`` of least squares with T rows and p the rank of the
        states (Ezekiel 1930). R^2 itself is p / (T - 1) on average where there is no memory at
        all; this one is 0 there, and may lie below it by chance.

    Raises
    ------
    ParameterError
        If the rows do not outnumber the rank by at least 2, or do not fit the signal.
    """
    if signal.shape != states.shape[:1]:
        raise ParameterError("signal", f"shape {states.shape[:1]}", signal.shape)
    first = washout + whole(delays, "delays") - 1
    X = states[first:] - states[first:].mean(axis=0)
    rows = len(X)
    left, values, _ = np.linalg.svd(X, full_matrices=False)
    kept = values > 1e-10 * values.max(initial=0.0)
    p = int(kept.sum())
    if rows < p + 3:
        raise ParameterError("rows", f"at least {first + p + 3} for a rank of {p}", len(states))
    Y = np.stack([signal[first - d : len(signal) - d] for d in range(delays)], axis=1)
    Y = Y - Y.mean(axis=0)
    r2 = np.sum((left[:, kept].T @ Y) ** 2, axis=0) / np.sum(Y**2, axis=0)
    adjusted: np.ndarray = 1 - (1 - r2) * (rows - 1) / (rows - p - 1)
    return adjusted


def effective_rank(states: np.ndarray, tolerance: float = 0.01) -> int:
    """Singular values above ``tolerance`` times the largest; 0 for states that are all 0."""
    if not 0 < tolerance < 1:
        raise ParameterError("tolerance", "a number between 0 and 1", tolerance)
    values = np.linalg.svd(states, compute_uv=False)
    return int(np.sum(values > tolerance * values.max(initial=0.0)))


def mean_distance(states: np.ndarray) -> float:
    """Root mean squared difference of two rows of states, shape (samples, n), in one neuron."""
    # The variance of n samples with n - 1 below, twice: the mean over all pairs of them.
    return float(np.sqrt(2 * states.var(axis=0, ddof=1).mean()))


@dataclass(frozen=True, eq=False)
class MemoryCapacity:
    """Memory of each delay.

    Attributes
    ----------
    r2 : ndarray, shape (draws, delays)
        See :func:`delayed_r2`.
    hold : float, s
        Length of one row, the unit of the delays.
    """

    r2: np.ndarray
    hold: float

    @property
    def total(self) -> tuple[float, float]:
        """Sum over the delays: mean over draws and its standard error."""
        return mean_and_stderr(self.r2.sum(axis=1))


@dataclass(frozen=True, eq=False)
class KernelMeasures:
    """Separation and ranks, one value a draw.

    Attributes
    ----------
    kernel_rank, generalisation_rank : ndarray of int, shape (draws,)
        Rank of the states after unrelated inputs, and after noisy versions of one input.
    separation, spread : ndarray, shape (draws,)
        :func:`mean_distance` of the states of either kind.
    """

    kernel_rank: np.ndarray
    generalisation_rank: np.ndarray
    separation: np.ndarray
    spread: np.ndarray

    def summary(self) -> dict[str, tuple[float, float]]:
        """Mean over draws and its standard error, by name."""
        return {name: mean_and_stderr(values) for name, values in vars(self).items()}


def memory_capacity(
    net: HRSNN,
    *,
    seed: int,
    draws: int = 5,
    delays: int = 20,
    rows: int = 3000,
    washout: int = 100,
    input_sd: float = 2.0,
    hold: Any = "10 ms",
    tau: Any = "50 ms",
    dt: Any = "1 ms",
) -> MemoryCapacity:
    """Linear memory of independent, uniform inputs.

    Parameters
    ----------
    net : HRSNN
    seed : int
        Seed of inputs and input weights.
    draws : int
        Independent inputs and input weights, at least 2.
    delays : int
        Delays 0 to ``delays - 1``.
    rows, washout : int
        Rows of each input, and how many of them come before the measurement. The rows have to
        outnumber the neurons; the standard error of a delay falls with their root.
    input_sd : float
        Standard deviation of the input weights.
    hold, tau, dt : Quantity or str
        Length of a row, time constant of the filtered spikes, time step.

    Raises
    ------
    ParameterError
        For fewer than two draws, or too few rows.

    References
    ----------
    Jaeger 2002, GMD report 152 (memory capacity); Dambre et al. 2012, doi:10.1038/srep00514 (its
    bias in finite samples).
    """
    if whole(draws, "draws") < 2:
        raise ParameterError("draws", "at least 2, for a standard error", draws)
    found = []
    for draw in range(draws):
        rng = stream(seed, "input", 91, draw)
        signal = rng.uniform(-np.sqrt(3), np.sqrt(3), size=rows)  # unit variance
        weights = rng.normal(0.0, input_sd, size=(1, net.n_origin))
        run = simulate(net, Stimulus.from_signal(signal[:, None], weights, hold), dt=dt, seed=seed)
        states = filtered_traces(run, hold, tau)[0].astype(float)
        found.append(delayed_r2(states, signal, delays, washout))
    return MemoryCapacity(np.stack(found), positive_seconds(hold, "hold"))


def kernel_measures(
    net: HRSNN,
    *,
    seed: int,
    draws: int = 5,
    samples: int | None = None,
    rows: int = 30,
    noise: float = 0.1,
    tolerance: float = 0.01,
    input_sd: float = 2.0,
    hold: Any = "10 ms",
    tau: Any = "50 ms",
    dt: Any = "1 ms",
) -> KernelMeasures:
    """Kernel rank, generalisation rank and separation.

    Parameters
    ----------
    net : HRSNN
    seed : int
        Seed of inputs and input weights.
    draws : int
        Independent sets of inputs and input weights, at least 2.
    samples : int, optional
        Inputs of each kind, at least 2. Default: as many as neurons.
    rows : int
        Rows of an input. States are those at its end; all inputs start from one initial state.
    noise : float
        Share of the standard deviation of an input that is its own, for the generalisation rank.
    tolerance : float
        Smallest singular value that counts, relative to the largest.
    input_sd, hold, tau, dt
        As for :func:`memory_capacity`.

    Raises
    ------
    ParameterError
        For fewer than two draws or samples, or a noise outside 0 to 1.

    References
    ----------
    Legenstein & Maass 2007, doi:10.1016/j.neunet.2007.04.017.
    """
    if whole(draws, "draws") < 2:
        raise ParameterError("draws", "at least 2, for a standard error", draws)
    count = net.n if samples is None else whole(samples, "samples", 2)
    if not 0 <= noise <= 1:
        raise ParameterError("noise", "a number between 0 and 1", noise)
    ranks = np.empty((2, draws), dtype=int)
    distances = np.empty((2, draws))
    for draw in range(draws):
        rng = stream(seed, "input", 92, draw)
        own = rng.normal(size=(count, whole(rows, "rows"), 1))
        near = np.sqrt(1 - noise**2) * rng.normal(size=(1, rows, 1)) + noise * own
        weights = rng.normal(0.0, input_sd, size=(1, net.n_origin))
        for kind, signal in enumerate((own, near)):
            run = simulate(net, Stimulus.from_signal(signal, weights, hold), dt=dt, seed=seed)
            states = filtered_traces(run, hold, tau)[:, -1].astype(float)
            ranks[kind, draw] = effective_rank(states, tolerance)
            distances[kind, draw] = mean_distance(states)
    return KernelMeasures(ranks[0], ranks[1], distances[0], distances[1])
