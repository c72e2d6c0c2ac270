"""How strongly a user's synapses act, read from the code that presynaptic spikes run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from brian2 import NeuronGroup, Synapses
from brian2.units.fundamentalunits import (
    DimensionMismatchError,
    Quantity,
    get_dimensions,
    have_same_dimensions,
)
from brian2.utils.stringtools import word_substitute

from brain_lnp.usermodel.objects import ends, model_equations, values_of, whole
from brain_lnp.usermodel.reading import ModelReading, Unreadable
from models_eq.brian_text import inline, names, statements
from models_eq.errors import CapabilityError, ParameterError
from models_eq.units import parse_quantity


class NoEffect(Unreadable):
    """A variable on which the membrane does not depend directly."""


_WEIGHT = (
    "Pass weight=: the name of a synaptic variable, or for each of the Synapses a quantity, such "
    "as {'exc': 1.62*mV, 'inh': -9*mV}"
)


@dataclass(frozen=True, eq=False)
class Kick:
    """One statement through which a synapse acts.

    Attributes
    ----------
    pathway : str
        Name of the pathway whose code holds it.
    line : int
        Its place among the statements of that code.
    target : str
        Variable of the neurons that is changed.
    value : ndarray, shape (m,)
        What is added to the membrane, or would be by a current that is held for one membrane
        time constant, SI.
    variable : str
        The one synaptic parameter, never written, that the kick is proportional to; else "".
    """

    pathway: str
    line: int
    target: str
    value: np.ndarray
    variable: str


class KickReader:
    """Reads the kicks of Synapses from the code that presynaptic spikes run.

    Parameters
    ----------
    reading : ModelReading
        Of the group; is told which of its variables these synapses write.
    synapses : Synapses
    tau : str, Quantity, array or None
        As for :meth:`ModelReading.tau`.
    """

    def __init__(self, reading: ModelReading, synapses: Synapses, tau: Any) -> None:
        self.reading, self.synapses, self.given_tau = reading, synapses, tau
        self.equations = model_equations(synapses)
        self.inner = {
            n: e.expr.code for n, e in self.equations.items() if e.type == "subexpression"
        }
        self.pre, self.post = ends(synapses)
        self.written = set()
        for runner in synapses.contained_objects:
            code = getattr(runner, "code", None) or getattr(runner, "abstract_code", "") or ""
            # What is no assignment is refused where it matters, in the code of a kick.
            for line in str(code).replace(";", "\n").splitlines():
                self.written |= {line.split("=")[0].strip(" +-*/%") if "=" in line else ""}

    def statements(self) -> list[tuple[str, int, str, str, str]]:
        """Pathway, line, variable, operator and expression of every statement that adds to one."""
        found = []
        for pathway in self.synapses._pathways:
            if pathway.prepost != "pre" or not pathway.active:
                continue
            try:
                code = statements(pathway.code or "")
            except ValueError as error:
                raise self._refuse(str(error)) from None
            local: dict[str, str] = {}
            for line, (name, operator, text) in enumerate(code):
                text = inline(text, local)
                bare = name.removesuffix("_post")
                own = name in self.equations.names
                if not own and bare in self.reading.group.user_equations.names:
                    found.append((pathway.objname, line, bare, operator, text))
                elif not own and not operator and name not in names(text):
                    local[name] = text
        return found

    def targets(self) -> set[str]:
        """Variables of the neurons that these synapses write, as far as the code can be read."""
        try:
            return {statement[2] for statement in self.statements()}
        except ParameterError:
            return set()

    def read(self) -> list[Kick]:
        """Every kick and its strength.

        Raises
        ------
        ParameterError
            For code from which no strength can be read; the hint says how to state it.
        """
        found = self.statements()
        if not found:
            codes = "; ".join(p.code or "" for p in self.synapses._pathways)
            raise self._refuse(codes or "no code")
        kicks: list[Kick] = []
        self.without_effect: list[str] = []
        for pathway, line, target, operator, text in found:
            if operator not in ("+", "-"):
                raise self._refuse(f"{target} {operator}= {text}")
            sign = -1.0 if operator == "-" else 1.0
            try:
                value = self._strength(target, text)
                variable = self._proportional(target, text, value)
            except NoEffect as error:
                self.without_effect.append(target)
                last = f"{target} {operator}= {text} ({error})"
                continue
            except Unreadable as error:
                raise self._refuse(f"{target} {operator}= {text} ({error})") from None
            kicks.append(Kick(pathway, line, target, sign * value, variable))
        if not kicks:
            raise self._refuse(last)
        return kicks

    def _refuse(self, got: str) -> ParameterError:
        expected = "code that adds to a variable of the neurons, as 'v += w' or 'ge += 1.62*mV'"
        return ParameterError(f"{self.synapses.name}.on_pre", expected, got, _WEIGHT)

    def _strength(self, target: str, text: str, times: Mapping[str, float] | None = None) -> Any:
        """Kick of every synapse, in units of the membrane."""
        reading, group = self.reading, self.reading.group
        text = inline(text, self.inner)
        sub: dict[str, str] = {}
        for name, code in reading.inner.items():
            sub |= {f"{name}_{end}": _suffixed(code, group, end) for end in ("pre", "post")}
            sub[name] = sub[f"{name}_post"]
        text = inline(text, sub)
        start = [getattr(side, "start", 0) for side in (self.synapses.source, self.synapses.target)]
        given: dict[str, Any] = {"i": self.pre - start[0], "j": self.post - start[1]}
        for name in names(text):
            stem = name.removesuffix("_pre").removesuffix("_post")
            owner, index = group, self.pre if name.endswith("_pre") else self.post
            if name in self.equations.names:
                owner, stem, index = self.synapses, name, np.arange(self.pre.size)
            elif stem not in group.user_equations.names:
                if name in ("t", "lastupdate"):
                    raise Unreadable(f"it depends on {name}")
                continue
            elif name.endswith("_pre") and whole(self.synapses.source) is not group:
                owner = whole(self.synapses.source)
            value = values_of(owner, stem) * (times or {}).get(name, 1)
            given[name] = Quantity(
                value[index] if value.ndim else value, dim=owner.variables[stem].dim
            )
        kick = reading.evaluate(text, given, owner=self.synapses)
        if not have_same_dimensions(kick, Quantity(1, dim=group.variables[target].dim)):
            raise Unreadable(f"units do not fit those of {target}")
        size = np.broadcast_to(np.asarray(kick), self.pre.shape).copy()
        return size * self._gain(target)[self.post]

    def _gain(self, target: str) -> np.ndarray:
        """What a unit of a variable would add to the membrane if held for its time constant."""
        reading = self.reading
        if target == reading.membrane:
            return np.ones(len(reading.group))
        given = reading.at_rest()
        if (ends_of := reading.potentials()) is not None:
            # At the threshold, where a current decides: the driving force of a conductance there.
            given[reading.membrane] = Quantity(ends_of[0], dim=reading.dim)
        slope, _ = reading.slope(target, given)
        gain = slope * reading.tau(self.given_tau)
        if not gain.any():
            raise NoEffect(f"d{reading.membrane}/dt does not depend on {target}")
        return gain

    def _proportional(self, target: str, text: str, value: np.ndarray) -> str:
        """The one synaptic parameter, never written, that the kick is proportional to."""
        fixed = {n for n, eq in self.equations.items()
                 if eq.type == "parameter" and "shared" not in eq.flags} - self.written  # fmt: skip
        for name in sorted(names(inline(text, self.inner)) & fixed):
            if not np.issubdtype(self.synapses.variables[name].dtype, np.floating):
                continue
            if np.allclose(self._strength(target, text, {name: 2.0}), 2.0 * value, rtol=1e-9):
                return name
        return ""


def _suffixed(text: str, group: NeuronGroup, end: str) -> str:
    own = names(text) & set(group.user_equations.names)
    return str(word_substitute(text, {name: f"{name}_{end}" for name in own}))


def stated_weight(value: Any, synapses: Synapses, reading: ModelReading) -> Quantity:
    """Strength of every synapse as the user states it.

    Parameters
    ----------
    value : str, Quantity, float or array, shape (m,)
        Name of a synaptic variable or of a constant, text such as ``"1.62 mV"``, or numbers.
    synapses : Synapses
    reading : ModelReading

    Returns
    -------
    Quantity, shape (m,)

    Raises
    ------
    ParameterError
        For an unknown name, values that are not finite, or the wrong number of them.
    """
    field, size = f"weight of {synapses.name}", ends(synapses)[0].size
    try:
        if isinstance(value, str) and value.isidentifier():
            if value in model_equations(synapses).names:
                dim = synapses.variables[value].dim
                value = Quantity(values_of(synapses, value), dim=dim)
            else:
                value = reading.evaluate(value, owner=synapses)
        elif isinstance(value, str):
            value = parse_quantity(value, field)
        found = Quantity(value, dtype=float)
        full = Quantity(
            np.broadcast_to(np.asarray(found), (size,)).copy(), dim=get_dimensions(found)
        )
    except Unreadable as error:
        raise ParameterError(field, "a synaptic variable or a constant", str(error)) from None
    except CapabilityError:
        raise
    except (TypeError, ValueError, DimensionMismatchError) as error:
        raise ParameterError(field, f"one number or {size}", str(error)) from None
    if not np.isfinite(full).all():
        raise ParameterError(field, "finite weights", "an infinite or undefined one")
    return Quantity(full, dim=get_dimensions(found))
