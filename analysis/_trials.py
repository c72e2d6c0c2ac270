"""Compiled loop over trials of the exact lif_exp map on a clock, for features of many images."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def run_trials(
    current: np.ndarray,
    steps_per_row: int,
    start: np.ndarray,
    drive: np.ndarray,
    decay_m: np.ndarray,
    decay_s: np.ndarray,
    couple: np.ndarray,
    v_th: np.ndarray,
    v_reset: np.ndarray,
    hold_off: np.ndarray,
    indptr: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    ends: np.ndarray,
    fade: float,
    features: np.ndarray,
    counts: np.ndarray,
) -> None:
    """One step after the other of one trial after the other; a trial's state stays in the cache.

    ``current`` (trials, rows, n); ``features`` (trials, windows, n) is filled and ``counts`` (n,)
    added to. ``ends`` (windows,) are steps, ``fade`` the share of a trace that a step leaves.
    The order of a step is Brian2's: state, threshold, synapses, reset.
    """
    trials, rows, n = current.shape
    v, s, trace = np.empty(n), np.empty(n), np.empty(n)
    blocked = np.empty(n, dtype=np.int64)
    fired = np.empty(n, dtype=np.int64)
    force = np.empty(n)
    for trial in range(trials):
        for i in range(n):
            v[i], s[i], blocked[i], trace[i] = start[i], 0.0, 0, 0.0
        window = 0
        for step in range(rows * steps_per_row):
            if step % steps_per_row == 0:
                row = step // steps_per_row
                for i in range(n):
                    force[i] = drive[i] + current[trial, row, i]
            for i in range(n):
                moved = force[i] + decay_m[i] * (v[i] - force[i]) + couple[i] * s[i]
                v[i] = v[i] if blocked[i] > step else moved
                s[i] *= decay_s[i]
                trace[i] *= fade
            spikes = 0
            for i in range(n):
                # A blocked neuron holds its reset value, and may not spike whatever that is.
                fired[spikes] = i
                spikes += v[i] > v_th[i] and blocked[i] <= step
            for k in range(spikes):
                i = fired[k]
                for e in range(indptr[i], indptr[i + 1]):
                    s[targets[e]] += weights[e]
                counts[i] += 1
                trace[i] += 1.0
            for k in range(spikes):
                i = fired[k]
                v[i] = v_reset[i]
                blocked[i] = step + hold_off[i]
            if window < ends.size and ends[window] == step + 1:
                for i in range(n):
                    features[trial, window, i] = trace[i]
                window += 1
