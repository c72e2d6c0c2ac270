"""Compiled loops over the exact lif_exp map on a clock: row by row, or trial by trial."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from models_eq.hrsnn import HRSNN
from models_eq.neurons import neuron_model


def clocked(net: HRSNN, dt: float) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What the loops need of a ``lif_exp`` network: its neurons, and its synapses by source.

    Neurons: resting drive, decays of v and s, coupling, threshold, reset, steps of refractoriness,
    each (n,). Synapses: pointers (n + 1,), targets and weights.
    """
    arrays = net.arrays()
    maps = neuron_model(net.model).propagators(arrays, dt)
    # The release is the first step that is integrated again, hence at least one step later.
    off = np.maximum(np.floor(arrays["t_ref"] / dt + 1e-3), 1).astype(np.int64)
    neurons = (
        arrays["v_rest"] + arrays["i_ext"], maps["decay_m"], maps["decay_s"], maps["couple"],
        arrays["v_th"].copy(), arrays["v_reset"].copy(), off,
    )  # fmt: skip
    by_source = np.argsort(net.i, kind="stable")
    pointer = np.concatenate([[0], np.cumsum(np.bincount(net.i, minlength=net.n))])
    synapses = (
        pointer.astype(np.int64), net.j[by_source].astype(np.int64), net.w[by_source].copy()
    )  # fmt: skip
    return neurons, synapses


@numba.njit(cache=True, nogil=True)
def advance(
    first: int,
    steps: int,
    current: np.ndarray,
    state: tuple[np.ndarray, ...],
    neurons: tuple[np.ndarray, ...],
    synapses: tuple[np.ndarray, ...],
    fade: np.ndarray,
    traces: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Advance one network by ``steps`` steps of held input, in place.

    ``state`` (v, s, first step that is integrated again), ``traces`` and ``counts`` change.
    ``fade`` (filters, order, steps + 1) is what a spike k steps before the end leaves in each
    integrator of a chain, ``traces`` (filters, order, n). The order of a step is Brian2's: state,
    threshold, synapses, reset.
    """
    v, s, blocked = state
    drive, decay_m, decay_s, couple, v_th, v_reset, hold_off = neurons
    indptr, targets, weights = synapses
    n, (filters, order) = v.size, fade.shape[:2]
    force, fired = drive + current, np.empty(n, dtype=np.int64)
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
    state: tuple[np.ndarray, ...],
    neurons: tuple[np.ndarray, ...],
    synapses: tuple[np.ndarray, ...],
    fade: np.ndarray,
    traces: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Advance all copies by one row: ``current`` and each of ``state`` are (copies, n).

    ``traces`` (copies, filters, order, n), ``counts`` (n,) over all copies.
    """
    v, s, blocked = state
    for copy in range(len(v)):
        own = (v[copy], s[copy], blocked[copy])
        advance(
            first, steps, current[copy], own, neurons, synapses, fade, traces[copy], counts
        )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def run_trials(
    current: np.ndarray,
    steps: int,
    start: np.ndarray,
    neurons: tuple[np.ndarray, ...],
    synapses: tuple[np.ndarray, ...],
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
    blocked = np.empty(n, dtype=np.int64)
    for trial in range(trials):
        v[:], s[:], traces[:], blocked[:] = start, 0.0, 0.0, 0
        window = 0
        for row in range(rows):
            advance(
                row * steps, steps, current[trial, row], (v, s, blocked), neurons, synapses,
                fade, traces, counts,
            )  # fmt: skip
            if window < ends.size and ends[window] == row + 1:
                features[trial, window] = traces[0, -1]
                window += 1
