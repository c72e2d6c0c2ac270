"""Compiled loop over the exact lif_exp map on a clock, one input row at a time."""

from __future__ import annotations

import numba
import numpy as np


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
    """Advance all copies by ``steps`` steps of held input, in place.

    ``v``, ``s``, ``blocked``, ``traces`` and ``counts`` change.

    ``current``, ``v``, ``s``, ``blocked`` (copies, n); ``fade`` (filters, steps + 1), the weight
    of a spike k steps before the end; ``traces`` (copies, filters, n), ``counts`` (n,). The order
    of a step is Brian2's: state, threshold, synapses, reset.
    """
    copies, n = v.shape
    fired = np.empty(n, dtype=np.int64)
    for copy in range(copies):
        for f in range(fade.shape[0]):
            for i in range(n):
                traces[copy, f, i] *= fade[f, steps]
        for step in range(steps):
            now = first + step
            for i in range(n):
                force = drive[i] + current[copy, i]
                moved = force + decay_m[i] * (v[copy, i] - force) + couple[i] * s[copy, i]
                v[copy, i] = v[copy, i] if blocked[copy, i] > now else moved
                s[copy, i] *= decay_s[i]
            spikes = 0
            for i in range(n):
                # A blocked neuron holds its reset value, and may not spike whatever that is.
                fired[spikes] = i
                spikes += v[copy, i] > v_th[i] and blocked[copy, i] <= now
            for k in range(spikes):
                i = fired[k]
                for e in range(indptr[i], indptr[i + 1]):
                    s[copy, targets[e]] += weights[e]
                counts[i] += 1
                for f in range(fade.shape[0]):
                    traces[copy, f, i] += fade[f, steps - step - 1]
            for k in range(spikes):
                i = fired[k]
                v[copy, i] = v_reset[i]
                blocked[copy, i] = now + hold_off[i]
