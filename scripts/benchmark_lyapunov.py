"""Benchmarks of the Lyapunov exponents: how right, how fast, how it grows, and what it looks like.

    python scripts/benchmark_lyapunov.py accuracy   # reference networks, all methods
    python scripts/benchmark_lyapunov.py smooth     # Lorenz63, Roessler, Henon
    python scripts/benchmark_lyapunov.py speed      # ratios to plain Brian2 runs and to twin runs
    python scripts/benchmark_lyapunov.py cost       # time and memory against n and k, with a figure
    python scripts/benchmark_lyapunov.py pictures   # the figures of the documentation
    python scripts/benchmark_lyapunov.py all

Every ratio is taken within one run on one machine, the two sides by turns. Tables are printed and
written as JSON to ``--results``, figures to ``--figures``. Set OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

Rows = list[dict[str, Any]]


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def _reference(name: str) -> tuple[Any, dict[str, Any], Any]:
    from tests.lyapunov_cases import load_case

    case = load_case(name)
    return case.net, case.start, case


def accuracy() -> Rows:
    """The first four exponents of every reference network by every method that applies."""
    from analysis import lyapunov_spectrum
    from models_eq import use_device
    from models_eq.errors import CapabilityError
    from tests.lyapunov_cases import AVERAGED, EXACT

    rows: Rows = []
    for name in (*EXACT, *AVERAGED):
        net, start, case = _reference(name)
        exact = name in EXACT
        duration = {"lifexp_N200_inh_chaos": 150, "lif_N100_inh_het": 60}.get(name, 300)
        for method in ("event", "saltation", "perturbed"):
            length = 30 if exact else duration if method != "perturbed" else duration // 2
            arguments = {"k": 4, "transient": "5 s", "initial_state": start}
            device = "auto"
            if method == "saltation" and net.model == "qif":
                # By the text of the model through Brian2, on a grid; so small a network spends its
                # time between the steps, which a program of its own does not.
                device, length, arguments["transient"] = "cpp_standalone", 85, "1 s"
            try:
                with use_device(device):
                    seconds, found = _seconds(
                        lambda n=net, a=arguments, d=length, m=method: lyapunov_spectrum(
                            n, duration=f"{d} s", method=m, **a
                        )
                    )
            except CapabilityError as error:
                rows.append({"case": name, "method": method, "refused": error.expected})
                continue
            wanted = case.exponents[:4]
            off = np.abs(found.exponents - wanted)
            allowed = np.maximum(0.005 * np.abs(wanted), 0.05)
            if not exact:
                allowed = 3 * np.hypot(found.stderr, case.stderr[:4])
            rows.append(
                {
                    "case": name,
                    "method": method,
                    "averaged_s": found.duration,
                    "wall_s": seconds,
                    "exponents": found.exponents.tolist(),
                    "stderr": found.stderr.tolist(),
                    "reference": wanted.tolist(),
                    "reference_stderr": case.stderr[:4].tolist(),
                    "worst": float((off / allowed).max()),
                    "leading_stderr": float(found.stderr[0]),
                    "same_step_share": found.same_step_share,
                }
            )
    return rows


def smooth() -> Rows:
    """Known values of smooth systems."""
    from analysis import lyapunov_spectrum
    from analysis.lyapunov.systems import henon, lorenz63, rossler

    rows: Rows = []
    for system, wanted, times in (
        (lorenz63(), (0.906, 0.0, -14.572), {"duration": 400, "dt": 0.01, "transient": 30}),
        (rossler(), (0.0714, 0.0, -5.394), {"duration": 6000, "dt": 0.02, "transient": 300}),
        (henon(), (0.4192, -1.6232), {"duration": 5000, "transient": 100}),
    ):
        seconds, found = _seconds(lambda s=system, t=times: lyapunov_spectrum(s, seed=1, **t))
        rows.append(
            {
                "system": system.name,
                "exponents": found.exponents.tolist(),
                "stderr": found.stderr.tolist(),
                "reference": list(wanted),
                "kaplan_yorke": found.kaplan_yorke,
                "sum_rule_residual": found.sum_rule_residual,
                "wall_s": seconds,
            }
        )
    return rows


def _paired(
    ours: Callable[[], float], theirs: Callable[[], float], repeats: int
) -> tuple[float, float, float, float, float]:
    """Median seconds of both, and the median, smallest and largest ratio over repeats by turns."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(repeats)]
    ratios = [a / b for a, b in pairs]
    a, b = (float(np.median(side)) for side in zip(*pairs, strict=True))
    return a, b, float(np.median(ratios)), min(ratios), max(ratios)


