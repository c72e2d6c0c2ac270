from __future__ import annotations

import numpy as np
import pytest

from analysis.pruning.neurons import (
    betweenness,
    degree,
    leverage,
    random_scores,
    rate,
    select_neurons,
    unreachable,
)
from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN


def net_of(n: int, pairs: list[tuple[int, int]], w: object = 1.0) -> HRSNN:
    i, j = ([p[k] for p in pairs] for k in (0, 1))
    return HRSNN("lif_exp", n, i, j, w, tau_m=0.02)


def brute_force(n: int, length: np.ndarray) -> np.ndarray:
    """Betweenness from distances (Floyd and Warshall) and counts of shortest paths."""
    dist = np.where(np.eye(n, dtype=bool), 0.0, length)
    for k in range(n):
        dist = np.minimum(dist, dist[:, k, None] + dist[None, k])
    count = np.eye(n)
    for s in range(n):
        for v in np.argsort(dist[s], kind="stable"):
            if v != s and np.isfinite(dist[s, v]):
                on = np.isclose(dist[s] + length[:, v], dist[s, v], rtol=1e-12)
                count[s, v] = count[s, on].sum()
    score = np.zeros(n)
    for s in range(n):
        for t in range(n):
            if s == t or not np.isfinite(dist[s, t]):
                continue
            for v in range(n):
                if v not in (s, t) and np.isclose(dist[s, v] + dist[v, t], dist[s, t]):
                    score[v] += count[s, v] * count[v, t] / count[s, t]
    return score / ((n - 1) * (n - 2))


def test_betweenness_of_a_path_and_a_star():
    path = net_of(4, [(0, 1), (1, 2), (2, 3)])
    assert np.allclose(betweenness(path), np.array([0, 2, 2, 0]) / 6)
    both = [(0, k) for k in range(1, 5)] + [(k, 0) for k in range(1, 5)]
    assert np.allclose(betweenness(net_of(5, both)), [1, 0, 0, 0, 0])
    # A star that only sends has no path through its middle: the direction counts.
    assert not betweenness(net_of(5, both[:4])).any()


def test_inverse_weight_takes_the_strong_detour():
    pairs = [(0, 1), (0, 2), (1, 2)]
    weak_direct = net_of(3, pairs, [-4.0, 0.1, 4.0])
    assert not betweenness(weak_direct).any()
    assert np.allclose(betweenness(weak_direct, "inverse_weight"), [0, 0.5, 0])
    cut = net_of(3, pairs, [0.0, 0.1, 4.0])
    assert not betweenness(cut, "inverse_weight").any()


@pytest.mark.parametrize("distance", ["hops", "inverse_weight"])
def test_betweenness_against_brute_force(distance):
    rng = np.random.default_rng(2)
    mask = rng.random((14, 14)) < 0.2
    np.fill_diagonal(mask, False)
    i, j = np.nonzero(mask)
    w = rng.normal(size=i.size)
    net = HRSNN("lif_exp", 14, i, j, w, tau_m=0.02)
    length = np.full((14, 14), np.inf)
    length[i, j] = 1.0 if distance == "hops" else 1 / np.abs(w)
    assert np.allclose(betweenness(net, distance), brute_force(14, length), atol=1e-10)


def test_betweenness_against_networkx():
    nx = pytest.importorskip("networkx")
    graph = nx.gnp_random_graph(40, 0.1, seed=3, directed=True)
    net = net_of(40, list(graph.edges))
    expected = nx.betweenness_centrality(graph)
    assert np.allclose(betweenness(net), [expected[k] for k in range(40)])


def test_sampled_betweenness_is_seeded_and_unbiased():
    path = net_of(6, [(k, k + 1) for k in range(5)])
    exact = betweenness(path)
    estimates = np.array([betweenness(path, samples=3, seed=s) for s in range(400)])
    error = estimates.std(axis=0) / np.sqrt(400)
    assert (np.abs(estimates.mean(axis=0) - exact) <= 4 * error + 1e-12).all()
    assert np.array_equal(estimates[5], betweenness(path, samples=3, seed=5))
    assert len({tuple(e) for e in estimates}) > 1


