from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from analysis.pruning import compensate
from analysis.pruning.balance import balanced_mask
from analysis.pruning.compensate import (
    GAINS,
    Compensation,
    apply_gains,
    mean_shift,
    noise_rates,
    rows_of,
    slow_rates,
    variance_gains,
)
from analysis.spikes import mean_drive
from models_eq.errors import ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec, sample_hrsnn

ROWS = (20, 150, 80)


pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.fixture(scope="module")
def parent() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=60), seed=1)


@pytest.fixture(scope="module")
def child(parent) -> HRSNN:
    fewer = parent.keep_neurons(np.arange(10, 60))
    rng = np.random.default_rng(0)
    return fewer.keep_edges(balanced_mask(fewer, 100, np.ones(fewer.n_synapses), rng))


def small() -> HRSNN:
    """0, 1 excitatory and 2 inhibitory, all onto 3; 3 onto 0."""
    return HRSNN(
        "lif_exp", 4, i=[0, 1, 2, 3], j=[3, 3, 3, 0], w=[3.0, 4.0, -2.0, 1.0], tau_m=0.02,
        tau_syn=[0.005, 0.005, 0.005, 0.01], i_ext=[0.1, 0.2, 0.3, 0.4],
    )  # fmt: skip


def squares(net: HRSNN, sign: int, rows: np.ndarray) -> float:
    return float(np.sum(net.w[(net.w * sign > 0) & np.isin(net.ids[net.j], rows)] ** 2))


def test_variance_gain_by_hand():
    net = small()
    masked = net.keep_edges([0, 2, 3])
    # Excitatory: 9 + 16 + 1 before, 9 + 1 kept; inhibitory: all of it kept.
    assert variance_gains(net, masked) == pytest.approx((np.sqrt(26 / 10), 1.0))
    # Neuron 0 gone: its row no longer counts, its weight onto 3 does.
    fewer = net.keep_neurons([1, 2, 3])
    assert variance_gains(net, fewer) == pytest.approx((np.sqrt(25 / 16), 1.0))
    assert variance_gains(net, net.keep_edges([])) == (1.0, 1.0)
    assert variance_gains(net.keep_edges([2]), net) == (1.0, 1.0), "nothing there to keep"


def test_variance_gain_keeps_the_squares_of_each_sign(parent, child):
    paid = apply_gains(child, *variance_gains(parent, child))
    for sign in (1, -1):
        before, after = squares(parent, sign, child.ids), squares(paid, sign, child.ids)
        assert after == pytest.approx(before)
        assert after > 1.5 * squares(child, sign, child.ids), "the mask alone loses them"
    assert paid.obeys_dale and np.array_equal(paid.i, child.i)


def test_mean_shift_by_hand():
    net, rate = small(), np.array([10.0, 20.0, 5.0, 8.0])
    masked = net.keep_edges([0])
    # Lost onto 3: 4 * 20 - 2 * 5 = 70 over tau_syn = 10 ms; onto 0: 8 over 5 ms.
    shifted = mean_shift(net, masked, rate)
    assert np.allclose(shifted.i_ext, [0.1 + 0.04, 0.2, 0.3, 0.4 + 0.7])
    assert np.array_equal(shifted.w, masked.w)


def test_mean_shift_counts_removed_neurons():
    net, rate = small(), np.array([10.0, 20.0, 5.0, 8.0])
    fewer = net.keep_neurons([1, 3])
    # Gone onto 3: 3 * 10 from neuron 0 and -2 * 5 from neuron 2, over 10 ms.
    assert np.allclose(mean_shift(net, fewer, rate).i_ext, [0.2, 0.4 + 0.2])


@pytest.mark.parametrize("model", ["lif_exp", "lif_delta"])
def test_mean_shift_restores_the_mean_input(parent, child, model):
    before, after = parent.replace(model=model), child.replace(model=model)
    rate = np.random.default_rng(1).uniform(0, 50, parent.n)
    rows = rows_of(before, after)
    scaled = apply_gains(after, 1.7, 2.3)
    paid = mean_shift(before, scaled, rate)
    mean_before = (mean_drive(before, rate) + before.i_ext)[rows]
    mean_after = mean_drive(paid, rate[rows]) + paid.i_ext
    assert np.allclose(mean_after, mean_before, rtol=1e-12)
    unpaid = mean_drive(scaled, rate[rows]) + scaled.i_ext
    assert np.abs(unpaid - mean_before).max() > 0.1


def test_rows_of_finds_descendants_only(parent, child):
    assert np.array_equal(rows_of(parent, child), np.arange(10, 60))
    grandchild = child.keep_neurons([3, 7])
    assert np.array_equal(rows_of(parent, grandchild), [13, 17])
    assert np.array_equal(rows_of(child, grandchild), [3, 7])
    with pytest.raises(ParameterError, match="descends"):
        rows_of(child, parent)
    with pytest.raises(ParameterError, match="descends"):
        rows_of(small(), child)


def test_treatments_build_on_each_other(parent, child):
    rate = np.full(parent.n, 20.0)
    none, found = Compensation("none", 0)(parent, child)
    assert none is child and found == {"treatment": "none"}
    variance, found = Compensation("variance", 0)(parent, child)
    gains = variance_gains(parent, child)
    assert variance == apply_gains(child, *gains)
    assert (found["gain_exc"], found["gain_inh"]) == gains
    shift, _ = Compensation("shift", 0)(parent, child, lambda: rate)
    assert shift == mean_shift(parent, variance, rate)
    slow, _ = Compensation("shift", 3)(parent, child)
    assert slow == mean_shift(parent, variance, slow_rates(parent, seed=3))
    assert slow != shift


