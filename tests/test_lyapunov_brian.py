"""lyapunov_spectrum on a user's own Brian2 objects: how they are handed over, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from brian2 import NeuronGroup, PoissonGroup, SpikeMonitor, Synapses, ms, prefs

from analysis.lyapunov.spectrum import lyapunov_spectrum
from models_eq.device import use_device
from models_eq.errors import CapabilityError, ParameterError
from tests import brian_models
from tests.lyapunov_cases import load_case

QUICK = {"duration": "0.3 s", "transient": "0.1 s", "dt": "0.1 ms"}


@pytest.fixture(autouse=True)
def _uncompiled():
    before = prefs.codegen.target
    prefs.codegen.target = "numpy"
    with use_device("numpy"):
        yield
    prefs.codegen.target = before


def pair(**more):
    """Two neurons that inhibit each other, as a script would write them."""
    group = NeuronGroup(
        2, "dv/dt = (drive - v + s)/(20*ms) : 1\nds/dt = -s/(5*ms) : 1\ndrive : 1 (constant)",
        threshold="v > 1", reset="v = 0", method="euler",
    )  # fmt: skip
    group.drive, group.v = [1.5, 1.4], [0.2, 0.7]
    synapses = Synapses(group, group, "w : 1", on_pre="s_post += w", **more)
    synapses.connect(condition="i != j")
    synapses.w = -0.5
    return group, synapses


def test_all_ways_to_hand_over_a_model_are_one():
    group, synapses = pair()
    begun = float(group.t / ms)  # of the default clock, which other models may have moved
    one = lyapunov_spectrum(group, synapses, k=2, **QUICK)
    assert one.method == "saltation" and one.reason.startswith("auto: a Brian2 model")
    assert one.dimension == 4 and not one.conditional
    for given in (((group, synapses),), (group, [synapses]), ([group, synapses],)):
        other = lyapunov_spectrum(*given, k=2, method="saltation", **QUICK)
        assert (other.exponents == one.exponents).all()
    # Nothing was run: the user's objects are as they were.
    assert float(group.t / ms) == begun and list(group.v[:]) == [0.2, 0.7]


def test_names_are_looked_up_where_the_user_wrote_them():
    tau, drive = 20 * ms, 0.4  # noqa: F841
    group = NeuronGroup(1, "dv/dt = (drive - v)/tau : 1", threshold="v > 1", reset="v = 0",
                        method="exact")  # fmt: skip
    assert lyapunov_spectrum(group, **QUICK).exponents[0] == pytest.approx(-50, rel=1e-6)
    given = lyapunov_spectrum(group, namespace={"tau": 10 * ms, "drive": 0.4}, **QUICK)
    assert given.exponents[0] == pytest.approx(-100, rel=1e-6)


def test_a_brian2_script_and_our_own_network_agree():
    """The same exact reference, rebuilt by hand in Brian2; on a grid of 0.05 ms."""
    case = load_case("lifexp_N2_inh")
    net = case.net
    group = NeuronGroup(
        2, """dv/dt = (drive - v + s)/tau : 1
        ds/dt = -s/tau_s : 1
        drive : 1 (constant)
        tau : second (constant)
        tau_s : second (constant)""",
        threshold="v > 1", reset="v = 0", method="euler",
    )  # fmt: skip
    group.variables["tau"].set_value(net.tau_m)
    group.variables["tau_s"].set_value(net.tau_syn)
    group.drive, group.v, group.s = net.i_ext, case.start["v"], case.start["s"]
    synapses = Synapses(group, group, "w : 1", on_pre="s_post += w")
    synapses.connect(i=net.i, j=net.j)
    synapses.w = net.w
    found = lyapunov_spectrum(
        group, synapses, k=2, duration="1.5 s", transient="0.5 s", dt="0.05 ms"
    )
    assert np.allclose(found.exponents, case.exponents[:2], atol=0.4)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("adex", marks=SLOW), pytest.param("izhikevich", marks=SLOW),
        pytest.param("coba", marks=SLOW), "hodgkin_huxley",
    ],
)  # fmt: skip
def test_models_of_other_people_show_their_zero(name):
    group, synapses = getattr(brian_models, name)(
        *([4] if name in ("coba", "hodgkin_huxley") else [])
    )
    with use_device("cython"):
        found = lyapunov_spectrum(
            (group, *synapses), k=2, duration="1 s", transient="0.5 s", namespace={}
        )
    assert found.dt == 1e-5 and found.n_spikes > 10
    assert abs(found.nearest_zero) < 0.3


def test_what_is_not_covered_is_refused_by_name():
    group, _ = pair()
    late = Synapses(group, group, on_pre="s_post += 0.1", delay=1 * ms)
    late.connect(i=0, j=1)
    with pytest.raises(CapabilityError, match="delay"):
        lyapunov_spectrum(group, late, k=1, **QUICK)
    noisy = NeuronGroup(1, "dv/dt = -v/(20*ms) + 0.1*xi/(20*ms)**0.5 : 1", method="euler")
    with pytest.raises(CapabilityError, match="xi"):
        lyapunov_spectrum(noisy, k=1, **QUICK)
    poisson = PoissonGroup(2, rates=np.full(2, 10.0) * (1 / (1000 * ms)))
    drive = Synapses(poisson, group, on_pre="s_post += 0.1")
    drive.connect(j="i")
    with pytest.raises(CapabilityError, match="SpikeGeneratorGroup"):
        lyapunov_spectrum(group, drive, k=1, **QUICK)


def test_measurements_that_cannot_work_are_refused():
    group, synapses = pair()
    for method in ("perturbed", "event"):
        with pytest.raises(CapabilityError, match="saltation"):
            lyapunov_spectrum(group, synapses, k=1, method=method, **QUICK)
    with pytest.raises(ParameterError, match="initial_state"):
        lyapunov_spectrum(group, synapses, k=1, initial_state={"v": 0}, **QUICK)
    with pytest.raises(ParameterError, match="synapses"):
        lyapunov_spectrum(group, SpikeMonitor(group), k=1, **QUICK)
    with pytest.raises(ParameterError, match="at most the 4"):
        lyapunov_spectrum(group, synapses, k=5, **QUICK)
