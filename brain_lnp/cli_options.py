"""Options and checks that several verbs of the command line share."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brain_lnp.cli_shell import shell

if TYPE_CHECKING:  # importing Brian2 takes longer than showing a help text may take
    from models_eq.hrsnn import HRSNN


def output_file(path: Path, force: bool) -> Path:
    """Refuse a target that could not be written *before* anything long is computed.

    Raises
    ------
    MissingFileError
        If its folder does not exist.
    ParameterError
        If it is no ``.npz`` name, exists (without --force), or may not be written.
    """
    from models_eq.errors import MissingFileError, ParameterError

    if path.suffix != ".npz":
        raise ParameterError("output", "a file name ending in .npz", str(path))
    folder = path.parent
    if not folder.is_dir():
        raise MissingFileError("output", "a file in an existing folder", f"{path} (no {folder})")
    if path.is_dir():
        raise ParameterError("output", "the name of a file", f"the folder {path}")
    if path.exists() and not force:
        raise ParameterError("output", "a new file", f"{path}, which exists", "--force replaces it")
    if not os.access(folder, os.W_OK):
        raise ParameterError("output", "a folder that can be written to", str(folder))
    return path


def load_network(path: Path) -> HRSNN:
    """Read a network; MissingFileError and FormatError as of :func:`models_eq.storage.load`."""
    from models_eq.hrsnn import HRSNN
    from models_eq.storage import load

    net: HRSNN = load(path, expected=HRSNN)
    return net


def choose_device(name: str) -> Any:
    """Context manager of a device, as :func:`models_eq.device.use_device`."""
    from models_eq.device import use_device

    restore_interrupt()
    return use_device(name)


def _terminate(number: int, frame: object) -> None:
    """End the work in order, workers and locks included, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is being put in order is not cut short
    shell.terminated = True
    raise KeyboardInterrupt


def restore_interrupt() -> None:
    """Let Ctrl-C interrupt again, and SIGTERM end things in the same orderly way.

    Brian2 takes the signal when it is imported, ends the running simulation early and goes on as
    if nothing had been: the spikes of half a run would be taken for those of the whole.
    """
    import brian2  # noqa: F401  # first, or it would take the signal later on

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)


def amount(text: str, name: str) -> float | int:
    """A budget: a fraction such as 0.1, or a count above 1 such as 800."""
    from models_eq.errors import ParameterError

    try:
        return int(text) if re.fullmatch(r"[+-]?\d+", text.strip()) else float(text)
    except ValueError:
        raise ParameterError(name, "a fraction in (0, 1] or a count", text) from None


def known(name: str, names: Sequence[str], option: str) -> str:
    """``name``, if it is one of ``names``; ParameterError with the nearest one otherwise."""
    from brain_lnp.tables import one_of

    one_of(name, tuple(names), option)
    return name


# -- completion ------------------------------------------------------------------------------------


def _listed(name: str, begun: str) -> list[str]:
    """Names in a table of ``brain_lnp/config.py`` that begin like ``begun``."""
    # Read, not imported: importing Brian2 takes longer than a press of the tab key may take.
    found = importlib.util.find_spec("brain_lnp.config")
    if found is None or found.origin is None:
        return []
    with suppress(OSError):
        for node in ast.parse(Path(found.origin).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign):
                target, value = node.targets[0], node.value
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                target, value = node.target, node.value
            else:
                continue
            if isinstance(target, ast.Name) and target.id == name:
                items: list[Any] = value.keys if isinstance(value, ast.Dict) else []
                items = value.elts if isinstance(value, ast.Tuple) else items
                names = (str(item.value) for item in items if isinstance(item, ast.Constant))
                return [one for one in names if one.startswith(begun)]
    return []


def method_names(incomplete: str) -> list[str]:
    """Methods of pruning that begin like ``incomplete``, for completion in a shell."""
    return _listed("METHODS", incomplete)


def task_names(incomplete: str) -> list[str]:
    """The same for tasks."""
    return _listed("TASKS", incomplete)


def device_names(incomplete: str) -> list[str]:
    """The same for devices."""
    return _listed("DEVICES", incomplete)


# -- options that several verbs have ---------------------------------------------------------------


def _quiet(value: bool) -> None:
    shell.be(quiet=value)


def _verbose(value: bool) -> None:
    shell.be(verbose=value)


_SHARED = "Shared options"
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No progress, no remarks.", callback=_quiet, rich_help_panel=_SHARED
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="The log, and tracebacks of faults.", callback=_verbose,
        rich_help_panel=_SHARED,
    ),
]  # fmt: skip
Json = Annotated[
    bool, typer.Option("--json", help="Results as one JSON object.", rich_help_panel=_SHARED)
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", help="Seeds in place of the file's; may be given several times."),
]
Net = Annotated[Path, typer.Argument(metavar="NET", help="A network (.npz) of sample or prune.")]
Device = Annotated[
    str,
    typer.Option(
        help="auto, numpy, cython or cpp_standalone; see `brain-lnp devices`.",
        autocompletion=device_names,
    ),
]
MaybeDevice = Annotated[
    str | None,
    typer.Option(
        help="In place of the experiment's; see `brain-lnp devices`.", autocompletion=device_names
    ),
]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes.")]
_OUT = typer.Option("--output", "-o", metavar="FILE.npz", help="Where to save it.")
Output = Annotated[Path, _OUT]
MaybeOutput = Annotated[Path | None, _OUT]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FOLDER", help="Run folder; an interrupted run is resumed there."
    ),
]
