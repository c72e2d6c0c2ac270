"""Benchmarks: what a simulation costs beside hand-written Brian2, and how far devices agree.

    python scripts/benchmark.py simulate            # run phase against run phase
    python scripts/benchmark.py devices             # same structure, same pruning
    python scripts/benchmark.py demo runs/demo      # a finished demo against its bars

Every figure is a ratio within one run on one machine. Results are printed, and written as JSON
with ``--json FILE``.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np


def _hand_written(net: Any, seconds: float, target: str) -> tuple[float, int]:
    """Run phase (Network.run) of the network as a Brian2 user writes it, and its spikes."""
    import brian2 as b2

    b2.prefs.codegen.target = target
    group = b2.NeuronGroup(
        net.n,
        """dv/dt = (v_rest - v + s + i_ext)/tau_m : 1 (unless refractory)
        ds/dt = -s/tau_syn : 1
        i_ext : 1 (constant)
        v_rest : 1 (constant)
        tau_m : second (constant)
        tau_syn : second (constant)""",
        threshold="v > 1",
        reset="v = 0",
        refractory=2 * b2.ms,
        method="exact",
        dt=1 * b2.ms,
        namespace={},
    )
    group.tau_m, group.tau_syn = net.tau_m * b2.second, net.tau_syn * b2.second
    group.i_ext, group.v_rest = net.i_ext, net.v_rest
    group.v = np.random.default_rng(0).random(net.n)
    synapses = b2.Synapses(group, group, "w : 1", on_pre="s_post += w", namespace={}, dt=1 * b2.ms)
    synapses.connect(i=net.i, j=net.j)
    synapses.w = net.w
    spikes = b2.SpikeMonitor(group)
    network = b2.Network(group, synapses, spikes)
    started = time.perf_counter()
    network.run(seconds * b2.second)
    return time.perf_counter() - started, int(spikes.num_spikes)


def _ours(net: Any, seconds: float, target: str) -> tuple[float, int]:
    """The same through simulate(): what Network.run took, the same phase as by hand."""
    from models_eq import simulate, use_device

    state = {"v": np.random.default_rng(0).random(net.n)}
    with use_device(target):
        run = simulate(net, duration=f"{seconds} s", initial_state=state)
    return run.run_seconds, run.n_spikes


def simulate_cost(target: str = "cython", repeats: int = 7) -> dict[str, Any]:
    """N = 1000, K = 200, 2 s: simulate() against the same network written by hand."""
    from models_eq import HRSNNSpec, sample_hrsnn

    net = sample_hrsnn(HRSNNSpec(n=1000), seed=1)
    _hand_written(net, 0.05, target)
    _ours(net, 0.05, target)
    pairs = [(_ours(net, 2.0, target), _hand_written(net, 2.0, target)) for _ in range(repeats)]
    ratios = sorted(ours[0] / hand[0] for ours, hand in pairs)
    return {
        "what": "simulate / hand-written Brian2, run phase",
        "device": target,
        "ratio_median": float(np.median(ratios)),
        "ratio_min": ratios[0],
        "ratio_max": ratios[-1],
        "ours_s": float(np.median([p[0][0] for p in pairs])),
        "hand_s": float(np.median([p[1][0] for p in pairs])),
        "spikes_ours": pairs[0][0][1],
        "spikes_hand": pairs[0][1][1],
        "bar": 1.1,
    }


def device_agreement(seeds: tuple[int, ...] = (1, 2, 3)) -> list[dict[str, Any]]:
    """Structure, repeated pruning, and share of kept synapses in common between devices."""
    from brain_lnp import HRSNNSpec, prune, sample_hrsnn, use_device
    from models_eq import capabilities

    devices = [c.device for c in capabilities() if c.available]
    rows = []
    for seed in seeds:
        structure, kept = {}, {}
        for device in devices:
            with use_device(device):
                net = sample_hrsnn(HRSNNSpec(), seed=seed)
                structure[device] = net.digest
                settings = {"synapses": 0.1, "seed": seed, "n_iter": 3}
                once = prune(net, "lnp_calibrated", **settings).net
                kept[device] = {(int(a), int(b)) for a, b in zip(once.i, once.j, strict=True)}
                # Every simulation there is a compilation: once is enough.
                if device == "cpp_standalone" and seed != seeds[0]:
                    repeated = None
                else:
                    again = prune(net, "lnp_calibrated", **settings).net
                    repeated = once.digest == again.digest
                rows.append(
                    {
                        "seed": seed,
                        "device": device,
                        "same_structure": structure[device] == structure[devices[0]],
                        "repeats": repeated,
                        "kept_in_common": len(kept[device] & kept[devices[0]])
                        / max(1, len(kept[device])),
                        "bar": 0.99,
                    }
                )
    return rows


def demo_bars(folder: Path) -> list[dict[str, Any]]:
    """LNP of a finished demo against the dense network and against activity-based pruning."""
    data = json.loads((folder / "results.json").read_text())
    mean = {
        (r["method"], r["synapses"], r["neurons"], r["task"]): r["error_mean"]
        for r in data["summary"]
    }
    tasks = list(dict.fromkeys(r["task"] for r in data["summary"]))
    rows = []
    for synapses in sorted({r["synapses"] for r in data["summary"] if r["method"] == "lnp"}):
        for task in tasks:
            lnp = mean["lnp", synapses, 1.0, task]
            dense = mean["dense", 1.0, 1.0, task]
            plain = mean.get(("activity_no_gain", synapses, 1.0, task))
            digits = task == "digits"
            partial = "_x_to_" in task
            met = lnp <= dense + 0.01 if digits else (lnp <= 0.95 * dense if partial else None)
            rows.append(
                {
                    "synapses": synapses,
                    "task": task,
                    "lnp": lnp,
                    "dense": dense,
                    "ratio": lnp / dense,
                    "bar": "<= dense + 0.01" if digits else ("<= 0.95" if partial else "none"),
                    "met": met,
                    "activity_no_gain": plain,
                    "below_activity": None if plain is None else lnp < plain,
                }
            )
    return rows


def main() -> None:
    """Run one benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("simulate", "devices", "demo"))
    parser.add_argument("folder", nargs="?", type=Path, default=Path("runs/demo"))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    found: Any
    if given.what == "simulate":
        found = [simulate_cost("cython"), simulate_cost("numpy")]
    elif given.what == "devices":
        found = device_agreement(tuple(given.seeds))
    else:
        found = demo_bars(given.folder)
    for row in found:
        print(
            "  ".join(
                f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()
            )
        )
    if given.json:
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        given.json.write_text(json.dumps({"machine": machine, "rows": found}, indent=1))


if __name__ == "__main__":
    main()
