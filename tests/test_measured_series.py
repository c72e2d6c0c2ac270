"""What a network adds to twenty taps: nothing where nothing is left, else what it knows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_lnp.tasks import Task, trivial


@pytest.fixture(scope="module")
def study() -> Any:
    scripts = str(Path(__file__).parent.parent / "scripts")
    sys.path.insert(0, scripts)
    try:
        import measured_series

        yield measured_series
    finally:
        sys.path.remove(scripts)


def forecast(bend: float) -> Task:
    """Noise u; the target is its mean over five rows and, times ``bend``, its present square."""
    u = np.random.default_rng(3).standard_normal((900, 1))
    past = sum(np.roll(u, k, axis=0) for k in range(5)) / 5
    y = past + bend * (u**2 - 1)
    return Task("known", u, y, "series", 0.01, 50, 500, 150, 200, horizon=1)


def test_noise_adds_nothing_to_taps_that_know_all(study: Any) -> None:
    task = forecast(0.0)
    noise = np.random.default_rng(5).standard_normal((900, 30))
    taps, error = study.corrected(noise, task)
    assert taps < 1e-6
    assert error < 1e-3


def test_useless_features_leave_the_regression_as_it_is(study: Any) -> None:
    task = forecast(0.5)
    noise = np.random.default_rng(5).standard_normal((900, 100))
    taps, error = study.corrected(noise, task)
    # Square over square and mean of five: sd of the rest over that of the target.
    expected = np.sqrt(0.5 / (0.5 + 0.2))
    assert taps == pytest.approx(expected, rel=0.1)
    assert taps == pytest.approx(trivial.autoregression(task), rel=1e-12)
    assert error == pytest.approx(taps, rel=0.03)


def test_what_taps_cannot_know_is_added(study: Any) -> None:
    task = forecast(0.5)
    features = np.hstack([task.inputs**2, study.lagged(task.inputs)])
    taps, error = study.corrected(features, task)
    assert taps > 0.7
    assert error < 0.01


def test_the_past_of_a_row_lies_beside_it(study: Any) -> None:
    inputs = np.arange(60.0).reshape(30, 2)
    rows = study.lagged(inputs)
    assert rows.shape == (30, 2 * study.TAPS)
    np.testing.assert_array_equal(rows[25].reshape(-1, 2), inputs[25 : 25 - study.TAPS : -1])
    assert not rows[0, 2:].any()


def test_table_tells_the_ratio_to_the_taps(study: Any) -> None:
    rows = [
        {"task": "t", "who": "lnp", "seed": s, "taps": 0.5, "error": 0.5 * e}
        for s, e in enumerate((0.8, 1.25))
    ]
    # The geometric mean of 0.8 and 1.25 is 1.
    assert "| 0.5000 | 0.5125 ± 0.1125 | 1.0000 (" in study.table(rows)
    assert len(study.table(rows[:1]).splitlines()) == 2