def _row(what: str, bar: float, found: tuple[float, ...]) -> dict[str, Any]:
    names = ("ours_s", "theirs_s", "ratio", "ratio_min", "ratio_max")
    return {"what": what, **dict(zip(names, found, strict=True)), "bar": bar}


def _plain(net: Any, stimulus: Any, seconds: float, dt: str, start: Any = None) -> float:
    from models_eq import simulate

    run = simulate(net, stimulus, duration=f"{seconds} s", dt=dt, initial_state=start, seed=1)
    return run.run_seconds


def _twins(net: Any, start: Any, seconds: float, dt: str, frozen: bool) -> tuple[float, np.ndarray]:
    """Base and one displaced copy in Brian2, renormalised every 10 ms: as one writes it first.

    ``frozen`` switches off the garbage collector, which Brian2 calls at the start of every run and
    which takes most of the time of so short ones.
    """
    import gc

    if frozen:
        gc.collect()
        gc.freeze()
        gc.disable()
    try:
        return _twin_loop(net, start, seconds, dt)
    finally:
        if frozen:
            gc.unfreeze()
            gc.enable()


def _twin_loop(net: Any, start: Any, seconds: float, dt: str) -> tuple[float, np.ndarray]:
    from brian2 import second

    from models_eq import to_brian2
    from models_eq.device import current_device, running

    with running(current_device()):
        objects = to_brian2(net, dt=dt, copies=2)
        group, size, growth = objects.group, 1e-6, []
        rng = np.random.default_rng(1)
        state = {k: np.stack([v, v + size * rng.standard_normal(net.n)]) for k, v in start.items()}
        network = objects.network()
        began = time.perf_counter()
        for _ in range(round(seconds / 0.01)):
            for name, value in state.items():
                group.variables[name].set_value(value.ravel())
            network.run(0.01 * second, namespace={})
            state = {
                name: np.array(group.variables[name].get_value()).reshape(2, net.n)
                for name in state
            }
            step = np.stack([value[1] - value[0] for value in state.values()])
            distance = max(float(np.linalg.norm(step)), 1e-12)
            growth.append(np.log(distance / size) / 0.01)
            for name, change in zip(state, step, strict=True):
                state[name][1] = state[name][0] + size * change / distance
        return time.perf_counter() - began, np.array(growth)


