"""Structured weights: by hand, by rank, and what must be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models_eq.device import use_device
from models_eq.distributions import Gamma
from models_eq.errors import ParameterError, UnitError
from models_eq.hrsnn import HRSNN
from models_eq.plasticity import STDP
from models_eq.rng import stream
from models_eq.simulate import simulate
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import noise_stimulus, slow_stimulus
from models_eq.structure import SHAPING, heavy_tailed, low_rank, stdp_shaped
from models_eq.topology import Clustered

pytestmark = pytest.mark.usefixtures("numpy_device")


NET = sample_hrsnn(HRSNNSpec(n=60), seed=3)
EDITS: dict[str, Callable[..., HRSNN]] = {
    "low_rank": low_rank,
    "heavy_tailed": heavy_tailed,
    "stdp_shaped": lambda net, seed=0: stdp_shaped(net, seed=seed, duration="0.2 s", drives=1),
}


def bipartite(n: int = 40) -> HRSNN:
    """All of the first half onto all of the second, so that ratios form a full matrix."""
    i, j = np.meshgrid(np.arange(n // 2), np.arange(n // 2, n), indexing="ij")
    w = np.random.default_rng(0).gamma(2, 0.1, i.size)
    return HRSNN("lif_exp", n, i=i.ravel(), j=j.ravel(), w=w, tau_m=0.02)


def singular_values(old: HRSNN, new: HRSNN) -> np.ndarray:
    """Singular values of the ratios of weights of a bipartite network, over the largest."""
    ratio = (new.w / old.w).reshape(old.n // 2, old.n // 2)
    values = np.linalg.svd(ratio, compute_uv=False)
    return values / values[0]


@pytest.mark.parametrize("name", EDITS)
class TestEveryEdit:
    """What holds for all of them."""

    def test_synapses_signs_and_means_are_kept(self, name: str) -> None:
        other = EDITS[name](NET)
        assert other.obeys_dale
        assert np.std(other.w / NET.w) > 0.1
        for mine in (NET.is_exc[NET.i], ~NET.is_exc[NET.i]):
            assert other.w[mine].mean() == pytest.approx(NET.w[mine].mean(), rel=1e-12)
        assert other.replace(w=NET.w, history=NET.history) == NET
        assert other.history[: len(NET.history)] == NET.history
        entry = other.history[-1]
        assert (entry["step"], entry["seed"]) == (name, 0)

    def test_the_seed_decides(self, name: str) -> None:
        edit = EDITS[name]
        assert edit(NET, seed=1) == edit(NET, seed=1)
        assert edit(NET, seed=1) != edit(NET, seed=2)

    def test_a_network_without_synapses_stays_as_it_is(self, name: str) -> None:
        empty = NET.keep_edges([])
        assert EDITS[name](empty) == empty

    def test_bad_arguments_are_refused(self, name: str) -> None:
        with pytest.raises(ParameterError, match="net"):
            EDITS[name](3)
        for seed in (-1, 0.5, None):
            with pytest.raises(ParameterError) as caught:
                EDITS[name](NET, seed=seed)
            assert caught.value.field == "seed"


class TestLowRank:
    """Modulation by patterns."""

    def test_one_pattern_by_hand(self) -> None:
        is_exc = [True, True, False]
        net = HRSNN("lif_exp", 3, i=[0, 0, 1, 2, 2], j=[1, 2, 2, 0, 1], w=[1, 2, 3, -4, -5],
                    tau_m=0.02, is_exc=is_exc)  # fmt: skip
        found = low_rank(net, 1, 0.5, seed=7).w
        rng = stream(7, "weights", 101)
        u, v = rng.standard_normal(3), rng.standard_normal(3)
        raw = [
            1 * max(0, 1 + 0.5 * u[0] * v[1]),
            2 * max(0, 1 + 0.5 * u[0] * v[2]),
            3 * max(0, 1 + 0.5 * u[1] * v[2]),
            -4 * max(0, 1 + 0.5 * u[2] * v[0]),
            -5 * max(0, 1 + 0.5 * u[2] * v[1]),
        ]
        expected = [
            *(np.array(raw[:3]) * 6 / sum(raw[:3])),
            *(np.array(raw[3:]) * -9 / sum(raw[3:])),
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    @pytest.mark.parametrize("rank", [1, 2, 5])
    def test_the_ratios_have_the_rank_that_is_asked_for(self, rank: int) -> None:
        net = bipartite()
        values = singular_values(net, low_rank(net, rank, 0.02, seed=1))
        assert values[rank] > 1e-4
        assert values[rank + 1] < 1e-12
        # Negative control: weights redrawn one by one have full rank.
        assert singular_values(net, heavy_tailed(net, 0.02))[-1] > 1e-6

    def test_the_strength_is_the_deviation_of_the_modulation(self) -> None:
        net = sample_hrsnn(HRSNNSpec(n=400), seed=1)
        for rank in (1, 4):
            ratio = low_rank(net, rank, 0.1, seed=2).w / net.w
            assert ratio.std() / ratio.mean() == pytest.approx(0.1, rel=0.1)
        np.testing.assert_allclose(low_rank(net, 2, 0.0).w, net.w, rtol=1e-12)
        strong = low_rank(net, 2, 2.0)
        assert strong.history[-1]["zeros"] == np.mean(strong.w == 0) > 0.1

    def test_patterns_belong_to_the_original_neurons(self) -> None:
        net = bipartite()
        kept = np.r_[3:17, 21:38]
        a = low_rank(net, 2, 0.1, seed=4).keep_neurons(kept)
        b = low_rank(net.keep_neurons(kept), 2, 0.1, seed=4)
        ratio = a.w / b.w
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"rank": 0}, "rank"),
            ({"rank": 1.5}, "rank"),
            ({"strength": -1}, "strength"),
            ({"strength": "3 ms"}, "strength"),
            ({"strength": np.inf}, "strength"),
        ],
    )
    def test_bad_values_are_refused(self, change: dict[str, Any], field: str) -> None:
        with pytest.raises(ParameterError) as caught:
            low_rank(NET, **change)
        assert caught.value.field == field

    def test_a_modulation_that_leaves_nothing_is_refused(self) -> None:
        one = HRSNN("lif_exp", 2, i=[0], j=[1], w=[1.0], tau_m=0.02)
        refused = 0
        for seed in range(8):
            u, v = stream(seed, "weights", 101).standard_normal((2, 2))
            if 1 + 1e6 * u[0] * v[1] < 0:
                refused += 1
                with pytest.raises(ParameterError, match="strength"):
                    low_rank(one, 1, 1e6, seed=seed)
            else:
                assert low_rank(one, 1, 1e6, seed=seed).w == pytest.approx(1.0)
        assert 0 < refused < 8


class TestHeavyTailed:
    """Lognormal magnitudes."""

    def test_logarithms_are_normal_with_the_deviation_that_is_asked_for(self) -> None:
        net = sample_hrsnn(HRSNNSpec(n=300), seed=1)
        for sigma in (0.5, 1.5):
            other = heavy_tailed(net, sigma, seed=2)
            log = np.log(np.abs(other.w[net.w > 0]))
            z = (log - log.mean()) / log.std()
            count = log.size
            assert log.std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * count))
            assert abs((z**3).mean()) < 5 * np.sqrt(6 / count)
            assert abs((z**4).mean() - 3) < 5 * np.sqrt(24 / count)
        # Negative control: the logarithm of the gamma weights of the network is skewed.
        log = np.log(net.w[net.w > 0])
        assert abs((((log - log.mean()) / log.std()) ** 3).mean()) > 0.3
        flat = heavy_tailed(net, 0.0)
        assert np.ptp(flat.w[net.w > 0]) < 1e-12

    def test_weights_of_zero_take_the_sign_of_their_neuron(self) -> None:
        w = NET.w.copy()
        w[::3] = 0
        other = heavy_tailed(NET.replace(w=w))
        assert other.obeys_dale
        assert np.all(other.w != 0)

    @pytest.mark.parametrize("sigma", [-1, np.nan, "1 ms"])
    def test_bad_values_are_refused(self, sigma: Any) -> None:
        with pytest.raises(ParameterError, match="sigma"):
            heavy_tailed(NET, sigma)


class TestSTDPShaped:
    """Weights shaped by plasticity without a task."""

    def test_the_default_rule_spreads_the_weights(self) -> None:
        net = sample_hrsnn(HRSNNSpec(n=100), seed=0)
        shaped = stdp_shaped(net, seed=1, duration="6 s", drives=2)
        report, entry = shaped.history[-2:]
        assert report["rule"] == SHAPING.to_dict()
        assert report["cv_before"] < 0.75
        assert report["cv_after"] > 0.9
        assert report["sum_error"] < 1e-9
        before, after = entry["counts_before"], entry["counts_after"]
        assert sum(before) == sum(after) == net.is_exc[net.i].sum()
        assert before[0] < before[1]
        assert after[0] > 1.5 * after[1]
        assert after[9] > 2 * before[9]

    def test_what_is_learnt_depends_on_the_drive(self) -> None:
        mine = NET.is_exc[NET.i]
        a, b = (stdp_shaped(NET, seed=s, duration="2 s", drives=1).w[mine] for s in (1, 2))
        start = np.minimum(NET.w[mine], SHAPING.bounds(NET)[mine])
        assert np.corrcoef(a - start, b - start)[0, 1] < 0.9

    @pytest.mark.slow
    def test_rates_stay_within_a_factor_of_one_and_a_half(self) -> None:
        with use_device("auto"):
            for seed in range(3):
                net = sample_hrsnn(HRSNNSpec(), seed)
                # An input that was not used for learning.
                fresh = slow_stimulus(400, 500, rng=stream(77, "input"))
                shaped = stdp_shaped(net, seed=1)
                ratio = simulate(shaped, fresh).n_spikes / simulate(net, fresh).n_spikes
                assert 1 / 1.5 < ratio < 1.5

    def test_a_rule_of_ones_own_and_drives_are_used(self) -> None:
        still = stdp_shaped(NET, STDP(a_plus=0, a_minus=0, w_max=20), duration="0.2 s")
        np.testing.assert_array_equal(still.w, NET.w)
        options: dict[str, Any] = {"duration": "0.2 s", "seed": 1, "drives": 2}
        base = stdp_shaped(NET, **options)
        for change in ({"drives": 1}, {"channels": 8}, {"sd": 1.0}, {"dt": "0.5 ms"}):
            assert stdp_shaped(NET, **{**options, **change}) != base
        assert base.history[-2]["seconds"] == 0.2

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"rule": 3}, "rule"),
            ({"duration": "10 ms"}, "duration"),
            ({"drives": 0}, "drives"),
            ({"channels": 0}, "channels"),
            ({"sd": -1}, "sd"),
            ({"dt": "3 ms"}, "dt"),
        ],
    )
    def test_bad_values_are_refused(self, change: dict[str, Any], field: str) -> None:
        with pytest.raises(ParameterError) as caught:
            stdp_shaped(NET, **{"duration": "0.4 s", **change})
        assert caught.value.field == field
        with pytest.raises(UnitError):
            stdp_shaped(NET, duration=20)


@pytest.mark.parametrize(("inside", "bridges"), [(0.95, 1), (1.0, 0)])
def test_clusters_with_few_bridges_are_sampled_and_run(inside: float, bridges: int) -> None:
    laws = (Gamma(3, "5 ms"), Gamma(3, "20 ms"), Gamma(3, "60 ms"))
    spec = HRSNNSpec(n=120, topology=Clustered(3, 20, inside), cluster_tau_m=laws)
    net = sample_hrsnn(HRSNNSpec.from_dict(spec.to_dict()), seed=1)
    across = net.cluster[net.i] != net.cluster[net.j]
    np.testing.assert_array_equal(np.bincount(net.j[across], minlength=120), bridges)
    means = [net.tau_m[net.cluster == c].mean() for c in range(3)]
    np.testing.assert_allclose(means, [0.005, 0.02, 0.06], rtol=0.4)
    assert simulate(net, noise_stimulus(net, "0.2 s")).n_spikes > 50
