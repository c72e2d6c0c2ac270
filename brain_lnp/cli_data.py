"""Verbs of public data sets: ``brain-lnp data list`` and ``brain-lnp data get NAME``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from brain_lnp.cli_options import Json, Quiet, Verbose
from brain_lnp.cli_shell import shell

app = typer.Typer(help="Public data sets: what there is, and downloads with checksums.")
Folder = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of all data sets; by default $BRAIN_LNP_DATA, else the user's cache.",
    ),
]


@app.command("list", epilog="Example: brain-lnp data list")
def list_data(
    data_dir: Folder = None, as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False
) -> None:
    """Which data sets can be downloaded, which are there, and on what terms."""
    from rich.table import Table
    from rich.text import Text

    from brain_lnp.tasks.downloads import DATASETS, data_folder, present

    folder = data_folder(data_dir)
    rows: list[dict[str, Any]] = [
        {"name": d.name, "there": not present(d.name, folder), "what": d.what, "terms": d.licence}
        for d in DATASETS.values()
    ]
    if as_json:
        shell.results({"folder": folder, "datasets": rows}, as_json=True)
        return
    table = Table("name", "there", "what", "terms", title=Text(f"in {folder}"))
    for row in rows:
        table.add_row(row["name"], "yes" if row["there"] else "no", row["what"], Text(row["terms"]))
    shell.show(table)


@app.command("get", epilog="Example: brain-lnp data get mnist --data-dir ~/data")
def get_data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `data list` shows.")],
    data_dir: Folder = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Download what is missing of a data set, and verify all of it by checksum."""
    from brain_lnp.tasks.downloads import DATASETS, fetch_data

    files = fetch_data(name, data_dir)
    shell.results({"files": files, "terms": DATASETS[name].licence}, as_json=as_json)
