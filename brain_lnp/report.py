"""Table and figures of a finished experiment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from brain_lnp.experiment import ExperimentResult
from brain_lnp.units import Cell
from models_eq.device import use_device
from models_eq.errors import BrainLNPError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.stimulus import slow_stimulus
from models_eq.storage import atomic_write, load

Row = Mapping[str, Any]
TITLES = {
    "dense": "dense",
    "none": "no recurrence",
    "random": "random, weights untouched",
    "random_gain": "random",
    "random_matched": "random_matched",
    "fresh": "fresh partners",
    "sparse": "drawn sparse",
    "magnitude": "magnitude",
    "noise": "noise pruning",
    "activity": "activity",
    "activity_trained": "activity, trained first",
    "activity_no_gain": "activity, no gain",
    "lnp": "LNP tuned",
    "lnp_calibrated": "LNP calibrated",
    "lnp_literal": "LNP literal",
}


def _plus_minus(row: Row, name: str, form: str, factor: float = 1.0) -> str:
    mean, error = row[f"{name}_mean"] * factor, row.get(f"{name}_stderr")
    text = form.format(mean)
    return text if error is None else f"{text} ± {form.format(error * factor)}"


def _by_network(summary: Sequence[Row]) -> dict[tuple[Any, ...], dict[str, Row]]:
    networks: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in summary:
        key = row["method"], row["synapses"], row["neurons"]
        networks.setdefault(key, {})[row["task"]] = row
    # Controls first, then budget by budget, so that what is to be compared stands together.
    controls = [key for key in networks if key[0] in ("dense", "none")]
    others = [key for key in networks if key not in controls]
    others.sort(key=lambda key: (-key[2], -key[1]))
    return {key: networks[key] for key in (*controls, *others)}


def _cells(rows: dict[str, Row], tasks: Sequence[str], method: str) -> list[str]:
    first = next(iter(rows.values()))
    cells = [
        TITLES.get(method, method),
        _plus_minus(first, "n_neurons", "{:.0f}") if first.get("n_neurons_stderr")
        else f"{first['n_neurons_mean']:.0f}",
        f"{first['n_synapses_mean']:.0f}",
        _plus_minus(first, "mean_rate", "{:.0f}"),
        _plus_minus(first, "sops_per_second", "{:.3g}", 1e-3),
    ]  # fmt: skip
    for task in tasks:
        row = rows.get(task)
        if row is None:
            cells.append("")
        elif "accuracy_mean" in row:
            cells.append(_plus_minus(row, "accuracy", "{:.3f}"))
        else:
            cells.append(_plus_minus(row, "nrmse", "{:.3f}"))
    return cells


def summary_table(result: ExperimentResult) -> Table:
    """One line for each method and budget: mean and standard error over seeds.

    Parameters
    ----------
    result : ExperimentResult
        A finished experiment.

    Returns
    -------
    rich.table.Table
        Size, rate and synaptic operations (of the first task), then NRMSE or accuracy of each
        task; trivial baselines at the end.
    """
    tasks = list(dict.fromkeys(row["task"] for row in result.summary))
    labels = {row["task"]: "accuracy" in row["metric"] for row in result.rows}
    seeds = result.summary[0]["seeds"] if result.summary else 0
    table = Table(title=f"mean ± standard error over {seeds} seed(s)", title_justify="left")
    for name in ("method", "neurons", "synapses", "rate (Hz)", "kSOP/s"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for task in tasks:
        kind = "accuracy" if labels[task] else "NRMSE"
        table.add_column(f"{task.replace('_', ' ')}\n{kind}", justify="right")
    budget: tuple[Any, ...] | None = None
    for (method, synapses, neurons), rows in _by_network(result.summary).items():
        if (synapses, neurons) != budget and method not in ("dense", "none"):
            budget = synapses, neurons
            part = "" if neurons == 1 else f", {neurons:.0%} of the neurons"
            table.add_section()
            table.add_row(f"[bold]{synapses:.3g} of the synapses{part}[/bold]")
        table.add_row(*_cells(rows, tasks, method))
    table.add_section()
    for name in dict.fromkeys(row["baseline"] for row in result.baselines):
        mine = {row["task"]: row for row in result.baselines if row["baseline"] == name}
        cells = [name.replace("_", " "), "", "", "", ""]
        for task in tasks:
            if task not in mine:
                cells.append("")
            elif labels[task]:
                cells.append(f"{1 - mine[task]['error_mean']:.3f}")
            else:
                cells.append(_plus_minus(mine[task], "error", "{:.3f}"))
        table.add_row(*cells)
    return table


def write_table(result: ExperimentResult, folder: str | os.PathLike[str]) -> Path:
    """Write the summary table as ``table.txt`` into the run folder; returns its path."""
    from io import StringIO

    from rich.console import Console

    text = StringIO()
    Console(file=text, width=200).print(summary_table(result))
    target = Path(folder) / "table.txt"
    atomic_write(target, lambda file: file.write(text.getvalue().encode("utf-8")))
    return target


def write_figures(result: ExperimentResult, folder: str | os.PathLike[str]) -> list[Path]:
    """Draw the figures of a run into ``folder/figures`` and the table beside them.

    Parameters
    ----------
    result : ExperimentResult
        A finished experiment; its networks lie in ``folder/networks``.
    folder : path-like
        Run folder.

    Returns
    -------
    list of Path
        ``error_against_sops.png``; and, where the networks are there, ``raster.png``,
        ``weights.png`` and ``spectrum.png`` of the first seed. None for a run without rows.
    """
    target = Path(folder) / "figures"
    target.mkdir(parents=True, exist_ok=True)
    write_table(result, folder)
    if not result.summary:
        return []
    paths = [_draw_errors(result, target / "error_against_sops.png")]
    networks = _first_networks(result, Path(folder))
    if len(networks) > 1:
        paths.append(_draw_weights(networks, target / "weights.png"))
        paths.append(_draw_spectrum(networks, target / "spectrum.png"))
        paths.append(_draw_rasters(networks, target / "raster.png"))
    return paths


def _first_networks(result: ExperimentResult, folder: Path) -> dict[str, HRSNN]:
    """Dense and the last method's networks with all neurons, of the first seed."""
    if not result.rows:
        return {}
    seed = result.rows[0]["seed"]
    methods = [row["method"] for row in result.rows]
    chosen = "lnp" if "lnp" in methods else methods[-1]
    found: dict[str, HRSNN] = {}
    for row in result.rows:
        if row["seed"] != seed or row["method"] not in ("dense", chosen) or row["neurons"] < 1:
            continue
        cell = Cell(seed, row["method"], row["synapses"], row["neurons"])
        share = "" if row["method"] == "dense" else f", {row['synapses']:.3g} of the synapses"
        name = TITLES.get(row["method"], str(row["method"])) + share
        paths = sorted((folder / "networks").glob(f"{_stem(cell.key)}-*.npz"))
        if name not in found and paths:
            found[name] = load(paths[0], HRSNN)
    return found


