"""The verb ``sweep``."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from brain_lnp.sweepfile import Sweep

_SHOWN = 40  # rows of the table, and failures, on the terminal


def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP.toml", help="What to run.")],
    output: Folder = None,
    device: MaybeDevice = None,
    jobs: Jobs = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on a Dask cluster: address or scheduler file."),
    ] = None,
    slurm: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Run in N SLURM jobs; see [cluster] of the file."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run many experiments: a grid, random draws and seeds over any fields of a base experiment.

    Without -o the folder is runs/NAME. An interrupted or killed sweep goes on there. Exit status 1
    if an experiment failed; the others are not held up.
    """
    from brain_lnp.sweep import run_sweep, workers_of
    from brain_lnp.sweepfile import load_sweep

    restore_interrupt()
    asked = _placed(load_sweep(file), dask, slurm)
    if device is not None:
        asked = asked.on(device)
    folder = Path("runs") / asked.name if output is None else output
    shell.resume = f"run the same command again to go on from what is in {folder}"
    begun = time.monotonic()
    with workers_of(asked) as pool, shell.progress(asked.name) as progress:
        found = run_sweep(asked, folder, progress=progress, jobs=jobs, pool=pool)
    _show(asked, found, as_json, time.monotonic() - begun)
    if found.failures:
        raise typer.Exit(1)


def _placed(asked: Sweep, dask: str | None, slurm: int | None) -> Sweep:
    """The sweep with the place that the command line names."""
    from brain_lnp.sweepfile import ClusterSection
    from models_eq.errors import ParameterError

    if dask is not None and slurm is not None:
        raise ParameterError("slurm", "one of --dask and --slurm", "both")
    if dask is not None:
        return dataclasses.replace(asked, cluster=ClusterSection(kind="dask", address=dask))
    if slurm is not None:
        known = asked.cluster
        options = known.options if known is not None and known.kind == "slurm" else {}
        cluster = ClusterSection(kind="slurm", jobs=slurm, options=options)
        return dataclasses.replace(asked, cluster=cluster)
    return asked


def _show(asked: Sweep, found: Any, as_json: bool, seconds: float) -> None:
    if as_json:
        data = {name: getattr(found, name) for name in ("folder", "summary", "baselines", "rows")}
        shell.results({**data, "failures": found.failures, "seconds": seconds}, as_json=True)
        return
    from rich.table import Table
    from rich.text import Text

    fields = (*asked.fields, "method", "synapses", "neurons", "task", "seeds")
    table = Table()
    for name in (*fields, "error", "s.e.", "SOP/s"):
        table.add_column(Text(name))
    for row in found.summary[:_SHOWN]:
        numbers = (row["error_mean"], row["error_stderr"], row["sops_per_second_mean"])
        cells = [row.get(name) for name in fields] + list(numbers)
        table.add_row(*(Text(_short(cell)) for cell in cells))
    if found.summary:
        shell.show(table)
    if len(found.summary) > _SHOWN:
        shell.write(f"and {len(found.summary) - _SHOWN} rows more")
    for row in found.failures[:_SHOWN]:
        values = ", ".join(f"{name} = {_short(row[name])}" for name in asked.fields)
        shell.line(f"failed: {values or 'the base'}, seed {row['seed']}: {row['error']}")
    if len(found.failures) > _SHOWN:
        shell.line(f"failed: {len(found.failures) - _SHOWN} more, see results.json")
    shell.write(f"results  {found.folder / 'results.csv'}")
    shell.write(f"time     {duration(seconds)}")


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
