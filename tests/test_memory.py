"""Memory and kernel measures: delay lines, known ranks, networks that hear nothing."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.memory import (
    delayed_r2,
    effective_rank,
    kernel_measures,
    mean_distance,
    memory_capacity,
)
from brain_lnp import HRSNNSpec, sample_hrsnn
from models_eq.errors import ParameterError

pytestmark = pytest.mark.usefixtures("numpy_device")


def delay_line(rows=400, taps=8, others=92, seed=0):
    """States that hold exactly the last inputs, in a random basis together with noise."""
    rng = np.random.default_rng(seed)
    u = rng.uniform(-1, 1, rows)
    line = np.stack([np.roll(u, d) for d in range(taps)], axis=1)
    states = np.hstack([line, rng.normal(size=(rows, others))])
    return states @ rng.normal(size=(taps + others, taps + others)), u


def test_a_delay_line_remembers_its_length_and_nothing_more():
    found = np.stack([delayed_r2(*delay_line(seed=seed), 16, 10) for seed in range(20)])
    np.testing.assert_allclose(found[:, :8], 1.0, atol=1e-9)
    rest = found[:, 8:].mean(axis=1)
    error = rest.std(ddof=1) / np.sqrt(20)
    assert abs(rest.mean()) < 4 * error
    # Without the correction, 100 features of 375 rows would remember what they cannot.
    p, rows = 100, 400 - 25
    plain = 1 - (1 - rest) * (rows - p - 1) / (rows - 1)
    assert plain.mean() == pytest.approx(p / (rows - 1), abs=0.03) and plain.mean() > 20 * error


def test_ranks_and_distances_of_known_matrices():
    rng = np.random.default_rng(0)
    assert effective_rank(rng.normal(size=(30, 5)) @ rng.normal(size=(5, 40))) == 5
    assert effective_rank(np.diag([1.0, 0.5, 0.02, 0.005])) == 3
    assert effective_rank(np.zeros((3, 3))) == 0
    states = rng.normal(size=(6, 4))
    pairs = [np.mean((a - b) ** 2) for k, a in enumerate(states) for b in states[:k]]
    assert mean_distance(states) == pytest.approx(np.sqrt(np.mean(pairs)))


def test_networks_hold_their_input_and_deaf_ones_do_not():
    net = sample_hrsnn(HRSNNSpec(n=25), seed=1)
    rows = {"seed": 0, "draws": 2, "rows": 200, "delays": 6, "washout": 20}
    heard, deaf = (memory_capacity(net, input_sd=sd, **rows) for sd in (2.0, 0.0))
    assert heard.r2.shape == (2, 6) and heard.total[0] > 1.0 > 5 * abs(deaf.total[0])
    np.testing.assert_array_equal(heard.r2, memory_capacity(net, **rows).r2)


def test_ranks_of_networks_follow_the_inputs():
    net = sample_hrsnn(HRSNNSpec(n=25), seed=1)
    settings = {"seed": 0, "draws": 2, "samples": 12, "rows": 10}
    same = kernel_measures(net, noise=0.0, **settings)
    assert (same.generalisation_rank == 1).all() and (same.spread < 1e-9).all()
    assert (same.kernel_rank > 6).all() and (same.kernel_rank <= 12).all()
    some = kernel_measures(net, noise=1.0, **settings)
    np.testing.assert_array_equal(some.generalisation_rank, some.kernel_rank)
    deaf = kernel_measures(net, input_sd=0.0, **settings)
    assert (deaf.kernel_rank <= 1).all() and (deaf.separation < 1e-9).all()
    assert some.summary()["separation"][0] == pytest.approx(some.separation.mean())


def test_bad_arguments_are_named():
    net = sample_hrsnn(HRSNNSpec(n=10), seed=1)
    for function, settings in (
        (memory_capacity, {"draws": 1}),
        (kernel_measures, {"draws": 1}),
        (kernel_measures, {"noise": 2.0}),
        (kernel_measures, {"samples": 1}),
    ):
        with pytest.raises(ParameterError) as error:
            function(net, seed=0, **settings)
        assert error.value.field == next(iter(settings))
    with pytest.raises(ParameterError, match="rank"):
        delayed_r2(np.random.default_rng(0).normal(size=(20, 19)), np.zeros(20), 3)
