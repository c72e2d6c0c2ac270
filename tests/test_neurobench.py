"""NeuroBench's chaotic function prediction: data against theory, measures against counts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from brain_lnp.tasks.neurobench import (
    CONSTANT_PAST,
    activation_sparsity,
    connection_sparsity,
    footprint,
    neurobench_series,
    operations,
    smape,
)
from models_eq.errors import ParameterError


def test_the_first_stretch_is_the_exact_solution_of_the_linear_equation() -> None:
    # Up to t = tau the production is constant: x' = p - 0.1 x, in closed form.
    for tau in (17, 30):
        found = neurobench_series(tau)
        assert found.train.shape == (751,) and found.test.shape == (750,) and found.warmup == 45
        t = np.arange(751) * 197 / 75
        t = t[t <= tau]
        rest = 2.0 * CONSTANT_PAST / (1 + CONSTANT_PAST**10)
        truth = rest + (CONSTANT_PAST - rest) * np.exp(-0.1 * t)
        np.testing.assert_allclose(found.train[: len(t)], truth, atol=1e-9)


def test_a_shift_of_two_is_one_lyapunov_time() -> None:
    first, later, odd = (neurobench_series(20, s) for s in (0, 2, 1))
    np.testing.assert_array_equal(later.train[:-75], first.train[75:])
    np.testing.assert_array_equal(later.test[:-75], first.test[75:])
    np.testing.assert_array_equal(odd.train[:-37], first.train[37:])
    assert np.ptp(first.test) > 0.5
    assert not np.allclose(first.test, neurobench_series(21).test, atol=0.1)


def test_smape_of_known_errors() -> None:
    y = np.array([1.0, 2.0, 4.0])
    assert smape(y, y) == 0
    assert smape(y, 3 * y) == pytest.approx(100.0)
    assert smape(y, -y) == pytest.approx(200.0)
    assert smape(y, [1.0, np.nan, 4.0]) == smape([0.0], [0.0]) == 200.0
    assert smape(3 * y, y) == smape(y, 3 * y)


def test_operations_are_those_counted_by_hand() -> None:
    w = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0]])
    spikes = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])  # fan-out 2 and 1
    values = np.array([[0.5, 0.0]])
    for weights in (w, sparse.csr_array(w)):
        found = operations([(weights, spikes), (weights, values)], rows=2)
        assert found.effective_acs == (2 + 1 + 3) / 2
        assert found.effective_macs == 2 / 2
        assert found.dense == 5 * 6 / 2
    # One value among spikes makes the whole evaluation multiply.
    assert operations([(w, [[1.0, 0.5]])], 1).effective_macs == 3


def test_sparsities_and_footprint_by_hand() -> None:
    w = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert connection_sparsity([w, np.ones((1, 4))]) == pytest.approx(3 / 8)
    assert connection_sparsity([sparse.csr_array(w)]) == pytest.approx(3 / 4)
    assert activation_sparsity([np.array([[0, 1], [0, 0]]), np.ones(4)]) == pytest.approx(3 / 8)
    assert footprint([np.zeros(5), np.zeros(3, dtype=np.float32)]) == 52
    stored = sparse.csr_array(w)
    assert footprint([stored]) == 8 + stored.indices.nbytes + stored.indptr.nbytes


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("tau", lambda: neurobench_series(16)),
        ("shift", lambda: neurobench_series(17, 30)),
        ("prediction", lambda: smape([1.0], [1.0, 2.0])),
        ("truth", lambda: smape([np.nan], [1.0])),
        ("layers", lambda: operations([(np.ones((2, 2)), np.ones((1, 3)))], 1)),
        ("weights", lambda: connection_sparsity([])),
        ("activations", lambda: activation_sparsity([])),
    ],
)
def test_what_is_wrong_is_named(field: str, call) -> None:
    with pytest.raises(ParameterError, match=field):
        call()
