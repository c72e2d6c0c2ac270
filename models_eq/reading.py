"""Monitors of a planned simulation, and how they are read back into Trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from brian2 import EventMonitor, SpikeMonitor, StateMonitor
from brian2.core.base import BrianObject

from models_eq.frozen import named_clock
from models_eq.hrsnn import HRSNN
from models_eq.network import BrianObjects, first_indices
from models_eq.plan import Plan
from models_eq.trajectory import Trajectory

Monitors = dict[str, BrianObject]


def attach_monitors(built: BrianObjects, plan: Plan) -> Monitors:
    """Monitors for what the plan records: ``spikes``, and maybe ``release`` and ``samples``."""
    group = built.group
    variables = [*plan.state_names, "i_stim"] if plan.spike_state else None
    monitors: Monitors = {
        "spikes": SpikeMonitor(group, variables=variables, name=f"{group.name}_spikes")
    }
    if plan.spike_state:
        monitors["release"] = EventMonitor(
            group, "release", variables=variables, name=f"{group.name}_releases"
        )
    if plan.sampled:
        monitors["samples"] = StateMonitor(
            group,
            plan.sampled,
            record=True,
            clock=named_clock(f"{group.name}_samples_clock", plan.interval),
            order=2,  # after trials are reset and the input of the step is set
            name=f"{group.name}_samples",
        )
    return monitors


@dataclass(frozen=True)
class Recorded:
    """What a run recorded, as plain arrays over the whole group, from wherever it ran.

    Attributes
    ----------
    spikes, release : dict of str to ndarray
        ``i``, ``t`` (s) and variables of each event; releases are None where they were not asked
        for.
    sample_t : ndarray, shape (q,), s
        Times of all samples of all rounds.
    samples : dict of str to ndarray, shape (total, q)
        Sampled variables.
    final : dict of str to ndarray, shape (total,)
        State at the end.
    """

    spikes: dict[str, np.ndarray]
    release: dict[str, np.ndarray] | None
    sample_t: np.ndarray
    samples: dict[str, np.ndarray]
    final: dict[str, np.ndarray]


def recorded_variables(plan: Plan) -> tuple[str, ...]:
    """Variables that are recorded at each event."""
    return (*plan.state_names, "i_stim") if plan.spike_state else ()


def collect(built: BrianObjects, monitors: Monitors, plan: Plan) -> Recorded:
    """Read the monitors of a plan that Brian2 has run.

    Parameters
    ----------
    built : BrianObjects
        The objects that ran.
    monitors : dict of str to BrianObject
        As of :func:`attach_monitors`.
    plan : Plan
        What was asked for.
    """

    def events(key: str) -> dict[str, np.ndarray]:
        monitor = monitors[key]
        names = recorded_variables(plan)
        values = {n: np.array(getattr(monitor, f"{n}_")[:], dtype=float) for n in names}
        return {"i": np.array(monitor.i[:]), "t": np.array(monitor.t_[:]), **values}

    sample_t, samples = np.zeros(0), {}
    if "samples" in monitors:
        sample_t = np.array(monitors["samples"].t_[:])
        # Copies: newer Brian2 hands out views of memory that goes when the monitor does.
        samples = {n: np.array(getattr(monitors["samples"], f"{n}_")) for n in plan.sampled}
    variables = built.group.variables
    return Recorded(
        spikes=events("spikes"),
        release=events("release") if plan.spike_state else None,
        sample_t=sample_t,
        samples=samples,
        final={name: np.array(variables[name].get_value()) for name in plan.state_names},
    )


@dataclass(frozen=True)
class _Events:
    """Events of a whole group in the order (network, trial, step, neuron).

    Those of network k are ``starts[k]:ends[k]``; ``trial`` counts within the network.
    """

    neuron: np.ndarray
    step: np.ndarray
    trial: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    variables: dict[str, np.ndarray] = field(default_factory=dict)

    def of_network(self, k: int, dt: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Time, neuron and trial of the events of one network, and their variables."""
        mine = slice(self.starts[k], self.ends[k])
        where = {
            "t": self.step[mine] * dt,
            "i": self.neuron[mine].astype(np.int64),
            "trial": self.trial[mine].astype(np.int64),
        }
        return where, {name: value[mine].copy() for name, value in self.variables.items()}


