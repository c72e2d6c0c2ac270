"""Typed errors: each names the field, what was expected, what came, and the way out."""

from __future__ import annotations

from typing import Any


class BrainLNPError(Exception):
    """Base of every error this package raises on purpose.

    Parameters
    ----------
    field : str
        Name of the offending field, argument or file.
    expected : str
        What would have been right.
    got : object
        What came instead; shown with ``repr`` unless it is a string.
    hint : str, optional
        The way out, as one sentence.
    """

    def __init__(self, field: str, expected: str, got: Any = "", hint: str = "") -> None:
        self.field = field
        self.expected = expected
        self.got = got
        self.hint = hint
        shown = got if isinstance(got, str) else repr(got)
        if len(shown) > 200:
            shown = shown[:197] + "..."
        message = f"{field}: expected {expected}"
        if shown:
            message += f", got {shown}"
        if hint:
            message += f". {hint}"
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process boundaries in sweeps; the default would call
        # __init__ with the message alone.
        return (type(self), (self.field, self.expected, self.got, self.hint), dict(self.__dict__))


class ParameterError(BrainLNPError, ValueError):
    """A value is out of range, of the wrong shape, or of the wrong kind."""


class UnitError(ParameterError):
    """A dimensional field came as a bare number or with the wrong unit."""


class BudgetError(ParameterError):
    """A pruning budget that cannot be met, such as less than one synapse."""


class FormatError(BrainLNPError, ValueError):
    """A file that is corrupt, foreign, or of an unknown schema version."""


class MissingFileError(BrainLNPError, FileNotFoundError):
    """A file or data set that is not where it was looked for."""


class DeviceError(BrainLNPError, RuntimeError):
    """A device that does not exist or cannot run on this machine."""


class SilentNetworkError(BrainLNPError, RuntimeError):
    """A network that does not spike where spikes are needed."""


class ConvergenceError(BrainLNPError, ArithmeticError):
    """An estimate that cannot be trusted.

    Attributes
    ----------
    partial : object
        What was computed before the estimate was given up.
    """

    def __init__(
        self, field: str, expected: str, got: Any = "", hint: str = "", partial: Any = None
    ) -> None:
        super().__init__(field, expected, got, hint)
        self.partial = partial


class CapabilityError(BrainLNPError, NotImplementedError):
    """A method that does not apply to this model; the hint names one that does."""


class WorkerError(BrainLNPError, RuntimeError):
    """A process of a pool that died over its work: killed, or out of memory."""
