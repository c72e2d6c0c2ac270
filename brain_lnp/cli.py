"""``brain-lnp``: one verb for each arrow of the flow.

Exit status: 0 done; 1 a fault of the program; 2 the user's input is wrong; 130 interrupted, 143
terminated.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from brain_lnp import (
    cli_data,
    cli_lyapunov,
    cli_network,
    cli_plan,
    cli_prune,
    cli_report,
    cli_runs,
    cli_sweep,
)
from brain_lnp.cli_options import Quiet, Verbose
from brain_lnp.cli_shell import shell

DONE, FAULT, WRONG_INPUT, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
NAME = "brain-lnp"

# Older releases of typer bring click's class of this name, later ones their own.
_UsageError: type[Exception] = next(
    cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException"
)


def _epilog(*examples: str) -> str:
    """Examples below a help text, one a line."""
    return "\n\n".join(f"Example: {one}" for one in examples)


app = typer.Typer(
    name=NAME,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=_epilog(
        "brain-lnp demo --quick",
        "brain-lnp prune net.npz --synapses 0.1 -o sparse.npz",
        "brain-lnp --install-completion",
    ),
    context_settings={"help_option_names": ["--help", "-h"]},
)

# A verb, and examples that its help text ends with.
_VERBS: tuple[tuple[Callable[..., Any], str | tuple[str, ...]], ...] = (
    (
        cli_runs.demo,
        (
            "brain-lnp demo --quick -o runs/first",
            "brain-lnp demo --seed 1 --seed 2 --jobs 2",
        ),
    ),
    (
        cli_runs.run,
        (
            "brain-lnp run experiment.toml -o runs/l63 --jobs 2",
            "brain-lnp run experiment.toml --device cpp_standalone --json",
        ),
    ),
    (
        cli_report.report,
        (
            "brain-lnp report runs/l63",
            "brain-lnp report runs/l63 --against random_matched -o l63.html",
        ),
    ),
    (
        cli_report.compare,
        (
            "brain-lnp compare runs/l63 runs/other -o compared.html",
            "brain-lnp compare runs/a runs/b runs/c --json",
        ),
    ),
    (cli_sweep.sweep, "brain-lnp sweep sweep.toml -o runs/sweep --jobs 2"),
    (cli_plan.plan, "brain-lnp plan experiment.toml --jobs 2"),
    (
        cli_network.sample,
        (
            "brain-lnp sample --n 400 --seed 1 -o net.npz",
            "brain-lnp sample --spec experiment.toml -o net.npz --force",
        ),
    ),
    (
        cli_network.simulate,
        (
            "brain-lnp simulate net.npz --duration '2 s' -o traj.npz",
            "brain-lnp simulate net.npz --noise 0.35 --device cython --json",
        ),
    ),
    (
        cli_lyapunov.lyapunov,
        (
            "brain-lnp lyapunov net.npz --spectrum 10 --duration '5 s'",
            "brain-lnp lyapunov net.npz --nodes weighted --json",
        ),
    ),
    (
        cli_prune.prune,
        (
            "brain-lnp prune net.npz --synapses 0.1 --neurons 0.5 -o sparse.npz",
            "brain-lnp prune net.npz --synapses 800 --checkpoint state.npz -o sparse.npz",
            "brain-lnp prune net.npz --synapses 0.1 --method activity"
            " --stimulus-task lorenz63 -o active.npz",
        ),
    ),
    (
        cli_network.evaluate,
        (
            "brain-lnp evaluate sparse.npz --task lorenz63 --observe x --horizon 10",
            "brain-lnp evaluate sparse.npz --task digits --json",
        ),
    ),
    (cli_runs.devices, ("brain-lnp devices", "brain-lnp devices --json")),
)
for _verb, _examples in _VERBS:
    _listed = (_examples,) if isinstance(_examples, str) else _examples
    app.command(epilog=_epilog(*_listed))(_verb)
app.add_typer(cli_data.app, name="data")


def _version(value: bool) -> None:
    if value:
        try:
            version = importlib.metadata.version(NAME)
        except importlib.metadata.PackageNotFoundError:
            from brain_lnp import __version__ as version
        shell.write(f"{NAME} {version}")
        raise typer.Exit()


@app.callback()
def _all_verbs(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Task-agnostic pruning of heterogeneous recurrent spiking networks.

    Exit status: 0 done, 2 the input is wrong, 1 a fault of the program, 130 interrupted.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; by default those of the process. None at all show the help text.

    Returns
    -------
    int
        Exit status. Wrong input and faults are told on stderr, each in one line.
    """
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    shell.reset()
    command: Any = typer.main.get_command(app)
    try:
        with shell.logging():
            status = command.main(args=arguments, prog_name=NAME, standalone_mode=False)
    except _UsageError as error:
        return _wrong(_of_usage(error, arguments))
    except SystemExit as left:  # by the completion of a shell
        return left.code if isinstance(left.code, int) else DONE
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        if _is_ours(error):
            return _wrong(str(error))
        return _fault(error)
    if status == INTERRUPTED:
        what, status = ("terminated", TERMINATED) if shell.terminated else ("interrupted", status)
        shell.line(f"{what}: {shell.resume or 'nothing was written; run it again'}")
    return status if isinstance(status, int) else DONE


def _is_ours(error: Exception) -> bool:
    # Not imported here: without an error of ours Brian2 need not be loaded.
    errors = sys.modules.get("models_eq.errors")
    return errors is not None and isinstance(error, errors.BrainLNPError)


def _wrong(message: str) -> int:
    shell.line(f"error: {message}")
    return WRONG_INPUT


def _of_usage(error: Any, arguments: Sequence[str]) -> str:
    message = re.sub(r"([^.?!])$", r"\1.", str(error.format_message()).rstrip(".").strip())
    verb = next((a for a in arguments if a in {v.__name__ for v, _ in _VERBS}), "")
    return f"{message} See: {' '.join(filter(None, (NAME, verb, '--help')))}"


def _fault(error: Exception) -> int:
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    if shell.verbose:
        sys.stderr.write("".join(traceback.format_exception(error)))
        shell.line(f"error: a fault of the program ({what})")
    else:
        shell.line(f"error: a fault of the program ({what}); see the traceback with -v")
    return FAULT


if __name__ == "__main__":
    sys.exit(main())
