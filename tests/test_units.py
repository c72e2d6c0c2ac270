"""The gate from quantities and text to SI floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from brian2 import Hz, ms, mV, second
from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension
from hypothesis import given
from hypothesis import strategies as st

from models_eq.errors import ParameterError, UnitError
from models_eq.units import (
    FREQUENCY,
    TIME,
    dimension_of,
    parse_quantity,
    positive_seconds,
    seconds,
    to_si,
)


@pytest.mark.parametrize(
    ("value", "dimension", "expected"),
    [
        (20 * ms, TIME, 0.02),
        ("20 ms", TIME, 0.02),
        ("20ms", TIME, 0.02),
        ("  .5   second ", TIME, 0.5),
        ("1e-3 s", TIME, 0.001),
        ("-2 us", TIME, -2e-6),
        ("10 Hz", FREQUENCY, 10.0),
        ("3 hertz", FREQUENCY, 3.0),
        (10 * Hz, FREQUENCY, 10.0),
        (1 / second, FREQUENCY, 1.0),
        (0.3, DIMENSIONLESS, 0.3),
        ("0.3", DIMENSIONLESS, 0.3),
        (3 * mV / mV, DIMENSIONLESS, 3.0),
    ],
)
def test_what_passes(value: Any, dimension: Dimension, expected: float) -> None:
    result = to_si(value, dimension, "x")
    assert isinstance(result, float)
    assert result == pytest.approx(expected, rel=1e-15)


@given(st.floats(1e-6, 1e6))
def test_text_and_quantity_agree(x: float) -> None:
    assert to_si(f"{x!r} ms", TIME, "x") == to_si(x * ms, TIME, "x")


def test_arrays_keep_their_shape() -> None:
    np.testing.assert_allclose(
        to_si([[1, 2], [3, 4]] * ms, TIME, "x"), [[1e-3, 2e-3], [3e-3, 4e-3]]
    )
    np.testing.assert_allclose(to_si([1 * ms, 2 * second], TIME, "x"), [1e-3, 2.0])


@pytest.mark.parametrize(
    "value",
    [0.02, 1, "0.02", "20 mV", "20 parsec", 20 * mV, "", "ms", "20 ms ms", [1 * ms, 2 * mV]],
)
def test_a_time_needs_its_unit(value: Any) -> None:
    with pytest.raises(UnitError, match="tau_m"):
        to_si(value, TIME, "tau_m")


@pytest.mark.parametrize("value", ["20 ms", 20 * ms, 1 * Hz])
def test_a_number_must_have_none(value: Any) -> None:
    with pytest.raises(UnitError, match="sd"):
        to_si(value, DIMENSIONLESS, "sd")


@pytest.mark.parametrize("value", [None, {}, object(), 1j])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ParameterError, match="x"):
        to_si(value, TIME, "x")


@pytest.mark.parametrize("value", [np.nan * ms, np.inf * ms, [1, 2] * ms])
def test_one_finite_time(value: Any) -> None:
    with pytest.raises(ParameterError, match="duration"):
        seconds(value, "duration")


def test_zero_and_negative_times() -> None:
    assert seconds("0 ms", "x") == 0.0
    assert seconds(-1 * ms, "x") == -0.001
    for value in ("0 ms", -1 * ms):
        with pytest.raises(ParameterError, match="above 0"):
            positive_seconds(value, "dt")


def test_dimensions_are_read() -> None:
    assert dimension_of("20 ms", "x") is TIME
    assert dimension_of(3 * Hz, "x") is FREQUENCY
    assert dimension_of(3, "x") is DIMENSIONLESS
    assert parse_quantity("20", "x") == 20.0
