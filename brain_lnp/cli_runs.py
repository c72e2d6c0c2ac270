"""Verbs of whole experiments: demo, run; and devices."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brain_lnp.cli_options import (
    Folder,
    Jobs,
    Json,
    MaybeDevice,
    Quiet,
    Seeds,
    Verbose,
    restore_interrupt,
)
from brain_lnp.cli_shell import duration, shell

if TYPE_CHECKING:
    from brain_lnp.config import Experiment


def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller: one budget, few methods, small networks.")
    ] = False,
    output: Folder = None,
    device: MaybeDevice = None,
    jobs: Jobs = None,
    seed: Seeds = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compare Lyapunov Noise Pruning with its baselines on tasks that come with the package."""
    from brain_lnp.cli_spec import changed
    from brain_lnp.config import demo_experiment
    from brain_lnp.experiment import quick_demo_experiment

    experiment = quick_demo_experiment() if quick else demo_experiment()
    _check_device(device)
    experiment = changed(experiment, device=device, seeds=list(seed) if seed else None)
    folder = Path("runs") / ("demo-quick" if quick else "demo") if output is None else output
    _run(experiment, folder, jobs, as_json)


def run(
    experiment: Annotated[Path, typer.Argument(metavar="EXPERIMENT.toml", help="What to run.")],
    output: Folder = None,
    device: MaybeDevice = None,
    jobs: Jobs = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run an experiment, or the rest of an interrupted one in the same folder.

    Without -o the folder is runs/NAME, with the name that the experiment gives itself.
    """
    from brain_lnp.cli_spec import changed
    from brain_lnp.config import load_experiment

    asked = load_experiment(experiment)
    _check_device(device)
    asked = changed(asked, device=device)
    _run(asked, Path("runs") / asked.experiment.name if output is None else output, jobs, as_json)


def _check_device(name: str | None) -> None:
    """Say why a device cannot run here, before the experiment says that it does not know it."""
    from models_eq.device import use_device

    if name is not None:
        with use_device(name):
            pass


def _run(experiment: Experiment, folder: Path, jobs: int | None, as_json: bool) -> None:
    from brain_lnp.experiment import run_experiment
    from models_eq.errors import BrainLNPError

    restore_interrupt()
    _check(experiment)
    shell.resume = f"run the same command again to go on from what is in {folder}"
    begun, is_new = time.monotonic(), not folder.exists()
    try:
        with shell.progress(experiment.experiment.name) as progress:
            result = run_experiment(experiment, folder, progress=progress, jobs=jobs)
    except BrainLNPError:
        # Else the folder would refuse the experiment once it is put right.
        if is_new and not any((folder / "units").glob("*")):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    show(result, as_json, begun, figures=experiment.output.figures)


def _check(experiment: Experiment) -> None:
    """Find before hours of pruning what would end them: a file that is missing, a tiny budget."""
    from analysis.pruning.result import budget
    from brain_lnp.units import make_tasks
    from models_eq.spec import sample_hrsnn

    seed, prune = experiment.experiment.seeds[0], experiment.prune
    make_tasks(experiment, seed)
    net = sample_hrsnn(experiment.network.to_spec(), seed=seed)
    for k, share in enumerate(prune.synapses):
        budget(share, net.n_synapses, f"prune.synapses.{k}", 1)
    for k, share in enumerate(prune.neurons):
        budget(share, net.n, f"prune.neurons.{k}", 1)


def show(
    result: Any,
    as_json: bool,
    begun: float | None,
    *,
    figures: bool = True,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print the results, then draw the figures: a figure that fails hides no result."""
    from brain_lnp.report import summary_table, write_figures

    if not as_json:
        shell.show(summary_table(result))
        shell.write(f"results  {result.folder / 'results.csv'}")
    paths: list[Path] = []
    if figures:
        with shell.working("drawing figures"):
            paths = write_figures(result, result.folder)
    seconds = None if begun is None else time.monotonic() - begun
    if as_json:
        data = {
            "folder": result.folder, "figures": paths, "seconds": seconds,
            "summary": result.summary, "baselines": result.baselines, "rows": result.rows,
            **(more or {}),
        }  # fmt: skip
        shell.results(data, as_json=True)
        return
    for path in paths:
        shell.write(f"figure   {path}")
    if seconds is not None:
        shell.write(f"time     {duration(seconds)}")
        shell.say(f"one page with all of it: brain-lnp report {result.folder}")


def devices(as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """Which devices run on this machine, and if not, why."""
    from rich.table import Table
    from rich.text import Text

    from models_eq.device import best_device, capabilities

    found, auto = capabilities(), best_device()
    if as_json:
        listed = [{"device": c.device, "available": c.available, "reason": c.reason} for c in found]
        shell.results({"auto": auto, "devices": listed}, as_json=True)
        return
    table = Table("device", "runs here", "why")
    for one in found:
        name = f"{one.device} (auto)" if one.device == auto else one.device
        table.add_row(name, "yes" if one.available else "no", Text(one.reason))
    shell.show(table)
