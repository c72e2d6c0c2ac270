"""BrianModel: a user's own NeuronGroup and Synapses as strings, arrays and connections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from brian2 import Equations, NeuronGroup
from brian2.core.namespace import get_local_namespace
from brian2.units.fundamentalunits import DIMENSIONLESS
from brian2.utils.stringtools import word_substitute

from models_eq.brian_reading import Reader
from models_eq.brian_synapses import SynapseReader
from models_eq.brian_text import assigned
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.network import default_state
from models_eq.neurons import neuron_model


@dataclass(frozen=True, eq=False)
class Spikes:
    """Frozen input spikes.

    Attributes
    ----------
    n : int
        Number of sources.
    i : ndarray of int, shape (m,)
        Source of each spike.
    t : ndarray, shape (m,), s
        Time of each spike.
    period : float, s
        After which they repeat; 0 for never.
    """

    n: int
    i: np.ndarray
    t: np.ndarray
    period: float = 0.0


@dataclass(frozen=True, eq=False)
class Projection:
    """Synapses of one kind, without delay.

    Attributes
    ----------
    name : str
        Name of the Synapses.
    on_pre : str
        Statements at a presynaptic spike. Neuron variables carry ``_post`` or ``_pre``, synaptic
        parameters ``_syn``.
    i, j : ndarray of int, shape (m,)
        Source and target of each synapse.
    parameters : Mapping of str to ndarray, shape (m,)
        Synaptic parameters (SI), by name with ``_syn``.
    dimensions : Mapping of str to Dimension
        Their physical dimensions.
    spikes : Spikes or None
        Source of frozen input spikes; None where the neurons themselves are the source.
    """

    name: str
    on_pre: str
    i: np.ndarray
    j: np.ndarray
    parameters: Mapping[str, np.ndarray]
    dimensions: Mapping[str, Any]
    spikes: Spikes | None = None


@dataclass(frozen=True, eq=False)
class BrianModel:
    """A Brian2 model as strings, arrays and connections.

    Attributes
    ----------
    name : str
        Name of the group.
    n : int
        Number of neurons.
    equations : Mapping of str to str
        Right-hand side of each differential equation, subexpressions substituted, the index of a
        neuron written ``neuron_index``.
    clamped : frozenset of str
        Variables flagged ``(unless refractory)``.
    state : Mapping of str to ndarray, shape (n,)
        Initial values (SI) of everything that changes: variables with an equation, and
        parameters that the reset or a synapse writes, whose flow is zero.
    parameters : Mapping of str to ndarray, shape (n,)
        Values (SI) of everything that does not change.
    dimensions : Mapping of str to Dimension
        Physical dimensions of state and parameters.
    threshold : str or None
        One inequality; None for a group that does not spike.
    reset : str
        Statements after a spike.
    refractory : str or None
        Expression as Brian2 takes it: a time, or a condition where nothing is clamped.
    projections : tuple of Projection
        Synapses, in the order in which they act.
    namespace : Mapping of str to object
        Constants and functions that the strings name.
    dt : float, s
        Time step of the group it was read from.
    functions : frozenset of str
        Those names in ``namespace`` that are functions.

    Notes
    -----
    A model without input depends on time through its state alone; ``t`` in an equation makes
    its exponents conditional on the input.
    """

    name: str
    n: int
    equations: Mapping[str, str]
    clamped: frozenset[str]
    state: Mapping[str, np.ndarray]
    parameters: Mapping[str, np.ndarray]
    dimensions: Mapping[str, Any]
    threshold: str | None
    reset: str
    refractory: str | None
    projections: tuple[Projection, ...] = ()
    namespace: Mapping[str, Any] = field(default_factory=dict)
    dt: float = 1e-4
    functions: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        synapses = sum(p.i.size for p in self.projections)
        return f"BrianModel({self.name}: {self.n} neurons, {synapses} synapses)"

    @classmethod
    def from_objects(
        cls,
        group: NeuronGroup,
        synapses: Any = None,
        namespace: Mapping[str, Any] | None = None,
        level: int = 0,
    ) -> BrianModel:
        """Read a NeuronGroup and its Synapses.

        Parameters
        ----------
        group : NeuronGroup
            The neurons.
        synapses : Synapses, or iterable of Synapses, optional
            Recurrent synapses, and synapses from SpikeGeneratorGroups (frozen input).
        namespace : Mapping, optional
            Where names that the equations do not declare are looked up, besides the objects' own
            namespaces; by default the caller's scope, as ``run`` does it.
        level : int
            How much further up the caller is.

        Raises
        ------
        CapabilityError
            For what cannot be analysed, by name: delays, gap junctions, noise, plasticity, custom
            events, ``run_regularly``, linked variables.
        ParameterError
            For objects of the wrong kind or names that cannot be found.

        Examples
        --------
        >>> from brian2 import NeuronGroup, ms
        >>> tau = 10 * ms
        >>> group = NeuronGroup(2, "dv/dt = (1.5 - v)/tau : 1", threshold="v > 1",
        ...                     reset="v = 0", method="exact")
        >>> BrianModel.from_objects(group).equations
        {'v': '(1.5 - v)/tau'}
        """
        if not isinstance(group, NeuronGroup):
            raise ParameterError("group", "a NeuronGroup", type(group).__name__)
        if namespace is None:
            namespace = get_local_namespace(level + 1)
        if synapses is None:
            several: list[Any] = []
        else:
            several = list(synapses) if _is_collection(synapses) else [synapses]
        reader = Reader(group, namespace)
        reader.neurons()
        found = [
            Projection(**{**read, "spikes": None if spikes is None else Spikes(**spikes)})
            for read, spikes in SynapseReader(reader).read(several)
        ]
        state, parameters = reader.values()
        return cls(
            name=group.name,
            n=len(group),
            equations=reader.equations,
            clamped=frozenset(reader.clamped),
            state=state,
            parameters=parameters,
            dimensions=reader.dimensions,
            threshold=reader.threshold,
            reset=reader.reset,
            refractory=reader.refractory,
            projections=tuple(found),
            namespace=reader.externals,
            dt=float(group.clock.dt_),
            functions=frozenset(reader.functions),
        )


def _is_collection(value: Any) -> bool:
    return isinstance(value, Iterable) and isinstance(value, (list, tuple, set, frozenset))


def brian_model_of(
    net: HRSNN, dt: float, initial_state: Mapping[str, np.ndarray] | None = None
) -> BrianModel:
    """The continuous-time model of one of our own networks.

    Parameters
    ----------
    net : HRSNN
        The network.
    dt : float, s
        Time step; refractory periods are cut to whole steps, as in a simulation.
    initial_state : Mapping of str to ndarray, shape (n,), optional
        Initial state; by default at rest.

    Notes
    -----
    Bookkeeping of the simulation (constants of the exact propagators, the time of release, the
    growth that ``qif`` carries along) is left out; ``i_stim`` and ``channel`` are kept for a
    frozen stimulus.
    """
    model = neuron_model(net.model)
    text = Equations(model.equations)
    left_out = ("growth", "t_release", "not_refractory", "lastspike")
    equations = {
        name: eq.expr.code for name, eq in text.items()
        if eq.expr is not None and name not in left_out
    }  # fmt: skip
    clamped = {name for name, eq in text.items() if "unless refractory" in eq.flags}
    arrays = dict(net.arrays())
    arrays["t_ref"] = np.floor(arrays["t_ref"] / dt + 1e-3) * dt * model.has_refractory
    arrays |= {"i_stim": np.zeros(net.n), "channel": np.arange(net.n, dtype=np.int32)}
    declared = set(text.names)
    used = {name for name in arrays if name in declared}
    dimensions = {name: text[name].dim for name in [*equations, *used]}
    lines = [line for line in model.reset.splitlines() if not line.startswith("t_release")]
    start = {**default_state(net), **(initial_state or {})}
    projection = Projection(
        name=f"{net.model}_syn",
        on_pre=own_action(net.model),
        i=np.asarray(net.i),
        j=np.asarray(net.j),
        parameters={"w_syn": np.asarray(net.w)},
        dimensions={"w_syn": DIMENSIONLESS},
    )
    reset = "\n".join(lines)
    written = assigned(reset) & used
    return BrianModel(
        name=net.model,
        n=net.n,
        equations=equations,
        clamped=frozenset(clamped),
        state={
            **{name: np.asarray(start[name], dtype=float) for name in equations},
            **{name: np.asarray(arrays[name], dtype=float) for name in sorted(written)},
        },
        parameters={name: np.asarray(arrays[name]) for name in sorted(used - written)},
        dimensions=dimensions,
        threshold=model.threshold,
        reset=reset,
        refractory="t_ref" if model.has_refractory else None,
        projections=(projection,) if net.w.size else (),
        dt=dt,
    )


def own_action(name: str) -> str:
    """Synaptic action of one of our own models, the weight written ``w_syn``."""
    lines = neuron_model(name).on_pre.splitlines()
    text = "\n".join(line for line in lines if "growth" not in line)
    return word_substitute(text, {"w": "w_syn"})
