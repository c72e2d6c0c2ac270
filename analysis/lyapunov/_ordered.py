"""Compiled loop of the ordered clock-driven engine: the spikes of a step, earliest first.

State and tangents live at the grid points. A spike or a kick that lies ``back`` before the grid
point acts there through the exact propagators over ``back``, which is exact because a current is
constant over a step. ``y`` as in the event-driven loop.
"""

from __future__ import annotations

import math

import numpy as np

from analysis.lyapunov._neuron import crossing, decay, jit

# Places in the counters, shared with the class that owns them.
SPIKES, STEP, INPUT, FORCED, SHARED, STUCK = range(6)


@jit
def _release(j, r, lag, x, s, y, tau, tau_s, v_th, v_reset, current, speed, lag_of):  # type: ignore[no-untyped-def]
    """State and tangents at the grid point of a neuron released r before; s is that of the grid."""
    em, es, c = decay(r, tau[j], tau_s[j])
    s_then = s[j] / es
    x[j] = current[j] + (v_reset[j] - current[j]) * em + s_then * c
    speed[j] = (current[j] - v_reset[j] + s_then) / tau[j]
    two = y.shape[1] == 2
    for a in range(y.shape[2]):
        lag_of[j, a] = lag[a]
        y[j, 0, a] = em * speed[j] * lag[a]
        if two:
            y[j, 0, a] += c * y[j, 1, a] / es
    return math.log(abs(speed[j])) - r / tau[j]


@jit
def _lag_behind(j, span, x, s, v_th, tau, tau_s, current, kind):  # type: ignore[no-untyped-def]
    """How long before the grid point neuron j crossed, within ``span`` of it; -1 if it did not."""
    above = x[j] > v_th[j]
    if not above and (kind == 1 or s[j] >= x[j] - current[j]):
        return -1.0  # rising still, with at most one extremum behind it: a minimum
    if not above and span < 0.3 * min(tau[j], tau_s[j]):
        # Falling now. Over so short a span neither the speed nor the current, followed back in
        # time, grows by more than a factor exp(0.3) < 1.5; most neurons are too low for a peak.
        reach = 1.5 * (abs(current[j] - x[j] + s[j]) + 1.5 * abs(s[j]) * span / tau_s[j])
        if v_th[j] - x[j] > reach * span / tau[j]:
            return -1.0
    em, es, c = decay(span, tau[j], tau_s[j])
    s_then = s[j] / es
    x_then = current[j] + (x[j] - current[j] - s_then * c) / em
    h = crossing(kind, x_then, s_then, current[j], v_th[j], tau[j], tau_s[j], span)
    if math.isfinite(h):
        return span - h
    return 0.0 if above else -1.0


@jit
def _kick(  # type: ignore[no-untyped-def]
    kind, j, w, back, end, lag, x, s, y, tau, tau_s, v_th, current, held, span, release, speed,
    lag_of, behind, forced, force_lag, volume,
):  # fmt: skip
    """Give neuron j a kick of w that lies ``back`` before the grid point."""
    k = y.shape[2]
    out = held[j] and release[j] >= end
    if w == 0 or (kind == 1 and (out or release[j] > end - back)):
        return
    em, es, c = decay(back, tau[j], tau_s[j])
    if kind == 1:
        x[j] += w * em
        b = w / tau[j] * em
        for a in range(k):
            y[j, 0, a] -= b * lag[a]
        if forced[j]:
            return
        span[j] = back
        if current[j] + (x[j] - current[j]) / em >= v_th[j]:
            # The spike comes with the kick, and moves with it.
            forced[j] = True
            behind[j] = back
            for a in range(k):
                force_lag[j, a] = lag[a]
            return
    else:
        s[j] += w * es
        b = w / tau_s[j] * es
        for a in range(k):
            y[j, 1, a] -= b * lag[a]
        if out:
            return
        if release[j] > end - back:
            # Felt by the membrane from its release on, whose speed it changes.
            r = end - release[j]
            em_r, es_r, c_r = decay(r, tau[j], tau_s[j])
            at_release = w * es / es_r
            x[j] += at_release * c_r
            before = speed[j]
            speed[j] += at_release / tau[j]
            volume[0] += math.log(abs(speed[j] / before))
            b, d = at_release / tau_s[j] * c_r, at_release / tau[j] * em_r
            for a in range(k):
                y[j, 0, a] += d * lag_of[j, a] - b * lag[a]
        else:
            x[j] += w * c
            span[j] = back
            b = w / tau[j] * em - w / tau_s[j] * c
            for a in range(k):
                y[j, 0, a] += b * lag[a]
    behind[j] = _lag_behind(j, span[j], x, s, v_th, tau, tau_s, current, kind)


