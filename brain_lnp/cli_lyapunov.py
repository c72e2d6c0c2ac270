"""The verb lyapunov: exponents of a network, or of each of its neurons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from brain_lnp.cli_network import Duration, Noise, run_network, save_if_asked
from brain_lnp.cli_options import (
    Device,
    Force,
    Json,
    MaybeOutput,
    Net,
    Quiet,
    Seed,
    Verbose,
    choose_device,
    known,
    load_network,
    output_file,
)
from brain_lnp.cli_shell import shell


def lyapunov(
    network: Net,
    output: MaybeOutput = None,
    spectrum: Annotated[
        int | None,
        typer.Option(metavar="K", help="The K largest exponents of the network, not of neurons."),
    ] = None,
    method: Annotated[
        str, typer.Option(help="Of the spectrum: auto, event, saltation or perturbed.")
    ] = "auto",
    nodes: Annotated[
        str, typer.Option(help="Of neurons: conditional, perturbed or weighted.")
    ] = "conditional",
    horizon: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Over which a displacement grows (nodes perturbed)."),
    ] = None,
    duration: Duration = "5 s",
    transient: Annotated[
        str, typer.Option(metavar="TIME", help="Discarded before the spectrum is measured.")
    ] = "2 s",
    dt: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Time step; by default 1 ms for conditional exponents, else the method's own.",
        ),
    ] = None,
    noise: Noise = 0.35,
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Lyapunov exponents in 1/s: one for every neuron, or with --spectrum those of the network.

    By default under the noise that Lyapunov Noise Pruning probes a network with, which makes them
    conditional on that input; --noise 0 measures the network alone. With --json each exponent and
    its standard error is printed as well.
    """
    if spectrum is not None:
        data = _spectrum(
            network, output, spectrum, method, duration, transient, dt, noise, seed, device, force
        )
    else:
        data = _nodes(network, output, nodes, horizon, duration, dt, noise, seed, device, force)
    shell.results(data if as_json else _for_people(data), as_json=as_json)


def _for_people(data: dict[str, Any]) -> dict[str, Any]:
    """What fits on a screen: no absent values, a spectrum in one line, no list of neurons."""
    values, errors = data.pop("exponents"), data.pop("stderr")
    if "method" in data:
        shown = [f"{a:.4g} ± {b:.2g}" for a, b in zip(values[:10], errors, strict=False)]
        data["exponents"] = ", ".join(shown) + (", ..." if len(values) > 10 else "")
    return {key: value for key, value in data.items() if value is not None}


def _frozen(net: Any, total: str, noise: float, seed: int) -> Any:
    """Frozen noise, or None."""
    from models_eq.stimulus import noise_stimulus

    return None if noise == 0 else noise_stimulus(net, total, sd=noise, seed=seed)


def _spectrum(
    network: Path,
    output: Path | None,
    k: int,
    method: str,
    duration: str,
    transient: str,
    dt: str | None,
    noise: float,
    seed: int,
    device: str,
    force: bool,
) -> dict[str, Any]:
    from analysis.lyapunov.spectrum import METHODS, lyapunov_spectrum
    from models_eq.units import positive_seconds, seconds

    known(method, METHODS, "method")
    if output is not None:
        output_file(output, force)
    net = load_network(network)
    total = positive_seconds(duration, "duration") + seconds(transient, "transient")
    frozen = _frozen(net, f"{total!r} s", noise, seed)
    with choose_device(device), shell.progress("spectrum") as told:
        found = lyapunov_spectrum(
            net, frozen, k=k, method=method, duration=duration, transient=transient, dt=dt,
            seed=seed, progress=lambda done, of: told("tangent vectors", done, of),
        )  # fmt: skip
    times = ("t_qr", "transient", "duration", "dt")
    data = {f"{name}_s" if name in times else name: v for name, v in found.to_dict().items()}
    data["leading"], data["leading_stderr"] = data["exponents"][0], data["stderr"][0]
    return {"output": save_if_asked(found, output), **data}


def _nodes(
    network: Path,
    output: Path | None,
    definition: str,
    horizon: str | None,
    duration: str,
    dt: str | None,
    noise: float,
    seed: int,
    device: str,
    force: bool,
) -> dict[str, Any]:
    from analysis.lyapunov.nodes import DEFINITIONS, conditional_exponents, node_exponents

    known(definition, DEFINITIONS, "nodes")
    silent: int | None = None
    if definition == "conditional":
        net, run = run_network(
            network, output, force, duration, dt or "1 ms", noise, seed, device, ["spike_state"]
        )
        found = conditional_exponents(net, run)
        silent = net.n - len(set(run.i.tolist()))
    else:
        if output is not None:
            output_file(output, force)
        net = load_network(network)
        with choose_device(device), shell.simulating(f"{definition} exponents of {net.n} neurons"):
            found = node_exponents(
                net, _frozen(net, duration, noise, seed) or _still(net, duration),
                definition=definition, horizon=horizon, seed=seed,
            )  # fmt: skip
    return {
        "output": save_if_asked(found, output),
        "definition": found.definition,
        "horizon_s": found.horizon or None,
        "unit": "1/s",
        "neurons": net.n,
        "duration_s": _in_seconds(duration),
        "mean": found.exponents.mean(),
        "sd": found.exponents.std(),
        "min": found.exponents.min(),
        "max": found.exponents.max(),
        "mean_stderr": found.stderr.mean(),
        "silent_neurons": silent,
        "network_digest": net.digest,
        "exponents": found.exponents,
        "stderr": found.stderr,
    }


def _still(net: Any, duration: str) -> Any:
    """A frozen input of nothing, which leaves the network alone."""
    import numpy as np

    from models_eq.stimulus import Stimulus

    rows = max(1, round(_in_seconds(duration) / 1e-3))
    return Stimulus(np.zeros((rows, net.n)), "1 ms")


def _in_seconds(duration: str) -> float:
    from models_eq.units import positive_seconds

    return positive_seconds(duration, "duration")
