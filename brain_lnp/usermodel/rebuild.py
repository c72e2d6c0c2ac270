"""Copies of a user's Brian2 objects: fewer neurons and synapses, everything else carried over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from brian2 import (
    Equations,
    NeuronGroup,
    PoissonGroup,
    PoissonInput,
    SpikeGeneratorGroup,
    Synapses,
    second,
)
from brian2.core.variables import ArrayVariable
from brian2.groups.group import CodeRunner
from brian2.groups.subgroup import Subgroup
from brian2.units.fundamentalunits import Quantity

from brain_lnp.usermodel.objects import (
    ends,
    group_texts,
    model_equations,
    refuse_group,
    refuse_indices,
    refuse_synapses,
    summed_equations,
    values_of,
    whole,
)
from models_eq.errors import CapabilityError

SOURCES = (NeuronGroup, PoissonGroup, SpikeGeneratorGroup)
_TIMES = ("lastspike", "lastupdate")

ClockOf = Callable[[Any], Any]


class Rebuild:
    """Builds copies of groups and of the Synapses between them.

    Parameters
    ----------
    prefix : str
        What every name starts with. Brian2 runs what has one time slot in the order of names, and
        a common prefix leaves that order as it was.
    clock_of : callable, optional
        Clock of a copy, given the clock of the original; by default the same one.
    origin : float, s
        Time that the copies call 0: times that a model remembers (the last spike, the last
        update) are counted from there.
    """

    def __init__(self, prefix: str, clock_of: ClockOf | None = None, origin: float = 0.0) -> None:
        self.prefix, self.origin = prefix, origin
        self.clock_of: ClockOf = clock_of or (lambda clock: clock)
        self.objects: list[Any] = []
        self._groups: dict[int, tuple[Any, np.ndarray]] = {}

    def name(self, old: Any) -> str:
        """Name of the copy of an object."""
        return f"{self.prefix}_{old.name}"

    def group(self, old: NeuronGroup, kept: np.ndarray | None = None) -> NeuronGroup:
        """Copy a NeuronGroup.

        Parameters
        ----------
        old : NeuronGroup
        kept : ndarray of int, shape (k,), optional
            Neurons to keep, ascending; by default all.

        Returns
        -------
        NeuronGroup
            Same equations, threshold, reset, refractoriness, events, method, namespace and clock;
            values of every variable carried over.

        Raises
        ------
        CapabilityError
            For what cannot be copied: compartments, linked variables, and, where neurons are
            dropped, code that names an index or the size.
        """
        refuse_group(old)
        kept = np.arange(len(old)) if kept is None else np.asarray(kept, dtype=np.int64)
        if kept.size < len(old):
            refuse_indices(old, group_texts(old))
        events = {name: text for name, text in old.events.items() if name != "spike"}
        new = NeuronGroup(
            kept.size,
            old.user_equations,
            method=old.method_choice,
            method_options=old.state_updater.method_options,
            threshold=old.events.get("spike"),
            reset=old.event_codes.get("spike"),
            refractory=old._refractory,
            events=events,
            namespace=dict(old.namespace) if old.namespace is not None else None,
            dtype=_dtypes(old, old.user_equations),
            clock=self.clock_of(old.clock),
            order=old.order,
            name=self.name(old),
            codeobj_class=old.codeobj_class,
        )
        for event, code in old.event_codes.items():
            if event != "spike":
                new.run_on_event(event, code)
        for kind in ("thresholder", "resetter"):
            for event, runner in getattr(old, kind).items():
                _schedule(runner, getattr(new, kind)[event])
        _schedule(old.state_updater, new.state_updater)
        carried = [n for n, eq in old.user_equations.items() if eq.type != "subexpression"]
        for name in [*carried, "lastspike", "not_refractory"]:
            if name in old.variables:
                value = self._times(name, values_of(old, name))
                new.variables[name].set_value(value[kept] if value.ndim else value)
        own = [*old.thresholder.values(), *old.resetter.values(), old.state_updater]
        self._regular(old, new, [*own, old.subexpression_updater])
        return self._add(old, new, kept)

    def source(self, old: Any) -> Any:
        """Copy a group that sends input; a group that has been copied is not copied again.

        Raises
        ------
        CapabilityError
            For a group of another kind than ``SOURCES``.
        """
        if id(old) in self._groups:
            return self._groups[id(old)][0]
        if isinstance(old, NeuronGroup):
            return self.group(old)
        given = {"clock": self.clock_of(old.clock), "name": self.name(old)}
        given |= {"when": old.when, "order": old.order}
        if isinstance(old, PoissonGroup):
            rates = old._rates
            if not isinstance(rates, str):
                rates = Quantity(values_of(old, "rates"), dim=old.variables["rates"].dim)
            new: Any = PoissonGroup(len(old), rates, namespace=dict(old.namespace or {}), **given)
        elif isinstance(old, SpikeGeneratorGroup):
            index, time = values_of(old, "neuron_index"), values_of(old, "spike_time")
            period = float(values_of(old, "period")) * second
            new = SpikeGeneratorGroup(len(old), index, time * second, period=period, **given)
        else:
            raise CapabilityError(
                old.name, "input from a NeuronGroup, a PoissonGroup or a SpikeGeneratorGroup",
                type(old).__name__, "Leave it out of drive",
            )  # fmt: skip
        return self._add(old, new, np.arange(len(old)))

    def poisson(self, old: PoissonInput) -> PoissonInput | None:
        """Copy a PoissonInput onto the copy of its target; None where no neuron of it is kept."""
        target = self._place(old._group)
        if target is None:
            return None
        new = PoissonInput(
            target, old.target_var, old.N, old.rate, old.weight,
            when=old.when, order=old.order,
        )  # fmt: skip
        self.objects.append(new)
        return new

    def synapses(
        self,
        old: Synapses,
        index: np.ndarray | None = None,
        *,
        codes: Mapping[str, str] | None = None,
        extra: str = "",
    ) -> Synapses | None:
        """Copy Synapses onto the copies of their groups.

        Parameters
        ----------
        old : Synapses
        index : ndarray of int, shape (k,), optional
            Synapses to keep, ascending; by default all whose two ends are kept.
        codes : Mapping of str to str, optional
            Code of pathways that differs from the original, by name of the pathway.
        extra : str
            Further equations.

        Returns
        -------
        Synapses or None
            Every variable, delay, pathway and schedule carried over; None where none is left.

        Raises
        ------
        CapabilityError
            For linked variables, subexpressions that are constant over a step, and,
            where neurons are dropped, code that names an index.
        """
        refuse_synapses(old)
        pre, post = ends(old)
        (source, new_pre), (target, new_post) = (
            self._group_of(whole(g)) for g in (old.source, old.target)
        )
        if index is None:
            index = np.flatnonzero((new_pre[pre] >= 0) & (new_post[post] >= 0))
        summed = summed_equations(old)
        if index.size == 0:
            for name in summed.names:  # a sum over nothing, which would else stay as it was
                side = target if name.endswith("_post") else source
                side.variables[name.rpartition("_")[0]].set_value(0)
            return None
        equations = model_equations(old)
        if (new_pre < 0).any() or (new_post < 0).any():
            texts = [p.code for p in old._pathways]
            texts += [e.expr.code for e in (equations + summed).values() if e.expr is not None]
            refuse_indices(old, texts)
        source, target = self._place(old.source), self._place(old.target)
        written = {p.objname: (codes or {}).get(p.objname, p.code) for p in old._pathways}
        sides = {
            side: {p.objname: written[p.objname] for p in old._pathways if p.prepost == side}
            for side in ("pre", "post")
        }
        shared = {p.objname: _delay(p) for p in old._pathways if p.variables["delay"].scalar}
        updater = old.state_updater
        method = {} if updater is None else {
            "method": updater.method_choice, "method_options": updater.method_options
        }  # fmt: skip
        new = Synapses(
            source,
            target,
            equations + summed + Equations(extra),
            on_pre=sides["pre"] or None,
            on_post=sides["post"] or None,
            delay=shared or None,
            on_event={p.objname: p.event for p in old._pathways},
            namespace=dict(old.namespace) if old.namespace is not None else None,
            dtype=_dtypes(old, equations),
            clock=self.clock_of(old.clock),
            order=old.order,
            name=self.name(old),
            codeobj_class=old.codeobj_class,
            **method,
        )
        new.connect(
            i=new_pre[pre[index]] - getattr(source, "start", 0),
            j=new_post[post[index]] - getattr(target, "start", 0),
        )
        for name in [*equations.names, "lastupdate"]:
            eq = equations.get(name)
            if name in old.variables and (eq is None or eq.type != "subexpression"):
                value = self._times(name, values_of(old, name))
                dim = old.variables[name].dim
                setattr(new, name, Quantity(value[index] if value.ndim else value, dim=dim))
        for p in old._pathways:
            copied = getattr(new, p.objname)
            _schedule(p, copied)
            if p.objname not in shared:
                copied.delay = values_of(p, "delay")[index] * second
        if updater is not None:
            _schedule(updater, new.state_updater)
        for name, sums in old.summed_updaters.items():
            _schedule(sums, new.summed_updaters[name])
        self._regular(old, new, [*old._pathways, updater, *old.summed_updaters.values()])
        self.objects.append(new)
        return new

    def _add(self, old: Any, new: Any, kept: np.ndarray) -> Any:
        position = np.full(len(old), -1, dtype=np.int64)
        position[kept] = np.arange(kept.size)
        self._groups[id(old)] = new, position
        self.objects.append(new)
        return new

    def _group_of(self, old: Any) -> tuple[Any, np.ndarray]:
        self.source(old)
        return self._groups[id(old)]

    def _place(self, old: Any) -> Any:
        """Copy of a group, or of a part of it."""
        new, position = self._group_of(whole(old))
        if not isinstance(old, Subgroup):
            return new
        inside = position[old.start : old.stop]
        inside = inside[inside >= 0]
        return new[int(inside[0]) : int(inside[-1]) + 1] if inside.size else None

    def _times(self, name: str, value: np.ndarray) -> np.ndarray:
        return value - self.origin if name in _TIMES else value

    def _regular(self, old: Any, new: Any, known: Iterable[Any]) -> None:
        """Copy what was made by run_regularly; refuse what else a user has hung onto a group."""
        own = {id(runner) for runner in known}
        for runner in old.contained_objects:
            if id(runner) in own or isinstance(runner, Synapses):
                continue
            if type(runner) is not CodeRunner:
                raise CapabilityError(
                    f"{old.name}.{runner.name}", "code of run_regularly", type(runner).__name__
                )
            new.run_regularly(
                runner.abstract_code, clock=self.clock_of(runner.clock), when=runner.when,
                order=runner.order, name=f"{self.prefix}_{runner.name}",
            )  # fmt: skip


def _delay(pathway: Any) -> Quantity:
    return float(values_of(pathway, "delay")) * second


def _dtypes(owner: Any, equations: Equations) -> dict[str, Any]:
    return {
        name: owner.variables[name].dtype
        for name in equations.names
        if isinstance(owner.variables.get(name), ArrayVariable)
    }


def _schedule(old: Any, new: Any) -> None:
    new.when, new.order, new.active = old.when, old.order, old.active