@jit
def steps(  # type: ignore[no-untyped-def]
    kind, n_steps, dt, em, es, c, order, sign, on_grid, indptr, post, weight, tau, tau_s,
    t_ref, v_th, v_reset, drive, rows, hold, in_time, in_channel, in_weight,
    x, s, held, release, current, speed, span, behind, forced, lag_of, force_lag, lag, queue,
    queued, recent, marked, y, counters, volume, count,
):  # fmt: skip
    """Advance by n_steps.

    Right is ``order`` 1 (earliest first), ``sign`` 1 (of the lag that targets feel) and not
    ``on_grid`` (spikes act where they happen). The rest is there to show what goes wrong.
    """
    n, k = x.size, y.shape[2]
    for _ in range(n_steps):
        m = counters[STEP]
        start, end = m * dt, (m + 1) * dt
        row = min(int(start / hold + 1e-6), rows.shape[0] - 1)
        waiting = 0
        for j in range(n):
            current[j] = drive[j] + rows[row, j]
            if held[j]:
                if kind == 0:
                    s[j] *= es[j]
                    for a in range(k):
                        y[j, 1, a] *= es[j]
                    volume[0] -= dt / tau_s[j]
                if release[j] >= end:
                    continue
                held[j] = False
                rising = True
                r = min(dt, end - release[j])
                span[j] = r
                factor = tau[j] / (v_th[j] - v_reset[j])
                for a in range(k):
                    lag[a] = factor * y[j, 0, a]
                volume[0] += math.log(factor) + _release(
                    j, r, lag, x, s, y, tau, tau_s, v_th, v_reset, current, speed, lag_of
                )  # fmt: skip
            else:
                span[j] = dt
                rising = current[j] - x[j] + s[j] > 0
                if kind == 0:
                    x[j] = current[j] + em[j] * (x[j] - current[j]) + c[j] * s[j]
                    s[j] *= es[j]
                    for a in range(k):
                        y[j, 0, a] = em[j] * y[j, 0, a] + c[j] * y[j, 1, a]
                        y[j, 1, a] *= es[j]
                    volume[0] -= dt / tau[j] + dt / tau_s[j]
                else:
                    x[j] = current[j] + em[j] * (x[j] - current[j])
                    for a in range(k):
                        y[j, 0, a] *= em[j]
                    volume[0] -= dt / tau[j]
            behind[j] = -1.0
            if x[j] > v_th[j] or (rising and current[j] - x[j] + s[j] < 0):
                behind[j] = _lag_behind(j, span[j], x, s, v_th, tau, tau_s, current, kind)
            if behind[j] >= 0:
                queue[waiting] = j
                queued[j] = True
                waiting += 1
        limit = counters[SPIKES] + 1000 * n
        while True:
            best, place = -1.0, -1
            for q in range(waiting):
                j = queue[q]
                ahead = (behind[j] - best) * order
                if place < 0 or ahead > 0 or (ahead == 0 and j < queue[place]):
                    best, place = behind[j], q
            when = np.inf
            if counters[INPUT] < in_time.size:
                when = in_time[counters[INPUT]]
            if when < end and (place < 0 or end - when >= best):
                channel = in_channel[counters[INPUT]]
                counters[INPUT] += 1
                back = max(0.0, min(dt, end - when))
                for a in range(k):
                    lag[a] = 0.0
                for j in range(n):
                    _kick(
                        kind, j, in_weight[channel, j], back, end, lag, x, s, y, tau, tau_s, v_th,
                        current, held, span, release, speed, lag_of, behind, forced, force_lag,
                        volume,
                    )  # fmt: skip
                    if in_weight[channel, j] != 0 and not queued[j] and not held[j]:
                        if behind[j] >= 0:
                            queue[waiting] = j
                            queued[j] = True
                            waiting += 1
                continue
            if place < 0:
                break
            i = queue[place]
            waiting -= 1
            queue[place] = queue[waiting]
            queued[i] = False
            if behind[i] < 0:
                continue  # a kick has called it off
            back = 0.0 if on_grid else best
            counters[SPIKES] += 1
            if counters[SPIKES] > limit:
                counters[STUCK] = 1
                return
            count[i] += 1
            emb, esb, cb = decay(back, tau[i], tau_s[i])
            s_then = s[i] / esb
            slope = (current[i] - v_th[i] + s_then) / tau[i]
            if forced[i]:
                forced[i] = False
                counters[FORCED] += 1
                for a in range(k):
                    lag[a] = force_lag[i, a]
            elif kind == 0:
                for a in range(k):
                    lag[a] = (y[i, 0, a] - cb * (y[i, 1, a] / esb)) / (emb * slope)
            else:
                for a in range(k):
                    lag[a] = y[i, 0, a] / (emb * slope)
            gap = v_th[i] - v_reset[i]
            volume[0] += back / tau[i] - math.log(abs(slope))
            x_then = current[i] + (x[i] - current[i] - s_then * cb) / emb
            if t_ref[i] == 0:
                speed[i] = (current[i] - v_reset[i] + s_then) / tau[i]
                volume[0] += math.log(abs(speed[i])) - back / tau[i]
                x[i] += (v_reset[i] - x_then) * emb
                for a in range(k):
                    y[i, 0, a] = emb * speed[i] * lag[a]
                    if kind == 0:
                        y[i, 0, a] += cb * (y[i, 1, a] / esb)
                span[i] = back
            else:
                release[i] = end - back + t_ref[i]
                if release[i] >= end:
                    held[i] = True
                    x[i] = v_reset[i]
                    volume[0] += math.log(gap / tau[i])
                    for a in range(k):
                        y[i, 0, a] = gap / tau[i] * lag[a]
                else:
                    span[i] = end - release[i]
                    volume[0] += _release(
                        i, span[i], lag, x, s, y, tau, tau_s, v_th, v_reset, current, speed, lag_of
                    )  # fmt: skip
            if not held[i]:
                behind[i] = _lag_behind(i, span[i], x, s, v_th, tau, tau_s, current, kind)
                if behind[i] >= 0:
                    queue[waiting] = i
                    queued[i] = True
                    waiting += 1
            recent[i] = m
            for a in range(k):
                lag[a] *= sign
            for e in range(indptr[i], indptr[i + 1]):
                j = post[e]
                if recent[j] == m or queued[j]:
                    # Which of two connected spikes of one step came first, no grid can tell.
                    for z in (i, j):
                        if marked[z] != m:
                            marked[z] = m
                            counters[SHARED] += 1
                _kick(
                    kind, j, weight[e], back, end, lag, x, s, y, tau, tau_s, v_th, current, held,
                    span, release, speed, lag_of, behind, forced, force_lag, volume,
                )  # fmt: skip
                if not queued[j] and not held[j] and behind[j] >= 0:
                    queue[waiting] = j
                    queued[j] = True
                    waiting += 1
        counters[STEP] += 1
