"""The QR engine and what it hands back: errors of the mean, derived numbers, refusals, storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from threadpoolctl import threadpool_info, threadpool_limits

from analysis.lyapunov.flows import Map
from analysis.lyapunov.qr import Growth, follow, intervals, orthonormal_start, summarise
from analysis.lyapunov.result import LyapunovResult, block_means, block_stderr, slope_mean
from analysis.lyapunov.spectrum import lyapunov_spectrum
from models_eq.errors import ConvergenceError, FormatError, ParameterError
from models_eq.storage import load, save

ABOUT: dict[str, Any] = {
    "transient": 1.0, "dt": 0.001, "method": "saltation", "reason": "", "system": "HRSNN",
    "dimension": 3, "conditional": False,
}  # fmt: skip


def result(exponents: Any, dimension: int | None = None, **more: Any) -> LyapunovResult:
    """A result with the given exponents."""
    value = np.array(exponents, dtype=float)
    full = {
        **ABOUT, "exponents": value, "stderr": np.full(value.size, 0.1),
        "local": np.tile(value, (20, 1)), "t_qr": 0.1, "duration": 2.0,
        "dimension": dimension or value.size, **more,
    }  # fmt: skip
    return LyapunovResult(**full)


def noise(m: int, rho: float, seed: int, shape: tuple[int, ...] = ()) -> np.ndarray:
    """AR(1) noise of mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    drive = rng.standard_normal((m, *shape)) * np.sqrt(1 - rho**2)
    drive[0] /= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], drive, axis=0)


def slope_error(m: int, rho: float) -> float:
    """Standard deviation of the slope mean of AR(1) noise, from its covariance matrix."""
    middle = np.arange(m) + 0.5
    weight = middle * (m - middle)
    weight /= weight.sum()
    # Noise of covariance rho^|s - t|: filter forwards and backwards instead of an m x m matrix.
    ahead = lfilter([1.0], [1.0, -rho], weight)
    behind = lfilter([1.0], [1.0, -rho], weight[::-1])[::-1]
    return float(np.sqrt(weight @ (ahead + behind - weight)))


class Linear:
    """Tangents of dx/dt = A x for a diagonal A, exactly, one interval of 0.1 at a time."""

    def __init__(self, rates: Any, k: int, copies: int | None = None, seed: int = 0) -> None:
        self.rates = np.array(rates, dtype=float)
        rng = np.random.default_rng(seed)
        self.tangents = orthonormal_start(self.rates.size, k, rng, copies)
        self.seen: list[int] = []

    def advance(self, interval: int) -> None:
        """Multiply by exp(0.1 A)."""
        self.seen.append(interval)
        self.tangents *= np.exp(0.1 * self.rates)[:, None]


# Means over time and their errors.


def test_the_slope_mean_is_the_slope_of_the_summed_growth() -> None:
    local = noise(200, 0.5, 1, (3,)) + [1.0, 0.0, -2.0]
    t = np.arange(201)
    summed = np.concatenate([np.zeros((1, 3)), np.cumsum(local, axis=0)])
    # In continuous time; the sums at the ends of intervals differ from it by O(1/m²).
    np.testing.assert_allclose(slope_mean(local), np.polyfit(t, summed, 1)[0], atol=1e-3)
    assert np.abs(local.mean(axis=0) - np.polyfit(t, summed, 1)[0]).min() > 2e-3
    assert slope_mean(np.full(7, 4.0)) == pytest.approx(4.0)


def test_the_ends_of_the_window_spoil_it_less_than_the_plain_mean() -> None:
    # Growth -2 t + cos(t): what a vector that turns with the orbit of a cycle shows.
    t = np.arange(0, 401) * 0.1
    local = np.diff(-2 * t + np.cos(t)) / 0.1
    assert abs(local.mean() + 2) > 0.02
    assert abs(slope_mean(local) + 2) < 0.006


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_block_errors_are_those_of_ar1_noise(rho: float) -> None:
    m = 4096
    values = noise(m, rho, 2, (400,))
    true = slope_error(m, rho)
    # The formula itself: 400 independent means scatter as it says, to 3 standard errors of that.
    assert slope_mean(values).std() == pytest.approx(true, rel=3 / np.sqrt(800))
    found = block_stderr(values)
    # The larger of two estimates of 7 and 15 degrees of freedom lies a little high.
    assert 1.0 < np.sqrt((found**2).mean()) / true < 1.2
    # It holds what it promises: beyond two errors lies what Student's t with about 10 degrees
    # of freedom puts there (7 %), and not the third that ignoring the correlation would give.
    beyond = np.mean(np.abs(slope_mean(values)) > 2 * found)
    assert beyond < 0.09
    naive = values.std(axis=0) * np.sqrt(1.2 / m)
    if rho:
        assert np.mean(np.abs(slope_mean(values)) > 2 * naive) > 0.3


