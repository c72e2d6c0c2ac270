"""Brian2 objects of a user: their values and ends, and by name what cannot be copied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from brian2 import Equations, NeuronGroup, Synapses
from brian2.equations.equations import SUBEXPRESSION, SingleEquation
from brian2.groups.subgroup import Subgroup
from brian2.spatialneuron.spatialneuron import SpatialNeuron
from brian2.synapses.synapses import SynapticPathway

from models_eq.brian_text import names
from models_eq.errors import CapabilityError, ParameterError

_SYNAPTIC = (Synapses, SynapticPathway)
_INDEX = {"i", "j", "N", "N_pre", "N_post"}


def whole(group: Any) -> Any:
    """The group that a subgroup belongs to; any other object as it is."""
    # A subgroup holds a weak proxy, which is not the group itself.
    return group.source.__repr__.__self__ if isinstance(group, Subgroup) else group


def values_of(owner: Any, name: str) -> np.ndarray:
    """Values (SI) of a variable of Brian2 objects.

    Parameters
    ----------
    owner : NeuronGroup, Synapses or another object with variables
    name : str

    Returns
    -------
    ndarray, shape (n,), or () where the variable is shared

    Raises
    ------
    CapabilityError
        In standalone mode, for values that only the run will compute.
    """
    variable = owner.variables[name]
    value: Any
    try:
        value = np.array(variable.get_value())
    except NotImplementedError:
        value = _planned(owner, variable)
    if value is None:
        raise CapabilityError(
            f"{owner.name}.{name.removeprefix('_synaptic_')}",
            "values that are known before the run",
            "values that the standalone program will compute",
            "Set them, and connect, from arrays instead of strings, probabilities or conditions; "
            "or prune in runtime mode",
        )
    return value.reshape(()) if variable.scalar else value


def _planned(owner: Any, variable: Any) -> np.ndarray | None:
    """Values that a standalone program, which is not built yet, will start with; None if unknown.

    Brian2 forgets what it was given for synaptic variables, but the commands that it has noted down
    hold the arrays.
    """
    device = variable.device
    if device.has_been_run or variable.name == "_synaptic_pre" or not isinstance(owner, _SYNAPTIC):
        return None
    synapses = getattr(owner, "synapses", owner)
    size = 1 if variable.scalar else values_of(synapses, "_synaptic_pre").size
    own = device.get_array_name(variable, access_data=False)
    value: np.ndarray | None = np.zeros(size, dtype=variable.dtype)
    for kind, given in device.main_queue:
        if kind == "run_code_object":
            if any(known is variable for known in given[0].variables.values()):
                value = None
        elif given and given[0] == own:
            if kind == "set_by_array":
                value = np.array(device.static_arrays[given[1]], dtype=variable.dtype)
            elif kind == "set_by_constant":
                value = np.full(size, given[1], dtype=variable.dtype)
            elif kind == "set_by_single_value" and value is not None:
                value[given[1]] = float({"true": "1", "false": "0"}.get(given[2], given[2]))
            elif not kind.startswith("resize"):
                value = None
    return value if value is not None and value.size == size else None


def ends(synapses: Synapses) -> tuple[np.ndarray, np.ndarray]:
    """Indices of both ends of every synapse in the whole groups, each of shape (m,)."""
    pre, post = (values_of(synapses, f"_synaptic_{end}") for end in ("pre", "post"))
    return pre.astype(np.int64), post.astype(np.int64)


def model_equations(synapses: Synapses) -> Equations:
    """Equations of Synapses, those that are driven by events included."""
    found = {eq.varname: eq for eq in (synapses.event_driven or Equations("")).values()}
    found |= {eq.varname: eq for eq in synapses.equations.values()}
    return Equations(list(found.values()))


def summed_equations(synapses: Synapses) -> Equations:
    """Equations of what Synapses sum up over all synapses of a neuron."""
    return Equations([
        SingleEquation(
            SUBEXPRESSION, name, synapses.variables[name].dim, expr=updater.expression,
            flags=["summed"],
        )
        for name, updater in synapses.summed_updaters.items()
    ])  # fmt: skip


def refuse_group(group: Any) -> None:
    """Raise CapabilityError for a group that cannot be copied, by name."""
    if not isinstance(group, NeuronGroup):
        raise ParameterError("group", "a NeuronGroup", type(group).__name__)
    if isinstance(group, SpatialNeuron):
        raise CapabilityError(group.name, "point neurons", "a SpatialNeuron")
    linked = sorted(n for n, eq in group.user_equations.items() if "linked" in eq.flags)
    if linked:
        raise CapabilityError(
            f"{group.name}.{linked[0]}", "no linked variables", "a linked variable",
            "Declare it as a variable of the group itself",
        )  # fmt: skip


def refuse_synapses(synapses: Synapses) -> None:
    """Raise CapabilityError for synapses that cannot be copied, by name."""
    linked = sorted(n for n, eq in synapses.equations.items() if "linked" in eq.flags)
    for what, found in (
        ("linked variables", linked),
        ("subexpressions (constant over dt)",
         [] if synapses.subexpression_updater is None else [synapses.subexpression_updater.name]),
    ):  # fmt: skip
        if found:
            raise CapabilityError(
                synapses.name, f"no {what}", ", ".join(found),
                "Use rebuild=False, measure=False and delete the synapses not kept yourself",
            )  # fmt: skip


def group_texts(group: NeuronGroup) -> list[str]:
    """All code of a group."""
    texts = [eq.expr.code for eq in group.user_equations.values() if eq.expr is not None]
    texts += [*group.events.values(), *group.event_codes.values()]
    return [*texts, *([group._refractory] if isinstance(group._refractory, str) else [])]


def refuse_indices(owner: Any, texts: Iterable[str]) -> None:
    """Raise CapabilityError for code that names an index or a size."""
    for text in texts:
        if found := sorted(names(text or "") & _INDEX - set(owner.namespace or {})):
            raise CapabilityError(
                f"{owner.name}.{found[0]}", "no index in code where neurons are dropped", text,
                "Indices change then: keep what depends on them in a variable, or neurons=1.0",
            )  # fmt: skip
