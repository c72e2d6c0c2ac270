"""Program: a simulation that is compiled once and run many times with other numbers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from models_eq.builds import PROGRAM
from models_eq.errors import DeviceError, ParameterError
from models_eq.inputs import INPUT, input_currents, input_spikes
from models_eq.network import first_indices, neuron_values, synapse_values
from models_eq.plan import Plan
from models_eq.reading import Recorded
from models_eq.startup import FOLDER

_ARGUMENTS = "arguments"
_RESULTS = "results"
_COMPLAINTS = ("Error reading", "Error opening", "Could not read", "Cannot set")


@dataclass(frozen=True)
class Layout:
    """What a compiled program reads and writes.

    Attributes
    ----------
    group : str
        Name of the group of neurons.
    arguments : Mapping of str to (dtype, int)
        Arrays that it takes, each of a fixed size: as run arguments, and the table of input
        currents in place of the one that it was compiled with.
    connections : Mapping of str to dtype
        Files of any size that it reads when it starts.
    static : Mapping of str to bytes
        Further arrays that it reads, the same in every run.
    results : Mapping of str to (str, dtype)
        File that each recorded array is written to.
    """

    group: str
    arguments: Mapping[str, tuple[np.dtype, int]]
    connections: Mapping[str, np.dtype]
    static: Mapping[str, bytes]
    results: Mapping[str, tuple[str, np.dtype]]


def shape_of(plan: Plan) -> Mapping[str, Any]:
    """What two simulations must have in common for one program to run both.

    Everything else may differ: weights and connections (their number too), time constants and all
    other parameters, initial states, input currents and input spikes.
    """
    spikes = tuple(
        None if s.spikes is None else s.spikes.weights.shape[0] for s in plan.stimuli
    )  # fmt: skip
    hold, table = None, None
    if plan.stimuli:
        hold = plan.stimuli[0].hold
        columns = {id(s): s.n * (plan.copies if s.n_trials else 1) for s in plan.stimuli}
        table = (plan.stimuli[0].n_rows * plan.rounds, sum(columns.values()))
    return MappingProxyType(
        {
            "model": plan.nets[0].model,
            "neurons": tuple(net.n for net in plan.nets),
            "copies": plan.copies,
            "rounds of trials": plan.rounds,
            "steps": plan.n_steps,
            "dt": plan.dt,
            "spike_state": plan.spike_state,
            "sampled variables": plan.sampled,
            "sample_dt": plan.interval,
            "hold": hold,
            "input table": table,
            "input spike channels": spikes,
        }
    )


def check_shape(shape: Mapping[str, Any], plan: Plan) -> None:
    """Raise ParameterError naming what a plan has otherwise than a program was compiled for."""
    given = shape_of(plan)
    for name, wanted in shape.items():
        if given[name] != wanted:
            raise ParameterError(
                name, f"{wanted}, as compiled", given[name], "Compile another program for it"
            )


def values_for(plan: Plan, layout: Layout) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Run arguments and connections of a plan, checked against what the program takes.

    Raises
    ------
    ParameterError
        For an array that is missing or of another size: the program itself would go on with what
        it was compiled with.
    """
    group, dt = layout.group, plan.dt
    found = neuron_values(plan.nets, dt=dt, copies=plan.copies, state=plan.states)
    found |= {f"start_{name}": start for name, start in plan.states.items()}
    i, j, w = synapse_values(plan.nets, plan.copies)
    links = {f"{group}_syn_i": i, f"{group}_syn_j": j, f"{group}_syn_w": w}
    channel = np.arange(sum(net.n for net in plan.nets) * plan.copies)
    given: dict[str, np.ndarray] = {}
    if plan.stimuli:
        table, channel = input_currents(plan.nets, plan.stimuli, plan.copies, plan.rounds)
        given[f"{INPUT}.values"] = table.ravel()
        offsets = first_indices(plan.nets, plan.copies)
        for k, (net, stimulus) in enumerate(zip(plan.nets, plan.stimuli, strict=True)):
            spikes = input_spikes(net, stimulus, int(offsets[k]), plan.copies, dt)
            if spikes is not None:
                name = f"{group}_in{k}"
                links |= {f"{name}_index": spikes.index, f"{name}_step": spikes.step}
                links |= {f"{name}_syn_{x}": getattr(spikes, x) for x in ("i", "j", "w")}
    found["channel"] = channel
    given |= {f"{group}.{name}": value for name, value in found.items()}
    arguments = {}
    for name, (dtype, size) in layout.arguments.items():
        if name not in given:
            raise ParameterError(name, f"{size} values", "none")
        if given[name].size != size:
            raise ParameterError(name, f"{size} values", f"{given[name].size}")
        arguments[name] = np.ascontiguousarray(given[name], dtype=dtype)
    if set(links) != set(layout.connections):
        raise ParameterError("connections", ", ".join(layout.connections), ", ".join(links))
    return arguments, {
        name: np.ascontiguousarray(links[name], dtype=dtype)
        for name, dtype in layout.connections.items()
    }


