"""Displaced copies: what they measure where spikes are located in time, and what a grid does."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.lyapunov.displacement import DisplacementGrowth, displacement_growth
from analysis.lyapunov.perturbed import perturbed_spectrum
from analysis.lyapunov.spectrum import lyapunov_spectrum
from models_eq.device import use_device
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import noise_stimulus
from tests.lyapunov_cases import load_case


def spectrum(net, given=None, **more):
    arguments = {
        "k": 3, "duration": 4.0, "dt": 1e-3, "transient": 1.0, "t_qr": 0.01, "seed": 1, **more,
    }  # fmt: skip
    return perturbed_spectrum(net, given, **arguments)


def test_refractory_heterogeneous_networks_under_noise():
    net = sample_hrsnn(HRSNNSpec(n=60), seed=1)
    rng = np.random.default_rng(1)
    net = net.replace(t_ref=rng.choice([0.0, 0.002, 0.005], net.n))
    noise = noise_stimulus(net, "5 s", seed=1)
    copies = spectrum(net, noise)
    tangents = lyapunov_spectrum(
        net, noise, k=3, duration="4 s", transient="1 s", dt="1 ms", seed=1, method="saltation"
    )
    assert copies.n_spikes == tangents.n_spikes > 1000
    assert np.allclose(copies.exponents, tangents.exponents, rtol=1e-3)
    assert np.allclose(copies.participation, tangents.participation, atol=1e-3)


@pytest.mark.parametrize("size", [1e-8, 1e-7, 1e-6, 1e-5])
def test_the_size_of_the_displacement_does_not_matter_while_it_is_small(size):
    case = load_case("lifexp_N2_inh")
    found = spectrum(case.net, displacement=size, initial_state=case.start, k=2)
    assert np.allclose(found.exponents, case.exponents[:2], atol=0.06)


def test_a_displacement_that_is_not_small_is_refused():
    net = load_case("lifexp_N2_inh").net
    for size in (1e-3, 0.0, -1e-7, "much", np.nan):
        with pytest.raises(ParameterError, match="displacement"):
            spectrum(net, displacement=size)


def test_twins_on_a_grid_measure_something_else():
    """The same network and displacement on a clock with a hard reset: not an exponent 0."""
    case = load_case("lifexp_N2_inh")
    size, interval, dt = 1e-6, 0.01, "0.1 ms"
    v, s = case.start["v"], case.start["s"]
    growth, state = [], {"v": np.stack([v, v + size]), "s": np.stack([s, s])}
    with use_device("numpy"):
        for _ in range(100):
            run = simulate(case.net, duration=f"{interval} s", dt=dt, copies=2, initial_state=state)
            state = {name: value.copy() for name, value in run.final_state.items()}
            difference = np.stack([value[1] - value[0] for value in state.values()])
            distance = np.linalg.norm(difference)
            growth.append(np.log(max(distance, 1e-300) / size))
            if distance == 0:
                break
            for name, change in zip(state, difference, strict=True):
                state[name][1] = state[name][0] + change * size / distance
    # Either the copies have merged for good, or they have jumped apart: the truth is 0.
    assert abs(np.mean(growth) / interval) > 5
    good = spectrum(case.net, k=1, initial_state=case.start, duration=1.0)
    assert abs(good.exponents[0]) < 0.3


def test_growth_of_a_displacement_follows_the_leading_exponent():
    case = load_case("theta_N20")
    found = displacement_growth(
        case.net, duration="0.6 s", copies=30, displacement=1e-9, rate=13.26, seed=1
    )
    assert isinstance(found, DisplacementGrowth) and found.distance.shape == (30, 120)
    typical = np.nanmean(np.log(found.distance), axis=0)
    slope = np.polyfit(found.t[20:], typical[20:], 1)[0]
    # One stretch of 0.5 s: the scatter of such windows is 4/s.
    assert slope == pytest.approx(13.3, abs=12)
    assert np.isnan(found.distance).mean() < 0.2
    damped = HRSNN("lif_exp", 3, [], [], [], tau_m=0.02, i_ext=0.3)
    quiet = displacement_growth(damped, duration="0.1 s", copies=2, transient="0.5 s")
    assert np.allclose(np.diff(np.log(quiet.distance[:, 12:])) / 0.005, -50, rtol=0.05)


def test_copies_that_come_apart_end_as_far_as_the_attractor_is_wide():
    case = load_case("theta_N20")
    found = displacement_growth(case.net, duration="3 s", copies=5, displacement=1e-7, seed=1)
    late = found.distance[:, found.t > 2.5]
    assert np.isfinite(late).mean() > 0.9
    assert 1 < np.nanmedian(late) < 2 * np.pi * np.sqrt(20)


def test_refusals():
    delta = HRSNN("lif_delta", 2, [0], [1], [0.1], tau_m=0.02, i_ext=1.5)
    with pytest.raises(CapabilityError, match="event"):
        displacement_growth(delta)
    net = load_case("lifexp_N2_inh").net
    with pytest.raises(ParameterError, match="at most the stimulus"):
        displacement_growth(net, noise_stimulus(net, "1 s", seed=1), duration="1 s")
