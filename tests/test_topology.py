"""Random graphs: invariants of degree, statistics against their expectation, errors."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from models_eq.errors import ParameterError
from models_eq.topology import (
    Clustered,
    DistanceDependent,
    ErdosRenyi,
    FixedInDegree,
    SmallWorld,
    Topology,
    dale_signs,
)

FIXED = [
    FixedInDegree(17),
    FixedInDegree(0.2),
    SmallWorld(0.2, 0.3),
    SmallWorld(7, 0.0),
    SmallWorld(7, 1.0),
    DistanceDependent(12, 0.1),
    DistanceDependent(0.3, 0.001),
    Clustered(4, 10, 0.8),
    Clustered(3, 0.2, 0.5),
]
ALL = [ErdosRenyi(0.15), ErdosRenyi(0.0), ErdosRenyi(1.0), *FIXED]


def draw(graph: Topology, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return graph.sample(np.random.default_rng(seed), n)


@pytest.mark.parametrize("n", [97, 100])
@pytest.mark.parametrize("graph", ALL, ids=repr)
def test_edges_are_sorted_distinct_and_repeat(graph: Topology, n: int) -> None:
    i, j = draw(graph, n)
    assert i.dtype == j.dtype == np.int64
    assert (np.diff(i * n + j) > 0).all()  # sorted by (i, j) and no duplicates
    assert (i != j).all()
    if i.size:
        assert min(i.min(), j.min()) >= 0 and max(i.max(), j.max()) < n
    again = draw(graph, n)
    assert np.array_equal(i, again[0]) and np.array_equal(j, again[1])


@pytest.mark.parametrize("graph", [ErdosRenyi(0.15), *FIXED], ids=repr)
def test_another_seed_gives_another_graph(graph: Topology) -> None:
    a, b = draw(graph, 100, 0), draw(graph, 100, 1)
    same = all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert same == (isinstance(graph, SmallWorld) and graph.rewire == 0)


@pytest.mark.parametrize("graph", FIXED, ids=repr)
def test_in_degree_is_exact(graph: Topology) -> None:
    n = 97
    _, j = draw(graph, n)
    assert (np.bincount(j, minlength=n) == graph.in_degree(n)).all()


def test_fraction_of_n() -> None:
    assert FixedInDegree(0.2).in_degree(400) == 80.0
    assert SmallWorld(0.2, 0.3).in_degree(1000) == 200.0
    assert FixedInDegree(99).in_degree(100) == 99.0


def test_erdos_renyi_count() -> None:
    n, p = 500, 0.1
    i, j = draw(ErdosRenyi(p), n)
    pairs = n * (n - 1)
    sd = np.sqrt(pairs * p * (1 - p))
    assert abs(i.size - pairs * p) < 4.5 * sd
    assert abs(i.size - pairs * 1.05 * p) > 4.5 * sd  # negative control
    # In-degrees are binomial: a fixed in-degree would give variance 0.
    degrees = np.bincount(j, minlength=n)
    truth = (n - 1) * p * (1 - p)
    assert abs(degrees.var() - truth) < 4.5 * truth * np.sqrt(2 / n)
    assert ErdosRenyi(p).in_degree(n) == pytest.approx(p * (n - 1))
    assert draw(ErdosRenyi(1.0), 10)[0].size == 90


def test_sources_are_uniform_where_they_should_be() -> None:
    # Out-degrees of uniform graphs are binomial(n - 1, k/(n - 1)): check with chi-square.
    n, k = 400, 40
    spread = np.sqrt(2 / n)
    for graph in (FixedInDegree(k), SmallWorld(k, 1.0)):
        degrees = np.bincount(draw(graph, n)[0], minlength=n)
        ratio = degrees.var() / (k * (1 - k / (n - 1)))
        assert abs(ratio - 1) < 4.5 * spread
    ring = np.bincount(draw(SmallWorld(k, 0.0), n)[0], minlength=n)
    assert ring.var() == 0  # negative control: the ring is far from binomial


@pytest.mark.parametrize(("n", "k"), [(20, 6), (20, 7), (20, 19), (21, 20)])
def test_rewire_0_is_the_ring(n: int, k: int) -> None:
    i, j = draw(SmallWorld(k, 0.0), n)
    behind = np.minimum((i - j) % n, (j - i) % n)
    assert behind.max() == (k + 1) // 2
    dense = np.zeros((n, n), dtype=bool)
    dense[i, j] = True
    assert all(np.array_equal(np.roll(dense[0], s), dense[s]) for s in range(n))
    if k % 2 == 0:
        assert np.array_equal(dense, dense.T)


@pytest.mark.parametrize("rewire", [0.1, 0.3, 0.8, 1.0])
def test_small_world_keeps_the_expected_share_of_ring_edges(rewire: float) -> None:
    n, k = 1000, 40
    i, j = draw(SmallWorld(k, rewire), n)
    local = np.minimum((i - j) % n, (j - i) % n) <= k // 2
    # m ~ binomial(k, rewire) edges leave, m^2/(n - 1 - k + m) come back.
    m = np.random.default_rng(9).binomial(k, rewire, 200_000)
    share = np.mean(k - m + m**2 / (n - 1 - k + m)) / k
    se = np.sqrt(max(share * (1 - share), 1e-6) / (n * k))
    assert abs(local.mean() - share) < 4.5 * se
    assert abs(local.mean() - (share - 0.02)) > 4.5 * se  # negative control


def test_small_world_clusters_more_than_random() -> None:
    def clustering(graph: Topology) -> float:
        i, j = draw(graph, 300)
        a = np.zeros((300, 300))
        a[j, i] = 1
        a = np.maximum(a, a.T)
        triples = a.sum(0) * (a.sum(0) - 1)
        return float(np.trace(a @ a @ a) / triples.sum())

    ring, small = clustering(SmallWorld(20, 0.0)), clustering(SmallWorld(20, 0.1))
    chance = clustering(SmallWorld(20, 1.0))
    assert ring == pytest.approx(3 * (20 - 2) / (4 * (20 - 1)))  # Watts & Strogatz
    assert ring > small > 2 * chance


def test_rewiring_a_full_graph_is_harmless() -> None:
    i, _ = draw(SmallWorld(19, 0.5), 20)
    assert i.size == 380


def test_distance_decay() -> None:
    n, k, sigma = 600, 20, 0.1
    graph = DistanceDependent(k, sigma)
    place = graph.positions(np.random.default_rng(3), n)
    i, j = graph.sample(np.random.default_rng(3), n)
    apart = np.abs(place[:, None] - place[None])
    apart = np.minimum(apart, 1 - apart)
    d = np.sqrt((apart**2).sum(-1))
    linked = np.zeros((n, n), dtype=bool)
    linked[i, j] = True
    edges = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.75])
    others = ~np.eye(n, dtype=bool)
    share = [
        linked[inside].mean()
        for low, high in itertools.pairwise(edges)
        if (inside := (d >= low) & (d < high) & others).any()
    ]
    assert (np.diff(share) < 0).all()
    # With k well below the 2 pi sigma^2 n = 38 neurons in reach, sources are a plane normal
    # law thinned at its centre; without replacement only widens it.
    mean = d[linked].mean()
    assert sigma * np.sqrt(np.pi / 2) < mean < 1.6 * sigma
    uniform = 0.3826  # mean distance on the unit torus
    flat = DistanceDependent(k, 1e6)
    place = graph.positions(np.random.default_rng(3), n)
    i, j = flat.sample(np.random.default_rng(3), n)
    assert d[i, j].mean() == pytest.approx(uniform, abs=0.01)


def test_distance_weights_of_single_draws_are_exact() -> None:
    # k = 1: probabilities are the normalised weights themselves.
    n, sigma, repeats = 5, 0.3, 4000
    graph = DistanceDependent(1, sigma)
    observed, expected = np.zeros(2), np.zeros(2)
    for seed in range(repeats):
        place = graph.positions(np.random.default_rng(seed), n)
        i, j = graph.sample(np.random.default_rng(seed), n)
        apart = np.abs(place - place[0])
        weight = np.exp(-(np.minimum(apart, 1 - apart) ** 2).sum(1) / (2 * sigma**2))
        weight[0] = 0
        p = weight.max() / weight.sum()
        expected += [p, p * (1 - p)]
        observed[0] += int(i[j == 0][0]) == int(weight.argmax())
    assert abs(observed[0] - expected[0]) < 4.5 * np.sqrt(expected[1])
    assert abs(observed[0] - 0.9 * expected[0]) > 4.5 * np.sqrt(expected[1])  # negative control


@pytest.mark.parametrize("n", [100, 103])
def test_clustered_inside_fraction_is_exact(n: int) -> None:
    graph = Clustered(4, 10, 0.7)
    labels = graph.labels(n)
    sizes = np.bincount(labels)
    assert sizes.size == 4 and sizes.max() - sizes.min() <= 1
    i, j = draw(graph, n)
    inside = np.bincount(j, weights=labels[i] == labels[j], minlength=n)
    assert (inside == 7).all()


def test_clustered_sources_are_uniform_inside_and_outside() -> None:
    n, k = 400, 40
    graph = Clustered(4, k, 0.75)
    labels = graph.labels(n)
    i, j = draw(graph, n)
    inside = labels[i] == labels[j]
    for edges, room, share in ((inside, 99, 30), (~inside, 300, 10)):
        degrees = np.bincount(i[edges], minlength=n)
        truth = share * (1 - share / room)
        assert degrees.mean() == share
        assert abs(degrees.var() / truth - 1) < 4.5 * np.sqrt(2 / n)
    only = Clustered(1, 5, 1.0)
    assert (only.labels(20) == 0).all() and draw(only, 20)[0].size == 100


@pytest.mark.parametrize(("n", "fraction"), [(100, 0.8), (101, 0.8), (7, 0.5), (5, 0.0), (5, 1.0)])
def test_dale_count_is_exact(n: int, fraction: float) -> None:
    signs = dale_signs(n, fraction, np.random.default_rng(0))
    assert signs.dtype == bool and signs.sum() == round(fraction * n)


def test_dale_signs_are_spread() -> None:
    signs = np.mean([dale_signs(20, 0.8, np.random.default_rng(s)) for s in range(4000)], axis=0)
    assert (np.abs(signs - 0.8) < 4.5 * np.sqrt(0.16 / 4000)).all()


def test_every_cluster_gets_its_share_of_both_signs() -> None:
    labels = Clustered(10, 3, 0.5).labels(104)
    for seed in range(50):
        signs = dale_signs(104, 0.8, np.random.default_rng(seed), labels)
        assert signs.sum() == round(0.8 * 104)
        counts = np.bincount(labels, weights=signs)
        assert (np.abs(counts - 0.8 * np.bincount(labels)) < 1).all()
    shuffled = np.random.default_rng(0).permutation(labels)
    counts = np.bincount(shuffled, weights=dale_signs(104, 0.8, np.random.default_rng(0), shuffled))
    assert (np.abs(counts - 0.8 * np.bincount(labels)) < 1).all()


@pytest.mark.parametrize("graph", ALL, ids=repr)
def test_plain_values_round_trip(graph: Topology) -> None:
    assert Topology.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph


@pytest.mark.parametrize("k", [0, 1])
def test_smallest_graphs(k: int) -> None:
    for graph in (FixedInDegree(k), SmallWorld(k, 0.5), DistanceDependent(k, 0.1)):
        assert draw(graph, 2)[0].size == 2 * k
    assert draw(FixedInDegree(0), 1)[0].size == 0


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: ErdosRenyi(1.1), "ErdosRenyi.p"),
        (lambda: FixedInDegree(-1), "FixedInDegree.k"),
        (lambda: FixedInDegree(3.0), "FixedInDegree.k"),
        (lambda: FixedInDegree(True), "FixedInDegree.k"),
        (lambda: FixedInDegree("3"), "FixedInDegree.k"),
        (lambda: draw(FixedInDegree(10), 10), "FixedInDegree.k"),
        (lambda: FixedInDegree(0.01).in_degree(10), "FixedInDegree.k"),
        (lambda: draw(SmallWorld(0.99, 0.1), 10), "SmallWorld.k"),
        (lambda: SmallWorld(3, -0.1), "SmallWorld.rewire"),
        (lambda: DistanceDependent(3, 0), "DistanceDependent.sigma"),
        (lambda: Clustered(0, 3, 0.5), "Clustered.n_clusters"),
        (lambda: Clustered(20, 1, 0.0).labels(10), "Clustered.n_clusters"),
        (lambda: Clustered(2, 3, 1.5), "Clustered.inside"),
        (lambda: draw(Clustered(5, 10, 0.9), 20), "Clustered.inside"),
        (lambda: draw(Clustered(1, 10, 0.5), 20), "Clustered.inside"),
        (lambda: draw(Clustered(2, 18, 0.1), 20), "Clustered.inside"),
        (lambda: draw(FixedInDegree(1), 0), "n"),
        (lambda: FixedInDegree(1).sample(3, 10), "rng"),
        (lambda: dale_signs(10, 1.2, np.random.default_rng(0)), "fraction_exc"),
        (lambda: dale_signs(10, 0.5, np.random.default_rng(0), np.zeros(3)), "labels"),
        (lambda: Topology.from_dict({"kind": "Ring"}), "topology.kind"),
        (lambda: Topology.from_dict({"kind": "FixedDegree"}), "topology.kind"),
        (lambda: Topology.from_dict({"kind": "SmallWorld", "k": 3}), "SmallWorld.rewire"),
        (lambda: Topology.from_dict({"kind": "ErdosRenyi", "p": 0, "k": 3}), "ErdosRenyi.k"),
    ],
)
def test_errors_name_the_field(make: object, field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.field == field
