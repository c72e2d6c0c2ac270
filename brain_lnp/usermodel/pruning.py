"""The steps of pruning a user's model: read, run, choose, pay back, rebuild, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from brian2 import NeuronGroup, Synapses
from brian2.units.fundamentalunits import DIMENSIONLESS, get_dimensions

from analysis.pruning.result import budget
from brain_lnp.usermodel.arguments import (
    budgets_of,
    compensate_of,
    connections_of,
    exponents_of,
    free_prefix,
    stated_by_name,
)
from brain_lnp.usermodel.choice import (
    METHODS,
    NEURON_SCORES,
    Multigraph,
    checked_choice,
    choose,
    choose_neurons,
    synapse_scores,
)
from brain_lnp.usermodel.fidelity import ModelFidelity, compare, deal_out
from brain_lnp.usermodel.gains import Payment, gains_of, payment
from brain_lnp.usermodel.kicks import Kick, KickReader, stated_weight
from brain_lnp.usermodel.objects import ends, values_of
from brain_lnp.usermodel.reading import ModelReading, Unreadable
from brain_lnp.usermodel.rebuild import Rebuild
from brain_lnp.usermodel.run import (
    inputs_of,
    is_random,
    lif_exponents,
    own_clocks,
    own_run,
    run_copy,
)
from models_eq.errors import CapabilityError, ParameterError, SilentNetworkError, UnitError
from models_eq.rng import stream
from models_eq.trajectory import Trajectory


class ModelPruning:
    """One call of ``prune_model``, its arguments checked.

    Parameters
    ----------
    group, connections, method, exponents, neuron_score, seed, namespace
        As :func:`~brain_lnp.usermodel.api.prune_model` takes them.
    drive, visible
        Where to look for what else acts on the neurons.
    duration, dt : float, s
    compensate : bool or str

    Raises
    ------
    ParameterError
        For an argument of the wrong kind.
    """

    def __init__(
        self,
        group: NeuronGroup,
        connections: Synapses | Sequence[Synapses],
        *,
        method: str,
        exponents: Any,
        neuron_score: str | None,
        drive: Any,
        visible: Sequence[Any],
        duration: float,
        dt: float | None,
        seed: int,
        namespace: Mapping[str, Any],
        compensate: Any,
    ) -> None:
        if not isinstance(group, NeuronGroup):
            raise ParameterError("group", "a NeuronGroup", type(group).__name__)
        self.group, self.connections = group, connections_of(group, connections)
        self.method = checked_choice("method", method, METHODS)
        self.exponents = exponents_of(exponents, len(group))
        usual = "betweenness" if method in ("lnp", "noise") else "random"
        given = usual if neuron_score is None else neuron_score
        self.neuron_score = checked_choice("neuron_score", given, NEURON_SCORES)
        self.duration, self.seed, self.namespace = duration, seed, namespace
        self.compensate = compensate_of(compensate)
        self.inputs = inputs_of(group, self.connections.values(), drive, visible)
        self.dt = float(group.clock.dt_) if dt is None else dt
        # A group that has never run remembers no time of its clock.
        self.origin = 0.0 if group._network is None else float(values_of(group.clock, "t"))
        self.ends = {name: ends(s) for name, s in self.connections.items()}
        self.pre, self.post = (
            np.concatenate([pair[k] for pair in self.ends.values()]) for k in (0, 1)
        )
        if not self.pre.size:
            raise ParameterError(
                "connections", "at least one synapse", "none", "Call connect first"
            )
        self.of = np.repeat(
            np.arange(len(self.ends)), [pair[0].size for pair in self.ends.values()]
        )
        self.notes: list[str] = []
        self.w = np.ones(self.pre.size)
        self.tau = np.ones(len(group))
        self.reading: ModelReading | None = None
        self.readers: dict[str, KickReader] = {}
        self.kicks: dict[str, list[Kick] | None] = {}
        self.stated: dict[str, Any] = {}
        self.model = "lif_exp"

    def members(self, name: str) -> np.ndarray:
        """Mask over all synapses: those of one Synapses."""
        return self.of == list(self.connections).index(name)

    def read(self, weight: Any, tau: Any, membrane: str | None) -> None:
        """Read kicks and time constants, as far as this method needs them."""
        by_weight = self.method in ("lnp", "noise", "magnitude")
        if not (by_weight or self.compensate):
            return
        reading = self.reading = ModelReading(self.group, self.namespace, membrane)
        self.readers = {n: KickReader(reading, s, tau) for n, s in self.connections.items()}
        self.stated = stated_by_name(weight, self.connections)
        for reader in self.readers.values():
            reading.targets |= reader.targets()
        self.model = "lif_delta" if reading.targets == {reading.membrane} else "lif_exp"
        found = {name: self._kicks(name) for name in self.connections}
        dims = {name: dim for name, (_, dim) in found.items() if found[name][0].size}
        if len(set(dims.values())) > 1:
            raise UnitError(
                "weight", "kicks of one unit for all Synapses",
                ", ".join(f"{name}: {dim}" for name, dim in dims.items()),
            )  # fmt: skip
        self.w = np.concatenate([w for w, _ in found.values()])
        if not (np.isfinite(self.w).all() and self.w.any()):
            raise ParameterError("weight", "finite kicks, not all of them 0", self.w)
        between = reading.potentials()
        if between is not None and next(iter(dims.values())) is reading.dim:
            self.w = self.w / (between[0] - between[1])[self.post]
        else:
            self.notes.append("kicks are compared as they are, not in distances to the threshold")
        if self.method in ("lnp", "noise"):
            self.tau = reading.tau(tau)

    def _kicks(self, name: str) -> tuple[np.ndarray, Any]:
        """Signed kick of every synapse of one Synapses, and its dimension."""
        reader, stated = self.readers[name], self.stated.get(name)
        assert self.reading is not None
        size = self.ends[name][0].size
        if not size:
            return np.zeros(0), DIMENSIONLESS
        if stated is None:
            kicks = self.kicks[name] = reader.read()
            self.notes += [
                f"{name} also writes {target}, which is taken to have no effect"
                for target in reader.without_effect
            ]
            return np.sum([kick.value for kick in kicks], axis=0), self.reading.dim
        try:
            self.kicks[name] = reader.read()
        except (ParameterError, CapabilityError):
            self.kicks[name] = None
        value = stated_weight(stated, self.connections[name], self.reading)
        return np.asarray(value, dtype=float), get_dimensions(value)

    def prune(
        self, synapses: Any, neurons: Any, *, rebuild: bool, measure: bool, prefix: str
    ) -> dict[str, Any]:
        """Everything that a :class:`~brain_lnp.usermodel.api.PrunedModel` holds, by name."""
        parts = budgets_of(synapses, {name: self.members(name) for name in self.connections})
        n = len(self.group)
        n_keep = budget(neurons, n, "neurons", 1)
        by_run = self.method == "lnp" and isinstance(self.exponents, str)
        by_run = (by_run and self.exponents != "leak") or n_keep < n
        run = self._run(needed=by_run) if by_run or measure else None
        rates = None if run is None else np.bincount(run.i, minlength=n) / run.duration
        exponents, origin = self._node_exponents(run)
        graph = Multigraph(n, self.pre, self.post, self.w, self.tau, self.model)
        scores, diagnostics = synapse_scores(graph, self.method, exponents)
        kept = np.arange(n)
        if n_keep < n:
            assert rates is not None
            total = sum(count for _, count in parts.values())
            kept = choose_neurons(
                graph, scores, self.neuron_score, rates, n_keep=n_keep, count=total, seed=self.seed
            )
        inside = np.isin(self.pre, kept) & np.isin(self.post, kept)
        mask, found = choose(graph, scores, self.method, parts, inside, self.seed)
        diagnostics |= found
        payments = self._pay(mask, kept)
        index = {name: np.flatnonzero(mask[self.members(name)]) for name in self.connections}
        compared = {} if not measure or run is None else self._compare(run, kept, index, payments)
        built: dict[str, Any] = {}
        if rebuild:
            free = free_prefix(prefix, [self.group, *self.connections.values(), *self.inputs])
            built = self._build(Rebuild(free, None, self.origin), kept, index, payments)
        self._remark(index, diagnostics, rates)
        gains = {name: (p.excitatory, p.inhibitory) for name, p in payments.items()}
        kicks = {} if self.reading is None else {
            name: self.w[self.members(name)] for name in self.connections
        }  # fmt: skip
        return {
            "method": self.method, "seed": self.seed, "kept_neurons": kept, "kept_synapses": index,
            "gains": gains, "applied": {name: p.how for name, p in payments.items()},
            "exponents": exponents, "exponents_from": origin, "rates": rates,
            "diagnostics": diagnostics, "kicks": kicks, "notes": tuple(self.notes),
            **compared, **built,
        }  # fmt: skip

    def _node_exponents(self, run: Trajectory | None) -> tuple[np.ndarray | None, str]:
        if self.method != "lnp":
            return None, ""
        if not isinstance(self.exponents, str):
            return self.exponents, "given"
        if self.exponents != "leak":
            assert self.reading is not None and run is not None
            try:
                return lif_exponents(self.reading, run, self.tau), "lif"
            except Unreadable as error:
                if self.exponents == "lif":
                    raise CapabilityError(
                        "exponents", "a leaky integrate-and-fire model", str(error),
                        "Pass exponents='leak', or an array of your own",
                    ) from None  # fmt: skip
                self.notes.append(f"exponents are -1/tau: {error}")
        return -1.0 / self.tau, "leak"

    def _pay(self, mask: np.ndarray, kept: np.ndarray) -> dict[str, Payment]:
        payments = {}
        for name in self.connections:
            members = self.members(name)
            w, post = self.w[members], self.post[members]
            if self.reading is None:
                payments[name] = Payment()
                continue
            gains = gains_of(w, post, mask[members], kept, self.compensate or "variance")
            if self.compensate:
                payments[name] = payment(
                    self.readers[name], self.kicks.get(name), self.stated.get(name),
                    w[mask[members]], gains,
                )  # fmt: skip
            else:
                payments[name] = Payment(*gains)
        return payments

    def _build(
        self,
        rebuild: Rebuild,
        kept: np.ndarray | None = None,
        index: Mapping[str, np.ndarray] | None = None,
        payments: Mapping[str, Payment] | None = None,
    ) -> dict[str, Any]:
        group = rebuild.group(self.group, kept)
        synapses: dict[str, Synapses | None] = {}
        for name, old in self.connections.items():
            pay = Payment() if payments is None else payments[name]
            at = None if index is None else index[name]
            new = rebuild.synapses(old, at, codes=pay.codes, extra=pay.extra)
            if at is not None:
                pay.apply(new, self.w[self.members(name)][at])
            synapses[name] = new
        for old in self.inputs:
            rebuild.synapses(old) if isinstance(old, Synapses) else rebuild.poisson(old)
        own = [group, *synapses.values()]
        inputs = tuple(x for x in rebuild.objects if not any(x is y for y in own))
        return {"group": group, "synapses": synapses, "inputs": inputs}

    def _compare(
        self,
        run: Trajectory,
        kept: np.ndarray,
        index: Mapping[str, np.ndarray],
        payments: Mapping[str, Payment],
    ) -> dict[str, ModelFidelity | None]:
        """Fidelity of the pruned model, of the untreated mask, and of the model to itself."""
        random = is_random(self.group, [*self.connections.values(), *self.inputs])
        pruned = compare(run, self._run((kept, index, payments)), kept, random)
        paid = any(p.variable or p.factor for p in payments.values())
        mask = compare(run, self._run((kept, index, None)), kept, random) if paid else pruned
        try:
            own = compare(run, self._run(other=random), kept, random)
        except Unreadable:
            own = None
        return {"fidelity": pruned, "untreated": mask, "ceiling": own}

    def _run(
        self,
        changes: tuple[Any, ...] = (),
        *,
        needed: bool = False,
        other: bool | None = None,
    ) -> Trajectory:
        """Run a copy of the model, as it is, or pruned, or from an `other` initial state.

        Raises `Unreadable` where there is no other state, unless `other` is true: random numbers
        make another run.
        """
        variables: list[str] = []
        if needed and self.reading is not None and self.method == "lnp":
            variables = list(self.reading.rates)
        seed = self.seed
        with own_run():
            clocks = own_clocks(float(self.group.clock.dt_), self.dt)
            # One name for all copies lets Brian2 compile their code once.
            rebuild = Rebuild("trial", clocks, self.origin)
            group = self._build(rebuild, *changes)["group"]
            if other is not None:
                seed += 1
                deal_out(group, self.reading, stream(self.seed, "v_init", 30), required=not other)
            run = run_copy(rebuild.objects, group, self.duration, seed, self.namespace, variables)
        if needed and not run.n_spikes:
            raise SilentNetworkError(
                "group", f"a model that spikes within {self.duration:g} s", "no spike",
                "Give its input (drive), set initial values, or run longer (duration)",
            )  # fmt: skip
        return run

    def _remark(
        self, index: Mapping[str, np.ndarray], diagnostics: Mapping[str, Any], rates: Any
    ) -> None:
        self.notes += [f"nothing of {name} is kept" for name, at in index.items() if not at.size]
        left = sum(at.size for at in index.values())
        for key, value in diagnostics.items():
            if key.startswith("cv_p") and value < 0.1 and left < self.pre.size:
                self.notes.append(f"the choice is as good as random ({key} {value:.2g})")
        if rates is not None and (silent := int((rates == 0).sum())):
            self.notes.append(f"{silent} neurons did not spike in the run of the model")
        if self.origin > 0:
            self.notes.append(
                "the model has run before: spikes under way in delays are left out, and input that "
                "depends on time starts anew"
            )
