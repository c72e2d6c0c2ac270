"""Verb of the exchange with other simulators: convert."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from brain_lnp.cli_options import Force, Json, Quiet, Verbose
from brain_lnp.cli_shell import shell


def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A network, .npz or .nir.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A .npz, .nir or .py file.")],
    simulator: Annotated[
        str, typer.Option("--simulator", help="Of a .py script: nest or pynn.")
    ] = "nest",
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse what the target does not carry whole.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert a network to NIR, to npz, or to a script for NEST or PyNN.

    What the target does not carry is told on stderr.
    """
    from brain_lnp.cli_network import about
    from brain_lnp.exchange import convert as run
    from models_eq.errors import ParameterError

    for path in (target, target.with_suffix(".npz") if target.suffix == ".py" else target):
        if path.exists() and not force:
            raise ParameterError("target", "a new file", f"{path}, which exists",
                                 "--force replaces it")  # fmt: skip
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        net = run(source, target, simulator=simulator, strict=strict)
    lost = [str(w.message) for w in found]
    for text in lost:
        shell.line(f"note: {text}")
    shell.results({"output": target, **about(net), "not_carried": lost}, as_json=as_json)
