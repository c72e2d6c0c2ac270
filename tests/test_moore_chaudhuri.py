"""Pruning of linear networks by noise: closed forms, invariants, the claim and its controls."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.pruning import linear_networks
from analysis.pruning.linear_networks import (
    noise_probabilities,
    prune_by_probability,
    prune_linear,
    spectral_distance,
)
from analysis.pruning.linear_response import covariance
from analysis.pruning.sampling import keep_probabilities
from analysis.pruning.stability import is_hurwitz
from analysis.pruning.synapses import coupling_matrix, keeping_scores
from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN

SCRIPT = Path(__file__).parent.parent / "scripts" / "frompapers" / "moore_chaudhuri.py"
METHODS = ("noise", "uniform", "weight", "largest")
SEEDS = range(10)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("moore_chaudhuri", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def off_diagonal(a):
    return a - np.diag(np.diag(a))


def clustered(script, seed, n=90, **options):
    return script.symmetric_network(n, np.random.default_rng([seed, 0]), **options)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_two_neurons_by_hand(sign):
    # -A = [[d, -s w], [-s w, d]], C = -A^-1 / 2; C_11 + C_22 - 2 s C_12 = 1 / (d + w).
    w, d = 2.0, 2.5
    a = np.array([[-d, sign * w], [sign * w, -d]])
    c = covariance(a, np.ones(2))
    assert np.allclose(c, np.array([[d, sign * w], [sign * w, d]]) / (2 * (d**2 - w**2)))
    assert np.isclose(c[0, 0] + c[1, 1] - 2 * sign * c[0, 1], 1 / (d + w))
    assert np.allclose(noise_probabilities(a, 1.0), [[0, 1], [1, 0]])


def test_scores_of_a_star_and_a_triangle_by_hand():
    # All but grounded: effective resistances. A path's links have leverage 1, each link of an
    # equal triangle 2/3; so the pendant link is kept half as often again.
    link = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]], dtype=float)
    a = link - np.diag(link.sum(axis=1) + 1e-5)
    p = noise_probabilities(a, 0.5)  # two of four pairs
    assert np.allclose(
        [p[0, 1], p[0, 2], p[1, 2], p[2, 3]], [4 / 9, 4 / 9, 4 / 9, 2 / 3], atol=1e-4
    )


def test_leverages_sum_to_the_rank():
    a = off_diagonal(np.abs(np.random.default_rng(1).standard_normal((12, 12))))
    a = np.triu(a, 1) + np.triu(a, 1).T
    surplus = 0.3
    a -= np.diag(a.sum(axis=1) + surplus)
    c = covariance(a, np.ones(12))
    i, j = np.triu_indices(12, 1)
    leverage = a[i, j] * (c[i, i] + c[j, j] - 2 * c[i, j])
    assert np.isclose(2 * leverage.sum(), 12 - surplus * np.trace(np.linalg.inv(-a)))
    p = noise_probabilities(a, 0.1)[i, j]
    assert p.max() < 1 and np.allclose(p / p.sum(), leverage / leverage.sum())


def test_directed_probabilities_are_those_of_the_spiking_networks_scores(script):
    a = script.ei_network(30, np.random.default_rng(3))
    post, pre = np.nonzero(off_diagonal(a))
    net = HRSNN("lif_exp", 30, pre, post, a[post, pre], tau_m=0.02)
    assert np.array_equal(coupling_matrix(net, net.w).toarray(), off_diagonal(a))
    scores = keeping_scores(net, net.w, covariance(a, np.ones(30)))
    expected = keep_probabilities(scores, round(0.3 * net.n_synapses))
    assert np.allclose(noise_probabilities(a, 0.3)[net.j, net.i], expected, rtol=1e-9)


@pytest.mark.parametrize("kind", ["symmetric", "ei"])
def test_the_pruned_matrix_is_unbiased(script, kind):
    rng = np.random.default_rng(5)
    a = clustered(script, 0, 12, bridges=3) if kind == "symmetric" else script.ei_network(15, rng)
    p = noise_probabilities(a, 0.4)
    draws = np.array([prune_by_probability(a, p, rng).toarray() for _ in range(1000)])
    mean, error = draws.mean(axis=0), draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    certain = error < 1e-9
    assert np.allclose(mean[certain], a[certain])
    z = (mean - a)[~certain] / error[~certain]
    # Among so many entries the largest |z| of an unbiased draw lies below this but once in 1000.
    assert np.abs(z).max() < stats.norm.isf(0.0005 / z.size)
    plain = np.array([prune_by_probability(a, p, rng, rescale=False).toarray() for _ in range(50)])
    assert np.abs(off_diagonal(plain.mean(axis=0) - a)).max() > 0.3  # without 1/p it is not


@pytest.mark.parametrize("method", METHODS)
def test_invariants_of_every_method(script, method):
    rng = np.random.default_rng(2)
    for a in (clustered(script, 1), script.ei_network(60, rng)):
        b = prune_linear(a, 0.3, rng, method=method).toarray()
        symmetric = np.array_equal(a, a.T)
        unit = 2 if symmetric else 1
        m = np.count_nonzero(off_diagonal(a)) // unit
        assert np.count_nonzero(off_diagonal(b)) == unit * round(0.3 * m)
        assert np.array_equal(b, b.T) == symmetric
        assert np.all((off_diagonal(b) == 0) | (np.sign(b) == np.sign(a)))  # signs and Dale stay
        surplus = [-np.diag(x) - np.abs(off_diagonal(x)).sum(axis=1) for x in (a, b)]
        assert np.allclose(*surplus, atol=1e-9) and is_hurwitz(b)
        free = prune_linear(a, 0.3, rng, method=method, correct_leak=False)
        assert np.array_equal(free.diagonal(), np.diag(a))
        kept = prune_linear(a, 0.3, rng, method=method, rescale=False).toarray()
        assert set(off_diagonal(kept).ravel()) <= set(off_diagonal(a).ravel())
        assert np.allclose(prune_linear(a, 1.0, rng, method=method).toarray(), a)


def test_mirroring_neurons_changes_nothing_but_signs(script):
    a = clustered(script, 4)
    flip = np.random.default_rng(0).choice((-1.0, 1.0), len(a))
    mirrored = flip[:, None] * a * flip[None, :]
    assert (off_diagonal(a) < 0).any()
    assert np.allclose(noise_probabilities(a, 0.3), noise_probabilities(mirrored, 0.3), rtol=1e-8)


def test_distance_of_a_scaled_matrix_by_hand(script):
    a = clustered(script, 0, 30, bridges=2)
    same, double = spectral_distance(a, a), spectral_distance(a, 2 * a)
    assert max(asdict(same).values()) < 1e-9
    relative = asdict(double)
    assert np.isclose(relative.pop("covariance"), 0.5)
    assert np.allclose(list(relative.values()), 1.0)
    assert spectral_distance(a, -a).covariance is None  # not Hurwitz
    directed = script.ei_network(30, np.random.default_rng(0))
    # So little that every eigenvalue is still nearest to its own.
    found = spectral_distance(directed, (1 + 1e-6) * directed, leading=5)
    moved = [found.eigenvalue_mean, found.eigenvalue_max, found.leading_mean, found.covariance]
    assert np.allclose(moved, 1e-6, rtol=1e-3) and found.quadratic_worst is None


def test_worst_form_bounds_the_others(script):
    a = clustered(script, 2)
    off = spectral_distance(a, prune_linear(a, 0.3, np.random.default_rng(1)))
    assert off.quadratic_mean <= off.quadratic_max <= off.quadratic_worst * (1 + 1e-9)
    assert off.eigenvalue_max <= off.quadratic_worst * (1 + 1e-9)


def log_ratios(script, networks, density, measure, rival, ours="noise"):
    """Paired logarithms of our error over a rival's."""
    out = []
    for seed, a in zip(SEEDS, networks, strict=True):
        errors = []
        for method in (ours, rival):
            b = script.pruned(a, density, seed, method)
            errors.append(getattr(spectral_distance(a, b, leading=3), measure))
        out.append(np.log(errors[0] / errors[1]))
    return np.array(out)


