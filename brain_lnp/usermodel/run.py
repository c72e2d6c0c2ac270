"""Runs of a user's model on copies: spikes, and node exponents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from brian2 import (
    EventMonitor,
    Network,
    PoissonGroup,
    PoissonInput,
    PopulationRateMonitor,
    SpikeMonitor,
    StateMonitor,
    Synapses,
    prefs,
    second,
)
from brian2.core.base import BrianObject
from brian2.devices.device import runtime_device
from brian2.units.fundamentalunits import Quantity, get_dimensions

from brain_lnp.usermodel.objects import group_texts, values_of, whole
from brain_lnp.usermodel.reading import ModelReading, Unreadable
from brain_lnp.usermodel.rebuild import SOURCES, ClockOf
from models_eq.brian_reading import RANDOM
from models_eq.brian_text import assigned, inline, names
from models_eq.device import DeviceChoice, best_device, current_device, running
from models_eq.errors import CapabilityError, ParameterError
from models_eq.frozen import named_clock
from models_eq.trajectory import Trajectory

_MONITORS = (EventMonitor, PopulationRateMonitor, StateMonitor)


@contextmanager
def own_run() -> Iterator[None]:
    """Brian2 set up for runs of ours, in runtime mode; every setting is restored."""
    choice = current_device()
    if prefs.codegen.target == "numpy":
        choice = DeviceChoice("numpy")
    elif choice.name not in ("numpy", "cython"):
        choice = DeviceChoice(best_device())
    with running(choice):
        state = runtime_device.get_random_state()
        try:
            yield
        finally:
            runtime_device.set_random_state(state)


def own_clocks(base: float, dt: float) -> ClockOf:
    """Clocks for copies, one for each time step, so that those of the user stand still.

    Parameters
    ----------
    base : float, s
        Time step of the user's neurons.
    dt : float, s
        What is to take its place.
    """
    made: dict[float, Any] = {}

    def clock_of(old: Any) -> Any:
        step = float(old.dt_)
        step = dt if step == base else step
        if step not in made:
            made[step] = named_clock(f"prune_model_clock_{len(made)}", step)
        return made[step]

    return clock_of


def inputs_of(
    group: Any, connections: Iterable[Any], drive: Any, visible: Iterable[Any]
) -> list[Any]:
    """Synapses and PoissonInputs, other than those to be pruned, that act on a group.

    Parameters
    ----------
    group : NeuronGroup
    connections : iterable of Synapses
        Those to be pruned.
    drive : Network, or sequence of Brian2 objects, or None
        Where to look; None for `visible`.
    visible : iterable
        What the caller sees.

    Returns
    -------
    list of Synapses and PoissonInput
        What acts on the group, and on the neurons that do, sorted by name.

    Raises
    ------
    ParameterError
        For a drive of another kind.
    """
    if drive is None:
        found = [x for x in visible if isinstance(x, (Synapses, PoissonInput))]
    else:
        if isinstance(drive, BrianObject):
            drive = [drive]
        listed = list(getattr(drive, "objects", drive))
        for x in listed:
            if not isinstance(x, BrianObject):
                raise ParameterError(
                    "drive", "a Network or Brian2 objects", type(x).__name__,
                    "Give the groups that send input, their Synapses, and PoissonInputs",
                )  # fmt: skip
        found = [x for x in listed if isinstance(x, (Synapses, PoissonInput))]
        known = (*SOURCES, Synapses, PoissonInput, *_MONITORS)
        for x in listed:
            # Monitors change nothing; whatever else runs could.
            if not isinstance(x, known):
                raise CapabilityError(
                    f"drive.{x.name}", "groups, Synapses, PoissonInputs and monitors",
                    type(x).__name__, "Put what it does into equations or a TimedArray",
                )  # fmt: skip
    pruned = {id(synapses) for synapses in connections}
    found = [x for x in {id(x): x for x in found}.values() if id(x) not in pruned]
    reached = {id(group)}
    acting: dict[int, Any] = {}
    while True:
        more = {id(x): x for x in found if _target(x) in reached and id(x) not in acting}
        if not more:
            return sorted(acting.values(), key=lambda x: str(x.name))
        acting |= more
        reached |= {id(whole(x.source)) for x in more.values() if isinstance(x, Synapses)}


def _target(x: Any) -> int:
    return id(whole(x.target if isinstance(x, Synapses) else x._group))


def is_random(group: Any, synapses: Iterable[Any]) -> bool:
    """Whether a model draws random numbers while it runs."""
    texts = group_texts(group)
    for x in synapses:
        if isinstance(x, PoissonInput) or isinstance(whole(x.source), PoissonGroup):
            return True
        texts += [p.code for p in x._pathways]
        texts += [eq.expr.code for eq in x.equations.values() if eq.expr is not None]
        texts += [sums.expression.code for sums in x.summed_updaters.values()]
        if hasattr(whole(x.source), "user_equations"):
            texts += group_texts(whole(x.source))
    found = set().union(*(names(text or "") for text in texts))
    return bool(found & set(RANDOM)) or any(n == "xi" or n.startswith("xi_") for n in found)


def run_copy(
    objects: Iterable[Any],
    group: Any,
    duration: float,
    seed: int,
    namespace: Mapping[str, Any],
    variables: Iterable[str] = (),
) -> Trajectory:
    """Run copies and record the spikes of a group.

    Parameters
    ----------
    objects : iterable
        Everything that runs, the group among them.
    group : NeuronGroup
    duration : float, s
    seed : int
        Of the random numbers that the model itself draws.
    namespace : Mapping
        Where names are looked up.
    variables : iterable of str
        Recorded at every spike, before the reset.

    Returns
    -------
    Trajectory
        Sorted spikes, values in SI.
    """
    runtime_device.seed(seed)
    monitor = SpikeMonitor(group, variables=list(variables) or None)
    network = Network(*objects, monitor)
    network.run(duration * second, namespace=namespace)
    t, i = values_of(monitor, "t"), values_of(monitor, "i").astype(np.int64)
    order = np.lexsort((i, t))
    return Trajectory(
        t=t[order], i=i[order], trial=np.zeros(t.size, dtype=np.int64), n=len(group), n_trials=1,
        duration=duration, dt=float(group.clock.dt_), device="runtime", digest="",
        at_spike={name: values_of(monitor, name)[order] for name in variables},
    )  # fmt: skip


def lif_exponents(reading: ModelReading, run: Trajectory, tau: np.ndarray) -> np.ndarray:
    """Conditional exponent of every neuron that leaks and is reset.

    Parameters
    ----------
    reading : ModelReading
    run : Trajectory
        Recorded with all variables that have an equation.
    tau : ndarray, shape (n,), s

    Returns
    -------
    ndarray, shape (n,), 1/s

    Raises
    ------
    Unreadable
        If the model is none of that kind; says why.

    Notes
    -----
    ``-(1 - nu t_ref)/tau + nu <log |f at release / f at the spike|>`` with f = dv/dt, over whole
    intervals between spikes, as in :func:`~analysis.lyapunov.nodes.conditional_exponents`, but to
    the first order in the time step: f is taken at threshold and reset, with everything else as it
    was in the step of the spike. At release what leaks has leaked for t_ref; kicks in between are
    left out, as they would have to be recorded. A kick over the threshold counts as spread over one
    step. A neuron without an interval has -1/tau.
    """
    group, v = reading.group, reading.membrane
    found = reading.potentials()
    if found is None:
        raise Unreadable(f"threshold or reset of {v} are no values that stay")
    others = set(reading.rates) - {v}
    if others & names(reading.threshold):
        raise Unreadable("the threshold moves")
    if moved := assigned(group.event_codes.get("spike") or "") - {v}:
        raise Unreadable(f"the reset also writes {', '.join(sorted(moved))}")
    t_ref = _refractory(reading)
    at = run.i
    high, low = (Quantity(x[at], dim=reading.dim) for x in found)
    state = {name: Quantity(run.at_spike[name], dim=group.variables[name].dim) for name in others}
    now = {**state, "t": run.t * second}
    later = {**_leaked(reading, state, at, t_ref), "t": (run.t + t_ref[at]) * second}
    text = reading.rates[v]
    spike, reset, release = (
        np.broadcast_to(np.asarray(reading.evaluate(text, {**given, v: x}, at)), at.shape)
        for given, x in ((now, high), (now, low), (later, low))
    )
    leak = (reset - spike) / np.asarray(high - low) * tau[at]
    if not np.allclose(leak, 1.0, rtol=1e-3):
        raise Unreadable(f"the leak of {v} is not -{v}/tau with the same tau at all times")
    overshoot = (run.at_spike[v] - np.asarray(high)) / run.dt
    floor = 1e-12 * np.asarray(high - low) / tau[at]
    order = np.lexsort((run.t, at))
    i, t = at[order], run.t[order]
    leave = np.log(np.maximum(np.abs(release), floor))[order]
    arrive = np.log(np.maximum(np.maximum(spike, overshoot), floor))[order]
    same = np.flatnonzero(np.diff(i) == 0)
    i, length = i[same], np.diff(t)[same]
    growth = leave[same] - arrive[same + 1] - np.maximum(length - t_ref[i], 0.0) / tau[i]
    total = np.bincount(i, length, run.n)
    mean = np.bincount(i, growth, run.n) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, -1.0 / tau)


def _refractory(reading: ModelReading) -> np.ndarray:
    """Time that the membrane stands still after a spike, shape (n,), s."""
    group = reading.group
    given = group._refractory
    clamped = "unless refractory" in group.user_equations[reading.membrane].flags
    if given is False or not clamped:
        return np.zeros(len(group))
    value = reading.evaluate(given) if isinstance(given, str) else given
    if get_dimensions(value) is not second.dim:
        raise Unreadable("refractory is no time")
    return np.broadcast_to(np.asarray(value, dtype=float), (len(group),))


def _leaked(
    reading: ModelReading, state: Mapping[str, Quantity], at: np.ndarray, t_ref: np.ndarray
) -> dict[str, Quantity]:
    """State at release: what decays by itself has done so for the refractory period."""
    after = dict(state)
    for name, value in state.items():
        text = inline(reading.rates[name], reading.inner)
        if names(text) & set(reading.rates) - {name}:
            continue
        unit = Quantity(1.0, dim=get_dimensions(value))
        start, first = (np.asarray(reading.evaluate(text, {name: x}, at)) for x in (0 * unit, unit))
        rate = first - start
        if (np.broadcast_to(rate, at.shape) < 0).all():
            end = -start / rate
            decayed = end + (np.asarray(value) - end) * np.exp(rate * t_ref[at])
            after[name] = Quantity(decayed, dim=get_dimensions(value))
    return after
