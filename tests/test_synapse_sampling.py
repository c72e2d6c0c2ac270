from __future__ import annotations

import numpy as np
import pytest

from analysis.pruning import synapses
from analysis.pruning.linear_response import covariance, system_matrix
from analysis.pruning.sampling import keep_probabilities, sample_exact
from analysis.pruning.synapses import (
    coupling_matrix,
    keeping_scores,
    leak_correction,
    literal_weights,
    lyapunov_matrix,
)
from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN


def random_net(n: int, share: float, seed: int) -> HRSNN:
    rng = np.random.default_rng(seed)
    mask = rng.random((n, n)) < share
    np.fill_diagonal(mask, False)
    i, j = np.nonzero(mask)
    exc = rng.random(n) < 0.7
    w = rng.gamma(2.0, 0.1, i.size) * np.where(exc[i], 1.0, -4.0)
    return HRSNN("lif_exp", n, i, j, w, tau_m=0.02, is_exc=exc)


def fixed_in_degree(n: int, k: int, seed: int) -> HRSNN:
    rng = np.random.default_rng(seed)
    pre = [rng.choice(np.delete(np.arange(n), r), k, replace=False) for r in range(n)]
    return HRSNN("lif_exp", n, np.concatenate(pre), np.repeat(np.arange(n), k), 1.0, tau_m=0.02)


def by_sets(net: HRSNN, rate: np.ndarray, floor: float, mode: str) -> np.ndarray:
    near = [{k} for k in range(net.n)]
    for a, b in zip(net.i, net.j, strict=True):
        near[a].add(int(b))
        near[b].add(int(a))
    out = []
    for a, b, w in zip(net.i, net.j, net.w, strict=True):
        values = [abs(rate[k]) for k in near[a] | near[b]]
        if mode == "zero" and min(values) < floor:
            out.append(0.0)
            continue
        values = [max(v, floor) for v in values]
        out.append(np.sign(w) * len(values) / sum(1 / v for v in values))
    return np.array(out)


def test_lyapunov_matrix_by_hand():
    net = HRSNN("lif_exp", 4, i=[0, 1, 2], j=[1, 2, 3], w=[1.0, -2.0, 3.0], tau_m=0.02)
    rate = [-1.0, -2.0, -4.0, 4.0]
    # 0 -> 1: the union is {0, 1, 2}: 3 / (1 + 1/2 + 1/4). 1 -> 2: all: 4 / 2.
    expected = [3 / 1.75, -4 / 2.0, 3 / 1.0]
    assert np.allclose(lyapunov_matrix(net, rate), expected)
    assert np.allclose(lyapunov_matrix(net, rate, times_weight=True), expected * np.abs(net.w))
    ends = lyapunov_matrix(net, rate, over="endpoints")
    assert np.allclose(ends, [2 / 1.5, -2 / 0.75, 4.0])
    pair = HRSNN("lif_exp", 2, i=[0, 1], j=[1, 0], w=[1.0, -1.0], tau_m=0.02)
    assert np.allclose(lyapunov_matrix(pair, [-3.0, -6.0]), [4.0, -4.0])


@pytest.mark.parametrize("share", [0.02, 0.5])
@pytest.mark.parametrize("mode, floor", [("raise", 0.5), ("zero", 1e-6)])
def test_lyapunov_matrix_against_sets(monkeypatch, share, mode, floor):
    monkeypatch.setattr(synapses, "_BLOCK", 7)
    net = random_net(60, share, 3)
    rate = np.random.default_rng(0).normal(0.0, 5.0, 60)
    rate[4] = 0.0
    got = lyapunov_matrix(net, rate, mode=mode, floor=floor)
    assert np.allclose(got, by_sets(net, rate, floor, mode), rtol=1e-12)
    assert (got == 0).any() == (mode == "zero")
    monkeypatch.setattr(synapses, "_DOUBLE", 0)
    single = lyapunov_matrix(net, rate, mode=mode, floor=floor)
    assert np.allclose(single, got, rtol=1e-5)


def test_dense_and_sparse_products_agree(monkeypatch):
    net = random_net(60, 0.2, 4)
    rate = np.random.default_rng(1).gamma(3.0, 10.0, 60)
    monkeypatch.setattr(synapses, "_DENSE_COST", 0.0)
    dense = lyapunov_matrix(net, rate)
    monkeypatch.setattr(synapses, "_DENSE_COST", np.inf)
    assert np.allclose(lyapunov_matrix(net, rate), dense, rtol=1e-12)


def test_lyapunov_matrix_options_and_edges():
    empty = HRSNN("lif_exp", 3, i=[], j=[], w=[], tau_m=0.02)
    assert lyapunov_matrix(empty, [1.0, 1.0, 1.0]).shape == (0,)
    net = random_net(10, 0.3, 0)
    assert np.allclose(np.abs(lyapunov_matrix(net, np.zeros(10))), 0.5)
    for bad in ({"floor": 0.0}, {"mode": "clip"}, {"over": "open"}):
        with pytest.raises(ParameterError):
            lyapunov_matrix(net, np.ones(10), **bad)
    with pytest.raises(ParameterError, match="exponents"):
        lyapunov_matrix(net, np.full(10, np.nan))


