from __future__ import annotations

import numpy as np
import pytest

from analysis.capacity import LAGS, capacity, capacity_targets
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec, sample_hrsnn

ROWS = (30, 300, 150)


pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=60), seed=1)


def test_targets_by_hand():
    u = np.arange(30.0)
    targets = capacity_targets(u)
    assert targets.shape == (30, 22)
    row = targets[25]
    assert np.array_equal(row[:7], [25, 23, 21, 18, 15, 11, 5])
    products = [25 * 25, 25 * 23, 25 * 21, 25 * 18, 25 * 15, 23 * 23, 23 * 21, 23 * 18, 23 * 15]
    products += [21 * 21, 21 * 18, 21 * 15, 18 * 18, 18 * 15, 15 * 15]
    assert np.array_equal(row[7:], products)
    # From row 20 on nothing wraps around; before it something does.
    for lag, column in zip(LAGS, range(7), strict=True):
        assert np.array_equal(targets[20:, column], u[20 - lag : 30 - lag])
    assert targets[19, 6] == 29


def test_recurrence_adds_capacity():
    for seed in (1, 2, 3):
        coupled = sample_hrsnn(HRSNNSpec(n=60), seed=seed)
        scores = capacity([coupled, coupled.keep_edges([])], seed=seed, rows=ROWS)
        assert scores.shape == (2, 2)
        assert (scores > 0.05).all() and (scores < 1).all()
        assert scores[0].mean() > scores[1].mean()


def test_silence_and_deafness_have_no_capacity(net):
    silent = net.replace(i_ext=-50.0)
    assert not capacity([silent], seed=0, rows=ROWS).any()
    # Spikes that know nothing of the input: what is left is chance.
    deaf = capacity([net], seed=0, rows=ROWS, input_sd=0.0)
    assert (deaf < 0.05).all()
    assert capacity([net], seed=0, rows=ROWS).mean() > 0.2


def test_the_same_seed_gives_the_same_and_another_another(net):
    one = capacity([net], seed=5, rows=ROWS)
    assert np.array_equal(one, capacity([net], seed=5, rows=ROWS))
    assert not np.allclose(one, capacity([net], seed=6, rows=ROWS))
    assert one[0, 0] != one[0, 1], "the draws are independent"
    assert np.array_equal(one[:, :1], capacity([net], seed=5, rows=ROWS, draws=1))


def test_a_network_scores_the_same_whoever_runs_beside_it(net):
    fewer = net.keep_neurons(np.arange(0, 60, 2))
    together = capacity([net, net.keep_edges([]), fewer], seed=2, rows=ROWS)
    for k, alone in enumerate((net, net.keep_edges([]), fewer)):
        assert np.array_equal(together[k], capacity([alone], seed=2, rows=ROWS)[0])


def test_what_is_refused(net):
    other = sample_hrsnn(HRSNNSpec(n=50), seed=1)
    with pytest.raises(ParameterError, match="one origin"):
        capacity([net, other], seed=0, rows=ROWS)
    with pytest.raises(ParameterError, match="nets"):
        capacity([], seed=0, rows=ROWS)
    for rows in ((19, 300, 150), (30, 1, 150), (30, 300, 0)):
        with pytest.raises(ParameterError, match="washout"):
            capacity([net], seed=0, rows=rows)
    with pytest.raises(ParameterError, match="draws"):
        capacity([net], seed=0, rows=ROWS, draws=0)
