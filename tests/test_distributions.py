"""Laws of parameters: moments and shapes against analytic truth, units, plain values."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
from brian2.units.allunits import msecond as ms
from brian2.units.allunits import volt
from brian2.units.fundamentalunits import DIMENSIONLESS
from scipy import integrate, stats

from models_eq.distributions import (
    Clipped,
    Delta,
    Distribution,
    Gamma,
    LogNormal,
    Mixture,
    Normal,
    Uniform,
    as_distribution,
)
from models_eq.errors import ParameterError, UnitError
from models_eq.units import TIME

N = 200_000
LAWS = [
    Delta(3.0),
    Delta("20 ms"),
    Uniform(0.6, 1.3),
    Uniform(-5 * ms, "20 ms"),
    Normal(-1, 2),
    Normal("20 ms", "5 ms", low="1 ms"),
    Normal(0, 1, high=-1.5),
    Normal(0, 1, low=5, high=6.5),
    Normal(0, 1, low=0, high=0.1),
    Gamma(3, 20 * ms),
    Gamma(0.4, 2.0),
    LogNormal("20 ms", 0.5),
    LogNormal(1.0, 1.0),
    Mixture((Gamma(3, "10 ms"), LogNormal("100 ms", 0.2), Delta("1 ms")), (5, 3, 2)),
    Clipped(Gamma(3, 20 * ms), 3 * ms, 150 * ms),
    Clipped(Normal(0, 1), -0.5, 2.0),
    Clipped(Uniform(0, 1), 0.2, 0.3),
    Clipped(Mixture((Delta(0.0), Uniform(0, 4), Delta(9.0)), (1, 1, 1)), 1.0, 5.0),
    Clipped(Clipped(LogNormal(1.0, 2.0), 0.5, 3.0), 0.7, 2.0),
]


def z_scores(sample: np.ndarray, mean: float, variance: float) -> tuple[float, float]:
    """Distance of sample mean and variance from the truth, in standard errors."""
    n = sample.size
    centred = sample - sample.mean()
    fourth = np.mean(centred**4)
    se_mean = np.sqrt(variance / n)
    se_variance = np.sqrt((fourth - np.mean(centred**2) ** 2) / n)
    return (
        (sample.mean() - mean) / se_mean,
        (sample.var(ddof=1) - variance) / se_variance,
    )


@pytest.mark.parametrize("law", [law for law in LAWS if not isinstance(law, Delta)], ids=repr)
def test_sample_moments_match_the_analytic_ones(law: Distribution) -> None:
    sample = law.sample(np.random.default_rng(1), N)
    assert sample.shape == (N,)
    for z in z_scores(sample, law.mean, law.variance):
        assert abs(z) < 4.5


@pytest.mark.parametrize("law", [law for law in LAWS if not isinstance(law, Delta)], ids=repr)
def test_negative_control_wrong_moments_are_rejected(law: Distribution) -> None:
    sample = law.sample(np.random.default_rng(1), N)
    sd = np.sqrt(law.variance)
    assert abs(z_scores(sample, law.mean + 0.03 * sd, law.variance)[0]) > 4.5
    assert abs(z_scores(sample, law.mean, 1.15 * law.variance)[1]) > 4.5


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_samples_stay_in_the_support_and_repeat(law: Distribution) -> None:
    a = law.sample(np.random.default_rng(2), 1000)
    b = law.sample(np.random.default_rng(2), 1000)
    low, high = law.support
    assert np.array_equal(a, b)
    assert a.min() >= low and a.max() <= high
    assert law.is_positive == (a.min() > 0) or low <= 0
    assert law.sample(np.random.default_rng(2), 0).shape == (0,)


@pytest.mark.parametrize(
    ("law", "truth"),
    [
        (Uniform(0.6, 1.3), stats.uniform(0.6, 0.7)),
        (Gamma(3, 20 * ms), stats.gamma(3, scale=0.02 / 3)),
        (LogNormal(1.0, 0.5), stats.lognorm(np.sqrt(np.log(1.25)), scale=1 / np.sqrt(1.25))),
        (Normal(1, 2, low=0, high=4), stats.truncnorm(-0.5, 1.5, loc=1, scale=2)),
        (Normal(0, 1, low=4), stats.truncnorm(4, np.inf)),
        (Normal(0, 1, high=-4), stats.truncnorm(-np.inf, -4)),
    ],
    ids=lambda v: repr(v) if isinstance(v, Distribution) else "scipy",
)
def test_laws_against_scipy(law: Distribution, truth: stats.rv_continuous) -> None:
    sample = law.sample(np.random.default_rng(3), 20_000)
    assert stats.kstest(sample, truth.cdf).pvalue > 1e-4
    assert stats.kstest(sample * 1.05, truth.cdf).pvalue < 1e-4  # negative control
    assert law.mean == pytest.approx(truth.mean(), rel=1e-10)
    assert law.variance == pytest.approx(truth.var(), rel=1e-8)


def test_truncated_normal_limits() -> None:
    half = Normal(0, 1, low=0)
    assert half.mean == pytest.approx(np.sqrt(2 / np.pi), rel=1e-14)
    assert half.variance == pytest.approx(1 - 2 / np.pi, rel=1e-14)
    # Between narrow bounds the law is uniform; the closed form would lose all digits here.
    narrow = Normal(0, 1, low=1, high=1 + 1e-6)
    assert narrow.variance == pytest.approx(1e-12 / 12, rel=1e-6)


def test_clipped_gamma_against_quadrature_of_the_density() -> None:
    low, high, density = 3.0, 150.0, stats.gamma(3, scale=20 / 3)
    law = Clipped(Gamma(3, "20 ms"), "3 ms", "150 ms")
    moments = []
    for power in (1, 2):
        inside = integrate.quad(
            lambda x, p=power: x**p * density.pdf(x), low, high, epsabs=0, epsrel=1e-12, limit=200
        )[0]
        moments.append(inside + low**power * density.cdf(low) + high**power * density.sf(high))
    assert law.mean == pytest.approx(1e-3 * moments[0], rel=1e-10)
    assert law.variance == pytest.approx(1e-6 * (moments[1] - moments[0] ** 2), rel=1e-9)
    assert law.mean > 0.02  # the bound at 3 ms weighs more than the one at 150 ms


def test_clipped_moments_in_closed_form() -> None:
    # Uniform(0, 1) on [a, b]: 3/10 at most, 7/10 of the mass at the upper bound.
    law = Clipped(Uniform(0, 1), 0.2, 0.3)
    mean = 0.2 * 0.2 + 0.7 * 0.3 + (0.3**2 - 0.2**2) / 2
    second = 0.2 * 0.2**2 + 0.7 * 0.3**2 + (0.3**3 - 0.2**3) / 3
    assert law.mean == pytest.approx(mean, rel=1e-13)
    assert law.variance == pytest.approx(second - mean**2, rel=1e-11)
    wide = Clipped(LogNormal(1.0, 30.0), 0.0, 1e30)
    assert wide.mean == pytest.approx(1.0, rel=1e-7)
    assert wide.variance == pytest.approx(900.0, rel=1e-6)
    two = Clipped(Mixture((Delta(-1.0), Delta(7.0)), (1, 3)), 0.0, 4.0)
    assert (two.mean, two.variance) == pytest.approx((3.0, 3.0))
    assert Clipped(Delta(9.0), 0.0, 1.0).variance == 0.0


def test_mixture_shares() -> None:
    law = Mixture((Delta(1.0), Delta(2.0), Delta(3.0)), (1, 0, 3))
    counts = np.bincount(law.sample(np.random.default_rng(4), N).astype(int), minlength=4)
    assert counts[2] == 0 and law.weights == (0.25, 0.0, 0.75)
    assert abs(counts[1] - N / 4) < 4.5 * np.sqrt(N * 3 / 16)
    assert (law.mean, law.variance) == pytest.approx((2.5, 0.75))


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_scaled_is_the_law_of_the_multiple(law: Distribution) -> None:
    tripled = law.scaled(3)
    assert type(tripled) is type(law) and tripled.dimension is law.dimension
    assert tripled.mean == pytest.approx(3 * law.mean, rel=1e-9)
    assert tripled.variance == pytest.approx(9 * law.variance, rel=1e-9)
    a = law.sample(np.random.default_rng(5), 50)
    assert tripled.sample(np.random.default_rng(5), 50) == pytest.approx(3 * a, rel=1e-9)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_plain_values_pickle_and_repr_round_trip(law: Distribution) -> None:
    plain = json.loads(json.dumps(law.to_dict()))
    assert Distribution.from_dict(plain) == law
    assert pickle.loads(pickle.dumps(law)) == law
    assert eval(repr(law)) == law
    assert hash(law) == hash(Distribution.from_dict(plain))


def test_plain_values_carry_units() -> None:
    assert Gamma(3, 20 * ms).to_dict() == {"kind": "Gamma", "shape": 3.0, "mean": "0.02 s"}
    assert Normal("2 ms", "1 ms", low="1 ms").to_dict()["low"] == "0.001 s"
    assert "high" not in Normal(0, 1).to_dict()
    assert Delta(0.5 * volt).to_dict() == {"kind": "Delta", "value": "0.5 V"}
    with pytest.raises(ParameterError, match="named unit"):
        Delta(1 / volt).to_dict()


def test_dimensions_and_replace() -> None:
    law = Gamma(3, "20 ms")
    assert law.dimension is TIME and Gamma(3, 20).dimension is DIMENSIONLESS
    assert law == Gamma(3, 20 * ms) == Gamma(3, 0.02, dimension=TIME)
    assert law != Gamma(3, 0.02)
    assert dataclasses.replace(law, shape=2) == Gamma(2, "20 ms")
    with pytest.raises(dataclasses.FrozenInstanceError):
        law.shape = 2.0  # type: ignore[misc]


def test_as_distribution() -> None:
    law = Gamma(3, "20 ms")
    assert as_distribution(law, "tau", TIME) is law
    assert as_distribution("20 ms", "tau", TIME) == Delta(20 * ms)
    assert as_distribution(law.to_dict(), "tau", TIME) == law
    assert as_distribution(0.5, "x") == Delta(0.5)
    for wrong in (20, Gamma(3, 20), "3 mV"):
        with pytest.raises(UnitError, match="tau"):
            as_distribution(wrong, "tau", TIME)
    for wrong in ([1, 2], None, object(), True):
        with pytest.raises(ParameterError, match="tau"):
            as_distribution(wrong, "tau")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Delta(np.nan), "Delta.value"),
        (lambda: Delta([1, 2]), "Delta.value"),
        (lambda: Delta(True), "Delta.value"),
        (lambda: Uniform(2, 1), "Uniform.high"),
        (lambda: Uniform(1, 1), "Uniform.high"),
        (lambda: Uniform("1 ms", 2), "Uniform.high"),
        (lambda: Uniform(1, "2 ms"), "Uniform.low"),
        (lambda: Uniform("1 ms", "2 mV"), "Uniform.high"),
        (lambda: Normal(0, 0), "Normal.sd"),
        (lambda: Normal(0, 1, low=2, high=1), "Normal.high"),
        (lambda: Normal(0, 1, low=20), "Normal.low"),
        (lambda: Gamma(0, 1), "Gamma.shape"),
        (lambda: Gamma("3 ms", 1), "Gamma.shape"),
        (lambda: Gamma(3, "-1 ms"), "Gamma.mean"),
        (lambda: Gamma(3, np.inf), "Gamma.mean"),
        (lambda: Gamma(3, "fast"), "Gamma.mean"),
        (lambda: LogNormal(0, 1), "LogNormal.mean"),
        (lambda: LogNormal(1, 0), "LogNormal.cv"),
        (lambda: Mixture((), ()), "Mixture.components"),
        (lambda: Mixture((Delta(1),), (1, 2)), "Mixture.weights"),
        (lambda: Mixture((Delta(1), Delta(2)), (1, -1)), "Mixture.weights"),
        (lambda: Mixture((Delta(1),), (0,)), "Mixture.weights"),
        (lambda: Mixture((Delta(1), Delta("1 ms")), (1, 1)), "Mixture.components"),
        (lambda: Mixture(Delta(1), (1,)), "Mixture.components"),
        (lambda: Clipped(Gamma(3, 1), 2, 1), "Clipped.high"),
        (lambda: Clipped(Gamma(3, "1 ms"), 0, 1), "Clipped.base"),
        (lambda: Clipped(Gamma(3, 1), None, 1), "Clipped.low"),
        (lambda: Gamma(3, 1).scaled(0), "factor"),
        (lambda: Gamma(3, 1).sample(np.random, 3), "rng"),
        (lambda: Gamma(3, 1).sample(np.random.default_rng(0), -1), "n"),
        (lambda: Distribution.from_dict(3), "distribution"),
        (lambda: Distribution.from_dict({"shape": 3}), "distribution.kind"),
        (lambda: Distribution.from_dict({"kind": "Beta"}, "tau_m"), "tau_m.kind"),
        (lambda: Distribution.from_dict({"kind": "Gamma", "shape": 3}), "Gamma.mean"),
        (lambda: Distribution.from_dict({"kind": "Delta", "value": 1, "sd": 2}), "Delta.sd"),
        (lambda: Distribution.from_dict({"kind": "Delta", "value": [1]}), "Delta.value"),
    ],
)
def test_errors_name_the_field(make: object, field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make()  # type: ignore[operator]
    assert field in caught.value.field
