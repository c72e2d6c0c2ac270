"""SpikingReservoir: scikit-learn checks, pipelines, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from analysis.readout import LinearClassifier
from brain_lnp import HRSNNSpec, SpikingReservoir, sample_hrsnn
from models_eq.errors import ParameterError

pytestmark = pytest.mark.usefixtures("numpy_device")

EXPECTED_FAILED_CHECKS: dict[str, str] = {}


@parametrize_with_checks(
    [SpikingReservoir(sample_hrsnn(HRSNNSpec(n=20), seed=0), blank=0)],
    expected_failed_checks=lambda _: EXPECTED_FAILED_CHECKS,
)
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


def digits(n=80):
    data = load_digits()
    return data.data[:n], data.target[:n]


def test_a_pipeline_learns_and_a_grid_search_chooses():
    X, y = digits(140)
    model = make_pipeline(
        SpikingReservoir(sample_hrsnn(HRSNNSpec(n=60), seed=1), shape=(8, 8)),
        LinearClassifier(alphas=(0.01, 0.1)),
    )
    search = GridSearchCV(model, {"spikingreservoir__input_sd": [0.0, 2.0]}, cv=2).fit(X, y)
    assert search.best_params_ == {"spikingreservoir__input_sd": 2.0}
    without, with_input = search.cv_results_["mean_test_score"]
    assert without < 0.25 and with_input > 0.5  # no input: chance


def test_clones_and_repetitions_give_the_same_and_samples_do_not_disturb_each_other():
    X, _ = digits(12)
    net = sample_hrsnn(HRSNNSpec(n=30), seed=1)
    one = SpikingReservoir(net, shape=(8, 8), windows=5).fit(X)
    traces = one.transform(X)
    assert traces.shape == (12, 150) and (traces >= 0).all() and traces.any()
    assert len(one.get_feature_names_out()) == 150
    np.testing.assert_array_equal(traces, clone(one).fit(X).transform(X))
    np.testing.assert_array_equal(traces[5:6], one.transform(X[5:6]))
    other = SpikingReservoir(net, shape=(8, 8), windows=5, seed=1).fit(X)
    assert not np.array_equal(traces, other.transform(X))


def test_a_pruned_network_gets_the_weights_of_its_original_neurons():
    X, _ = digits(10)
    net = sample_hrsnn(HRSNNSpec(n=30), seed=1).keep_edges([])
    whole = SpikingReservoir(net, shape=(8, 8)).fit(X).transform(X)
    kept = [3, 7, 20]
    part = SpikingReservoir(net.keep_neurons(kept), shape=(8, 8)).fit(X)
    # Without synapses a neuron does not notice that others are gone.
    np.testing.assert_array_equal(part.transform(X), whole[:, kept])
    assert part.get_feature_names_out().tolist() == ["neuron3", "neuron7", "neuron20"]


def test_a_series_carries_its_state_on():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2))
    model = SpikingReservoir(sample_hrsnn(HRSNNSpec(n=30), seed=1), kind="series").fit(X)
    traces = model.transform(X)
    assert traces.shape == (30, 30)
    np.testing.assert_array_equal(model.transform(X[:20]), traces[:20])
    assert not np.array_equal(model.transform(X[10:]), traces[10:])


@pytest.mark.parametrize(
    "settings",
    [
        {"net": 3}, {"kind": "sound"}, {"shape": (3, 3)}, {"blank": -1}, {"windows": 3},
        {"input_sd": -1.0},
    ],
)  # fmt: skip
def test_bad_settings_are_named(settings):
    X, _ = digits(4)
    with pytest.raises(ParameterError) as error:
        SpikingReservoir(**{"shape": (8, 8), **settings}).fit(X)
    assert error.value.field == next(iter(settings))
