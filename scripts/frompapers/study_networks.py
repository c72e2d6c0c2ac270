"""The networks and the variants of pruning that the study compares."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from models_eq import HRSNN, HRSNNSpec, sample_hrsnn
from models_eq.distributions import Clipped, Gamma
from models_eq.structure import heavy_tailed, low_rank, stdp_shaped
from models_eq.topology import Clustered, DistanceDependent
from models_eq.units import TIME

# Mean excitatory weight at 80 inputs, scaled as 1/sqrt(inputs): that of least validation error of
# the dense network on seeds that the study does not use (``study.py run coupling``).
COUPLING = {
    ("iid", 400): 0.06,
    ("iid", 1000): 0.06,
    ("homogeneous", 400): 0.08,
    ("clustered", 400): 0.06,
    ("distance", 400): 0.04,
    ("low_rank", 400): 0.04,
    ("heavy_tailed", 400): 0.04,
    ("stdp", 400): 0.06,
}
TUNING_SEEDS = tuple(range(1, 9))
STUDY_SEEDS = tuple(range(101, 111))
FAMILIES = (
    "iid", "homogeneous", "clustered", "distance", "low_rank", "heavy_tailed", "stdp",
)  # fmt: skip


def dense_network(family: str, n: int, seed: int, coupling: float | None = None) -> HRSNN:
    """The dense network of a family.

    ``iid``: the reference regime. ``homogeneous``: the same with one time constant.
    ``clustered``: five clusters with time constants of their own, 95 % of the synapses inside.
    ``distance``: neurons on a torus. ``low_rank``, ``heavy_tailed``, ``stdp``: the reference
    network with weights of low-rank structure, from a log-normal law, or shaped by unsupervised
    STDP.
    """
    spec = HRSNNSpec(n=n, coupling=COUPLING[family, n] if coupling is None else coupling)
    if family == "homogeneous":
        spec = spec.homogeneous()
    elif family == "clustered":
        laws = tuple(
            Clipped(Gamma(3, 0.020 * factor, dimension=TIME), 0.003, 0.150, dimension=TIME)
            for factor in (0.5, 0.75, 1.0, 1.25, 1.5)
        )
        spec = replace(spec, topology=Clustered(5, k=0.15, inside=0.95), cluster_tau_m=laws)
    elif family == "distance":
        spec = replace(spec, topology=DistanceDependent(k=0.2, sigma=0.12))
    net = sample_hrsnn(spec, seed=seed)
    if family == "low_rank":
        return low_rank(net, rank=2, strength=1.0, seed=seed)
    if family == "heavy_tailed":
        return heavy_tailed(net, sigma=1.5, seed=seed)
    if family == "stdp":
        return stdp_shaped(net, seed=seed)
    return net


@dataclass(frozen=True)
class Variant:
    """A way of pruning, under the name that the tables give it."""

    name: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def sees_the_task(self) -> bool:
        """Whether it is given the tasks' training input."""
        return self.method.startswith("activity")


def _lnp(name: str, **options: Any) -> Variant:
    return Variant(name, "lnp", options)


def _tuned(name: str, method: str, **options: Any) -> Variant:
    return Variant(name, method, {"treatment": "tuned", "timescales": "exponents", **options})


# Unless its name says otherwise, a variant has all that LNP has: variance gain, mean shift, a gain
# factor by capacity, and Step IV.
LNP_DEFAULT = _lnp("LNP")
MATCHED = Variant("random_matched", "random_matched")
VARIANTS = {
    one.name: one
    for one in (
        LNP_DEFAULT,
        _lnp("LNP, L alone", times_weight=False),
        _lnp("LNP, weights for L", synapse_score="weights"),
        _lnp("LNP, endpoints", over="endpoints"),
        MATCHED,
        Variant("fresh", "fresh"),
        _tuned("sparse", "sparse"),
        _tuned("random", "random"),
        _tuned("magnitude", "magnitude"),
        _tuned("noise", "noise"),
        _tuned("activity", "activity"),
        _tuned("activity_trained", "activity_trained"),
        Variant("activity_trained, no gain", "activity_trained", {"treatment": "none"}),
        Variant("random, variance gain", "random_gain"),
        Variant("random, no gain", "random"),
        Variant("activity, variance gain", "activity"),
        Variant("activity, no gain", "activity_no_gain"),
        Variant("LNP calibrated", "lnp_calibrated", {"connected": 0.0}),
        Variant("LNP literal", "lnp_literal", {"connected": 0.0}),
        _lnp("LNP, no Step I", synapse_score="random"),
        _lnp("LNP, silent first", silent_first=True),
        _lnp("LNP, Step II random", neuron_score="random"),
        _lnp("LNP, Step II rate", neuron_score="rate"),
        _lnp("LNP, Step II leverage", neuron_score="leverage"),
        _lnp("LNP, no Step III", add=0.0),
        _lnp("LNP, no Step IV", timescales="off"),
        _lnp("LNP, Step IV by capacity", timescales="capacity"),
        _lnp("LNP, Step IV over all axes", time_axes="all"),
        _lnp("LNP, Step IV by rate", timescales="rate"),
        _lnp("LNP, one iteration", n_iter=1),
        _lnp("LNP, refit", refit="select"),
        _lnp("LNP, sharpness 2", sharpness=2.0),
        _lnp("LNP, perturbed exponents", exponents="perturbed"),
        _lnp("LNP, weighted exponents", exponents="weighted"),
        Variant("random_matched, no Step IV", "random_matched", {"timescales": "off"}),
        _tuned("activity, no Step IV", "activity", timescales="off"),
    )
}
CONTROLS = {
    one.name: one
    for one in (
        Variant("dense", "dense"),
        _tuned("dense, tuned", "dense"),
        Variant("no recurrence", "none"),
        _tuned("no recurrence, tuned", "none"),
    )
}
