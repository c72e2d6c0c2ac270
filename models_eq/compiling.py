"""compile_program: generate and compile a Program, on the device that is current."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from brian2 import Network, second
from brian2.core.base import BrianObject
from brian2.devices.device import get_device

from models_eq.device import DeviceChoice, current_device, program_environment, project, running
from models_eq.errors import DeviceError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.inputs import INPUT, attach_stimulus
from models_eq.network import BrianObjects, build
from models_eq.plan import Plan, make_plan
from models_eq.program import Layout, check_shape, execute, shape_of
from models_eq.reading import Monitors, attach_monitors, read, recorded_variables
from models_eq.startup import read_on_start
from models_eq.stimulus import Stimulus
from models_eq.trajectory import Trajectory
from models_eq.trials import reset_between_trials

# Times are kept in the precision of the state: a clamp is released within a step only as long as
# single precision tells the steps apart.
SINGLE_STEPS = 2**19


@dataclass(frozen=True, eq=False)
class Program:
    """A simulation that was compiled once, to be run many times with other numbers.

    Attributes
    ----------
    choice : DeviceChoice
        The device that it was compiled for.
    shape : Mapping of str to object
        What every run has in common: model, numbers of neurons, copies, steps and rows of input,
        time step, and what is recorded.
    binary : Path
        The program, in the cache.
    layout : Layout
        What it reads and writes.
    compile_seconds : float, s
        What generating and compiling took; little where the cache had the program.
    """

    choice: DeviceChoice
    shape: Mapping[str, Any]
    binary: Path
    layout: Layout = field(repr=False)
    compile_seconds: float
    _plan: Plan = field(repr=False)
    _arguments: Mapping[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        neurons = "+".join(str(n) for n in self.shape["neurons"])
        return (
            f"Program({self.shape['model']}, {neurons} neurons, copies {self.shape['copies']}, "
            f"{self.shape['steps']} steps of {self.shape['dt']:g} s, {self.choice.name})"
        )

    def run(
        self,
        net: HRSNN | None = None,
        stimulus: Stimulus | None = None,
        *,
        initial_state: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> Trajectory:
        """Run the program once, with other numbers where they are given.

        Parameters
        ----------
        net : HRSNN, optional
            A network of the same model and size; connections, weights, time constants and all
            other parameters may differ. By default the one that was compiled.
        stimulus : Stimulus, optional
            An input of the same hold, rows, columns and trials. By default the one that was
            compiled; where there was none, none may be given.
        initial_state : Mapping of str to array_like, optional
            As for :func:`~models_eq.simulate`; by default drawn from ``seed``.
        seed : int
            Seed of the initial state.

        Returns
        -------
        Trajectory
            The same as :func:`~models_eq.simulate` returns.

        Raises
        ------
        ParameterError
            Naming what has another size than the program was compiled for.
        DeviceError
            If the program cannot run here, or fails.
        """
        if len(self._plan.nets) != 1:
            raise ParameterError("net", "run_batch for several networks", "run")
        states = None if initial_state is None else [initial_state]
        return self.run_batch(
            None if net is None else [net], stimulus, initial_state=states, seed=seed
        )[0]

    def run_batch(
        self,
        nets: Sequence[HRSNN] | None = None,
        stimulus: Stimulus | Sequence[Stimulus] | None = None,
        *,
        initial_state: Sequence[Mapping[str, Any]] | None = None,
        seed: int = 0,
    ) -> list[Trajectory]:
        """Run a program of several networks side by side.

        Parameters
        ----------
        nets, stimulus, initial_state : sequence, optional
            What :meth:`run` takes, one for each network.
        seed : int
            Seed of the initial states.

        Returns
        -------
        list of Trajectory
            One for each network.

        Raises
        ------
        ParameterError, DeviceError
            As :meth:`run`.
        """
        stimuli = stimulus
        if stimuli is None and self._plan.stimuli:
            stimuli = self._plan.stimuli
        trials = bool(self._plan.stimuli) and self._plan.stimuli[0].n_trials > 0
        plan = make_plan(
            self._plan.nets if nets is None else nets,
            stimuli,
            **{**self._arguments, "duration": None if trials else self._arguments["duration"]},
            initial_state=initial_state,
            seed=seed,
        )
        return self.run_plan(plan)

    def run_plan(self, plan: Plan) -> list[Trajectory]:
        """Run a checked plan of the program's shape."""
        check_shape(self.shape, plan)
        if self.choice.options.get("compile_only"):
            raise DeviceError(
                "device", "a program compiled for this machine", "one that is compiled only"
            )
        environment = program_environment(self.choice)
        recorded, seconds = execute(self.binary, self.layout, plan, environment)
        return read(recorded, plan, self.choice.name, seconds)


