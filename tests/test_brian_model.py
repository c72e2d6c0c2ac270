"""Reading a user's Brian2 objects, and refusing by name what cannot be analysed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from brian2 import (
    Equations,
    Hz,
    NeuronGroup,
    PoissonGroup,
    PoissonInput,
    SpikeGeneratorGroup,
    Synapses,
    TimedArray,
    amp,
    linked_var,
    ms,
    mV,
    prefs,
    siemens,
    volt,
)

from models_eq import HRSNN
from models_eq.brian import BrianModel, brian_model_of
from models_eq.brian_text import is_inequality, statements
from models_eq.errors import CapabilityError, ParameterError
from tests.brian_models import adex, coba

LIF = "dv/dt = (1.5 - v)/(10*ms) : 1"


@pytest.fixture(autouse=True)
def _uncompiled() -> Iterator[None]:
    """Making synapses in NumPy spares a compilation."""
    before = prefs.codegen.target
    prefs.codegen.target = "numpy"
    yield
    prefs.codegen.target = before


def lif(eqs: str = LIF, **more: Any) -> NeuronGroup:
    return NeuronGroup(
        3, eqs, **{"threshold": "v > 1", "reset": "v = 0", "method": "euler", **more}
    )


def test_names_are_looked_up_where_run_looks_them_up() -> None:
    tau, drive = 7 * ms, 1.2
    model = BrianModel.from_objects(lif("dv/dt = (drive - v)/tau : 1"))
    assert drive * tau > 8 * ms
    assert {k: float(v) for k, v in model.namespace.items()} == {"tau": 0.007, "drive": 1.2}
    explicit = BrianModel.from_objects(
        lif("dv/dt = (drive - v)/tau : 1"), namespace={"tau": 3 * ms, "drive": 2.0}
    )
    assert float(explicit.namespace["tau"]) == 0.003
    with pytest.raises(ParameterError, match="nowhere"):
        BrianModel.from_objects(lif("dv/dt = (nowhere - v)/tau : 1"))


def test_strings_arrays_and_connections_are_read() -> None:
    group, synapses = coba(6)
    model = BrianModel.from_objects(group, synapses)
    assert model.n == 6 and set(model.state) == {"v", "ge", "gi"} and model.clamped == {"v"}
    assert model.dimensions["v"] == volt.dim and set(model.parameters) == {"E0"}
    assert model.refractory == "0.002*second"
    exc = next(p for p in model.projections if "ge" in p.on_pre)
    assert exc.on_pre == "ge_post += w_syn"
    np.testing.assert_array_equal(exc.i, synapses[0].i[:])
    np.testing.assert_array_equal(exc.j, synapses[0].j[:])
    np.testing.assert_allclose(exc.parameters["w_syn"], 0.05)
    np.testing.assert_allclose(model.state["v"], np.asarray(group.v))


def test_subexpressions_indices_and_shared_parameters_are_written_out() -> None:
    group = lif(
        """dv/dt = (drive - v)/tau : 1
        drive = base + 0.1*i + k/N : 1
        base = 1.2*gain : 1
        gain : 1 (shared)
        k : integer (constant)
        tau : second (constant)""",
        threshold="v > 1 + 0.1*base",
    )
    group.gain, group.tau, group.k = 2.0, 5 * ms, [1, 2, 3]
    model = BrianModel.from_objects(group)
    assert "drive" not in model.equations["v"] and "neuron_index" in model.equations["v"]
    assert "base" not in model.threshold and "gain" in model.threshold
    np.testing.assert_array_equal(model.parameters["gain"], [2.0, 2.0, 2.0])
    assert model.parameters["k"].dtype.kind == "i" and "N" not in model.equations["v"]


def test_what_a_reset_or_a_synapse_writes_is_state() -> None:
    group = lif(LIF + "\nu : 1\nz : 1\nfixed : 1", reset="v = 0; u += 1")
    synapses = Synapses(group, group, on_pre="z_post = 0.5*z_post + u_pre")
    synapses.connect(i=0, j=1)
    model = BrianModel.from_objects(group, synapses)
    assert set(model.state) == {"v", "u", "z"} and set(model.parameters) == {"fixed"}


def test_a_constant_of_the_synapses_may_share_its_name_with_one_of_the_neurons() -> None:
    group, _ = adex(2)
    synapses = Synapses(group, group, "weight : volt", on_pre="v += weight; w += b*2")
    synapses.connect(i=0, j=1)
    synapses.namespace["b"] = 1e-12 * amp
    synapses.weight = 1 * mV
    model = BrianModel.from_objects(group, synapses)
    code = model.projections[0].on_pre
    assert (
        "v_post += weight_syn" in code and "w_post += " in code and f"b_of_{synapses.name}" in code
    )
    assert float(model.namespace["b"]) == pytest.approx(80.5e-12)
    assert float(model.namespace[f"b_of_{synapses.name}"]) == pytest.approx(1e-12)


def test_subgroups_input_spikes_and_timed_arrays_are_read() -> None:
    group = lif("dv/dt = (drive(t) - v)/(10*ms) : 1")
    group.namespace["drive"] = TimedArray(np.ones(5), dt=1 * ms)
    # Brian2 runs what has the same time slot in the order of names.
    inner = Synapses(group[1:], group[:2], on_pre="v += 0.1", name="inner")
    inner.connect(i=0, j=1)
    source = SpikeGeneratorGroup(2, [0, 1], [1, 2] * ms)
    outer = Synapses(source, group, on_pre="v += 0.2", name="outer")
    outer.connect(i=1, j=2)
    model = BrianModel.from_objects(group, [inner, outer])
    first, second = model.projections
    assert (first.i[0], first.j[0], first.spikes) == (1, 1, None)
    assert (second.i[0], second.j[0]) == (1, 2) and second.spikes is not None
    np.testing.assert_allclose(second.spikes.t, [0.001, 0.002])
    assert model.functions == {"drive"}


def test_our_own_models_leave_out_what_is_bookkeeping() -> None:
    for name, state in (
        ("lif_exp", {"v", "s"}), ("lif_delta", {"v"}), ("qif", {"theta"}),
        ("alif", {"v", "s", "a"}),
    ):  # fmt: skip
        model = brian_model_of(
            HRSNN(name, 2, i=[0], j=[1], w=[1.0], tau_m=0.02, t_ref=0.00025), 1e-4
        )
        assert set(model.state) == state and "t_release" not in model.reset
        assert not {"decay_m", "growth"} & set(model.parameters)
        if name != "qif":
            np.testing.assert_allclose(model.parameters["t_ref"], 0.0002)


def test_text_helpers() -> None:
    assert statements("a=1;b+=c # d = 2\n\ne **= 2") == [
        ("a", "", "1"),
        ("b", "+", "c"),
        ("e", "**", "2"),
    ]
    with pytest.raises(ValueError):
        statements("a > 1")
    assert is_inequality("v >= x + 1") and not is_inequality("v == 1") and not is_inequality("a")


def _noise(target: str) -> NeuronGroup:
    parts = {
        "xi": {"eqs": "dv/dt = -v/(10*ms) + xi*ms**-0.5 : 1"},
        "rand": {"eqs": "dv/dt = (rand() - v)/(10*ms) : 1"},
        "randn": {"reset": "v = 0.1*randn()"},
        "poisson": {"threshold": "v > poisson(1)"},
    }
    return lif(**parts[target])


def _with(change: Callable[[NeuronGroup], Any], **more: Any) -> NeuronGroup:
    group = lif(**more)
    change(group)
    return group


NEURONS: dict[str, tuple[Callable[[], NeuronGroup], str]] = {
    **{n: (lambda n=n: _noise(n), "stochastic") for n in ("xi", "rand", "randn", "poisson")},
    "custom event": (lambda: lif(events={"burst": "v > 2"}), "burst"),
    "run_regularly": (
        lambda: _with(lambda g: g.run_regularly("v += 0", dt=1 * ms)), "run_regularly"),
    "constant over dt": (
        lambda: lif("dv/dt = (c - v)/(10*ms) : 1\nc = 1.5*v : 1 (constant over dt)"),
        "constant over dt",
    ),
    "linked": (lambda: _with(
        lambda g: setattr(g, "x", linked_var(OTHER, "v")), eqs=LIF + "\nx : 1 (linked)"), "linked"),
    "two inequalities": (lambda: lif(threshold="v > 1 and v < 2"), "one inequality"),
    "boolean refractory": (
        lambda: lif(LIF + " (unless refractory)", refractory="v > 0.5"), "refractory"),
    "lastspike": (
        lambda: lif("dv/dt = (1.5 - v)/(10*ms) - lastspike/second/second : 1", refractory=2 * ms),
        "lastspike",
    ),
    "time in reset": (lambda: lif(LIF + "\nseen : second", reset="v = 0; seen = t"), "depend on t"),
}  # fmt: skip
OTHER = lif()


@pytest.mark.parametrize("case", NEURONS)
def test_neurons_are_refused_by_name(case: str) -> None:
    build, word = NEURONS[case]
    group = build()
    with pytest.raises(CapabilityError, match=word) as caught:
        BrianModel.from_objects(group, namespace={})
    assert caught.value.field.startswith(group.name)


def _synapse(group: NeuronGroup, *args: Any, source: Any = None, **more: Any) -> Synapses:
    found = Synapses(source or group, group, *args, **more)
    found.connect(i=0, j=1)
    return found


SYNAPSES: dict[str, tuple[Callable[[NeuronGroup], Any], str]] = {
    "delay": (lambda g: _synapse(g, on_pre="v += 0.1", delay=1 * ms), "delay"),
    "gap junction": (
        lambda g: _synapse(g, "x_post = 0.1*(v_pre - v_post) : 1 (summed)"), "summed"),
    "event-driven": (
        lambda g: _synapse(g, "da/dt = -a/(10*ms) : 1 (event-driven)", on_pre="a += 1"),
        "plasticity"),
    "clock-driven": (
        lambda g: _synapse(g, "da/dt = -a/(10*ms) : 1 (clock-driven)", on_pre="a += 1",
                           method="euler"), "plasticity"),
    "on_post": (lambda g: _synapse(g, "w : 1", on_pre="v += w", on_post="w += 0.1"), "plasticity"),
    "written weight": (lambda g: _synapse(g, "w : 1", on_pre="v += w; w *= 0.9"), "synaptic"),
    "written source": (lambda g: _synapse(g, on_pre="v_pre += 0.1"), "postsynaptic"),
    "time": (lambda g: _synapse(g, on_pre="x_post = t/second"), "depend on t"),
    "noise": (lambda g: _synapse(g, on_pre="v += 0.1*int(rand() < 0.5)"), "stochastic"),
    "PoissonGroup": (
        lambda g: _synapse(g, on_pre="v += 0.1", source=PoissonGroup(2, 10 * Hz)), "PoissonGroup"),
    "PoissonInput": (lambda g: PoissonInput(g, "v", 10, 10 * Hz, 0.1), "PoissonInput"),
    "another group": (lambda g: _synapse(g, on_pre="v += 0.1", source=OTHER), "one group"),
    "run_regularly": (
        lambda g: _regular(_synapse(g, "w : 1", on_pre="v += w")), "run_regularly"),
}  # fmt: skip


def _regular(synapses: Synapses) -> Synapses:
    synapses.run_regularly("w *= 0.5", dt=1 * ms)
    return synapses


@pytest.mark.parametrize("case", SYNAPSES)
def test_synapses_are_refused_by_name(case: str) -> None:
    build, word = SYNAPSES[case]
    group = lif(LIF + "\nx : 1")
    synapses = build(group)
    with pytest.raises(CapabilityError, match=word) as caught:
        BrianModel.from_objects(group, synapses, namespace={})
    assert caught.value.field.startswith(synapses.name)
    if case.startswith("Poisson"):
        assert "SpikeGeneratorGroup" in caught.value.hint


def test_objects_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(ParameterError, match="NeuronGroup"):
        BrianModel.from_objects("group")
    with pytest.raises(ParameterError, match="Synapses"):
        BrianModel.from_objects(lif(), [3])


def test_units_and_equations_objects_are_taken_as_they_are() -> None:
    eqs = Equations("dg/dt = -g/(5*ms) : siemens")
    group = NeuronGroup(1, eqs, method="euler")
    group.g = 2 * siemens
    model = BrianModel.from_objects(group)
    assert model.threshold is None and float(model.state["g"][0]) == 2.0