def test_nothing_left_to_scale(parent):
    bare = parent.keep_edges([])
    variance, found = Compensation("variance", 0)(parent, bare)
    assert variance == bare and found["gain_exc"] == found["gain_inh"] == 1.0
    rate = np.full(parent.n, 20.0)
    shift, _ = Compensation("shift", 0)(parent, bare, lambda: rate)
    assert np.allclose(shift.i_ext, parent.i_ext + mean_drive(parent, rate))


def fake_capacity(values: dict[float, float], base: HRSNN, seen: list[float]):
    """Capacities by the factor that a network's weights were multiplied with."""

    def capacity(nets: Sequence[HRSNN], **_: object) -> np.ndarray:
        factors = [min(values, key=lambda g: abs(net.w[0] / base.w[0] - g)) for net in nets]
        seen.extend(factors)
        scores = np.array([values[g] for g in factors])
        # Two draws whose mean counts, not the better one.
        return np.stack([scores - 0.1, scores + 0.1], axis=1)

    return capacity


@pytest.mark.parametrize(
    ("values", "tolerance", "factor"),
    [
        ((0.1, 0.2, 0.30, 0.495, 0.500, 0.49, 0.3, 0.2), 0.02, 1.5),  # near the best, and smaller
        ((0.1, 0.2, 0.30, 0.495, 0.500, 0.49, 0.3, 0.2), 0.0, 2.0),  # the best itself
        ((0.1, 0.2, 0.30, 0.480, 0.500, 0.499, 0.3, 0.2), 0.02, 2.0),  # 4 % below: too far
        ((0.1, 0.2, 0.30, 0.480, 0.500, 0.499, 0.3, 0.2), 0.05, 1.5),
        ((0.1, 0.1, 0.10, 0.11, 0.12, 0.2, 0.3, 0.4), 0.02, 5.5),
        ((0.7, 0.6, 0.50, 0.40, 0.3, 0.2, 0.1, 0.1), 0.02, 0.5),
        ((0.5, 0.6, 0.67, 0.66, 0.62, 0.63, 0.65, 0.6), 0.02, 1.0),  # of two tops the higher one
        ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0.02, 0.5),
    ],
)
def test_tuned_takes_the_smallest_factor_near_the_top(
    parent, child, monkeypatch, values, tolerance, factor
):
    rate = np.full(parent.n, 20.0)
    variance = apply_gains(child, *variance_gains(parent, child))
    table = dict(zip(GAINS, values, strict=True))
    # The order of the grid plays no part.
    for order in (range(8), [3, 0, 5, 7, 1, 4, 6, 2]):
        seen: list[float] = []
        monkeypatch.setattr(compensate, "capacity", fake_capacity(table, variance, seen))
        grid = tuple(GAINS[k] for k in order)
        paid, found = Compensation("tuned", 0, grid, tolerance)(parent, child, lambda: rate)
        assert found["factor"] == factor
        assert paid == mean_shift(parent, apply_gains(variance, factor, factor), rate)
        assert found["grid"] == seen == list(GAINS), "every candidate, once"
        assert np.allclose(found["capacity"], values)


def test_without_synapses_there_is_no_factor_to_search(parent):
    bare = parent.keep_edges([])
    rows = Compensation("tuned", 0, rows=ROWS)(parent, bare)[1]
    assert rows["factor"] == 1.0 and rows["grid"] == [1.0] and len(rows["capacity"]) == 1


def test_tuned_measures_capacity(parent, child):
    pay = Compensation("tuned", 2, grid=(0.5, 1.5, 4.0), rows=ROWS)
    paid, found = pay(parent, child)
    again, _ = pay(parent, child)
    assert paid == again
    scores = np.array(found["capacity"])
    assert (scores > 0).all() and scores.std() > 0
    near = [g for g, c in zip(found["grid"], scores, strict=True) if c >= 0.98 * scores.max()]
    assert found["factor"] == min(near)
    ratio = paid.w / apply_gains(child, *variance_gains(parent, child)).w
    assert np.allclose(ratio, found["factor"])


def test_rates_of_a_silent_network_are_refused(parent):
    silent = parent.replace(i_ext=-50.0)
    with pytest.raises(SilentNetworkError, match="slow random input"):
        slow_rates(silent, seed=0, rows=20)
    with pytest.raises(SilentNetworkError, match="noise"):
        noise_rates(silent, seed=0, duration="0.2 s")
    found = noise_rates(parent, seed=0, duration="0.5 s")
    assert found.shape == (60,) and found.mean() > 1


def test_bad_settings_are_refused():
    with pytest.raises(ParameterError, match="treatment"):
        Compensation("gain", 0)
    with pytest.raises(ParameterError, match="grid"):
        Compensation("tuned", 0, grid=())
    with pytest.raises(ParameterError, match="grid"):
        Compensation("tuned", 0, grid=(1.0, 0.0))
    for tolerance in (-0.1, 1.0, float("nan")):
        with pytest.raises(ParameterError, match="tolerance"):
            Compensation("tuned", 0, tolerance=tolerance)
