"""fidelity: shares by hand, exactly 1 for the network itself, matching by ids, controls."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.fidelity import Fidelity, fidelity, share_of_variance
from models_eq.errors import ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.spec import HRSNNSpec, sample_hrsnn

QUICK = {"rows": 60, "washout": 20, "channels": (1, 3)}


pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=60), seed=1)


def test_share_by_hand() -> None:
    x = np.array([[[0.0, 1.0], [4.0, 1.0]], [[0.0, 0.0], [2.0, 2.0]]])
    y = x.copy()
    y[0, 0, 0], y[1, 1, 1] = 2.0, 4.0
    # Variance 8 and 4 (sums of squares about the mean of each trial), errors 4 and 4.
    assert np.allclose(share_of_variance(x, y), [0.5, 0.0])
    assert np.allclose(share_of_variance(x, 3 * x), [1 - 4 * 18 / 8, 1 - 4 * 8 / 4]), "no gain"
    mean = np.broadcast_to(x.mean(axis=1, keepdims=True), x.shape)
    assert np.allclose(share_of_variance(x, mean), 0.0)


def test_share_refuses_what_has_none() -> None:
    x = np.ones((1, 3, 2))
    with pytest.raises(ParameterError, match="dense: expected traces that vary"):
        share_of_variance(x, x)
    with pytest.raises(ParameterError, match="other"):
        share_of_variance(x, x[0])


def test_the_network_itself_is_perfect(net: HRSNN) -> None:
    found = fidelity(net, net, seed=3, **QUICK)
    assert found.share == 1.0 and found.stderr == 0.0 and found.median == 1.0
    assert found.rate_error == 0.0 and found.rate_correlation == pytest.approx(1.0)
    assert found.ceiling < 1.0
    assert [d.channels for d in found.drives] == [1, 3]
    assert found.to_dict()["drives"][1]["share"] == 1.0
    assert "ceiling" in repr(found)


def test_without_recurrence_it_is_lower_than_half_the_synapses(net: HRSNN) -> None:
    bare = fidelity(net, net.keep_edges([]), seed=3, **QUICK)
    rng = np.random.default_rng(0)
    most = fidelity(net, net.keep_edges(rng.random(net.n_synapses) < 0.95), seed=3, **QUICK)
    assert bare.share < most.share < 1.0
    assert bare.rate_error > most.rate_error > 0.0


def test_summary_is_the_mean_of_the_drives(net: HRSNN) -> None:
    found = fidelity(net, net.replace(w=0.9 * net.w), seed=3, repetitions=3, **QUICK)
    assert found.share == pytest.approx(np.mean([d.share for d in found.drives]))
    assert found.ceiling == pytest.approx(np.mean([d.ceiling for d in found.drives]))
    squares = np.sum([d.stderr**2 for d in found.drives])
    assert found.stderr == pytest.approx(np.sqrt(squares) / 2)
    assert all(d.stderr > 0 for d in found.drives)


def test_same_seed_same_number(net: HRSNN) -> None:
    other = net.replace(w=0.9 * net.w)
    one, two = (fidelity(net, other, seed=4, **QUICK) for _ in range(2))
    assert one == two
    assert fidelity(net, other, seed=5, **QUICK).share != one.share


def test_neurons_are_matched_through_ids(net: HRSNN) -> None:
    # Without synapses a neuron does not notice that others are gone.
    bare = net.keep_edges([])
    kept = bare.keep_neurons([5, 7, 30])
    found = fidelity(bare, kept, seed=3, **QUICK)
    assert found.share == 1.0 and found.rate_error == 0.0
    # Negative control: wrong ids compare wrong neurons.
    swapped = kept.replace(ids=[7, 5, 30])
    assert fidelity(bare, swapped, seed=3, **QUICK).share < 0.9


def test_one_neuron_has_no_correlation(net: HRSNN) -> None:
    bare = net.keep_edges([])
    rate = fidelity(bare, bare, seed=3, **QUICK)
    assert isinstance(rate, Fidelity) and rate.rate_correlation is not None
    active = int(np.argmax(net.i_ext))
    alone = fidelity(bare, bare.keep_neurons([active]), seed=3, **QUICK)
    assert alone.rate_correlation is None


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("repetitions", {"repetitions": 1}),
        ("rows", {"rows": 20, "washout": 20}),
        ("channels", {"channels": ()}),
        ("channels", {"channels": (0,)}),
        ("washout", {"washout": -1}),
        ("seed", {"seed": -1}),
    ],
)
def test_bad_settings_are_named(net: HRSNN, field: str, change: dict) -> None:
    with pytest.raises(ParameterError, match=field):
        fidelity(net, net, **{"seed": 0, **QUICK, **change})


def test_strangers_and_silence_are_refused(net: HRSNN) -> None:
    with pytest.raises(ParameterError, match="descends"):
        fidelity(net.keep_neurons([0, 1]), net, seed=0, **QUICK)
    silent = net.replace(i_ext=-1e3)
    with pytest.raises(SilentNetworkError, match="dense"):
        fidelity(silent, silent, seed=0, **QUICK)