def upper_bound(log):
    """Upper end of the 95 % t interval of the geometric mean ratio."""
    return float(np.exp(log.mean() + stats.t.ppf(0.975, log.size - 1) * stats.sem(log)))


def test_noise_keeps_the_slow_modes_of_clusters_and_the_flipped_rule_does_not(script):
    networks = [clustered(script, seed, 120) for seed in SEEDS]
    for rival in ("uniform", "weight", "largest"):
        log = log_ratios(script, networks, 0.4, "leading_mean", rival)
        assert upper_bound(log) < 0.8, rival
    wrong = log_ratios(script, networks, 0.4, "leading_mean", "uniform", ours="flipped")
    assert upper_bound(wrong) > 0.8


def test_bridges_are_what_noise_keeps(script):
    a = clustered(script, 0, 120, bridges=3, spread=0.0)
    p = noise_probabilities(a, 0.1)
    label = np.arange(120) * 3 // 120
    there, same = p > 0, label[:, None] == label[None, :]
    # A link of a clique of 40 has resistance 2/40.1. Seen from outside, a clique is one node with
    # 40 leaks of 0.1 and three bridges to either other: 2/(4 + 9) between two of them, and at the
    # two ends of a bridge 2/41.1 more.
    expected = (2 / 13 + 2 / 41.1) / (2 / 40.1)
    ratio = p[there & ~same].mean() / p[there & same].mean()
    assert p.max() < 1 and ratio == pytest.approx(expected, rel=0.1)


