"""Compiled closed forms of one neuron: decay, rotation of the phase, and the next crossing.

``kind`` 0 is lif_exp, 1 lif_delta, 2 qif (whose ``x`` is the phase). Times in s, potentials and
weights dimensionless. numba's cache of a loop that calls these notices a change of the file that
the loop stands in, not of this one: after an edit here, delete ``__pycache__``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function, and keep the machine code where a folder for it can be written."""
    try:
        return numba.njit(cache=True, error_model="numpy")(function)
    except RuntimeError:  # no such folder: compiled anew in every process
        return numba.njit(error_model="numpy")(function)


@jit
def decay(h, tau, tau_s):  # type: ignore[no-untyped-def]
    """Membrane and synaptic decay over h, and response of the membrane to a unit current."""
    em = math.exp(-h / tau)
    es = math.exp(-h / tau_s)
    x = h / tau_s - h / tau
    if abs(x) < 0.02:
        # The difference of the exponentials cancels here; what seven terms leave is 3e-17.
        series = 1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5 * (1 - x / 6 * (1 - x / 7)))))
        return em, es, h / tau * em * series
    return em, es, (es - em) / (1 - tau / tau_s)


@jit
def rotate(phase, current, h, tau):  # type: ignore[no-untyped-def]
    """Sine and cosine of half the phase after h, not normalised: V moves by a Moebius map."""
    p, q = math.sin(0.5 * phase), math.cos(0.5 * phase)
    if current > 0:
        root = math.sqrt(current)
        c, s = math.cos(root * h / tau), math.sin(root * h / tau) / root
    elif current < 0:
        root = math.sqrt(-current)
        c, s = math.cosh(root * h / tau), math.sinh(root * h / tau) / root
    else:
        c, s = 1.0, h / tau
    return c * p + current * s * q, c * q - s * p


@jit
def quadratic_crossing(phase, current, tau):  # type: ignore[no-untyped-def]
    """Time until the phase reaches pi, infinite where it does not."""
    p, q = math.sin(0.5 * phase), max(0.0, math.cos(0.5 * phase))
    if current > 0:
        root = math.sqrt(current)
        return tau / root * math.atan2(root * q, p)
    if p <= 0:
        return np.inf
    if current == 0:
        return tau * q / p
    root = math.sqrt(-current)
    return tau / root * math.atanh(root * q / p) if root * q < p else np.inf


@jit
def crossing(kind, x, s, current, v_th, tau, tau_s, h_max):  # type: ignore[no-untyped-def]
    """Time to the next threshold crossing, infinite where there is none within h_max."""
    if kind == 2:
        h = quadratic_crossing(x, current, tau)
        return h if h <= h_max else np.inf
    if kind == 1 or s == 0:
        if current <= v_th:
            return np.inf if x < v_th else 0.0
        h = tau * math.log((current - x) / (current - v_th)) if x < v_th else 0.0
        return h if h <= h_max else np.inf
    u = current - x + s  # tau dv/dt
    if x >= v_th:
        return 0.0 if u > 0 else np.inf
    if current + max(s, 0.0) <= v_th:
        return np.inf
    # The membrane has at most one extremum; it tells where the first crossing can lie.
    a, ratio = 1 / tau_s - 1 / tau, u * tau_s / s
    extremum = np.inf
    if ratio > 0 and a * ratio < 1:
        extremum = ratio if abs(a * ratio) < 1e-12 else -math.log1p(-a * ratio) / a
    low, high = 0.0, h_max
    if s > 0:
        if u <= 0:
            return np.inf
        high = min(extremum, h_max)
    elif u < 0:
        if not math.isfinite(extremum):
            return np.inf
        low = extremum
    if (s < 0 and current <= v_th) or low >= h_max:
        return np.inf
    if not math.isfinite(high):
        high = low + tau
        while True:
            em, _, k = decay(high, tau, tau_s)
            if current + (x - current) * em + s * k > v_th:
                break
            if high > 1e6 * tau:
                return np.inf
            high = low + 2 * (high - low)
    else:
        em, _, k = decay(high, tau, tau_s)
        if current + (x - current) * em + s * k < v_th:
            return np.inf
    h = low + 0.5 * (high - low)
    if s > 0 or u > 0:
        h = min(high, max(low, tau * (v_th - x) / u)) if u > 0 else h
    for _ in range(100):
        em, es, k = decay(h, tau, tau_s)
        v = current + (x - current) * em + s * k
        if v > v_th:
            high = h
        else:
            low = h
        slope = (current - v + s * es) / tau
        new = h - (v - v_th) / slope if slope > 0 else 0.5 * (low + high)
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - h) <= 4e-16 * (h + tau):
            return new
        h = new
    return h


@jit
def earliest(x, s, current, v_th, tau, tau_s, h_max):  # type: ignore[no-untyped-def]
    """Lower bound of the time to the next crossing of lif_exp, infinite where above h_max.

    From tau dv/dt <= u(0) + max(-s, 0) h/tau_s, u = current - v + s: far cheaper than the root.
    """
    if x >= v_th:
        return 0.0
    if current + max(s, 0.0) <= v_th:
        return np.inf
    b = max(current - x + s, 0.0) / tau
    a = max(-s, 0.0) / (tau * tau_s)
    h = 2 * (v_th - x) / (b + math.sqrt(b * b + 4 * a * (v_th - x)))
    return h if h <= h_max else np.inf
