"""Which synapses and neurons of a user's model to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from analysis.pruning.balance import balanced_mask
from analysis.pruning.linear_response import calibrated_scale, covariance, system_matrix
from analysis.pruning.neurons import (
    betweenness,
    degree,
    random_scores,
    select_neurons,
    unreachable,
)
from analysis.pruning.sampling import keep_probabilities, sample_exact
from analysis.pruning.synapses import coupling_matrix, keeping_scores, lyapunov_matrix
from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream

METHODS = ("lnp", "noise", "magnitude", "random_matched", "random")
NEURON_SCORES = ("betweenness", "degree", "rate", "random")


@dataclass(frozen=True, eq=False)
class Multigraph:
    """All recurrent synapses of a model, several between two neurons and onto themselves allowed.

    Attributes
    ----------
    n : int
        Neurons.
    i, j : ndarray of int, shape (m,)
        Both ends of every synapse.
    w : ndarray, shape (m,)
        Signed kicks, in thresholds.
    tau : ndarray, shape (n,), s
        Membrane time constants.
    model : str
        Which of our own models it resembles: ``lif_exp`` or ``lif_delta``.
    """

    n: int
    i: np.ndarray
    j: np.ndarray
    w: np.ndarray
    tau: np.ndarray
    model: str = "lif_exp"

    @property
    def n_synapses(self) -> int:
        """Number of synapses."""
        return int(self.w.size)

    @cached_property
    def in_degree(self) -> np.ndarray:
        """Number of incoming synapses of each neuron, shape (n,)."""
        return np.bincount(self.j, minlength=self.n)

    def only(self, mask: np.ndarray) -> Multigraph:
        """Some of the synapses, all neurons."""
        return replace(self, i=self.i[mask], j=self.j[mask], w=self.w[mask])

    @cached_property
    def merged(self) -> tuple[HRSNN, np.ndarray]:
        """One synapse for each pair of neurons, and the pair of every synapse.

        Its weight is the sum of the sizes of the synapses between the two, with the sign of their
        sum; what leads back to its own neuron has no pair (-1).
        """
        pair = self.i * self.n + self.j
        other = self.i != self.j
        key, at = np.unique(pair[other], return_inverse=True)
        size = np.bincount(at, np.abs(self.w[other]), key.size)
        sign = np.sign(np.bincount(at, self.w[other], key.size))
        net = HRSNN(
            self.model, self.n, i=key // self.n, j=key % self.n, w=size * np.where(sign < 0, -1, 1),
            tau_m=self.tau,
        )  # fmt: skip
        index = np.full(self.n_synapses, -1, dtype=np.int64)
        index[other] = at
        return net, index


def synapse_scores(
    graph: Multigraph, method: str, exponents: np.ndarray | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Score of every synapse: the higher, the more surely it is kept.

    Parameters
    ----------
    graph : Multigraph
    method : str
        One of ``METHODS``.
    exponents : ndarray, shape (n,), 1/s, or None
        Node exponents, for ``lnp``.

    Returns
    -------
    scores : ndarray, shape (m,)
    diagnostics : dict
    """
    if method in ("random", "random_matched"):
        return np.ones(graph.n_synapses), {}
    if method == "magnitude":
        return np.abs(graph.w), {}
    net, pair = graph.merged
    if not net.w.any():  # nothing but self-loops has a weight
        return np.abs(graph.w), {}
    if method == "lnp":
        assert exponents is not None
        coupling = lyapunov_matrix(net, exponents, times_weight=True)
        own = np.maximum(np.abs(exponents), 0.5)
    else:
        coupling, own = net.w, np.ones(graph.n)
    matrix = coupling_matrix(net, coupling)
    scale = float(calibrated_scale(net.tau_m, matrix))
    c = covariance(system_matrix(net.tau_m, matrix, scale), 2.0 / net.tau_m)
    # The score of a pair is shared out among its synapses by their sizes.
    total = np.append(np.abs(net.w), 0.0)[pair]
    share = np.abs(graph.w) / np.where(total > 0, total, 1.0)
    scores = np.append(keeping_scores(net, coupling, c), 0.0)[pair] * share
    loop = pair < 0
    # A linear model takes what leads back for leak; its spread counts as that of strangers.
    scores[loop] = (own * 2 * np.diag(c))[graph.i[loop]] * np.abs(graph.w[loop])
    return scores, {"scale": scale}


