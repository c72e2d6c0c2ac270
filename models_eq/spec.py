"""HRSNNSpec: the laws and counts that a network is drawn from, and the draw itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from brian2.units.fundamentalunits import DIMENSIONLESS

from models_eq import rng
from models_eq.distributions import Clipped, Delta, Distribution, Gamma, Uniform, as_distribution
from models_eq.errors import ParameterError
from models_eq.graph import neurons, unit_interval
from models_eq.hrsnn import HRSNN
from models_eq.law import number, require
from models_eq.neurons import neuron_model
from models_eq.topology import Clustered, SmallWorld, Topology, dale_signs
from models_eq.units import TIME

# Child of the stream 'timescales' from which each quantity is drawn. Fixed for good: a new
# quantity takes a new number, or saved seeds would give other networks. Parameters of a model
# follow from _PARAMS on, in the order of the model.
_CHILD = {"tau_m": 0, "tau_syn": 1, "t_ref": 2, "i_ext": 3}
_PARAMS = 16
_COUNTS = ("coupling", "coupling_k", "weight_cv", "inhibition", "v_rest", "v_th", "v_reset")


# The reference regime. Laws and graphs are frozen, so that sharing them is safe.
_TOPOLOGY = SmallWorld(k=0.2, rewire=0.3)
_TAU_M = Clipped(Gamma(3, 0.020, dimension=TIME), 0.003, 0.150, dimension=TIME)
_TAU_SYN = Delta(0.020, dimension=TIME)
_T_REF = Delta(0.002, dimension=TIME)
_I_EXT = Uniform(0.6, 1.3)


@dataclass(frozen=True)
class HRSNNSpec:
    """What a heterogeneous recurrent spiking network is drawn from.

    The defaults are the reference regime. Where a distribution is asked for, a quantity or text
    such as ``"20 ms"`` stands for one value (Delta), and a table as of ``to_dict`` is read.

    Parameters
    ----------
    n : int
        Number of neurons.
    model : str
        Name of a neuron model.
    topology : Topology
        Graph of the synapses.
    tau_m, tau_syn, t_ref : Distribution of times
        Membrane and synaptic time constants (above 0) and refractory periods (at least 0).
    fraction_exc : float
        Fraction of excitatory neurons; exactly round(fraction_exc n) are.
    coupling : float
        Mean excitatory weight in a network with ``coupling_k`` inputs per neuron.
    coupling_k : float
        In-degree at which ``coupling`` holds; at in-degree K the mean is
        ``coupling sqrt(coupling_k/K)``.
    weight_cv : float
        Coefficient of variation of the (gamma distributed) weights; 0 makes them equal.
    inhibition : float
        Factor by which inhibitory weights are stronger.
    i_ext : Distribution
        Constant drive, dimensionless.
    v_rest, v_th, v_reset : float
        Potentials, dimensionless (unused by ``qif``).
    params : Mapping of str to Distribution
        Further parameters of the model; those left out take the model's defaults.
    cluster_tau_m : tuple of Distribution, optional
        One law of tau_m for each cluster, in place of ``tau_m`` (CHRSNN); the topology must
        then be :class:`Clustered`.

    Raises
    ------
    UnitError
        For a bare number where a time is asked for.
    ParameterError
        For any other value that is out of range, naming the field.

    Examples
    --------
    >>> spec = HRSNNSpec(n=100, tau_m=Gamma(3, "10 ms"), t_ref="1 ms")
    >>> sample_hrsnn(spec, seed=1)
    HRSNN(lif_exp, 100 neurons, 2000 synapses, 80 % excitatory)
    """

    n: int = 400
    model: str = "lif_exp"
    topology: Topology = _TOPOLOGY
    tau_m: Distribution = _TAU_M
    tau_syn: Distribution = _TAU_SYN
    t_ref: Distribution = _T_REF
    fraction_exc: float = 0.8
    coupling: float = 0.06
    coupling_k: float = 80.0
    weight_cv: float = 0.7
    inhibition: float = 5.0
    i_ext: Distribution = _I_EXT
    v_rest: float = 0.0
    v_th: float = 1.0
    v_reset: float = 0.0
    params: Mapping[str, Distribution] = field(default_factory=dict)
    cluster_tau_m: tuple[Distribution, ...] | None = None

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("n", neurons(self.n))
        require(isinstance(self.model, str), "model", "the name of a neuron model", self.model)
        model = neuron_model(self.model)
        if not isinstance(self.topology, Topology):
            put("topology", Topology.from_dict(self.topology))
        self.topology.in_degree(self.n)
        put("tau_m", _time(self.tau_m, "tau_m"))
        put("tau_syn", _time(self.tau_syn, "tau_syn"))
        put("t_ref", as_distribution(self.t_ref, "t_ref", TIME))
        require(self.t_ref.support[0] >= 0, "t_ref", "times of at least 0 s", self.t_ref)
        put("i_ext", as_distribution(self.i_ext, "i_ext", DIMENSIONLESS))
        put("fraction_exc", unit_interval(self.fraction_exc, "fraction_exc"))
        for name in _COUNTS:
            put(name, number(getattr(self, name), name))
        for name in ("coupling", "weight_cv", "inhibition"):
            value = getattr(self, name)
            require(value >= 0, name, "a number of at least 0", value)
        require(self.coupling_k > 0, "coupling_k", "an in-degree above 0", self.coupling_k)
        require(
            self.v_th > self.v_reset, "v_th", f"a value above v_reset ({self.v_reset})", self.v_th
        )
        self._set_params(model.params, model.param_units)
        if self.cluster_tau_m is not None:
            self._set_clusters()

    def _set_params(self, defaults: Mapping[str, float], units: Mapping[str, str]) -> None:
        if not isinstance(self.params, Mapping):
            raise ParameterError("params", "a mapping of names to distributions", self.params)
        laws = {}
        for name, value in self.params.items():
            allowed = ", ".join(defaults) or "none"
            require(
                name in defaults, f"params.{name}", f"a parameter of {self.model}: {allowed}", name
            )
            if units[name] != "second":
                laws[name] = as_distribution(value, f"params.{name}", DIMENSIONLESS)
            elif name.startswith("tau"):
                laws[name] = _time(value, f"params.{name}")
            else:
                laws[name] = as_distribution(value, f"params.{name}", TIME)
        object.__setattr__(self, "params", MappingProxyType(laws))

    def _set_clusters(self) -> None:
        laws = self.cluster_tau_m
        if not isinstance(self.topology, Clustered):
            raise ParameterError("cluster_tau_m", "a Clustered topology beside it", self.topology)
        count = self.topology.n_clusters
        expected = f"a sequence of {count} distributions, one for each cluster"
        bad = isinstance(laws, (str, Mapping, Distribution)) or not np.iterable(laws)
        laws = () if bad or laws is None else tuple(laws)
        require(len(laws) == count, "cluster_tau_m", expected, self.cluster_tau_m)
        checked = tuple(_time(law, f"cluster_tau_m[{c}]") for c, law in enumerate(laws))
        object.__setattr__(self, "cluster_tau_m", checked)

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_values, ({**self._values(), "params": dict(self.params)},)

    def _values(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def mean_weight(self) -> float:
        """Mean excitatory weight, ``coupling sqrt(coupling_k/K)``; 0 without synapses."""
        k = self.topology.in_degree(self.n)
        return self.coupling * float(np.sqrt(self.coupling_k / k)) if k > 0 else 0.0

    def homogeneous(self) -> HRSNNSpec:
        """Return the control: every law of a time replaced by its mean (Delta).

        That holds for tau_m, tau_syn, t_ref and times among ``params``. The laws of clusters
        are replaced by one value for all neurons, their mean over neurons. At equal seed the
        synapses, signs, weights and drives of the two networks are the same.
        """
        tau_m = self.tau_m.mean
        if self.cluster_tau_m is not None and isinstance(self.topology, Clustered):
            means = np.array([law.mean for law in self.cluster_tau_m])
            tau_m = float(means[self.topology.labels(self.n)].mean())
        params = {
            name: Delta(law.mean, dimension=TIME) if law.dimension is TIME else law
            for name, law in self.params.items()
        }
        return replace(
            self,
            tau_m=Delta(tau_m, dimension=TIME),
            tau_syn=Delta(self.tau_syn.mean, dimension=TIME),
            t_ref=Delta(self.t_ref.mean, dimension=TIME),
            params=params,
            cluster_tau_m=None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON or TOML; ``cluster_tau_m`` is left out where there is none."""
        result = self._values()
        for name, value in result.items():
            if isinstance(value, (Distribution, Topology)):
                result[name] = value.to_dict()
        result["params"] = {name: law.to_dict() for name, law in self.params.items()}
        if self.cluster_tau_m is None:
            del result["cluster_tau_m"]
        else:
            result["cluster_tau_m"] = [law.to_dict() for law in self.cluster_tau_m]
        return result

    @classmethod
    def from_dict(cls, data: Any) -> HRSNNSpec:
        """Build a spec from ``data``, as ``to_dict`` gives it; keys left out take the defaults.

        Raises
        ------
        ParameterError
            For an unknown key or a value out of range.
        """
        if not isinstance(data, Mapping):
            raise ParameterError("spec", "a table", data)
        known = [f.name for f in fields(cls)]
        for key in data:
            require(key in known, f"spec.{key}", "one of the keys " + ", ".join(known), "this key")
        return cls(**data)


