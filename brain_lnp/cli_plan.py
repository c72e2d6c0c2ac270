"""The verb ``plan``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from brain_lnp.cli_options import (
    Folder,
    Jobs,
    Json,
    MaybeDevice,
    Quiet,
    Verbose,
    restore_interrupt,
)
from brain_lnp.cli_shell import duration, shell


def plan(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.toml", help="An experiment, or a sweep of them.")
    ],
    output: Folder = None,
    device: MaybeDevice = None,
    jobs: Jobs = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate", help="Measure every part on this machine first (minutes); it is kept."
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Predict time, memory and disk of an experiment or a sweep, without running it.

    Exit status 2 if it does not fit into the memory or on the disk of this machine.
    """
    from brain_lnp.cli_spec import changed
    from brain_lnp.config import load_experiment
    from brain_lnp.costmeasure import model_for_here
    from brain_lnp.plan import plan as predict
    from brain_lnp.sweepfile import is_sweep, load_sweep
    from models_eq.errors import ParameterError

    restore_interrupt()
    asked: Any
    if is_sweep(file):
        asked = load_sweep(file)
        asked = asked if device is None else asked.on(device)
        name = asked.name
    else:
        asked = changed(load_experiment(file), device=device)
        name = asked.experiment.name
    folder = Path("runs") / name if output is None else output
    with shell.progress("measuring") as progress:
        model = model_for_here(anew=calibrate, progress=progress)
    found = predict(asked, model, folder=folder, processes=jobs)
    if as_json:
        shell.results(dataclasses.asdict(found), as_json=True)
    else:
        _show(found)
    if found.problems:
        first = found.problems[0]
        for more in found.problems[1:]:
            shell.line(f"error: {more}")
        field, _, rest = first.partition(": expected ")
        expected, _, got = rest.partition(", got ")
        raise ParameterError(field, expected, got)


def _show(found: Any) -> None:
    from rich.table import Table

    table = Table("part", "times", "one core", "memory")
    for part in sorted(found.parts, key=lambda part: -part.seconds):
        row = (part.name, str(part.count), duration(part.seconds), f"{part.memory / 1e6:.0f} MB")
        table.add_row(*row)
    shell.show(table)
    processes = f"{found.processes} process{'es' * (found.processes > 1)}"
    lines = {
        "experiments": found.experiments,
        "device": found.device,
        "one core": duration(found.core_seconds),
        "on the clock": f"{duration(found.seconds)} with {processes}",
        "memory": f"{found.memory / 1e9:.2g} GB",
        "disk": f"{found.disk / 1e6:.3g} MB",
    }
    shell.results(lines, as_json=False)