def speed(repeats: int = 5) -> Rows:
    """Ratios to plain runs of the same network and time, and to a loop of twin runs."""
    from analysis.lyapunov.engines import engine_spectrum
    from analysis.lyapunov.replicas import replica_spectrum
    from analysis.lyapunov.result import block_stderr
    from models_eq import HRSNNSpec, noise_stimulus, sample_hrsnn, use_device
    from models_eq.brian import brian_model_of
    from models_eq.plan import initial_states

    use_device("cython")
    rows: Rows = []
    settings = {"transient": 0.0, "t_qr": 0.01, "seed": 1}
    chaos, start, _ = _reference("lifexp_N200_inh_chaos")
    small = sample_hrsnn(HRSNNSpec(n=200), seed=1)
    for name, net, state in (("inhibitory chaos", chaos, start), ("HRSNN", small, None)):
        for dt in ("0.1 ms", "1 ms"):
            found = _paired(
                lambda n=net, s=state: _seconds(
                    lambda: engine_spectrum(
                        n, None, method="event", k=50, duration=2.0, dt=0.0, initial_state=s,
                        **settings,
                    )
                )[0],
                lambda n=net, s=state, d=dt: _plain(n, None, 2.0, d, s),
                repeats,
            )  # fmt: skip
            bar = 2.0 if dt == "0.1 ms" else None
            rows.append(_row(f"event, k = 50, N = 200 ({name}) / Brian2, dt = {dt}", bar, found))
    net = sample_hrsnn(HRSNNSpec(n=1000), seed=1)
    noise = noise_stimulus(net, "2 s", seed=1)
    for dt in (1e-4, 1e-3):
        found = _paired(
            lambda d=dt: _seconds(
                lambda: engine_spectrum(
                    net, noise, method="saltation", k=10, duration=2.0, dt=d, **settings
                )
            )[0],
            lambda d=dt: _plain(net, noise, 2.0, f"{d} s"),
            repeats,
        )
        rows.append(
            _row(f"saltation, k = 10, N = 1000, K = 200 / Brian2, dt = {1e3 * dt:g} ms", 6.0, found)
        )
    model = brian_model_of(net, 1e-4, initial_states([net], None, 1, 1))

    def replicas(duration: float) -> float:
        return _seconds(
            lambda: replica_spectrum(
                model, k=10, duration=duration, dt=1e-4, stimulus=noise, net=net, **settings
            )
        )[0]

    found = _paired(  # building the objects is in both terms and falls out
        lambda: replicas(0.7) - replicas(0.2), lambda: _plain(net, noise, 0.5, "0.1 ms"), repeats
    )
    rows.append(_row("replicas, k = 10, N = 1000, K = 200 / Brian2, dt = 0.1 ms", 16.5, found))

    def ours_for_error(k: int = 1, duration: float = 20.0) -> float:
        seconds, found = _seconds(
            lambda: engine_spectrum(
                chaos, None, method="event", k=k, duration=duration, dt=0.0, initial_state=start,
                **{**settings, "transient": 1.0},
            )
        )  # fmt: skip
        return seconds * float(found.stderr[0]) ** 2

    for dt, frozen in (("0.1 ms", False), ("0.1 ms", True), ("0.01 ms", True)):
        estimates = []

        def twins_for_error(d: str = dt, f: bool = frozen, found: list = estimates) -> float:
            seconds, growth = _twins(chaos, start, 2.0, d, f)
            found.append(float(growth.mean()))
            return seconds * float(block_stderr(growth[:, None])[0]) ** 2

        a, b, ratio, low, high = _paired(twins_for_error, ours_for_error, 2)
        alone = _twins(chaos, start, 1.0, dt, frozen)[0]
        ours = _seconds(ours_for_error)[0] / 21
        rows.append(
            {
                "what": f"twin Brian2 runs in a loop, dt = {dt}"
                + (", garbage collector off" if frozen else "")
                + " / event, leading exponent, equal error",
                "theirs_s_times_error2": a, "ours_s_times_error2": b, "ratio": ratio,
                "ratio_min": low, "ratio_max": high, "bar": 20.0,
                "ratio_of_time_alone": alone / ours, "their_estimate": estimates[-1],
                "reference": 3.16,
            }
        )  # fmt: skip
    return rows


def cost() -> Rows:
    """Time per biological second and peak memory of the engines against n and k."""
    from analysis.lyapunov.engines import engine_spectrum
    from models_eq import FixedInDegree, HRSNNSpec, noise_stimulus, sample_hrsnn

    rows: Rows = []
    for n in (125, 250, 500, 1000, 2000, 4000):
        net = sample_hrsnn(HRSNNSpec(n=n, topology=FixedInDegree(50)), seed=1)
        noise = noise_stimulus(net, "0.5 s", seed=1)
        for k in (1, 3, 10, 30, 100, 300) if n == 1000 else (1, 10, 100):
            for method, dt in (("event", 0.0), ("saltation", 1e-3)):

                def run(  # type: ignore[no-untyped-def]
                    given: Any, m=method, d=dt, net=net, k=k
                ) -> Any:
                    return engine_spectrum(
                        net, given, method=m, k=k, duration=0.4, dt=d, transient=0.0, t_qr=0.02,
                        seed=1,
                    )  # fmt: skip

                run(noise)
                seconds, found = _seconds(lambda run=run, noise=noise: run(noise))
                # Without the input, whose rows would hide what the tangent vectors take.
                tracemalloc.start()
                run(None)
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                rows.append(
                    {
                        "method": method, "n": n, "k": k, "in_degree": 50,
                        "s_per_s": seconds / 0.4, "peak_MB": peak / 1e6,
                        "rate_hz": found.n_spikes / n / 0.4,
                    }
                )  # fmt: skip
    return rows