def test_too_few_values_have_no_error() -> None:
    assert block_stderr(np.ones((15, 2))).tolist() == [np.inf, np.inf]
    assert block_stderr(np.ones((16, 2))).tolist() == [0.0, 0.0]


def test_blocks_share_out_all_values() -> None:
    values = np.repeat([1.0, 2.0, 3.0, 4.0], 5)
    np.testing.assert_allclose(block_means(values, 4), [1, 2, 3, 4])
    assert block_means(np.arange(37.0), 8).shape == (8,)


# What follows from the exponents.


@pytest.mark.parametrize(
    ("exponents", "dimension", "expected"),
    [
        ([0.906, 0.0, -14.572], 3, 2 + 0.906 / 14.572),
        ([1.0, 0.5, -0.2, -4.0], 4, 3 + 1.3 / 4),
        ([0.5, -0.5, -3.0], 3, 2.0),  # the sum reaches exactly 0
        ([0.0, -1.0], 2, 1.0),
        ([-0.1, -1.0], 2, 0.0),
        ([2.0, 1.0], 2, 2.0),  # volumes grow
        ([2.0, 1.0], 5, None),  # not known down to there
        ([2.0, -1.0], 5, None),
        ([2.0, -3.0], 5, 1 + 2 / 3),
        ([1.0, -np.inf], 2, 1.0),
    ],
)
def test_kaplan_yorke(exponents: Any, dimension: int, expected: float | None) -> None:
    found = result(exponents, dimension).kaplan_yorke
    assert found == (None if expected is None else pytest.approx(expected))


def test_entropy_is_the_sum_of_the_positive_exponents() -> None:
    assert result([2.0, 0.5, -1.0]).entropy_rate == pytest.approx(2.5)
    assert result([-1.0, -2.0]).entropy_rate == 0
    assert result([2.0, 0.5], 2).entropy_rate == pytest.approx(2.5)
    assert result([2.0, 0.5], 9).entropy_rate is None


def test_the_sum_rule_needs_the_whole_spectrum_and_a_rule() -> None:
    assert result([1.0, -3.0], volume_rate=-2.5).sum_rule_residual == pytest.approx(0.5)
    assert result([1.0, -3.0]).sum_rule_residual is None
    assert result([1.0, -3.0], 3, volume_rate=-2.5).sum_rule_residual is None
    assert result([1.0, -np.inf], volume_rate=-2.5).sum_rule_residual is None


def test_the_exponent_nearest_to_zero() -> None:
    assert result([2.0, 0.3, -0.1, -5.0]).nearest_zero == -0.1


def test_the_first_exponents_alone() -> None:
    whole = result([2.0, 0.0, -3.0], participation=np.eye(4)[:, :3])
    two = whole.leading(2)
    assert (whole.k, two.k, two.dimension) == (3, 2, 3)
    np.testing.assert_array_equal(two.exponents, [2.0, 0.0])
    np.testing.assert_array_equal(two.stderr, whole.stderr[:2])
    np.testing.assert_array_equal(two.local, whole.local[:, :2])
    assert two.participation is not None
    np.testing.assert_array_equal(two.participation, np.eye(4)[:, :2])
    assert two.kaplan_yorke is None and whole.kaplan_yorke == pytest.approx(2 + 2 / 3)


def test_the_record_of_convergence_ends_at_the_exponents() -> None:
    log = (noise(300, 0.3, 3, (2, 3)) + [1.0, 0.0, -9.0]) * 0.1
    found = summarise(log, 0.1, **ABOUT)
    t, running = found.convergence
    np.testing.assert_allclose(t, 0.1 * np.arange(1, 301))
    np.testing.assert_allclose(running[-1], found.exponents)
    np.testing.assert_allclose(running[99], slope_mean(found.local[:100]))


