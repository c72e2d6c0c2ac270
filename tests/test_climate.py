"""Return map, invariant measure and power spectrum, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.climate import measure_distance, return_map, spectrum_distance
from models_eq.errors import ParameterError

T = np.arange(2048)


def test_maxima_of_a_growing_oscillation_grow_by_a_known_factor() -> None:
    # x = exp(g t) cos(w t): every maximum is exp(2 pi g / w) times the one before.
    growth, speed = 1e-3, 0.1
    found = return_map(np.exp(growth * T) * np.cos(speed * T))
    assert len(found) == 31
    np.testing.assert_allclose(
        found[:, 1] / found[:, 0], np.exp(2 * np.pi * growth / speed), rtol=1e-4
    )
    # Samples miss the crest of a wave by up to w^2 / 8; the parabola does not.
    wave = return_map(np.cos(0.3 * T))
    np.testing.assert_allclose(wave, 1.0, atol=2e-4)
    assert return_map(T.astype(float)).shape == (0, 2)


def test_the_distance_of_a_shifted_measure_is_the_shift() -> None:
    x = np.random.default_rng(0).normal(size=(3000, 2)) * [1.0, 10.0]
    assert measure_distance(x, x[::-1]) == pytest.approx(0, abs=1e-12)
    shifted = x + 0.5 * x.std(axis=0)
    assert measure_distance(x, shifted) == pytest.approx(0.5)
    assert measure_distance(x[None], shifted) == pytest.approx(0.5)
    # At rest in the mean: the mean absolute value of a normal variable.
    rest = np.zeros_like(x) + x.mean(axis=0)
    assert measure_distance(x, rest) == pytest.approx(np.sqrt(2 / np.pi), abs=0.03)


def test_twice_the_amplitude_is_six_decibel_at_every_frequency() -> None:
    x = np.random.default_rng(1).normal(size=(2, 2048, 2)).cumsum(axis=1)
    assert spectrum_distance(x, x) == 0
    assert spectrum_distance(x, 2 * x) == pytest.approx(20 * np.log10(2))
    assert spectrum_distance(x, x + 7.0) == pytest.approx(0, abs=1e-6)  # the mean is no power
    assert spectrum_distance(x, np.zeros_like(x)) > 50
    slow, fast = np.sin(0.1 * T)[:, None], np.sin(0.4 * T)[:, None]
    assert spectrum_distance(slow, fast) > 20


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("series", lambda: return_map(np.zeros((3, 2)))),
        ("truth", lambda: measure_distance(np.zeros((5, 1)), np.ones((5, 1)))),
        ("prediction", lambda: measure_distance(np.eye(3), np.eye(2))),
        ("prediction", lambda: measure_distance(np.eye(3), np.full((3, 3), np.nan))),
        ("truth", lambda: spectrum_distance(np.eye(4), np.eye(4))),
        ("segment", lambda: spectrum_distance(np.eye(4), np.eye(4), 2)),
    ],
)
def test_what_is_wrong_is_named(field: str, call) -> None:
    with pytest.raises(ParameterError, match=field):
        call()
