from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.comparison import error_at, paired_ratio
from models_eq.errors import ParameterError


def test_the_interval_is_that_of_a_paired_t_test():
    rng = np.random.default_rng(1)
    seeds = rng.lognormal(0, 1, 12)  # what a seed does to both
    a, b = seeds * rng.lognormal(-0.1, 0.1, 12), seeds * rng.lognormal(0, 0.1, 12)
    found = paired_ratio(a, b)
    test = stats.ttest_rel(np.log(a), np.log(b)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(np.exp([test.low, test.high]))
    assert found.ratio == pytest.approx(stats.gmean(a / b))
    assert found.n == 12 and found.wins == int((a < b).sum())
    turned = paired_ratio(b, a)
    assert (turned.ratio, turned.low) == pytest.approx((1 / found.ratio, 1 / found.high))
    # Not paired, the seeds' own spread would hide the difference.
    assert found.high - found.low < 0.3
    assert paired_ratio(a, rng.permutation(b)).high > 1.5


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(2000):
        found = paired_ratio(rng.lognormal(np.log(0.9), 0.2, 10), np.ones(10))
        hits += found.low <= 0.9 <= found.high
    assert abs(hits / 2000 - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_verdicts():
    assert paired_ratio([0.5, 0.51, 0.49], [1.0, 1.0, 1.0]).better
    assert paired_ratio([2.0, 2.1, 1.9], [1.0, 1.0, 1.0]).worse
    even = paired_ratio([0.9, 1.1, 1.0], [1.0, 1.0, 1.0])
    assert not even.better and not even.worse


def test_a_power_law_is_read_exactly_and_nothing_is_known_outside():
    costs = np.array([100.0, 1.0, 10.0])
    at = np.array([2.0, 50.0, 0.5, 200.0])
    found = error_at(at, costs, 3.0 * costs**-0.25)
    assert found[:2] == pytest.approx(3.0 * at[:2] ** -0.25)
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: paired_ratio([1.0], [1.0]), "errors"),
        (lambda: paired_ratio([1.0, 2.0], [1.0]), "others"),
        (lambda: paired_ratio([1.0, 0.0], [1.0, 1.0]), "errors"),
        (lambda: paired_ratio([1.0, 2.0], [1.0, np.nan]), "others"),
        (lambda: paired_ratio([1.0, 2.0], [1.0, 1.0], confidence=1.0), "confidence"),
        (lambda: error_at([1.0], [1.0], [1.0]), "costs"),
        (lambda: error_at([-1.0], [1.0, 2.0], [1.0, 1.0]), "cost"),
    ],
)
def test_bad_input_is_named(call, field):
    with pytest.raises(ParameterError) as caught:
        call()
    assert caught.value.field == field
