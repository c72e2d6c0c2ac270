"""Arguments of ``prune_model`` that take several forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from brian2 import NeuronGroup, Synapses
from brian2.core.names import Nameable

from analysis.pruning.result import budget
from brain_lnp.usermodel.objects import whole
from models_eq.errors import ParameterError

EXPONENTS = ("auto", "lif", "leak")


def connections_of(group: NeuronGroup, connections: Any) -> dict[str, Synapses]:
    """Recurrent Synapses by name, or a ParameterError."""
    if isinstance(connections, Synapses):
        connections = [connections]
    if not isinstance(connections, (list, tuple)) or not connections:
        raise ParameterError(
            "connections", "Synapses, or a list of them", type(connections).__name__
        )
    found: dict[str, Synapses] = {}
    for synapses in connections:
        if not isinstance(synapses, Synapses):
            raise ParameterError("connections", "Synapses", type(synapses).__name__)
        for side in ("source", "target"):
            if whole(getattr(synapses, side)) is not group:
                raise ParameterError(
                    f"connections: {synapses.name}", f"{group.name} as the {side}",
                    getattr(synapses, side).name,
                    "Only recurrent Synapses are pruned; others belong to the drive",
                )  # fmt: skip
        if synapses.name in found:
            raise ParameterError("connections", "each Synapses once", synapses.name)
        found[synapses.name] = synapses
    return found


def budgets_of(
    synapses: Any, members: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, int]]:
    """Synapses that share a budget, as a mask over all, and that budget, by name."""
    if not isinstance(synapses, Mapping):
        every = np.ones(next(iter(members.values())).size, dtype=bool)
        return {"synapses": (every, budget(synapses, every.size, "synapses", 1))}
    unknown = sorted(set(synapses) - set(members), key=str)
    if unknown:
        raise ParameterError(
            "synapses", "names of the connections: " + ", ".join(members),
            ", ".join(map(str, unknown)),
        )  # fmt: skip
    parts = {}
    for name, mask in members.items():
        if size := int(mask.sum()):
            field = f"synapses[{name!r}]"
            parts[field] = mask, budget(synapses.get(name, 1.0), size, field, 1)
    return parts


def exponents_of(value: Any, n: int) -> Any:
    """Name of a way to estimate node exponents, or ``n`` numbers, or a ParameterError."""
    expected = f"{', '.join(map(repr, EXPONENTS))}, or {n} numbers (1/s)"
    if isinstance(value, str):
        if value not in EXPONENTS:
            raise ParameterError("exponents", expected, value)
        return value
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ParameterError("exponents", expected, value) from None
    if array.shape != (n,) or not np.isfinite(array).all():
        raise ParameterError("exponents", expected, f"shape {array.shape}")
    return array


def compensate_of(value: Any) -> str:
    """What the gains are to keep, "" for no gains, or a ParameterError."""
    if isinstance(value, bool):
        return "variance" if value else ""
    if value not in ("variance", "mean"):
        raise ParameterError("compensate", "True, 'variance', 'mean' or False", value)
    return str(value)


def stated_by_name(weight: Any, connections: Mapping[str, Synapses]) -> dict[str, Any]:
    """What the user states for each of the Synapses."""
    known = ", ".join(connections)
    if isinstance(weight, Mapping):
        unknown = sorted(set(weight) - set(connections))
        if unknown:
            raise ParameterError("weight", f"names of the connections: {known}", unknown[0])
        return dict(weight)
    if isinstance(weight, (list, tuple)):
        if len(weight) != len(connections):
            raise ParameterError("weight", f"one for each of {known}", f"{len(weight)} of them")
        return dict(zip(connections, weight, strict=True))
    return {} if weight is None else dict.fromkeys(connections, weight)


def free_prefix(prefix: Any, objects: Sequence[Any]) -> str:
    """The prefix, or with a number the first that gives names that no object has yet."""
    if not isinstance(prefix, str) or not prefix.isidentifier():
        raise ParameterError("prefix", "a name", prefix)
    taken = {ref().name for ref in Nameable.__instances__() if ref() is not None}
    own = {x.name for x in objects}
    found, k = prefix, 1
    while any(f"{found}_{name}" in taken for name in own):
        k, found = k + 1, f"{prefix}{k + 1}"
    return found
