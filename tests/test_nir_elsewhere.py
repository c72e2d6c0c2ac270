"""A NIR file alone, integrated by a second simulator that shares no code with this package.

``_read`` and ``_integrate`` know HDF5, NumPy and the equations that NIR's publication gives for its
nodes, nothing else: no Brian2, no ``nir``, none of our packages. They integrate by small midpoint
steps of their own, not by the exact propagator of ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from brain_lnp.exchange import FormatWarning, to_nir
from models_eq import HRSNN, HRSNNSpec, sample_hrsnn, simulate

pytestmark = pytest.mark.usefixtures("numpy_device")
DT, SPAN = 1e-4, 0.2  # s; DT is the grid on which spike times are compared
FINE = 20  # steps of the second simulator within one of the grid


def _read(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Parameters of the only population, and recurrent weights of shape (post, pre)."""
    with h5py.File(path, "r") as file:
        nodes = file["node/nodes"]
        kinds = {name: node["type"][()].decode() for name, node in nodes.items()}
        (neurons,) = (name for name, kind in kinds.items() if kind in ("LIF", "CubaLIF"))
        found = {
            key: np.asarray(value, dtype=float)
            for key, value in nodes[neurons].items()
            if isinstance(value, h5py.Dataset) and value.dtype.kind == "f"
        }
        n = found["v_leak"].size
        weights = np.zeros((n, n))
        edges = [tuple(x.decode() for x in edge) for edge in file["node/edges"][()]]
        for start, end in edges:
            if start == neurons and (end, neurons) in edges and kinds[end] == "Linear":
                weights += nodes[end]["weight"][()]
    return found, weights


def _integrate(
    node: dict[str, np.ndarray], weights: np.ndarray, v: np.ndarray, current: np.ndarray
) -> list[tuple[float, int]]:
    """Spikes (s, neuron) of tau dv/dt = v_leak - v + r I (CubaLIF), or of delta kicks (LIF).

    Kicks of a step of the grid arrive at its end, as spikes do in a simulation on that grid.
    """
    cuba = "tau_syn" in node
    h, spikes = DT / FINE, []
    for step in range(round(SPAN / DT)):
        for _ in range(FINE):
            drive = node["r"] * current if cuba else 0.0
            # Midpoint rule.
            half = v + h / 2 * (node["v_leak"] - v + drive) / (node["tau_mem" if cuba else "tau"])
            if cuba:
                middle = current - h / 2 * current / node["tau_syn"]
                drive = node["r"] * middle
                current = current - h * middle / node["tau_syn"]
            v = v + h * (node["v_leak"] - half + drive) / (node["tau_mem" if cuba else "tau"])
        fired = np.flatnonzero(v > node["v_threshold"])
        if fired.size:
            arriving = weights[:, fired].sum(axis=1)
            if cuba:
                current = current + node["w_in"] / node["tau_syn"] * arriving
            else:
                v = v + node["r"] / node["tau"] * arriving
            v[fired] = node["v_reset"][fired]
            spikes += [((step + 1) * DT, int(k)) for k in fired]
    return spikes


def _pair(net: HRSNN, path: Path, **changes: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    to_nir(net, path)
    node, weights = _read(path)
    for key, change in changes.items():
        node[key] = change(node[key])
    v = np.random.default_rng(2).uniform(0.0, 0.9, net.n)
    ours = simulate(net, duration=f"{SPAN} s", dt="0.1 ms", initial_state={"v": v})
    theirs = np.array(_integrate(node, weights, v.copy(), np.zeros(net.n))).reshape(-1, 2)
    return theirs[:, 0], theirs[:, 1].astype(int), ours


def _within(t: np.ndarray, i: np.ndarray, ours: Any, steps: float) -> bool:
    """Whether every neuron spikes as often, each time within so many steps of the grid."""
    for k in range(max(i.max(initial=0), ours.i.max(initial=0)) + 1):
        one, two = np.sort(t[i == k]), np.sort(ours.t[ours.i == k])
        if one.size != two.size or (one.size and np.abs(one - two).max() > (steps + 0.01) * DT):
            return False
    return True


def _net(model: str) -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=60, model=model), seed=3).replace(t_ref=0.0)


@pytest.mark.parametrize("model", ["lif_exp", "lif_delta"])
def test_a_second_simulator_reads_the_file_and_spikes_at_the_same_times(
    model: str, tmp_path: Path
) -> None:
    t, i, ours = _pair(_net(model), tmp_path / "net.nir")
    assert ours.n_spikes > 100
    assert _within(t, i, ours, steps=2)


def test_it_would_see_a_wrong_file(tmp_path: Path) -> None:
    net = _net("lif_exp")
    for key in ("w_in", "tau_mem", "v_leak"):
        wrong = {key: lambda x: 1.05 * x}
        t, i, ours = _pair(net, tmp_path / "net.nir", **wrong)
        assert not _within(t, i, ours, steps=2), key


def test_refractoriness_is_why_others_differ(tmp_path: Path) -> None:
    net = sample_hrsnn(HRSNNSpec(n=60), seed=3)
    with pytest.warns(FormatWarning, match="t_ref"):
        t, i, ours = _pair(net, tmp_path / "net.nir")
    assert not _within(t, i, ours, steps=2)
    assert len(t) > ours.n_spikes  # without pause they spike more often
