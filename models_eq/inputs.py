"""How a frozen Stimulus reaches Brian2 objects: currents by a function, spikes by a generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from brian2 import SpikeGeneratorGroup, Synapses, second

from models_eq.errors import ParameterError
from models_eq.frozen import frozen_input, named_clock
from models_eq.hrsnn import HRSNN
from models_eq.neurons import neuron_model
from models_eq.stimulus import Stimulus

if TYPE_CHECKING:
    from models_eq.network import BrianObjects


def check_hold(stimulus: Stimulus, dt: float) -> None:
    """Raise ParameterError unless ``dt`` (s) divides the time that a row is held."""
    ratio = stimulus.hold / dt
    if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
        raise ParameterError(
            "dt", f"a divisor of the stimulus hold ({stimulus.hold:g} s)", f"{dt:g} s"
        )


def attach_stimulus(
    built: BrianObjects,
    nets: Sequence[HRSNN],
    stimuli: Sequence[Stimulus],
    copies: int,
    rounds: int,
    dt: float,
    on_pre: str | None = None,
) -> None:
    """Let frozen inputs drive built objects.

    Networks that share a stimulus share its memory. Trials are laid out over ``copies`` side by
    side and ``rounds`` one after the other. ``on_pre`` is what an input spike does; by default
    what the model does.
    """
    unique = list({id(s): s for s in stimuli}.values())
    hold = unique[0].hold
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
    group = built.group
    group.variables["channel"].set_value(np.concatenate(channel).astype(np.int32))
    group.namespace["frozen_input"] = frozen_input(values, hold)
    group.run_regularly(
        "i_stim = frozen_input(t, channel)",
        clock=named_clock(f"{group.name}_stimulus_clock", hold),
        when="start",
        order=1,
        name=f"{group.name}_stimulus",
    )
    if any(s.spikes is not None for s in unique):
        _attach_spikes(built, nets, stimuli, copies, dt, on_pre)


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
) -> None:
    model = neuron_model(nets[0].model)
    for k, (net, stimulus, offset) in enumerate(zip(nets, stimuli, built.offsets, strict=True)):
        source = stimulus.spikes
        if source is None or source.t.size == 0:
            continue
        c = source.weights.shape[0]
        if stimulus.n_trials:
            time = source.t + (source.trial // copies) * stimulus.duration
            index = source.channel + c * (source.trial % copies)
        else:
            time = np.tile(source.t, copies)
            index = (source.channel[None, :] + c * np.arange(copies)[:, None]).ravel()
        step = np.floor(time / dt + 1e-6).astype(np.int64)
        if np.unique(index * (step.max() + 1) + step).size != step.size:
            raise ParameterError(
                "SpikeInput", f"at most one spike a channel in a step of {dt:g} s", "two"
            )
        weights = source.weights[:, stimulus.columns(net)]
        pre, post = np.nonzero(weights)
        if pre.size == 0:
            continue
        name = f"{built.group.name}_in{k}"
        generator = SpikeGeneratorGroup(
            c * copies, index, step * dt * second, clock=built.group.clock, name=name
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
        shift = np.arange(copies)[:, None]
        projection.connect(
            i=(pre[None, :] + c * shift).ravel().astype(np.int32),
            j=(post[None, :] + offset + net.n * shift).ravel().astype(np.int32),
        )
        projection.variables["w"].set_value(np.tile(weights[pre, post], copies))
        built.inputs += [generator, projection]
