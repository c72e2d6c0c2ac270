"""Networks from Brian2 objects: identical spikes, or a refusal by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from brian2 import Network, NeuronGroup, SpikeMonitor, Synapses, ms, mV

from models_eq import HRSNN, CapabilityError, HRSNNSpec, sample_hrsnn, simulate, to_brian2
from tests.user_models import cuba, stdp

pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.mark.parametrize("model", ["lif_exp", "lif_delta", "qif", "alif"])
def test_there_and_back(model: str) -> None:
    net = sample_hrsnn(HRSNNSpec(n=30, model=model), seed=1)
    objects = to_brian2(net)
    back = HRSNN.from_brian2(objects.group, objects.synapses, is_exc=net.is_exc)
    one, two = (simulate(x, duration="0.2 s", dt="0.1 ms", seed=1) for x in (net, back))
    assert one.n_spikes > 20
    assert np.array_equal(one.t, two.t) and np.array_equal(one.i, two.i)
    if model == "lif_exp":
        assert back == net


def own(n: int = 60, **changes: Any) -> tuple[NeuronGroup, list[Synapses], dict[str, Any]]:
    rng = np.random.default_rng(1)
    names = {"taum": 20 * ms, "taue": 5 * ms, "el": -49 * mV, "vt": -50 * mV, "we": 0.3 * mV}
    given = {
        "model": "dv/dt = (ge - (v - el) + b)/taum : volt (unless refractory)\n"
                 "dge/dt = -ge/taue : volt\nb : volt (constant)",
        "threshold": "v > vt", "reset": "v = -60*mV", "refractory": 5 * ms, "method": "exact",
        **changes,
    }  # fmt: skip
    group = NeuronGroup(n, **given)
    group.v, group.b = (-60 + 10 * rng.random(n)) * mV, rng.random(n) * mV
    codes = ("ge += f*we", "ge -= 0.5*we*(1 + j/100)")
    found = []
    for code in codes:
        synapses = Synapses(group, group, "f : 1", on_pre=code)
        i, j = np.nonzero((rng.random((n, n)) < 0.1) & ~np.eye(n, dtype=bool))
        synapses.connect(i=i, j=j)
        synapses.f = rng.random(i.size)
        found.append(synapses)
    return group, found, names


def test_a_users_neurons_in_volts_spike_as_before() -> None:
    group, synapses, names = own()
    net = HRSNN.from_brian2(group, synapses, namespace=names)
    start = np.array(group.v_)
    monitor = SpikeMonitor(group)
    Network(group, *synapses, monitor).run(300 * ms, namespace=names)
    run = simulate(net, duration="0.3 s", dt="0.1 ms", initial_state={"v": start})
    t, i = np.asarray(monitor.t), np.asarray(monitor.i)
    order = np.lexsort((i, t))
    assert run.n_spikes > 100 and np.array_equal(run.i, i[order])
    assert np.allclose(run.t, t[order], atol=1e-9)
    other = simulate(
        net.replace(w=-net.w), duration="0.3 s", dt="0.1 ms", initial_state={"v": start}
    )
    assert not np.array_equal(other.i, run.i)  # so the comparison can fail


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"reset": "v = -60*mV; b += 1*mV"}, r"b: expected no variable that"),
        ({"threshold": "v > vt + b*sin(v/mV)"}, "threshold"),
        (
            {"refractory": False, "model": "dv/dt = v*v/mV/taum : volt\nge : volt\nb : volt"},
            r"(dv/dt|ge): expected",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    group, synapses, names = own(**changes)
    with pytest.raises(CapabilityError, match=named):
        HRSNN.from_brian2(group, synapses, namespace=names)


def test_two_currents_and_plasticity_are_refused_by_name() -> None:
    model = cuba()
    with pytest.raises(CapabilityError, match="ge, gi"):
        HRSNN.from_brian2(model.group, model.synapses, namespace=model.namespace)
    model = stdp()
    with pytest.raises(CapabilityError):
        HRSNN.from_brian2(model.group, model.synapses, namespace=model.namespace)
