"""The solver for large Lyapunov equations: single precision, corrected in double."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from analysis.pruning import doubling, linear_response
from analysis.pruning.doubling import congruence
from analysis.pruning.linear_response import (
    covariance,
    hurwitz_scale,
    spectral_abscissa,
    system_matrix,
)
from models_eq.errors import ConvergenceError, ParameterError


def random_system(
    n: int, seed: int, share: float, fraction: float = 0.8
) -> tuple[sparse.csr_array, np.ndarray]:
    """A calibrated network of a given density, time constants spread tenfold, and 2/tau."""
    rng = np.random.default_rng(seed)
    tau = 0.02 * rng.gamma(3.0, 1 / 3, n).clip(0.2)
    coupling = rng.standard_normal((n, n)) * (rng.random((n, n)) < share)
    coupling[:, : n // 5] = -np.abs(coupling[:, : n // 5])
    np.fill_diagonal(coupling, 0.0)
    return system_matrix(tau, coupling, fraction * hurwitz_scale(tau, coupling)), 2 / tau


def relative_residual(a: sparse.csr_array, c: np.ndarray, q: np.ndarray) -> float:
    full = np.diag(q) if q.ndim == 1 else q
    dense = a.toarray()
    return float(np.linalg.norm(dense @ c + c @ dense.T + full) / np.linalg.norm(full))


def some_noise(kind: str, n: int, diagonal: np.ndarray) -> np.ndarray:
    if kind == "diagonal":
        return diagonal
    draws = np.random.default_rng(n).standard_normal((n, n // 2))
    if kind == "full":
        return np.cov(draws)
    return draws[:, :1] @ draws[:, 1:2].T + draws[:, 1:2] @ draws[:, :1].T


@pytest.mark.parametrize(
    ("n", "share", "fraction"), [(60, 0.5, 0.8), (150, 0.1, 0.99), (300, 0.02, 0.8)]
)
@pytest.mark.parametrize("kind", ["diagonal", "full", "indefinite"])
def test_agrees_with_scipy_to_eight_digits(n, share, fraction, kind):
    a, diagonal = random_system(n, 4, share, fraction)
    q = some_noise(kind, n, diagonal)
    c, reference = covariance(a, q, method="mixed"), covariance(a, q, method="scipy")
    assert relative_residual(a, c, q) < 1e-8
    assert np.array_equal(c, c.T)
    assert np.linalg.norm(c - reference) < 1e-6 * np.linalg.norm(reference)
    # More digits than single precision has: the corrections are what gives them.
    single = doubling.Doubling(a.toarray().astype(np.float32))(q.astype(np.float32))
    assert np.linalg.norm(single - reference) > 1e-7 * np.linalg.norm(reference)


def test_known_solutions():
    rate = np.array([10.0, 50.0, 300.0])
    q = np.array([1.0, 4.0, 2.0])
    c = covariance(-np.diag(rate), q, method="mixed")
    assert np.allclose(c, np.diag(q / (2 * rate)), rtol=1e-8, atol=1e-12)
    # x2 listens to x1 (both leak 1, weight w): C12 = w C11 / 2, C22 = 1/2 + w C12.
    w = 3.0
    c = covariance([[-1.0, 0.0], [w, -1.0]], [1.0, 1.0], method="mixed")
    assert np.allclose(c, [[0.5, w / 4], [w / 4, 0.5 + w**2 / 4]], rtol=1e-8)


def test_doubling_the_noise_doubles_the_covariance():
    a, q = random_system(80, 1, 0.3)
    one = covariance(a, q, method="mixed")
    assert np.allclose(covariance(a, 2e9 * q, method="mixed"), 2e9 * one, rtol=1e-7)


@pytest.mark.parametrize("excess", [1e-4, 0.1, 10.0])
def test_unstable_systems_are_refused(excess):
    a, q = random_system(120, 3, 0.4)
    unstable = a + (excess - spectral_abscissa(a)) * sparse.eye_array(120)
    with pytest.raises(ParameterError, match=r"abscissa \+"):
        covariance(unstable, q, method="mixed")


def test_what_single_precision_cannot_do_is_refused_or_done_in_double(monkeypatch):
    # A chain that amplifies by 16 orders of magnitude: no digit of float32 survives.
    n, tau = 40, 0.02
    chain = sparse.diags_array([np.full(n - 1, 400.0)], offsets=[-1])
    a, q = system_matrix(tau, chain), np.full(n, 2 / tau)
    with pytest.raises(ConvergenceError) as caught:
        covariance(a, q, method="mixed")
    assert "abscissa -50" in str(caught.value)
    # What comes with a refusal is the best there is.
    a, q = random_system(100, 2, 0.3)
    with pytest.raises(ConvergenceError) as caught:
        covariance(a, q, method="mixed", rtol=1e-17)
    assert caught.value.partial is not None
    assert relative_residual(a, caught.value.partial, q) < 1e-8

    def fails(*args):
        raise ArithmeticError("no")

    monkeypatch.setattr(linear_response, "_LARGE", 50)
    monkeypatch.setattr(linear_response, "corrected", fails)
    assert np.array_equal(covariance(a, q), covariance(a, q, method="smith"))


def test_broken_products_never_get_out(monkeypatch):
    a, q = random_system(100, 2, 0.3)
    # B' X B for B X B' solves another equation (or none).
    monkeypatch.setattr(doubling, "congruence", lambda b, x: congruence(b.T.copy(), x))
    with pytest.raises(ConvergenceError) as caught:
        covariance(a, q, method="mixed")
    if caught.value.partial is not None:
        assert relative_residual(a, caught.value.partial, q) > 1e-8
    # With the fallback the answer is right, though slower.
    monkeypatch.setattr(linear_response, "_LARGE", 50)
    assert relative_residual(a, covariance(a, q), q) < 1e-8


def test_the_residual_that_counts_is_computed_in_double():
    a, q = random_system(100, 2, 0.3)
    c, residual, certain = doubling.corrected(a, q, 1e-8)
    assert certain
    assert residual < 1e-8
    assert residual == pytest.approx(relative_residual(a, c, q), rel=1e-3)
    # Negative control: the solution for A rounded to single precision would not pass.
    rounded = a.astype(np.float32).astype(float)
    other = covariance(rounded, q, method="scipy")
    assert relative_residual(rounded, other, q) < 1e-11 < 1e-8 < relative_residual(a, other, q)


def test_small_systems_take_the_way_they_always_took(monkeypatch):
    def never(*args):
        raise AssertionError("single precision for a small system")

    monkeypatch.setattr(linear_response, "corrected", never)
    a, q = random_system(400, 5, 0.1)
    assert np.array_equal(covariance(a, q), covariance(a, q, method="smith"))


@pytest.mark.parametrize("n", [1, 3, 50])
def test_congruence(n):
    rng = np.random.default_rng(0)
    b, x = rng.standard_normal((n, n)), rng.standard_normal((n, n))
    x = x + x.T
    assert np.allclose(congruence(b, x), b @ x @ b.T)
    for vector in (x[0], np.abs(x[0])):
        assert np.allclose(congruence(b, vector), b @ np.diag(vector) @ b.T)


def test_large_systems_take_it_by_themselves():
    n = 1001
    rng = np.random.default_rng(9)
    tau = rng.uniform(0.01, 0.04, n)
    l = sparse.csr_array((rng.random(4 * n), rng.integers(0, n, (2, 4 * n))), shape=(n, n))  # noqa: E741
    norm = math.sqrt(float(l.sum(axis=0).max() * l.sum(axis=1).max()))
    a = system_matrix(tau, l, 20.0 / norm)  # leaks are at least 25: diagonally dominated
    q = 2 / tau
    calls = []
    real = linear_response.corrected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_response, "corrected", lambda *args: calls.append(1) or real(*args))
        c = covariance(a, q)
    assert calls
    assert relative_residual(a, c, q) < 1e-8
