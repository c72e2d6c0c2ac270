"""Recordings of event cameras as a task: the spikes that a network receives, split and digest."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brain_lnp import evaluate, tasks
from brain_lnp.evaluation import task_stimulus
from brain_lnp.tasks.events import SENSOR, Events
from models_eq import HRSNN, HRSNNSpec, sample_hrsnn, simulate
from models_eq.errors import MissingFileError, ParameterError

pytestmark = pytest.mark.usefixtures("numpy_device")


def moving_bars(count: int, seed: int) -> Events:
    """Two kinds of recordings: a column or a row of pixels that brightens again and again."""
    rng = np.random.default_rng(seed)
    parts, labels = [], np.arange(count) % 2
    for label in labels:
        t = np.sort(rng.integers(0, 60_000, 80))
        at, along = np.full(80, 8), rng.integers(0, SENSOR[0], 80)
        parts.append((along, at, t) if label else (at, along, t))
    x, y, t = (np.concatenate(column) for column in zip(*parts, strict=True))
    offsets = np.arange(0, 80 * count + 1, 80)
    return Events(x, y, np.ones(len(x), np.uint8), t.astype(np.int32), offsets, labels)


def bars(**settings: object) -> tasks.EventTask:
    return tasks.event_task(
        moving_bars(40, 0), **{"duration": "60 ms", "hold": "20 ms", "seed": 3, **settings}
    )


def test_its_inputs_count_the_spikes_that_a_network_receives():
    task = bars()
    assert task.inputs.shape == (40, 3, 578) and task.duration == pytest.approx(0.06)
    assert task.inputs.sum() == len(task.spike_time) > 40 * 60
    k = 17
    mine = task.spike_trial == k
    row = (task.spike_time[mine] / 0.02).astype(int)
    counted = np.zeros((3, 578))
    np.add.at(counted, (row, task.spike_channel[mine]), 1)
    np.testing.assert_array_equal(task.inputs[k], counted)
    # A recording of label 1 lights one row of the pooled sensor, of label 0 one column.
    lit = counted.sum(axis=0).reshape(2, 17, 17)[1] > 0
    assert lit[4].any() == lit.any() and (lit.sum(axis=1) > 1).any() == (task.targets[k] == 1)


def test_the_stimulus_of_a_part_is_that_part_of_the_whole():
    task = bars(pool=4)
    whole = task.stimulus(30)
    assert whole.n_trials == 40 and not whole.current.any()
    part = task_stimulus(task, 30, part="train", limit=5)
    assert part.n_trials == 5 and task.split.train == slice(0, 24)
    inside = whole.spikes.trial < 5
    np.testing.assert_array_equal(part.spikes.t, whole.spikes.t[inside])
    np.testing.assert_array_equal(part.spikes.channel, whole.spikes.channel[inside])
    later = task.stimulus(30, slice(10, 12)).spikes
    mine = (task.spike_trial == 11).sum()
    assert set(later.trial.tolist()) == {0, 1} and (later.trial == 1).sum() == mine
    # Weights belong to original neurons, whatever the size of the network.
    np.testing.assert_array_equal(task.stimulus(50).spikes.weights[:, :30], whole.spikes.weights)
    for wrong in (slice(3, 3), slice(0, 10, 2)):
        with pytest.raises(ParameterError, match="chosen"):
            task.stimulus(30, wrong)


def test_each_input_spike_kicks_a_neuron_by_its_weight():
    task = bars(input_sd=1.0)
    net = HRSNN("lif_exp", 20, i=[], j=[], w=[], tau_m=0.02, i_ext=-50.0)
    run = simulate(net, task.stimulus(20, slice(0, 1)), record=["s"], sample_dt="1 ms", seed=0)
    spikes = task.stimulus(20, slice(0, 1)).spikes
    # Silent neurons: the synaptic current is the sum of decayed kicks, exactly.
    kicks = np.zeros((60, 20))
    np.add.at(kicks, np.floor(spikes.t / 1e-3).astype(int), spikes.weights[spikes.channel])
    expected, s = np.zeros((60, 20)), np.zeros(20)
    for k in range(60):
        expected[k] = s
        s = s * np.exp(-1e-3 / net.tau_syn) + kicks[k]
    found = run.samples["s"][0]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_network_learns_it_and_chance_is_the_control():
    net = sample_hrsnn(HRSNNSpec(n=60), seed=1)
    found = evaluate(net, bars(), seed=0)
    assert found.accuracy > 0.85
    # The negative control: labels that have nothing to do with the events.
    shuffled = np.random.default_rng(0).permutation(bars().targets)
    assert evaluate(net, replace(bars(), targets=shuffled), seed=0).accuracy < 0.85
    assert tasks.trivial.baselines(bars())["raw_pixels_ridge"] == 1.0


def test_its_digest_knows_the_spikes():
    task = bars()
    assert task.digest == bars().digest and task.input_digest == bars().input_digest
    moved = replace(task, spike_time=np.maximum(task.spike_time - 1e-3, 0))
    assert moved.input_digest != task.input_digest and moved.digest != task.digest
    relabelled = replace(task, targets=1 - task.targets)
    assert relabelled.input_digest == task.input_digest
    assert bars(seed=4).input_digest != task.input_digest


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spike_time": [0.07]}, "spike_time"),
        ({"spike_channel": np.array([578] * 3)}, "spike_channel"),
        ({"spike_trial": np.array([0.5])}, "spike_trial"),
        ({"kind": "series", "metric": "nrmse"}, "inputs"),
    ],
)
def test_wrong_fields_are_named(change, field):
    with pytest.raises(ParameterError, match=field):
        replace(bars(), **change)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"duration": "50 ms"}, "duration"), ({"hold": "0 ms"}, "hold"), ({"pool": 0}, "pool"),
        ({"dt": "7 ms"}, "duration"), ({"n_train": 40}, "n_train"), ({"test": 3}, "test"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(settings, field):
    with pytest.raises(ParameterError, match=field):
        bars(**settings)


def test_files(tmp_path: Path):
    found = moving_bars(20, 1)
    lists = {}
    for part in ("train", "test"):
        lists |= {
            f"{part}_x": found.x.astype(np.uint8), f"{part}_y": found.y.astype(np.uint8),
            f"{part}_p": found.polarity, f"{part}_t": found.t, f"{part}_offsets": found.offsets,
            f"{part}_label": found.labels,
        }  # fmt: skip
    np.savez(tmp_path / "bars.npz", **lists)
    task = tasks.load_events("bars.npz", directory=tmp_path, seed=2)
    assert task.name == "bars" and "Orchard" in task.licence
    assert (task.n_train, task.n_validation, task.n_test) == (16, 4, 20)
    folder = tmp_path / "nmnist"
    folder.mkdir()
    with pytest.raises(MissingFileError, match=r"Train\.zip"):
        tasks.load_events("nmnist", directory=tmp_path)
    for part in ("Train", "Test"):
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
            for k in range(20):
                a, b = found.offsets[k : k + 2]
                rows = zip(found.x[a:b], found.y[a:b], found.t[a:b], strict=True)
                data = b"".join(
                    bytes([x, y, 128 | t >> 16, t >> 8 & 255, t & 255]) for x, y, t in rows
                )
                archive.writestr(f"{part}/{found.labels[k]}/{k:05}.bin", data)
    zipped = tasks.load_events("nmnist", directory=tmp_path, seed=2, limit=10)
    # The same recordings, in the order of their numbers: the same task but for its name.
    assert replace(zipped, name="bars").digest == task.digest
    assert len(tasks.load_events("nmnist", directory=tmp_path, limit=3).inputs) == 12
