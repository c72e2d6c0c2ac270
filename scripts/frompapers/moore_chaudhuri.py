"""Moore & Chaudhuri (2020): does pruning by noise-driven covariance keep a linear spectrum?

    python scripts/frompapers/moore_chaudhuri.py

Prints a table and writes ``moore_chaudhuri.json`` to ``--results`` and ``moore_chaudhuri.png`` to
``--figures``. Every seed draws one network, on which all methods are compared in pairs. Set
OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy import stats

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from analysis.pruning.linear_networks import (  # noqa: E402
    noise_probabilities,
    prune_by_probability,
    prune_linear,
    spectral_distance,
)
from analysis.pruning.linear_response import covariance  # noqa: E402
from analysis.pruning.sampling import keep_probabilities  # noqa: E402

Rows = list[dict[str, Any]]
N, CLUSTERS, BRIDGES, LEAK = 150, 3, 10, 0.1
DENSITIES = (0.5, 0.3, 0.2, 0.1)
METHODS = ("noise", "uniform", "weight", "largest", "flipped")
MEASURES = (
    "leading_mean", "eigenvalue_mean", "eigenvalue_max", "quadratic_mean", "quadratic_max",
    "quadratic_worst", "covariance",
)  # fmt: skip


def symmetric_network(
    n: int,
    rng: np.random.Generator,
    *,
    clusters: int = CLUSTERS,
    inside: float = 1.0,
    bridges: int = BRIDGES,
    spread: float = 0.5,
    frustrated: float = 0.0,
) -> np.ndarray:
    """Diagonally dominant symmetric A: dense clusters, few bridges, two populations.

    Weights are lognormal with mean 1 and log-deviation ``spread``, positive within a population
    and negative between the two, but for a fraction ``frustrated`` of flipped signs. Each leak is
    the sum of the magnitudes of its row and 0.1.
    """
    label = np.arange(n) * clusters // n
    i, j = np.triu_indices(n, 1)
    keep = (label[i] == label[j]) & (rng.random(i.size) < inside)
    for a in range(clusters):
        for b in range(a + 1, clusters):
            between = np.flatnonzero((label[i] == a) & (label[j] == b))
            keep[rng.choice(between, bridges, replace=False)] = True
    i, j = i[keep], j[keep]
    weight = np.exp(spread * rng.standard_normal(i.size) - spread**2 / 2)
    population = rng.choice((-1.0, 1.0), n)
    sign = population[i] * population[j]
    sign = np.where(rng.random(i.size) < frustrated, -sign, sign)
    a_matrix = np.zeros((n, n))
    a_matrix[i, j] = sign * weight
    a_matrix += a_matrix.T
    return a_matrix - np.diag(np.abs(a_matrix).sum(axis=1) + LEAK)


def ei_network(
    n: int, rng: np.random.Generator, *, inhibition: float = 4.0, dominant: bool = True
) -> np.ndarray:
    """Excitatory-inhibitory A after Dale's law: dense clusters, ten bridges each way.

    A fifth of each cluster inhibits, ``inhibition`` times as strongly, inside its cluster. The
    leaks make A diagonally dominant, or all equal twice the spectral abscissa of the synapses.
    """
    label = np.arange(n) * CLUSTERS // n
    excites = np.arange(n) % (n // CLUSTERS) < 0.8 * (n // CLUSTERS)
    there = label[:, None] == label[None, :]
    np.fill_diagonal(there, False)
    for a in range(CLUSTERS):
        for b in range(CLUSTERS):
            if a != b:
                pairs = np.argwhere((label[:, None] == a) & ((label == b) & excites)[None, :])
                there[tuple(pairs[rng.choice(len(pairs), BRIDGES, replace=False)].T)] = True
    weight = np.exp(0.5 * rng.standard_normal((n, n)) - 0.125) * there
    weight *= np.where(excites, 1.0, -inhibition)[None, :]
    if dominant:
        return weight - np.diag(np.abs(weight).sum(axis=1) + LEAK)
    return weight - 2.0 * np.linalg.eigvals(weight).real.max() * np.eye(n)


NETWORKS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "clustered": lambda rng: symmetric_network(N, rng),
    "frustrated": lambda rng: symmetric_network(N, rng, frustrated=0.1),
    "unstructured": lambda rng: symmetric_network(N, rng, clusters=1, inside=0.35, spread=0.0),
    "ei": lambda rng: ei_network(N, rng),
    "ei_equal_leak": lambda rng: ei_network(N, rng, inhibition=1.0, dominant=False),
}


def flipped_probabilities(a: np.ndarray, density: float) -> np.ndarray:
    """Control: the rule with the sign before the covariance turned round."""
    c = covariance(a, np.ones(len(a)))
    variance = np.diag(c)
    spread = variance[:, None] + variance[None, :] + 2 * np.sign(a) * c
    row, col = np.nonzero(a - np.diag(np.diag(a)))
    if np.array_equal(a, a.T):
        row, col = row[row < col], col[row < col]
    p = np.zeros_like(a)
    scores = np.maximum(np.abs(a) * spread, 0.0)[row, col]
    p[row, col] = keep_probabilities(scores, round(density * row.size))
    return np.maximum(p, p.T) if np.array_equal(a, a.T) else p


def pruned(a: np.ndarray, density: float, seed: int, method: str, corrected: bool = True) -> Any:
    """One pruned network; every method of a seed starts from the same stream."""
    rng = np.random.default_rng([seed, 1])
    if method == "flipped":
        p = flipped_probabilities(a, density)
        return prune_by_probability(a, p, rng, correct_leak=corrected)
    return prune_linear(a, density, rng, method=method, correct_leak=corrected)


def sweep(seeds: int) -> list[dict[str, Any]]:
    """All measures for every network, density, method, leak and seed."""
    found = []
    for name, draw in NETWORKS.items():
        for seed in range(seeds):
            a = draw(np.random.default_rng([seed, 0]))
            for density in DENSITIES:
                p = noise_probabilities(a, density)
                p = p[p > 0]
                for method in METHODS:
                    for corrected in (True, False) if name.startswith("ei") else (True,):
                        b = pruned(a, density, seed, method, corrected)
                        off = asdict(spectral_distance(a, b, leading=CLUSTERS))
                        key = {"network": name, "density": density, "method": method}
                        key |= {"leak": "corrected" if corrected else "kept", "seed": seed}
                        found.append({**key, "cv_p": float(p.std() / p.mean()), **off})
    return found


def summary(found: list[dict[str, Any]]) -> Rows:
    """Mean and standard error over seeds, and the paired ratio of ``noise`` to each rival."""
    rows: Rows = []
    keys = ("network", "density", "leak", "method")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in found:
        groups.setdefault(tuple(row[k] for k in keys), []).append(row)
    for key, runs in groups.items():
        row = dict(zip(keys, key, strict=True))
        row |= {"seeds": len(runs), "hurwitz": sum(r["covariance"] is not None for r in runs)}
        row["cv_p"] = float(np.mean([r["cv_p"] for r in runs]))
        ours = groups[(*key[:3], "noise")]
        for measure in MEASURES:
            values = [r[measure] for r in runs if r[measure] is not None]
            # A mean over the seeds that happen to be stable would flatter an unstable method.
            if len(values) < len(runs):
                continue
            row[measure] = float(np.mean(values))
            row[f"{measure}_stderr"] = float(np.std(values, ddof=1) / math.sqrt(len(values)))
            mine = [r[measure] for r in ours]
            if key[3] != "noise" and None not in mine:
                row[f"{measure}_noise_over_this"] = ratio_interval(mine, values)
        rows.append(row)
    return rows


def ratio_interval(mine: list[float], theirs: list[float]) -> list[float]:
    """Geometric mean of paired ratios with its 95 % t interval: low, middle, high."""
    log = np.log(np.asarray(mine) / np.asarray(theirs))
    half = stats.t.ppf(0.975, log.size - 1) * log.std(ddof=1) / math.sqrt(log.size)
    return [float(np.exp(log.mean() + s * half)) for s in (-1, 0, 1)]


def growth(seeds: int) -> Rows:
    """Error at 4 log n kept synapses a neuron, while n and with it the pruned fraction grow."""
    rows: Rows = []
    for n in (60, 120, 240, 480):
        runs: dict[str, list[tuple[float, float]]] = {"noise": [], "uniform": []}
        share = []
        for seed in range(seeds):
            a = symmetric_network(n, np.random.default_rng([seed, 0]))
            density = 4 * math.log(n) * n / (np.count_nonzero(a) - n)
            share.append(density)
            for method, out in runs.items():
                off = spectral_distance(a, pruned(a, density, seed, method), leading=CLUSTERS)
                out.append((float(off.quadratic_worst or 0.0), off.leading_mean))
        for method, out in runs.items():
            mean, error = np.mean(out, axis=0), np.std(out, axis=0, ddof=1) / math.sqrt(seeds)
            row = {"n": n, "method": method, "density": float(np.mean(share)), "seeds": seeds}
            for k, name in enumerate(("quadratic_worst", "leading_mean")):
                row |= {name: float(mean[k]), f"{name}_stderr": float(error[k])}
            rows.append(row)
    return rows


def draw(rows: Rows, sizes: Rows, path: Path) -> None:
    """The figure of the documentation."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from analysis.plots import _style as style

    look = {
        "noise": (style.VERMILLION, "o"), "uniform": (style.GREY, "x"),
        "weight": (style.PURPLE, "D"), "largest": (style.BLUE, "s"),
        "flipped": (style.GREEN, "^"), "dense": (style.BLACK, "."),
    }  # fmt: skip
    figure, axes = pyplot.subplots(2, 3, figsize=(8.4, 5.4), layout="constrained")
    titles = {"clustered": "a  clusters, symmetric", "unstructured": "b  i.i.d., symmetric"}
    titles["ei"] = "c  excitatory–inhibitory"
    measures = {"clustered": "leading_mean", "unstructured": "leading_mean"}
    for ax, name in zip(axes[0], titles, strict=True):
        measure = measures.get(name, "eigenvalue_mean")
        for method in METHODS:
            own = [
                r for r in rows
                if (r["network"], r["method"], r["leak"]) == (name, method, "corrected")
            ]  # fmt: skip
            ax.errorbar(
                [100 * r["density"] for r in own], [r[measure] for r in own],
                [r[f"{measure}_stderr"] for r in own], color=look[method][0],
                marker=look[method][1], markersize=4, linewidth=1, label=method,
            )  # fmt: skip
        ax.set(xscale="log", yscale="log")
        ticks = [0.02, 0.05, 0.1, 0.2, 0.5]
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.set_xticks([10, 20, 30, 50], ["10", "20", "30", "50"])
        ax.minorticks_off()
        what = "3 slowest modes" if measure == "leading_mean" else "all modes"
        style.dress(ax, "synapses kept (%)", f"eigenvalue error, {what}", titles[name])
    handles = axes[0, 0].get_legend_handles_labels()
    spectra = {name: NETWORKS[name](np.random.default_rng([0, 0])) for name in ("clustered", "ei")}
    for method in ("dense", "noise", "uniform"):
        colour, marker = look[method]
        size = {"markersize": 7 if method == "dense" else 4, "linestyle": "none"}
        a = spectra["clustered"]
        b = a if method == "dense" else pruned(a, 0.2, 0, method).toarray()
        slow = -np.linalg.eigvalsh(b)[::-1][:12]
        axes[1, 0].plot(range(1, 13), slow, color=colour, marker=marker, label=method, **size)
        a = spectra["ei"]
        b = a if method == "dense" else pruned(a, 0.2, 0, method).toarray()
        values = np.linalg.eigvals(b)
        axes[1, 2].plot(
            values.real, values.imag, color=colour, marker=marker, alpha=0.6, label=method,
            **(size | {"markersize": size["markersize"] * 0.7}),
        )  # fmt: skip
    axes[1, 0].set_yscale("log")
    axes[1, 0].set_xticks(range(1, 13, 2))
    style.dress(axes[1, 0], "mode, slowest first", "decay rate (1/s)", "d  clusters, 20 % kept")
    style.dress(
        axes[1, 2], r"Re $\lambda$ (1/s)", r"Im $\lambda$ (1/s)",
        "f  excit.–inhib., 20 % kept",
    )  # fmt: skip
    for ax in (axes[1, 0], axes[1, 2]):
        style.legend(ax, loc="lower right" if ax is axes[1, 0] else "upper right")
    top = axes[1, 2].get_ylim()[1]
    axes[1, 2].set_ylim(-top, 1.9 * top)
    for method in ("noise", "uniform"):
        for name, line in (("quadratic_worst", "-"), ("leading_mean", ":")):
            own = [r for r in sizes if r["method"] == method]
            axes[1, 1].errorbar(
                [r["n"] for r in own], [r[name] for r in own], [r[f"{name}_stderr"] for r in own],
                color=look[method][0], marker=look[method][1], markersize=4, linestyle=line,
                linewidth=1,
label=(r"$\epsilon$" if name[0] == "q" else "slow modes") if method == "noise" else None,
            )  # fmt: skip
    ax = axes[1, 1]
    ax.set(xscale="log", yscale="log")
    ax.set_ylim(top=6 * ax.get_ylim()[1])
    ax.set_xticks([r["n"] for r in sizes[::2]], [str(r["n"]) for r in sizes[::2]])
    ax.minorticks_off()
    style.dress(ax, "neurons", "error", r"e  clusters, $4\,\log n$ synapses a neuron")
    style.legend(ax, loc="upper left")
    figure.legend(*handles, loc="outside upper center", ncols=5, frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run the comparison and write its table and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures")
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    given.figures.mkdir(parents=True, exist_ok=True)
    rows, sizes = summary(sweep(given.seeds)), growth(given.seeds)
    shown = ("leading_mean", "eigenvalue_mean", "quadratic_worst", "covariance")
    for row in rows:
        head = f"{row['network']:14s} {100 * row['density']:3.0f} % {row['leak']:9s}"
        text = f"{head} {row['method']:8s} cv {row['cv_p']:.2f} hurwitz {row['hurwitz']:2d}"
        for name in shown:
            if name in row:
                text += f"  {name} {row[name]:.3f} ± {row[name + '_stderr']:.3f}"
            if f"{name}_noise_over_this" in row:
                low, middle, high = row[f"{name}_noise_over_this"]
                text += f" (x {middle:.2f} [{low:.2f}, {high:.2f}])"
        print(text)
    for row in sizes:
        print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()))  # fmt: skip  # noqa: E501
    machine = (
        f"Python {platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}"
    )
    settings = {"n": N, "clusters": CLUSTERS, "bridges": BRIDGES, "surplus_leak": LEAK}
    out = {"machine": machine, "settings": settings, "rows": rows, "growth": sizes}
    path = given.results / "moore_chaudhuri.json"
    path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    draw(rows, sizes, given.figures / "moore_chaudhuri.png")


if __name__ == "__main__":
    main()
