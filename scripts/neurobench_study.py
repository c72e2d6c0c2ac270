"""NeuroBench's chaotic function prediction: a sparse spiking network beside the echo-state network.

    python scripts/neurobench_study.py tune
    python scripts/neurobench_study.py run --taus 17 --seeds 101
    python scripts/neurobench_study.py table

Both learn and predict the same series from our integrator. ``esn`` is the configuration that the
benchmark publishes (186 units), a new draw for each of the 30 shifts. ``lnp`` is one pruned network
for all shifts, ``none`` its neurons without a synapse, ``constant`` the mean of the training part.
``tune`` compares settings by free runs over the last two Lyapunov times of training parts, with
networks of tuning seeds; it never looks at what is to be predicted. ``run`` takes the best, chooses
the penalty in the same way, and fits the readout on all ten Lyapunov times. Rows in
``docs/results/neurobench.jsonl`` are not computed again.

A neuron is fed one of the last rows (8 or 13, what does better in the same free runs), all of which
the readout sees as well. The spike trains pass a chain of three leaky integrators: an exponential
alone jumps at each spike.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from neurobench_baselines import constant, echo_state

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results" / "neurobench.jsonl"
# 0.25 % of the synapses and 60 ms a row keep the accumulates of the recurrence within the budget.
N, KEPT, HOLD, STEPS, TAU, ORDER = 1000, 0.0025, "60 ms", 300, "20 ms", 3
LAGS = (8, 13)  # rows
DT = "0.2 ms"
ALPHAS = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
GRID = [{"input_sd": 2.0, "noise": noise} for noise in (3e-4, 1e-3)]
TUNED_ON = (17, 30)  # delays of the equation
METHODS = ("esn", "lnp", "none", "constant")
WARM, HELD_OUT = 60, 150  # rows


def sparse_network(method: str, seed: int, folder: str | None) -> Any:
    """The pruned network of a seed, or its neurons alone."""
    from brain_lnp import HRSNNSpec, load, prune, sample_hrsnn

    stored = Path(folder or ".") / f"lnp_{KEPT}_{seed}.npz"
    if folder and stored.exists():
        net = load(stored)
    else:
        dense = sample_hrsnn(HRSNNSpec(n=N, coupling=0.06), seed=seed)
        net = prune(dense, "lnp", synapses=KEPT, seed=seed).net
    return net.keep_edges(np.zeros(net.n_synapses, dtype=bool)) if method == "none" else net


class Forecaster:
    """A network driven by all shifts of a series side by side, and its readouts."""

    def __init__(
        self, net: Any, series: list[Any], lags: int, seed: int, setting: dict[str, float]
    ) -> None:
        from analysis.rowwise import RowwiseRun
        from models_eq.rng import stream

        self.net, self.series, self.lags, self.seed = net, series, lags, seed
        self.mean, self.sd = (f([s.train for s in series]) for f in (np.mean, np.std))
        self.clean = (np.array([s.train for s in series])[..., None] - self.mean) / self.sd
        drawn = setting["input_sd"] * stream(seed, "input").standard_normal(net.n_origin)
        delay = stream(seed, "input", 13).integers(lags, size=net.n_origin)
        self.weights = np.where(np.arange(lags)[:, None] == delay, drawn, 0.0)
        noise = stream(seed, "noise", 12).standard_normal(self.clean[:, :-1].shape)
        self.fed = self.clean[:, :-1] + setting["noise"] * noise
        self.first, self.rows = series[0].warmup, self.clean.shape[1] - 1
        self.embedded = self.taps(self.fed)
        driven = RowwiseRun(net, len(series), HOLD, TAU, order=ORDER, dt=DT, seed=seed)
        currents = self.weights[:, net.ids]
        self.traces = np.stack(
            [driven(self.embedded[:, k] @ currents) for k in range(self.rows)], axis=1
        )

    def taps(self, values: np.ndarray) -> np.ndarray:
        """The last rows beside each row; the first rows, having no past, stand for it."""
        lags, length = self.lags, values.shape[1]
        past = np.concatenate([np.repeat(values[:, :1], lags - 1, axis=1), values], axis=1)
        return np.concatenate(
            [past[:, lags - 1 - k : lags - 1 - k + length] for k in range(lags)], axis=2
        )

    def fitted(self, shift: int, end: int) -> Any:
        """Readout of one shift, fitted on its rows up to ``end``."""
        from analysis.readout.feedback import FeedbackReadout

        part = slice(self.first, end)
        return FeedbackReadout().fit(
            np.hstack([self.traces[shift, part], self.embedded[shift, part, 1:]]),
            self.fed[shift, part],
            self.clean[shift, self.first + 1 : end + 1],
        )

    def free(self, readouts: list[Any], warm: np.ndarray, steps: int) -> Any:
        """Free runs side by side."""
        from brain_lnp import closed_loop

        def predict(state: np.ndarray, present: np.ndarray) -> np.ndarray:
            each = zip(readouts, state, present, strict=True)
            new = [r.predict(np.hstack([x, u[1:]])[None], u[None, :1]) for r, x, u in each]
            return np.hstack([np.concatenate(new), present[:, :-1]])

        return closed_loop(
            self.net, self.taps(warm), predict, self.weights, HOLD, steps=steps, tau=TAU,
            order=ORDER, dt=DT, seed=self.seed, engine="compiled",
        )  # fmt: skip

    def validation(self) -> np.ndarray:
        """sMAPE of each penalty on the last two Lyapunov times of every fifth training part."""
        from analysis.readout.feedback import FeedbackReadout
        from brain_lnp.tasks.neurobench import smape

        cut, few = self.rows - HELD_OUT, range(0, len(self.series), 5)
        held_out = {shift: self.fitted(shift, cut) for shift in few}
        cases = [(alpha, shift) for alpha in ALPHAS for shift in few]
        readouts = []
        for alpha, shift in cases:
            r, one = held_out[shift].use(alpha), FeedbackReadout()
            one.coef_, one.intercept_ = r.coef_, r.intercept_
            readouts.append(one)
        warm = np.array([self.clean[shift, cut - WARM : cut + 1] for _, shift in cases])
        found = self.free(readouts, warm, HELD_OUT).prediction[..., 0] * self.sd + self.mean
        errors = [
            smape(self.series[shift].train[cut + 1 :], found[k])
            for k, (_, shift) in enumerate(cases)
        ]
        return np.mean(np.reshape(errors, (len(ALPHAS), len(few))), axis=1)


def spiking(
    method: str,
    tau: int,
    shifts: int,
    seed: int,
    folder: str | None,
    setting: dict[str, float],
    test: bool = True,
) -> dict[str, Any]:
    """A pruned network, or its neurons alone: sMAPE of each shift, operations a row.

    How many rows back the input comes from, and the penalty, are chosen on the training parts.
    Without ``test`` the validation errors alone.
    """
    from brain_lnp.tasks.neurobench import neurobench_series, smape

    net = sparse_network(method, seed, folder)
    series = [neurobench_series(tau, shift) for shift in range(shifts)]
    tried = {}
    for lags in LAGS:
        forecaster = Forecaster(net, series, lags, seed, setting)
        tried[lags] = forecaster, forecaster.validation()
    best = {str(lags): float(errors.min()) for lags, (_, errors) in tried.items()}
    lags = min(tried, key=lambda k: tried[k][1].min())
    forecaster, errors = tried[lags]
    row: dict[str, Any] = {"validation": min(best.values()), "by_lags": best, "lags": lags}
    if not test:
        return row
    alpha = ALPHAS[int(np.argmin(errors))]
    final = [forecaster.fitted(shift, forecaster.rows).use(alpha) for shift in range(shifts)]
    free = forecaster.free(final, forecaster.clean[:, -WARM:], len(series[0].test))
    predicted = free.prediction[..., 0] * forecaster.sd + forecaster.mean
    outputs = net.n + lags  # filtered traces and the direct inputs
    return row | {
        "smape": [smape(s.test, p) for s, p in zip(series, predicted, strict=True)],
        "acs": free.sops_per_row, "macs": float(net.n + outputs),
        "dense": float(STEPS * net.n**2 + lags * net.n + outputs), "alpha": alpha,
        "rate": free.mean_rate,
        "activation_sparsity": 1.0 - free.mean_rate * 1e-3 * float(DT.split()[0]),
        "connection_sparsity": 1.0 - (net.n_synapses + net.n + outputs)
        / (net.n**2 + lags * net.n + outputs),
    }  # fmt: skip


def stored_rows() -> list[dict[str, Any]]:
    """Rows computed before."""
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def best_setting(method: str) -> dict[str, float]:
    """Setting of the smallest mean validation error over the series and seeds tuned on."""
    found: dict[str, list[float]] = {}
    for row in stored_rows():
        if row["stage"] == "tune" and row["method"] == method:
            found.setdefault(json.dumps(row["setting"]), []).append(row["validation"])
    if not found:
        raise SystemExit(f"Nothing tuned for {method}: run 'tune' first")
    return json.loads(min(found, key=lambda key: float(np.mean(found[key]))))


def key(row: dict[str, Any]) -> str:
    """What makes a row the same as another."""
    names = ("stage", "method", "tau", "shifts", "seed", "setting")
    return json.dumps([row.get(name) for name in names])


def jobs(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Heads of the rows asked for."""
    found: list[dict[str, Any]] = []
    for tau, method in itertools.product(args.taus, args.methods):
        head = {"stage": args.stage, "method": method, "tau": tau, "shifts": args.shifts}
        if method in ("esn", "constant"):
            found += [{**head, "seed": 0}] if args.stage == "run" else []
            continue
        settings = GRID if args.stage == "tune" else [best_setting(method)]
        found += [{**head, "seed": s, "setting": one} for s in args.seeds for one in settings]
    return found