def _stem(key: str) -> str:
    return key[:80]


def _draw_errors(result: ExperimentResult, path: Path) -> Path:
    from analysis import plots

    tasks = list(dict.fromkeys(row["task"] for row in result.summary))
    figure, axes = _subplots(len(tasks), 3.6, 4.4)
    metric = {row["task"]: row["metric"] for row in result.rows}
    summary = [{**row, "method": row["method"]} for row in result.summary]
    for ax, task in zip(axes, tasks, strict=True):
        trivial = {
            row["baseline"].replace("_", " "): row["error_mean"]
            for row in result.baselines
            if row["task"] == task
        }
        plots.error_against_sops(
            summary,
            ax,
            task=task,
            metric="NRMSE" if metric[task] == "nrmse" else "share of wrong labels",
            baselines=trivial,
            value="error",
            sops="sops_per_second",
            names=TITLES,
        )
        ax.set_title(task.replace("_", " "), fontsize=9)
    return _save(figure, path)


def _draw_weights(networks: Mapping[str, HRSNN], path: Path) -> Path:
    from analysis import plots

    names = list(networks)
    figure, axes = _subplots(3, 3.2, 2.8)
    plots.weight_matrix(networks[names[0]], networks[names[-1]], axes[:2])
    plots.weight_histogram(networks[names[0]], networks[names[-1]], axes[2])
    return _save(figure, path)


def _draw_spectrum(networks: Mapping[str, HRSNN], path: Path) -> Path:
    from analysis import plots

    figure, axes = _subplots(len(networks), 3.2, 3.3)
    for ax, (name, net) in zip(axes, networks.items(), strict=True):
        plots.eigenvalue_spectrum({name: net}, ax)
        ax.set_title(name, fontsize=9)
        if ax.get_legend() is not None:
            ax.get_legend().remove()
    # One scale for all: how far the eigenvalues reach is what is to be compared.
    reach = max(abs(bound) for ax in axes for bound in (*ax.get_xlim(), *ax.get_ylim()))
    for ax in axes:
        ax.set_aspect("equal", adjustable="box")
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    return _save(figure, path)


def _draw_rasters(networks: Mapping[str, HRSNN], path: Path) -> Path:
    from analysis import plots
    from models_eq.rng import stream

    figure, axes = _subplots(len(networks), 3.6, 3.2)
    with use_device("numpy"):
        for ax, (name, net) in zip(axes, networks.items(), strict=True):
            stimulus = slow_stimulus(net.n_origin, 50, rng=stream(0, "input", 2))
            plots.raster(simulate(net, stimulus), net, ax)
            ax.set_title(name, fontsize=9)
    return _save(figure, path)


def _subplots(count: int, width: float, height: float) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not through pyplot: no window is opened and no figure stays in memory.
    figure = Figure(figsize=(width * count, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _save(figure: Any, path: Path) -> Path:
    def write(file: Any) -> None:
        figure.savefig(file, dpi=150, format="png")

    try:
        return atomic_write(path, write)
    except OSError as error:
        raise BrainLNPError(str(path), "a file that can be written", str(error)) from None
