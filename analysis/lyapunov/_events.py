"""Compiled loop of the event-driven engine.

``x`` is the membrane, or for qif the phase; ``y[j, 0]`` its tangents, or while the neuron is
refractory lag (v_th - v_reset)/tau; ``y[j, 1]`` those of the synaptic current. The lag of a spike
is minus the shift of its time. ``tn`` is when a neuron next spikes or is released; where it is
``dirty``, a lower bound of that.
"""

from __future__ import annotations

import math

import numpy as np

from analysis.lyapunov._neuron import crossing, decay, earliest, jit, rotate

# Places in the counters, shared with the class that owns them.
SPIKES, ROW, INPUT, FORCED, FULL, STUCK, AT_ONCE = range(7)


@jit
def _set(tn, lowest, stale, j, value):  # type: ignore[no-untyped-def]
    old = tn[j]
    tn[j] = value
    g = j >> 6
    if value <= lowest[g]:
        lowest[g] = value
    elif old == lowest[g]:
        stale[g] = True


@jit
def _plan(kind, j, t, t_row, x, s, tn, dirty, v_th, tau, tau_s, current, lowest, stale):  # type: ignore[no-untyped-def]
    """When neuron j, whose state is that of time t, spikes next, or a lower bound of it."""
    if kind == 0:
        h = earliest(x[j], s[j], current[j], v_th[j], tau[j], tau_s[j], t_row - t)
    else:
        h = crossing(kind, x[j], s[j], current[j], v_th[j], tau[j], tau_s[j], t_row - t)
    dirty[j] = kind == 0
    _set(tn, lowest, stale, j, t + h)


@jit
def _first(tn, lowest, stale):  # type: ignore[no-untyped-def]
    """Neuron of the earliest event: the groups of 64 remember their minimum."""
    best, group = np.inf, 0
    for g in range(lowest.size):
        if stale[g]:
            least = np.inf
            for j in range(64 * g, min(64 * g + 64, tn.size)):
                least = min(least, tn[j])
            lowest[g] = least
            stale[g] = False
        if lowest[g] < best:
            best, group = lowest[g], g
    for j in range(64 * group, min(64 * group + 64, tn.size)):
        if tn[j] == best:
            return j
    return 0


@jit
def _bring(kind, j, t, x, s, last, held, y, tau, tau_s, current, volume):  # type: ignore[no-untyped-def]
    """Bring one neuron and its tangents up to time t."""
    h = t - last[j]
    if h <= 0:
        return
    last[j] = t
    k = y.shape[2]
    if kind == 0:
        volume[0] -= h / tau_s[j]
        if held[j]:
            es = math.exp(-h / tau_s[j])
            s[j] *= es
            for a in range(k):
                y[j, 1, a] *= es
            return
        em, es, c = decay(h, tau[j], tau_s[j])
        x[j] = current[j] + (x[j] - current[j]) * em + s[j] * c
        s[j] *= es
        for a in range(k):
            y[j, 0, a] = em * y[j, 0, a] + c * y[j, 1, a]
            y[j, 1, a] *= es
        volume[0] -= h / tau[j]
    elif kind == 1:
        if held[j]:
            return
        em = math.exp(-h / tau[j])
        x[j] = current[j] + (x[j] - current[j]) * em
        for a in range(k):
            y[j, 0, a] *= em
        volume[0] -= h / tau[j]
    else:
        p, q = rotate(x[j], current[j], h, tau[j])
        size = p * p + q * q
        x[j] = 2 * math.atan2(p, q)
        for a in range(k):
            y[j, 0, a] /= size
        volume[0] -= math.log(size)


