from __future__ import annotations

import numpy as np
import pytest

from analysis.pruning import rewiring
from analysis.pruning.rewiring import (
    delocalise,
    heterogeneity_gain,
    inverse_participation_ratio,
    localisation_scores,
    right_eigenvectors,
)
from analysis.pruning.stability import system_matrix
from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN


def sparse_net(n: int, share: float, seed: int) -> HRSNN:
    rng = np.random.default_rng(seed)
    mask = rng.random((n, n)) < share
    np.fill_diagonal(mask, False)
    i, j = np.nonzero(mask)
    exc = np.arange(n) % 5 > 0
    w = rng.gamma(2.0, 0.1, i.size) * np.where(exc[i], 1.0, -4.0)
    return HRSNN("lif_exp", n, i, j, w, tau_m=0.02, is_exc=exc)


def block_chain(blocks: int, size: int, seed: int) -> HRSNN:
    """Dense excitatory blocks in a row, joined by one weak synapse each way."""
    rng = np.random.default_rng(seed)
    # Blocks that differ: equal ones would be in resonance, their modes spread from the start.
    own = np.kron(np.eye(blocks), np.ones((size, size)))
    w = own * (rng.random(own.shape) < 0.6)
    np.fill_diagonal(w, 0.0)
    for b in range(blocks - 1):
        for here, there in ((b, b + 1), (b + 1, b)):
            w[here * size + rng.integers(size), there * size + rng.integers(size)] = 0.05
    i, j = np.nonzero(w)
    return HRSNN("lif_exp", blocks * size, i, j, w[i, j], tau_m=0.02)


def model(net: HRSNN, gain: float = 8.0) -> object:
    return system_matrix(net.tau_m, gain * net.weights)


def pairs(net: HRSNN) -> set[tuple[int, int]]:
    return set(zip(net.i.tolist(), net.j.tolist(), strict=True))


def test_ipr_of_a_delta_and_of_a_uniform_vector():
    n = 16
    wave = np.exp(2j * np.pi * np.arange(n) * 3 / n)
    columns = np.column_stack([7.0 * np.eye(n)[2], np.ones(n), wave])
    assert np.allclose(inverse_participation_ratio(columns), [1.0, 1 / n, 1 / n])
    with pytest.raises(ParameterError, match="vectors"):
        inverse_participation_ratio(np.zeros((3, 1)))
    with pytest.raises(ParameterError, match="vectors"):
        inverse_participation_ratio(np.ones(3))


def test_modes_of_two_separate_blocks_stay_in_their_block():
    # A ring of eight has plane waves (IPR 1/8), a pair with equal leaks has IPR 1/2.
    a = -50.0 * np.eye(10)
    a[:8, :8] += 5.0 * np.roll(np.eye(8), 1, axis=0)
    a[8, 9] = a[9, 8] = 20.0
    ipr = np.sort(inverse_participation_ratio(right_eigenvectors(a)))
    assert np.allclose(ipr, [1 / 8] * 8 + [1 / 2] * 2)
    scores = localisation_scores(a, 0.2)
    assert np.allclose(scores[:8], 0.0, atol=1e-12)
    assert np.allclose(scores[8:], 2 * 0.5 * 0.5)


def test_leading_modes_are_those_of_the_full_spectrum():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, 40))
    values, vectors = np.linalg.eig(a)
    lead = np.argmax(values.real)
    few = right_eigenvectors(a, modes=4)
    assert np.abs(np.conj(vectors[:, lead]) @ few).max() == pytest.approx(1.0)
    with pytest.raises(ParameterError, match="modes"):
        right_eigenvectors(a, modes=39)


def test_heterogeneity_gain_is_positive_for_a_hub_only():
    net = HRSNN("lif_exp", 5, i=[0, 0, 0], j=[1, 2, 3], w=1.0, tau_m=0.02)
    # The hub has degree 3, its neighbourhood a mean of (3 + 1 + 1 + 1) / 4.
    assert np.allclose(heterogeneity_gain(net), [1.5, 0, 0, 0, 0])


@pytest.mark.parametrize("block", [7, 512])
def test_added_synapses_join_second_neighbours_and_keep_dale(monkeypatch, block):
    monkeypatch.setattr(rewiring, "_BLOCK", block)
    net = sparse_net(60, 0.05, 1)
    new, report = delocalise(net, model(net), 25, np.random.default_rng(0))
    graph = np.zeros((60, 60), dtype=int)
    graph[net.i, net.j] = 1
    second = (graph @ graph > 0) & (graph == 0) & ~np.eye(60, dtype=bool)
    added = pairs(new) - pairs(net)
    assert len(added) == 25 == report["added"] == new.n_synapses - net.n_synapses
    assert pairs(net) <= pairs(new)
    assert all(second[a, b] for a, b in added)
    assert new.obeys_dale
    assert report["candidates"] == second.sum()
    assert report["short"] == 0
    assert np.isin(np.abs(new.w), np.abs(net.w)).all()


