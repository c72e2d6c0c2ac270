"""PruneStep and PruneResult: what pruning returns, and what it has to say about itself."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models_eq.errors import BudgetError
from models_eq.hrsnn import HRSNN
from models_eq.packing import Arrays, Held, check, register


@dataclass(frozen=True)
class PruneStep:
    """What one step kept, and its diagnostics.

    Attributes
    ----------
    name : str
        Step, such as ``"synapses"`` or ``"neurons"``.
    n, n_synapses : int
        Neurons and synapses left after it.
    diagnostics : Mapping of str to plain JSON values
        What the step measured.
    """

    name: str
    n: int
    n_synapses: int
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PruneResult:
    """A pruned network and how it came about.

    Attributes
    ----------
    net : HRSNN
        The pruned network.
    method : str
        Name of the method.
    seed : int
        Seed that it was run with.
    steps : tuple of PruneStep
        In order.
    stopped : str or None
        Why pruning stopped before its budget; None where it was met.
    """

    net: HRSNN
    method: str
    seed: int
    steps: tuple[PruneStep, ...] = ()
    stopped: str | None = None

    def __repr__(self) -> str:
        end = f", stopped: {self.stopped}" if self.stopped else ""
        size = f"{self.net.n} neurons, {self.net.n_synapses} synapses"
        return f"PruneResult({self.method}, {size}{end})"

    def diagnostics(self, name: str) -> Mapping[str, Any]:
        """Diagnostics of the last step called ``name``; empty where there was none."""
        for step in reversed(self.steps):
            if step.name == name:
                return step.diagnostics
        return {}


def budget(value: float | int, total: int, field_name: str, minimum: int) -> int:
    """Turn a fraction kept, or a count, into a count.

    Parameters
    ----------
    value : float in (0, 1] or int
        A float is a fraction of ``total``; an integer above 1 is a count (1 is everything).
    total : int
        What there is.
    field_name : str
        Name used in the error.
    minimum : int
        Smallest count allowed.

    Returns
    -------
    int
        Count to keep; a fraction is rounded to the nearest count.

    Raises
    ------
    BudgetError
        For a fraction outside (0, 1], a count above ``total``, or less than ``minimum``.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise BudgetError(field_name, "a fraction in (0, 1] or a count", value)
    if isinstance(value, numbers.Integral) and value > 1:
        count = int(value)
    else:
        if not 0 < value <= 1:
            raise BudgetError(field_name, "a fraction in (0, 1] or a count", value)
        count = round(float(value) * total)
    if count > total or count < minimum:
        raise BudgetError(
            field_name, f"at least {minimum} and at most {total}", f"{value} (that is {count})"
        )
    return count


def _encode(result: PruneResult) -> tuple[Arrays, Mapping[str, Any]]:
    steps = [(step.name, step.n, step.n_synapses, dict(step.diagnostics)) for step in result.steps]
    meta = {name: getattr(result, name) for name in ("net", "method", "seed", "stopped")}
    return {}, {**meta, "steps": steps}


def _decode(arrays: Held, meta: Mapping[str, Any]) -> PruneResult:
    check(isinstance(meta["net"], HRSNN), "net", "an HRSNN", type(meta["net"]).__name__)
    steps = tuple(PruneStep(*step) for step in meta["steps"])
    return PruneResult(meta["net"], meta["method"], meta["seed"], steps, meta["stopped"])


register("PruneResult", PruneResult, _encode, _decode)