def choose_synapses(
    graph: Multigraph, scores: np.ndarray, method: str, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """Mask of exactly ``count`` synapses.

    Parameters
    ----------
    graph : Multigraph
    scores : ndarray, shape (m,)
    method : str
        One of ``METHODS``: ``magnitude`` takes the highest scores, ``random`` and ``noise`` draw
        in proportion to them, ``random_matched`` and ``lnp`` do so with balanced degrees.
    count : int
    rng : numpy.random.Generator

    Returns
    -------
    mask : ndarray of bool, shape (m,)
    diagnostics : dict
        ``cv_p``: coefficient of variation of the keeping probabilities; below 0.1 the choice is
        as good as random.
    """
    mask = np.zeros(graph.n_synapses, dtype=bool)
    if method == "magnitude":
        mask[np.argsort(-scores, kind="stable")[:count]] = True
        return mask, {}
    p = keep_probabilities(scores, count)
    found = {} if method.startswith("random") else {"cv_p": float(p.std() / p.mean())}
    if method in ("random", "noise"):
        return sample_exact(p, rng), found
    # It asks for ends, counts and degrees alone, which a multigraph has.
    return balanced_mask(cast(HRSNN, graph), count, p, rng), found


def choose_neurons(
    graph: Multigraph,
    scores: np.ndarray,
    name: str,
    rates: np.ndarray,
    *,
    n_keep: int,
    count: int,
    seed: int,
) -> np.ndarray:
    """Neurons to keep, judged on a provisionally pruned graph.

    Parameters
    ----------
    graph : Multigraph
    scores : ndarray, shape (m,)
        Of the synapses.
    name : str
        One of ``NEURON_SCORES``.
    rates : ndarray, shape (n,), Hz
        Silent neurons go first, as do those without synapses.
    n_keep, count : int
        Neurons and synapses to keep.
    seed : int

    Returns
    -------
    ndarray of int, shape (n_keep,)
        Ascending.
    """
    rng = stream(seed, "prune", 30, 0)
    kept = graph.only(sample_exact(keep_probabilities(scores, count), rng)).merged[0]
    if name == "betweenness":
        value = betweenness(kept)
    elif name == "degree":
        value = degree(kept)
    elif name == "rate":
        value = rates
    else:
        value = random_scores(kept, rng)
    mask = select_neurons(value, n_keep, rng, dead=unreachable(graph.merged[0]) | (rates == 0))
    return np.flatnonzero(mask)


def choose(
    graph: Multigraph,
    scores: np.ndarray,
    method: str,
    parts: Mapping[str, tuple[np.ndarray, int]],
    inside: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Mask over all synapses that meets every budget.

    Parameters
    ----------
    graph : Multigraph
    scores : ndarray, shape (m,)
    method : str
    parts : Mapping of str to (ndarray of bool, shape (m,), and int)
        Synapses that share a budget, and that budget, by name.
    inside : ndarray of bool, shape (m,)
        Synapses both ends of which are kept.
    seed : int

    Returns
    -------
    mask : ndarray of bool, shape (m,)
    diagnostics : dict

    Raises
    ------
    BudgetError
        Where fewer synapses are left between the neurons kept than the budget asks for.
    """
    mask = np.zeros(graph.n_synapses, dtype=bool)
    found: dict[str, Any] = {}
    for number, (name, (members, count)) in enumerate(parts.items()):
        at = np.flatnonzero(members & inside)
        if at.size < count:
            raise BudgetError(
                name, f"at most the {at.size} synapses among the neurons kept", count,
                "Keep more neurons or fewer synapses",
            )  # fmt: skip
        rng = stream(seed, "prune", 30, 1, number)
        chosen, more = choose_synapses(graph.only(at), scores[at], method, count, rng)
        mask[at[chosen]] = True
        found |= more if len(parts) == 1 else {f"{key} of {name}": v for key, v in more.items()}
    return mask, found


def checked_choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """One of the names allowed, or a ParameterError."""
    if not isinstance(value, str) or value not in allowed:
        raise ParameterError(name, "one of " + ", ".join(allowed), value)
    return value
