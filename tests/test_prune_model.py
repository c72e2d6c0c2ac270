"""Pruning a user's own Brian2 objects: counts, copies, kicks, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from brian2 import (
    Hz,
    Network,
    NetworkOperation,
    NeuronGroup,
    PoissonGroup,
    PoissonInput,
    SpikeGeneratorGroup,
    SpikeMonitor,
    Synapses,
    all_devices,
    defaultclock,
    get_device,
    linked_var,
    ms,
    mV,
    prefs,
    set_device,
)
from brian2.devices.device import reset_device, runtime_device

from analysis.lyapunov.nodes import conditional_exponents
from brain_lnp.usermodel import PrunedModel, prune_model
from brain_lnp.usermodel.objects import values_of
from models_eq import HRSNN, simulate, use_device
from models_eq.errors import (
    BrainLNPError,
    BudgetError,
    CapabilityError,
    ParameterError,
    SilentNetworkError,
    UnitError,
)
from tests.user_models import CUBA, Model, cuba, spikes, stdp

SHORT = 60 * ms


@pytest.fixture(autouse=True)
def _uncompiled() -> Iterator[None]:
    """Everything in NumPy spares compilations."""
    before = prefs.codegen.target
    prefs.codegen.target = "numpy"
    with use_device("numpy"):
        yield
    prefs.codegen.target = before


def pruned(model: Model, **options: Any) -> PrunedModel:
    options = {"synapses": 0.5, "duration": "60 ms", "measure": False, **options}
    return prune_model(model.group, model.synapses, namespace=model.namespace, **options)


def test_everything_kept_gives_identical_spikes_and_leaves_the_users_objects_alone() -> None:
    for model in (cuba(), stdp()):
        network = model.network()
        network.store()
        before = spikes(network, model.group, model.namespace, SHORT)
        network.restore()
        result = pruned(model, synapses=1.0, measure=True)
        after = spikes(network, model.group, model.namespace, SHORT)
        copied = spikes(result.network(), result.group, model.namespace, SHORT)
        assert before[0].size > 50
        for one, other, third in zip(before, after, copied, strict=True):
            np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(one, third)
        assert result.fidelity is not None and result.fidelity.share == 1.0
        assert set(result.applied.values()) == {"unchanged"}


def test_a_copy_with_shuffled_weights_fails_the_comparison_that_the_true_copy_passes() -> None:
    model = stdp()
    first, second_ = (pruned(model, synapses=1.0, prefix=p) for p in ("one", "two"))
    weights = second_.synapses[model.synapses[1].name].weight
    weights[:] = np.random.default_rng(1).permutation(np.asarray(weights))
    one, other = (spikes(r.network(), r.group, {}, SHORT) for r in (first, second_))
    assert one[0].size != other[0].size or (one[0] != other[0]).any()


def test_a_model_is_taken_where_it_stands_in_the_middle_of_a_run() -> None:
    model = cuba()
    network = model.network()
    network.run(20.3 * ms, namespace=model.namespace)
    result = pruned(model, synapses=1.0)
    expected = spikes(network, model.group, model.namespace, SHORT)
    found = spikes(result.network(), result.group, model.namespace, SHORT)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[0], expected[0], atol=1e-9)
    assert any("has run before" in note for note in result.notes)


@pytest.mark.parametrize("method", ["lnp", "noise", "magnitude", "random_matched", "random"])
def test_counts_are_exact_and_runs_repeat(method: str) -> None:
    model = cuba(120)
    sizes = [len(s) for s in model.synapses]
    first, again = (pruned(model, method=method, synapses=0.3, seed=4) for _ in range(2))
    assert first.n_synapses == round(0.3 * sum(sizes))
    for (name, index), size in zip(first.kept_synapses.items(), sizes, strict=True):
        assert (np.diff(index) > 0).all() and index.min() >= 0 and index.max() < size
        np.testing.assert_array_equal(index, again.kept_synapses[name])
        assert len(first.synapses[name]) == index.size
    if method != "magnitude":
        other = pruned(model, method=method, synapses=0.3, seed=5, rebuild=False)
        assert any((x.size != y.size) or (x != y).any()
                   for x, y in zip(first.kept_synapses.values(), other.kept_synapses.values(),
                                   strict=True))  # fmt: skip


def test_each_synapses_can_have_its_own_budget() -> None:
    model = cuba(120)
    exc, inh = (s.name for s in model.synapses)
    result = pruned(model, method="random_matched", synapses={exc: 0.2, inh: 50})
    assert result.kept_synapses[exc].size == round(0.2 * len(model.synapses[0]))
    assert result.kept_synapses[inh].size == 50
    whole = pruned(model, method="random", synapses={inh: 0.5}, rebuild=False)
    assert whole.kept_synapses[exc].size == len(model.synapses[0])
    # With even degrees every neuron keeps about as many inputs as any other.
    degree = np.bincount(np.asarray(result.synapses[exc].j), minlength=120)
    assert np.ptp(degree) <= 1 or degree.max() <= 2


def test_neurons_are_dropped_and_every_value_is_carried_to_its_new_place() -> None:
    model = stdp()
    group, (plastic, static) = model.group, model.synapses
    result = pruned(model, neurons=20, synapses=0.2, method="random", compensate=False)
    kept = result.kept_neurons
    assert kept.size == 20 == len(result.group)
    for name in ("v", "drive", "tau", "kind", "heard"):
        old, new = getattr(group, name)[:], getattr(result.group, name)[:]
        np.testing.assert_array_equal(np.asarray(new), np.asarray(old)[kept])
        assert result.group.variables[name].dim is group.variables[name].dim
    assert np.asarray(result.group.total) == 7.5
    assert result.group._refractory == group._refractory
    index, copy = result.kept_synapses[plastic.name], result.synapses[plastic.name]
    for end in ("i", "j"):
        old = np.asarray(getattr(plastic, end))[index]
        np.testing.assert_array_equal(kept[np.asarray(getattr(copy, end))], old)
    for name in ("w", "plain", "label", "flag", "Apre", "Apost", "slow", "lastupdate"):
        new, old = np.asarray(getattr(copy, name)[:]), np.asarray(getattr(plastic, name)[:])
        np.testing.assert_array_equal(new, old[index])
        assert copy.variables[name].dtype == plastic.variables[name].dtype
    assert (
        np.asarray(copy.gmax) == 1.0
        and copy.variables["plain"].dim is plastic.variables["plain"].dim
    )
    for name in ("act", "learn"):
        new, old = getattr(copy, name), getattr(plastic, name)
        np.testing.assert_array_equal(np.asarray(new.delay), np.asarray(old.delay)[index])
        assert new.code == old.code
    assert copy.post.code == plastic.post.code
    second_copy = result.synapses[static.name]
    assert np.asarray(second_copy.pre.delay) == 0.002
    assert spikes(result.network(), result.group, {}, 20 * ms)[0].size


def test_gains_multiply_a_static_weight_and_stand_before_one_that_learns() -> None:
    model = stdp()
    plastic, static = model.synapses
    result = pruned(model, method="magnitude", synapses={plastic.name: 0.5, static.name: 0.25})
    index = result.kept_synapses[static.name]
    old = np.asarray(static.weight)
    gain = result.gains[static.name][1]
    assert gain == pytest.approx(np.sqrt((old**2).sum() / (old[index] ** 2).sum()))
    np.testing.assert_allclose(
        np.asarray(result.synapses[static.name].weight), old[index] * gain, rtol=1e-12
    )
    copy = result.synapses[plastic.name]
    assert copy.act.code == "v_post += pruning_gain*(w*0.1)"
    assert result.gains[plastic.name][0] > 1
    np.testing.assert_allclose(np.asarray(copy.pruning_gain), result.gains[plastic.name][0])
    kept = np.asarray(plastic.w)[result.kept_synapses[plastic.name]]
    np.testing.assert_array_equal(np.asarray(copy.w), kept)
    assert result.applied == {
        plastic.name: "pruning_gain in on_pre", static.name: "weight multiplied"
    }  # fmt: skip
    # A pruned model can be pruned again; the factor is then a weight like any other.
    again = prune_model(
        result.group, [copy], synapses=0.5, method="random", measure=False, namespace={}
    )
    assert again.applied == {copy.name: "pruning_gain multiplied"}


def test_each_sign_has_its_gain_and_a_stated_weight_is_multiplied_where_it_is_a_variable() -> None:
    rng = np.random.default_rng(2)
    i, j = np.nonzero(~np.eye(8, dtype=bool))
    w = rng.standard_normal(i.size)
    for on_pre, on_post, how in (
        ("v += w", None, "w multiplied"),
        ("v += w*0.1; w *= 0.99", None, "pruning_gain in on_pre"),
        ("v += w", "w += 0.1", "pruning_gain in on_pre"),
        ("v = 0.9*v_post + w", None, "w multiplied"),
    ):
        synapses = joined(neurons(n=8), "w : 1", on_pre=on_pre, on_post=on_post, i=i, j=j)
        synapses.w = w
        stated = "w" if on_pre.startswith("v =") else None
        result = prune_model(
            synapses.source, synapses, synapses=0.4, method="random", weight=stated, measure=False
        )
        index, copy = result.kept_synapses[synapses.name], result.synapses[synapses.name]
        kept, (up, down) = w[index], result.gains[synapses.name]
        assert result.applied[synapses.name] == how and up != down
        np.testing.assert_allclose(up**2, np.sum(w[w > 0] ** 2) / np.sum(kept[kept > 0] ** 2))
        gain = np.where(kept > 0, up, down)
        found = copy.w if how == "w multiplied" else copy.pruning_gain
        np.testing.assert_allclose(found, gain * kept if how == "w multiplied" else gain)
    mixed = joined(neurons(n=8), "w : 1", on_pre="v = 0.9*v_post + w", on_post="w += 1", i=i, j=j)
    with pytest.raises(CapabilityError, match="compensate=False"):
        prune_model(mixed.source, mixed, synapses=0.4, method="random", weight=0.1, measure=False)


def test_silent_neurons_go_first_and_what_they_leave_meets_the_budget() -> None:
    model = cuba(120)
    first = pruned(model, neurons=60, synapses=0.2, duration="30 ms")
    assert first.kept_neurons.size == 60 and first.rates is not None
    spiking = np.flatnonzero(first.rates)
    if spiking.size >= 60:
        assert (first.rates[first.kept_neurons] > 0).all()
    else:
        assert set(spiking) <= set(first.kept_neurons)
    assert first.n_synapses == round(0.2 * sum(len(s) for s in model.synapses))
    with pytest.raises(BudgetError, match="among the neurons kept"):
        pruned(model, neurons=60, synapses=0.5, duration="30 ms")


def test_a_constant_weight_gets_a_factor_and_the_gain_keeps_variance_or_mean() -> None:
    model = cuba(120)
    exc = model.synapses[0].name
    result = pruned(model, method="random", synapses=0.25)
    share = result.kept_synapses[exc].size / len(model.synapses[0])
    assert result.gains[exc] == (pytest.approx(share**-0.5), 1.0)
    assert result.synapses[exc].pre.code == "ge += pruning_gain*(we)"
    mean = pruned(model, method="random", synapses=0.25, compensate="mean", rebuild=False)
    assert mean.gains[exc][0] == pytest.approx(1 / share)
    off = pruned(model, method="random", synapses=0.25, compensate=False)
    assert off.synapses[exc].pre.code == "ge += we" and off.applied[exc] == "unchanged"


def neurons(eqs: str = "dv/dt = (1.5 - v)/(10*ms) : 1", n: int = 3, **more: Any) -> NeuronGroup:
    kind = {"threshold": "v > 1", "reset": "v = 0", "method": "euler", **more}
    return NeuronGroup(n, eqs, **kind)


def joined(group: NeuronGroup, *args: Any, i: Any = (0, 1), j: Any = (1, 2), **more: Any) -> Any:
    synapses = Synapses(group, group, *args, **more)
    synapses.connect(i=np.array(i), j=np.array(j))
    return synapses


VOLT = """dv/dt = (ge + g*(E - v)/nS - (v - El))/taum : volt
dge/dt = -ge/(5*ms) : volt
dg/dt = -g/(5*ms) : siemens
gain : 1"""
NAMES = {
    "taum": 20 * ms, "El": -60 * mV, "E": -80 * mV, "Vt": -50 * mV, "Vr": -60 * mV, "wi": -9 * mV,
}  # fmt: skip
KICKS: dict[str, tuple[str, str, list[float]]] = {
    "constant in the text": ("", "ge += 1.62*mV", [0.162, 0.162]),
    "subtracted": ("", "v_post -= 2*mV", [-0.2, -0.2]),
    "constant in the namespace": ("", "ge_post += wi", [-0.9, -0.9]),
    "variable": ("w : volt", "v += w", [0.1, 0.2]),
    "scaled variable": ("w : volt", "ge += 2*w", [0.2, 0.4]),
    "variable and parameter of the neuron": ("w : volt", "v += w*gain_post", [0.2, 0.6]),
    "variable and parameter of the source": ("w : volt", "v += w*gain_pre", [0.1, 0.4]),
    "subexpression": ("w : volt\nkick = w*0.5 : volt", "v += kick", [0.05, 0.1]),
    "local variable": ("w : volt", "kick = 0.5*w; twice = 2*kick; v += twice", [0.1, 0.2]),
    "learnt weight": ("w : volt", "v += w; w *= 0.9", [0.1, 0.2]),
    "two statements": ("w : volt", "v += w; ge += 1*mV  # both", [0.2, 0.3]),
    # A conductance drives towards E = -80 mV, and the more the higher the threshold.
    "conductance": ("", "g += 0.1*nS", [-0.3, -0.3]),
    "state of the source": ("w : volt", "v += w*(v_pre + 61*mV)/mV", [0.1, 0.2]),
}


@pytest.mark.parametrize("case", KICKS)
def test_kicks_are_read_from_the_code_of_presynaptic_spikes(case: str) -> None:
    model, on_pre, expected = KICKS[case]
    group = neurons(VOLT, threshold="v > Vt", reset="v = Vr")
    group.v, group.gain = -60 * mV, [1, 2, 3]
    synapses = joined(group, model, on_pre=on_pre)
    if "w : volt" in model:
        synapses.w = [1, 2] * mV
    result = prune_model(
        group, synapses, synapses=1.0, method="magnitude", measure=False, namespace=NAMES
    )
    np.testing.assert_allclose(result.kicks[synapses.name], expected, rtol=1e-6)


def test_weights_can_be_stated_and_names_are_found_where_run_finds_them() -> None:
    El, Vt, Vr, taum, E, wi = -60 * mV, -50 * mV, -60 * mV, 20 * ms, -80 * mV, -9 * mV
    group = neurons(VOLT, threshold="v > Vt", reset="v = Vr")
    one, two = joined(group, "w : volt", on_pre="v += w"), joined(group, on_pre="g = 0*siemens")
    one.w = [1, 2] * mV
    more: dict[str, Any] = {"synapses": 1.0, "method": "magnitude", "measure": False}
    for stated in ({two.name: "wi"}, [None, -9 * mV], ("w", "-9 mV")):
        found = prune_model(group, [one, two], weight=stated, **more)
        np.testing.assert_allclose(found.kicks[one.name], [0.1, 0.2])
        np.testing.assert_allclose(found.kicks[two.name], [-0.9, -0.9])
    assert El == Vr and Vt > E and taum > 0 * ms and wi < 0 * mV


def test_several_synapses_of_one_pair_and_self_loops_are_pruned_one_by_one() -> None:
    group = neurons(n=4)
    group.v = [0.1, 0.2, 0.3, 0.4]
    i, j = [0, 0, 0, 1, 2, 2, 3, 1, 2], [1, 1, 2, 1, 3, 3, 0, 2, 0]
    synapses = joined(group, "w : 1", on_pre="v += w", i=i, j=j, multisynaptic_index="k")
    synapses.w = 0.01 * np.arange(1, 10) * np.array([1, 1, 1, 1, 1, -1, 1, 1, 1])
    for method in ("lnp", "noise", "random_matched"):
        result = prune_model(
            group, synapses, synapses=6, method=method, measure=False, duration="50 ms"
        )
        index = result.kept_synapses[synapses.name]
        copy = result.synapses[synapses.name]
        assert result.n_synapses == 6 and np.unique(index).size == 6
        np.testing.assert_array_equal(np.asarray(copy.i), np.array(i)[index])
        np.testing.assert_array_equal(np.asarray(copy.k), np.asarray(synapses.k)[index])


def test_exponents_of_leaky_neurons_agree_with_theory_and_others_fall_back_and_say_so() -> None:
    group = NeuronGroup(
        4, "dv/dt = (drive - v)/tau : 1 (unless refractory)\ndrive : 1\ntau : second",
        threshold="v > 1", reset="v = 0", refractory=2 * ms, method="exact",
    )  # fmt: skip
    group.drive, group.tau = [1.2, 1.5, 2.0, 0.5], [10, 20, 30, 40] * ms
    synapses = joined(group, on_pre="v += 0*1", i=[0, 1, 3], j=[1, 2, 0])
    more: dict[str, Any] = {"synapses": 1.0, "measure": False, "rebuild": False, "weight": 0.1}
    found = prune_model(group, synapses, duration="2 s", compensate=False, **more)
    assert found.exponents_from == "lif" and found.exponents is not None
    # Left alone a neuron keeps a shift of its spikes for ever; a silent one forgets with tau.
    np.testing.assert_allclose(found.exponents * [0.01, 0.02, 0.03, 0.04], [0, 0, 0, -1], atol=0.03)
    group2 = neurons("dv/dt = (1.5 - v + a)/(10*ms) : 1\nda/dt = -a/(50*ms) : 1",
                     reset="v = 0; a -= 0.1")  # fmt: skip
    adapting = joined(group2, on_pre="v += 0.1")
    fallen = prune_model(group2, adapting, duration="50 ms", **more)
    assert fallen.exponents_from == "leak" and any("reset also writes a" in x for x in fallen.notes)
    np.testing.assert_allclose(fallen.exponents, -100.0)
    with pytest.raises(CapabilityError, match="reset also writes a"):
        prune_model(group2, adapting, exponents="lif", duration="50 ms", **more)
    own = prune_model(group2, adapting, exponents=[-1.0, -2.0, -3.0], **more)
    assert own.exponents_from == "given" and own.rates is None


@pytest.mark.parametrize("t_ref", [0.0, 0.002])
def test_exponents_of_a_coupled_network_agree_with_those_of_our_own_model(t_ref: float) -> None:
    rng = np.random.default_rng(3)
    n, dt = 30, "0.1 ms"
    i, j = np.nonzero((rng.random((n, n)) < 0.2) & ~np.eye(n, dtype=bool))
    w, drive, tau = 0.4 * rng.standard_normal(i.size), 0.9 + 0.6 * rng.random(n), 0.02
    start = {"v": rng.random(n), "s": np.zeros(n)}
    net = HRSNN("lif_exp", n, i, j, w, tau_m=tau, tau_syn=0.005, t_ref=t_ref, i_ext=drive)
    run = simulate(net, duration="1 s", dt=dt, initial_state=start, record=["spike_state"], seed=0)
    expected = conditional_exponents(net, run)
    group = NeuronGroup(
        n,
        """dv/dt = (drive - v + s)/(20*ms) : 1 (unless refractory)
        ds/dt = -s/(5*ms) : 1
        drive : 1""",
        threshold="v > 1", reset="v = 0", refractory=t_ref * 1000 * ms, method="exact", dt=0.1 * ms,
    )  # fmt: skip
    group.v, group.drive = start["v"], drive
    synapses = joined(group, "w : 1", on_pre="s_post += w", i=i, j=j)
    synapses.w = w
    found = prune_model(group, synapses, synapses=0.5, duration="1 s", measure=False)
    assert found.exponents_from == "lif" and found.rates is not None
    assert found.exponents is not None
    busy = expected.cycles > 10
    assert busy.sum() > 5 and np.corrcoef(found.rates, np.bincount(run.i, minlength=n))[0, 1] > 0.99
    size = np.abs(found.exponents - expected.exponents)[busy]
    # 1/s, of exponents from -50 to 4. Kicks within a refractory period are left out.
    assert np.median(size) < (1.0 if t_ref else 0.25) and size.max() < (10 if t_ref else 2)
    assert np.corrcoef(found.exponents, expected.exponents)[0, 1] > 0.98
    silent = found.rates == 0
    np.testing.assert_allclose(found.exponents[silent], -50.0, rtol=1e-6)


def test_parts_of_the_group_are_followed_when_neurons_go() -> None:
    group = neurons(n=10)
    group.v = np.linspace(0, 0.9, 10)
    exc = joined(group[:6], "w : 1", on_pre="v += w", i=range(6), j=[1, 2, 3, 4, 5, 0])
    inh = Synapses(group[6:], group[2:], "w : 1", on_pre="v -= w")
    inh.connect(i=[0, 1, 2, 3], j=[0, 3, 4, 7])
    exc.w, inh.w = 0.05, [0.1, 0.2, 0.3, 0.4]
    before = spikes(Network(group, exc, inh), group, {}, SHORT)
    group.v = np.linspace(0, 0.9, 10)
    same = prune_model(group, [exc, inh], synapses=1.0, measure=False, method="random")
    # A run has left its mark on the clock, not on the model.
    np.testing.assert_array_equal(spikes(same.network(), same.group, {}, SHORT)[1], before[1])
    few = prune_model(group, [exc, inh], synapses=4, neurons=8, measure=False,
                      method="random", duration="30 ms", compensate=False)  # fmt: skip
    for old in (exc, inh):
        new, index = few.synapses[old.name], few.kept_synapses[old.name]
        for end in ("i", "j"):
            name = {"i": "_synaptic_pre", "j": "_synaptic_post"}[end]
            was = old.variables[name].get_value()[index]
            now = new.variables[name].get_value()
            np.testing.assert_array_equal(few.kept_neurons[now], was)
        np.testing.assert_array_equal(np.asarray(new.w), np.asarray(old.w)[index])


def test_a_script_that_knows_nothing_of_this_package_is_pruned_as_it_stands() -> None:
    taum, taue, taui = 20 * ms, 5 * ms, 10 * ms
    Vt, Vr, El = -50 * mV, -60 * mV, -49 * mV
    P = NeuronGroup(300, CUBA, threshold="v>Vt", reset="v = Vr", refractory=5 * ms, method="exact")
    P.v = np.linspace(-60, -50, 300) * mV
    we, wi = (60 * 0.27 / 10) * mV, (-20 * 4.5 / 10) * mV
    Ce = Synapses(P, P, on_pre="ge += we")
    Ci = Synapses(P, P, on_pre="gi += wi")
    Ce.connect("i<240", p=0.1)
    Ci.connect("i>=240", p=0.1)
    result = prune_model(P, [Ce, Ci], synapses=0.5, duration="50 ms")
    assert result.n_synapses == round(0.5 * (len(Ce) + len(Ci)))
    np.testing.assert_allclose(result.kicks[Ce.name], 0.162)
    np.testing.assert_allclose(result.kicks[Ci.name], -0.9)
    assert result.exponents_from == "lif" and result.fidelity is not None
    assert result.fidelity.rate_before > 1 and result.fidelity.rate_after > 1
    t, i = spikes(result.network(), result.group, locals(), 50 * ms)
    assert t.size == round(result.fidelity.rate_after * 300 * 0.05) and i.max() < 300
    assert taum > taue and taui > taue and Vt > Vr and El > Vt and we > wi


def test_a_standalone_model_is_pruned_before_its_run_as_far_as_its_values_are_known() -> None:
    set_device("cpp_standalone", build_on_run=False)
    try:
        group = neurons("dv/dt = (1.5 - v)/(10*ms) : 1 (unless refractory)\nx : 1", n=10,
                        refractory=1 * ms)  # fmt: skip
        group.v = np.linspace(0, 0.9, 10)
        k = np.arange(10)
        synapses = joined(
            group,
            "w : 1\ng : 1",
            on_pre="v += w",
            delay=1 * ms,
            i=np.repeat(k, 2),
            j=(np.repeat(k, 2) + np.tile([1, 3], 10)) % 10,
        )
        synapses.w = np.linspace(0.01, 0.2, 20)
        synapses.g = 3
        result = prune_model(group, synapses, synapses=0.5, neurons=8, duration="50 ms")
        device = get_device()
        assert result.fidelity is not None and result.fidelity.rate_after > 0
        copy, index = result.synapses[synapses.name], result.kept_synapses[synapses.name]
        gain = result.gains[synapses.name][0]
        np.testing.assert_allclose(
            values_of(copy, "w"), gain * np.linspace(0.01, 0.2, 20)[index], rtol=1e-12
        )
        np.testing.assert_array_equal(values_of(copy, "g"), 3.0)
        assert values_of(copy.pre, "delay") == 0.001
        np.testing.assert_array_equal(
            values_of(result.group, "v"), np.linspace(0, 0.9, 10)[result.kept_neurons]
        )
        assert device is all_devices["cpp_standalone"]
        for owner, field in ((synapses, "w"), (group, "v")):
            setattr(owner, field, "0.1*i")
            with pytest.raises(CapabilityError, match="known before the run") as caught:
                prune_model(group, synapses, synapses=0.5, rebuild=False)
            assert caught.value.field.endswith(f".{field}")
            synapses.w = 0.1
        unknown = Synapses(group, group, on_pre="v += 0.1")
        unknown.connect(p=0.5)
        with pytest.raises(CapabilityError, match="known before the run"):
            prune_model(group, unknown, synapses=0.5)
    finally:
        get_device().reinit()
        reset_device()


def test_inputs_are_found_copied_and_given_to_the_neurons_kept() -> None:
    group = neurons("dv/dt = -v/(10*ms) : 1", n=6)
    group.v = 0.5
    recurrent = joined(group, "w : 1", on_pre="v += w", i=range(6), j=[1, 2, 3, 4, 5, 0])
    recurrent.w = 0.1
    timed = SpikeGeneratorGroup(
        6, np.tile(np.arange(6), 5), np.repeat(np.arange(5) * 5 + 1, 6) * ms
    )
    wired = Synapses(timed, group, "w : 1", on_pre="v += w")
    wired.connect(j="i")
    wired.w = [2, 2, 2, 2, 0, 0]
    subset = Synapses(group[2:], group[:3], on_pre="v += 0.01")
    subset.connect(i=[0, 1], j=[2, 0])
    result = prune_model(group, recurrent, synapses=3, neurons=4, method="random", duration="30 ms")
    names = {x.name.partition("_")[2] for x in result.inputs}
    assert names == {timed.name, wired.name, subset.name}
    assert result.rates is not None
    np.testing.assert_array_equal(result.rates[:4] > 0, True)
    # The silent ones go first.
    assert set(result.kept_neurons) == {0, 1, 2, 3} and result.fidelity is not None
    t, i = spikes(result.network(), result.group, {}, 30 * ms)
    assert t.size == 5 * 4 and set(i) == {0, 1, 2, 3}
    assert result.fidelity.rate_after == pytest.approx(5 / 0.03)
    assert abs(defaultclock.t_ - 0.03) < 1e-9  # prune_model has its own clocks


def test_what_draws_random_numbers_repeats_and_has_no_share_of_variance() -> None:
    group = neurons("dv/dt = -v/(10*ms) : 1", n=4)
    recurrent = joined(group, on_pre="v += 0.1")
    source = PoissonGroup(4, 300 * Hz)
    wired = Synapses(source, group, on_pre="v += 0.6")
    wired.connect(j="i")
    extra = PoissonInput(group, "v", 5, 50 * Hz, 0.3)
    before = runtime_device.get_random_state()["numpy_state"][1].copy()
    found = [
        prune_model(group, recurrent, synapses=1.0, drive=[source, wired, extra], duration="0.1 s",
                    method="random", seed=3, prefix=f"p{k}")
        for k in range(2)
    ]  # fmt: skip
    assert found[0].fidelity == found[1].fidelity and found[0].fidelity.share is None
    assert found[0].fidelity.rate_before > 0 and len(found[0].inputs) == 3
    np.testing.assert_array_equal(before, runtime_device.get_random_state()["numpy_state"][1])
    network = Network(group, recurrent, source, wired, extra, SpikeMonitor(group))
    given = prune_model(group, recurrent, synapses=1.0, drive=network, method="random", seed=3,
                        duration="0.1 s", rebuild=False)  # fmt: skip
    assert given.fidelity == found[0].fidelity
    network.add(NetworkOperation(lambda: None))
    with pytest.raises(CapabilityError, match="NetworkOperation"):
        prune_model(group, recurrent, synapses=1.0, drive=network)
    with pytest.raises(SilentNetworkError, match="duration"):
        prune_model(group, recurrent, synapses=1.0, drive=[], duration="20 ms")


def test_summed_variables_are_carried_and_pruned_by_a_stated_weight() -> None:
    group = neurons("dv/dt = (1.5 + x - v)/(10*ms) : 1\nx : 1", n=8)
    group.v = np.linspace(0, 0.9, 8)
    i, j = np.nonzero(~np.eye(8, dtype=bool))
    gaps = joined(group, "g : 1\nx_post = g*(v_pre - v_post) : 1 (summed)", i=i, j=j)
    gaps.g = 0.2 * np.random.default_rng(0).random(i.size)
    network = Network(group, gaps)
    network.store()
    before = spikes(network, group, {}, SHORT)
    network.restore()
    more: dict[str, Any] = {"weight": "g", "method": "magnitude", "measure": False}
    same = prune_model(group, gaps, synapses=1.0, **more)
    after = spikes(same.network(), same.group, {}, SHORT)
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])
    assert before[0].size > 20
    half = prune_model(group, gaps, synapses=0.5, **more)
    assert len(half.synapses[gaps.name]) == 28 and half.applied[gaps.name] == "g multiplied"
    other = spikes(half.network(), half.group, {}, SHORT)
    assert other[0].size != before[0].size or (other[0] != before[0]).any()
    with pytest.raises(ParameterError, match="Pass weight="):
        prune_model(group, gaps, synapses=0.5, measure=False)


def test_events_regular_code_and_schedules_are_carried() -> None:
    group = neurons("dv/dt = (1.5 - v)/(10*ms) : 1\ncount : 1", events={"low": "v > 0.5"})
    group.run_on_event("low", "count += 1")
    group.run_regularly("v += 0.01", dt=1 * ms)
    group.thresholder["low"].order = 3
    synapses = joined(group, "w : 1", on_pre="v += w", on_event={"pre": "low"}, order=2)
    synapses.w = 0.1
    synapses.pre.when = "resets"
    synapses.pre.order = -1
    result = prune_model(group, synapses, synapses=1.0, method="random", measure=False)
    copy = result.synapses[synapses.name]
    assert (copy.pre.event, copy.pre.when, copy.pre.order) == ("low", "resets", -1)
    assert result.group.thresholder["low"].order == 3
    network = result.network()
    network.run(10 * ms)
    assert float(result.group.count[0]) > 0
    assert sum("run_regularly" in x.name for x in result.group.contained_objects) == 1


def _case(**changes: Any) -> Callable[[], Any]:
    def call() -> Any:
        group = changes.pop("group", None) or neurons()
        default = joined(group, "w : 1", on_pre="v += w") if isinstance(group, NeuronGroup) else []
        if isinstance(default, Synapses):
            default.w = 0.1
        make = changes.pop("make", None)
        synapses = make(group) if make else changes.pop("connections", default)
        more = {"synapses": 0.5, "measure": False, "namespace": {"ms": ms}, "method": "magnitude"}
        return prune_model(group, synapses, **{**more, **changes})

    return call


OTHER = neurons(name="other")
ERRORS: dict[str, tuple[Callable[[], Any], type[BrainLNPError], str]] = {
    "no group": (_case(group="P"), ParameterError, "group: expected a NeuronGroup"),
    "no synapses": (_case(connections=[]), ParameterError, "connections"),
    "a number": (_case(connections=[3]), ParameterError, "connections"),
    "not connected": (
        _case(make=lambda g: Synapses(g, g, on_pre="v += 1")), ParameterError, "connect first"),
    "from elsewhere": (
        _case(make=lambda g: Synapses(OTHER, g, on_pre="v += 1")), ParameterError, "source"),
    "method": (_case(method="best"), ParameterError, "method"),
    "neuron score": (_case(neuron_score="size"), ParameterError, "neuron_score"),
    "exponents": (_case(exponents=[1.0]), ParameterError, "exponents"),
    "compensate": (_case(compensate="all"), ParameterError, "compensate"),
    "bare duration": (_case(duration=2), UnitError, "duration"),
    "too many": (_case(synapses=3), BudgetError, "synapses"),
    "of what": (_case(synapses={"x": 0.5}), ParameterError, "synapses"),
    "neurons": (_case(neurons=9), BudgetError, "neurons"),
    "membrane": (_case(membrane="u"), ParameterError, "membrane"),
    "no threshold": (
        _case(group=neurons("dv/dt = -v/(10*ms) : 1\nx : 1", threshold="x > 1"),
              make=lambda g: joined(g, on_pre="v += 1")), ParameterError, "membrane"),
    "tau of no leak": (
        _case(method="noise", group=neurons("dv/dt = v**2/(10*ms) : 1")), ParameterError, "tau="),
    "tau unknown": (_case(method="noise", tau="taum"), ParameterError, "tau"),
    "tau no time": (_case(method="noise", tau=3 * mV), UnitError, "tau"),
    "tau negative": (_case(method="noise", tau="-3 ms"), ParameterError, "tau"),
    "weight by no name": (_case(weight={"x": 1}), ParameterError, "weight"),
    "weight unknown": (_case(weight="nothing"), ParameterError, "weight of"),
    "weights too many": (_case(weight=[1, 2]), ParameterError, "weight"),
    "weight of a wrong shape": (_case(weight=np.ones(7)), ParameterError, "weight of"),
    "weight undefined": (_case(weight=np.nan), ParameterError, "weight of"),
    "all weights 0": (_case(weight=0.0), ParameterError, "weight"),
    "set, not added": (
        _case(make=lambda g: joined(g, on_pre="v = 0.5")), ParameterError, "Pass weight="),
    "random kick": (
        _case(make=lambda g: joined(g, on_pre="v += rand()")), ParameterError, "random"),
    "kick in time": (
        _case(make=lambda g: joined(g, on_pre="v += t/second")), ParameterError, "depends on t"),
    "unknown name": (
        _case(make=lambda g: joined(g, on_pre="v += wx")), ParameterError, "wx is not"),
    "no kick": (
        _case(make=lambda g: joined(g, "w : 1", on_pre="w += 1")), ParameterError, "on_pre"),
    "through another variable": (
        _case(group=neurons("dv/dt = (g - v)/ms : 1\ndg/dt = (x - g)/ms : 1\ndx/dt = -x/ms : 1"),
              make=lambda g: joined(g, on_pre="x += 1")), ParameterError, "does not depend on x"),
    "two units": (
        _case(weight=[1 * mV, 1.0], make=lambda g: [joined(g, on_pre="v += 1") for _ in "ab"]),
        UnitError, "weight"),
    "gain of nothing": (
        _case(weight=1.0, make=lambda g: joined(g, on_pre="v = 1")), CapabilityError, "compensate"),
    "index where neurons go": (
        _case(group=neurons("dv/dt = (1.5 + 0.1*i - v)/(10*ms) : 1"), neurons=2,
              synapses=0.5, duration="20 ms", method="random"), CapabilityError, "index"),
    "drive": (_case(drive=[3]), ParameterError, "drive"),
    "prefix": (_case(prefix="a b"), ParameterError, "prefix"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_is_refused_by_name(case: str) -> None:
    call, kind, word = ERRORS[case]
    with pytest.raises(kind) as caught:
        call()
    assert word in str(caught.value)


def test_linked_variables_are_refused() -> None:
    group = neurons("dv/dt = (1.5 + x - v)/(10*ms) : 1\nx : 1 (linked)")
    group.x = linked_var(OTHER, "v")
    with pytest.raises(CapabilityError, match="linked"):
        prune_model(group, joined(group, on_pre="v += 0.1"), synapses=0.5, method="random",
                    measure=False)  # fmt: skip
