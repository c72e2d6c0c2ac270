"""Reads Synapses for BrianModel, and refuses by name what cannot be analysed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from brian2 import PoissonGroup, PoissonInput, SpikeGeneratorGroup, Synapses
from brian2.groups.subgroup import Subgroup
from brian2.utils.stringtools import word_substitute

from models_eq.brian_reading import Reader, array_of, split
from models_eq.brian_text import inline, join, names
from models_eq.errors import CapabilityError, ParameterError

_DRAW = "Draw the spikes once and give them as a SpikeGeneratorGroup"


class SynapseReader:
    """Strings, arrays and connections of the Synapses of one NeuronGroup.

    Parameters
    ----------
    reader : Reader
        Has read the neurons; is told which of their variables synapses write.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.group = reader.group

    def read(self, several: Sequence[Any]) -> Iterator[tuple[dict[str, Any], Any]]:
        """Read each Synapses: fields of a Projection, and of its Spikes where it is an input."""
        pathways = []
        for synapses in several:
            self._refuse_synapses(synapses)
            pathways += [(p.order, p.name, p, synapses) for p in synapses._pathways if p.active]
        for _, _, pathway, synapses in sorted(pathways, key=lambda found: found[:2]):
            yield self._pathway(pathway, synapses)

    def _refuse_synapses(self, synapses: Any) -> None:
        if isinstance(synapses, PoissonInput):
            raise CapabilityError(synapses.name, "frozen input", "a PoissonInput", _DRAW)
        if not isinstance(synapses, Synapses):
            raise ParameterError("synapses", "Synapses", type(synapses).__name__)
        name = synapses.name
        if _whole(synapses.target).name != self.group.name:
            raise CapabilityError(
                name, f"{self.group.name} as the target", synapses.target.name,
                "Put all neurons into one group",
            )  # fmt: skip
        source = _whole(synapses.source)
        if isinstance(source, PoissonGroup):
            raise CapabilityError(name, "frozen input", "a PoissonGroup", _DRAW)
        if source.name != self.group.name and not isinstance(source, SpikeGeneratorGroup):
            raise CapabilityError(
                name, f"{self.group.name} or a SpikeGeneratorGroup as the source", source.name,
                "Put all neurons into one group, or record spikes and give them frozen",
            )  # fmt: skip
        if synapses.summed_updaters:
            raise CapabilityError(
                name, "no (summed) variables", ", ".join(sorted(synapses.summed_updaters)),
                "Gap junctions and graded synapses cannot be followed; act at spikes instead",
            )  # fmt: skip
        posts = [p.name for p in synapses._pathways if p.prepost == "post" and p.code]
        if synapses.equations.diff_eq_names or synapses.event_driven or posts:
            raise CapabilityError(
                name, "synapses without plasticity",
                ", ".join([*sorted(synapses.equations.diff_eq_names), *posts]) or "event-driven",
                "Freeze the weights at their present values",
            )  # fmt: skip
        own = [*synapses._pathways, synapses.state_updater]
        for runner in synapses.contained_objects:
            if not any(runner is known for known in own):
                raise CapabilityError(
                    f"{name}.{runner.name}", "no run_regularly or other code", runner.name,
                    "Leave it away",
                )  # fmt: skip
        for pathway in synapses._pathways:
            if pathway.event != "spike":
                raise CapabilityError(name, "the event 'spike'", pathway.event)
            if np.any(pathway.variables["delay"].get_value()):
                raise CapabilityError(
                    f"{name}.delay", "no delays", "delays above 0",
                    "Model them by further variables, e.g. a second synaptic current",
                )  # fmt: skip

    def _pathway(self, pathway: Any, synapses: Synapses) -> tuple[dict[str, Any], Any]:
        where = f"{synapses.name}.on_pre"
        source = _whole(synapses.source)
        recurrent = source.name == self.group.name
        own = {n: eq for n, eq in synapses.equations.items() if eq.type == "parameter"}
        inner = {n: eq.expr.code for n, eq in synapses.equations.items() if eq.type != "parameter"}
        known = set(self.group.user_equations.names) | {"not_refractory", "lastspike"}
        sub = {
            f"{n}_post": _suffix(t, known, "_post") for n, t in self.reader.subexpressions.items()
        }
        sub |= {
            f"{n}_pre": _suffix(t, known, "_pre") for n, t in self.reader.subexpressions.items()
        }
        parts: list[tuple[str, str, str]] = []
        local: set[str] = set()
        for name, operator, text in split(pathway.code or "", where):
            if name in own or name.removesuffix("_syn") in own:
                raise CapabilityError(
                    where, "statements that write no synaptic variable", name,
                    "Plastic synapses cannot be followed: freeze them",
                )  # fmt: skip
            text = inline(text, inner)
            rename: dict[str, str] = {}
            for used in names(text) | {name}:
                if used in own:
                    rename[used] = f"{used}_syn"
                elif used in known and used not in local:
                    rename[used] = f"{used}_post"
                elif used in ("i", "j"):
                    rename[used] = "neuron_index_pre" if used == "i" else "neuron_index_post"
            text, name = word_substitute(text, rename), rename.get(name, name)
            text = inline(text, sub)
            self.reader.refuse_names(text, where)
            base = name.removesuffix("_post")
            if name.endswith("_pre") or base in self.reader.subexpressions:
                raise CapabilityError(
                    where, "statements that write postsynaptic variables", name,
                    "What a neuron does at its own spike belongs into its reset",
                )  # fmt: skip
            if name.endswith("_post") and base in known:
                self.reader.written.add(base)
            else:
                local.add(name)
            renamed: dict[str, str] = {}
            for word in sorted(names(text) - local - {f"{n}_syn" for n in own}):
                stem = word.removesuffix("_post").removesuffix("_pre")
                if stem != word and stem in known | {"neuron_index"}:
                    if word.endswith("_pre") and not recurrent:
                        raise CapabilityError(where, "no variables of the input", word)
                    continue
                if word in ("t", "lastupdate"):
                    raise CapabilityError(
                        where, "statements that do not depend on t", word,
                        "Follow the time with a variable instead",
                    )  # fmt: skip
                if word != "dt" and (new := self.reader.external(word, synapses, "on_pre")):
                    renamed[word] = new
            parts.append((name, operator, word_substitute(text, renamed)))
        values = {f"{n}_syn": array_of(synapses.variables[n], len(synapses)) for n in own}
        read = {
            "name": synapses.name,
            "on_pre": join(parts),
            "i": np.array(synapses.variables["_synaptic_pre"].get_value(), dtype=np.int64),
            "j": np.array(synapses.variables["_synaptic_post"].get_value(), dtype=np.int64),
            "parameters": values,
            "dimensions": {f"{n}_syn": synapses.variables[n].dim for n in own},
        }
        return read, None if recurrent else _generated(source)


def _whole(group: Any) -> Any:
    return group.source if isinstance(group, Subgroup) else group


def _suffix(text: str, known: set[str], suffix: str) -> str:
    return word_substitute(text, {name: name + suffix for name in names(text) & known})


def _generated(source: SpikeGeneratorGroup) -> dict[str, Any]:
    return {
        "n": len(source),
        "i": np.array(source.variables["neuron_index"].get_value(), dtype=np.int64),
        "t": np.array(source.variables["spike_time"].get_value(), dtype=float),
        "period": float(np.ravel(source.variables["period"].get_value())[0]),
    }