def draw_cost(rows: Rows, path: Path) -> None:
    """Draw time and memory against n, one line for each k, and both against k."""
    from matplotlib import pyplot
    from matplotlib.ticker import NullFormatter

    figure, axes = pyplot.subplots(2, 2, figsize=(7.2, 5.2), layout="constrained")
    styles = {"event": "-", "saltation": "--"}
    colours = {1: "#56B4E9", 10: "#0072B2", 100: "#D55E00"}
    labels = {"s_per_s": "seconds per biological second", "peak_MB": "peak memory (MB)"}

    def line(ax: Any, mine: Rows, x: str, y: str, style: str, colour: str, name: str) -> None:
        at, value = (np.array([float(r[key]) for r in mine]) for key in (x, y))
        # Over the upper half, where what does not grow no longer counts.
        half = slice(len(at) // 2, None)
        slope = np.polyfit(np.log(at[half]), np.log(value[half]), 1)[0]
        ax.loglog(
            at, value, style, color=colour, marker="o", markersize=3, linewidth=1.2,
            label=f"{name}: {x}^{slope:.2f}",
        )  # fmt: skip
        ax.set_xticks(at, [f"{v:g}" for v in at])

    for row, key in zip(axes, ("s_per_s", "peak_MB"), strict=True):
        for method, style in styles.items():
            of_method = [r for r in rows if r["method"] == method]
            for k, colour in colours.items():
                mine = [r for r in of_method if r["k"] == k]
                line(row[0], mine, "n", key, style, colour, f"{method}, k = {k}")
            mine = [r for r in of_method if r["n"] == 1000]
            line(row[1], mine, "k", key, style, "#009E73", f"{method}, n = 1000")
        for ax, name in zip(row, ("neurons n (50 inputs each)", "exponents k"), strict=True):
            ax.set_xlabel(name, fontsize=8)
            ax.set_ylabel(labels[key], fontsize=8)
            ax.xaxis.set_minor_formatter(NullFormatter())
            ax.tick_params(labelsize=7, which="both")
            ax.spines[["top", "right"]].set_visible(False)
            ax.legend(fontsize=6, frameon=False)
    figure.savefig(path, dpi=200)
    pyplot.close(figure)


def pictures(folder: Path) -> None:
    """Draw the figures of the documentation, one network dense and pruned to a tenth."""
    from matplotlib import pyplot

    from analysis import displacement_growth, lyapunov_spectrum, node_exponents, plots
    from brain_lnp import prune
    from models_eq import HRSNNSpec, noise_stimulus, sample_hrsnn

    net = sample_hrsnn(HRSNNSpec(n=200), seed=1)
    noise = noise_stimulus(net, "12 s", seed=1)
    pruned = prune(net, "lnp", synapses=0.1, seed=1, n_iter=3).net
    found = {
        name: lyapunov_spectrum(one, noise, k=40, transient="2 s")
        for name, one in (("dense", net), ("LNP, 10 % of synapses", pruned))
    }
    chaos, start, _ = _reference("lifexp_N200_inh_chaos")
    wild = lyapunov_spectrum(chaos, k=6, duration="60 s", initial_state=start)
    growth = displacement_growth(
        chaos, duration="4 s", copies=20, displacement=1e-9, rate=wild.exponents[0],
        initial_state=start, transient="2 s",
    )  # fmt: skip
    nodes = node_exponents(net, noise, definition="conditional")
    for name, draw in (
        ("spectrum", lambda: plots.lyapunov_spectrum(found)),
        ("convergence", lambda: plots.convergence(wild, k=4)),
        ("local", lambda: plots.local_exponents(wild, k=2)),
        ("growth", lambda: plots.displacement_growth(growth)),
        ("nodes", lambda: plots.node_exponents_on_network(net, nodes)),
    ):
        ax = draw()
        ax.figure.savefig(folder / f"lyapunov_{name}.png", dpi=150)
        pyplot.close(ax.figure)


def main() -> None:
    """Run the benchmarks asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ("accuracy", "smooth", "speed", "cost", "pictures", "all")
    parser.add_argument("what", choices=kinds)
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures")
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    given.figures.mkdir(parents=True, exist_ok=True)
    import brian2
    import numba

    machine = (
        f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"Brian2 {brian2.__version__}, numba {numba.__version__}"
    )
    wanted = kinds[:-1] if given.what == "all" else (given.what,)
    for name, work in (
        ("accuracy", accuracy), ("smooth", smooth), ("speed", speed), ("cost", cost),
    ):  # fmt: skip
        if name not in wanted:
            continue
        rows = work()
        print(f"== {name}")
        for row in rows:
            shown = {
                key: np.round(value, 4).tolist() if isinstance(value, list) else value
                for key, value in row.items()
            }
            print(
                "  ".join(
                    f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in shown.items()
                ),
                flush=True,
            )
        text = json.dumps({"machine": machine, "rows": rows}, indent=1)
        (given.results / f"lyapunov_{name}.json").write_text(text + "\n")
        if name == "cost":
            draw_cost(rows, given.figures / "lyapunov_cost.png")
    if "pictures" in wanted:
        pictures(given.figures)


if __name__ == "__main__":
    main()
