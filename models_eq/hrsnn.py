"""HRSNN: the network as a value, read-only arrays in SI units, and its edits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from brian2.units.fundamentalunits import DIMENSIONLESS
from scipy import sparse

from models_eq.checks import flags, floats, frozen, integers, per_neuron, refuse, selection, whole
from models_eq.errors import ParameterError
from models_eq.neurons import NeuronModel, neuron_model
from models_eq.units import TIME

PER_NEURON = ("tau_m", "tau_syn", "t_ref", "v_rest", "v_th", "v_reset", "i_ext")
TIMES = ("tau_m", "tau_syn", "t_ref")


@dataclass(frozen=True, eq=False)
class HRSNN:
    """A heterogeneous recurrent spiking neural network.

    All arrays are read-only and in SI units (s; potentials and weights dimensionless).
    Only the first six fields are required; scalars broadcast. Bare numbers are SI; quantities and
    text such as ``"20 ms"`` are converted, and refused where their dimension is wrong.

    Parameters
    ----------
    model : str
        Name of a neuron model: ``lif_exp``, ``lif_delta``, ``qif``, ``alif``.
    n : int
        Number of neurons, at least 1.
    i, j : array_like of int, shape (m,)
        Presynaptic and postsynaptic neuron of each synapse. No self-loops, no duplicates.
        Any order; stored sorted by (i, j). Zero synapses are allowed.
    w : array_like, shape (m,)
        Weights.
    tau_m : array_like, shape (n,), s
        Membrane time constants, above 0.
    tau_syn : array_like, shape (n,), s
        Synaptic time constants, above 0 (models without a synaptic current ignore them).
    t_ref : array_like, shape (n,), s
        Absolute refractory period, at least 0 (``qif`` has none and ignores it).
    v_rest, v_th, v_reset : array_like, shape (n,)
        Resting, threshold and reset potential; ``v_th > v_reset``.
    i_ext : array_like, shape (n,)
        Constant drive.
    is_exc : array_like of bool, shape (n,), optional
        Excitatory neurons; by default those whose outgoing weights sum to at least 0.
    cluster : array_like of int, shape (n,)
        Cluster label of each neuron (CHRSNN).
    ids : array_like of int, shape (n,), optional
        Index of each neuron in the network it descends from.
    n_origin : int, optional
        Size of that network.
    params : Mapping of str to array_like, optional
        Further per-neuron arrays of the model.
    history : tuple of dict
        What was done to the network.

    Raises
    ------
    ParameterError
        Naming the field that is wrong.
    UnitError
        For a quantity of the wrong dimension.

    Examples
    --------
    >>> net = HRSNN("lif_exp", 3, i=[0, 1], j=[1, 2], w=[0.5, -0.2], tau_m=0.02)
    >>> net
    HRSNN(lif_exp, 3 neurons, 2 synapses, 67 % excitatory)
    >>> net.weights.toarray()[1, 0]
    np.float64(0.5)
    """

    model: str
    n: int
    i: np.ndarray
    j: np.ndarray
    w: np.ndarray
    tau_m: np.ndarray
    tau_syn: np.ndarray = 0.005  # type: ignore[assignment]
    t_ref: np.ndarray = 0.0  # type: ignore[assignment]
    v_rest: np.ndarray = 0.0  # type: ignore[assignment]
    v_th: np.ndarray = 1.0  # type: ignore[assignment]
    v_reset: np.ndarray = 0.0  # type: ignore[assignment]
    i_ext: np.ndarray = 0.0  # type: ignore[assignment]
    is_exc: np.ndarray = None  # type: ignore[assignment]
    cluster: np.ndarray = 0  # type: ignore[assignment]
    ids: np.ndarray = None  # type: ignore[assignment]
    n_origin: int = None  # type: ignore[assignment]
    params: Mapping[str, np.ndarray] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        model = neuron_model(self.model)
        n = whole(self.n, "n", what=" neuron")
        self._put("n", n)
        self._set_synapses(n)
        for name in PER_NEURON:
            dimension = TIME if name in TIMES else DIMENSIONLESS
            self._put(name, per_neuron(getattr(self, name), n, name, dimension))
        refuse(self.tau_m <= 0, self.tau_m, "tau_m", "time constants above 0 s")
        refuse(self.tau_syn <= 0, self.tau_syn, "tau_syn", "time constants above 0 s")
        refuse(self.t_ref < 0, self.t_ref, "t_ref", "refractory periods of at least 0 s")
        refuse(self.v_th <= self.v_reset, self.v_th, "v_th", "a threshold above v_reset")
        self._set_labels(n)
        self._set_params(n, model)
        try:
            self._put("history", tuple(dict(entry) for entry in self.history))
        except (TypeError, ValueError):
            raise ParameterError("history", "a sequence of dicts", self.history) from None

    def _put(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _set_synapses(self, n: int) -> None:
        i, j = integers(self.i, "i"), integers(self.j, "j")
        w = floats(self.w, "w")
        for name, array in (("i", i), ("j", j), ("w", w)):
            if array.ndim > 1:
                raise ParameterError(name, "a 1-d array", f"shape {array.shape}")
        i, j = i.ravel(), j.ravel()
        w = np.full(i.size, float(w)) if w.ndim == 0 else w
        if not i.size == j.size == w.size:
            raise ParameterError("i, j, w", "equal lengths", f"{i.size}, {j.size}, {w.size}")
        for name, index in (("i", i), ("j", j)):
            outside = (index < 0) | (index >= n)
            refuse(outside, index, name, f"neuron indices in 0..{n - 1}", "synapse")
        if (i == j).any():
            raise ParameterError("i, j", "no self-loops", f"neuron {int(i[i == j][0])} onto itself")
        refuse(~np.isfinite(w), w, "w", "finite weights", "synapse")
        key = i * n + j
        if key.size > 1 and not (np.diff(key) > 0).all():
            order = np.argsort(key, kind="stable")
            i, j, w, key = i[order], j[order], w[order], key[order]
            twice = np.flatnonzero(np.diff(key) == 0)
            if twice.size:
                raise ParameterError(
                    "i, j", "each pair once", f"{i[twice[0]]} -> {j[twice[0]]} twice"
                )
        for name, value in (("i", i), ("j", j), ("w", w)):
            self._put(name, frozen(value))

    def _set_labels(self, n: int) -> None:
        is_exc = self.is_exc
        if is_exc is None:
            is_exc = np.bincount(self.i, self.w, minlength=n) >= 0
        labels = {
            "is_exc": flags(is_exc, "is_exc"),
            "cluster": integers(self.cluster, "cluster"),
            "ids": integers(np.arange(n) if self.ids is None else self.ids, "ids"),
        }
        for name, array in labels.items():
            array = np.full(n, array) if array.ndim == 0 else array
            if array.shape != (n,):
                raise ParameterError(name, f"a scalar or shape ({n},)", f"shape {array.shape}")
            self._put(name, frozen(array))
        origin = int(self.ids.max()) + 1 if self.n_origin is None else self.n_origin
        self._put("n_origin", whole(origin, "n_origin"))
        if self.ids.min() < 0 or self.ids.max() >= self.n_origin:
            outside = self.ids.min() if self.ids.min() < 0 else self.ids.max()
            raise ParameterError(
                "ids", f"indices in 0..{self.n_origin - 1} (n_origin)", int(outside)
            )
        if np.unique(self.ids).size != n:
            raise ParameterError("ids", "each original neuron once", "a repeated index")

    def _set_params(self, n: int, model: NeuronModel) -> None:
        if not isinstance(self.params, Mapping):
            raise ParameterError("params", "a mapping of names to arrays", self.params)
        unknown = set(self.params) - set(model.params)
        if unknown:
            allowed = ", ".join(model.params) or "none"
            raise ParameterError(
                "params",
                f"parameters of {self.model} ({allowed})",
                ", ".join(sorted(map(str, unknown))),
            )
        full = {}
        for name, default in model.params.items():
            time = model.param_units[name] == "second"
            dimension = TIME if time else DIMENSIONLESS
            full[name] = per_neuron(self.params.get(name, default), n, name, dimension)
            if time:
                refuse(full[name] <= 0, full[name], name, "time constants above 0 s")
        self._put("params", MappingProxyType(full))

    def __reduce__(self) -> tuple[Any, ...]:
        values = [getattr(self, f.name) for f in fields(self)]
        values[[f.name for f in fields(self)].index("params")] = dict(self.params)
        return (type(self), tuple(values))

    def __repr__(self) -> str:
        exc = 100 * float(self.is_exc.mean())
        size = f"{self.n} neurons, {self.n_synapses} synapses"
        return f"HRSNN({self.model}, {size}, {exc:.0f} % excitatory)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HRSNN) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return int(self.w.size)

    @cached_property
    def weights(self) -> sparse.csr_array:
        """Weights as a CSR array of shape (post, pre), so that ``dx/dt = W x`` reads as usual."""
        return sparse.csr_array((self.w, (self.j, self.i)), shape=(self.n, self.n))

    @cached_property
    def out_degree(self) -> np.ndarray:
        """Number of outgoing synapses of each neuron, shape (n,)."""
        return np.bincount(self.i, minlength=self.n)

    @cached_property
    def in_degree(self) -> np.ndarray:
        """Number of incoming synapses of each neuron, shape (n,)."""
        return np.bincount(self.j, minlength=self.n)

    @property
    def obeys_dale(self) -> bool:
        """Whether all outgoing weights of a neuron have the sign that ``is_exc`` says."""
        return bool(np.all(np.where(self.is_exc[self.i], self.w >= 0, self.w <= 0)))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that determines the dynamics (not of ``history``)."""
        h = hashlib.sha256(json.dumps([self.model, self.n, self.n_origin]).encode())
        for name in ("i", "j", "w", *PER_NEURON, "is_exc", "cluster", "ids"):
            h.update(name.encode())
            h.update(getattr(self, name).tobytes())
        for name in sorted(self.params):
            h.update(name.encode())
            h.update(self.params[name].tobytes())
        return h.hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """All per-neuron parameters by name, SI, each of shape (n,)."""
        return {**{name: getattr(self, name) for name in PER_NEURON}, **self.params}

    def replace(self, **changes: Any) -> HRSNN:
        """Return a copy with the fields in ``changes`` changed; the result is checked again."""
        names = {f.name for f in fields(self)}
        unknown = set(changes) - names
        if unknown:
            raise ParameterError("replace", "fields of HRSNN", ", ".join(sorted(unknown)))
        values = {name: getattr(self, name) for name in names}
        return HRSNN(**{**values, **changes})

    def note(self, **entry: Any) -> HRSNN:
        """Return a copy whose history has one more entry."""
        return self.replace(history=(*self.history, entry))

    def keep_edges(self, keep: Any) -> HRSNN:
        """Return the network with only some synapses.

        Parameters
        ----------
        keep : array_like of bool, shape (m,), or of int
            Mask over the synapses, or their indices.

        Raises
        ------
        ParameterError
            For a mask of the wrong length or an index out of range.
        """
        index = selection(keep, self.n_synapses, "keep", "synapse")
        return self.replace(i=self.i[index], j=self.j[index], w=self.w[index])

    def keep_neurons(self, keep: Any) -> HRSNN:
        """Return the network with only some neurons and the synapses among them.

        Parameters
        ----------
        keep : array_like of bool, shape (n,), or of int
            Mask over the neurons, or their indices. At least one must remain.

        Raises
        ------
        ParameterError
            For a wrong mask or an empty selection.
        """
        index = selection(keep, self.n, "keep", "neuron")
        if index.size == 0:
            raise ParameterError("keep", "at least one neuron", "none")
        new = np.full(self.n, -1, dtype=np.int64)
        new[index] = np.arange(index.size)
        inside = (new[self.i] >= 0) & (new[self.j] >= 0)
        per_neuron = {
            name: getattr(self, name)[index] for name in (*PER_NEURON, "is_exc", "cluster", "ids")
        }
        return self.replace(
            n=index.size,
            i=new[self.i[inside]],
            j=new[self.j[inside]],
            w=self.w[inside],
            params={name: value[index] for name, value in self.params.items()},
            **per_neuron,
        )

    def add_edges(self, i: Any, j: Any, w: Any) -> HRSNN:
        """Return the network with further synapses.

        Parameters
        ----------
        i, j : array_like of int, shape (k,)
            Presynaptic and postsynaptic neurons.
        w : array_like, shape (k,), or float
            Weights.

        Raises
        ------
        ParameterError
            For a pair that exists already, or whatever else HRSNN refuses.
        """
        i, j = np.atleast_1d(integers(i, "i")), np.atleast_1d(integers(j, "j"))
        w = floats(w, "w")
        try:
            w = np.broadcast_to(w, i.shape)
        except ValueError:
            raise ParameterError("w", f"a scalar or shape {i.shape}", f"shape {w.shape}") from None
        return self.replace(
            i=np.concatenate([self.i, i]),
            j=np.concatenate([self.j, j]),
            w=np.concatenate([self.w, w]),
        )
