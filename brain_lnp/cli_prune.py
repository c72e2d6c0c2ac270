"""The verb ``prune``."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from brain_lnp.cli_network import about
from brain_lnp.cli_options import (
    Device,
    Force,
    Json,
    Net,
    Output,
    Quiet,
    Seed,
    Verbose,
    amount,
    choose_device,
    known,
    load_network,
    method_names,
    output_file,
    task_names,
)
from brain_lnp.cli_shell import shell


def prune(
    network: Net,
    output: Output,
    synapses: Annotated[
        str, typer.Option(metavar="SHARE", help="To keep: 0.1 of them, or a count such as 800.")
    ],
    neurons: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="The same for neurons. By default all; activity-based pruning then drops neurons "
            "until the synapses fit.",
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="lnp, or a baseline such as random_matched or activity.",
            autocompletion=method_names,
        ),
    ] = "lnp",
    stimulus_task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK", help="Input for activity-based pruning.", autocompletion=task_names
        ),
    ] = None,
    n_iter: Annotated[int | None, typer.Option(help="Iterations of lnp.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Any other setting of lnp, such as timescales=off or refit=select; repeatable.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Written after every iteration; the same command goes on from it.",
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Prune a network to an exact budget and save what is left.

    Lyapunov Noise Pruning (lnp) needs no task. Activity-based pruning sees the training input
    of the task that --stimulus-task names.
    """
    from brain_lnp.config import METHODS
    from brain_lnp.methods import prune as run
    from models_eq.storage import save

    output_file(output, force)
    known(method, METHODS, "method")
    n_synapses = amount(synapses, "synapses")
    n_neurons = None if neurons is None else amount(neurons, "neurons")
    net = load_network(network)
    stimulus = _stimulus_of(method, stimulus_task, net, seed)
    options: dict[str, Any] = {} if n_iter is None else {"n_iter": n_iter}
    options |= _settings(option or [])
    shell.resume = (
        "nothing was written; with --checkpoint FILE.npz it could go on from its last iteration"
        if checkpoint is None
        else f"run the same command again to go on from {checkpoint}"
    )
    with choose_device(device), shell.progress(method) as progress:
        result = run(
            net,
            method,
            synapses=n_synapses,
            neurons=n_neurons,
            seed=seed,
            stimulus=stimulus,
            progress=progress,
            checkpoint=checkpoint,
            **options,
        )
    save(result.net, output)
    if result.stopped:
        shell.line(f"warning: the budget was not reached: {result.stopped}")
    data = {"output": output, "method": method, **about(result.net)}
    data |= {"kept_synapses": result.net.n_synapses / max(1, net.n_synapses)}
    data |= {"kept_neurons": result.net.n / net.n, "stopped": result.stopped, "seed": seed}
    if as_json:
        data["steps"] = [
            {"name": s.name, "neurons": s.n, "synapses": s.n_synapses, **dict(s.diagnostics)}
            for s in result.steps
        ]
    shell.results(data, as_json=as_json)


def _settings(given: list[str]) -> dict[str, Any]:
    """Settings given as ``name=value``: numbers, true and false, or text."""
    from models_eq.errors import ParameterError

    found: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals or not name.strip().isidentifier():
            hint = "Such as --option timescales=off"
            raise ParameterError("option", "NAME=VALUE", one, hint)
        value: Any = text.strip()
        for read in (int, float):
            with suppress(ValueError):
                value = read(text)
                break
        found[name.strip()] = {"true": True, "false": False}.get(str(value).lower(), value)
    return found


def _stimulus_of(method: str, task: str | None, net: Any, seed: int) -> Any:
    from brain_lnp.evaluation import task_stimulus
    from models_eq.errors import ParameterError

    needs = method.startswith("activity")
    if task is None:
        if needs:
            hint = "Give one, such as --stimulus-task lorenz63"
            raise ParameterError("stimulus-task", f"a task for method {method}", "none", hint)
        return None
    from brain_lnp.cli_spec import make_task

    found = make_task({"name": task}, seed)
    if not needs:
        shell.say(f"warning: method {method} sees no task; --stimulus-task is not used")
        return None
    # As much as experiments let activity-based pruning look at.
    limit = 1000 if found.kind == "series" else 200
    return task_stimulus(found, net.n_origin, part="train", limit=limit)
