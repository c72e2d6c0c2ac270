"""The output layer of the STDP readout as Brian2 objects: one run that learns, one that answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from brian2 import NeuronGroup, SpikeMonitor, Synapses, second
from brian2.core.network import Network

from models_eq.device import build_and_run, current_device, running
from models_eq.frozen import frozen_input, frozen_rows, named_clock
from models_eq.neurons import ExactPropagator

# Neurons side by side in one run that answers.
_WIDTH = 20_000


@dataclass(frozen=True)
class Layer:
    """What an output layer is made of; times in seconds.

    Attributes
    ----------
    groups, each : int
        Groups of neurons, one a class, and neurons in each.
    dt, steps : float, int
        Time step, and steps that a row of traces is shown.
    tau_m, tau_minus, tau_slow, tau_inhibition : float
        Of the membrane, of the two postsynaptic traces, and of lateral inhibition.
    rest : int
        Steps of refractoriness.
    teaching, inhibition, homeostasis : float
        Teaching current, inhibition by one spike, and step of the intrinsic excitability.
    plus, minus, triplet : float
        Potentiation by a pair, depression by a pair, further potentiation by a triplet.
    w_max : float
        Bound of a weight.
    """

    groups: int
    each: int
    dt: float
    steps: int
    tau_m: float
    tau_minus: float
    tau_slow: float
    tau_inhibition: float
    rest: int
    teaching: float
    inhibition: float
    homeostasis: float
    plus: float
    minus: float
    triplet: float
    w_max: float

    @property
    def size(self) -> int:
        """Neurons of the layer."""
        return self.groups * self.each

    @property
    def group_of(self) -> np.ndarray:
        """Group of each neuron, shape (size,)."""
        return np.repeat(np.arange(self.groups), self.each)

    @property
    def presynaptic_spikes(self) -> float:
        """Presynaptic spikes in a step that hold a trace of 1 where it is."""
        return float(-np.expm1(-self.dt / self.tau_minus))


_EQUATIONS = """
dv/dt = (drive + bias + teach - inhibition*inhibited - v)/tau_m : 1
dinhibited/dt = -inhibited/tau_inhibition : 1
dy/dt = -y/tau_minus : 1
dz/dt = -z/tau_slow : 1
area : 1
rest : 1
drive : 1
bias : 1
teach : 1
gate : 1
group : integer (constant)
channel : integer (constant)
"""
# The membrane first: it sees the inhibition of the step's beginning. While it rests it stays at 0.
_STEP = """
u = drive + bias + teach - inhibition*inhibited
v = (u + (v - u)*decay_m)*int(rest < 0.5)
rest = clip(rest - 1, 0, 1e9)
inhibited = inhibited*decay_i
y = y*decay_y
z = z*decay_z
area = area + y
"""
_RESET = "v = 0\nrest = n_rest\ny += 1\nz += 1\nbias += gate*homeostasis"
_START = "v = 0\nrest = 0\ninhibited = 0\ny = 0\nz = 0\narea = 0"


def _neurons(layer: Layer, copies: int, name: str) -> NeuronGroup:
    decay = {
        "decay_m": layer.tau_m,
        "decay_i": layer.tau_inhibition,
        "decay_y": layer.tau_minus,
        "decay_z": layer.tau_slow,
    }
    # Scalars of the namespace are inlined as numbers; as variables they keep the code the same.
    shared = {name: float(np.exp(-layer.dt / tau)) for name, tau in decay.items()}
    shared |= {"inhibition": layer.inhibition, "n_rest": float(layer.rest)}
    shared |= {"homeostasis": layer.homeostasis, "teaching": layer.teaching}
    times = {"tau_m": layer.tau_m, "tau_inhibition": layer.tau_inhibition}
    times |= {"tau_minus": layer.tau_minus, "tau_slow": layer.tau_slow}
    declared = "".join(f"{key} : 1 (shared, constant)\n" for key in shared)
    declared += "".join(f"{key} : second (shared, constant)\n" for key in times)
    group = NeuronGroup(
        layer.size * copies,
        _EQUATIONS + declared + "length : second (shared, constant)\n",
        threshold="v > 1",
        reset=_RESET,
        method=ExactPropagator(_STEP),
        clock=named_clock(f"{name}_clock", layer.dt),
        namespace={},
        name=name,
    )
    for key, value in {**shared, **times}.items():
        group.variables[key].set_value(value)
    group.variables["group"].set_value(np.tile(layer.group_of, copies).astype(np.int32))
    return group


def _inhibition(layer: Layer, neurons: NeuronGroup, copies: int) -> list[Synapses]:
    """Every spike inhibits all other neurons of its own copy of the layer."""
    if layer.size < 2 or layer.inhibition == 0:
        return []
    pre, post = np.nonzero(~np.eye(layer.size, dtype=bool))
    shift = layer.size * np.arange(copies)[:, None]
    synapses = Synapses(
        neurons,
        neurons,
        on_pre="inhibited_post += 1",
        delay=0 * second,
        clock=neurons.clock,
        namespace={},
        name=f"{neurons.name}_inhibition",
    )
    synapses.connect(
        i=(pre + shift).ravel().astype(np.int32), j=(post + shift).ravel().astype(np.int32)
    )
    return [synapses]


def learn(
    layer: Layer,
    x: np.ndarray,
    order: np.ndarray,
    label: np.ndarray,
    rate: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Show samples one after the other, each without and then with the teaching current.

    Parameters
    ----------
    layer : Layer
    x : ndarray, shape (samples, rows, features)
        Presynaptic traces.
    order : ndarray of int, shape (k,)
        Samples in the order in which they are shown.
    label : ndarray of int, shape (samples,)
        Group that is taught.
    rate : ndarray, shape (k,)
        Factor of all changes while a sample is shown.
    w : ndarray, shape (features, size)
    bias : ndarray, shape (size,)

    Returns
    -------
    w, bias : ndarray
        Afterwards.
    counts : ndarray of int, shape (k, size)
        Spikes without the teaching current.
    """
    _, rows, features = x.shape
    shown, row_time = len(order), layer.steps * layer.dt
    phase = rows * row_time
    taught = np.where(label[order][:, None] == np.arange(layer.groups), 1.0, -1.0)
    schedule = np.column_stack([taught, rate])
    turns = rows * np.repeat(order, 2)[:, None] + np.arange(rows)
    shows = frozen_rows(x.reshape(-1, features), turns.ravel(), row_time)
    with running(current_device()):
        inputs = NeuronGroup(
            features,
            "x : 1",
            clock=named_clock("readout_in_clock", layer.dt),
            namespace={"frozen_rows": shows},
            name="readout_in",
        )
        neurons = _neurons(layer, 1, "readout_out")
        neurons.namespace["frozen_input"] = frozen_input(schedule, 2 * phase)
        neurons.variables["length"].set_value(phase)
        neurons.variables["bias"].set_value(bias)
        neurons.variables["channel"].set_value(np.full(layer.size, layer.groups, dtype=np.int32))
        gain = "(plus + triplet*z_post)" if layer.triplet else "plus"
        constants = {"plus": layer.plus, "w_max": layer.w_max, "triplet": layer.triplet}
        constants["loss"] = layer.minus * layer.presynaptic_spikes
        synapses = Synapses(
            inputs,
            neurons,
            "w : 1\n" + "\n".join(f"{name} : 1 (shared, constant)" for name in constants),
            on_post=f"w = clip(w + gate_post*{gain}*x_pre, -w_max, w_max)",
            delay={"post": 0 * second},
            clock=neurons.clock,
            namespace={},
            name="readout_syn",
        )
        synapses.connect(
            i=np.repeat(np.arange(features, dtype=np.int32), layer.size),
            j=np.tile(np.arange(layer.size, dtype=np.int32), features),
        )
        for name, value in {**constants, "w": w.ravel()}.items():
            synapses.variables[name].set_value(value)
        begin = (
            f"gate = (2*(int(t/length + 0.5) % 2) - 1)*frozen_input(t, channel)\n{_START}\n"
            "teach = int(gate > 0)*teaching*frozen_input(t, group)"
        )
        row_clock = named_clock("readout_row_clock", row_time)
        phase_clock = named_clock("readout_phase_clock", phase)
        if layer.minus:
            code = "w = clip(w - gate_post*loss*area_post*x_pre, -w_max, w_max)"
            synapses.run_regularly(code, clock=row_clock, order=-3, name="readout_depress")
            neurons.run_regularly("area = 0", clock=row_clock, order=-2, name="readout_area")
        neurons.run_regularly(begin, clock=phase_clock, order=-1, name="readout_begin")
        inputs.run_regularly("x = frozen_rows(t, i)", clock=row_clock, order=0, name="readout_show")
        neurons.run_regularly("drive = 0", clock=row_clock, order=1, name="readout_clear")
        synapses.run_regularly(
            "drive_post += w*x_pre", clock=row_clock, order=2, name="readout_drive"
        )
        monitor = SpikeMonitor(neurons, name="readout_spikes")
        more = _inhibition(layer, neurons, 1)
        network = Network(inputs, neurons, synapses, monitor, *more)
        network.run(2 * shown * phase * second, namespace={})
        build_and_run()
        w = np.array(synapses.variables["w"].get_value()).reshape(features, layer.size)
        bias = np.array(neurons.variables["bias"].get_value())
        area = np.array(neurons.variables["area"].get_value())
        steps = np.rint(np.asarray(monitor.t_[:]) / layer.dt).astype(np.int64)
        who = np.array(monitor.i[:], dtype=np.int64)
    if layer.minus:  # what the next row would have taken
        w = w - rate[-1] * constants["loss"] * np.outer(x[order[-1], -1], area)
        w = np.clip(w, -layer.w_max, layer.w_max)
    turn, inside = np.divmod(steps, 2 * rows * layer.steps)
    free = inside < rows * layer.steps
    counts = np.bincount(turn[free] * layer.size + who[free], minlength=shown * layer.size)
    return w, bias, counts.reshape(shown, layer.size)


