"""What a pruned model is said to do is what it does: runs and models whose fidelity is known."""

from __future__ import annotations

import numpy as np
import pytest
from brian2 import NeuronGroup, Synapses, mV

from brain_lnp import prune_model
from brain_lnp.usermodel.fidelity import compare
from models_eq.trajectory import Trajectory
from tests.user_models import cuba

pytestmark = pytest.mark.usefixtures("numpy_device")


def spiking(times: list[list[float]], duration: float = 1.0) -> Trajectory:
    """A run of which only the spikes are known."""
    i = np.concatenate([np.full(len(t), k) for k, t in enumerate(times)]).astype(int)
    t = np.concatenate([np.asarray(t, dtype=float) for t in times])
    order = np.argsort(t, kind="stable")
    return Trajectory(
        t=t[order], i=i[order], trial=np.zeros(t.size, dtype=int), n=len(times), n_trials=1,
        duration=duration, dt=1e-4, device="numpy", digest="",
    )  # fmt: skip


REGULAR = [list(np.arange(0.05, 1.0, 0.1)), list(np.arange(0.02, 1.0, 0.05))]


def test_fidelity_of_runs_worked_out_by_hand() -> None:
    dense = spiking(REGULAR)  # 10 and 20 Hz
    both = np.arange(2)
    same = compare(dense, dense, both, random=False)
    assert same.share == 1.0 and same.population_correlation == 1.0 == same.rate_correlation
    assert same.rate_error == 0.0 and same.cv_before == pytest.approx(0.0, abs=1e-9)
    half = compare(dense, spiking([REGULAR[0][::2], REGULAR[1][::2]]), both, random=False)
    assert (half.rate_before, half.rate_after) == (15.0, 7.5)
    assert half.rate_error == pytest.approx(0.5) and half.rate_correlation == pytest.approx(1.0)
    assert half.share is not None and half.share < 0.5
    # Negative control: the neurons in each other's place have the same mean rate and population.
    swapped = compare(dense, spiking(REGULAR[::-1]), both, random=False)
    assert swapped.rate_before == swapped.rate_after
    assert swapped.population_correlation == pytest.approx(1.0)
    assert swapped.rate_correlation == pytest.approx(-1.0)
    assert swapped.share is not None and swapped.share < 0


def test_what_cannot_be_said_is_none() -> None:
    silent = compare(spiking([[], []]), spiking([[0.1], []]), np.arange(2), random=False)
    assert (silent.rate_error, silent.rate_correlation, silent.share) == (None, None, None)
    assert compare(spiking(REGULAR), spiking(REGULAR), np.arange(2), random=True).share is None
    # One neuron of two: its own numbers, from the pruned run's only place.
    one = compare(spiking(REGULAR), spiking(REGULAR[1:]), np.array([1]), random=False)
    assert one.share == 1.0 and one.rate_before == 20.0 == one.rate_after


def test_synapses_without_effect_can_go_and_the_model_does_the_same() -> None:
    rng = np.random.default_rng(3)
    eqs = """dv/dt = (25*mV - v + g)/(20*ms) : volt
    dg/dt = -g/(5*ms) : volt"""
    group = NeuronGroup(40, eqs, threshold="v > 20*mV", reset="v = 0*mV", method="exact")
    group.v = rng.uniform(0, 20, 40) * mV
    synapses = Synapses(group, group, "w : volt", on_pre="g += w")
    i, j = np.nonzero(~np.eye(40, dtype=bool))
    synapses.connect(i=i, j=j)
    heavy = rng.permutation(i.size) < 500
    synapses.w = np.where(heavy, rng.normal(0, 0.8, i.size), 0.0) * mV
    given = {"method": "magnitude", "duration": "0.4 s", "rebuild": False, "seed": 1}
    exact = prune_model(group, synapses, synapses=500, compensate=False, **given)
    assert np.array_equal(exact.kept_synapses[synapses.name], np.flatnonzero(heavy))
    assert exact.fidelity.share == 1.0 and exact.fidelity.rate_error == 0.0
    assert exact.untreated == exact.fidelity
    # Another initial state is another run: 1 is not what a model reaches against itself.
    assert exact.ceiling.share < 0.999 and exact.ceiling.rate_before == exact.fidelity.rate_before
    worse = prune_model(group, synapses, synapses=250, compensate=False, **given)
    assert worse.fidelity.share < 1.0 and worse.fidelity.rate_error > 0


def test_cuba_reports_mask_gains_and_ceiling() -> None:
    model = cuba(150)
    result = prune_model(
        model.group,
        model.synapses,
        synapses=0.5,
        duration="0.3 s",
        seed=2,
        rebuild=False,
        namespace=model.namespace,
    )
    assert result.fidelity != result.untreated, "gains change what the mask does"
    for found in (result.fidelity, result.untreated, result.ceiling):
        assert found is not None and found.rate_before == result.fidelity.rate_before > 1
        assert "Hz" in str(found) and found.to_dict()["duration"] == pytest.approx(0.3)
    assert result.ceiling.rate_error < result.untreated.rate_error
    unmeasured = prune_model(
        model.group, model.synapses, synapses=0.5, seed=2, rebuild=False, measure=False,
        namespace=model.namespace, duration="0.3 s",
    )  # fmt: skip
    assert unmeasured.fidelity is unmeasured.untreated is unmeasured.ceiling is None
    assert all(
        np.array_equal(unmeasured.kept_synapses[k], v) for k, v in result.kept_synapses.items()
    )
