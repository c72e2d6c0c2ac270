"""Brian2 models of other people's kinds, for tests of what reads and analyses them."""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2 import (
    NeuronGroup,
    Synapses,
    ms,
    msiemens,
    mV,
    nA,
    nS,
    pA,
    pF,
    uA,
    uF,
)

Objects = tuple[NeuronGroup, list[Synapses]]


def adex(n: int = 1, threshold: str = "v > -40*mV") -> Objects:
    """Adaptive exponential integrate-and-fire (Brette & Gerstner 2005)."""
    constants = {
        "C": 281 * pF, "gL": 30 * nS, "EL": -70.6 * mV, "VT": -50.4 * mV, "DT": 2 * mV,
        "tauw": 40 * ms, "a": 4 * nS, "b": 80.5 * pA, "Vr": -70.6 * mV,
    }  # fmt: skip
    group = NeuronGroup(
        n,
        """dv/dt = (gL*(EL - v) + gL*DT*exp((v - VT)/DT) + I - w)/C : volt
        dw/dt = (a*(v - EL) - w)/tauw : amp
        I : amp (constant)""",
        threshold=threshold, reset="v = Vr; w += b", method="euler", namespace=constants,
    )  # fmt: skip
    group.v, group.I = -65 * mV, 1 * nA
    return group, []


def izhikevich(n: int = 1) -> Objects:
    """Izhikevich (2003), regular spiking."""
    group = NeuronGroup(
        n,
        """dv/dt = (0.04*v**2 + 5*v + 140 - u + I)/ms : 1
        du/dt = a*(b*v - u)/ms : 1
        I : 1
        a : 1 (shared)
        b : 1 (shared)""",
        threshold="v >= 30", reset="v = -65\nu += 8  # recovery", method="euler",
    )  # fmt: skip
    group.v, group.u, group.I, group.a, group.b = -65, -13, 10, 0.02, 0.2
    return group, []


def coba(n: int = 6, refractory: Any = 2 * ms) -> Objects:
    """Leaky neurons with conductances (as in Vogels & Abbott 2005), refractory."""
    constants = {"taum": 20 * ms, "taue": 5 * ms, "taui": 10 * ms, "Ee": 0 * mV, "Ei": -80 * mV}
    group = NeuronGroup(
        n,
        """dv/dt = (ge*(Ee - v) + gi*(Ei - v) + E0 - v)/taum : volt (unless refractory)
        dge/dt = -ge/taue : 1
        dgi/dt = -gi/taui : 1
        E0 : volt (constant)""",
        threshold="v > -50*mV", reset="v = -60*mV", refractory=refractory, method="euler",
        namespace=constants,
    )  # fmt: skip
    group.v = (-60 + 10 * np.linspace(0, 0.9, n)) * mV
    group.E0 = (-46 + np.linspace(0, 3, n)) * mV
    exc = Synapses(group, group, "w : 1", on_pre="ge += w")
    inh = Synapses(group, group, "w : 1", on_pre="gi_post += w")
    half = n // 2
    exc.connect(
        i=np.repeat(np.arange(half), 2), j=(np.repeat(np.arange(half), 2) + [1, 3] * half) % n
    )
    inh.connect(i=np.arange(half, n), j=(np.arange(half, n) + 2) % n)
    exc.w, inh.w = 0.05, 0.2
    return group, [exc, inh]


HH = """dv/dt = (gl*(El - v) + gna*m**3*h*(ENa - v) + gk*n**4*(EK - v) + g*(Es - v) + I)/C : volt
dm/dt = alm*(1 - m) - bem*m : 1
dn/dt = aln*(1 - n) - ben*n : 1
dh/dt = alh*(1 - h) - beh*h : 1
dg/dt = -g/taus : siemens
alm = 1.0/exprel(-(v + 40*mV)/(10*mV))/ms : Hz
bem = 4*exp(-(v + 65*mV)/(18*mV))/ms : Hz
alh = 0.07*exp(-(v + 65*mV)/(20*mV))/ms : Hz
beh = 1/(1 + exp(-(v + 35*mV)/(10*mV)))/ms : Hz
aln = 0.1/exprel(-(v + 55*mV)/(10*mV))/ms : Hz
ben = 0.125*exp(-(v + 65*mV)/(80*mV))/ms : Hz
I : amp (constant)"""


def hodgkin_huxley(n: int = 1) -> Objects:
    """Hodgkin & Huxley (1952) with synapses at a threshold crossing; nothing is reset."""
    constants = {
        "C": 1 * uF, "gl": 0.3 * msiemens, "gna": 120 * msiemens, "gk": 36 * msiemens,
        "El": -54.4 * mV, "EK": -77 * mV, "ENa": 50 * mV, "Es": -75 * mV, "taus": 5 * ms,
    }  # fmt: skip
    group = NeuronGroup(
        n, HH, threshold="v > -20*mV", refractory="v > -20*mV", method="exponential_euler",
        namespace=constants,
    )  # fmt: skip
    group.v, group.m, group.n, group.h = -60 * mV, 0.1, 0.4, 0.4
    group.I = np.linspace(10, 11, n) * uA
    if n == 1:
        return group, []
    group.v = np.linspace(-65, -55, n) * mV
    synapses = Synapses(group, group, "w : siemens", on_pre="g_post += w")
    synapses.connect(condition="i != j")
    synapses.w = 0.05 * msiemens
    return group, [synapses]


def facilitating(n: int = 2) -> Objects:
    """A parameter that the reset moves, a synapse that reads its source, and multiplies."""
    group = NeuronGroup(
        n,
        """dv/dt = (1.5 - v + x)/(10*ms) : 1
        dx/dt = -x/(20*ms) : 1
        u : 1""",
        threshold="v > 1", reset="v -= 1; u += 0.1*(1 - u)", method="euler",
    )  # fmt: skip
    group.u = 0.2
    synapses = Synapses(group, group, "w : 1", on_pre="x_post = 0.9*x_post + w*u_pre*(1 - v_post)")
    synapses.connect(condition="i != j")
    synapses.w = 0.1
    return group, [synapses]