def test_noise_beats_uniform_on_an_excitatory_inhibitory_network_by_the_weights_alone(script):
    networks = [script.ei_network(90, np.random.default_rng([s, 0])) for s in SEEDS]
    log = log_ratios(script, networks, 0.3, "eigenvalue_mean", "uniform")
    assert upper_bound(log) < 0.8
    # The covariance adds nothing there: weights alone do as well.
    log = log_ratios(script, networks, 0.3, "eigenvalue_mean", "weight")
    assert 0.85 < np.exp(log.mean()) < 1.15


def test_without_structure_there_is_no_advantage(script):
    options = {"clusters": 1, "inside": 0.5, "spread": 0.0}
    networks = [clustered(script, seed, 120, **options) for seed in SEEDS]
    p = noise_probabilities(networks[0], 0.3)
    p = p[p > 0]
    assert p.std() / p.mean() < 0.1
    log = log_ratios(script, networks, 0.3, "eigenvalue_mean", "uniform")
    assert 0.9 < np.exp(log.mean()) < 1.1


def test_ties_of_the_largest_are_drawn(script):
    a = clustered(script, 0, 30, clusters=1, spread=0.0)
    masks = [
        prune_linear(a, 0.3, np.random.default_rng(s), method="largest").toarray() != 0
        for s in (0, 1)
    ]
    assert not np.array_equal(*masks)


def test_what_cannot_be_is_refused(script):
    a, rng = clustered(script, 0, 30, bridges=2), np.random.default_rng(0)
    for density in (0.0, -1.0, 1.1, np.nan, 1e-5):
        with pytest.raises(BudgetError, match="density"):
            prune_linear(a, density, rng)
    with pytest.raises(ParameterError, match="method"):
        prune_linear(a, 0.5, rng, method="magic")
    with pytest.raises(ParameterError, match="Hurwitz"):
        noise_probabilities(off_diagonal(a), 0.5)
    with pytest.raises(ParameterError, match="off the diagonal"):
        prune_linear(-np.eye(3), 0.5, rng)
    with pytest.raises(ParameterError, match="p: expected shape"):
        prune_by_probability(a, np.ones(3), rng)
    with pytest.raises(ParameterError, match="b: expected shape"):
        spectral_distance(a, a[:4, :4])
    with pytest.raises(ParameterError, match="leading"):
        spectral_distance(a, a, leading=0)
    assert set(linear_networks.__all__) <= set(dir(linear_networks))
