"""HRSNN.from_brian2: a user's leaky integrate-and-fire neurons as a network of ours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy
from brian2 import Equations, NeuronGroup
from brian2.core.namespace import DEFAULT_UNITS, get_local_namespace
from brian2.parsing.sympytools import str_to_sympy

from models_eq.brian import BrianModel, Projection
from models_eq.brian_text import inline, is_inequality, names, sides, statements
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN, PER_NEURON
from models_eq.neurons import MODELS, NeuronModel


def network_of(
    group: NeuronGroup,
    synapses: Any,
    namespace: Mapping[str, Any] | None,
    fields: Mapping[str, Any],
    level: int = 0,
) -> HRSNN:
    """Network of a user's NeuronGroup and Synapses: what ``HRSNN.from_brian2`` does.

    Parameters
    ----------
    group : NeuronGroup
        Leaky integrate-and-fire neurons, one equation of the membrane and at most one of a synaptic
        current; or what :func:`~models_eq.to_brian2` made, of any model.
    synapses : Synapses, or sequence of Synapses, or None
        Recurrent ones, without delays and plasticity. Several between two neurons become one.
    namespace : Mapping, optional
        Where names are looked up that the objects do not know; by default the caller's scope.
    fields : Mapping
        Fields of :class:`~models_eq.HRSNN` that Brian2 objects do not hold: ``is_exc``,
        ``cluster``, ``ids``, ``n_origin``, ``history``.
    level : int
        How much further up the caller is.

    Returns
    -------
    HRSNN
        With the numbers of the model in SI: potentials in volts where the model has volts. Weights
        are jumps of the current that drives the membrane (``lif_exp``) or of the membrane
        (``lif_delta``).

    Raises
    ------
    CapabilityError
        For what a network of ours cannot hold, by name: delays, plasticity, noise, input, several
        synaptic currents, a threshold that moves, a reset of more than the membrane, self-loops.
    ParameterError
        For objects of the wrong kind, or names that cannot be found.

    Notes
    -----
    Initial values are no part of a network: pass ``initial_state={"v": group.v_}`` to
    :func:`~models_eq.simulate`. A group that is not integrated exactly is read with a warning.
    """
    if namespace is None:
        namespace = get_local_namespace(level + 1)
    if not isinstance(group, NeuronGroup):
        raise ParameterError("group", "a NeuronGroup", type(group).__name__)
    if synapses is None:
        several: list[Any] = []
    else:
        several = list(synapses) if isinstance(synapses, (list, tuple)) else [synapses]
    found = _own(group, several)
    if found is None:
        model = BrianModel.from_objects(group, several, namespace)
        found = _Reading(model).fields()
        if group.method_choice not in ("exact", "linear", "exponential_euler", None):
            warnings.warn(
                f"{group.name} is integrated by {group.method_choice!r}; a network of ours is "
                "integrated exactly, so that spikes may differ by what that method errs",
                stacklevel=3,
            )
    return HRSNN(**{**found, **fields})


def _own(group: NeuronGroup, several: list[Any]) -> dict[str, Any] | None:
    """Fields of objects that to_brian2 made; None for others."""
    model = next((m for m in MODELS.values() if _same(group, m)), None)
    if model is None:
        return None
    values = {
        name: np.asarray(group.variables[name].get_value(), dtype=float)
        for name in (*PER_NEURON, *model.params) if name in group.variables
    }  # fmt: skip
    params = {name: values.pop(name) for name in model.params}
    i, j, w = [], [], []
    for s in several:
        plain = len(s._pathways) == 1 and s._pathways[0].code == model.on_pre
        delay = plain and np.any(s._pathways[0].variables["delay"].get_value())
        recurrent = s.source is group and s.target is group
        if not plain or not recurrent or delay:
            raise CapabilityError(
                s.name, "recurrent Synapses as to_brian2 makes them", "others",
                "Leave synapses of an input out",
            )  # fmt: skip
        i.append(np.asarray(s.variables["_synaptic_pre"].get_value(), dtype=np.int64))
        j.append(np.asarray(s.variables["_synaptic_post"].get_value(), dtype=np.int64))
        w.append(np.asarray(s.variables["w"].get_value(), dtype=float))
    empty = np.zeros(0)
    return {
        "model": model.name, "n": len(group), "i": np.concatenate([empty, *i]).astype(np.int64),
        "j": np.concatenate([empty, *j]).astype(np.int64), "w": np.concatenate([empty, *w]),
        "params": params, **values,
    }  # fmt: skip


def _same(group: NeuronGroup, model: NeuronModel) -> bool:
    same = dict(group.user_equations) == dict(Equations(model.equations))
    spike = group.events.get("spike"), group.event_codes.get("spike")
    return bool(same and spike == (model.threshold, model.reset))


class _Reading:
    """Fields of HRSNN, read from a BrianModel, or CapabilityError naming what does not fit."""

    def __init__(self, model: BrianModel) -> None:
        self.model = model
        self.symbols = {name: sympy.Symbol(name, real=True) for name in model.state}

    def refuse(self, what: str, expected: str, got: str, hint: str = "") -> CapabilityError:
        """The error for a part of the model that a network of ours cannot hold."""
        return CapabilityError(f"{self.model.name}.{what}", expected, got, hint)

    def fields(self) -> dict[str, Any]:
        """Everything that the model says of a network."""
        model = self.model
        if model.threshold is None or not is_inequality(model.threshold):
            raise self.refuse("threshold", "one inequality", str(model.threshold))
        left, right = sides(model.threshold)
        above = ">" in model.threshold
        v, high = (left, right) if left in model.equations else (right, left)
        if v not in model.equations or above != (v == left):
            raise self.refuse("threshold", "a variable above a value", model.threshold)
        frozen = [name for name in model.state if name not in model.equations]
        if frozen:
            raise self.refuse(frozen[0], "no variable that only spikes change", frozen[0])
        others = [name for name in model.equations if name != v]
        if len(others) > 1:
            raise self.refuse(
                "equations", "at most one synaptic current beside the membrane", ", ".join(others),
                "prune_model and lyapunov_spectrum take such a model as it is",
            )  # fmt: skip
        s = others[0] if others else None
        slope, drive, gain = self._membrane(v, s)
        tau = -1.0 / slope
        reset = self._reset(v)
        found: dict[str, Any] = {
            "model": "lif_exp" if s else "lif_delta", "n": model.n, "tau_m": tau,
            "v_rest": drive * tau, "v_th": self.number(self.parse(high), "threshold"),
            "v_reset": reset, "t_ref": self._refractory(v),
        }  # fmt: skip
        if s:
            found["tau_syn"] = self._synaptic(s)
        i, j, w = self._synapses(s or v, gain * tau if s else np.ones(model.n))
        return {**found, "i": i, "j": j, "w": w}

    def parse(self, text: str) -> Any:
        """A text as a sympy expression whose state variables are ours."""
        expression = str_to_sympy(text)
        known = {x: self.symbols[str(x)] for x in expression.free_symbols if str(x) in self.symbols}
        return expression.xreplace(known)

    def number(
        self, expression: Any, what: str, more: Mapping[str, Any] | None = None, size: int = -1
    ) -> np.ndarray:
        """Values of an expression without state, one a neuron (or a synapse)."""
        model, more = self.model, more or {}
        size = model.n if size < 0 else size
        values: dict[Any, Any] = {}
        for symbol in expression.free_symbols:
            name = str(symbol)
            if name in more:
                values[symbol] = more[name]
            elif name in model.parameters:
                values[symbol] = model.parameters[name]
            elif name == "neuron_index":
                values[symbol] = np.arange(model.n)
            elif name in model.namespace and name not in model.functions:
                values[symbol] = np.asarray(model.namespace[name], dtype=float)
            elif name in DEFAULT_UNITS:
                values[symbol] = float(DEFAULT_UNITS[name])
            elif name == "dt":
                values[symbol] = model.dt
            else:
                raise self.refuse(what, "values that stay as they are", f"{name} in {expression}")
        if expression.atoms(sympy.core.function.AppliedUndef):
            raise self.refuse(what, "no functions of the user or of time", str(expression))
        symbols = list(values)
        value = sympy.lambdify(symbols, expression, "numpy")(*values.values())
        return np.broadcast_to(np.asarray(value, dtype=float), (size,)).copy()

    def _membrane(self, v: str, s: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """dv/dt = slope v + drive + gain s."""
        text = self.model.equations[v]
        if "t" in names(text):
            raise self.refuse(f"d{v}/dt", "no input that depends on t", text, "Give a Stimulus")
        rate = self.parse(text)
        x = self.symbols[v]
        y = self.symbols[s] if s else sympy.Symbol("_none")
        a, b = sympy.simplify(rate.diff(x)), sympy.simplify(rate.diff(y))
        if {x, y} & (a.free_symbols | b.free_symbols):
            raise self.refuse(f"d{v}/dt", f"an equation linear in {v}" + (f" and {s}" if s else ""),
                              text)  # fmt: skip
        slope = self.number(a, f"d{v}/dt")
        if not (slope < 0).all():
            raise self.refuse(f"d{v}/dt", f"a leak, as -{v}/tau", text)
        gain = self.number(b, f"d{v}/dt") if s else np.zeros(self.model.n)
        if s and not gain.all():
            raise self.refuse(f"d{v}/dt", f"an effect of {s}", text)
        return slope, self.number(rate.xreplace({x: sympy.S.Zero, y: sympy.S.Zero}), "drive"), gain

    def _synaptic(self, s: str) -> np.ndarray:
        text = self.model.equations[s]
        rate, y = self.parse(text), self.symbols[s]
        slope = sympy.simplify(rate.diff(y))
        rest = sympy.simplify(rate - slope * y)
        if slope.free_symbols & set(self.symbols.values()) or rest != 0:
            raise self.refuse(f"d{s}/dt", f"a decay, as -{s}/tau", text)
        if s in self.model.clamped:
            raise self.refuse(s, "a current that decays at all times", "(unless refractory)")
        rate_of_decay = self.number(slope, f"d{s}/dt")
        if not (rate_of_decay < 0).all():
            raise self.refuse(f"d{s}/dt", f"a decay, as -{s}/tau", text)
        return -1.0 / rate_of_decay

    def _reset(self, v: str) -> np.ndarray:
        lines = statements(self.model.reset)
        if len(lines) != 1 or lines[0][:2] != (v, ""):
            raise self.refuse("reset", f"{v} = a value, and nothing else", self.model.reset)
        return self.number(self.parse(lines[0][2]), "reset")

    def _refractory(self, v: str) -> np.ndarray:
        text = self.model.refractory
        if text is None:
            return np.zeros(self.model.n)
        if v not in self.model.clamped:
            raise self.refuse("refractory", f"{v} (unless refractory)", text)
        return self.number(self.parse(text), "refractory")

    def _synapses(self, target: str, gain: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n = self.model.n
        total: dict[int, float] = {}
        for p in self.model.projections:
            if p.spikes is not None:
                raise CapabilityError(
                    p.name, "recurrent synapses", "synapses of an input", "Give it as a Stimulus"
                )
            for key, weight in zip((p.i * n + p.j).tolist(), self._kick(p, target, gain),
                                   strict=True):  # fmt: skip
                total[key] = total.get(key, 0.0) + weight
        pair = np.fromiter(total, dtype=np.int64, count=len(total))
        i, j = pair // n, pair % n
        if (i == j).any():
            raise self.refuse(
                "synapses", "no self-loops", f"neuron {int(i[i == j][0])} onto itself"
            )
        return i, j, np.fromiter(total.values(), dtype=float, count=len(total))

    def _kick(self, p: Projection, target: str, gain: np.ndarray) -> np.ndarray:
        """Weight of every synapse: all its statements together."""
        where, kick = f"{p.name}.on_pre", np.zeros(p.i.size)
        values: dict[str, Any] = dict(p.parameters)
        for name, array in self.model.parameters.items():
            values |= {f"{name}_pre": array[p.i] if p.spikes is None else None}
            values |= {f"{name}_post": array[p.j], name: array[p.j]}
        values |= {"neuron_index_pre": p.i, "neuron_index_post": p.j}
        local: dict[str, str] = {}
        for name, operator, text in statements(p.on_pre):
            text = inline(text, local)
            if name == f"{target}_post" and operator in ("+", "-"):
                sign = -1.0 if operator == "-" else 1.0
                kick += sign * self.number(self.parse(text), where, values, p.i.size)
            elif not name.endswith("_post") and not operator:
                local[name] = text
            else:
                raise CapabilityError(
                    where, f"statements that add to {target}", f"{name} {operator}= {text}"
                )
        return kick * gain[p.j]