def _events(recorded: Mapping[str, np.ndarray], plan: Plan) -> _Events:
    index = np.asarray(recorded["i"], dtype=np.int64)
    step = np.rint(recorded["t"] / plan.dt).astype(np.int64)
    names = recorded_variables(plan)
    variables = {name: np.asarray(recorded[name], dtype=float) for name in names}
    # Where each neuron of the group belongs.
    sizes = [net.n for net in plan.nets]
    turns = plan.rounds * plan.copies
    neuron_of = np.concatenate([np.tile(np.arange(n), plan.copies) for n in sizes])
    block_of = np.concatenate(
        [k * turns + np.repeat(np.arange(plan.copies), n) for k, n in enumerate(sizes)]
    )
    when = step * neuron_of.size + index
    label = block_of[index]
    if plan.rounds > 1:
        turn, step = np.divmod(step, plan.n_steps)
        label = label + plan.copies * turn
    # Devices that yield events in order of (step, neuron), as most do, leave only the sort by
    # label, which is linear in time for two-byte integers.
    narrow = label.astype(np.uint16) if len(sizes) * turns <= 2**16 else label
    if when.size and not (when[1:] > when[:-1]).all():
        order = np.lexsort((when, label))
    else:
        order = np.argsort(narrow, kind="stable")
    count = np.concatenate([[0], np.cumsum(np.bincount(label, minlength=len(sizes) * turns))])
    first = turns * np.arange(len(sizes))
    return _Events(
        neuron=neuron_of[index[order]],
        step=step[order],
        trial=label[order] % turns,
        starts=count[first],
        ends=count[first + plan.n_trials],  # the last round may have trials to spare
        variables={name: value[order] for name, value in variables.items()},
    )


def read(recorded: Recorded, plan: Plan, device: str, seconds: float) -> list[Trajectory]:
    """One Trajectory for each network of a plan that has run.

    Parameters
    ----------
    recorded : Recorded
        What the run recorded.
    plan : Plan
        What was asked for.
    device : str
        Where it ran.
    seconds : float
        Wall-clock time of the run, s.
    """
    spikes = _events(recorded.spikes, plan)
    releases = None if recorded.release is None else _events(recorded.release, plan)
    final = {}
    if plan.rounds == 1:
        final = {name: np.asarray(value, dtype=float) for name, value in recorded.final.items()}
    result = []
    for k, (net, start) in enumerate(
        zip(plan.nets, first_indices(plan.nets, plan.copies), strict=True)
    ):
        offset = int(start)
        block = slice(offset, offset + net.n * plan.copies)
        where, at_spike = spikes.of_network(k, plan.dt)
        release: dict[str, np.ndarray] = {}
        if releases is not None:
            when, variables = releases.of_network(k, plan.dt)
            release = {**when, **variables}
        sample_t, samples = _samples(recorded, plan, net, block)
        result.append(
            Trajectory(
                t=where["t"],
                i=where["i"],
                trial=where["trial"],
                n=net.n,
                n_trials=plan.n_trials,
                duration=plan.n_steps * plan.dt,
                dt=plan.dt,
                device=device,
                digest=net.digest,
                at_spike=at_spike,
                release=release,
                sample_t=sample_t,
                samples=samples,
                final_state={
                    name: v[block].reshape(plan.copies, net.n) for name, v in final.items()
                },
                run_seconds=seconds,
            )
        )
    return result


def _samples(
    recorded: Recorded, plan: Plan, net: HRSNN, block: slice
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    if not plan.sampled:
        return np.zeros(0), {}
    times = recorded.sample_t
    each = times.size // plan.rounds
    out = {}
    for name in plan.sampled:
        values = np.asarray(recorded.samples[name][block], dtype=float)
        values = values.reshape(plan.copies, net.n, plan.rounds, each).transpose(2, 0, 3, 1)
        values = values.reshape(plan.rounds * plan.copies, each, net.n)
        out[name] = np.ascontiguousarray(values[: plan.n_trials])
    return times[:each], out
