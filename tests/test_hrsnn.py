"""HRSNN: what it accepts, what it refuses and how, and its edits."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import pytest
from brian2 import ms, mV, second
from hypothesis import given
from hypothesis import strategies as st

from models_eq.checks import floats, integers, whole
from models_eq.errors import ParameterError, UnitError
from models_eq.hrsnn import HRSNN, PER_NEURON
from models_eq.neurons import MODELS

GOOD: dict[str, Any] = {
    "model": "lif_exp", "n": 3, "i": [0, 1], "j": [1, 2], "w": [0.5, -0.2], "tau_m": 0.02,
}  # fmt: skip


def make(**changes: Any) -> HRSNN:
    return HRSNN(**{**GOOD, **changes})


def random_net(n: int, seed: int, model: str = "lif_exp", p: float = 0.3) -> HRSNN:
    rng = np.random.default_rng(seed)
    i, j = np.nonzero((rng.random((n, n)) < p) & ~np.eye(n, dtype=bool))
    return HRSNN(
        model,
        n,
        i=i,
        j=j,
        w=rng.normal(size=i.size),
        tau_m=rng.uniform(0.01, 0.03, n),
        v_th=rng.uniform(1, 2, n),
        cluster=rng.integers(0, 3, n),
    )


def test_scalars_broadcast_and_defaults_hold() -> None:
    net = make()
    for name in PER_NEURON:
        assert getattr(net, name).shape == (3,)
        assert getattr(net, name).dtype == float
    np.testing.assert_array_equal(net.ids, [0, 1, 2])
    np.testing.assert_array_equal(net.is_exc, [True, False, True])
    assert net.n_origin == 3
    assert net.obeys_dale
    assert not make(is_exc=True).obeys_dale


def test_synapses_are_sorted_and_weights_are_post_by_pre() -> None:
    net = make(i=[2, 0, 1, 0], j=[0, 2, 2, 1], w=[1.0, 2.0, 3.0, 4.0])
    np.testing.assert_array_equal(net.i, [0, 0, 1, 2])
    np.testing.assert_array_equal(net.j, [1, 2, 2, 0])
    np.testing.assert_array_equal(net.w, [4.0, 2.0, 3.0, 1.0])
    np.testing.assert_array_equal(net.weights.toarray(), [[0, 0, 1], [4, 0, 0], [2, 3, 0]])
    np.testing.assert_array_equal(net.out_degree, [2, 1, 1])
    np.testing.assert_array_equal(net.in_degree, [1, 1, 2])


@pytest.mark.parametrize(
    ("changes", "name", "expected"),
    [
        ({"tau_m": 20 * ms}, "tau_m", 0.02),
        ({"tau_m": "20 ms"}, "tau_m", 0.02),
        ({"tau_m": [20, 20, 20] * ms}, "tau_m", 0.02),
        ({"tau_m": [20 * ms, "0.02 s", 0.02]}, "tau_m", 0.02),
        ({"t_ref": 2 * ms}, "t_ref", 0.002),
        ({"tau_syn": 0.005 * second}, "tau_syn", 0.005),
        ({"v_rest": 3 * mV / mV}, "v_rest", 3.0),
    ],
)
def test_quantities_and_text_become_si(changes: dict, name: str, expected: float) -> None:
    np.testing.assert_allclose(getattr(make(**changes), name), expected, rtol=1e-15)


@pytest.mark.parametrize("name", ["tau_m", "tau_syn", "t_ref"])
@pytest.mark.parametrize("value", [20 * mV, "20 mV", "20", [1 * ms, 1 * mV, 1 * ms]])
def test_times_of_another_dimension_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UnitError, match=name):
        make(**{name: value})


@pytest.mark.parametrize("name", ["w", "v_rest", "v_th", "v_reset", "i_ext"])
@pytest.mark.parametrize("value", [1 * ms, 1 * mV, "1 mV", [1 * mV, 2 * mV]])
def test_units_where_there_are_none_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UnitError, match=name):
        make(**{name: value})


def test_parameters_of_a_model_go_through_the_gate_too() -> None:
    net = make(model="alif", params={"tau_a": 100 * ms, "jump_a": [0.1, 0.2, 0.3]})
    np.testing.assert_allclose(net.params["tau_a"], 0.1)
    assert make(model="alif").params["jump_a"].shape == (3,)
    for name, value in (("tau_a", 1 * mV), ("jump_a", 1 * ms)):
        with pytest.raises(UnitError, match=name):
            make(model="alif", params={name: value})


BAD = [
    ("model", "lif"),
    ("model", ["lif_exp"]),
    ("model", None),
    ("n", 0),
    ("n", 2.5),
    ("n", True),
    ("n", "3"),
    ("n", None),
    ("n", np.nan),
    ("i", [0, 3]),
    ("i", [-1, 1]),
    ("i", [0.5, 1]),
    ("i", [np.nan, 1]),
    ("i", [np.inf, 1]),
    ("i", ["a", "b"]),
    ("i", [True, False]),
    ("i", [[0, 1]]),
    ("i", [0, 1, 2]),
    ("i", [1, 1]),
    ("i", [0, 1] * ms),
    ("i", [0, [1]]),
    ("j", [1, 3]),
    ("j", [1, 0.5]),
    ("j", [1]),
    ("w", [0.5, np.nan]),
    ("w", [0.5, 1j]),
    ("w", [0.5]),
    ("w", "much"),
    ("w", None),
    ("tau_m", 0.0),
    ("tau_m", [0.02, -1.0, 0.02]),
    ("tau_m", [0.02, 0.02]),
    ("tau_m", np.inf),
    ("tau_m", None),
    ("tau_m", {}),
    ("tau_syn", 0.0),
    ("tau_syn", np.nan),
    ("t_ref", -1e-3),
    ("t_ref", np.inf),
    ("v_rest", np.nan),
    ("v_th", 0.0),
    ("v_th", np.inf),
    ("v_reset", np.nan),
    ("i_ext", [1.0, 2.0]),
    ("i_ext", np.inf),
    ("is_exc", [True, False]),
    ("is_exc", "yes"),
    ("is_exc", [0, 1, 2]),
    ("cluster", 0.5),
    ("cluster", [0, 1]),
    ("cluster", "a"),
    ("ids", [0, 1]),
    ("ids", [0, 1, 1]),
    ("ids", [0, 1, -1]),
    ("ids", [0, 1, 2.5]),
    ("n_origin", 2),
    ("n_origin", 0),
    ("n_origin", "3"),
    ("params", {"tau_a": 0.1}),
    ("params", 3),
    ("history", [3]),
    ("history", 3),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{n}-{k}" for k, (n, _) in enumerate(BAD)])
def test_bad_fields_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        make(**{name: value})
    error = caught.value
    # Too small an n_origin shows in the ids that it does not hold.
    fits = error.field == "ids" and name in error.expected
    assert fits or name in error.field.split(", ")


def test_every_field_has_a_bad_case() -> None:
    assert {name for name, _ in BAD} == {f.name for f in fields(HRSNN)}


@pytest.mark.parametrize("params", [{"tau_a": 0.0}, {"tau_a": -1.0}, {"tau_a": [1.0]}, {3: 1.0}])
def test_bad_parameters_of_a_model_are_refused(params: dict) -> None:
    with pytest.raises(ParameterError, match=r"tau_a|params"):
        make(model="alif", params=params)


@pytest.mark.parametrize("model", MODELS)
def test_zero_synapses_and_one_neuron_are_networks(model: str) -> None:
    net = HRSNN(model, 1, i=[], j=[], w=[], tau_m=0.02)
    assert (net.n_synapses, net.weights.shape) == (0, (1, 1))
    assert net.is_exc.all()
    assert net.keep_edges([]) == net == net.keep_neurons([0])


def test_arrays_are_our_own_and_read_only() -> None:
    base = np.full(3, 0.02)
    view = base[:]
    view.setflags(write=False)
    for tau_m in (base, view):
        net = make(tau_m=tau_m)
        base[0] = 1.0
        assert net.tau_m[0] == 0.02
        base[0] = 0.02
        with pytest.raises(ValueError, match="read-only"):
            net.tau_m[0] = 1.0
    with pytest.raises(FrozenInstanceError):
        net.n = 4  # type: ignore[misc]
    with pytest.raises(TypeError):
        make(model="alif").params["tau_a"] = 1  # type: ignore[index]


def test_the_digest_sees_every_field_that_matters_and_no_history() -> None:
    net = make(model="alif")
    changed = {
        "w": [0.5, -0.3],
        "j": [2, 2],
        "is_exc": False,
        "cluster": 1,
        "n_origin": 9,
        "params": {"jump_a": 0.3},
        "model": "lif_exp",
        **{name: getattr(net, name) * 1.5 + 0.01 for name in PER_NEURON},
    }
    digests = {net.replace(**({k: v} | ({"params": {}} if k == "model" else {}))).digest
               for k, v in changed.items()}  # fmt: skip
    assert len(digests | {net.digest}) == len(changed) + 1
    assert net.note(step="prune").digest == net.digest
    assert net.note(step="prune").history == ({"step": "prune"},)


def test_it_pickles() -> None:
    net = random_net(10, 1, "alif").note(why="test")
    again = pickle.loads(pickle.dumps(net))
    assert again == net
    assert hash(again) == hash(net)
    assert again.history == net.history
    assert net != make()
    assert net != 3


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_edits_agree_with_the_matrix(seed: int, n: int) -> None:
    net = random_net(n, seed)
    rng = np.random.default_rng(seed)
    dense = net.weights.toarray()
    keep = rng.random(n) < 0.6
    keep[0] = True
    sub = net.keep_neurons(keep)
    np.testing.assert_array_equal(sub.weights.toarray(), dense[np.ix_(keep, keep)])
    np.testing.assert_array_equal(sub.ids, np.flatnonzero(keep))
    np.testing.assert_array_equal(sub.tau_m, net.tau_m[keep])
    np.testing.assert_array_equal(sub.cluster, net.cluster[keep])
    assert sub.n_origin == n
    assert net.keep_neurons(np.flatnonzero(keep)[::-1]) == sub
    mask = rng.random(net.n_synapses) < 0.5
    fewer, rest = net.keep_edges(mask), net.keep_edges(~mask)
    np.testing.assert_array_equal(fewer.weights.toarray() + rest.weights.toarray(), dense)
    assert fewer.add_edges(rest.i, rest.j, rest.w) == net


def test_ids_lead_back_to_the_origin_through_two_prunings() -> None:
    net = random_net(8, 0)
    twice = net.keep_neurons([1, 3, 4, 7]).keep_neurons([0, 2, 3])
    np.testing.assert_array_equal(twice.ids, [1, 4, 7])
    assert twice.n_origin == 8
    assert twice == net.keep_neurons([1, 4, 7])


@pytest.mark.parametrize(
    ("edit", "args", "name"),
    [
        ("keep_edges", ([True],), "keep"),
        ("keep_edges", ([2],), "keep"),
        ("keep_edges", ([-1],), "keep"),
        ("keep_edges", ([0.0],), "keep"),
        ("keep_edges", ([[0, 1]],), "keep"),
        ("keep_neurons", ([],), "keep"),
        ("keep_neurons", ([False] * 3,), "keep"),
        ("keep_neurons", ([3],), "keep"),
        ("add_edges", ([0], [1], 1.0), "i, j"),
        ("add_edges", ([0], [2], [1.0, 2.0]), "w"),
        ("add_edges", ([0], [2], 1 * mV), "w"),
        ("add_edges", ([0], [2], "x"), "w"),
        ("add_edges", ([0.5], [2], 1.0), "i"),
        ("add_edges", ([0], [0], 1.0), "i, j"),
    ],
)
def test_bad_edits_are_refused(edit: str, args: tuple, name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        getattr(make(), edit)(*args)
    assert caught.value.field == name


def test_replace_refuses_unknown_fields() -> None:
    with pytest.raises(ParameterError, match="tau"):
        make().replace(tau=1)


def test_the_shared_checks() -> None:
    assert whole(3.0, "n") == 3
    assert integers([1.0, 2.0], "i").dtype == np.int64
    assert floats([1, 2], "w").dtype == float
    with pytest.raises(ParameterError, match="copies"):
        whole(np.bool_(True), "copies")
    with pytest.raises(ParameterError, match="real numbers"):
        floats(np.array([1j]), "w")