def work(args: argparse.Namespace) -> None:
    """Compute the rows that are missing."""
    done = {key(row) for row in stored_rows()}
    for head in jobs(args):
        if key(head) in done:
            continue
        began, method, tau = time.perf_counter(), head["method"], head["tau"]
        if method == "esn":
            found = echo_state(tau, args.shifts)
        elif method == "constant":
            found = constant(tau, args.shifts)
        else:
            test = args.stage == "run"
            found = spiking(
                method, tau, args.shifts, head["seed"], args.nets, head["setting"], test
            )
        row = {**head, **found}
        if "smape" in found:
            scores = np.array(found["smape"])
            row |= {"smape": float(scores.mean()),
                    "se": float(scores.std(ddof=1) / np.sqrt(len(scores))),
                    "scores": scores.round(2).tolist()}  # fmt: skip
        row["seconds"] = round(time.perf_counter() - began, 1)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps({k: v for k, v in row.items() if k != "scores"}), flush=True)


def table() -> None:
    """Print test rows as Markdown: each delay, and the mean over all."""
    rows = [row for row in stored_rows() if row["stage"] == "run"]
    methods = list(dict.fromkeys(row["method"] for row in rows))
    print("| delay | " + " | ".join(methods) + " |\n|---|" + "---:|" * len(methods))
    for tau in sorted({row["tau"] for row in rows}):
        cells = []
        for method in methods:
            mine = [r for r in rows if (r["method"], r["tau"]) == (method, tau)]
            # Over shifts, networks averaged first: they see the same series.
            scores = np.mean([r["scores"] for r in mine], axis=0) if mine else np.empty(0)
            error = scores.std(ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan
            cells.append(f"{scores.mean():.1f} ± {error:.1f} ({len(mine)})" if mine else "")
        print(f"| {tau} | " + " | ".join(cells) + " |")
    print("\n| | series | sMAPE | ACs | MACs | ACs + MACs | dense |\n|---|" + "---:|" * 6)
    for method in methods:
        mine = [r for r in rows if r["method"] == method]
        by_tau = [
            np.mean([r["smape"] for r in mine if r["tau"] == tau])
            for tau in sorted({r["tau"] for r in mine})
        ]
        error = np.std(by_tau, ddof=1) / np.sqrt(len(by_tau)) if len(by_tau) > 1 else np.nan
        acs, macs, dense = (np.mean([r[k] for r in mine]) for k in ("acs", "macs", "dense"))
        print(
            f"| {method} | {len(by_tau)} | {np.mean(by_tau):.1f} ± {error:.1f} | {acs:.0f} | "
            f"{macs:.0f} | {acs + macs:.0f} | {dense:.0f} |"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("tune", "run", "table"))
    parser.add_argument("--taus", nargs="+", type=int)
    parser.add_argument("--seeds", nargs="+", type=int)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--shifts", type=int, default=30)
    parser.add_argument("--nets")
    args = parser.parse_args()
    tune = args.stage == "tune"
    args.taus = args.taus or list(TUNED_ON if tune else range(17, 31))
    args.seeds = args.seeds or ([1] if tune else [101, 102, 103])
    if args.stage == "table":
        table()
    else:
        work(args)


if __name__ == "__main__":
    main()
