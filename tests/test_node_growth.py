"""Node exponents from tangent vectors: closed forms, limits and sums."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.lyapunov.node_growth import perturbed_exponents, weighted_exponents
from analysis.lyapunov.nodes import node_exponents
from analysis.lyapunov.spectrum import lyapunov_spectrum
from models_eq.device import use_device
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import Stimulus, noise_stimulus
from models_eq.storage import load, save
from tests.lyapunov_cases import load_case


def quiet(model: str = "lif_exp") -> HRSNN:
    """Two silent uncoupled neurons."""
    return HRSNN(model, 2, [], [], [], tau_m=[0.02, 0.05], tau_syn=0.01, i_ext=0.4)


def test_silent_neurons_decay_with_their_own_time_constants():
    found = perturbed_exponents(quiet(), horizon="50 ms", seed=1)
    assert found.exponents == pytest.approx([-50, -20], rel=1e-9)
    assert found.definition == "perturbed" and found.horizon == 0.05
    assert (found.cycles == 5).all() and (found.stderr < 1e-9).all()
    # A displaced current moves the membrane as well.
    t, tau, tau_s = 0.05, np.array([0.02, 0.05]), 0.01
    ds = np.exp(-t / tau_s)
    dv = (ds - np.exp(-t / tau)) / (1 - tau / tau_s)
    found = perturbed_exponents(quiet(), horizon="50 ms", variable="s", seed=1)
    assert found.exponents == pytest.approx(np.log(np.hypot(ds, dv)) / t, rel=1e-9)


def test_a_longer_horizon_leads_to_the_leading_exponent():
    case = load_case("theta_N20")
    short, long = (
        perturbed_exponents(case.net, duration="30 s", horizon=horizon, windows=10, seed=0)
        for horizon in ("50 ms", "2 s")
    )
    assert long.exponents.std() < short.exponents.std() / 10
    assert abs(long.exponents.mean() - case.exponents[0]) < 4 * long.stderr.mean()


def test_weighted_exponents_sum_to_the_sum_of_all():
    net = sample_hrsnn(HRSNNSpec(n=15), seed=1)
    noise = noise_stimulus(net, "2 s", seed=1)
    found = weighted_exponents(net, noise)
    whole = lyapunov_spectrum(net, noise, k=30)
    assert found.exponents.sum() == pytest.approx(whole.volume_rate, rel=1e-6)
    assert found.definition == "weighted" and (found.stderr > 0).all()
    # Uncoupled silent neurons: each has its own two exponents.
    alone = weighted_exponents(quiet(), Stimulus(np.zeros((10000, 2)), "1 ms"))
    assert alone.exponents == pytest.approx([-150, -120], rel=1e-3)


def test_one_door_to_all_definitions(tmp_path):
    net = sample_hrsnn(HRSNNSpec(n=15), seed=1)
    noise = noise_stimulus(net, "1 s", seed=1)
    a = node_exponents(net, noise, definition="perturbed", horizon="60 ms")
    b = perturbed_exponents(net, noise, horizon="60 ms")
    assert (a.exponents == b.exponents).all() and a.horizon == 0.06
    assert node_exponents(net, noise, definition="weighted").definition == "weighted"
    back = load(save(a, tmp_path / "nodes.npz"))
    assert back.horizon == 0.06 and (back.exponents == a.exponents).all()
    alif = HRSNN("alif", 2, [], [], [], tau_m=[0.02, 0.05], tau_syn=0.01, i_ext=0.4)
    still = Stimulus(np.zeros((3000, 2)), "1 ms")
    with use_device("numpy"):
        quiet_alif = weighted_exponents(alif, still, dt="0.5 ms")
    # Membrane, current and adaptation each decay with their own time constant.
    assert quiet_alif.exponents == pytest.approx([-50 - 100 - 5, -20 - 100 - 5], rel=0.02)
    qif = HRSNN("qif", 2, [0], [1], [0.1], tau_m=0.02, i_ext=0.3)
    assert node_exponents(qif, definition="perturbed").exponents.shape == (2,)


def test_refusals():
    alif = HRSNN("alif", 2, [], [], [], tau_m=0.02)
    with pytest.raises(CapabilityError, match="conditional"):
        perturbed_exponents(alif)
    with pytest.raises(ParameterError, match="variable"):
        perturbed_exponents(quiet(), variable="a")
    with pytest.raises(ParameterError, match="horizon"):
        perturbed_exponents(quiet(), horizon="2 s")
    with pytest.raises(ParameterError, match="horizon"):
        node_exponents(quiet(), horizon="1 s")
    forced = HRSNN("lif_delta", 2, [0], [1], [0.9], tau_m=0.02, i_ext=[1.5, 0.2])
    with pytest.raises(CapabilityError, match="forced"):
        weighted_exponents(forced, duration="1 s")
