"""What pruning has to know of a user's neurons: leaks, and how far the threshold is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from brian2 import NeuronGroup, second
from brian2.core.functions import Function
from brian2.parsing.rendering import NumpyNodeRenderer
from brian2.units.fundamentalunits import (
    DIMENSIONLESS,
    DimensionMismatchError,
    Quantity,
    get_dimensions,
    have_same_dimensions,
)

from brain_lnp.usermodel.objects import values_of
from models_eq.brian_text import inline, is_inequality, names, sides, statements
from models_eq.errors import ParameterError, UnitError
from models_eq.units import parse_quantity

_TAU = "Pass tau=: the name of a variable or of a constant, or a time such as 20*ms"


class Unreadable(Exception):
    """An expression without a value before the run; says why."""


class ModelReading:
    """Numbers of one NeuronGroup, as its equations and present values give them.

    Parameters
    ----------
    group : NeuronGroup
    namespace : Mapping
        Where names are looked up that the objects do not know.
    membrane : str, optional
        The membrane potential; by default the first variable with an equation that the
        threshold names.

    Attributes
    ----------
    membrane : str
        Name of the membrane potential.
    dim : Dimension
        Its physical dimension.
    targets : set of str
        Variables that recurrent synapses write; whoever reads them adds to it.

    Raises
    ------
    ParameterError
        If there is no such variable.
    """

    def __init__(
        self, group: NeuronGroup, namespace: Mapping[str, Any], membrane: str | None = None
    ) -> None:
        self.group, self.namespace = group, namespace
        self.targets: set[str] = set()
        equations = group.user_equations
        self.inner = {n: e.expr.code for n, e in equations.items() if e.type == "subexpression"}
        self.rates = {
            name: inline(eq.expr.code, self.inner)
            for name, eq in equations.items()
            if eq.type == "differential equation"
        }
        self.threshold = inline(group.events.get("spike") or "", self.inner)
        named = [name for name in self.rates if name in names(self.threshold)]
        if membrane is None and not named:
            raise ParameterError(
                "membrane", "a threshold that names a variable with a differential equation",
                self.threshold or "no threshold", "Pass membrane=: the name of that variable",
            )  # fmt: skip
        self.membrane = named[0] if membrane is None else membrane
        if self.membrane not in self.rates:
            raise ParameterError(
                "membrane", f"a variable with an equation ({', '.join(self.rates)})", membrane
            )
        self.dim = group.variables[self.membrane].dim

    def evaluate(
        self,
        text: str,
        given: Mapping[str, Any] | None = None,
        at: np.ndarray | None = None,
        owner: Any = None,
    ) -> Quantity:
        """Value of an expression.

        Parameters
        ----------
        text : str
            In the variables of the group.
        given : Mapping of str to Quantity, optional
            Values that go before all others.
        at : ndarray of int, shape (k,), optional
            Neurons; by default all.
        owner : Synapses, optional
            Whose namespace is meant; by default the group's.

        Raises
        ------
        Unreadable
            For random functions, names that cannot be found, and units that do not fit.
        """
        owner = self.group if owner is None else owner
        scope: dict[str, Any] = {"logical_not": np.logical_not}
        at = np.arange(len(self.group)) if at is None else at
        own = {"i": at, "N": len(self.group), "t": 0 * second,
               "dt": float(self.group.clock.dt_) * second}  # fmt: skip
        for name in names(text):
            if given is not None and name in given:
                scope[name] = given[name]
            elif name in self.group.user_equations.names:
                value = values_of(self.group, name)
                dim = self.group.variables[name].dim
                scope[name] = Quantity(value[at] if value.ndim else value, dim=dim)
            elif name == "xi" or name.startswith("xi_"):
                scope[name] = 0 * second**-0.5  # its mean
            elif name in own:
                scope[name] = own[name]
            else:
                scope[name] = self._external(name, owner)
        try:
            # The text is code that the user is about to run.
            value = eval(NumpyNodeRenderer().render_expr(text), {"__builtins__": {}}, scope)
            return Quantity(value, dtype=float)
        except DimensionMismatchError as error:
            raise Unreadable(f"units do not fit: {error}") from None
        except (ArithmeticError, IndexError, TypeError, ValueError, SyntaxError) as error:
            raise Unreadable(f"{text}: {error}") from None

    def _external(self, name: str, owner: Any) -> Any:
        if name in ("rand", "randn", "poisson", "binomial"):
            raise Unreadable(f"{name}() is random")
        try:
            found = owner.resolve_all([name], self.namespace, user_identifiers=set())[name]
        except KeyError:
            raise Unreadable(f"{name} is not in the namespace") from None
        if isinstance(found, Function):
            return found.pyfunc
        return Quantity(found.get_value(), dim=found.dim)

    def slope(self, variable: str, given: Mapping[str, Any]) -> tuple[np.ndarray, bool]:
        """Derivative of the membrane's rate by a variable, and whether it is the same everywhere.

        Parameters
        ----------
        variable : str
        given : Mapping of str to Quantity
            Where.

        Returns
        -------
        slope : ndarray, shape (n,), SI
        linear : bool
        """
        text = self.rates[self.membrane]
        start = given.get(variable, self._present(variable))
        unit = self.group.variables[variable].dim
        size = Quantity(1e-3 if unit is not DIMENSIONLESS else 1.0, dim=unit)
        at = [
            np.broadcast_to(
                np.asarray(self.evaluate(text, {**given, variable: start + k * size})),
                (len(self.group),),
            )
            for k in (0, 1, 2)
        ]
        first, again = at[1] - at[0], at[2] - at[1]
        scale = np.abs(np.stack(at)).max(axis=0)
        same = np.abs(first - again) <= 1e-6 * np.abs(first) + 1e-9 * scale
        return first / float(size), bool(same.all())

    def _present(self, name: str) -> Quantity:
        return Quantity(values_of(self.group, name), dim=self.group.variables[name].dim)

    def at_rest(self) -> dict[str, Quantity]:
        """State in which no synapse acts: what synapses write is 0, the membrane apart."""
        return {
            name: Quantity(np.zeros(len(self.group)), dim=self.group.variables[name].dim)
            for name in sorted(self.targets)
            if name != self.membrane
        }

    def tau(self, given: Any) -> np.ndarray:
        """Membrane time constant of each neuron.

        Parameters
        ----------
        given : str, Quantity, array or None
            Name of a variable or constant, a time, or None: read from the equations.

        Returns
        -------
        ndarray, shape (n,), s

        Raises
        ------
        ParameterError, UnitError
            For what is no time above 0, or a leak that cannot be read.
        """
        what = "a time above 0 s for every neuron"
        if given is None:
            text = f"d{self.membrane}/dt = {self.rates[self.membrane]}"
            leak = f"a leak in the equation of {self.membrane}, as -{self.membrane}/tau"
            try:
                slope, linear = self.slope(self.membrane, self.at_rest())
            except Unreadable as error:
                raise ParameterError("tau", leak, f"{text} ({error})", _TAU) from None
            if not linear or not (slope < 0).all():
                raise ParameterError("tau", leak, text, _TAU)
            return -1.0 / slope
        value = given
        if isinstance(given, str):
            try:
                value = (
                    self.evaluate(given) if given.isidentifier() else parse_quantity(given, "tau")
                )
            except Unreadable as error:
                raise ParameterError("tau", what, str(error), _TAU) from None
        if not have_same_dimensions(value, second):
            raise UnitError("tau", what, given, _TAU)
        try:
            tau = np.broadcast_to(np.asarray(value, dtype=float), (len(self.group),)).copy()
        except ValueError:
            raise ParameterError("tau", what, f"shape {np.shape(value)}", _TAU) from None
        if not (np.isfinite(tau) & (tau > 0)).all():
            raise ParameterError("tau", what, given, _TAU)
        return tau

    def potentials(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Threshold and reset of every neuron (SI, each of shape (n,)); None where unreadable."""
        if not is_inequality(self.threshold):
            return None
        left, right = sides(self.threshold)
        other = right if left == self.membrane else left
        try:
            high = self.evaluate(other)
            low = None
            for name, operator, text in statements(self.group.event_codes.get("spike") or ""):
                if name == self.membrane and operator in ("", "-"):
                    low = self.evaluate(inline(text, self.inner))
                    low = high - low if operator else low
        except (Unreadable, ValueError):
            return None
        if self.membrane in names(other) or low is None:
            return None
        if not (have_same_dimensions(high, low) and get_dimensions(high) is self.dim):
            return None
        shape = (len(self.group),)
        above, below = (np.broadcast_to(np.asarray(x), shape).copy() for x in (high, low))
        return (above, below) if (above > below).all() else None
