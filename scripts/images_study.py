"""Images through sparse networks: one network, one readout, and what the encoder does alone.

    python scripts/images_study.py run --data DIR --seeds 101 102 103 104 105
    python scripts/images_study.py table

Every (task, network, seed) is one row of ``docs/results/images_study.jsonl``; rows that are there
are not computed again. Settings were chosen on validation images of tuning seeds (``tune``); test
images are looked at by ``run`` alone.

Networks: ``lnp`` and ``random_matched`` with 10 % of the synapses, ``dense``, and ``none`` (no
recurrence). Beside them ``encoder``: the same readout on the encoder's own numbers, as many as the
network has neurons; ``encoder_wide``: as many as the readout has features in all.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results" / "images_study.jsonl"
N = 1000
KEPT = 0.1
LARGE = 1000  # centroids of the dictionary in front of the network
NETWORKS = ("random_matched", "none", "dense", "lnp")
ALONE = ("encoder", "encoder_wide")
ALPHAS = (0.03, 0.1, 0.3, 1.0)  # that tune compares


class Data(NamedTuple):
    """Rows shown to the network, and what the readout would see without one."""

    rows: np.ndarray  # (trials, rows, channels)
    alone: np.ndarray  # (trials, N or fewer)
    wide: np.ndarray  # (trials, windows * N or fewer)
    labels: np.ndarray
    parts: tuple[slice, slice]  # fitted on, judged on


class Setting(NamedTuple):
    """How a task is shown and read; chosen on validation images of tuning seeds."""

    hold: str
    blank: int
    windows: int
    tau: str
    input_sd: float
    alpha: float  # penalty, relative to the number of training images
    order: int = 1  # of the filter


SETTINGS = {
    "digits": Setting("10 ms", 2, 5, "30 ms", 2.0, 0.1),
    "mnist": Setting("5 ms", 4, 6, "20 ms", 2.0, 0.1),
    "cifar10": Setting("100 ms", 0, 4, "30 ms", 2.0, 0.3, 2),
    "cifar10_lossless": Setting("100 ms", 0, 4, "30 ms", 2.0, 0.3, 2),
}
FILES = {
    "mnist": "mnist_10k_10k.npz",
    "cifar10": "cifar10_jpeg_20k_10k.npz",
    "cifar10_lossless": "cifar10_lossless_8k_1k.npz",
}


def scaled(codes: np.ndarray, n_fit: int, floor: float = 0.1) -> np.ndarray:
    """Each channel centred and divided by its deviation over the training images.

    The floor, a share of the mean deviation, keeps channels that hardly ever vary from being
    blown up.
    """
    flat = codes.reshape(len(codes), -1).astype(np.float32)
    mean, sd = flat[:n_fit].mean(axis=0), flat[:n_fit].std(axis=0)
    return (flat - mean) / (sd + floor * sd.mean())


def expanded(pixels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``count`` random rectified features of pixels: an encoder of any size, without a network."""
    from models_eq.rng import stream

    rng = stream(seed, "input", 5)
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    weights = rng.standard_normal((flat.shape[1], count)).astype(np.float32)
    scale = np.sqrt(np.mean(flat**2) * flat.shape[1])
    return np.maximum(flat @ weights / scale + rng.standard_normal(count).astype(np.float32), 0)


def split(n_train: int, n_test: int, labels: np.ndarray, judged: str, seed: int) -> Any:
    """Order of all images and the parts: fitted on all training images or on 4/5 of them."""
    from models_eq.rng import stream

    order = stream(seed, "input", 1).permutation(n_train)
    if judged == "test":
        everything = np.concatenate([order, n_train + np.arange(n_test)])
        return everything, (slice(0, n_train), slice(n_train, n_train + n_test))
    cut = n_train * 4 // 5
    return order, (slice(0, cut), slice(cut, n_train))


def load_images(task: str, folder: Path, seed: int) -> Any:
    """Images and labels, the training part first, and how many there are of each."""
    if task == "digits":
        from sklearn.datasets import load_digits

        from models_eq.rng import stream

        data = load_digits()
        order = stream(seed, "input", 6).permutation(len(data.target))
        return data.images[order][..., None], data.target[order], 1437, 360
    from brain_lnp.tasks.imagefiles import read_image_npz

    found = read_image_npz(FILES[task], folder)
    x = np.concatenate([found.x_train, found.x_test])
    y = np.concatenate([found.y_train, found.y_test])
    x = x if x.ndim == 4 else x[..., None]
    return x, y, len(found.x_train), len(found.x_test)


