"""Networks to other formats and back: nothing is lost in silence."""

from __future__ import annotations

import json
from pathlib import Path

import networkx
import nir
import numpy as np
import pytest

from brain_lnp.cli import main
from brain_lnp.exchange import (
    FormatWarning,
    convert,
    from_networkx,
    from_nir,
    from_scipy,
    read_nir,
    to_networkx,
    to_nir,
    to_scipy,
    to_script,
)
from models_eq import (
    HRSNN,
    CapabilityError,
    FormatError,
    HRSNNSpec,
    MissingFileError,
    ParameterError,
    sample_hrsnn,
    save,
    simulate,
)

pytestmark = pytest.mark.usefixtures("numpy_device")
LOST = pytest.mark.filterwarnings("ignore::brain_lnp.exchange.FormatWarning")


def drawn(model: str = "lif_exp", n: int = 40) -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=n, model=model), seed=3).note(what="drawn")


@LOST
@pytest.mark.parametrize("model", ["lif_exp", "lif_delta"])
def test_a_nir_file_gives_back_the_network_and_its_spikes(model: str, tmp_path: Path) -> None:
    net = drawn(model).keep_neurons(np.arange(5, 40))
    net = net.replace(w=np.where(np.arange(net.n_synapses) == 7, 0.0, net.w))
    to_nir(net, tmp_path / "net.nir")
    back = from_nir(tmp_path / "net.nir")
    assert back == net and len(back.history) == len(net.history)
    one, two = (simulate(x, duration="0.3 s", seed=1) for x in (net, back))
    assert one.n_spikes > 50
    assert np.array_equal(one.t, two.t) and np.array_equal(one.i, two.i)


def test_the_graph_alone_carries_the_dynamics_and_a_broken_graph_does_not() -> None:
    net = drawn().replace(t_ref=0.0)
    graph = to_nir(net)  # warns of nothing: all dynamics are in the graph
    graph.metadata = {}
    back = from_nir(graph)
    assert back != net  # drive and rest are one number there
    spikes = simulate(net, duration="0.3 s", seed=1)
    again = simulate(back, duration="0.3 s", seed=1)
    assert np.array_equal(spikes.t, again.t) and np.array_equal(spikes.i, again.i)
    graph.nodes["recurrent"].weight = graph.nodes["recurrent"].weight.T.copy()
    broken = simulate(from_nir(graph), duration="0.3 s", seed=1)
    assert not np.array_equal(spikes.t, broken.t)


def test_what_nir_does_not_carry_is_said_or_refused() -> None:
    with pytest.warns(FormatWarning, match="t_ref"):
        to_nir(drawn())
    with pytest.raises(CapabilityError, match="t_ref"):
        to_nir(drawn(), strict=True)
    with pytest.raises(CapabilityError, match="qif"):
        to_nir(drawn("qif"))


def test_metadata_that_contradict_the_graph_lose() -> None:
    graph = to_nir(drawn().replace(t_ref=0.0))
    graph.nodes["neurons"].v_leak = graph.nodes["neurons"].v_leak + 0.1
    with pytest.warns(FormatWarning, match="contradict"):
        net = from_nir(graph)
    assert np.array_equal(net.v_rest, graph.nodes["neurons"].v_leak)


def lif(n: int, tau: float = 0.02) -> nir.LIF:
    one = np.ones(n)
    return nir.LIF(tau=tau * one, r=2 * one, v_leak=0 * one, v_threshold=one)


def test_a_foreign_graph_of_layers_becomes_one_network_with_the_kicks_of_its_equations() -> None:
    first, second = np.array([[1.0, 2.0], [0.0, 3.0], [4.0, 0.0]]), np.array([[5.0, 0.0, 6.0]])
    graph = nir.NIRGraph(
        nodes={
            "input": nir.Input(input_type={"input": np.array([2])}),
            "a": nir.Affine(weight=first, bias=np.array([0.1, 0.2, 0.3])),
            "b": lif(3), "scale": nir.Scale(scale=np.array([1.0, 1.0, 0.5])),
            "c": nir.Linear(weight=second), "d": lif(1, 0.01),
            "output": nir.Output(output_type={"output": np.array([1])}),
        },
        edges=[("input", "a"), ("a", "b"), ("b", "scale"), ("scale", "c"), ("c", "d"),
               ("d", "output")],
    )  # fmt: skip
    found = read_nir(graph)
    assert found.populations == ("b", "d") and found.net.cluster.tolist() == [0, 0, 0, 1]
    # tau dv/dt = -v + r W S: a spike moves v by r W / tau.
    assert found.input_weights[:, :3] == pytest.approx(first.T * 2 / 0.02)
    assert found.net.weights.toarray()[3] == pytest.approx([5 * 200, 0, 0.5 * 6 * 200, 0])
    assert found.net.i_ext == pytest.approx([0.2, 0.4, 0.6, 0.0])


