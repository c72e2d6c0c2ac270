"""Benchmark: what each part of a calibrated iteration takes as networks grow.

    python scripts/benchmark_scale.py --quick           # small sizes, a minute
    python scripts/benchmark_scale.py                   # N = 500, 1000, 2000 and the solver at 2000
    python scripts/benchmark_scale.py --sizes 5000 --whole 5000    # N = 5000, K = 1000
    python scripts/benchmark_scale.py --degrees 50 100 200 400    # K at N = 1000
    python scripts/benchmark_scale.py --rivals 500      # what one would write without this package

What is in docs/results/scale.json is not measured again (``--again`` drops it first), so that a run
that was stopped goes on. Every size has a process of its own. Processor time is given beside the
clock, since other work on the machine disturbs it less; peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from brian2 import second
from scipy import linalg

from analysis.lyapunov.nodes import conditional_exponents, node_exponents
from analysis.pruning.linear_response import calibrated_scale, covariance, system_matrix
from analysis.pruning.neurons import betweenness
from analysis.pruning.rewiring import delocalise
from analysis.pruning.sampling import keep_probabilities, sample_exact
from analysis.pruning.synapses import coupling_matrix, keeping_scores, lyapunov_matrix
from brain_lnp import LNP, HRSNNSpec, sample_hrsnn
from brain_lnp.exchange import to_networkx
from brain_lnp.iteration import PruningRun
from models_eq import HRSNN, FixedInDegree, Stimulus, simulate, to_brian2, use_device
from models_eq.stimulus import noise_stimulus

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS, FIGURE = DOCS / "results" / "scale.json", DOCS / "figures" / "scale.png"
KEPT = 0.05**0.2  # of the synapses, in one of five iterations to 5 %


def clocked(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What a call returns, and what it took."""
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    wall, processor = time.perf_counter(), time.process_time()
    out = work()
    took = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - processor}
    return out, took | {"peak_gb": peak()}


