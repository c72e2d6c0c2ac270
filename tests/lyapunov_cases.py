"""Reference networks whose exponents are known from elsewhere: tests/data/*.npz.

``W`` is (post, pre); ``lif`` and ``theta`` have delta synapses, ``lifexp`` exponential ones; the
phase of ``theta`` is that of V/sqrt(I). Tier A is exact, tier B an ergodic average with a standard
error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models_eq.hrsnn import HRSNN

DATA = Path(__file__).parent / "data"
EXACT = ("lif_uncoupled_N4", "lifexp_uncoupled_N4", "lifexp_N2_inh", "clean_lif_N6_s1")
AVERAGED = ("lifexp_N20_inh", "lif_N100_inh_het", "theta_N20", "lifexp_N200_inh_chaos")
_MODELS = {"lif": "lif_delta", "lifexp": "lif_exp", "theta": "qif"}


@dataclass(frozen=True)
class Case:
    """A network, its start, and what is known of it."""

    net: HRSNN
    start: dict[str, np.ndarray]
    exponents: np.ndarray
    stderr: np.ndarray
    total: float
    rate: float


def load_case(name: str) -> Case:
    """Build a reference network."""
    with np.load(DATA / f"{name}.npz") as data:
        d = {key: data[key] for key in data.files}
    kind, n = str(d["kind"]), len(d["W"])
    post, pre = np.nonzero(d["W"])
    net = HRSNN(
        _MODELS[kind], n, pre, post, d["W"][post, pre], tau_m=d["tau"], i_ext=d["I"],
        v_th=float(d["vth"]), v_reset=float(d["vr"]), tau_syn=d.get("ts", 0.005),
    )  # fmt: skip
    x0 = d["x0"]
    if kind == "theta":
        start = {"theta": 2 * np.arctan(np.sqrt(d["I"]) * np.tan(x0 / 2))}
    else:
        start = {"v": x0[:n], "s": x0[n:]} if kind == "lifexp" else {"v": x0}
    return Case(
        net, start, d["lam_ref"], np.broadcast_to(d["lam_ref_se"], d["lam_ref"].shape),
        float(d["sum_rule"]), float(d["rate"]),
    )  # fmt: skip