def execute(
    binary: Path, layout: Layout, plan: Plan, environment: Mapping[str, str]
) -> tuple[Recorded, float]:
    """Run a compiled program in a folder of its own, which is removed.

    Parameters
    ----------
    binary : Path
        The program.
    layout : Layout
        What it reads and writes.
    plan : Plan
        What to run, of the shape that it was compiled for.
    environment : Mapping of str to str
        Variables for the program.

    Returns
    -------
    recorded : Recorded
        What it wrote.
    seconds : float
        Wall-clock time of its time loop, s.

    Raises
    ------
    DeviceError
        If the program fails, or complains of an array.
    """
    arguments, connections = values_for(plan, layout)
    folder = Path(tempfile.mkdtemp(prefix="brain_lnp_"))
    try:
        for name in ("static_arrays", _ARGUMENTS, FOLDER, _RESULTS):
            (folder / name).mkdir()
        for name, content in layout.static.items():
            (folder / "static_arrays" / name).write_bytes(content)
        for name, value in connections.items():
            value.tofile(folder / FOLDER / name)
        command = [str(binary), "--results_dir", f"{_RESULTS}/"]
        table = arguments.pop(f"{INPUT}.values", None)
        if table is not None:
            # By far the largest: where the program reads what it was compiled with, it is read
            # once; as a run argument, twice.
            table.tofile(folder / "static_arrays" / f"{INPUT}_values")
        for name, value in arguments.items():
            value.tofile(folder / _ARGUMENTS / name)
            command.append(f"{name}={_ARGUMENTS}/{name}")
        _call(command, folder, environment)
        return _recorded(folder / _RESULTS, layout, plan)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _call(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise DeviceError("device", "a program that starts", str(error)) from error
    said = [line for line in done.stdout.splitlines() if line.strip()]
    complaints = [line for line in said if any(text in line for text in _COMPLAINTS)]
    if done.returncode or complaints:
        tail = " | ".join((complaints or said)[-3:]) or f"exit status {done.returncode}"
        raise DeviceError("device", "a program that runs to its end", tail)


def _recorded(results: Path, layout: Layout, plan: Plan) -> tuple[Recorded, float]:
    def load(name: str) -> np.ndarray:
        file, dtype = layout.results[name]
        return np.fromfile(results / file, dtype=dtype)

    def events(key: str) -> dict[str, np.ndarray]:
        start = f"{key}."
        return {n.removeprefix(start): load(n) for n in layout.results if n.startswith(start)}

    seconds = float((results / "last_run_info.txt").read_text().split()[0])
    total = sum(net.n for net in plan.nets) * plan.copies
    samples = {}
    if plan.sampled:
        samples = {name: load(f"samples.{name}").reshape(-1, total).T for name in plan.sampled}
    recorded = Recorded(
        spikes=events("spikes"),
        release=events("release") if plan.spike_state else None,
        sample_t=load("samples.t") if plan.sampled else np.zeros(0),
        samples=samples,
        final={name: load(f"group.{name}") for name in plan.state_names},
    )
    return recorded, seconds


def binary_in(folder: Path) -> Path:
    """Where Brian2's makefile puts the program of a project."""
    return folder / PROGRAM
