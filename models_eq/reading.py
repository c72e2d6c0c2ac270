"""Monitors of a planned simulation, and how they are read back into Trajectories."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from brian2 import EventMonitor, SpikeMonitor, StateMonitor, second
from brian2.core.base import BrianObject

from models_eq.hrsnn import HRSNN
from models_eq.network import BrianObjects
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
            dt=plan.interval * second,
            order=2,  # after trials are reset and the input of the step is set
            name=f"{group.name}_samples",
        )
    return monitors


@dataclass(frozen=True)
class _Events:
    """Neuron index in the group, step, and recorded variables of events, as Brian2 has them."""

    index: np.ndarray
    step: np.ndarray
    variables: dict[str, np.ndarray] = field(default_factory=dict)


def _events(monitors: Monitors, key: str, plan: Plan) -> _Events:
    monitor = monitors[key]
    names = (*plan.state_names, "i_stim") if plan.spike_state else ()
    return _Events(
        np.array(monitor.i[:], dtype=np.int64),
        np.rint(np.asarray(monitor.t_[:]) / plan.dt).astype(np.int64),
        {name: np.array(getattr(monitor, f"{name}_")[:], dtype=float) for name in names},
    )


def _of_network(
    events: _Events, net: HRSNN, offset: int, plan: Plan
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Time, neuron and trial of the events of one network, sorted, and their variables."""
    inside = np.flatnonzero(
        (events.index >= offset) & (events.index < offset + net.n * plan.copies)
    )
    copy, neuron = np.divmod(events.index[inside] - offset, net.n)
    turn, step = np.divmod(events.step[inside], plan.n_steps)
    trial = copy + plan.copies * turn
    # Devices differ in the order within a step; and the last round may have trials to spare.
    order = np.lexsort((neuron, step, trial))
    order = order[trial[order] < plan.n_trials]
    where = {"t": step[order] * plan.dt, "i": neuron[order], "trial": trial[order]}
    return where, {name: value[inside[order]] for name, value in events.variables.items()}


def read(
    built: BrianObjects, monitors: Monitors, plan: Plan, device: str, seconds: float
) -> list[Trajectory]:
    """One Trajectory for each network of a plan that has run.

    Parameters
    ----------
    built : BrianObjects
        The objects that ran.
    monitors : dict of str to BrianObject
        As of :func:`attach_monitors`.
    plan : Plan
        What was asked for.
    device : str
        Where it ran.
    seconds : float
        Wall-clock time of the run, s.
    """
    spikes = _events(monitors, "spikes", plan)
    releases = _events(monitors, "release", plan) if plan.spike_state else None
    final = {}
    if plan.rounds == 1:
        for name in plan.state_names:
            final[name] = np.array(built.group.variables[name].get_value(), dtype=float)
    result = []
    for net, start in zip(plan.nets, built.offsets, strict=True):
        offset = int(start)
        block = slice(offset, offset + net.n * plan.copies)
        where, at_spike = _of_network(spikes, net, offset, plan)
        release: dict[str, np.ndarray] = {}
        if releases is not None:
            when, variables = _of_network(releases, net, offset, plan)
            release = {**when, **variables}
        sample_t, samples = _samples(monitors, plan, net, block)
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
                final_state={k: v[block].reshape(plan.copies, net.n) for k, v in final.items()},
                run_seconds=seconds,
            )
        )
    return result


def _samples(
    monitors: Monitors, plan: Plan, net: HRSNN, block: slice
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    if "samples" not in monitors:
        return np.zeros(0), {}
    monitor = monitors["samples"]
    times = np.array(monitor.t_[:])
    each = times.size // plan.rounds
    out = {}
    for name in plan.sampled:
        values = np.asarray(getattr(monitor, f"{name}_"))[block]
        values = values.reshape(plan.copies, net.n, plan.rounds, each).transpose(2, 0, 3, 1)
        values = values.reshape(plan.rounds * plan.copies, each, net.n)
        out[name] = np.ascontiguousarray(values[: plan.n_trials])
    return times[:each], out