def answer(
    layer: Layer, x: np.ndarray, w: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Show samples side by side, without teaching current and plasticity.

    Returns
    -------
    counts : ndarray of int, shape (samples, size)
        Spikes.
    drive : ndarray, shape (samples, size)
        Mean current, inhibition left out.
    """
    samples = len(x)
    most = max(1, _WIDTH // layer.size)
    counts = np.zeros((samples, layer.size), dtype=np.int64)
    drive = np.empty((samples, layer.size))
    for start in range(0, samples, most):
        part = slice(start, min(start + most, samples))
        current = x[part] @ w
        drive[part] = current.mean(axis=1) + bias
        counts[part] = _answer(layer, current + bias)
    return counts, drive


def _answer(layer: Layer, current: np.ndarray) -> np.ndarray:
    copies, rows, _ = current.shape
    row_time = layer.steps * layer.dt
    values = current.transpose(1, 0, 2).reshape(rows, -1)
    with running(current_device()):
        neurons = _neurons(layer, copies, "readout_ask")
        neurons.namespace["frozen_input"] = frozen_input(values, row_time)
        neurons.variables["channel"].set_value(np.arange(values.shape[1], dtype=np.int32))
        neurons.run_regularly(
            "drive = frozen_input(t, channel)",
            clock=named_clock("readout_ask_row_clock", row_time),
            name="readout_ask_show",
        )
        monitor = SpikeMonitor(neurons, record=False, name="readout_ask_spikes")
        more: list[Any] = _inhibition(layer, neurons, copies)
        Network(neurons, monitor, *more).run(rows * row_time * second, namespace={})
        build_and_run()
        return np.array(monitor.count[:], dtype=np.int64).reshape(copies, layer.size)
