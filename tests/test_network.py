"""to_brian2: Brian2 objects with visible equations, for scripts of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from brian2 import SpikeMonitor, StateMonitor, ms, mV, second

from models_eq.errors import ParameterError, UnitError
from models_eq.hrsnn import HRSNN
from models_eq.network import build, default_state, to_brian2
from models_eq.neurons import MODELS
from models_eq.simulate import simulate
from models_eq.stimulus import SpikeInput, Stimulus

pytestmark = pytest.mark.usefixtures("numpy_device")


def small(model: str = "lif_exp", **fields: Any) -> HRSNN:
    rng = np.random.default_rng(3)
    i, j = np.nonzero((rng.random((6, 6)) < 0.5) & ~np.eye(6, dtype=bool))
    values = {"tau_m": rng.uniform(0.01, 0.03, 6), "i_ext": 1.5, "t_ref": 0.002, **fields}
    return HRSNN(model, 6, i=i, j=j, w=rng.normal(0, 0.2, i.size), **values)


@pytest.mark.parametrize("model", MODELS)
def test_equations_are_visible_and_own_monitors_agree_with_simulate(model: str) -> None:
    net = small(model)
    stimulus = Stimulus(
        np.random.default_rng(0).normal(0, 0.5, (20, 6)),
        "10 ms",
        SpikeInput(t=[0.02, 0.05], channel=[0, 1], weights=np.full((2, 6), 0.2), trial=0),
    )
    first = MODELS[model].state[0]
    objects = to_brian2(net, dt="0.5 ms", stimulus=stimulus, v_init=np.full(6, 0.1), name="mine")
    ode = MODELS[model].equations.strip().splitlines()[0].split(":")[0].replace(" ", "")
    assert ode in str(objects.group.user_equations).replace(" ", "")
    assert objects.group.name == "mine"
    spikes = SpikeMonitor(objects.group)
    trace = StateMonitor(objects.group, first, record=[2])
    objects.network(spikes, trace).run(0.2 * second, namespace={})
    run = simulate(net, stimulus, dt="0.5 ms", initial_state={first: 0.1}, record=[first])
    order = np.lexsort((spikes.i[:], np.rint(spikes.t_[:] / 5e-4)))
    assert run.n_spikes > 10
    np.testing.assert_array_equal(spikes.i[:][order], run.i)
    np.testing.assert_allclose(spikes.t_[:][order], run.t, atol=1e-9)
    np.testing.assert_array_equal(
        trace.variables[first].get_value()[:, 0], run.samples[first][0, :, 2]
    )


def test_names_of_the_caller_do_not_leak_in() -> None:
    tau_m = v_rest = i_ext = w = 1e9  # noqa: F841
    objects = to_brian2(small(), dt="1 ms")
    assert objects.group.namespace == {}
    spikes = SpikeMonitor(objects.group)
    objects.network(spikes).run(50 * ms)
    assert spikes.num_spikes > 0


def test_without_synapses_there_is_no_synapses_object() -> None:
    objects = to_brian2(small().keep_edges([]))
    assert objects.synapses is None
    assert objects.objects == [objects.group]
    dense = to_brian2(small())
    assert dense.synapses is not None
    assert len(dense.synapses) == small().n_synapses
    np.testing.assert_array_equal(dense.synapses.i[:], small().i)
    np.testing.assert_array_equal(dense.synapses.w[:], small().w)


def test_parameters_arrive() -> None:
    net = small("alif", v_th=1.3, params={"tau_a": 0.3, "jump_a": 0.2})
    group = to_brian2(net, copies=2).group
    assert len(group) == 12
    np.testing.assert_allclose(group.tau_m_[:], np.tile(net.tau_m, 2))
    np.testing.assert_allclose(group.v_th[:], 1.3)
    np.testing.assert_allclose(group.tau_a_[:], 0.3)
    np.testing.assert_allclose(group.jump_a[:], 0.2)
    np.testing.assert_allclose(group.v[:], 0)


def test_copies_are_not_connected() -> None:
    net = small()
    synapses = to_brian2(net, copies=3).synapses
    assert synapses is not None
    assert len(synapses) == 3 * net.n_synapses
    np.testing.assert_array_equal(synapses.i[:] // 6, synapses.j[:] // 6)


def test_default_state_is_reset_or_phase_zero() -> None:
    assert set(default_state(small("alif"))) == {"v", "s", "a"}
    np.testing.assert_array_equal(default_state(small(v_reset=-1.0))["v"], -1.0)
    np.testing.assert_array_equal(default_state(small("qif"))["theta"], 0.0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"net": 3}, "net"),
        ({"dt": 0.1}, "dt"),
        ({"dt": "0 ms"}, "dt"),
        ({"dt": "3 ms"}, "dt"),
        ({"stimulus": np.zeros((3, 6))}, "stimulus"),
        ({"stimulus": Stimulus(np.zeros((2, 3, 6)), "10 ms")}, "stimulus"),
        ({"stimulus": Stimulus(np.zeros((3, 5)), "10 ms")}, "stimulus"),
        ({"copies": 0}, "copies"),
        ({"copies": 1.5}, "copies"),
        ({"v_init": np.zeros(5)}, "v"),
        ({"v_init": np.full(6, np.nan)}, "v"),
        ({"v_init": "rest"}, "v_init"),
        ({"v_init": np.ones(6) * mV}, "v_init"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict[str, Any], field: str) -> None:
    good = {"net": small(), "dt": "1 ms", "stimulus": Stimulus(np.zeros((3, 6)), "10 ms")}
    with pytest.raises(ParameterError) as caught:
        to_brian2(**{**good, **change})
    assert caught.value.field == field


def test_a_bare_dt_is_a_unit_error() -> None:
    with pytest.raises(UnitError, match="dt"):
        to_brian2(small(), dt=1e-4)


def test_networks_of_two_models_do_not_fit_side_by_side() -> None:
    nets = [small(), small("lif_delta")]
    with pytest.raises(ParameterError, match="nets"):
        build(nets, dt=1e-3, state={})
