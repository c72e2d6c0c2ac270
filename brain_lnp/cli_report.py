"""Verbs that read finished runs: report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from brain_lnp.cli_options import Force, Json, Quiet, Verbose, method_names, restore_interrupt
from brain_lnp.cli_runs import show
from brain_lnp.cli_shell import shell

_HTML = typer.Option("--output", "-o", metavar="FILE.html", help="Where to write the page.")


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    output: Annotated[Path | None, _HTML] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="The method that the others are compared with; by default lnp, or the last one.",
            autocompletion=method_names,
        ),
    ] = None,
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="Whether to draw figures.")
    ] = True,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a finished run as one self-contained page: table, comparisons, figures, environment.

    The page is RUN/report.html unless -o says otherwise; it needs no network and no other file.
    Nothing of the run is computed again; some figures run its networks for a moment.
    """
    from brain_lnp.reporting import paired_methods, read_run, write_report

    restore_interrupt()
    if output is not None:
        page_file(output)
    record = read_run(folder)
    shell.resume = "the results of the run are as they were; run the same command again"
    with shell.progress("report") as progress:
        page = write_report(record, output, against=against, figures=figures, progress=progress)
    paired = [plain(one) for one in paired_methods(record.rows, against)]
    show(record.result, as_json, None, figures=figures, more={"page": page, "paired": paired})
    if not as_json:
        shell.write(f"page     {page}")


def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN RUN...", help="Folders of finished runs.")
    ],
    output: Annotated[Path | None, _HTML] = None,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Set finished runs side by side, paired over the seeds that they share.

    The others are compared with the first. With -o the same is written as one page.
    """
    from brain_lnp.reporting import compare_runs, read_run, write_comparison
    from models_eq.errors import ParameterError

    if output is not None:
        page_file(output)
        if output.exists() and not force:
            hint = "--force replaces it"
            raise ParameterError("output", "a new file", f"{output}, which exists", hint)
    found = compare_runs([read_run(folder) for folder in folders])
    if output is not None:
        write_comparison(found, output)
    if as_json:
        summary = [
            {"method": method, "synapses": synapses, "neurons": neurons, "task": task,
             "runs": dict(zip(found.names, rows, strict=True))}
            for (method, synapses, neurons, task), rows in found.summary.items()
        ]  # fmt: skip
        data = {
            "page": output, "runs": found.names, "differences": found.differences,
            "summary": summary, "paired": [plain(one) for one in found.paired],
        }  # fmt: skip
        shell.results(data, as_json=True)
        return
    _tables(found)
    if output is not None:
        shell.write(f"page     {output}")


def _tables(found: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    from brain_lnp.reporting.numbers import short
    from brain_lnp.reporting.page import comparison_cells

    table = Table(title="mean ± standard error of the errors", title_justify="left")
    for k, name in enumerate(("network", "task", *found.names)):
        table.add_column(Text(name), justify="left" if k < 2 else "right")
    for cells in comparison_cells(found):
        table.add_row(*map(Text, cells))
    shell.show(table)
    table = Table(title="paired over seeds", title_justify="left")
    for name in ("run and method", "budget", "task", "pairs", "difference", "ratio [95 %]", ""):
        table.add_column(name)
    for one in found.paired:
        ratio = one.ratio
        interval = (
            "-" if ratio is None else f"{ratio.ratio:.3g} [{ratio.low:.3g}, {ratio.high:.3g}]"
        )
        cells = [
            f"{one.ours} against {one.other}", f"{one.synapses:.3g}", one.task, str(one.n),
            short(one.difference, one.stderr), interval, one.verdict,
        ]  # fmt: skip
        table.add_row(*map(Text, cells))
    shell.show(table)
    for key, values in found.differences.items():
        shell.write(f"differs  {key}: " + " | ".join(values))


def plain(one: Any) -> dict[str, Any]:
    """A paired comparison as plain values."""
    from dataclasses import asdict

    return {**asdict(one), "verdict": one.verdict}


def page_file(path: Path) -> None:
    """Refuse a page that could not be written before anything is computed.

    Raises
    ------
    MissingFileError
        If its folder does not exist.
    ParameterError
        If it is no ``.html`` name, or a folder.
    """
    from models_eq.errors import MissingFileError, ParameterError

    if path.suffix not in (".html", ".htm"):
        raise ParameterError("output", "a file name ending in .html", str(path))
    if path.is_dir():
        raise ParameterError("output", "the name of a file", f"the folder {path}")
    if not path.parent.is_dir():
        got = f"{path} (no {path.parent})"
        raise MissingFileError("output", "a file in an existing folder", got)
