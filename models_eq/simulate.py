"""simulate: run networks through Brian2 and read spikes and states back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from brian2 import second

from models_eq.device import build_and_run, current_device, running
from models_eq.errors import ParameterError
from models_eq.frozen import frozen_values, named_clock
from models_eq.hrsnn import HRSNN
from models_eq.inputs import attach_stimulus
from models_eq.network import BrianObjects, build
from models_eq.plan import Plan, make_plan
from models_eq.progress import reporting
from models_eq.reading import attach_monitors, read
from models_eq.stimulus import Stimulus
from models_eq.trajectory import Trajectory


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
        a time (by default at most 64).
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
    with running(current_device()) as device:
        built = build(
            plan.nets, dt=plan.dt, copies=plan.copies, state=plan.states, events=plan.spike_state
        )
        if plan.stimuli:
            attach_stimulus(built, plan.nets, plan.stimuli, plan.copies, plan.rounds, plan.dt)
        if plan.rounds > 1:
            reset_between_trials(built, plan)
        monitors = attach_monitors(built, plan)
        network = built.network(*monitors.values())
        started = time.perf_counter()
        total = plan.rounds * plan.n_steps * plan.dt * second
        network.run(total, namespace={}, **reporting())
        build_and_run()
        return read(built, monitors, plan, device, time.perf_counter() - started)


def reset_between_trials(built: BrianObjects, plan: Plan) -> None:
    """Put every copy back to its initial state at the start of each trial, in Brian2 itself."""
    group = built.group
    for name, start in plan.states.items():
        group.namespace[f"start_{name}"] = frozen_values(f"start_{name}", start)
    lines = [f"{name} = start_{name}(i)" for name in plan.states]
    group.run_regularly(
        # Writes to the membrane are conditional on not_refractory, so that comes first.
        "\n".join(["not_refractory = True", *lines, "t_release = -1*second"]),
        clock=named_clock(f"{group.name}_trials_clock", plan.n_steps * plan.dt),
        when="start",
        order=0,
        name=f"{group.name}_trials",
    )
