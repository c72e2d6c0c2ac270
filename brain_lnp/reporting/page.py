"""Pages: one self-contained HTML file for a run, or for several side by side.

Nothing is loaded from elsewhere: figures and data are part of the file, there is no script, and the
page forbids its reader's browser (by a content security policy) to fetch anything.
"""

from __future__ import annotations

import base64
import os
import urllib.parse
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from brain_lnp.report import TITLES
from brain_lnp.reporting.compare import Comparison
from brain_lnp.reporting.numbers import plus_minus, short
from brain_lnp.reporting.paired import Paired, paired_methods, reference_method
from brain_lnp.reporting.panels import Panel, PanelMaker, Progress, label
from brain_lnp.reporting.record import RunRecord
from brain_lnp.tables import toml_value
from brain_lnp.units import CONTROLS, Cell
from models_eq.errors import ParameterError
from models_eq.storage import atomic_write

Rows = Sequence[Sequence[str]]
VERDICTS = {"better": "better", "worse": "worse", "equal": "equal", "open": "not told apart"}


def write_report(
    record: RunRecord,
    path: str | os.PathLike[str] | None = None,
    *,
    against: str | None = None,
    figures: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write a run as one HTML page.

    Parameters
    ----------
    record : RunRecord
        The run, as of :func:`~brain_lnp.reporting.record.read_run`.
    path : path-like, optional
        Where to; by default ``report.html`` in the run folder.
    against : str, optional
        The method that the others are compared with; by default ``lnp``, or where it did not run
        the last one.
    figures : bool
        Whether to draw figures. Rasters, exponents, spectra and predictions are computed for
        them, of the networks of the first seed.
    progress : callable, optional
        Called as ``progress(text, done, total)``.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ParameterError
        For a method that did not run, or a file that cannot be written.

    Notes
    -----
    What a figure cannot be made of is said in the page, not an error: a page without one figure
    is better than none.
    """
    if against is not None and against not in record.methods:
        raise ParameterError("against", "one of " + ", ".join(record.methods), against)
    maker = PanelMaker(record, against, progress)
    if figures:
        maker.draw()
    else:
        maker.notes.append("Figures were not asked for.")
    reference = against or reference_method(record.methods)
    paired = paired_methods(record.rows, reference)
    text = _render(
        "report.html",
        title=record.name,
        asked=_asked(record),
        network=_network(record),
        config=record.config,
        config_link=_data_link(record.config.encode(), "text/plain"),
        table=_summary(record),
        reference=TITLES.get(reference or "", reference or ""),
        paired=[_paired_cells(one) for one in paired],
        sections=_sections(maker.panels),
        notes=maker.notes,
        steps=_steps(record),
        environment=_environment(record.environment),
        commands=_commands(record),
        rows=_rows(record.rows),
        csv_link=_csv_link(record),
        seeds=len(record.seeds),
    )
    return _write(record.folder / "report.html" if path is None else Path(path), text)


def write_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Write several runs side by side as one HTML page.

    Parameters
    ----------
    comparison : Comparison
        As of :func:`~brain_lnp.reporting.compare.compare_runs`.
    path : path-like
        Where to.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ParameterError
        For a file that cannot be written.
    """
    names = comparison.names
    runs = [
        [name, str(len(record.seeds)), ", ".join(map(str, record.seeds)), str(len(record.rows)),
         str(record.folder)]
        for name, record in zip(names, comparison.records, strict=True)
    ]  # fmt: skip
    text = _render(
        "compare.html",
        title="Comparison of " + ", ".join(names),
        names=names,
        runs=runs,
        differences=[[key, *values] for key, values in comparison.differences.items()],
        table=comparison_cells(comparison),
        paired=[_paired_cells(one, ours=True) for one in comparison.paired],
    )
    return _write(Path(path), text)


def comparison_cells(comparison: Comparison) -> list[list[str]]:
    """One line for each network and task: its label, the task, and mean ± error in each run."""
    lines = []
    for (method, synapses, neurons, task), rows in comparison.summary.items():
        name = label(Cell(0, method, synapses, neurons))
        cells = ["" if row is None else plus_minus(row, "error") for row in rows]
        lines.append([name, task.replace("_", " "), *cells])
    return lines


# -- the parts of a page -------------------------------------------------------------------------


def _render(template: str, **values: Any) -> str:
    from jinja2 import DictLoader, Environment, StrictUndefined

    folder = resources.files("brain_lnp") / "data"
    names = ("base.html", "report.html", "compare.html", "macros.html", "style.css")
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in names}
    # Escaped throughout: names and errors come from files that anyone may have written.
    environment = Environment(
        loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(template).render(**values)


def _write(path: Path, text: str) -> Path:
    try:
        atomic_write(path, lambda file: file.write(text.encode("utf-8")))
    except OSError as error:
        why = error.strerror or str(error)
        raise ParameterError(str(path), "a file that can be written", why) from None
    return path


def _data_link(data: bytes, kind: str) -> str:
    return f"data:{kind};charset=utf-8," + urllib.parse.quote(data)


def _csv_link(record: RunRecord) -> str:
    path = record.folder / "results.csv"
    return _data_link(path.read_bytes(), "text/csv") if path.is_file() else ""


def _asked(record: RunRecord) -> list[list[str]]:
    asked = record.experiment
    if asked is None:
        return [["configuration", "not in the folder"]]
    prune = asked.prune
    shares = ", ".join(f"{100 * share:.3g} %" for share in prune.synapses)
    tasks = [
        f"{task.name} (" + ", ".join(f"{k} {v}" for k, v in task.arguments().items()) + ")"
        for task in asked.tasks
    ]
    return [
        ["seeds", ", ".join(map(str, asked.experiment.seeds))],
        ["methods", "; ".join(TITLES.get(name, name) for name in prune.methods)],
        ["synapses kept", shares],
        ["neurons kept", ", ".join(f"{100 * share:.3g} %" for share in prune.neurons)],
        ["iterations of LNP", str(prune.n_iter)],
        ["tasks", "; ".join(tasks)],
        ["device", asked.experiment.device],
        ["digest", asked.digest],
    ]


def _network(record: RunRecord) -> list[list[str]]:
    if record.experiment is None:
        return []
    network = record.experiment.to_dict()["network"]
    return [[key.replace("_", " "), toml_value(value, key)] for key, value in network.items()]


def _summary(record: RunRecord) -> dict[str, Any]:
    """Head and lines of the table of means; a line is (kind, cells)."""
    tasks = record.tasks
    labels = {row["task"]: row["metric"] != "nrmse" for row in record.rows}
    # What is wanted most stands first: a narrow screen shows the first columns alone.
    costs = ["kSOP/s", "synapses", "neurons", "rate (Hz)"]
    head = [
        f"{task.replace('_', ' ')}: {'accuracy' if labels[task] else 'NRMSE'}" for task in tasks
    ]
    head = ["network", *head, *costs]
    by_network: dict[Cell, dict[str, Any]] = {}
    for row in record.result.summary:
        cell = Cell(0, row["method"], row["synapses"], row["neurons"])
        by_network.setdefault(cell, {})[row["task"]] = row
    lines = []
    for cell, rows in by_network.items():
        first = next(iter(rows.values()))
        cells = [label(cell)]
        for task in tasks:
            name = "accuracy" if labels[task] else "nrmse"
            cells.append(plus_minus(rows[task], name) if task in rows else "")
        cells += [
            plus_minus(first, "sops_per_second", 1e-3),
            plus_minus(first, "n_synapses"),
            plus_minus(first, "n_neurons"),
            plus_minus(first, "mean_rate"),
        ]
        lines.append(["control" if cell.method in CONTROLS else "network", cells])
    for name in dict.fromkeys(row["baseline"] for row in record.result.baselines):
        mine = {row["task"]: row for row in record.result.baselines if row["baseline"] == name}
        cells = [name.replace("_", " ")]
        for task in tasks:
            found = mine.get(task)
            if found is None:
                cells.append("")
            elif labels[task]:
                cells.append(short(1 - found["error_mean"], found.get("error_stderr")))
            else:
                cells.append(plus_minus(found, "error"))
        lines.append(["baseline", cells + [""] * len(costs)])
    return {"head": head, "lines": lines}


def _paired_cells(one: Paired, *, ours: bool = False) -> dict[str, Any]:
    ratio = one.ratio
    interval = "-" if ratio is None else f"{ratio.ratio:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"
    budget = f"{100 * one.synapses:.3g} % of synapses"
    if one.neurons != 1:
        budget += f", {100 * one.neurons:.3g} % of neurons"
    other = one.other if ours else TITLES.get(one.other, one.other)
    cells = [
        f"{one.ours} against {other}" if ours else other,
        one.task.replace("_", " "),
        interval,
        short(one.difference, one.stderr),
        "-" if ratio is None else f"{ratio.wins} of {ratio.n}",
        "-" if one.p_holm != one.p_holm else f"{one.p_holm:.2g}",
        "-" if one.operations is None else f"{one.operations:.3g}",
        budget,
        str(one.n),
    ]
    return {"cells": cells, "verdict": one.verdict, "words": VERDICTS[one.verdict]}


def _sections(panels: Sequence[Panel]) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for panel in panels:
        source = "data:image/png;base64," + base64.b64encode(panel.png).decode("ascii")
        found.setdefault(panel.section, []).append(
            {"title": panel.title, "caption": panel.caption, "source": source}
        )
    return found


def _steps(record: RunRecord) -> list[list[Any]]:
    """What pruning did to the networks of the first seed, step by step."""
    found = []
    seed = record.seeds[0] if record.seeds else 0
    for row in {Cell(seed, r["method"], r["synapses"], r["neurons"]): r for r in record.rows}:
        unit = record.unit(row.key)
        lines = []
        for step in unit.get("steps", []):
            known = {k: v for k, v in step.items() if k not in ("name", "n", "n_synapses")}
            said = ", ".join(f"{k.replace('_', ' ')} {_plain(v)}" for k, v in known.items())
            lines.append([str(step.get("name")), str(step.get("n")),
                          str(step.get("n_synapses")), said])  # fmt: skip
        if lines:
            found.append([label(row), lines, unit.get("stopped") or ""])
    return found


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        inside = ", ".join(_plain(item) for item in value[:6])
        return f"[{inside}{', ...' if len(value) > 6 else ''}]"
    return str(value)


def _environment(found: Mapping[str, Any]) -> list[list[str]]:
    lines = []
    for key, value in found.items():
        if isinstance(value, Mapping):
            lines += [[name, str(version or "-")] for name, version in value.items()]
        else:
            lines.append([key, "-" if value is None else str(value)])
    return lines


def _commands(record: RunRecord) -> list[str]:
    version = record.environment.get("package", "")
    commit = record.environment.get("commit")
    lines = [f"pip install brain-lnp=={version}" if version else "pip install brain-lnp"]
    if commit:
        lines = [f"git checkout {commit}", "pip install -e ."]
    return [*lines, f"brain-lnp run config.toml -o runs/{record.name}",
            f"brain-lnp compare runs/{record.name} RUN"]  # fmt: skip


def _rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Rows]:
    columns = [
        name
        for name in dict.fromkeys(key for row in rows for key in row)
        if name not in ("digest", "metric", "error")
    ]
    head = [name.replace("_", " ") for name in columns]
    values = [["" if row.get(c) is None else _plain(row[c]) for c in columns] for row in rows]
    return {"head": [head], "lines": values}
