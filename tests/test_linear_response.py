from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import linalg, sparse

from analysis.pruning.linear_response import (
    calibrated_covariance,
    calibrated_scale,
    covariance,
    hurwitz_scale,
    is_hurwitz,
    spectral_abscissa,
    system_matrix,
)
from models_eq.errors import ConvergenceError, ParameterError


def random_system(n: int, seed: int, gain: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    tau = 0.02 * rng.gamma(3.0, 1 / 3, n).clip(0.2)
    coupling = gain * rng.standard_normal((n, n)) / (0.02 * math.sqrt(n))
    np.fill_diagonal(coupling, 0.0)
    return tau, coupling


def test_system_matrix_is_minus_leak_plus_scaled_coupling():
    a = system_matrix([0.02, 0.01], [[0.0, 3.0], [-4.0, 0.0]], 0.5).toarray()
    assert np.allclose(a, [[-50.0, 1.5], [-2.0, -100.0]])


def test_abscissa_of_a_rotation_and_of_a_feed_forward_chain():
    assert spectral_abscissa([[-3.0, 5.0], [-5.0, -3.0]]) == pytest.approx(-3.0)
    # A long chain is as far from normal as can be; a plain solver reports it as unstable.
    n = 400
    chain = sparse.diags_array([np.full(n - 1, 1e6)], offsets=[-1])
    a = system_matrix(np.linspace(0.01, 0.03, n), chain)
    assert spectral_abscissa(a) == pytest.approx(-1 / 0.03)
    assert is_hurwitz(a)


@pytest.mark.parametrize("bias", [0.0, 3.0])
def test_large_sparse_abscissa_agrees_with_lapack(bias):
    tau, coupling = random_system(420, 3, gain=1.2)
    coupling += bias
    np.fill_diagonal(coupling, 0.0)
    coupling[np.random.default_rng(1).random(coupling.shape) < 0.8] = 0.0
    a = system_matrix(tau, coupling)
    exact = np.linalg.eigvals(a.toarray()).real.max()
    assert spectral_abscissa(a) == pytest.approx(exact, rel=1e-6)


def test_hurwitz_scale_of_a_real_crossing():
    # det(-D + sL) = d1 d2 - s^2 l12 l21 = 0.
    s = hurwitz_scale([0.02, 0.01], [[0.0, 8.0], [2.0, 0.0]])
    assert s == pytest.approx(math.sqrt(50 * 100 / 16), rel=2e-6)
    assert s <= math.sqrt(50 * 100 / 16)


def test_hurwitz_scale_of_an_oscillatory_crossing():
    # A ring of three inhibitory units: lambda = -d - s l w, w a cube root of one, so the
    # complex pair with Re w = -1/2 crosses at s = 2 d / l while det(A) never vanishes.
    ring = -10.0 * np.roll(np.eye(3), 1, axis=0)
    s = hurwitz_scale(0.02, ring)
    assert s == pytest.approx(2 * 50 / 10, rel=2e-6)
    crossing = np.linalg.eigvals(system_matrix(0.02, ring, s).toarray())
    assert abs(crossing[np.argmax(crossing.real)].imag) > 10.0


def test_hurwitz_scale_ends_and_never_crossed():
    forward = np.array([[0.0, 0.0], [7.0, 0.0]])
    assert hurwitz_scale(0.02, forward) == math.inf
    assert hurwitz_scale(0.02, forward, at_most=1.0) == 1.0
    turning = np.array([[0.0, 7.0], [-7.0, 0.0]])
    assert hurwitz_scale([0.02, 0.01], turning) == math.inf
    assert hurwitz_scale(0.02, [[0.0, 1.0], [1.0, 0.0]], at_most=1.0) == 1.0
    assert calibrated_scale(0.02, forward) == pytest.approx(0.8 / (0.02 * 7.0))
    assert calibrated_scale(0.02, np.zeros((2, 2))) == 0.8
    with pytest.raises(ParameterError, match="at_most"):
        hurwitz_scale(0.02, forward, at_most=0.0)


@pytest.mark.parametrize("n", [40, 350])
def test_hurwitz_scale_separates_stable_from_unstable(n):
    tau, coupling = random_system(n, 5)
    s = hurwitz_scale(tau, coupling)
    assert is_hurwitz(system_matrix(tau, coupling, s))
    assert not is_hurwitz(system_matrix(tau, coupling, s * (1 + 1e-5)))
    assert calibrated_scale(tau, coupling) == pytest.approx(0.8 * s)


@pytest.mark.parametrize("method", ["smith", "scipy"])
def test_diagonal_covariance(method):
    rate = np.array([10.0, 50.0, 300.0])
    q = np.array([1.0, 4.0, 2.0])
    c = covariance(-np.diag(rate), q, method=method)
    assert np.allclose(c, np.diag(q / (2 * rate)), rtol=1e-10, atol=1e-14)
    # Q = 2 D: each neuron's own variance does not depend on its tau.
    assert np.allclose(np.diag(covariance(-np.diag(rate), 2 * rate, method=method)), 1.0)


@pytest.mark.parametrize("method", ["smith", "scipy"])
def test_two_neurons_by_hand(method):
    # x2 listens to x1 (both leak 1, weight c): C12 = c C11 / 2, C22 = 1/2 + c C12.
    w = 3.0
    c = covariance([[-1.0, 0.0], [w, -1.0]], [1.0, 1.0], method=method)
    assert np.allclose(c, [[0.5, w / 4], [w / 4, 0.5 + w**2 / 4]], rtol=1e-10)


def test_smith_agrees_with_scipy_close_to_instability():
    tau, coupling = random_system(120, 7)
    for fraction in (0.8, 0.99999):
        a = system_matrix(tau, coupling, fraction * hurwitz_scale(tau, coupling))
        q = np.cov(np.random.default_rng(2).standard_normal((120, 500)))
        fast, reference = covariance(a, q), covariance(a, q, method="scipy")
        assert np.allclose(fast, reference, rtol=1e-6, atol=1e-7 * np.abs(reference).max())
        assert np.linalg.eigvalsh(fast).min() > 0


def test_covariance_is_the_integral_over_time():
    tau, coupling = random_system(6, 11)
    a = system_matrix(tau, coupling, 0.6 * hurwitz_scale(tau, coupling)).toarray()
    q = 2 / tau
    dt, steps = 5e-5, 20_000
    half, whole = linalg.expm(a * dt / 2), linalg.expm(a * dt)
    total = np.zeros((6, 6))
    for _ in range(steps):
        total += half @ np.diag(q) @ half.T * dt
        half = half @ whole
    assert np.allclose(covariance(a, q), total, rtol=2e-4, atol=2e-4 * total.max())


def test_unstable_systems_are_refused_with_their_abscissa():
    with pytest.raises(ParameterError, match=r"abscissa \+2"):
        covariance([[2.0, 0.0], [0.0, -1.0]], [1.0, 1.0])
    with pytest.raises(ParameterError, match="Hurwitz"):
        covariance([[0.0, 1.0], [-1.0, 0.0]], [1.0, 1.0])


def test_negative_controls_of_the_covariance():
    a = system_matrix(0.02, [[0.0, 9.0], [-4.0, 0.0]])
    assert (np.diag(covariance(a, [-1.0, -1.0])) < 0).all()
    assert (np.diag(covariance(a, [1.0, 1.0])) > 0).all()
    # What the refusal guards against: the equation itself has a solution, with variance < 0.
    wrong = linalg.solve_continuous_lyapunov(np.array([[2.0]]), -np.array([[1.0]]))
    assert wrong[0, 0] < 0


def test_too_few_doublings_carry_what_there_is():
    a = -np.diag([1.0, 1e3, 1e6])
    with pytest.raises(ConvergenceError) as caught:
        covariance(a, [1.0, 1.0, 1.0], max_iter=1)
    assert caught.value.partial.shape == (3, 3)
    assert np.allclose(np.diag(covariance(a, [1.0, 1.0, 1.0])), [0.5, 5e-4, 5e-7])


def test_wrong_input_is_named():
    with pytest.raises(ParameterError, match="coupling"):
        system_matrix(0.02, np.zeros((2, 3)))
    with pytest.raises(ParameterError, match="tau"):
        system_matrix([0.02, 0.0], np.zeros((2, 2)))
    with pytest.raises(ParameterError, match="symmetric"):
        covariance(-np.eye(2), [[1.0, 1.0], [0.0, 1.0]])
    with pytest.raises(ParameterError, match="q"):
        covariance(-np.eye(2), [1.0, 1.0, 1.0])
    assert covariance(-np.eye(2), [0.0, 0.0]).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_chains_that_amplify_beyond_all_digits_take_a_smaller_scale():
    # A chain of 40 strong couplings, and one weak cycle that alone bounds the stable scale.
    n, tau = 43, 0.02
    l = np.zeros((n, n))  # noqa: E741
    for k in range(40):
        l[k + 1, k] = 100.0
    l[41, 42] = l[42, 41] = 1.0
    scale = calibrated_scale(tau, l)
    assert scale == pytest.approx(0.8 * 50.0)
    with pytest.raises(ConvergenceError):
        covariance(system_matrix(tau, l, scale), np.full(n, 2 / tau))
    c, smaller = calibrated_covariance(tau, l)
    assert 0 < smaller < scale and np.log2(scale / smaller) == pytest.approx(
        round(np.log2(scale / smaller))
    )
    a = system_matrix(tau, l, smaller).toarray()
    residual = a @ c + c @ a.T + 2 / tau * np.eye(n)
    assert np.linalg.norm(residual) < 1e-7 * np.linalg.norm(2 / tau * np.eye(n))
    # Where nothing is amplified it is the plain covariance at the calibrated scale.
    mild = np.where(l > 1, 20.0, l)
    c, same = calibrated_covariance(tau, np.where(mild == 1.0, 30.0, mild))
    assert same == calibrated_scale(tau, np.where(mild == 1.0, 30.0, mild))