def test_it_shows_and_tabulates_its_numbers() -> None:
    found = result([2.0, 0.5, 0.0, -1.0, -7.0], 9, system="net")
    assert repr(found).startswith("LyapunovResult(saltation, net, 5 of 9: 2 ± 0.1, 0.5 ± 0.1, ")
    assert repr(found).endswith(", ... 1/s)")
    table = found.to_dict()
    assert table["kaplan_yorke"] is None or table["kaplan_yorke"] > 4
    assert table["entropy_rate"] == pytest.approx(2.5)
    assert "local" not in table and table["system"] == "net"


# The engine.


@pytest.mark.parametrize("copies", [None, 1, 5])
def test_exact_tangents_give_the_rates_of_a_diagonal_system(copies: int | None) -> None:
    rates = [0.5, -7.0, -1.0, -2.0]
    stepper = Linear(rates, 3, copies)
    growth = follow(stepper, 100, 50)
    assert growth.log.shape == (50, copies or 1, 3) and growth.squares.shape == (4, 3)
    found = summarise(growth.log, 0.1, **{**ABOUT, "dimension": 4, "conditional": True})
    np.testing.assert_allclose(found.exponents, [0.5, -1.0, -2.0], rtol=1e-6)
    # The vectors have found the axes, in the order of the exponents.
    np.testing.assert_allclose(growth.squares, np.eye(4)[:, [0, 2, 3]], atol=1e-6)
    assert stepper.seen == list(range(150))
    assert found.duration == pytest.approx(5.0)


def test_start_vectors_are_orthonormal() -> None:
    q = orthonormal_start(6, 4, np.random.default_rng(1), 3)
    np.testing.assert_allclose(
        np.swapaxes(q, -1, -2) @ q, np.tile(np.eye(4), (3, 1, 1)), atol=1e-12
    )
    assert not np.allclose(q[0], q[1])


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    follow(Linear([-1.0], 1), 2, 3, progress=lambda *at: told.append(at))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def test_an_annihilated_vector_has_the_exponent_minus_infinity() -> None:
    class Annihilating(Linear):
        def advance(self, interval: int) -> None:
            super().advance(interval)
            self.tangents[-1] = 0.0

    growth = follow(Annihilating([-1.0, -2.0, 0.0], 3), 50, 50)
    assert isinstance(growth, Growth)
    found = summarise(growth.log, 0.1, **ABOUT)
    np.testing.assert_allclose(found.exponents[:2], [-1.0, -2.0], rtol=1e-5)
    assert found.exponents[2] == -np.inf and found.stderr[2] == 0
    assert found.kaplan_yorke == 0 and found.sum_rule_residual is None


def test_exponents_come_sorted_with_everything_that_belongs_to_them() -> None:
    log = 0.1 * np.array([-4.0, 1.0, 0.0]) + 0.01 * noise(64, 0.0, 1, (1, 3))
    found = summarise(log, 0.1, per_neuron=np.eye(3), volume=log.sum(axis=(1, 2)), **ABOUT)
    np.testing.assert_allclose(found.exponents, [1.0, 0.0, -4.0], atol=0.1)
    np.testing.assert_allclose(slope_mean(found.local), found.exponents)
    np.testing.assert_array_equal(found.participation, np.eye(3)[:, [1, 2, 0]])
    assert found.sum_rule_residual == pytest.approx(0, abs=1e-12)


def test_copies_tell_the_error_where_there_are_enough() -> None:
    log = 0.1 * (noise(100, 0.0, 5, (50, 1)) - 1.0)
    alike = summarise(log, 0.1, **{**ABOUT, "conditional": True})
    assert alike.stderr[0] == pytest.approx(np.sqrt(1.2 / 5000), rel=0.3)
    # Copies that differ for good: what scatters is not time, and blocks of time would miss it.
    apart = log + 0.1 * np.linspace(-1, 1, 50)[:, None]
    found = summarise(apart, 0.1, **{**ABOUT, "conditional": True})
    assert found.stderr[0] == pytest.approx(0.589 / np.sqrt(50), rel=0.1)


# Estimates that cannot be trusted.