def test_a_graph_within_a_graph_is_unfolded() -> None:
    net = drawn(n=12).replace(t_ref=0.0)
    inner = to_nir(net)
    outer = nir.NIRGraph(
        nodes={"input": nir.Input(input_type={"input": np.array([12])}), "inner": inner,
               "output": nir.Output(output_type={"output": np.array([12])})},
        edges=[("input", "inner"), ("inner", "output")], type_check=False,
    )  # fmt: skip
    found = read_nir(outer)
    assert np.array_equal(found.net.w, net.w)
    assert np.array_equal(found.input_weights, np.eye(12))


def test_nodes_that_have_no_place_are_refused_by_name(tmp_path: Path) -> None:
    one = np.ones(2)
    graph = nir.NIRGraph.from_list(nir.LI(tau=one, r=one, v_leak=one))
    with pytest.raises(CapabilityError, match=r"li: expected .* got LI"):
        from_nir(graph)
    loop = to_nir(HRSNN("lif_exp", 2, i=[0], j=[1], w=[1.0], tau_m=0.02))
    loop.nodes["recurrent"].weight = np.eye(2)
    with pytest.raises(FormatError, match="self-loops"):
        from_nir(loop)
    with pytest.raises(MissingFileError):
        from_nir(tmp_path / "none.nir")
    (tmp_path / "x.nir").write_bytes(b"no hdf5")
    with pytest.raises(FormatError, match="NIR file"):
        from_nir(tmp_path / "x.nir")


def test_links_to_other_files_and_external_data_are_refused(tmp_path: Path) -> None:
    import h5py

    (tmp_path / "secret").write_bytes(b"\0" * 800)
    with h5py.File(tmp_path / "a.nir", "w") as file:
        node = file.create_group("node")
        node["edges"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "/x")
    with h5py.File(tmp_path / "b.nir", "w") as file:
        outside = [(str(tmp_path / "secret"), 0, 800)]
        file.create_group("node").create_dataset("w", (100,), dtype="f8", external=outside)
    with h5py.File(tmp_path / "c.nir", "w") as file:
        node = file.create_group("node")
        node["again"] = node  # a circle of hard links
    with h5py.File(tmp_path / "d.nir", "w") as file:
        file.create_group("node").create_dataset("w", (2**40,), dtype="f8", chunks=(2**16,))
    for name, why in (("a", "links"), ("b", "external"), ("c", "levels"), ("d", "bytes")):
        with pytest.raises(FormatError, match=why):
            from_nir(tmp_path / f"{name}.nir")


@LOST
def test_graphs_and_matrices_there_and_back() -> None:
    net = drawn("alif")
    assert from_networkx(to_networkx(net)) == net
    fields = {name: getattr(net, name) for name in ("tau_m", "tau_syn", "t_ref", "i_ext", "is_exc")}
    assert from_scipy(to_scipy(net), model="alif", **fields) == net
    assert from_scipy(to_scipy(net).T, model="alif", **fields) != net
    with pytest.raises(ParameterError, match="tau_m"):
        from_networkx(networkx.DiGraph([(0, 1, {"weight": 1.0})]))
    with pytest.raises(ParameterError, match="weight"):
        from_networkx(networkx.DiGraph([(0, 1)]), tau_m=0.02)
    with pytest.raises(ParameterError, match="self-loops"):
        from_scipy(np.eye(2), tau_m=0.02)
    with pytest.warns(FormatWarning, match="tau_m"):
        to_scipy(net)


@LOST
@pytest.mark.parametrize("simulator", ["nest", "pynn"])
def test_scripts_are_valid_python_with_their_arrays_beside_them(
    simulator: str, tmp_path: Path
) -> None:
    script, data = to_script(drawn(), tmp_path / "model.py", simulator)
    text = script.read_text()
    compile(text, "model.py", "exec")
    assert data.name in text and data.is_file()
    with pytest.raises(CapabilityError, match="alif"):
        to_script(drawn("alif"), tmp_path / "other.py", simulator)


@LOST
def test_the_command_line_converts_and_says_what_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = drawn()
    save(net, tmp_path / "a.npz")
    assert main(["convert", str(tmp_path / "a.npz"), str(tmp_path / "b.nir"), "--json"]) == 0
    out = capsys.readouterr()
    assert "t_ref" in out.err and "t_ref" in json.loads(out.out)["not_carried"][0]
    assert convert(tmp_path / "b.nir", tmp_path / "c.npz") == net
    assert main(["convert", str(tmp_path / "a.npz"), str(tmp_path / "b.nir")]) == 2
    assert main(["convert", str(tmp_path / "a.npz"), str(tmp_path / "b.xyz")]) == 2
