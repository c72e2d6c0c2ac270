"""Tasks from files and images: gaps, faults, splits, scaling; encoders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brain_lnp import tasks
from brain_lnp.tasks import encoders, trivial
from models_eq.errors import FormatError, MissingFileError, ParameterError

# ---------------------------------------------------------------- CSV


def write(path, rows, header="time,a,b"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def wave(tmp_path):
    rng = np.random.default_rng(0)
    values = np.sin(np.arange(200) / 5) + 0.1 * rng.normal(size=200)
    return [f"{k},{v!r},{-v!r}" for k, v in enumerate(values.tolist())], values, tmp_path / "w.csv"


def test_csv_series(wave):
    rows, values, path = wave
    task = tasks.csv_series(write(path, rows), "a", horizon=3, washout=20)
    assert (task.n_train, task.n_validation, task.n_test) == (106, 27, 44)
    training = values[20:126]
    scaled = (values - training.mean()) / training.std()
    np.testing.assert_allclose(task.inputs[:, 0], scaled[:-3])
    np.testing.assert_allclose(task.targets[:, 0], scaled[3:])
    both = tasks.csv_series(path, ["a", "b"], predict="b", horizon=3, washout=20)
    np.testing.assert_allclose(both.inputs[:, 1], -both.inputs[:, 0])
    np.testing.assert_allclose(both.targets, -task.targets)
    steps = tasks.csv_series(path, "a", transform="difference", washout=20)
    moved = np.diff(values)
    moved = (moved - moved[20:127].mean()) / moved[20:127].std()
    np.testing.assert_allclose(steps.inputs[:, 0], moved[:-1])


def test_csv_gaps_are_named_and_treated_as_told(wave):
    rows, values, path = wave
    holes = list(rows)
    holes[50] = "50,,0.0"
    holes[51] = "51,NaN,0.0"
    with pytest.raises(ParameterError, match="lines 52-53"):
        tasks.csv_series(write(path, holes), "a")
    assert tasks.csv_series(path, "b").inputs.shape[0] == 199
    longest = tasks.csv_series(path, "a", gaps="longest", washout=0, horizon=1)
    raw = values[52:]
    np.testing.assert_allclose(
        np.diff(longest.inputs[:, 0]) / np.diff(longest.inputs[:, 0])[0],
        np.diff(raw[:-1]) / np.diff(raw)[0],
    )
    joined = tasks.csv_series(path, "a", gaps="interpolate", washout=0)
    assert len(joined.inputs) == 199
    assert np.ptp(np.diff(joined.inputs[49:53, 0])) < 1e-12  # a straight line across


def test_csv_missing_steps_need_the_time_column(wave):
    rows, _, path = wave
    write(path, rows[:100] + rows[103:])
    assert len(tasks.csv_series(path, "a").inputs) == 196
    with pytest.raises(ParameterError, match="3 steps after line 101"):
        tasks.csv_series(path, "a", time="time")
    assert len(tasks.csv_series(path, "a", time="time", gaps="interpolate").inputs) == 199
    assert len(tasks.csv_series(path, "a", time="time", gaps="longest").inputs) == 99
    # Months are of unequal length, and still one step each.
    months = [f"{1900 + k // 12}-{k % 12 + 1:02d},{np.sin(k)},0" for k in range(120)]
    assert len(tasks.csv_series(write(path, months), "a", time="time").inputs) == 119


@pytest.mark.parametrize(
    ("rows", "arguments", "error", "words"),
    [
        (None, {}, MissingFileError, "BRAIN_LNP_DATA"),
        (["0,1,2", "1,two,3"], {}, FormatError, "line 3"),
        (["0,1,2", "1,inf,3"], {}, FormatError, "line 3"),
        (["0,1,2"], {}, FormatError, "two rows"),
        (["0,1,2", "0,2,3"], {"time": "time"}, FormatError, "line 3"),
        (["soon,1,2", "0,2,3"], {"time": "time"}, FormatError, "line 2"),
        (["0,1,2", "1,2,3"], {"column": "c"}, ParameterError, "time, a, b"),
        (["0,1,2", "1,2,3"], {}, ParameterError, "n_train"),
        (["0,1,2", "1,-2,3"], {"transform": "log_return"}, ParameterError, "above 0"),
        (["0,1,2", "1,2,3"], {"gaps": "ignore"}, ParameterError, "longest"),
    ],
)
def test_csv_faults(tmp_path, monkeypatch, rows, arguments, error, words):
    monkeypatch.delenv("BRAIN_LNP_DATA", raising=False)
    path = tmp_path / "f.csv"
    if rows is not None:
        write(path, rows)
    with pytest.raises(error, match=words):
        tasks.csv_series(path, **{"column": "a", **arguments})


def test_data_directory(wave, tmp_path, monkeypatch):
    write(wave[2], wave[0])
    monkeypatch.setenv("BRAIN_LNP_DATA", str(tmp_path))
    by_variable = tasks.csv_series("w.csv", "a")
    monkeypatch.delenv("BRAIN_LNP_DATA")
    assert tasks.csv_series("w.csv", "a", directory=tmp_path).digest == by_variable.digest
    with pytest.raises(MissingFileError, match="directory="):
        tasks.csv_series("w.csv", "a", directory=tmp_path / "elsewhere")


# ---------------------------------------------------------------- images


@pytest.fixture(scope="module")
def digits():
    return tasks.digits(seed=1)


def test_digits(digits):
    assert digits.inputs.shape == (1797, 10, 8)
    assert (digits.n_train, digits.n_validation, digits.n_test) == (1078, 360, 359)
    assert (digits.inputs[:, 8:] == 0).all() and digits.duration == pytest.approx(0.1)
    overall = np.bincount(digits.targets) / 1797
    for part in digits.split:
        labels = digits.targets[part]
        assert np.abs(np.bincount(labels) - overall * len(labels)).max() <= 2
    training = digits.inputs[digits.split.train, :8]
    np.testing.assert_allclose(training.mean(axis=0), 0, atol=1e-12)
    assert np.mean(np.sum(training**2, axis=2)) == pytest.approx(1.0)
    assert tasks.digits(seed=1).digest == digits.digest
    assert tasks.digits(seed=2).digest != digits.digest
    # Every image is used once: sums over all are those of the data set.
    from sklearn.datasets import load_digits

    raw = tasks.digits(seed=1, centre=False)
    unit = raw.inputs.max()
    np.testing.assert_allclose(
        np.sort(raw.inputs.sum(axis=(1, 2)) / unit),
        np.sort(load_digits().images.sum(axis=(1, 2)) / 16),
    )


def test_raw_pixels_are_a_strong_baseline(digits):
    assert trivial.raw_pixels(digits) > 0.9
    assert trivial.raw_pixels(digits, "logistic") > 0.93
    # Negative control: shuffled labels leave chance, 0.1 with a standard error of 0.016.
    shuffled = np.random.default_rng(0).permutation(digits.targets)
    assert trivial.raw_pixels(replace(digits, targets=shuffled)) < 0.2


def test_image_scaling_looks_at_the_training_part_only():
    rng = np.random.default_rng(0)
    images, labels = rng.random((40, 3, 4)), np.arange(40) % 4
    held = rng.random((8, 3, 4)), np.arange(8) % 4
    moved = held[0] + 50, held[1]
    plain = tasks.image_task(images, labels, test=held, n_train=30, n_validation=10)
    other = tasks.image_task(images, labels, test=moved, n_train=30, n_validation=10)
    np.testing.assert_array_equal(other.inputs[:40], plain.inputs[:40])
    assert other.inputs[40:, :3].min() > 10
    assert sorted(plain.targets[40:]) == sorted(held[1])


def test_colours_become_channels_and_names_of_faults():
    images = np.random.default_rng(0).random((20, 5, 4, 3))
    labels = np.array(["cat", "dog"] * 10)
    task = tasks.image_task(images, labels, blank=1)
    assert task.inputs.shape == (20, 6, 12) and set(task.targets) == {"cat", "dog"}
    for change, field in (
        ({"images": images[0, 0]}, "images"),
        ({"labels": labels[:3]}, "labels"),
        ({"n_train": 30}, "n_train"),
        ({"blank": -1}, "blank"),
        ({"images": np.ones((20, 5, 4))}, "images"),
        ({"hold": 0.01}, "hold"),
    ):
        with pytest.raises(ParameterError, match=field):
            tasks.image_task(**{"images": images, "labels": labels, **change})


def test_npz_images(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 256, (50, 4, 4), dtype=np.uint8),
        "y_train": (np.arange(50) % 5).astype(np.uint8),
        "x_test": np.full((20, 4, 4), 255, dtype=np.uint8),
        "y_test": (np.arange(20) % 5).astype(np.uint8),
    }
    np.savez(tmp_path / "small.npz", **arrays)
    monkeypatch.setenv("BRAIN_LNP_DATA", str(tmp_path))
    task = tasks.load_npz_images("small.npz", n_train=25, n_validation=10, n_test=10, blank=0)
    assert task.name == "small" and task.inputs.shape == (45, 4, 4)
    for part, each in zip(task.split, (5, 2, 2), strict=True):
        assert np.bincount(task.targets[part]).tolist() == [each] * 5
    # The file's own test images, and only they, are in the test part.
    test = task.inputs[task.split.test]
    np.testing.assert_array_equal(test, np.broadcast_to(test[0], test.shape))
    assert not (task.inputs[:35] == test[0]).all(axis=(1, 2)).any()
    with pytest.raises(MissingFileError, match="BRAIN_LNP_DATA"):
        tasks.load_npz_images("absent.npz")
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    with pytest.raises(FormatError, match="x_train"):
        tasks.load_npz_images("foreign.npz")
    np.savez(tmp_path / "pickled.npz", **{**arrays, "y_test": np.array([{}] * 20)})
    with pytest.raises(FormatError, match="pickle"):
        tasks.load_npz_images("pickled.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK nonsense")
    with pytest.raises(FormatError):
        tasks.load_npz_images("broken.npz")


# ---------------------------------------------------------------- encoders


def test_poisson_has_the_right_rate_and_law():
    values = np.tile([0.0, 0.5, 1.0], (2000, 1))
    values[1000:] = 0
    spikes = encoders.poisson(values, max_rate="80 Hz", hold="10 ms", seed=3)
    counts = np.bincount(spikes.i, minlength=3)
    for count, expected in zip(counts, (0, 400, 800), strict=True):
        assert abs(count - expected) <= 5 * np.sqrt(expected)
    assert (np.diff(spikes.t) >= 0).all() and spikes.t.min() >= 0 and spikes.t.max() <= 10.0
    # Intervals of a Poisson process: coefficient of variation 1 (standard error 1 / sqrt(n)).
    intervals = np.diff(spikes.t[spikes.i == 2])
    assert intervals.std() / intervals.mean() == pytest.approx(1.0, abs=5 / np.sqrt(len(intervals)))
    again = encoders.poisson(values, max_rate="80 Hz", hold="10 ms", seed=3)
    np.testing.assert_array_equal(again.t, spikes.t)
    other = encoders.poisson(values, max_rate="80 Hz", hold="10 ms", seed=4)
    assert other.t.size != spikes.t.size or not np.array_equal(other.t, spikes.t)


def test_latency_is_earlier_for_the_brighter():
    spikes = encoders.latency([0.2, 1.0, 0.0, 0.6, 0.1], window="40 ms", threshold=0.2)
    assert spikes.i.tolist() == [1, 3]
    np.testing.assert_allclose(spikes.t, [0.0, 0.02])


def test_encoders_refuse():
    for call in (
        lambda: encoders.poisson([1.5]),
        lambda: encoders.poisson([np.nan]),
        lambda: encoders.poisson([0.5], max_rate=100),
        lambda: encoders.latency([[0.5]]),
        lambda: encoders.latency([0.5], threshold=1.0),
        lambda: encoders.latency([0.5], window=0.05),
        lambda: encoders.row_by_row(np.zeros(3)),
    ):
        with pytest.raises(ParameterError):
            call()