def test_a_trend_is_refused_with_what_there_is() -> None:
    log = 0.1 * (np.linspace(0, 2, 200)[:, None, None] + 0.05 * noise(200, 0.0, 1, (1, 1)))
    with pytest.raises(ConvergenceError, match="a trend in exponent 1") as caught:
        summarise(log, 0.1, **{**ABOUT, "conditional": True})
    partial = caught.value.partial
    assert isinstance(partial, LyapunovResult)
    assert partial.exponents[0] == pytest.approx(1.0, abs=0.05)
    # The same numbers in disorder show none.
    shuffled = np.random.default_rng(1).permutation(log)
    summarise(shuffled, 0.1, **{**ABOUT, "conditional": True})


@pytest.mark.parametrize("seed", range(40))
def test_chance_is_no_trend(seed: int) -> None:
    log = 0.1 * (noise(320, 0.8, seed, (1, 3)) + [5.0, 0.0, -8.0])
    assert summarise(log, 0.1, **ABOUT).k == 3


def test_an_autonomous_system_without_an_exponent_zero_is_refused() -> None:
    log = 0.1 * (0.05 * noise(500, 0.0, 2, (1, 3)) + [8.0, -3.0, -20.0])
    with pytest.raises(ConvergenceError, match="an exponent 0.*-3") as caught:  # noqa: RUF043
        summarise(log, 0.1, **ABOUT)
    assert caught.value.partial.exponents[2] == pytest.approx(-20, abs=0.1)
    # It need not have one where it is driven or at rest, or steps in time; or it lies further down.
    for more in ({"conditional": True}, {"method": "map"}):
        assert summarise(log, 0.1, **{**ABOUT, **more}).k == 3
    assert summarise(log, 0.1, moving=False, **ABOUT).k == 3
    assert summarise(log[..., :1], 0.1, **{**ABOUT, "dimension": 9}).k == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_growth_that_is_not_finite_is_refused(bad: float) -> None:
    log = np.zeros((32, 1, 2))
    log[3, 0, 1] = bad
    with pytest.raises(ConvergenceError, match="infinite or undefined growth"):
        summarise(log, 0.1, **ABOUT)


def test_a_window_needs_enough_intervals() -> None:
    assert intervals(2.0, 0.1) == 20
    with pytest.raises(ParameterError, match="at least 16 intervals"):
        intervals(1.0, 0.1)
    with pytest.raises(ParameterError) as caught:
        intervals(0.1, 0.1, "transient", least=3)
    assert caught.value.field == "transient"


# Storage.


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"volume_rate": -3.0, "same_step_share": 0.02, "n_spikes": 9, "seed": 4, "digest": "abc"},
        {"participation": np.full((5, 3), 0.2), "unit": "1/step", "method": "map"},
    ],
)
def test_it_is_saved_and_loaded(more: dict[str, Any], tmp_path: Path) -> None:
    whole = result([2.0, 0.0, -np.inf], **more)
    found = load(save(whole, tmp_path / "a.npz"), LyapunovResult)
    for name in LyapunovResult.__dataclass_fields__:
        a, b = getattr(whole, name), getattr(found, name)
        assert type(a) is type(b), name
        np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_file_whose_arrays_do_not_fit_is_refused(tmp_path: Path) -> None:
    for more in ({"local": np.zeros((4, 2))}, {"stderr": np.zeros(2)}):
        path = save(result([2.0, 0.0, -3.0], **more), tmp_path / "b.npz")
        with pytest.raises(FormatError):
            load(path)


def test_an_interrupted_estimate_gives_the_threads_back() -> None:
    class Still:
        tangents = np.eye(2)

        def advance(self, interval: int) -> None:
            if interval == 2:
                raise KeyboardInterrupt

    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info()]

    with threadpool_limits(2):
        before = threads()
        assert 2 in before
        with pytest.raises(KeyboardInterrupt):
            follow(Still(), 0, 20)
        assert threads() == before


def test_a_map_that_annihilates_has_an_exponent_of_minus_infinity() -> None:
    """(x, y) -> (x/2, 0): the volume rule says so too, and nothing is wrong."""
    system = Map(
        lambda x: x * np.array([0.5, 0.0]) + 1.0,
        lambda x: np.broadcast_to(np.diag([0.5, 0.0]), (*x.shape, 2)).copy(),
        [1.0, 1.0],
    )
    found = lyapunov_spectrum(system, duration=64, transient=8)
    assert found.exponents[0] == pytest.approx(np.log(0.5)) and found.exponents[1] == -np.inf