@pytest.mark.parametrize("distance", ["hops", "inverse_weight"])
def test_sampling_every_neuron_is_exact(distance):
    rng = np.random.default_rng(6)
    mask = rng.random((40, 40)) < 0.1
    np.fill_diagonal(mask, False)
    i, j = np.nonzero(mask)
    # Few different weights, so that lengths tie and paths are not unique.
    net = HRSNN("lif_exp", 40, i, j, rng.choice([0.25, 0.5, -1.0], i.size), tau_m=0.02)
    assert np.allclose(betweenness(net, distance, samples=40), betweenness(net, distance))


def test_betweenness_of_degenerate_networks():
    assert betweenness(net_of(2, [(0, 1)])).tolist() == [0, 0]
    assert betweenness(HRSNN("lif_exp", 4, [], [], [], tau_m=0.02)).tolist() == [0] * 4
    with_isolate = net_of(4, [(0, 1), (1, 2)])
    assert np.allclose(betweenness(with_isolate), [0, 1 / 6, 0, 0])
    for bad in ({"distance": "weight"}, {"samples": 0}, {"samples": 5}, {"seed": -1}):
        with pytest.raises(ParameterError):
            betweenness(with_isolate, **bad)


def test_simple_scores():
    net = net_of(4, [(0, 1), (1, 2), (0, 2)])
    assert degree(net).tolist() == [2, 2, 2, 0]
    assert unreachable(net).tolist() == [False, False, False, True]
    assert rate(net, [1, 2, 3, 0]).tolist() == [1, 2, 3, 0]
    with pytest.raises(ParameterError, match="rates"):
        rate(net, [1, 2, 3, -1])
    a, b = (random_scores(net, np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(a, b) and np.unique(a).size == 4


def test_leverage_of_uncorrelated_and_of_copied_neurons():
    assert leverage(np.diag([3.0, 1.0, 2.0]), 2).tolist() == [3.0, 1.0, 2.0]
    # Neuron 1 copies neuron 0, so it adds nothing, though its variance is large.
    copied = np.array([[4.0, 4.0, 0.0], [4.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    assert np.allclose(leverage(copied, 3), [4.0, 0.0, 1.0])
    assert not select_neurons(leverage(copied, 2), 2, np.random.default_rng(0))[1]


def test_leverage_is_the_variance_left_by_regression():
    rng = np.random.default_rng(0)
    c = np.cov(rng.standard_normal((8, 30)))
    scores = leverage(c, 3)
    kept = np.argsort(-scores)[:3]
    rest = np.setdiff1d(np.arange(8), kept)
    solved = np.linalg.solve(c[np.ix_(kept, kept)], c[np.ix_(kept, rest)])
    left = np.diag(c)[rest] - np.einsum("kr,kr->r", c[np.ix_(kept, rest)], solved)
    assert np.allclose(scores[rest], left)
    assert scores[kept].min() >= scores[rest].max()
    for bad in (0, 9):
        with pytest.raises(ParameterError, match="k"):
            leverage(c, bad)
    with pytest.raises(ParameterError, match="covariance"):
        leverage(-c, 3)


def test_selection_keeps_the_highest_and_drops_the_dead():
    rng = np.random.default_rng(0)
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    assert select_neurons(scores, 2, rng).tolist() == [True, True, False, False, False]
    dead = np.array([True, False, False, False, True])
    assert select_neurons(scores, 3, rng, dead=dead).tolist() == [False, True, True, True, False]
    assert select_neurons(scores, 4, rng, dead=dead).tolist() == [True, True, True, True, False]


def test_ties_are_broken_at_random_and_evenly():
    rng = np.random.default_rng(1)
    scores = np.array([9.0, 1.0, 1.0, 1.0, 1.0])
    hits = np.zeros(5)
    for _ in range(2000):
        mask = select_neurons(scores, 3, rng)
        assert mask.sum() == 3
        hits += mask
    assert hits[0] == 2000
    assert np.abs(hits[1:] / 2000 - 0.5).max() < 4.5 * 0.5 / np.sqrt(2000)


def test_selection_refuses_impossible_counts():
    rng = np.random.default_rng(0)
    for n_keep in (0, 4, 1.5, True):
        with pytest.raises(BudgetError):
            select_neurons([1.0, 2.0, 3.0], n_keep, rng)
    with pytest.raises(ParameterError, match="scores"):
        select_neurons([1.0, np.nan], 1, rng)
    with pytest.raises(ParameterError, match="dead"):
        select_neurons([1.0, 2.0], 1, rng, dead=[True])
