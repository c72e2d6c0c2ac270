"""Capacity: how much of the past of a random input a network holds, linearly and in products."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np

from analysis.readout._paths import RidgePath
from analysis.spikes import filtered_traces
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.simulate import simulate_batch
from models_eq.stimulus import Stimulus, ou_signal

LAGS = (0, 2, 4, 7, 10, 14, 20)
_ALPHAS = tuple(float(a) for a in np.logspace(0, -7, 15))


def capacity_targets(signal: np.ndarray) -> np.ndarray:
    """Targets of the capacity of a scalar input.

    Parameters
    ----------
    signal : ndarray, shape (rows,)
        Input, at least 21 samples.

    Returns
    -------
    ndarray, shape (rows, 22)
        ``u(t - d)`` for d in 0, 2, 4, 7, 10, 14, 20, then the 15 products of the first five.
        The first 20 rows wrap around and must be discarded.
    """
    delayed = np.stack([np.roll(signal, d) for d in LAGS], axis=1)
    products = [
        delayed[:, a] * delayed[:, b] for a, b in combinations_with_replacement(range(5), 2)
    ]
    return np.concatenate([delayed, np.stack(products, axis=1)], axis=1)


def capacity(
    nets: Sequence[HRSNN],
    *,
    seed: int,
    draws: int = 2,
    rows: tuple[int, int, int] = (100, 1500, 700),
    input_sd: float = 2.0,
    hold: str = "10 ms",
    tau: str = "50 ms",
    dt: str = "1 ms",
) -> np.ndarray:
    """Capacity of several networks on the same fresh random inputs.

    Parameters
    ----------
    nets : sequence of HRSNN
        Networks that descend from one origin; they run side by side.
    seed : int
        Seed of the inputs and input weights. No task has any part in them.
    draws : int
        Independent inputs and input weights to average over.
    rows : (washout, training, test)
        Samples of each part; the washout covers the longest delay, 20.
    input_sd : float
        Standard deviation of the input weights.
    hold, tau, dt : str
        Length of a sample, time constant of the filtered spikes, time step.

    Returns
    -------
    ndarray, shape (len(nets), draws)
        Mean over the 22 targets of R^2 on the test part, clipped at 0: from 0 to 1.

    Raises
    ------
    ParameterError
        For networks of different origins or models, none at all, or parts that are too short.

    Notes
    -----
    ``u = (OU4 + OU20)/sqrt(2)``, Ornstein–Uhlenbeck processes of 4 and 20 samples. Ridge
    readouts of the filtered spikes; the strength is the one best on average over the targets.
    """
    washout, train, test = rows
    if washout < max(LAGS) or train < 2 or test < 2:
        expected = f"a washout of at least {max(LAGS)} and two samples of each part"
        raise ParameterError("rows", expected, rows)
    if draws < 1:
        raise ParameterError("draws", "at least 1", draws)
    nets = list(nets)
    origin = {net.n_origin for net in nets}
    if len(origin) != 1:
        raise ParameterError("nets", "networks of one origin", sorted(origin))
    signals, stimuli = [], []
    for draw in range(draws):
        rng = stream(seed, "prune", 90, draw)
        u = ou_signal(sum(rows), [4.0, 20.0], rng).sum(axis=1) / np.sqrt(2)
        weights = rng.normal(0.0, input_sd, size=(1, next(iter(origin))))
        signals.append(u)
        stimuli.append(Stimulus.from_signal(u[:, None], weights, hold))
    batch = [net for net in nets for _ in range(draws)]
    runs = simulate_batch(batch, stimuli * len(nets), dt=dt, seed=seed)
    scores = np.empty((len(nets), draws))
    for k, run in enumerate(runs):
        states = filtered_traces(run, hold, tau)[0].astype(float)
        targets = capacity_targets(signals[k % draws])
        fit, held_out = slice(washout, washout + train), slice(washout + train, sum(rows))
        path = RidgePath(states[fit], targets[fit], standardise=False, smallest=_ALPHAS[-1])
        truth = targets[held_out]
        variance = truth.var(axis=0)
        best = 0.0
        for prediction in path.predictions(states[held_out], _ALPHAS):
            r2 = 1 - np.mean((prediction - truth) ** 2, axis=0) / variance
            best = max(best, float(np.clip(r2, 0, None).mean()))
        scores[k // draws, k % draws] = best
    return scores
