from __future__ import annotations

import numpy as np
import pytest

from analysis.pruning import balance
from analysis.pruning.balance import balanced_mask, partner_prices, row_quotas
from analysis.pruning.sampling import sample_exact
from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN


def random_net(n: int, share: float, seed: int) -> HRSNN:
    rng = np.random.default_rng(seed)
    mask = rng.random((n, n)) < share
    np.fill_diagonal(mask, False)
    i, j = np.nonzero(mask)
    return HRSNN("lif_exp", n, i, j, rng.gamma(2.0, 0.1, i.size), tau_m=0.02)


def fixed_in_degree(n: int, k: int, seed: int) -> HRSNN:
    rng = np.random.default_rng(seed)
    pre = [rng.choice(np.delete(np.arange(n), r), k, replace=False) for r in range(n)]
    return HRSNN("lif_exp", n, np.concatenate(pre), np.repeat(np.arange(n), k), 1.0, tau_m=0.02)


def test_row_quotas():
    rng = np.random.default_rng(0)
    assert row_quotas([5, 5, 5, 5], 8, rng).tolist() == [2, 2, 2, 2]
    assert row_quotas([1, 0, 9, 9], 9, rng).tolist() == [1, 0, 4, 4]
    assert row_quotas([1, 2, 3], 6, rng).tolist() == [1, 2, 3]
    for _ in range(200):
        degree = rng.integers(0, 7, 9)
        count = int(rng.integers(0, degree.sum() + 1))
        quota = row_quotas(degree, count, rng)
        assert quota.sum() == count and (quota <= degree).all()
        assert np.ptp(quota[quota < degree]) <= 1 if (quota < degree).any() else True
        assert quota[quota == degree].max(initial=0) <= quota[quota < degree].max(initial=99) + 1
    with pytest.raises(BudgetError):
        row_quotas([1, 2], 4, rng)


@pytest.mark.parametrize("k", [1, 2.5, 6])
def test_balanced_masks_are_exact_and_even(k):
    net = fixed_in_degree(200, 40, 0)
    rng = np.random.default_rng(1)
    count = int(k * 200)
    mask = balanced_mask(net, count, rng.gamma(2.0, 1.0, net.n_synapses), rng)
    rows = np.bincount(net.j[mask], minlength=200)
    loads = np.bincount(net.i[mask], minlength=200)
    assert mask.sum() == count
    assert rows.min() == count // 200 and np.ptp(rows) == (0 if count % 200 == 0 else 1)
    assert np.ptp(loads) <= 2
    plain = sample_exact(np.full(net.n_synapses, count / net.n_synapses), rng)
    assert np.ptp(np.bincount(net.i[plain], minlength=200)) > 2
    assert np.ptp(np.bincount(net.j[plain], minlength=200)) > 2


def test_balanced_mask_on_an_uneven_graph_keeps_what_poor_rows_have():
    net = random_net(50, 0.08, 6)
    rng = np.random.default_rng(0)
    for count in (0, 1, 60, net.n_synapses - 1, net.n_synapses):
        mask = balanced_mask(net, count, np.ones(net.n_synapses), rng)
        rows = np.bincount(net.j[mask], minlength=50)
        assert mask.sum() == count
        short = rows < net.in_degree
        assert np.ptp(rows[short]) <= 1 if short.any() else True
    with pytest.raises(BudgetError):
        balanced_mask(net, net.n_synapses + 1, np.ones(net.n_synapses), rng)
    with pytest.raises(ParameterError, match="p"):
        balanced_mask(net, 3, -np.ones(net.n_synapses), rng)


def test_balanced_mask_prefers_high_p():
    net = fixed_in_degree(100, 30, 2)
    rng = np.random.default_rng(3)
    liked = rng.random(net.n_synapses) < 0.5
    p = np.where(liked, 0.3, 0.1)
    share = [liked[balanced_mask(net, 300, p, rng)].mean() for _ in range(40)]
    even = [liked[balanced_mask(net, 300, np.ones_like(p), rng)].mean() for _ in range(40)]
    base = liked.mean()
    error = np.hypot(np.std(share), np.std(even)) / np.sqrt(40)
    assert np.mean(share) > base + 0.1
    assert np.mean(share) - np.mean(even) > 10 * error
    assert abs(np.mean(even) - base) < 4 * np.std(even) / np.sqrt(40) + 1e-3
    assert liked[balanced_mask(net, 300, liked.astype(float), rng)].all()


