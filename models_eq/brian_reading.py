"""Reads a NeuronGroup for BrianModel, and refuses by name what cannot be analysed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from brian2 import NeuronGroup, Synapses
from brian2.core.functions import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS, Function
from brian2.core.namespace import DEFAULT_UNITS
from brian2.core.variables import Constant
from brian2.parsing.expressions import parse_expression_dimensions
from brian2.spatialneuron.spatialneuron import SpatialNeuron
from brian2.units.allunits import second
from brian2.units.fundamentalunits import Quantity
from brian2.utils.stringtools import word_substitute

from models_eq.brian_text import assigned, inline, is_inequality, join, names, statements
from models_eq.errors import CapabilityError, ParameterError

RANDOM = ("rand", "randn", "poisson", "binomial")
_BUILT_IN = ("t", "dt", "i", "N", "not_refractory", "lastspike", "t_in_timesteps")
_FROZEN = "Draw the noise once and give it as a TimedArray"


class Reader:
    """Strings and arrays of one NeuronGroup.

    Parameters
    ----------
    group : NeuronGroup
        The neurons.
    namespace : Mapping
        Where names are looked up that the objects do not know.
    """

    def __init__(self, group: NeuronGroup, namespace: Mapping[str, Any]) -> None:
        self.group = group
        self.run_namespace = namespace
        self.equations: dict[str, str] = {}
        self.clamped: set[str] = set()
        self.threshold: str | None = None
        self.reset = ""
        self.refractory: str | None = None
        self.externals: dict[str, Any] = {}
        self.functions: set[str] = set()
        self.written: set[str] = set()
        self.subexpressions: dict[str, str] = {}
        self._fixed = {"i": "neuron_index", "N": str(len(group))}

    def neurons(self) -> None:
        """Read equations, threshold, reset and refractoriness."""
        group = self.group
        self._refuse_neurons()
        for name, eq in group.user_equations.items():
            if eq.type == "subexpression":
                self.subexpressions[name] = eq.expr.code
        for name, eq in group.user_equations.items():
            if eq.type == "differential equation":
                self.equations[name] = self._canonical(eq.expr.code, "equations")
                if "unless refractory" in eq.flags and group._refractory is not False:
                    self.clamped.add(name)
        self.threshold = group.events.get("spike")
        if self.threshold is not None:
            self.threshold = self._canonical(self.threshold, "threshold")
            if not is_inequality(self.threshold):
                raise CapabilityError(
                    f"{group.name}.threshold", "one inequality", self.threshold,
                    "Write it as one comparison, e.g. 'v > v_th'",
                )  # fmt: skip
        self.reset = self._statements(group.event_codes.get("spike") or "", "reset")
        self._read_refractory()
        self.written |= assigned(self.reset) & set(group.user_equations.names)

    def _refuse_neurons(self) -> None:
        group = self.group
        if isinstance(group, SpatialNeuron):
            raise CapabilityError(group.name, "point neurons", "a SpatialNeuron")
        if len(others := sorted(set(group.events) - {"spike"})):
            raise CapabilityError(
                f"{group.name}.events", "no custom events", ", ".join(others),
                "Only the event 'spike' of a threshold can be followed",
            )  # fmt: skip
        own = [*group.thresholder.values(), *group.resetter.values(), group.state_updater]
        if group.subexpression_updater is not None:
            raise CapabilityError(
                f"{group.name}.equations", "no subexpression (constant over dt)",
                group.subexpression_updater.name, "Leave the flag away",
            )  # fmt: skip
        for runner in group.contained_objects:
            # Synapses that run code of their own hang themselves onto their source.
            if not isinstance(runner, Synapses) and not any(runner is known for known in own):
                raise CapabilityError(
                    f"{group.name}.{runner.name}", "no run_regularly or other code of the group",
                    runner.name, "Put what it does into the equations or into a TimedArray",
                )  # fmt: skip
        linked = {n for n, eq in group.user_equations.items() if "linked" in eq.flags}
        if linked:
            raise CapabilityError(
                f"{group.name}.{min(linked)}", "no linked variables", "a linked variable",
                "Declare it as a variable of the group itself",
            )  # fmt: skip
        if noise := group.user_equations.stochastic_variables:
            raise CapabilityError(
                f"{group.name}.equations", "no stochastic terms", ", ".join(sorted(noise)), _FROZEN
            )

    def _read_refractory(self) -> None:
        ref, group = self.group._refractory, self.group
        if ref is False:
            return
        if isinstance(ref, Quantity):
            self.refractory = f"{float(ref)!r}*second"
            return
        text = self._canonical(str(ref), "refractory", lastspike=True)
        found = group.resolve_all(
            names(str(ref)) & (set(group.variables) | names(text)) - {"neuron_index"},
            self.run_namespace,
            user_identifiers=set(),
        )
        time = parse_expression_dimensions(str(ref), found) is second.dim
        if not time and self.clamped:
            raise CapabilityError(
                f"{group.name}.refractory", "a time, where a variable is (unless refractory)", text,
                "Give the refractory period as a time",
            )  # fmt: skip
        self.refractory = text

    def _canonical(
        self, text: str, field: str, owner: Any = None, *, lastspike: bool = False
    ) -> str:
        """Text without subexpressions, and its external names collected."""
        owner = self.group if owner is None else owner
        text = inline(text.strip().replace("\n", " "), self.subexpressions)
        self.refuse_names(text, f"{self.group.name}.{field}", lastspike)
        for name in sorted(names(text)):
            if name not in self.group.user_equations.names and name not in _BUILT_IN:
                self.external(name, self.group, field)
        return word_substitute(text, self._fixed)

    def refuse_names(self, text: str, where: str, lastspike: bool = False) -> None:
        """Raise CapabilityError for noise, and for the time of the last spike."""
        found = names(text)
        random = sorted(n for n in found if n in RANDOM or n == "xi" or n.startswith("xi_"))
        if random:
            raise CapabilityError(where, "no stochastic terms", random[0], _FROZEN)
        bare = {n.removesuffix("_post").removesuffix("_pre") for n in found}
        if "lastspike" in bare and not lastspike:
            raise CapabilityError(
                where, "no use of lastspike", text, "Write the memory as a variable of its own"
            )

    def external(self, name: str, owner: Any, field: str) -> str | None:
        """Collect a constant or function; its new name where the old one is taken."""
        try:
            found = owner.resolve_all([name], self.run_namespace, user_identifiers=set())[name]
        except KeyError:
            raise ParameterError(
                f"{owner.name}.{field}", "names that can be found", name,
                "Give it in namespace, or declare it in the equations",
            ) from None  # fmt: skip
        if isinstance(found, Function):
            self.functions.add(name)
            value: Any = found
            if name in DEFAULT_FUNCTIONS and found is DEFAULT_FUNCTIONS[name]:
                self.functions.discard(name)
                return None
        elif isinstance(found, Constant):
            value = Quantity(found.get_value(), dim=found.dim)
            if name in DEFAULT_CONSTANTS:
                return None
            unit = DEFAULT_UNITS.get(name)
            if unit is not None and unit.dim == value.dim and float(unit) == float(value):
                return None
        else:
            raise CapabilityError(
                f"{owner.name}.{field}", "variables of the group itself", name,
                "Variables of other objects cannot be followed",
            )  # fmt: skip
        taken = name in self.externals or name in self.group.user_equations.names
        same = name in self.externals and _same(self.externals[name], value)
        if taken and not same:
            renamed = f"{name}_of_{owner.name}"
            self.externals[renamed] = value
            return renamed
        self.externals[name] = value
        return None

    def _statements(self, code: str, field: str) -> str:
        where = f"{self.group.name}.{field}"
        parts: list[tuple[str, str, str]] = []
        local: set[str] = set()
        for name, operator, text in split(code, where):
            self.refuse_names(text, where)
            text = inline(text, self.subexpressions)
            self.refuse_names(text, where)
            for used in sorted(names(text) - local):
                if used not in self.group.user_equations.names and used not in _BUILT_IN:
                    self.external(used, self.group, field)
            if name not in self.group.user_equations.names:
                local.add(name)
            elif "t" in names(text):
                raise CapabilityError(
                    where, "statements that do not depend on t", text,
                    "Follow the time with a variable instead",
                )  # fmt: skip
            parts.append((name, operator, word_substitute(text, self._fixed)))
        return join(parts)

    def values(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Initial state, and parameters that stay as they are."""
        state, parameters = {}, {}
        for name, eq in self.group.user_equations.items():
            if eq.type == "subexpression":
                continue
            value = array_of(self.group.variables[name], len(self.group))
            if eq.type == "differential equation" or name in self.written:
                state[name] = value.astype(float)
            else:
                parameters[name] = value
        return state, parameters

    @property
    def dimensions(self) -> dict[str, Any]:
        """Physical dimension of every variable."""
        return {
            name: self.group.variables[name].dim
            for name, eq in self.group.user_equations.items()
            if eq.type != "subexpression"
        }


def split(code: str, where: str) -> list[tuple[str, str, str]]:
    """Statements of a code, or CapabilityError for anything but assignments."""
    try:
        return statements(code)
    except ValueError as error:
        raise CapabilityError(where, "plain assignments", str(error)) from None


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        return bool(a.dim == b.dim and float(a) == float(b))
    return a is b


def array_of(variable: Any, n: int) -> np.ndarray:
    """Values of a variable (SI) as an array of shape (n,), also where they are shared."""
    return np.broadcast_to(np.asarray(variable.get_value()), (n,)).copy()