@jit
def events(  # type: ignore[no-untyped-def]
    kind, until, indptr, post, weight, tau, tau_s, t_ref, v_th, v_reset, drive,
    rows, hold, in_time, in_channel, in_weight,
    x, s, last, held, tn, dirty, forced, lag_of, lag, current, lowest, stale, y,
    counters, volume, clock, count, out_t, out_i,
):  # fmt: skip
    """Advance exactly to ``until``, event by event; stops early where the record is full."""
    n, k = x.size, y.shape[2]
    record, written = out_t.size, 0
    counters[FULL] = counters[STUCK] = 0
    while True:
        t_row = (counters[ROW] + 1) * hold if counters[ROW] < rows.shape[0] - 1 else np.inf
        boundary = min(until, t_row)
        if counters[INPUT] < in_time.size:
            boundary = min(boundary, in_time[counters[INPUT]])
        i = _first(tn, lowest, stale)
        t = tn[i]
        if t > boundary or not math.isfinite(t):
            clock[0] = boundary
            if boundary < until and boundary == t_row:
                counters[ROW] += 1
                end = (counters[ROW] + 1) * hold
                end = end if counters[ROW] < rows.shape[0] - 1 else np.inf
                for j in range(n):
                    _bring(
                        kind, j, boundary, x, s, last, held, y, tau, tau_s, current, volume
                    )  # fmt: skip
                    current[j] = drive[j] + rows[counters[ROW], j]
                    if not held[j]:
                        _plan(
                            kind, j, boundary, end, x, s, tn, dirty, v_th, tau, tau_s, current,
                            lowest, stale,
                        )  # fmt: skip
                continue
            if boundary < until or (
                counters[INPUT] < in_time.size and in_time[counters[INPUT]] < until
            ):
                channel = in_channel[counters[INPUT]]
                counters[INPUT] += 1
                for a in range(k):
                    lag[a] = 0.0
                for j in range(n):
                    if in_weight[channel, j] != 0:
                        _kick(
                            kind, j, in_weight[channel, j], boundary, t_row, x, s, last, held, tn,
                            dirty, forced, lag_of, lag, y, tau, tau_s, v_th, current, volume,
                            lowest, stale,
                        )  # fmt: skip
                continue
            for j in range(n):
                _bring(kind, j, until, x, s, last, held, y, tau, tau_s, current, volume)
            return written
        if dirty[i]:
            if kind == 0:
                # Kicks since have put it off: a new bound costs a tenth of the root.
                h = earliest(x[i], s[i], current[i], v_th[i], tau[i], tau_s[i], t_row - last[i])
                if last[i] + h > t + 1e-6:
                    _set(tn, lowest, stale, i, last[i] + h)
                    continue
            dirty[i] = False
            h = crossing(kind, x[i], s[i], current[i], v_th[i], tau[i], tau_s[i], t_row - last[i])
            _set(tn, lowest, stale, i, last[i] + h)
            continue
        _bring(kind, i, t, x, s, last, held, y, tau, tau_s, current, volume)
        if held[i]:  # a release
            held[i] = False
            x[i] = v_reset[i]
            factor = (current[i] - v_reset[i] + s[i]) / (v_th[i] - v_reset[i])
            for a in range(k):
                y[i, 0, a] *= factor
            volume[0] += math.log(abs(factor))
            _plan(
                kind, i, t, t_row, x, s, tn, dirty, v_th, tau, tau_s, current, lowest, stale
            )  # fmt: skip
            continue
        if record and written == record:
            counters[FULL] = 1
            clock[0] = t
            return written
        counters[SPIKES] += 1
        counters[AT_ONCE] = counters[AT_ONCE] + 1 if t == clock[1] else 0
        clock[1] = t
        if counters[AT_ONCE] > 100 * n:
            counters[STUCK] = 1
            return written
        count[i] += 1
        if record:
            out_t[written], out_i[written] = t, i
            written += 1
        if kind == 2:
            x[i] = -math.pi
            for a in range(k):
                lag[a] = 0.5 * tau[i] * y[i, 0, a]
        else:
            slope = (current[i] - v_th[i] + s[i]) / tau[i]
            if forced[i]:
                forced[i] = False
                counters[FORCED] += 1
                for a in range(k):
                    lag[a] = lag_of[i, a]
            else:
                for a in range(k):
                    lag[a] = y[i, 0, a] / slope
            x[i] = v_reset[i]
            factor = (current[i] - v_reset[i] + s[i]) / tau[i]
            if t_ref[i] > 0:
                held[i] = True
                factor = (v_th[i] - v_reset[i]) / tau[i]
            for a in range(k):
                y[i, 0, a] = factor * lag[a]
            volume[0] += math.log(abs(factor / slope))
        if held[i]:
            _set(tn, lowest, stale, i, t + t_ref[i])
        else:
            _plan(
                kind, i, t, t_row, x, s, tn, dirty, v_th, tau, tau_s, current, lowest, stale
            )  # fmt: skip
        for e in range(indptr[i], indptr[i + 1]):
            _kick(
                kind, post[e], weight[e], t, t_row, x, s, last, held, tn, dirty, forced, lag_of,
                lag, y, tau, tau_s, v_th, current, volume, lowest, stale,
            )  # fmt: skip


@jit
def _kick(  # type: ignore[no-untyped-def]
    kind, j, w, t, t_row, x, s, last, held, tn, dirty, forced, lag_of, lag, y, tau, tau_s, v_th,
    current, volume, lowest, stale,
):  # fmt: skip
    """Give neuron j a kick of w at time t; ``lag`` is that of the neuron that sent it."""
    if w == 0:
        return
    k = y.shape[2]
    if kind == 1 and held[j]:
        return
    _bring(kind, j, t, x, s, last, held, y, tau, tau_s, current, volume)
    if kind == 0:
        s[j] += w
        b = w / tau_s[j]
        for a in range(k):
            y[j, 1, a] -= b * lag[a]
        if held[j]:
            return
        b = w / tau[j]
        for a in range(k):
            y[j, 0, a] += b * lag[a]
    elif kind == 1:
        x[j] += w
        b = w / tau[j]
        for a in range(k):
            y[j, 0, a] -= b * lag[a]
        if x[j] >= v_th[j] and not forced[j]:
            # The spike comes with the kick, and moves with it.
            forced[j] = True
            for a in range(k):
                lag_of[j, a] = lag[a]
            _set(tn, lowest, stale, j, t)
        if forced[j]:
            return
    else:
        p, q = math.sin(0.5 * x[j]), max(0.0, math.cos(0.5 * x[j]))
        moved = p + w * q
        size = moved * moved + q * q
        x[j] = 2 * math.atan2(moved, q)
        b = 2 * w * q * (2 * p + w * q) / (size * tau[j])
        for a in range(k):
            y[j, 0, a] = y[j, 0, a] / size + b * lag[a]
        volume[0] -= math.log(size)
    if w < 0:
        # It can only spike later: solved again when its turn comes.
        dirty[j] = True
    else:
        _plan(kind, j, t, t_row, x, s, tn, dirty, v_th, tau, tau_s, current, lowest, stale)