def compile_program(
    net: HRSNN | Sequence[HRSNN],
    stimulus: Stimulus | Sequence[Stimulus] | None = None,
    *,
    duration: Any = None,
    dt: Any = "1 ms",
    record: Sequence[str] = (),
    sample_dt: Any = None,
    copies: int | None = None,
) -> Program:
    """Compile a simulation on the current standalone device, to run it many times.

    Parameters
    ----------
    net : HRSNN or sequence of HRSNN
        One network, or several side by side.
    stimulus, duration, dt, record, sample_dt, copies
        As for :func:`~models_eq.simulate`; one stimulus for all networks, or one for each.

    Returns
    -------
    Program
        ``program.run(net, stimulus, initial_state=..., seed=...)`` runs it.

    Raises
    ------
    ParameterError
        For bad arguments, naming the field.
    DeviceError
        If the current device compiles no program (numpy, cython), or cannot.

    Notes
    -----
    Parameters and states reach the program as Brian2's run arguments. Brian2 goes on with what it
    was compiled with where one has the wrong size, so sizes are checked before. Input currents
    take the place of those that it was compiled with. Connections, their weights and input spikes
    are read from files of any length: one program runs a network before and after pruning, at the
    cost of the synapses that are left.

    Examples
    --------
    >>> from models_eq import HRSNN, use_device
    >>> net = HRSNN("lif_exp", 2, i=[0], j=[1], w=[0.5], tau_m=0.02, i_ext=1.5)
    >>> with use_device("cpp_standalone"):  # doctest: +SKIP
    ...     program = compile_program(net, duration="1 s")
    >>> program.run(net.replace(w=[0.1])).n_spikes  # doctest: +SKIP
    88
    """
    choice = current_device()
    if choice.name not in ("cpp_standalone", "cuda_standalone"):
        raise DeviceError(
            "device", "cpp_standalone or cuda_standalone", choice.name,
            "numpy and cython compile nothing that could be kept: call simulate",
        )  # fmt: skip
    arguments = {
        "duration": duration, "dt": dt, "record": record, "sample_dt": sample_dt, "copies": copies
    }  # fmt: skip
    nets = [net] if isinstance(net, HRSNN) else net
    plan = make_plan(nets, stimulus, **arguments, initial_state=None, seed=0)
    return compile_plan(plan, choice, arguments)


def compile_plan(
    plan: Plan, choice: DeviceChoice, arguments: Mapping[str, Any] | None = None
) -> Program:
    """Compile a program for a checked plan; see :func:`compile_program`."""
    steps = plan.rounds * plan.n_steps
    if choice.options.get("precision") == "single" and steps > SINGLE_STEPS:
        raise ParameterError(
            "precision", f"'double' for more than {SINGLE_STEPS} steps", f"single, {steps} steps",
            "Single precision would release neurons from refractoriness in the wrong step",
        )  # fmt: skip
    started = time.perf_counter()
    # Brian2 numbers objects by those of the same name still in memory, and numbers stand in the
    # sources: the cache would not know the program again.
    gc.collect()
    with running(choice):
        device = get_device()
        built = build(
            plan.nets, dt=plan.dt, copies=plan.copies, state=plan.states,
            events=plan.spike_state, later=True,
        )  # fmt: skip
        objects: list[BrianObject] = [] if built.synapses is None else [built.synapses]
        if plan.stimuli:
            attach_stimulus(
                built, plan.nets, plan.stimuli, plan.copies, plan.rounds, plan.dt, later=True
            )
        if plan.rounds > 1:
            reset_between_trials(built.group, plan.states, plan.n_steps * plan.dt)
        files = read_on_start(device, [*objects, *built.inputs])
        monitors = attach_monitors(built, plan)
        network = Network(*built.objects, *monitors.values(), name=f"{built.group.name}_network")
        network.run(steps * plan.dt * second, namespace={})
        binary, static = project(choice)
        layout = _layout(device, built, monitors, plan, files, static)
    return Program(
        choice, shape_of(plan), binary, layout, time.perf_counter() - started, plan, arguments or {}
    )


def _layout(
    device: Any,
    built: BrianObjects,
    monitors: Monitors,
    plan: Plan,
    files: dict[str, np.dtype],
    static: dict[str, bytes],
) -> Layout:
    group = built.group
    wanted = {*plan.nets[0].arrays(), *plan.states, "decay_m", "decay_s", "decay_a", "couple"}
    wanted |= {"channel", *(f"start_{name}" for name in plan.states)}
    arguments = {
        f"{group.name}.{name}": (np.dtype(variable.dtype), int(variable.size))
        for name, variable in group.variables.items()
        if name in wanted
    }
    kept = dict(static)
    if plan.stimuli:
        table = kept.pop(f"{INPUT}_values")
        arguments[f"{INPUT}.values"] = (np.dtype(float), len(table) // 8)
    results = {}

    def writes(key: str, variable: Any) -> None:
        results[key] = (device.get_array_filename(variable), np.dtype(variable.dtype))

    for key in ("spikes", "release"):
        if key in monitors:
            for name in ("i", "t", *recorded_variables(plan)):
                writes(f"{key}.{name}", monitors[key].variables[name])
    if plan.sampled:
        for name in ("t", *plan.sampled):
            writes(f"samples.{name}", monitors["samples"].variables[name])
    for name in plan.state_names:
        writes(f"group.{name}", group.variables[name])
    return Layout(group.name, arguments, files, kept, results)