def prepare(task: str, folder: Path, seed: int, judged: str, fewer: int = 0) -> Data:
    """Everything of a task but the network; dictionaries and scales see training images only."""
    setting = SETTINGS[task]
    x, y, n_train, n_test = load_images(task, folder, seed)
    order, parts = split(n_train, n_test, y, judged, seed)
    if 0 < fewer < parts[0].stop:  # for trying out
        rest = min(parts[1].stop - parts[1].start, fewer // 2)
        chosen = np.r_[order[:fewer], order[parts[1]][:rest]]
        order, parts = chosen, (slice(0, fewer), slice(fewer, len(chosen)))
    x, y, n_fit = x[order], y[order], parts[0].stop
    if x.shape[-1] == 1:
        pixels = x[..., 0].astype(np.float32)
        pixels = pixels - pixels[:n_fit].mean(axis=0)
        rows, alone = pixels, expanded(pixels, N, seed)
        wide = expanded(pixels, setting.windows * N, seed)
    else:
        from brain_lnp.tasks import PatchDictionary

        # N numbers without a network; the network is shown a quadrant a row, of a larger
        # dictionary, whose own numbers are the wide comparison.
        small = PatchDictionary(N // 4, grid=2, seed=seed).fit(x[:n_fit])
        large = PatchDictionary(LARGE, grid=2, seed=seed).fit(x[:n_fit])
        alone, wide = scaled(small.transform(x), n_fit), scaled(large.transform(x), n_fit)
        rows = wide.reshape(len(x), 4, -1)
    power = np.sqrt(np.mean(np.sum(rows[:n_fit] ** 2, axis=2)))
    blank = np.zeros((len(rows), setting.blank, rows.shape[2]), dtype=rows.dtype)
    return Data(np.concatenate([rows / power, blank], axis=1), alone, wide, y, parts)


def judge(features: np.ndarray, data: Data, alpha: float) -> float:
    """Accuracy of a ridge classifier fitted on the one part and judged on the other."""
    from sklearn.linear_model import RidgeClassifier

    flat = np.asarray(features, dtype=np.float32).reshape(len(features), -1)
    fit, held = data.parts
    mean = flat[fit].mean(axis=0)
    unit = np.sqrt(np.mean((flat[fit] - mean) ** 2))
    flat = (flat - mean) / unit
    model = RidgeClassifier(alpha=alpha * fit.stop, solver="cholesky")
    return float(model.fit(flat[fit], data.labels[fit]).score(flat[held], data.labels[held]))


@cache
def network(name: str, seed: int) -> Any:
    """The network of a seed, pruned without a look at any task."""
    from brain_lnp.methods import prune
    from models_eq import HRSNNSpec, load, sample_hrsnn, save

    net = sample_hrsnn(HRSNNSpec(n=N), seed=seed)
    if name == "dense":
        return net
    if name == "none":
        return prune(net, "none", synapses=KEPT, seed=seed).net
    kept = ROOT / "runs" / "images_study" / f"{name}_{seed}.npz"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        save(prune(net, name, synapses=KEPT, seed=seed).net, kept)
    return load(kept)


def measure(
    task: str, name: str, seed: int, data: Data, jobs: int, alphas: tuple[float, ...]
) -> dict[str, Any]:
    """One row of the results, with the best of some penalties."""
    from analysis.streamed import streamed_traces
    from models_eq.rng import stream

    setting, started = SETTINGS[task], time.perf_counter()
    row: dict[str, Any] = {"task": task, "network": name, "seed": seed}
    if name in ALONE:
        features = data.alone if name == "encoder" else data.wide
    else:
        net = network(name, seed)
        rng = stream(seed, "input")
        weights = setting.input_sd * rng.standard_normal((N, data.rows.shape[2])).T
        ran = streamed_traces(
            net, data.rows, weights, setting.hold, windows=setting.windows, tau=setting.tau,
            order=setting.order, seed=seed, jobs=jobs,
        )  # fmt: skip
        features = ran.traces
        row |= {
            "synapses": net.n_synapses,
            "rate_hz": round(float(ran.rates.mean()), 2),
            "sops_per_image": round(float(ran.counts @ net.out_degree) / len(data.rows)),
        }
    row["accuracy"], row["alpha"] = max((judge(features, data, a), a) for a in alphas)
    row["features"] = int(np.prod(features.shape[1:]))
    row["seconds"] = round(time.perf_counter() - started, 1)
    return row


def done(path: Path) -> list[dict[str, Any]]:
    """Rows that are there; a last line that was cut off is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def run(args: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Compute the rows that are missing."""
    there = {(r["task"], r["network"], r["seed"]) for r in done(args.output)}
    for seed in args.seeds:
        for task in args.tasks:
            missing = [n for n in args.networks if (task, n, seed) not in there]
            if not missing:
                continue
            data = prepare(task, args.data, seed, args.judged, args.fewer)
            for name in missing:
                # Of test images one penalty is judged, the one that was chosen before.
                alphas = ALPHAS if args.judged == "validation" else (SETTINGS[task].alpha,)
                row = measure(task, name, seed, data, args.jobs, alphas) | {"judged": args.judged}
                if args.fewer:
                    row["fewer"] = args.fewer
                say(json.dumps(row))
                with open(args.output, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")


def table(rows: list[dict[str, Any]]) -> str:
    """Mean and standard error over seeds, as Markdown."""
    lines = ["| task | network | accuracy | features | SOPs an image | seeds |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for task in SETTINGS:
        for name in (*NETWORKS, *ALONE):
            found = [r for r in rows if r["task"] == task and r["network"] == name]
            if not found:
                continue
            a = np.array([r["accuracy"] for r in found])
            error = f" ± {a.std(ddof=1) / np.sqrt(len(a)):.4f}" if len(a) > 1 else ""
            sops = [r["sops_per_image"] for r in found if "sops_per_image" in r]
            cost = f"{np.mean(sops):.3g}" if sops else ""
            lines.append(f"| {task} | {name} | {a.mean():.4f}{error} | {found[0]['features']} | "
                         f"{cost} | {len(a)} |")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Read the arguments and do what they ask for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["run", "tune", "table"])
    parser.add_argument("--data", type=Path, help="folder of the npz files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105])
    parser.add_argument("--tasks", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--networks", nargs="+", default=[*ALONE, *NETWORKS])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--fewer", type=int, default=0, help="so many training images only")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.judged = "validation" if args.what == "tune" else "test"
    if args.what == "tune" and args.output == RESULTS:
        parser.error("tune writes elsewhere: give --output")
    if args.what == "table":
        print(table(done(args.output)))
    else:
        run(args, lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
