"""What large networks take other ways for: the search for the scale, and shortest paths."""

from __future__ import annotations

import networkit as nk
import numba
import numpy as np
import pytest
from scipy import sparse

from analysis.pruning import stability
from analysis.pruning.neurons import betweenness, sampled_betweenness
from analysis.pruning.shortest_paths import hop_dependencies, length_dependencies
from analysis.pruning.stability import (
    calibrated_scale,
    hurwitz_scale,
    is_hurwitz,
    spectral_abscissa,
    system_matrix,
)
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN


@pytest.fixture
def large_from_here(monkeypatch):
    """Send networks of a hundred neurons the way of large ones."""
    monkeypatch.setattr(stability, "_FOLLOW", 90)


def random_coupling(n: int, seed: int, kind: str) -> tuple[np.ndarray, sparse.csr_array]:
    rng = np.random.default_rng(seed)
    tau = 0.02 * rng.gamma(3.0, 1 / 3, n).clip(0.2)
    l = rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.1)  # noqa: E741
    if kind == "positive":  # one real outlier far from the rest
        l = np.abs(l)  # noqa: E741
    if kind == "turning":  # excitation, fought by the inhibition it drives: crosses as a pair
        l = rng.random((n, n)) * np.where(np.arange(n) < n // 2, 1.0, -2.0)  # noqa: E741
        l[n // 2 :, n // 2 :] = 0.0
    np.fill_diagonal(l, 0.0)
    return tau, sparse.csr_array(l)


@pytest.mark.parametrize("kind", ["random", "positive", "turning"])
def test_following_finds_the_crossing_that_every_eigenvalue_confirms(kind, large_from_here):
    tau, coupling = random_coupling(200, 5, kind)
    s = hurwitz_scale(tau, coupling)

    def top(scale: float) -> complex:
        values = np.linalg.eigvals(system_matrix(tau, coupling, scale).toarray())
        return values[np.argmax(values.real)]

    assert top(s).real < 0 < top(s * (1 + 3e-6)).real
    if kind != "random":
        assert (abs(top(s).imag) > 1.0) == (kind == "turning")
    # No crossing further in.
    assert all(top(x * s).real < 0 for x in np.linspace(0.05, 0.999, 20))


def test_following_and_the_former_way_agree(monkeypatch):
    tau, coupling = random_coupling(200, 6, "random")
    former = calibrated_scale(tau, coupling)
    monkeypatch.setattr(stability, "_FOLLOW", 90)
    assert calibrated_scale(tau, coupling) == pytest.approx(former, rel=2e-6)


def two_blocks(n: int) -> tuple[np.ndarray, sparse.csr_array, float]:
    """Slow cells with a weak loop, which lead first, and fast ones with a strong loop."""
    half = n // 2
    tau = np.where(np.arange(n) < half, 0.1, 0.005)
    ones = (np.ones((half, half)) - np.eye(half)) / (half - 1)
    blocks = sparse.block_diag([1.0 * ones, 100.0 * ones], format="csr")
    return tau, sparse.csr_array(blocks), 200.0 / 100.0


def test_a_mode_that_overtakes_is_not_missed(large_from_here):
    tau, coupling, crossing = two_blocks(120)
    # Alone, the slow block, which leads at first, would cross at 10.
    assert spectral_abscissa(system_matrix(tau, coupling, 1.0)) == pytest.approx(-9.0)
    assert hurwitz_scale(tau, coupling) == pytest.approx(crossing, rel=2e-6)


def test_ends_of_the_search(large_from_here):
    tau, coupling = random_coupling(150, 7, "random")
    s = hurwitz_scale(tau, coupling)
    assert hurwitz_scale(tau, coupling, at_most=s / 2) == s / 2
    assert hurwitz_scale(tau, sparse.triu(coupling, k=1)) == np.inf
    assert is_hurwitz(system_matrix(tau, coupling, s))


def random_net(n: int, share: float, seed: int) -> HRSNN:
    rng = np.random.default_rng(seed)
    mask = rng.random((n, n)) < share
    np.fill_diagonal(mask, False)
    mask[:2] = False  # two that send to nobody,
    mask[:, 2:4] = False  # two that nobody sends to,
    mask[4], mask[:, 4] = False, False  # and one alone
    i, j = np.nonzero(mask)
    w = rng.choice([0.25, 0.5, -1.0], i.size)  # few lengths: paths are not unique
    return HRSNN("lif_exp", n, i, j, w, tau_m=0.02)


@pytest.mark.parametrize("share", [0.01, 0.04, 0.2, 0.8])
def test_hops_equal_networkit_and_networkx(share):
    nx = pytest.importorskip("networkx")
    net = random_net(120, share, 3)
    graph = nk.GraphFromCoo((np.ones(net.n_synapses), (net.i, net.j)), n=net.n, directed=True)
    reference = np.array(nk.centrality.Betweenness(graph).run().scores()) / (119 * 118)
    found = betweenness(net)
    assert np.abs(found - reference).max() < 2e-12
    everyone = hop_dependencies(net.i, net.j, net.n, np.arange(net.n))[0]
    assert np.allclose(everyone / (119 * 118), found, rtol=0, atol=2e-12)
    other = nx.DiGraph()
    other.add_nodes_from(range(net.n))
    other.add_edges_from(zip(net.i.tolist(), net.j.tolist(), strict=True))
    expected = nx.betweenness_centrality(other)
    assert np.allclose(found, [expected[k] for k in range(net.n)], rtol=0, atol=2e-12)
    # Negative control: paths that run against a synapse would give other numbers.
    both = other.to_undirected().to_directed()
    blind = nx.betweenness_centrality(both)
    assert np.abs(found - [blind[k] for k in range(net.n)]).max() > 1e-4


def test_long_paths_of_known_betweenness():
    n = 30
    chain = HRSNN("lif_exp", n, np.arange(n - 1), np.arange(1, n), 1.0, tau_m=0.02)
    k = np.arange(n)
    assert np.allclose(betweenness(chain), k * (n - 1 - k) / ((n - 1) * (n - 2)), atol=1e-12)
    ring = HRSNN("lif_exp", n, k, (k + 1) % n, 1.0, tau_m=0.02)
    assert np.allclose(betweenness(ring), 0.5, atol=1e-12)


def test_sources_add_up_whatever_the_threads():
    net = random_net(90, 0.1, 4)
    everyone = np.arange(net.n)
    total, squares = hop_dependencies(net.i, net.j, net.n, everyone)
    single = [hop_dependencies(net.i, net.j, net.n, np.array([s]))[0] for s in everyone]
    assert np.allclose(total, np.sum(single, axis=0), rtol=1e-12)
    assert np.allclose(squares, np.sum(np.square(single), axis=0), rtol=1e-12)
    lengths = length_dependencies(net.i, net.j, np.ones(net.n_synapses), net.n, everyone)
    assert np.allclose(total, lengths[0], rtol=1e-12)
    assert np.allclose(squares, lengths[1], rtol=1e-12)
    threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        again = hop_dependencies(net.i, net.j, net.n, everyone)
    finally:
        numba.set_num_threads(threads)
    assert np.array_equal(again[0], total)
    assert np.array_equal(again[1], squares)


@pytest.mark.parametrize("distance", ["hops", "inverse_weight"])
def test_the_stated_error_of_a_sample_is_the_error(distance):
    net = random_net(40, 0.1, 5)
    exact = betweenness(net, distance)
    draws = [sampled_betweenness(net, 15, distance=distance, seed=s) for s in range(300)]
    estimate = np.array([d[0] for d in draws])
    stated = np.array([d[1] for d in draws])
    true = ((estimate - exact) ** 2).mean(axis=0)
    said = (stated**2).mean(axis=0)
    assert said.sum() == pytest.approx(true.sum(), rel=0.15)
    # Forgetting that sources are drawn without replacement states an error that is too large.
    assert said.sum() / (1 - 15 / 40) > 1.3 * true.sum()
    assert np.array_equal(estimate[3], betweenness(net, distance, samples=15, seed=3))


def test_samples_at_the_ends():
    net = random_net(40, 0.1, 5)
    whole, error = sampled_betweenness(net, 40)
    assert np.allclose(whole, betweenness(net), atol=2e-12)
    assert not error.any()
    assert np.isinf(sampled_betweenness(net, 1)[1]).all()
    for bad in (0, 41, 2.5, True):
        with pytest.raises(ParameterError, match="samples"):
            sampled_betweenness(net, bad)
