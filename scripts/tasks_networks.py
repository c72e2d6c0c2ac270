"""The networks that all tasks share: pruned once a seed, kept as files, no task in the choice.

    python scripts/tasks_networks.py --seeds 101 102

``lnp`` and ``random_matched`` (random balanced mask, gain, shift and time constants as for ``lnp``)
keep 2 % of the synapses; ``activity`` keeps the most active half of the neurons under the tasks'
training input and as many synapses, with the same gain treatment; ``none`` has no recurrence.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "runs" / "tasks_study"
N, KEPT = 1000, 0.02
COUPLING = 0.06  # that of least validation error of the dense network at this N
NETWORKS = ("lnp", "random_matched", "activity", "dense", "none")


def activity_stimuli(seed: int) -> list[Any]:
    """What activity-based pruning sees: 5 s of training input of two series, 100 digits."""
    from brain_lnp import tasks
    from brain_lnp.evaluation import task_stimulus

    seen = [
        (tasks.lorenz63(observe="x", seed=seed), 500),
        (tasks.lorenz63(observe="xyz", seed=seed), 500),
        (tasks.digits(seed=seed), 100),
    ]
    return [task_stimulus(task, N, part="train", limit=limit) for task, limit in seen]


def network(name: str, seed: int, folder: Path = FOLDER) -> Any:
    """A network of a seed, from its file or made and kept.

    Parameters
    ----------
    name : {'lnp', 'random_matched', 'activity', 'dense', 'none'}
    seed : int
    folder : Path
        Where the files are.
    """
    from brain_lnp import HRSNNSpec, load, prune, sample_hrsnn, save, use_device

    path = folder / f"{name}_{seed}.npz"
    if path.is_file():
        return load(path)
    net = sample_hrsnn(HRSNNSpec(n=N, coupling=COUPLING), seed=seed)
    options: dict[str, Any] = {}
    if name == "activity":
        options = {"stimulus": activity_stimuli(seed), "neurons": 0.5, "treatment": "tuned",
                   "timescales": "exponents"}  # fmt: skip
    if name != "dense":
        with use_device("auto"), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            net = prune(net, name, synapses=KEPT, seed=seed, **options).net
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.stem}.{os.getpid()}.part.npz")
    save(net, partial)
    os.replace(partial, path)
    return net


def main() -> None:
    """Make the files that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(101, 111)))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--folder", type=Path, default=FOLDER)
    args = parser.parse_args()
    for seed in args.seeds:
        for name in args.networks:
            started = time.perf_counter()
            net = network(name, seed, args.folder)
            print(seed, name, net, f"{time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
