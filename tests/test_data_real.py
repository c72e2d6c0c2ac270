"""The real data sets, where a folder of them is given; none is part of the repository."""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from brain_lnp import tasks
from brain_lnp.tasks import events, imagefiles
from models_eq.errors import ParameterError

DATA = Path(os.environ.get("BRAIN_LNP_TEST_DATA") or os.environ.get("BRAIN_LNP_DATA") or "absent")


def real(name: str) -> Path:
    """A real data file, or skip: none of them is part of the repository."""
    if not (DATA / name).is_file():
        pytest.skip(f"set BRAIN_LNP_TEST_DATA to the folder that holds {name}")
    return DATA / name


def idx(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """An IDX file."""
    shape = array.shape if shape is None else shape
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def test_real_mnist_written_as_idx_has_the_published_checksum(tmp_path):
    arrays = imagefiles.read_npz(real("mnist_10k_10k.npz"), ("x_test", "y_test"))
    # The published files are gzip streams, whose header varies; their content does not.
    for key, digest in (
        ("x_test", "2646ac647ad5339dbf082846283269ea"),
        ("y_test", "27ae3e4e09519cfbb04c329615203637"),
    ):
        assert hashlib.md5(idx(arrays[key])).hexdigest() == digest
        (tmp_path / key).write_bytes(idx(arrays[key]))
        np.testing.assert_array_equal(imagefiles.read_idx(tmp_path / key), arrays[key])


def test_real_nmnist():
    found = events.read_event_npz(real("nmnist_500_100.npz"), "test")
    assert len(found) == 100 and len(found.t) == 385_596
    assert np.bincount(found.labels).tolist() == [8, 14, 8, 11, 14, 7, 10, 15, 2, 11]
    assert events.event_stimulus(found, [0, 1], 20).n_trials == 2


def test_real_series():
    real("goog_daily_2004_2020.csv")
    returns = tasks.csv_series("goog_daily_2004_2020.csv", "close", transform="log_return",
                               directory=DATA)  # fmt: skip
    levels = tasks.csv_series("goog_daily_2004_2020.csv", "close", directory=DATA)
    # A price that grows leaves the range of its training part; returns do not.
    test = levels.split.test
    assert levels.inputs[test].mean() > 2 and abs(returns.inputs[returns.split.test].mean()) < 0.2
    assert tasks.trivial.persistence(levels) < 0.2 and tasks.trivial.persistence(returns) > 1.2
    wind = {"time": "time_local", "directory": DATA, "column": "wind_speed_mps"}
    with pytest.raises(ParameterError, match="gaps='longest'"):
        tasks.csv_series("wind_turbine_scada_10min_2018.csv", **wind)
    ten = tasks.csv_series("wind_turbine_scada_10min_2018.csv", gaps="longest", **wind)
    assert len(ten.inputs) == 5571 - 1
    hours = tasks.csv_series(
        "wind_turbine_scada_10min_2018.csv", gaps="longest", resample=6, **wind
    )
    assert len(hours.inputs) == 5571 // 6 - 1
    spots = tasks.csv_series("sunspots_monthly_1749_2025.csv", "sunspot_number", time="month",
                             directory=DATA, horizon=6)  # fmt: skip
    assert tasks.trivial.autoregression(spots) < tasks.trivial.persistence(spots)