def test_weights_come_from_the_neurons_own_sign():
    # 0, 1, 2 excite with 0.1..., 3 inhibits with -9.
    net = HRSNN(
        "lif_exp", 5, [0, 1, 2, 3], [1, 2, 3, 0], [0.1, 0.2, 0.3, -9.0], 0.02,
        is_exc=[True, True, True, False, True],
    )  # fmt: skip
    new, _ = delocalise(net, model(net, 1.0), 4, np.random.default_rng(0))
    for i, j, w in zip(new.i, new.j, new.w, strict=True):
        if (i, j) not in pairs(net):
            assert w == -9.0 if i == 3 else w in (0.1, 0.2, 0.3)
    # No inhibitory weight is kept: its size is drawn from all, its sign is the neuron's.
    silent = net.replace(w=[0.1, 0.2, 0.3, 0.0])
    new, _ = delocalise(silent, model(silent, 1.0), 4, np.random.default_rng(0))
    fresh = [w for i, j, w in zip(new.i, new.j, new.w, strict=True) if (i, j) == (3, 1)]
    assert len(fresh) == 1 and -fresh[0] in (0.0, 0.1, 0.2, 0.3)


def test_too_few_candidates_are_all_taken_and_reported():
    net = HRSNN("lif_exp", 4, [0, 1, 2], [1, 2, 3], [1.0, 1.0, 1.0], 0.02)
    new, report = delocalise(net, model(net), 10, np.random.default_rng(0))
    assert pairs(new) - pairs(net) == {(0, 2), (1, 3)}
    assert (report["added"], report["short"], report["candidates"]) == (2, 8, 2)


@pytest.mark.parametrize("n_add", [0, 5])
def test_networks_without_synapses_or_additions(n_add):
    empty = HRSNN("lif_exp", 6, [], [], [], tau_m=0.02)
    new, report = delocalise(empty, model(empty), n_add, np.random.default_rng(0))
    assert new == empty
    assert (report["added"], report["short"]) == (0, n_add)
    assert report["mean_ipr_before"] == report["mean_ipr_after"] == pytest.approx(1.0)
    net = sparse_net(20, 0.2, 0)
    assert delocalise(net, model(net), 0, np.random.default_rng(0))[0] == net


def test_large_networks_are_judged_by_their_slowest_modes(monkeypatch):
    net = sparse_net(50, 0.06, 3)
    whole = delocalise(net, model(net), 12, np.random.default_rng(1))
    few = delocalise(net, model(net), 12, np.random.default_rng(1), modes=20)
    assert (whole[1]["modes"], few[1]["modes"]) == (50, 20) and whole[0] != few[0]
    monkeypatch.setattr("analysis.pruning.rewiring._ALL_MODES", 49)
    monkeypatch.setattr("analysis.pruning.rewiring._LEADING", 20)
    large = delocalise(net, model(net), 12, np.random.default_rng(1))
    assert large[0] == few[0] and large[1] == few[1]


def test_the_same_generator_gives_the_same_network():
    net = sparse_net(50, 0.06, 3)
    runs = [delocalise(net, model(net), 12, np.random.default_rng(s))[0] for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_wrong_input_is_refused():
    net = sparse_net(20, 0.2, 0)
    rng = np.random.default_rng(0)
    with pytest.raises(ParameterError, match="shape"):
        delocalise(net, -np.eye(19), 3, rng)
    with pytest.raises(BudgetError):
        delocalise(net, model(net), -1, rng)
    with pytest.raises(ParameterError, match="fraction"):
        delocalise(net, model(net), 3, rng, fraction=0.0)


def test_a_chain_of_blocks_is_delocalised_and_thickened_blocks_are_not():
    before, after, control = [], [], []
    for seed in range(6):
        net = block_chain(8, 8, seed)
        rng = np.random.default_rng(seed)
        _, report = delocalise(net, model(net), 40, rng)
        before.append(report["mean_ipr_before"])
        after.append(report["mean_ipr_after"])
        # Control: as many synapses, of the same weights, inside the blocks.
        present = np.zeros((64, 64), dtype=bool)
        present[net.i, net.j] = True
        inside = np.kron(np.eye(8), np.ones((8, 8))).astype(bool) & ~np.eye(64, dtype=bool)
        i, j = np.nonzero(inside & ~present)
        pick = rng.choice(i.size, 40, replace=False)
        thick = net.add_edges(i[pick], j[pick], rng.choice(net.w, 40))
        control.append(inverse_participation_ratio(right_eigenvectors(model(thick))).mean())
    gain = np.array(control) - np.array(after)
    assert gain.mean() > 4 * gain.std(ddof=1) / np.sqrt(6)
    assert np.mean(after) < 0.8 * np.mean(before)
