"""Verbs of one network: sample, simulate, evaluate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from brain_lnp.cli_options import (
    Device,
    Force,
    Json,
    MaybeOutput,
    Net,
    Output,
    Quiet,
    Seed,
    Verbose,
    choose_device,
    load_network,
    output_file,
    task_names,
)
from brain_lnp.cli_shell import shell

Duration = Annotated[str, typer.Option(metavar="TIME", help="Biological time, such as '5 s'.")]
Step = Annotated[str, typer.Option(metavar="TIME", help="Time step.")]
Noise = Annotated[
    float,
    typer.Option(help="Frozen noise into every neuron: SD of a free membrane, 0 for none."),
]


def sample(
    output: Output,
    n: Annotated[int | None, typer.Option("--n", help="Neurons, in place of the spec's.")] = None,
    spec: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="The keys of [network], or an experiment file."),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Draw a network from a spec and save it."""
    from brain_lnp.cli_spec import load_spec
    from models_eq.spec import HRSNNSpec, sample_hrsnn
    from models_eq.storage import save

    output_file(output, force)
    laws = HRSNNSpec() if spec is None else load_spec(spec)
    if n is not None:
        laws = replace(laws, n=n)
    net = sample_hrsnn(laws, seed=seed)
    save(net, output)
    shell.results({"output": output, **about(net), "seed": seed}, as_json=as_json)


def simulate(
    network: Net,
    output: MaybeOutput = None,
    duration: Duration = "2 s",
    dt: Step = "1 ms",
    noise: Noise = 0.0,
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a network; print its rate, irregularity and synaptic operations."""
    import numpy as np

    from analysis.spikes import interval_cv, rates, synaptic_operations

    net, run = run_network(network, output, force, duration, dt, noise, seed, device)
    rate, cv = rates(run), interval_cv(run)
    shell.results(
        {
            # Without the time it took: equal runs are equal files.
            "output": save_if_asked(replace(run, run_seconds=0.0), output),
            "neurons": net.n,
            "duration_s": run.duration,
            "dt_s": run.dt,
            "device": run.device,
            "spikes": run.n_spikes,
            "mean_rate_hz": rate.mean(),
            "silent_neurons": (rate == 0).sum(),
            "cv": float(np.nanmean(cv)) if np.isfinite(cv).any() else None,
            "sops_per_second": synaptic_operations(run, net),
            "network_digest": net.digest,
        },
        as_json=as_json,
    )


def run_network(
    network: Path,
    output: Path | None,
    force: bool,
    duration: str,
    dt: str,
    noise: float,
    seed: int,
    device: str,
    record: list[str] | None = None,
) -> tuple[Any, Any]:
    """A network, and a run of it under frozen noise or none."""
    from models_eq.simulate import simulate as run
    from models_eq.stimulus import noise_stimulus
    from models_eq.units import positive_seconds

    if output is not None:
        output_file(output, force)
    net = load_network(network)
    step = positive_seconds(dt, "dt")
    positive_seconds(duration, "duration")
    stimulus = None
    if noise != 0:
        # Held 1 ms, or the number of steps nearest to it.
        hold = step * max(1, round(1e-3 / step))
        stimulus = noise_stimulus(net, duration, sd=noise, hold=f"{hold!r} s", seed=seed)
    with (
        choose_device(device),
        shell.simulating(f"simulating {net.n} neurons"),
    ):
        return net, run(net, stimulus, duration=duration, dt=dt, record=record or (), seed=seed)


def save_if_asked(value: Any, output: Path | None) -> Path | None:
    """Save a result where a file was named; returns that file or None."""
    if output is not None:
        from models_eq.storage import save

        save(value, output)
    return output


def evaluate(
    network: Net,
    task: Annotated[
        str,
        typer.Option(
            help="lorenz63, rossler, mackey_glass, csv, digits, images or events.",
            autocompletion=task_names,
        ),
    ],
    observe: Annotated[
        str | None, typer.Option(help="Variables the network sees, such as x or xyz.")
    ] = None,
    predict: Annotated[
        str | None, typer.Option(help="Variables (or the column of a CSV) to predict.")
    ] = None,
    horizon: Annotated[int | None, typer.Option(help="Samples ahead.")] = None,
    path: Annotated[str | None, typer.Option(help="Data file of csv, images and events.")] = None,
    column: Annotated[str | None, typer.Option(help="Column of a CSV that is seen.")] = None,
    n_train: Annotated[int | None, typer.Option(help="Training samples.")] = None,
    n_validation: Annotated[int | None, typer.Option(help="Validation samples.")] = None,
    n_test: Annotated[int | None, typer.Option(help="Test samples.")] = None,
    washout: Annotated[int | None, typer.Option(help="Samples dropped at the start.")] = None,
    hold: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long a sample is held.")
    ] = None,
    input_sd: Annotated[float | None, typer.Option(help="Strength of the input.")] = None,
    dt: Step = "1 ms",
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a linear readout of a network for a task and test it.

    What is left out of the task's arguments takes the task's default.
    """
    from brain_lnp.cli_spec import make_task
    from brain_lnp.evaluation import evaluate as run
    from brain_lnp.tasks import trivial

    net = load_network(network)
    given = {
        "name": task, "observe": observe, "predict": predict, "horizon": horizon, "path": path,
        "column": column, "n_train": n_train, "n_validation": n_validation, "n_test": n_test,
        "washout": washout, "hold": hold, "input_sd": input_sd,
    }  # fmt: skip
    asked = make_task({key: value for key, value in given.items() if value is not None}, seed)
    with choose_device(device), shell.simulating(f"evaluating {asked.name}"):
        found = run(net, asked, dt=dt, seed=seed)
    data = found.to_dict()
    if not as_json:  # what does not apply
        data = {key: value for key, value in data.items() if value is not None}
    data |= {f"{asked.metric}_without_network": trivial.baselines(asked), "seed": seed}
    shell.results(data, as_json=as_json)


def about(net: Any) -> dict[str, Any]:
    """What is shown of a network."""
    return {
        "model": net.model,
        "neurons": net.n,
        "synapses": net.n_synapses,
        "excitatory": float(net.is_exc.mean()),
        "digest": net.digest,
    }
