"""Compiled loops over the exact lif_exp map on a clock: row by row, or trial by trial."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def advance(
    first: int,
    steps: int,
    force: np.ndarray,
    v: np.ndarray,
    s: np.ndarray,
    blocked: np.ndarray,
    fired: np.ndarray,
    decay_m: np.ndarray,
    decay_s: np.ndarray,
    couple: np.ndarray,
    v_th: np.ndarray,
    v_reset: np.ndarray,
    hold_off: np.ndarray,
    indptr: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    fade: np.ndarray,
    traces: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Advance one network by ``steps`` steps of held input, in place.

    ``v``, ``s``, ``blocked``, ``traces`` and ``counts`` change, ``fired`` is scratch; all are (n,)
    but ``fade`` (filters, order, steps + 1), what a spike k steps before the end leaves in each
    integrator of a chain, and ``traces`` (filters, order, n). The order of a step is Brian2's:
    state, threshold, synapses, reset.
    """
    n, (filters, order) = v.size, fade.shape[:2]
    for f in range(filters):
        # From the last integrator on, so that each still finds what those before it held.
        for k in range(order - 1, -1, -1):
            for i in range(n):
                traces[f, k, i] *= fade[f, 0, steps]
                for j in range(k):
                    traces[f, k, i] += fade[f, k - j, steps] * traces[f, j, i]
    for step in range(steps):
        now = first + step
        for i in range(n):
            moved = force[i] + decay_m[i] * (v[i] - force[i]) + couple[i] * s[i]
            v[i] = v[i] if blocked[i] > now else moved
            s[i] *= decay_s[i]
        spikes = 0
        for i in range(n):
            # A blocked neuron holds its reset value, and may not spike whatever that is.
            fired[spikes] = i
            spikes += v[i] > v_th[i] and blocked[i] <= now
        for k in range(spikes):
            i = fired[k]
            for e in range(indptr[i], indptr[i + 1]):
                s[targets[e]] += weights[e]
            counts[i] += 1
            for f in range(filters):
                for a in range(order):
                    traces[f, a, i] += fade[f, a, steps - step - 1]
        for k in range(spikes):
            i = fired[k]
            v[i] = v_reset[i]
            blocked[i] = now + hold_off[i]


@numba.njit(cache=True, nogil=True)
def run_row(
    first: int,
    steps: int,
    current: np.ndarray,
    v: np.ndarray,
    s: np.ndarray,
    blocked: np.ndarray,
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
    fade: np.ndarray,
    traces: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Advance all copies by one row: ``current``, ``v``, ``s``, ``blocked`` (copies, n).

    ``traces`` (copies, filters, order, n), ``counts`` (n,) over all copies.
    """
    fired = np.empty(v.shape[1], dtype=np.int64)
    for copy in range(len(v)):
        advance(
            first, steps, drive + current[copy], v[copy], s[copy], blocked[copy], fired,
            decay_m, decay_s, couple, v_th, v_reset, hold_off, indptr, targets, weights,
            fade, traces[copy], counts,
        )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def run_trials(
    current: np.ndarray,
    steps: int,
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
    fade: np.ndarray,
    ends: np.ndarray,
    features: np.ndarray,
    counts: np.ndarray,
) -> None:
    """One trial after the other, each from the state ``start``; it stays in the cache.

    ``current`` (trials, rows, n), ``steps`` a row; ``features`` (trials, windows, n) is filled with
    the last integrators of the first filter at the rows ``ends`` (1-based), ``counts`` (n,) added
    to.
    """
    trials, rows, n = current.shape
    v, s, traces = np.empty(n), np.empty(n), np.empty((*fade.shape[:2], n))
    blocked, fired = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    for trial in range(trials):
        v[:], s[:], traces[:], blocked[:] = start, 0.0, 0.0, 0
        window = 0
        for row in range(rows):
            advance(
                row * steps, steps, drive + current[trial, row], v, s, blocked, fired,
                decay_m, decay_s, couple, v_th, v_reset, hold_off, indptr, targets, weights,
                fade, traces, counts,
            )  # fmt: skip
            if window < ends.size and ends[window] == row + 1:
                features[trial, window] = traces[0, -1]
                window += 1


def gathered(i: np.ndarray, j: np.ndarray, w: np.ndarray, n: int) -> tuple[np.ndarray, ...]:
    """Synapses by their source: pointers (n + 1,), targets and weights."""
    by_source = np.argsort(i, kind="stable")
    pointer = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=n))])
    return pointer.astype(np.int64), j[by_source].astype(np.int64), w[by_source].copy()