def test_keeping_scores_by_hand_and_from_a_covariance():
    net = HRSNN("lif_exp", 2, i=[0, 1], j=[1, 0], w=[1.0, -1.0], tau_m=0.02)
    c = np.array([[2.0, 0.5], [0.5, 1.0]])
    assert np.allclose(keeping_scores(net, [3.0, -2.0], c), [3 * 2.0, 2 * 4.0])
    big = random_net(30, 0.3, 1)
    a = system_matrix(0.02, 0.5 * coupling_matrix(big, np.sign(big.w)))
    scores = keeping_scores(big, big.w, covariance(a, np.full(30, 100.0)))
    assert (scores > 0).all()
    with pytest.raises(ParameterError, match="semidefinite"):
        keeping_scores(net, [3.0, -2.0], -c)


def test_coupling_matrix_is_post_by_pre():
    net = random_net(12, 0.3, 2)
    assert np.array_equal(coupling_matrix(net, net.w).toarray(), net.weights.toarray())


def test_keep_probabilities_solve_the_budget():
    scores = np.random.default_rng(0).lognormal(0.0, 2.0, 1000)
    for target in (0, 1, 10.5, 100, 600, 999, 1000):
        p = keep_probabilities(scores, target)
        assert p.sum() == pytest.approx(target, rel=1e-12)
        free = (p < 1) & (p > 0)
        if free.any():
            rho = p[free] / scores[free]
            assert np.ptp(rho) <= 1e-12 * rho.max()
            assert (rho.max() * scores[p == 1] >= 1 - 1e-9).all()


def test_keep_probabilities_with_zeros_and_extremes():
    assert np.allclose(
        keep_probabilities([5.0, 0.0, 0.0, 1.0, 0.0], 3), [1, 1 / 3, 1 / 3, 1, 1 / 3]
    )
    assert np.allclose(keep_probabilities([0.0, 0.0], 1), 0.5)
    assert np.allclose(keep_probabilities([1e300, 1e-300, 1e-300], 2), [1.0, 0.5, 0.5])
    assert keep_probabilities([], 0).shape == (0,)
    for target in (-1, 3.5, np.nan):
        with pytest.raises(BudgetError):
            keep_probabilities([1.0, 2.0, 3.0], target)
    with pytest.raises(ParameterError, match="scores"):
        keep_probabilities([1.0, -2.0], 1)


def test_sampling_is_exact_in_count_and_in_probability():
    rng = np.random.default_rng(5)
    p = keep_probabilities(rng.lognormal(0.0, 1.5, 60), 17)
    assert (p == 1).any() and (p < 1).any()
    draws = 8000
    hits = np.zeros(60)
    for _ in range(draws):
        mask = sample_exact(p, rng)
        assert mask.sum() == 17
        hits += mask
    assert (hits[p == 1] == draws).all()
    free = p < 1
    z = (hits[free] / draws - p[free]) / np.sqrt(p[free] * (1 - p[free]) / draws)
    assert np.abs(z).max() < 4.5
    assert 0.5 < (z**2).mean() < 1.6


def test_negative_control_independent_draws_miss_the_count():
    rng = np.random.default_rng(5)
    p = keep_probabilities(rng.lognormal(0.0, 1.5, 60), 17)
    counts = [(rng.random(60) < p).sum() for _ in range(200)]
    assert np.mean(np.array(counts) != 17) > 0.5


def test_sampling_edges():
    rng = np.random.default_rng(0)
    assert sample_exact(np.ones(4), rng).all()
    assert not sample_exact(np.zeros(4), rng).any()
    assert sample_exact([], rng).shape == (0,)
    near_one = np.full(1000, 0.999)
    assert all(sample_exact(near_one, rng).sum() == 999 for _ in range(50))
    assert all(sample_exact(np.full(9, 0.3), rng).sum() == 3 for _ in range(50))
    large = keep_probabilities(rng.lognormal(0.0, 1.0, 200_000), 20_000)
    assert sample_exact(large, rng).sum() == 20_000
    with pytest.raises(ParameterError, match="at most 1"):
        sample_exact([1.5, 0.5], rng)
    a, b = (sample_exact(large, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(a, b)


def test_literal_weights_are_unbiased():
    net = random_net(20, 0.2, 9)
    rng = np.random.default_rng(0)
    p = keep_probabilities(np.abs(net.w), net.n_synapses // 2)
    total = np.zeros(net.n_synapses)
    draws = 4000
    for _ in range(draws):
        mask = sample_exact(p, rng)
        total[mask] += literal_weights(net, mask, p)
    error = np.abs(net.w) * np.sqrt((1 - p) / p / draws)
    assert (np.abs(total / draws - net.w) <= 4.5 * error + 1e-12).all()
    mask = np.ones(net.n_synapses, dtype=bool)
    with pytest.raises(ParameterError, match="p"):
        literal_weights(net, mask, np.zeros(net.n_synapses))
    with pytest.raises(ParameterError, match="mask"):
        literal_weights(net, mask[:-1], p)


def test_leak_correction_by_hand():
    old = [[-5.0, 2.0, -1.0], [0.0, -5.0, 1.0], [0.0, 0.0, -5.0]]
    new = [[-9.0, 4.0, 0.0], [0.0, -5.0, -3.0], [0.0, 0.0, -5.0]]
    assert leak_correction(old, new).tolist() == [1.0, 2.0, 0.0]
    with pytest.raises(ParameterError):
        leak_correction(np.eye(2), np.eye(3))
