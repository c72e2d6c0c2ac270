"""How a frozen Stimulus reaches Brian2 objects: currents by a function, spikes by a generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from brian2 import SpikeGeneratorGroup, Synapses, TimedArray, second
from brian2.devices.device import get_device, runtime_device

from models_eq.errors import ParameterError
from models_eq.frozen import frozen_input, named_clock
from models_eq.hrsnn import HRSNN
from models_eq.neurons import neuron_model
from models_eq.stimulus import Stimulus

if TYPE_CHECKING:
    from models_eq.network import BrianObjects

INPUT = "frozen_input"


def check_hold(stimulus: Stimulus, dt: float) -> None:
    """Raise ParameterError unless ``dt`` (s) divides the time that a row is held."""
    ratio = stimulus.hold / dt
    if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
        raise ParameterError(
            "dt", f"a divisor of the stimulus hold ({stimulus.hold:g} s)", f"{dt:g} s"
        )


def input_currents(
    nets: Sequence[HRSNN], stimuli: Sequence[Stimulus], copies: int, rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Currents as one table, and who reads which column of it.

    Networks that share a stimulus share its columns. Trials are laid out over ``copies`` side by
    side and ``rounds`` one after the other.

    Returns
    -------
    values : ndarray, shape (rows, c)
        Row k holds from k times the hold on.
    channel : ndarray of int32, shape (total,)
        Column of each neuron of the group.
    """
    unique = list({id(s): s for s in stimuli}.values())
    starts: dict[int, int] = {}
    blocks, width = [], 0
    for stimulus in unique:
        starts[id(stimulus)] = width
        block = _lay_out(stimulus, copies, rounds)
        blocks.append(block)
        width += block.shape[1]
    values = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
    channel = []
    for net, stimulus in zip(nets, stimuli, strict=True):
        columns = stimulus.columns(net)[None, :] + starts[id(stimulus)]
        stride = stimulus.n if stimulus.n_trials else 0
        channel.append((columns + stride * np.arange(copies)[:, None]).ravel())
    return values, np.concatenate(channel).astype(np.int32)


@dataclass(frozen=True)
class InputSpikes:
    """Input spikes of one network as arrays, in the order in which Brian2 emits them.

    Attributes
    ----------
    channels : int
        Channels of all copies.
    index, step : ndarray of int32, shape (k,)
        Channel and time step of each spike.
    i, j : ndarray of int32, shape (m,)
        Channel and neuron of the group of each connection.
    w : ndarray, shape (m,)
        Weight of each connection.
    """

    channels: int
    index: np.ndarray
    step: np.ndarray
    i: np.ndarray
    j: np.ndarray
    w: np.ndarray


def input_spikes(
    net: HRSNN, stimulus: Stimulus, offset: int, copies: int, dt: float
) -> InputSpikes | None:
    """Input spikes of one network, whose first neuron has index ``offset``; None without any."""
    source = stimulus.spikes
    if source is None:
        return None
    c = source.weights.shape[0]
    if stimulus.n_trials:
        time = source.t + (source.trial // copies) * stimulus.duration
        index = source.channel + c * (source.trial % copies)
    else:
        time = np.tile(source.t, copies)
        index = (source.channel[None, :] + c * np.arange(copies)[:, None]).ravel()
    step = np.floor(time / dt + 1e-6).astype(np.int64)
    if step.size and np.unique(index * (step.max() + 1) + step).size != step.size:
        raise ParameterError(
            "SpikeInput", f"at most one spike a channel in a step of {dt:g} s", "two"
        )
    order = np.lexsort((index, step))
    weights = source.weights[:, stimulus.columns(net)]
    pre, post = np.nonzero(weights)
    shift = np.arange(copies)[:, None]
    return InputSpikes(
        c * copies,
        index[order].astype(np.int32),
        step[order].astype(np.int32),
        (pre[None, :] + c * shift).ravel().astype(np.int32),
        (post[None, :] + offset + net.n * shift).ravel().astype(np.int32),
        np.tile(weights[pre, post], copies),
    )


def attach_stimulus(
    built: BrianObjects,
    nets: Sequence[HRSNN],
    stimuli: Sequence[Stimulus],
    copies: int,
    rounds: int,
    dt: float,
    on_pre: str | None = None,
    later: bool = False,
) -> None:
    """Let frozen inputs drive built objects.

    For the layout see :func:`input_currents`. ``on_pre`` is what an input spike does; by default
    what the model does. With ``later`` there is one input spike and one connection, whatever the
    stimuli have, for a compiled program to read when it starts.
    """
    hold = stimuli[0].hold
    values, channel = input_currents(nets, stimuli, copies, rounds)
    group = built.group
    if not later:
        group.variables["channel"].set_value(channel)
    if get_device() is runtime_device:
        group.namespace[INPUT] = frozen_input(values, hold)
    else:
        # Of fixed shape, but it can be replaced when the program starts, on CUDA too.
        group.namespace[INPUT] = TimedArray(values, hold * second, name=INPUT)
    group.run_regularly(
        f"i_stim = {INPUT}(t, channel)",
        clock=named_clock(f"{group.name}_stimulus_clock", hold),
        when="start",
        order=1,
        name=f"{group.name}_stimulus",
    )
    if any(s.spikes is not None for s in stimuli):
        _attach_spikes(built, nets, stimuli, copies, dt, on_pre, later)


def _lay_out(stimulus: Stimulus, copies: int, rounds: int) -> np.ndarray:
    current = stimulus.current
    if not stimulus.n_trials:
        return current
    missing = rounds * copies - stimulus.n_trials
    if missing:
        current = np.concatenate([current, np.zeros((missing, *current.shape[1:]))])
    current = current.reshape(rounds, copies, stimulus.n_rows, stimulus.n)
    return current.transpose(0, 2, 1, 3).reshape(rounds * stimulus.n_rows, -1)


def _attach_spikes(
    built: BrianObjects,
    nets: Sequence[HRSNN],
    stimuli: Sequence[Stimulus],
    copies: int,
    dt: float,
    on_pre: str | None,
    later: bool,
) -> None:
    model = neuron_model(nets[0].model)
    one = np.zeros(1, np.int32)
    for k, (net, stimulus, offset) in enumerate(zip(nets, stimuli, built.offsets, strict=True)):
        given = input_spikes(net, stimulus, int(offset), copies, dt)
        if given is None:
            continue
        if later:
            given = InputSpikes(given.channels, one, one, one, one, np.zeros(1))
        elif not (given.index.size and given.i.size):
            continue
        name = f"{built.group.name}_in{k}"
        generator = SpikeGeneratorGroup(
            given.channels,
            given.index,
            given.step * dt * second,
            sorted=True,
            clock=built.group.clock,
            name=name,
        )
        projection = Synapses(
            generator,
            built.group,
            "w : 1 (constant)",
            on_pre=model.on_pre if on_pre is None else on_pre,
            delay=0 * second,
            clock=built.group.clock,
            namespace={},
            name=f"{name}_syn",
        )
        projection.connect(i=given.i, j=given.j)
        if not later:
            projection.variables["w"].set_value(given.w)
        built.inputs += [generator, projection]
