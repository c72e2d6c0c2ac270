"""Errors: each is the fitting builtin, tells field, expectation and way out, and can travel."""

from __future__ import annotations

import pickle

import pytest

from models_eq import errors
from models_eq.errors import BrainLNPError, ConvergenceError, ParameterError, UnitError

KINDS = {
    "ParameterError": ValueError,
    "UnitError": ValueError,
    "BudgetError": ValueError,
    "FormatError": ValueError,
    "MissingFileError": FileNotFoundError,
    "DeviceError": RuntimeError,
    "SilentNetworkError": RuntimeError,
    "WorkerError": RuntimeError,
    "ConvergenceError": ArithmeticError,
    "CapabilityError": NotImplementedError,
}


def test_the_table_lists_every_kind() -> None:
    found = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BrainLNPError)
    }
    assert found == {*KINDS, "BrainLNPError"}


@pytest.mark.parametrize("name", KINDS)
def test_each_is_ours_and_the_builtin(name: str) -> None:
    kind = getattr(errors, name)
    with pytest.raises(KINDS[name]) as caught:
        raise kind("tau_m", "times above 0 s", -1.0, "Give '20 ms'")
    error = caught.value
    assert isinstance(error, BrainLNPError)
    assert str(error) == "tau_m: expected times above 0 s, got -1.0. Give '20 ms'"
    assert (error.field, error.expected, error.got) == ("tau_m", "times above 0 s", -1.0)


@pytest.mark.parametrize("name", KINDS)
def test_it_survives_a_process_boundary(name: str) -> None:
    error = getattr(errors, name)("n", "at least 1", 0, "Take more")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert (again.field, again.got, again.hint) == ("n", 0, "Take more")


def test_convergence_error_carries_what_there_is_across_processes() -> None:
    error = ConvergenceError("spectrum", "stderr below 1", 3.0, partial=[1.0, 2.0])
    assert pickle.loads(pickle.dumps(error)).partial == [1.0, 2.0]


def test_a_unit_error_is_a_parameter_error() -> None:
    assert issubclass(UnitError, ParameterError)


def test_long_values_are_cut_and_missing_ones_left_out() -> None:
    assert len(str(ParameterError("x", "little", "y" * 1000))) < 260
    assert str(ParameterError("x", "something")) == "x: expected something"
