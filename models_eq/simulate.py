"""simulate: run networks through Brian2 and read spikes and states back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import brian2
from brian2 import second

from models_eq.compiling import Program, compile_plan
from models_eq.device import DeviceChoice, current_device, running
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.inputs import attach_stimulus
from models_eq.network import build
from models_eq.plan import Plan, make_plan
from models_eq.program import shape_of
from models_eq.progress import reporting
from models_eq.reading import attach_monitors, collect, read
from models_eq.stimulus import Stimulus
from models_eq.trajectory import Trajectory
from models_eq.trials import reset_between_trials

# Programs that a process remembers; generating one again takes a fraction of a second.
REMEMBERED = 32
_programs: dict[Any, Program] = {}


def simulate(
    net: HRSNN,
    stimulus: Stimulus | None = None,
    *,
    duration: Any = None,
    dt: Any = "1 ms",
    initial_state: Mapping[str, Any] | None = None,
    record: Sequence[str] = (),
    sample_dt: Any = None,
    copies: int | None = None,
    seed: int = 0,
) -> Trajectory:
    """Simulate one network on the current device.

    Parameters
    ----------
    net : HRSNN
        The network.
    stimulus : Stimulus, optional
        Frozen input. With trials, the state is reset at the start of each, and trials run side
        by side.
    duration : Quantity or str, optional
        Length of the run, rounded to a whole number of steps; by default that of the stimulus.
        With trials it must not be given.
    dt : Quantity or str
        Time step.
    initial_state : Mapping of str to array_like, optional
        State variables of shape (n,) or (copies, n). By default the membrane is drawn uniformly
        between reset and threshold (the phase between -pi and pi) for the original neurons from
        ``seed``, and everything else is 0.
    record : sequence of str
        ``"spike_state"`` (state at each spike and each release from refractoriness) and names of
        state variables to sample. Spikes are always recorded.
    sample_dt : Quantity or str, optional
        Interval of the sampled states, a multiple of dt; by default dt.
    copies : int, optional
        Copies side by side that share one frozen input, or (with trials) how many trials run at
        a time (by default at most 64, and at most 8,000 neurons of all networks together).
    seed : int
        Seed of the initial state.

    Returns
    -------
    Trajectory

    Raises
    ------
    ParameterError
        For bad arguments, naming the field.
    DeviceError
        If the current device cannot run here.

    Notes
    -----
    Structure, initial states and inputs are drawn in NumPy and handed over as arrays, so every
    device runs the same network; spike trains agree until rounding separates them.
    """
    if not isinstance(net, HRSNN):
        raise ParameterError("net", "an HRSNN", type(net).__name__)
    return simulate_batch(
        [net],
        stimulus,
        duration=duration,
        dt=dt,
        initial_state=None if initial_state is None else [initial_state],
        record=record,
        sample_dt=sample_dt,
        copies=copies,
        seed=seed,
    )[0]


def simulate_batch(
    nets: Sequence[HRSNN],
    stimulus: Stimulus | Sequence[Stimulus] | None = None,
    *,
    duration: Any = None,
    dt: Any = "1 ms",
    initial_state: Sequence[Mapping[str, Any]] | None = None,
    record: Sequence[str] = (),
    sample_dt: Any = None,
    copies: int | None = None,
    seed: int = 0,
) -> list[Trajectory]:
    """Simulate several unconnected networks of one model side by side in one Brian2 run.

    Parameters
    ----------
    nets : sequence of HRSNN
        Networks of one model.
    stimulus : Stimulus or sequence of Stimulus, optional
        One for all or one for each, all with the same hold, rows and trials.
    duration, dt, record, sample_dt, copies, seed
        As for :func:`simulate`.
    initial_state : sequence of Mapping, optional
        One for each network.

    Returns
    -------
    list of Trajectory
        One for each network, as if it had run alone.
    """
    plan = make_plan(
        nets,
        stimulus,
        duration=duration,
        dt=dt,
        initial_state=initial_state,
        record=record,
        sample_dt=sample_dt,
        copies=copies,
        seed=seed,
    )
    choice = current_device()
    if choice.name in ("cpp_standalone", "cuda_standalone"):
        return program_for(plan, choice).run_plan(plan)
    with running(choice) as device:
        built = build(
            plan.nets, dt=plan.dt, copies=plan.copies, state=plan.states, events=plan.spike_state
        )
        if plan.stimuli:
            attach_stimulus(built, plan.nets, plan.stimuli, plan.copies, plan.rounds, plan.dt)
        if plan.rounds > 1:
            reset_between_trials(built.group, plan.states, plan.n_steps * plan.dt)
        monitors = attach_monitors(built, plan)
        network = built.network(*monitors.values())
        started = time.perf_counter()
        total = plan.rounds * plan.n_steps * plan.dt * second
        network.run(total, namespace={}, **reporting())
        seconds = time.perf_counter() - started
        return read(collect(built, monitors, plan), plan, device, seconds)


def program_for(plan: Plan, choice: DeviceChoice) -> Program:
    """A program that runs a plan, compiled unless this process has one of the same shape."""
    settings = tuple(
        (name, repr(brian2.prefs[name]))
        for name in brian2.prefs
        if name.startswith(("codegen.", "core.", "devices."))
    )
    options = tuple(sorted((name, str(value)) for name, value in choice.options.items()))
    key = (choice.name, options, settings, tuple(shape_of(plan).items()))
    program = _programs.get(key)
    if program is None or not program.binary.is_file():
        program = compile_plan(plan, choice)
        while len(_programs) >= REMEMBERED:
            del _programs[next(iter(_programs))]
    else:
        del _programs[key]  # to the end: the one that was not used for longest goes first
    _programs[key] = program
    return program