def _from_values(values: dict[str, Any]) -> HRSNNSpec:
    return HRSNNSpec(**values)


def _time(value: Any, name: str) -> Distribution:
    law = as_distribution(value, name, TIME)
    hint = "Bound the distribution from below, as in Normal('20 ms', '5 ms', low='1 ms')"
    require(law.is_positive, name, "times above 0 s only", law, hint)
    return law


def sample_hrsnn(spec: HRSNNSpec, seed: int = 0) -> HRSNN:
    """Draw a network.

    Parameters
    ----------
    spec : HRSNNSpec
        What to draw from.
    seed : int
        Any integer of at least 0. The graph comes from the stream ``topology``; signs and then
        weights from ``weights``; each other quantity from its own child of ``timescales``. So
        another law of one quantity leaves all others as they are.

    Returns
    -------
    HRSNN
        The network; its history holds the seed and the spec.

    Raises
    ------
    ParameterError
        For a bad seed.
    """
    require(isinstance(spec, HRSNNSpec), "spec", "an HRSNNSpec", spec)
    seed, n = rng.check_seed(seed), spec.n
    draw = rng.streams(seed)
    graph = spec.topology
    cluster = graph.labels(n) if isinstance(graph, Clustered) else np.zeros(n, dtype=np.int64)
    i, j = graph.sample(draw["topology"], n)
    is_exc = dale_signs(n, spec.fraction_exc, draw["weights"], cluster)
    w = np.where(is_exc[i], spec.mean_weight, -spec.inhibition * spec.mean_weight)
    if spec.weight_cv > 0:
        w = w * Gamma(spec.weight_cv**-2, 1.0).sample(draw["weights"], i.size)

    def values(name: str) -> np.ndarray:
        law: Distribution = getattr(spec, name)
        return law.sample(rng.stream(seed, "timescales", _CHILD[name]), n)

    tau_m = values("tau_m")
    for c, law in enumerate(spec.cluster_tau_m or ()):
        mine = np.flatnonzero(cluster == c)
        child = rng.stream(seed, "timescales", _CHILD["tau_m"], c)
        tau_m[mine] = law.sample(child, mine.size)
    order = list(neuron_model(spec.model).params)
    params = {
        name: law.sample(rng.stream(seed, "timescales", _PARAMS + order.index(name)), n)
        for name, law in spec.params.items()
    }
    return HRSNN(
        spec.model,
        n,
        i=i,
        j=j,
        w=w,
        tau_m=tau_m,
        tau_syn=values("tau_syn"),
        t_ref=values("t_ref"),
        v_rest=np.full(n, spec.v_rest),
        v_th=np.full(n, spec.v_th),
        v_reset=np.full(n, spec.v_reset),
        i_ext=values("i_ext"),
        is_exc=is_exc,
        cluster=cluster,
        params=params,
        history=({"step": "sample", "seed": seed, "spec": spec.to_dict()},),
    )
