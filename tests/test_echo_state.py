"""The echo-state network against what theory says of it."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.echo_state import EchoState
from models_eq.errors import ParameterError


def memory(net: EchoState, rows: int, delays: int) -> np.ndarray:
    """Squared correlation of the best linear readout with the input of each delay."""
    u = np.random.default_rng(0).uniform(-1, 1, size=rows)
    x = net.states(u[None, :, None])[0][delays:]
    z = np.hstack([x, np.ones((len(x), 1))])
    half = len(z) // 2
    found = []
    for d in range(1, delays + 1):
        y = u[delays - d : rows - d]
        coef = np.linalg.lstsq(z[:half], y[:half], rcond=1e-12)[0]
        found.append(np.corrcoef(z[half:] @ coef, y[half:])[0, 1] ** 2)
    return np.array(found)


def test_the_matrix_has_the_radius_and_the_density_asked_for() -> None:
    for n in (200, 600):  # dense and iterative eigenvalues
        net = EchoState(n, 2, radius=0.8, density=0.05, seed=3)
        assert net.recurrent.nnz == round(0.05 * n * n)
        eigenvalues = np.linalg.eigvals(net.recurrent.toarray())
        assert np.abs(eigenvalues).max() == pytest.approx(0.8, rel=1e-6)


def test_it_forgets_its_initial_state_below_the_edge_and_not_above() -> None:
    u = np.random.default_rng(1).uniform(-1, 1, size=(1, 300, 1)).repeat(2, axis=0)
    first = np.random.default_rng(2).uniform(-1, 1, size=(2, 100))
    gap = {}
    for radius in (0.8, 3.0):
        net = EchoState(100, 1, radius=radius, density=0.1, seed=1)
        x = net.states(u, first)
        gap[radius] = np.abs(x[0, -1] - x[1, -1]).max()
    assert gap[0.8] < 1e-12
    assert gap[3.0] > 1e-2


def test_linear_memory_is_at_most_the_number_of_units() -> None:
    # Nearly linear units: Jaeger (2001), capacity <= n, and much of it is used.
    net = EchoState(20, 1, radius=0.9, input_scale=1e-3, bias=0.0, density=1.0, seed=2)
    total = memory(net, 20000, 60).sum()
    assert 10 < total < 20 * 1.02
    # Without recurrence a unit knows the present row alone.
    none = EchoState(20, 1, radius=0.0, input_scale=1e-3, bias=0.0, density=1.0, seed=2)
    assert memory(none, 20000, 60).sum() < 0.05 + 60 / 10000


def test_a_leak_without_recurrence_is_an_exponential_filter() -> None:
    net = EchoState(3, 1, radius=0.0, leak=0.3, input_scale=1e-4, bias=0.0, density=1.0)
    u = np.zeros((1, 6, 1))
    u[0, 0] = 1.0
    x = net.states(u)[0] / (0.3 * net.input_weights[0])
    np.testing.assert_allclose(x, 0.7 ** np.arange(6)[:, None] * np.ones(3), rtol=1e-6)


def test_a_free_run_of_a_perfect_predictor_follows_and_feeds_back() -> None:
    net = EchoState(30, 1, density=0.2, seed=1)
    warm = np.array([[[1.0], [-0.5]], [[0.2], [0.3]]])
    seen = []

    def predict(state: np.ndarray, present: np.ndarray) -> np.ndarray:
        seen.append(state)
        return -0.9 * present

    run = net.free_run(warm, predict, 4)
    truth = warm[:, -1:] * (-0.9) ** np.arange(1, 5)[None, :, None]
    np.testing.assert_allclose(run, truth, atol=1e-12)
    driven = net.states(np.concatenate([warm, truth], axis=1))
    np.testing.assert_allclose(np.stack(seen, axis=1), driven[:, 1:5], atol=1e-12)


@pytest.mark.parametrize(
    ("field", "value"), [("n", 0), ("radius", -1.0), ("leak", 0.0), ("leak", 1.1), ("density", 0.0)]
)
def test_what_is_wrong_is_named(field: str, value: float) -> None:
    with pytest.raises(ParameterError, match=field):
        EchoState(**{"n": 10, "channels": 1, field: value})


def test_inputs_of_another_width_are_refused() -> None:
    with pytest.raises(ParameterError, match="inputs"):
        EchoState(10, 2, density=0.5).states(np.zeros((1, 5, 1)))
