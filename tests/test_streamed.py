"""Features of many trials: the compiled loop against Brian2, against theory, and when broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.streamed import _Loop, streamed_traces
from models_eq import HRSNN, HRSNNSpec, sample_hrsnn
from models_eq.errors import CapabilityError, ParameterError

pytestmark = pytest.mark.usefixtures("numpy_device")
RNG = np.random.default_rng(1)


@pytest.fixture(scope="module")
def material():
    net = sample_hrsnn(HRSNNSpec(n=60, coupling=0.1), seed=2)
    return net, RNG.normal(size=(7, 5, 3)), 2.0 * RNG.normal(size=(3, 60))


@pytest.mark.parametrize("order", [1, 3])
def test_spikes_are_those_of_brian2(material, order):
    net, signal, weights = material
    given = (net, signal, weights, "10 ms")
    kind = {"windows": 5, "tau": "30 ms", "order": order}
    ours = streamed_traces(*given, **kind, block=3)
    theirs = streamed_traces(*given, **kind, engine="brian2", block=4)
    assert ours.counts.sum() > 100
    np.testing.assert_array_equal(ours.counts, theirs.counts)
    np.testing.assert_allclose(ours.traces, theirs.traces, rtol=1e-4, atol=1e-5)
    # Negative control: without recurrence they are others.
    bare = streamed_traces(net.keep_edges([]), *given[1:], windows=5, tau="30 ms")
    assert (bare.counts != ours.counts).any()


def test_a_pruned_network_takes_its_own_columns(material):
    net, signal, weights = material
    part = net.keep_neurons(np.arange(5, 60, 2))
    ours, theirs = (
        streamed_traces(part, signal, weights, "10 ms", engine=e) for e in ("compiled", "brian2")
    )
    np.testing.assert_allclose(ours.traces, theirs.traces, rtol=1e-4, atol=1e-5)
    assert ours.traces.shape == (7, 1, part.n)


def test_layout_does_not_matter(material):
    net, signal, weights = material
    one = streamed_traces(net, signal, weights, "10 ms", windows=[2, 5])
    two = streamed_traces(net, signal, weights, "10 ms", windows=[2, 5], block=2, jobs=2)
    np.testing.assert_array_equal(one.traces, two.traces)
    np.testing.assert_array_equal(one.counts, two.counts)
    # A window read in the middle is the end of a shorter trial.
    short = streamed_traces(net, signal[:, :2], weights, "10 ms")
    np.testing.assert_array_equal(short.traces[:, 0], one.traces[:, 0])


def test_interval_of_a_driven_neuron_is_the_textbooks():
    # T = tau log((I - v_reset) / (I - v_th)) without refractoriness; steps of 1 ms round it up.
    net = HRSNN("lif_exp", 1, i=[], j=[], w=[], tau_m=0.02, i_ext=0.0, t_ref=0.0)
    signal, weights = np.full((1, 100, 1), 1.5), np.ones((1, 1))
    run = streamed_traces(net, signal, weights, "10 ms", tau="1000 s")
    interval = np.ceil(0.02 * np.log(1.5 / 0.5) / 1e-3) * 1e-3
    assert abs(run.counts[0] - 1.0 / interval) <= 1
    # A filter that does not forget counts.
    assert run.traces[0, 0, 0] == pytest.approx(run.counts[0], rel=1e-3)
    assert run.rates[0] == run.counts[0]
    slower = streamed_traces(replace(net, t_ref=0.005), signal, weights, "10 ms")
    assert abs(slower.counts[0] - 1.0 / (interval + 0.004)) <= 1  # 1 ms passes anyhow


def test_the_check_bites(material):
    net, signal, weights = material
    good = streamed_traces(net, signal, weights, "10 ms").counts
    loop = _Loop(net, weights, 0.01, np.array([5]), (0.05, 1), 1e-3, 0)
    assert (loop(signal)[1] == good).all()
    broken = list(loop.fixed)
    *rest, refractory = broken[2]
    broken[2] = (*rest, refractory * 0 + 1)  # no refractoriness
    loop.fixed = tuple(broken)
    assert (loop(signal)[1] != good).any()


def test_refusals(material):
    net, signal, weights = material
    for change in (
        {"signal": signal[0]}, {"weights": weights[:2]}, {"windows": 6}, {"windows": [3, 2]},
        {"windows": [0]}, {"windows": 0}, {"engine": "cuda"}, {"block": 0}, {"jobs": 0},
        {"dt": "3 ms"}, {"hold": 0.01}, {"tau": "0 ms"}, {"order": 0},
    ):  # fmt: skip
        given = {"signal": signal, "weights": weights, "hold": "10 ms", **change}
        with pytest.raises(ParameterError, match=next(iter(change))):
            streamed_traces(net, **given)
    other = HRSNN("lif_delta", 60, i=[], j=[], w=[], tau_m=0.02)
    with pytest.raises(CapabilityError, match="brian2"):
        streamed_traces(other, signal, weights, "10 ms")


def test_how_many_windows_are_read_changes_none_of_them() -> None:
    """A window's trace is that of its own end, however many others are read on the way."""
    net = sample_hrsnn(HRSNNSpec(n=40), seed=2)
    rng = np.random.default_rng(1)
    signal, weights = rng.standard_normal((2, 12, 3)), 2.0 * rng.standard_normal((3, 40))
    every = streamed_traces(net, signal, weights, "10 ms", windows=12)
    some = streamed_traces(net, signal, weights, "10 ms", windows=[3, 11])
    np.testing.assert_array_equal(every.traces[:, [2, 10]], some.traces)
    # What is left of the earlier window is its trace, faded; the rest are spikes since.
    faded = some.traces[:, 0] * np.exp(-80 / 50)
    assert (some.traces[:, 1] >= faded * (1 - 1e-6)).all()
    assert every.counts.sum() == some.counts.sum() > 0