def peak() -> float:
    """Peak resident memory of this process since it was last forgotten, GB."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def parts(n: int, seed: int, degree: int | None = None) -> dict[str, dict[str, float]]:
    """One iteration of the calibrated mode, part by part; K = N / 5 unless it is given."""
    use_device("numpy")
    spec = HRSNNSpec(n=n) if degree is None else HRSNNSpec(n=n, topology=FixedInDegree(degree))
    net = sample_hrsnn(spec, seed=seed)
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, float]] = {}

    def part(name: str, work: Callable[[], Any]) -> Any:
        out, found[name] = clocked(work)
        return out

    noise = noise_stimulus(net, "3 s", sd=0.35, seed=seed)
    run = part(
        "simulate", lambda: simulate(net, noise, dt="1 ms", record=["spike_state"], seed=seed)
    )
    exponents = part("exponents", lambda: conditional_exponents(net, run)).exponents
    entries = part("Lyapunov matrix", lambda: lyapunov_matrix(net, exponents))
    coupling = coupling_matrix(net, entries)
    scale = part("scale", lambda: calibrated_scale(net.tau_m, coupling))
    a = system_matrix(net.tau_m, coupling, scale)
    c = part("covariance", lambda: covariance(a, 2 / net.tau_m))
    scores = part("scores", lambda: keeping_scores(net, entries, c))
    count = round(KEPT * net.n_synapses)
    mask = part("sampling", lambda: sample_exact(keep_probabilities(scores, count), rng))
    graph = net.keep_edges(mask)
    part("betweenness", lambda: betweenness(graph))
    inside = coupling_matrix(graph, entries[mask])
    part(
        "rewiring",
        lambda: delocalise(graph, system_matrix(net.tau_m, inside, scale), count // 50, rng),
    )
    iteration = PruningRun(LNP(mode="calibrated"), net, seed)
    part("compensation", lambda: iteration.pay(graph, False))
    total = {key: sum(row[key] for row in found.values()) for key in ("wall_s", "cpu_s")}
    found["all"] = total | {"peak_gb": max(row["peak_gb"] for row in found.values())}
    return found


def whole(n: int, seed: int) -> dict[str, dict[str, float]]:
    """A calibrated pruning to 5 % of the synapses and 70 % of the neurons, and its iterations."""
    use_device("auto")
    net = sample_hrsnn(HRSNNSpec(n=n), seed=seed)
    ends: list[tuple[str, float, float]] = []

    def told(step: str, done: int, total: int) -> None:
        ends.append((step, time.perf_counter(), time.process_time()))

    result, took = clocked(
        lambda: LNP(mode="calibrated").run(
            net, synapses=0.05, neurons=0.7, seed=seed, progress=told
        )
    )
    ends.append(("", time.perf_counter(), time.process_time()))
    found = {
        step: {"wall_s": b[1] - a[1], "cpu_s": b[2] - a[2]}
        for a, b in pairwise(ends)
        if (step := a[0]) != "done"
    }
    if result.stopped:
        raise RuntimeError(f"the pruning stopped early: {result.stopped}")
    return found | {"all": took}


def at_degree(degree: int, seed: int) -> dict[str, dict[str, float]]:
    """One iteration at N = 1000 and another K."""
    return parts(1000, seed, degree)


def solver(n: int, seed: int) -> dict[str, dict[str, float]]:
    """The two solvers on the same equation, one after the other, residuals computed here."""
    net = sample_hrsnn(HRSNNSpec(n=n), seed=seed)
    coupling = coupling_matrix(net, lyapunov_matrix(net, -1.0 / net.tau_m))
    a = system_matrix(net.tau_m, coupling, calibrated_scale(net.tau_m, coupling))
    q, dense = 2 / net.tau_m, a.toarray()
    found = {}
    for name, work in (
        ("mixed", lambda: covariance(a, q, method="mixed")),
        ("scipy", lambda: linalg.solve_continuous_lyapunov(dense, -np.diag(q))),
        ("mixed again", lambda: covariance(a, q, method="mixed")),
    ):
        c, took = clocked(work)
        off = np.linalg.norm(dense @ c + c @ dense.T + np.diag(q)) / np.linalg.norm(q)
        found[name] = took | {"residual": float(off)}
    return found


def rivals(n: int, seed: int) -> dict[str, dict[str, float]]:
    """The same answers by what one would write without this package, and by this package."""
    use_device("numpy")
    net = sample_hrsnn(HRSNNSpec(n=n), seed=seed)
    noise = noise_stimulus(net, "3 s", sd=0.35, seed=seed)
    found: dict[str, dict[str, float]] = {}
    _, found["exponents, one run"] = clocked(lambda: node_exponents(net, noise))
    _, found["exponents, Brian2 loop"] = clocked(lambda: displaced_one_by_one(net, noise, 5))
    # The network is built once in both; the runs are alike, so five of them tell of all n.
    for key in ("wall_s", "cpu_s"):
        found["exponents, Brian2 loop"][key] *= n / 5
    graph = to_networkx(net)
    _, found["betweenness, NetworkX"] = clocked(lambda: nx.betweenness_centrality(graph))
    _, found["betweenness, NetworKit"] = clocked(lambda: betweenness(net))
    entries = lyapunov_matrix(net, -1.0 / net.tau_m)
    coupling = coupling_matrix(net, entries)
    a = system_matrix(net.tau_m, coupling, calibrated_scale(net.tau_m, coupling))
    q, dense = 2 / net.tau_m, a.toarray()
    _, found["covariance, scipy"] = clocked(
        lambda: linalg.solve_continuous_lyapunov(dense, -np.diag(q))
    )
    _, found["covariance, ours"] = clocked(lambda: covariance(a, q))
    return found


def displaced_one_by_one(net: HRSNN, noise: Stimulus, count: int) -> list[float]:
    """How states part after one neuron was displaced, in a loop over neurons."""
    objects = to_brian2(net, dt="1 ms", stimulus=noise)
    network, group, growth = objects.network(), objects.group, []
    network.store()
    network.run(noise.duration * second)
    end = np.array(group.v)
    for i in range(count):
        network.restore()
        group.v[i] += 1e-3
        network.run(noise.duration * second)
        growth.append(float(np.linalg.norm(np.array(group.v) - end)))
    return growth


def table(rows: list[dict[str, Any]]) -> str:
    """What was measured as Markdown, means over seeds; ratios of rivals within one run."""
    lines = [
        "| part | " + " | ".join(f"N = {n}" for n in measured(rows, "parts")) + " | exponent |"
    ]
    lines.append("|---" * (len(measured(rows, "parts")) + 2) + "|")
    for name, times in by_part(rows, "parts", "wall_s").items():
        slope = fitted(rows, "parts")[name]
        lines.append(
            f"| {name} | "
            + " | ".join(f"{t:.0f}" if t >= 10 else f"{t:.2g}" for t in times)
            + f" | {slope:.1f} |"
        )
    for kind, pairs in RIVALS.items():
        for n in measured(rows, kind):
            for slow, fast in pairs:
                found = [row["found"] for row in rows if (row["kind"], row["n"]) == (kind, n)]
                ratio = np.array([one[slow]["wall_s"] / one[fast]["wall_s"] for one in found])
                spread = (
                    f" +- {ratio.std(ddof=1) / len(ratio) ** 0.5:.2g}" if len(ratio) > 1 else ""
                )
                lines.append(f"N = {n}: {slow} / {fast}: {ratio.mean():.3g}{spread}")
    for row in rows:
        if row["kind"] == "whole":
            took = {key: f"{one['wall_s']:.3g} s" for key, one in row["found"].items()}
            lines.append(f"N = {row['n']}, whole pruning, seed {row['seed']}: {took}")
    return "\n".join(lines)


RIVALS = {
    "solver": [("scipy", "mixed")],
    "rivals": [
        ("exponents, Brian2 loop", "exponents, one run"),
        ("betweenness, NetworkX", "betweenness, NetworKit"),
        ("covariance, scipy", "covariance, ours"),
    ],
}


def measured(rows: list[dict[str, Any]], kind: str) -> list[int]:
    """The sizes that were measured."""
    return sorted({row["n"] for row in rows if row["kind"] == kind})


def by_part(rows: list[dict[str, Any]], kind: str, key: str) -> dict[str, list[float]]:
    """Means over seeds for each part, at each size."""
    table = [row for row in rows if row["kind"] == kind]
    return {
        name: [
            float(np.mean([row["found"][name][key] for row in table if row["n"] == n]))
            for n in measured(rows, kind)
        ]
        for name in (table[0]["found"] if table else ())
    }


def fitted(rows: list[dict[str, Any]], kind: str) -> dict[str, float]:
    """Exponents of processor time in size, by least squares on logarithms."""
    at = np.log(measured(rows, kind))
    return {
        name: float(np.polyfit(at, np.log(times), 1)[0]) if at.size > 1 else np.nan
        for name, times in by_part(rows, kind, "cpu_s").items()
    }


def figure(rows: list[dict[str, Any]]) -> None:
    """Draw time and memory against N, and time against K."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 3, figsize=(15, 4.2), layout="constrained")
    for ax, kind, letter in ((axes[0], "parts", "N"), (axes[1], "degree", "K")):
        slopes = fitted(rows, kind)
        for k, (name, times) in enumerate(by_part(rows, kind, "cpu_s").items()):
            style = {"color": "black", "lw": 2.5} if name == "all" else {"color": f"C{k}"}
            label = f"{name}  ${letter}^{{{slopes[name]:.1f}}}$"
            ax.loglog(measured(rows, kind), times, "o-", label=label, **style)
        ax.set(ylabel="processor time (s)")
        ax.legend(fontsize=7.5, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    memory = by_part(rows, "parts", "peak_gb").get("all", [])
    axes[2].loglog(measured(rows, "parts"), memory, "ko-")
    axes[0].set(xlabel="N (K = N/5)", title="One calibrated iteration")
    axes[1].set(xlabel="K (N = 1000)", title="The same at other K")
    axes[2].set(xlabel="N (K = N/5)", ylabel="peak memory of the process (GB)", title="Memory")
    for ax, kind in zip(axes, ("parts", "degree", "parts"), strict=True):
        ax.set_xticks(measured(rows, kind), [str(m) for m in measured(rows, kind)])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    axes[2].set_yticks([0.5, 1, 2, 3], ["0.5", "1", "2", "3"])
    axes[2].set_ylim(0.3, 4)
    fig.savefig(FIGURE, dpi=150)


def main() -> None:
    """Measure what is missing, write, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[500, 1000, 2000])
    parser.add_argument("--solver", type=int, nargs="*", default=[500, 1000, 2000])
    parser.add_argument("--degrees", type=int, nargs="*", default=[50, 100, 200, 400])
    parser.add_argument("--whole", type=int, nargs="*", default=[1000])
    parser.add_argument("--rivals", type=int, nargs="*", default=[500, 1000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[101])
    parser.add_argument("--quick", action="store_true", help="N = 100 and 200, nothing written")
    parser.add_argument("--again", action="store_true", help="measure everything anew")
    parser.add_argument("--one", nargs=3, metavar=("KIND", "N", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        kind, size, seed = given.one
        work = {
            "parts": parts,
            "solver": solver,
            "rivals": rivals,
            "degree": at_degree,
            "whole": whole,
        }[kind]
        print(json.dumps(work(int(size), int(seed))))
        return
    if given.quick:
        given.sizes, given.solver, given.degrees = [100, 200], [200], [20]
        given.rivals, given.whole = [60], [100]
    old = RESULTS.exists() and not (given.again or given.quick)
    rows = json.loads(RESULTS.read_text())["rows"] if old else []
    jobs = [("parts", n, s) for n in given.sizes for s in given.seeds]
    for kind in ("solver", "degree", "rivals", "whole"):
        sizes = given.degrees if kind == "degree" else getattr(given, kind)
        jobs += [(kind, n, s) for n in sizes for s in given.seeds]
    for kind, n, seed in jobs:
        if any((row["kind"], row["n"], row["seed"]) == (kind, n, seed) for row in rows):
            continue
        command = [sys.executable, __file__, "--one", kind, str(n), str(seed)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        load = os.getloadavg()[0]
        row = {"kind": kind, "n": n, "seed": seed, "load": load, "found": json.loads(out)}
        rows.append(row)
        for name, took in row["found"].items():
            print(kind, n, seed, name, {key: float(f"{x:.3g}") for key, x in took.items()})
        if not given.quick:
            machine = {"cores": os.cpu_count(), "machine": platform.machine()}
            threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
            about = {"machine": machine, "blas_threads": threads, "rows": rows}
            RESULTS.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    if not given.quick and len(measured(rows, "parts")) > 1 and len(measured(rows, "degree")) > 1:
        figure(rows)


if __name__ == "__main__":
    main()
