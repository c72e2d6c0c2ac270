"""Which neurons to keep: betweenness and other scores, and the selection by score."""

from __future__ import annotations

from typing import Any, Literal

import networkit as nk
import numpy as np

from analysis.pruning.shortest_paths import hop_dependencies, length_dependencies
from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import check_seed, stream


def betweenness(
    net: HRSNN,
    distance: Literal["hops", "inverse_weight"] = "hops",
    samples: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Betweenness centrality of each neuron on the directed graph of the synapses.

    Parameters
    ----------
    net : HRSNN
        The network, with m synapses.
    distance : {'hops', 'inverse_weight'}, optional
        Length of a synapse: 1, or 1/|w| (a weight of 0 then connects nothing).
    samples : int, optional
        Estimate from the shortest paths out of this many neurons, drawn without
        replacement; by default all are used.
    seed : int, optional
        Chooses these neurons; without `samples` nothing is drawn.

    Returns
    -------
    ndarray, shape (n,)
        Share of the ordered pairs of other neurons whose shortest paths lead through each,
        0 to 1, rounded to twelve digits so that equal scores are equal on any number of
        threads. Zero for networks of fewer than three neurons.

    Raises
    ------
    ParameterError
        For an unknown distance, or samples outside 1 to n.

    Notes
    -----
    Brandes' algorithm [1]_, in NetworKit: O(n m) for hops, O(n m + n^2 log n) else. `samples`
    gives the estimate of `sampled_betweenness` (NetworKit's own is biased on directed graphs, and
    has no error).

    References
    ----------
    .. [1] U. Brandes, A faster algorithm for betweenness centrality, J. Math. Sociol. 25
       (2001). https://doi.org/10.1080/0022250X.2001.9990249

    Examples
    --------
    >>> chain = HRSNN("lif_exp", 3, i=[0, 1], j=[1, 2], w=1.0, tau_m=0.02)
    >>> betweenness(chain)
    array([0. , 0.5, 0. ])
    """
    if samples is not None:
        return sampled_betweenness(net, samples, distance=distance, seed=seed)[0]
    pre, post, length = _edges(net, distance)
    check_seed(seed)
    n = net.n
    if n < 3 or net.n_synapses == 0:
        return np.zeros(n)
    weighted = distance == "inverse_weight"
    graph = nk.GraphFromCoo((length, (pre, post)), n=n, weighted=weighted, directed=True)
    raw = np.array(nk.centrality.Betweenness(graph).run().scores())
    return np.round(raw / ((n - 1) * (n - 2)), 12)


def sampled_betweenness(
    net: HRSNN,
    samples: int,
    *,
    distance: Literal["hops", "inverse_weight"] = "hops",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Betweenness estimated from the shortest paths out of some neurons, and its error.

    Parameters
    ----------
    net : HRSNN
    samples : int
        Neurons to start from, drawn without replacement, 1 to n.
    distance : {'hops', 'inverse_weight'}, optional
        As in `betweenness`.
    seed : int, optional
        Chooses these neurons.

    Returns
    -------
    estimate : ndarray, shape (n,)
        Unbiased, in the unit of `betweenness`.
    stderr : ndarray, shape (n,)
        Standard error; infinite for a single sample, 0 where all are used.

    Raises
    ------
    ParameterError
        For an unknown distance, or samples outside 1 to n.

    Notes
    -----
    With x_s the dependency of source s on a neuron, the estimate is n/k sum x_s over the k sources
    and its error n sd(x) sqrt((1 - k/n) / k) (both over (n - 1)(n - 2)) [1]_.

    References
    ----------
    .. [1] W. G. Cochran, Sampling Techniques, 3rd ed., Wiley (1977), chapter 2.
    """
    pre, post, length = _edges(net, distance)
    n = net.n
    if isinstance(samples, bool) or int(samples) != samples or not 1 <= samples <= n:
        raise ParameterError("samples", f"None, or 1 to {n} neurons", samples)
    k = int(samples)
    sources = stream(check_seed(seed), "prune").choice(n, k, replace=False)
    if n < 3 or net.n_synapses == 0:
        return np.zeros(n), np.zeros(n)
    if distance == "hops":
        total, squares = hop_dependencies(pre, post, n, sources)
    else:
        total, squares = length_dependencies(pre, post, length, n, sources)
    pairs = (n - 1) * (n - 2)
    estimate = np.round(total * (n / k) / pairs, 12)
    if k == 1:
        return estimate, np.full(n, np.inf)
    variance = np.maximum(squares - total**2 / k, 0.0) / (k - 1)
    return estimate, n * np.sqrt(variance * (1.0 - k / n) / k) / pairs


def _edges(net: HRSNN, distance: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends and lengths of the edges that connect."""
    if distance not in ("hops", "inverse_weight"):
        raise ParameterError("distance", "'hops' or 'inverse_weight'", distance)
    if distance == "hops":
        return net.i, net.j, np.ones(net.n_synapses)
    used = net.w != 0
    return net.i[used], net.j[used], 1.0 / np.abs(net.w[used])


def degree(net: HRSNN) -> np.ndarray:
    """Number of synapses, incoming and outgoing, of each neuron.

    Parameters
    ----------
    net : HRSNN

    Returns
    -------
    ndarray, shape (n,)
    """
    return (net.in_degree + net.out_degree).astype(float)


def rate(net: HRSNN, rates: Any) -> np.ndarray:
    """Measured firing rates as scores, checked.

    Parameters
    ----------
    net : HRSNN
    rates : array_like, shape (n,), Hz

    Returns
    -------
    ndarray, shape (n,), Hz

    Raises
    ------
    ParameterError
        For rates of the wrong shape, negative or undefined.
    """
    scores = np.asarray(rates, dtype=float)
    if scores.shape != (net.n,):
        raise ParameterError("rates", f"shape ({net.n},)", f"shape {scores.shape}")
    if not (np.isfinite(scores) & (scores >= 0)).all():
        raise ParameterError("rates", "finite rates of at least 0 Hz", float(scores.min()))
    return scores.copy()


def random_scores(net: HRSNN, rng: np.random.Generator) -> np.ndarray:
    """Scores that say nothing, the control of every other score.

    Parameters
    ----------
    net : HRSNN
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n,)
    """
    return rng.random(net.n)


def leverage(covariance: Any, k: int) -> np.ndarray:
    """How much each neuron adds to what those chosen before it explain.

    Parameters
    ----------
    covariance : array_like, shape (n, n)
        Positive semidefinite covariance of the activities under noise.
    k : int
        Number of pivots, 1 to n: neurons that will be kept.

    Returns
    -------
    ndarray, shape (n,)
        For a pivot the variance it had left when it was chosen, else the variance left after
        the last one, so that the k highest scores are the k pivots in their order.

    Raises
    ------
    ParameterError
        For a matrix that is not square, finite or symmetric, or has a negative variance,
        or k out of range.

    Notes
    -----
    Cholesky factorisation with complete pivoting, stopped after k steps or when the variance
    left is below rounding (1e-12 of the largest): O(n k^2).
    """
    c = np.asarray(covariance, dtype=float)
    if c.ndim != 2 or c.shape[0] != c.shape[1] or c.size == 0:
        raise ParameterError("covariance", "a square matrix", f"shape {c.shape}")
    if not np.isfinite(c).all() or (np.diag(c) < 0).any() or not np.allclose(c, c.T):
        raise ParameterError(
            "covariance", "a finite, symmetric matrix with variances of at least 0"
        )
    n = c.shape[0]
    if isinstance(k, bool) or int(k) != k or not 1 <= k <= n:
        raise ParameterError("k", f"1 to {n} neurons", k)
    left = np.diag(c).copy()
    scores = np.zeros(n)
    chosen = np.zeros(n, dtype=bool)
    factor = np.zeros((int(k), n))
    tolerance = 1e-12 * float(left.max())
    for step in range(int(k)):
        pivot = int(np.argmax(np.where(chosen, -np.inf, left)))
        if left[pivot] <= tolerance:
            break
        scores[pivot] = left[pivot]
        chosen[pivot] = True
        done = factor[:step]
        row = (c[pivot] - done[:, pivot] @ done) / np.sqrt(left[pivot])
        factor[step] = row
        left = np.maximum(left - row**2, 0.0)
    return np.where(chosen, scores, left)


def unreachable(net: HRSNN) -> np.ndarray:
    """Neurons without any synapse, incoming or outgoing.

    Parameters
    ----------
    net : HRSNN

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    return (net.in_degree == 0) & (net.out_degree == 0)


def select_neurons(
    scores: Any,
    n_keep: int,
    rng: np.random.Generator,
    *,
    dead: Any = None,
) -> np.ndarray:
    """Keep the neurons with the highest scores.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Such as of :func:`betweenness`.
    n_keep : int
        How many to keep, 1 to n.
    rng : numpy.random.Generator
        Breaks ties.
    dead : array_like of bool, shape (n,), optional
        Silent or unreachable neurons; these go first, whatever their score.

    Returns
    -------
    ndarray of bool, shape (n,)
        Exactly `n_keep` are True. Dead ones remain only where the living are too few.

    Raises
    ------
    BudgetError
        For a count outside 1 to n.
    ParameterError
        For scores that are not finite, or a mask of the wrong shape.
    """
    value = np.asarray(scores, dtype=float)
    if value.ndim != 1 or value.size == 0 or not np.isfinite(value).all():
        raise ParameterError("scores", "one finite score per neuron", f"shape {value.shape}")
    n = value.size
    if isinstance(n_keep, bool) or int(n_keep) != n_keep or not 1 <= n_keep <= n:
        raise BudgetError("n_keep", f"1 to {n} neurons", n_keep)
    gone = np.zeros(n, dtype=bool) if dead is None else np.asarray(dead)
    if gone.dtype != bool or gone.shape != (n,):
        raise ParameterError("dead", f"a mask over {n} neurons", f"{gone.dtype} {gone.shape}")
    order = np.lexsort((rng.random(n), -value, gone))
    mask = np.zeros(n, dtype=bool)
    mask[order[: int(n_keep)]] = True
    return mask
