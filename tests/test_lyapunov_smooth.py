"""Exponents of smooth systems: linear decay exactly, then the attractors of the literature."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from brian2 import second

from analysis.lyapunov.flows import Flow, Map
from analysis.lyapunov.qr import orthonormal_start
from analysis.lyapunov.smooth import FlowStepper, MapStepper, smooth_spectrum
from analysis.lyapunov.systems import henon, linear, lorenz63, rate_network, rossler
from models_eq.errors import ConvergenceError, ParameterError, UnitError

LORENZ = {"duration": 60.0, "dt": 0.02, "transient": 20.0, "t_qr": 0.2}


def eigenvalues(flow: Flow, x: np.ndarray) -> np.ndarray:
    """Real parts of the eigenvalues of a Jacobian, largest first."""
    return np.sort(np.linalg.eigvals(flow.jacobian(x)).real)[::-1]


# Decay, whose exponents are known exactly.


@pytest.mark.parametrize(
    ("matrix", "exponents"),
    [
        ([[-3.0]], [-3.0]),
        (np.diag([-4.0, -0.5, -2.0]), [-0.5, -2.0, -4.0]),
        # Far from normal: norms first grow to 25.
        ([[-1.0, 50.0], [0.0, -2.0]], [-1.0, -2.0]),
        ([[-1.0, 30.0, 10.0], [0.0, -2.0, 20.0], [0.0, 0.0, -3.0]], [-1.0, -2.0, -3.0]),
        # A spiral: both have the real part.
        ([[-0.5, 3.0], [-3.0, -0.5]], [-0.5, -0.5]),
    ],
)
def test_a_decaying_linear_system_has_its_eigenvalues(matrix: Any, exponents: Any) -> None:
    found = smooth_spectrum(linear(matrix), duration=40, dt=0.01, transient=20, copies=8)
    np.testing.assert_allclose(found.exponents, exponents, rtol=1e-5)
    assert found.sum_rule_residual == pytest.approx(0, abs=1e-5)
    assert found.kaplan_yorke == 0 and found.entropy_rate == 0
    assert (found.method, found.unit, found.dimension) == ("flow", "1/time", len(exponents))


def test_a_growing_direction_counts_as_well() -> None:
    found = smooth_spectrum(linear(np.diag([0.5, -2.0])), duration=40, dt=0.02, copies=1)
    np.testing.assert_allclose(found.exponents, [0.5, -2.0], rtol=1e-5)
    assert found.kaplan_yorke == pytest.approx(1.25)


def test_a_stable_rate_network_has_the_eigenvalues_of_its_fixed_point() -> None:
    net = rate_network(12, 0.6, seed=3, tau="10 ms")
    rest = dataclasses.replace(net, initial=np.zeros(12))
    found = smooth_spectrum(rest, duration=4 * second, dt="0.5 ms", transient="1 s", seed=1)
    np.testing.assert_allclose(found.exponents, eigenvalues(net, np.zeros(12)), rtol=1e-3)
    assert found.sum_rule_residual == pytest.approx(0, abs=0.01)
    assert found.unit == "1/s" and found.dt == 5e-4
    # From elsewhere it comes to the same point, and no exponent 0 is missed there.
    away = smooth_spectrum(net, duration=2.0, dt=5e-4, transient=1.0, seed=1, k=3)
    np.testing.assert_allclose(away.exponents, eigenvalues(net, np.zeros(12))[:3], rtol=1e-3)


def test_a_linear_map_has_the_logarithms_of_its_eigenvalues() -> None:
    matrix = np.array([[0.5, 4.0], [0.0, 0.25]])
    system = Map(
        lambda x: x @ matrix.T, lambda x: np.broadcast_to(matrix, (*x.shape, 2)), [1.0, 1.0]
    )
    found = smooth_spectrum(system, duration=300, transient=100, copies=3)
    np.testing.assert_allclose(found.exponents, np.log([0.5, 0.25]), rtol=1e-6)
    assert (found.unit, found.dt, found.t_qr, found.method) == ("1/step", 0.0, 1.0, "map")


def test_what_a_map_annihilates_is_minus_infinity() -> None:
    matrix = np.array([[0.5, 0.0], [0.0, 0.0]])
    system = Map(
        lambda x: x @ matrix.T, lambda x: np.broadcast_to(matrix, (*x.shape, 2)), [1.0, 1.0]
    )
    found = smooth_spectrum(system, duration=50, copies=2)
    assert found.exponents[0] == pytest.approx(np.log(0.5)) and found.exponents[1] == -np.inf
    assert found.volume_rate is None


# Attractors of the literature.


def test_lorenz63() -> None:
    found = smooth_spectrum(lorenz63(), seed=1, **{**LORENZ, "duration": 200.0, "dt": 0.01})
    first, zero, last = found.exponents
    assert found.stderr[0] < 0.003
    assert first == pytest.approx(0.906, rel=0.01)
    assert zero == pytest.approx(0, abs=0.02)
    assert last == pytest.approx(-14.572, rel=0.01)
    assert found.kaplan_yorke == pytest.approx(2.06, abs=0.005)
    assert found.entropy_rate == pytest.approx(0.906, rel=0.03)
    # The trace is -(10 + 1 + 8/3) everywhere; the rest is the error of the time step.
    assert found.volume_rate == pytest.approx(-41 / 3, rel=1e-12)
    assert found.sum_rule_residual == pytest.approx(0, abs=1e-3)
    assert not found.conditional and found.system == "lorenz63"


def test_rossler() -> None:
    found = smooth_spectrum(
        rossler(), duration=600, dt=0.05, transient=300, t_qr=1, copies=768, seed=1
    )
    first, zero, last = found.exponents
    assert found.stderr[0] < 0.004 * first
    assert first == pytest.approx(0.0714, rel=0.01)
    assert zero == pytest.approx(0, abs=0.001)
    assert last == pytest.approx(-5.394, rel=0.01)
    assert found.sum_rule_residual == pytest.approx(0, abs=0.01)


def test_henon() -> None:
    found = smooth_spectrum(henon(), duration=4000, transient=500, copies=128, seed=1)
    assert found.stderr[0] < 0.001
    np.testing.assert_allclose(found.exponents, [0.4192, -1.6232], rtol=0.01)
    assert found.exponents.sum() == pytest.approx(np.log(0.3), rel=1e-12)
    assert found.volume_rate == pytest.approx(np.log(0.3), rel=1e-12)


def test_a_large_rate_network_of_high_gain_is_chaotic() -> None:
    net = rate_network(200, 3.0, seed=1)
    found = smooth_spectrum(net, k=20, duration=200, dt=0.1, transient=50, t_qr=0.5)
    assert found.exponents[0] > 5 * found.stderr[0] > 0
    assert np.abs(found.exponents).min() < 4 * found.stderr.max()
    assert found.exponents[-1] < 0 and found.kaplan_yorke > 5
    assert (np.diff(found.exponents) <= 0).all()


@pytest.mark.parametrize(
    ("flow", "dt"),
    [(lorenz63(), 0.002), (rossler(), 0.005), (rate_network(50, 3.0, seed=1), 0.005)],
    ids=["lorenz63", "rossler", "rate_network"],
)
def test_the_speed_is_mapped_on_the_speed(flow: Flow, dt: float) -> None:
    # That is what makes an exponent 0: the tangent along the flow neither grows nor decays.
    x = flow.initial[None]
    stepper = FlowStepper(flow, x, flow.rhs(x)[..., None], dt, 500)
    stepper.advance(0)
    there = flow.rhs(stepper.x)
    np.testing.assert_allclose(
        stepper.tangents[..., 0], there, atol=1e-6 * float(np.abs(there).max())
    )


def test_tangents_are_the_derivative_of_what_is_simulated() -> None:
    # At a step far too large for the flow, still those of the map that the steps make.
    flow, h, eps = lorenz63(), 0.1, 1e-6
    x = np.array([[2.0, 3.0, 20.0]])
    stepper = FlowStepper(flow, x, np.eye(3)[None], h, 2)
    stepper.advance(0)
    around = np.concatenate([x + eps * np.eye(3), x - eps * np.eye(3)])
    moved = FlowStepper(flow, around, np.zeros((6, 3, 1)), h, 2)
    moved.advance(0)
    np.testing.assert_allclose(
        stepper.tangents[0], (moved.x[:3] - moved.x[3:]).T / (2 * eps), rtol=1e-6, atol=1e-6
    )


# Relations that must hold.


def test_a_seed_gives_the_same_numbers_and_another_one_others() -> None:
    one, same, other = (smooth_spectrum(lorenz63(), seed=s, **LORENZ) for s in (3, 3, 4))
    np.testing.assert_array_equal(one.local, same.local)
    assert (one.exponents != other.exponents).all()
    error = np.hypot(one.stderr, other.stderr)
    assert (np.abs(one.exponents - other.exponents) < 4 * error + 1e-3).all()
    assert one.seed == 3


def test_time_in_other_units_scales_the_exponents() -> None:
    slow = lorenz63()
    fast = Flow(lambda x: 64 * slow.rhs(x), lambda x: 64 * slow.jacobian(x), slow.initial, time="s")
    long, short = (
        smooth_spectrum(flow, copies=8, **{name: t / by for name, t in LORENZ.items()})
        for flow, by in ((slow, 1), (fast, 64))
    )
    # Powers of 2, so that even the rounding is the same.
    np.testing.assert_allclose(short.exponents, 64 * long.exponents, rtol=1e-9)
    assert (long.unit, short.unit) == ("1/time", "1/s")


def test_fewer_exponents_are_the_first_ones() -> None:
    every, first = (smooth_spectrum(lorenz63(), k=k, **LORENZ) for k in (None, 1))
    assert (every.k, first.k) == (3, 1)
    assert first.exponents[0] == pytest.approx(
        every.exponents[0], abs=4 * float(np.hypot(every.stderr[0], first.stderr[0]))
    )
    assert first.sum_rule_residual is None and first.volume_rate is not None


def test_initial_points_of_ones_own_are_the_copies() -> None:
    points = np.random.default_rng(2).uniform(5, 15, (9, 3))
    flow = dataclasses.replace(lorenz63(), initial=points)
    found = smooth_spectrum(flow, seed=1, **LORENZ)
    assert found.exponents[0] == pytest.approx(0.906, rel=0.05)
    with pytest.raises(ParameterError, match="copies"):
        smooth_spectrum(flow, copies=3, **LORENZ)


def test_progress_is_told_after_every_interval() -> None:
    told: list[tuple[int, int]] = []
    smooth_spectrum(
        henon(), duration=20, transient=5, copies=2, progress=lambda *at: told.append(at)
    )
    assert told == [(done, 25) for done in range(1, 26)]


# Negative controls, and requests that are refused.


def test_without_orthonormalisation_all_vectors_fall_on_the_first() -> None:
    flow = lorenz63()
    rng = np.random.default_rng(1)
    stepper = FlowStepper(flow, flow.initial[None], orthonormal_start(3, 3, rng, 1), 0.01, 20)
    grown = np.zeros(3)
    for interval in range(500):
        stepper.advance(interval)
        size = np.linalg.norm(stepper.tangents, axis=-2, keepdims=True)
        stepper.tangents[...] /= size
        if interval >= 100:
            grown += np.log(size).ravel() / 80.0
    np.testing.assert_allclose(grown, grown[0], rtol=1e-3)
    assert grown[0] == pytest.approx(0.906, abs=0.2)


def test_an_explosive_map_is_said_to_diverge() -> None:
    system = Map(lambda x: x**2 + 1, lambda x: 2 * x[..., None], [2.0], name="square")
    with pytest.raises(ConvergenceError, match=r"stays bounded.*64 of 64 copies.*basin"):
        smooth_spectrum(system, duration=100)
    far = dataclasses.replace(henon(), initial=np.array([10.0, 10.0]))
    with pytest.raises(ConvergenceError, match="trajectory"):
        smooth_spectrum(far, duration=100)


def test_a_time_step_that_is_too_long_is_said_to_diverge() -> None:
    with pytest.raises(ConvergenceError, match="Take a smaller dt"):
        smooth_spectrum(linear(np.diag([-1.0, -500.0])), duration=2000, dt=0.1)


def test_vectors_that_overflow_between_orthonormalisations_are_named() -> None:
    system = linear(np.diag([0.0, 90.0]))
    still = dataclasses.replace(system, initial=np.array([[1.0, 0.0]]))
    with pytest.raises(ConvergenceError, match="shorter t_qr"):
        smooth_spectrum(still, duration=200, dt=0.01, t_qr=10)


@pytest.mark.parametrize(
    ("jacobian", "entry"),
    [
        (lambda x: lorenz63(beta=2.0).jacobian(x), "-2 at [2, 2] where differences give -2.6666"),
        (lambda x: np.swapaxes(lorenz63().jacobian(x), -1, -2), "where differences give"),
        (lambda x: lorenz63().jacobian(2 * x), "where differences give"),
        (lambda x: lorenz63(sigma=10.01).jacobian(x), "where differences give"),
    ],
)
def test_a_wrong_jacobian_is_refused_by_name(jacobian: Any, entry: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Flow(lorenz63().rhs, jacobian, [1.0, 1.0, 20.0])
    assert caught.value.field == "jacobian" and entry in str(caught.value)


def test_one_wrong_entry_of_a_large_jacobian_is_found() -> None:
    net = rate_network(150, 1.5, seed=2)

    def wrong(x: np.ndarray) -> np.ndarray:
        found = net.jacobian(x).copy()
        found[..., 77, 3] += 0.05
        return found

    with pytest.raises(ParameterError, match="row 77"):
        dataclasses.replace(net, jacobian=wrong)


def test_a_jacobian_that_is_wrong_away_from_the_start_alone_is_found() -> None:
    # At 0 the derivative of x² cannot be told from that of x³.
    with pytest.raises(ParameterError, match="jacobian"):
        Map(lambda x: x**2, lambda x: 3 * x[..., None] ** 2, [0.0])


def test_kinks_at_the_start_do_no_harm() -> None:
    flow = Flow(lambda x: np.maximum(x, 0) - 2 * x, lambda x: ((x > 0) - 2.0)[..., None], [0.0])
    assert flow.dimension == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        # A function of one point, which takes the wrong axis of many.
        ({"rhs": lambda x: np.array([x[1], -x[0]])}, "rhs"),
        ({"rhs": lambda x: x[..., :1]}, "rhs"),
        ({"rhs": lambda x: x[..., 5]}, "rhs"),
        ({"rhs": lambda x: np.full_like(x, np.nan)}, "rhs"),
        ({"rhs": lambda x: x * second}, "rhs"),
        ({"rhs": 3}, "rhs"),
        ({"jacobian": lambda x: np.array([[0.0, 1.0], [-1.0, 0.0]])}, "jacobian"),
        ({"jacobian": None}, "jacobian"),
        ({"initial": []}, "initial"),
        ({"initial": 1.0}, "initial"),
        ({"initial": [1.0, np.inf]}, "initial"),
        ({"initial": np.zeros((1, 1, 2))}, "initial"),
        ({"time": "ms"}, "time"),
    ],
)
def test_a_flow_that_makes_no_sense_is_refused(wrong: dict[str, Any], field: str) -> None:
    right = linear([[0.0, 1.0], [-1.0, 0.0]])
    fine = {"rhs": right.rhs, "jacobian": right.jacobian, "initial": [1.0, 0.0]}
    assert Flow(**fine).dimension == 2
    with pytest.raises(ParameterError) as caught:
        Flow(**{**fine, **wrong})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"k": 4}, "k"),
        ({"k": 0}, "k"),
        ({"dt": None}, "dt"),
        ({"dt": 0.0}, "dt"),
        ({"dt": -0.1}, "dt"),
        ({"duration": 0.1}, "duration"),
        ({"duration": np.nan}, "duration"),
        ({"transient": -1.0}, "transient"),
        ({"t_qr": 0.015}, "t_qr"),
        ({"t_qr": 0.0}, "t_qr"),
        ({"copies": 0}, "copies"),
        ({"seed": -1}, "seed"),
        ({"system": 3}, "system"),
    ],
)
def test_a_wrong_request_is_refused(wrong: dict[str, Any], field: str) -> None:
    right = {"system": lorenz63(), **LORENZ}
    with pytest.raises(ParameterError) as caught:
        smooth_spectrum(**{**right, **wrong})
    assert caught.value.field == field


def test_units_of_time_must_be_those_of_the_system() -> None:
    with pytest.raises(UnitError, match="duration"):
        smooth_spectrum(lorenz63(), duration="60 s", dt=0.01)
    with pytest.raises(ParameterError, match="a map"):
        smooth_spectrum(henon(), duration=100, dt=0.1)
    with pytest.raises(UnitError, match="tau"):
        rate_network(5, 1.0, tau="10 mV")
    assert rate_network(5, 1.0, tau="10 ms").time == "s" and rate_network(5, 1.0).time == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda: rate_network(0, 1.0),
        lambda: rate_network(5, -1.0),
        lambda: rate_network(5, 1.0, tau=0),
        lambda: linear([[1.0, 2.0]]),
        lambda: linear([[np.nan]]),
    ],
)
def test_a_system_that_does_not_exist_is_refused(make: Any) -> None:
    with pytest.raises(ParameterError):
        make()


def test_a_system_shows_what_it_is() -> None:
    assert repr(lorenz63()) == "Flow(lorenz63, dimension 3)"
    assert repr(henon()) == "Map(henon, dimension 2)"
    assert rate_network(5, 1.5).name == "rate_network(n=5, g=1.5)"
    stepper = MapStepper(henon(), np.zeros((1, 2)), np.eye(2)[None], 1)
    stepper.advance(0)
    np.testing.assert_allclose(stepper.x, [[1.0, 0.0]])
    np.testing.assert_allclose(stepper.tangents[0], [[0.0, 1.0], [0.3, 0.0]])
