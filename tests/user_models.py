"""Models as users write them, which know nothing of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from brian2 import Network, NeuronGroup, SpikeMonitor, Synapses, ms, mV, second

Spikes = tuple[np.ndarray, np.ndarray]


@dataclass
class Model:
    """Objects of a model, and the names that its equations use."""

    group: NeuronGroup
    synapses: list[Synapses]
    namespace: dict[str, Any]

    def network(self) -> Network:
        """Network of the objects."""
        return Network(self.group, *self.synapses)


def spikes(network: Network, group: NeuronGroup, namespace: dict[str, Any], time: Any) -> Spikes:
    """Times (s) and neurons of the spikes of one run, counted from its start, sorted."""
    start = float(network.t)
    monitor = SpikeMonitor(group)
    network.add(monitor)
    network.run(time, namespace=namespace)
    network.remove(monitor)
    t, i = np.asarray(monitor.t) - start, np.asarray(monitor.i)
    order = np.lexsort((i, t))
    return t[order], i[order]


CUBA = """
dv/dt  = (ge+gi-(v-El))/taum : volt (unless refractory)
dge/dt = -ge/taue : volt
dgi/dt = -gi/taui : volt
"""


def cuba(n: int = 200, seed: int = 0, strength: float = 3.0) -> Model:
    """Brian2's example CUBA, of fewer neurons, wired and started from arrays."""
    namespace = {
        "taum": 20 * ms, "taue": 5 * ms, "taui": 10 * ms, "Vt": -50 * mV, "Vr": -60 * mV,
        "El": -49 * mV, "we": strength * 60 * 0.27 / 10 * mV, "wi": strength * -20 * 4.5 / 10 * mV,
    }  # fmt: skip
    group = NeuronGroup(
        n, CUBA, threshold="v>Vt", reset="v = Vr", refractory=5 * ms, method="exact"
    )
    rng = np.random.default_rng(seed)
    group.v = (-60 + 10 * rng.random(n)) * mV
    excitatory, inhibitory = (
        Synapses(group, group, on_pre=code) for code in ("ge += we", "gi += wi")
    )
    linked = rng.random((n, n)) < 0.05
    i, j = np.nonzero(linked)
    for synapses, mine in ((excitatory, i < 0.8 * n), (inhibitory, i >= 0.8 * n)):
        synapses.connect(i=i[mine], j=j[mine])
    return Model(group, [excitatory, inhibitory], namespace)


STDP = """
w : 1
plain : volt
label : integer (constant)
flag : boolean
gmax : 1 (shared)
dApre/dt = -Apre/(20*ms) : 1 (event-driven)
dApost/dt = -Apost/(20*ms) : 1 (event-driven)
dslow/dt = -slow/(50*ms) : 1 (clock-driven)
"""


def stdp(n: int = 30, seed: int = 0) -> Model:
    """Plastic synapses with delays and two pathways, and static ones, onto neurons with extras."""
    rng = np.random.default_rng(seed)
    group = NeuronGroup(
        n,
        """dv/dt = (drive - v)/tau : 1 (unless refractory)
        drive : 1
        tau : second (constant)
        kind : integer (constant)
        total : 1 (shared)
        heard : 1""",
        threshold="v > 1", reset="v = 0", refractory="1*ms + 0.5*ms*kind", method="exact",
    )  # fmt: skip
    group.v, group.drive = rng.random(n), 1.2 + rng.random(n)
    group.tau, group.kind, group.total = (8 + 8 * rng.random(n)) * ms, rng.integers(0, 3, n), 7.5
    plastic = Synapses(
        group, group, STDP,
        on_pre={"act": "v_post += w*0.1", "learn": "Apre += 0.01; w = clip(w + Apost, 0, gmax)"},
        on_post="Apost -= 0.0105; w = clip(w + Apre, 0, gmax); slow += 1",
        method="exact",
    )  # fmt: skip
    static = Synapses(group, group, "weight : 1", on_pre="v -= weight; heard += 1", delay=2 * ms)
    for synapses in (plastic, static):
        i, j = np.nonzero(rng.random((n, n)) < 0.3)
        synapses.connect(i=i, j=j)
    m = len(plastic)
    plastic.w, plastic.plain = rng.random(m), rng.random(m) * mV
    plastic.label, plastic.flag, plastic.gmax = rng.integers(0, 9, m), rng.random(m) < 0.5, 1.0
    plastic.Apre, plastic.slow = 0.001 * rng.random(m), rng.random(m)
    plastic.act.delay = rng.integers(1, 40, m) * 0.1 * ms
    plastic.learn.delay = rng.integers(0, 5, m) * 0.1 * ms
    static.weight = 0.05 * rng.random(len(static))
    return Model(group, [plastic, static], {"ms": ms, "second": second})