def test_balanced_mask_is_uniform_where_the_graph_is():
    # On the complete graph every synapse is like every other, so each is kept equally often.
    n, k, draws = 10, 3, 1500
    off = ~np.eye(n, dtype=bool)
    i, j = np.nonzero(off)
    net = HRSNN("lif_exp", n, i, j, 1.0, tau_m=0.02)
    rng = np.random.default_rng(4)
    hits = np.zeros(i.size)
    for _ in range(draws):
        hits += balanced_mask(net, n * k, np.full(i.size, 0.2), rng)
    share = k / (n - 1)
    z = (hits / draws - share) / np.sqrt(share * (1 - share) / draws)
    assert np.abs(z).max() < 4.5
    assert (z**2).mean() < 1.6


def test_swaps_even_out_what_the_first_pass_leaves(monkeypatch):
    net = fixed_in_degree(150, 12, 8)
    p = np.ones(net.n_synapses)
    args = (net, 450, p)
    evened = balanced_mask(*args, np.random.default_rng(0))
    monkeypatch.setattr(balance, "_even_out", lambda *_: None)
    first = balanced_mask(*args, np.random.default_rng(0))
    squares = [(np.bincount(net.i[m], minlength=150) ** 2).sum() for m in (evened, first)]
    assert squares[0] < squares[1]


def by_hand() -> HRSNN:
    """Rows 2 and 3 listen to 0 and 1; row 2 likes 0 three times as well, row 3 five times."""
    return HRSNN("lif_exp", 4, [0, 0, 1, 1], [2, 3, 2, 3], 1.0, tau_m=0.02)


def test_prices_by_hand():
    # With one input a row, p(0 -> 2) = 3 r/(3 r + 1) and p(0 -> 3) = 5 r/(5 r + 1) for the price
    # ratio r; both partners send once when these add up to 1, that is 15 r^2 = 1.
    net = by_hand()
    preference = np.array([3.0, 5.0, 1.0, 1.0])
    price = partner_prices(net, np.array([0, 0, 1, 1]), preference)
    assert price[0] / price[1] == pytest.approx(1 / np.sqrt(15), rel=1e-6)
    even = partner_prices(net, np.array([0, 0, 1, 1]), np.ones(4))
    assert even == pytest.approx(1.0)


def test_prices_even_the_expected_outputs_whatever_partners_are_liked():
    net = fixed_in_degree(80, 20, 5)
    rng = np.random.default_rng(6)
    # One partner in four is liked ten times as well by every row.
    preference = rng.gamma(2.0, 1.0, net.n_synapses) * np.where(net.i % 4 == 0, 10.0, 1.0)
    quota = np.full(80, 3)

    def columns(price: np.ndarray) -> np.ndarray:
        offered = preference * price[net.i]
        row = np.bincount(net.j, offered, minlength=80)
        return np.bincount(net.i, np.minimum(1, offered * (quota / row)[net.j]), minlength=80)

    assert columns(partner_prices(net, quota, preference)) == pytest.approx(3.0, rel=0.02)
    assert columns(np.ones(80)).max() > 6, "without prices the liked ones send most"


def test_preferences_survive_the_balance(monkeypatch):
    net = fixed_in_degree(80, 20, 5)
    weight = np.random.default_rng(7).lognormal(0.0, 1.5, net.n_synapses)
    liked = weight * np.where(net.i % 4 == 0, 10.0, 1.0)

    def kept() -> float:
        draws = [balanced_mask(net, 240, liked, np.random.default_rng(s)) for s in range(10)]
        return float(np.mean([weight[mask].mean() for mask in draws]))

    priced = kept()
    random = weight.mean()
    # The factor ten says nothing about the weights; only its balance stands in their way.
    assert priced > 2.5 * random
    monkeypatch.setattr(balance, "partner_prices", lambda net, quota, p: np.ones(net.n))
    assert kept() < 0.85 * priced, "swaps alone throw away what was liked"
