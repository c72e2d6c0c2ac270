"""Valid files of every format that the package reads, for :mod:`scripts.fuzz` to damage."""

from __future__ import annotations

import gzip
import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from brain_lnp.config import load_experiment
from brain_lnp.exchange import from_nir, to_nir
from brain_lnp.sweepfile import load_sweep
from brain_lnp.tasks.events import decode_events, read_event_npz, read_event_zip
from brain_lnp.tasks.imagefiles import read_cifar_binary, read_idx, read_image_npz
from brain_lnp.tasks.series import csv_series
from models_eq import HRSNN, HRSNNSpec, load, sample_hrsnn, save
from scripts import fuzz

_EXPERIMENT = b"""
[experiment]
name = "small"
device = "numpy"
seeds = [1, 2]
[network]
n = 40
coupling = 0.06
tau_m = {kind = "gamma", shape = 3.0, mean = "20 ms"}
topology = {kind = "fixed_in_degree", k = 8}
[prune]
methods = ["dense", "random", "lnp"]
synapses = [0.5, 0.1]
[[tasks]]
name = "lorenz63"
observe = "x"
n_train = 200
hold = "10 ms"
[output]
figures = false
"""
_SWEEP = b"""
[sweep]
name = "budgets"
seeds = [1, 2]
samples = 2
seed = 0
[base.experiment]
device = "numpy"
[base.network]
n = 40
[base.prune]
methods = ["dense", "random"]
synapses = [0.5]
[[base.tasks]]
name = "lorenz63"
[grid]
prune.synapses = [0.2, 0.1]
[random]
network.coupling = {kind = "log_uniform", low = 0.02, high = 0.2}
"""


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


def _in_zip(rng: np.random.Generator, data: bytes) -> bytes:
    """One member damaged, under a correct check sum."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[int(rng.integers(len(members)))]
    way = int(rng.integers(6))
    if way == 5:
        del members[name]
    else:
        ways = (fuzz.flipped, fuzz.truncated, fuzz.spliced, fuzz.inflated, fuzz.reworded)
        members[name] = ways[way](rng, members[name])
    return _zip(members)


def _in_gzip(rng: np.random.Generator, data: bytes) -> bytes:
    ways = (fuzz.flipped, fuzz.truncated, fuzz.spliced, fuzz.inflated)
    return gzip.compress(ways[int(rng.integers(4))](rng, gzip.decompress(data)), mtime=0)


def _in_hdf5(rng: np.random.Generator, data: bytes) -> bytes:
    """Arrays, texts and groups of a NIR file changed in a file that is sound."""
    import h5py

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        for _ in range(int(rng.integers(1, 3))):
            name = names[int(rng.integers(len(names)))]
            if name not in file:
                continue
            old = file[name]
            values = old[()] if isinstance(old, h5py.Dataset) else None
            del file[name]
            odd: list[Any] = [
                None, np.zeros(0), np.full((3, 3), np.nan), np.int64(-1), np.float64(1e308), "LIF",
                b"\xff",
                "NIRGraph", np.full(1, 2**62), np.zeros((2, 2, 2)), np.array(1 + 2j),
                np.array(["a", "b"], "S1"),
            ]  # fmt: skip
            new = odd[int(rng.integers(len(odd)))]
            numeric = values is not None and np.asarray(values).dtype.kind == "f"
            if numeric and np.size(values) and rng.random() < 0.5:
                new = np.array(values, dtype=float)
                new.flat[int(rng.integers(new.size))] = rng.choice(
                    [np.nan, np.inf, -1.0, 0.0, 1e300]
                )
            if new is not None:
                file[name] = np.bytes_(new) if isinstance(new, bytes) else new
    return buffer.getvalue()


_VALUES = (
    "-1", "0", "1e308", "nan", "-inf", "99999999999", "true", '""', '"x"', '"-5 ms"', '"1e400 s"',
    "[]",
    "{}", "[[]]", "[0.0]", "[nan]", "[1, 1]", '["lnp"]', '{kind = "normal", mean = "nan ms"}',
    "1979-05-27",
    '{kind = "small_world", k = 10000000, p = 2.0}', '"\\u0000"', '"../../x"',
    "9223372036854775807",
    "[[[[[[[[]]]]]]]]", "2.5", "1000000", '"cuda_standalone"',
)  # fmt: skip


def _in_toml(rng: np.random.Generator, data: bytes) -> bytes:
    """Values, keys and lines changed in a text that stays TOML."""
    lines = data.decode().strip().splitlines()
    for _ in range(int(rng.integers(1, 3))):
        k = int(rng.integers(len(lines)))
        key, equals, _old = lines[k].partition(" = ")
        way = int(rng.integers(6))
        if equals and way < 4:
            lines[k] = f"{key} = {_VALUES[int(rng.integers(len(_VALUES)))]}"
        elif equals and way == 4:
            lines[k] = f"{key}x = 1"
        elif len(lines) > 1:
            del lines[k]
    return "\n".join(lines).encode()


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def loaders(folder: Path) -> list[fuzz.Loader]:
    """Every loader, with a folder of its own that holds the valid files.

    Parameters
    ----------
    folder : Path
        An empty one.
    """
    rng = np.random.default_rng(7)
    net = sample_hrsnn(HRSNNSpec(n=12), seed=3).note(what="drawn")
    save(net, folder / "net.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        to_nir(net, folder / "net.nir")
    network, nir = (folder / "net.npz").read_bytes(), (folder / "net.nir").read_bytes()
    (folder / "net.npz").unlink(), (folder / "net.nir").unlink()

    def same(path: Path) -> None:
        # The file holds a digest of its network: another one must not get through.
        if load(path, expected=HRSNN).digest != net.digest:
            raise AssertionError("a network that differs from its digest")

    series = "time,x,y\n" + "".join(f"{k},{np.sin(k / 3):.6f},{k * k}\n" for k in range(200))
    images = {
        "x_train": rng.integers(0, 256, (6, 8, 8), dtype=np.uint8), "y_train": np.arange(6) % 3,
        "x_test": rng.integers(0, 256, (3, 8, 8), dtype=np.uint8), "y_test": np.arange(3),
    }  # fmt: skip
    idx = bytes([0, 0, 8, 3]) + np.array([4, 7, 7], ">u4").tobytes() + rng.bytes(4 * 49)
    records = b"".join(bytes([k]) + rng.bytes(3072) for k in (3, 9))
    events = rng.integers(0, 34, (200, 5), dtype=np.uint8).tobytes()
    lists = {
        "train_x": rng.integers(0, 34, 20), "train_y": rng.integers(0, 34, 20),
        "train_p": rng.integers(0, 2, 20), "train_t": np.sort(rng.integers(0, 10**5, 20)),
        "train_offsets": np.array([0, 8, 20]), "train_label": np.array([1, 2]),
    }  # fmt: skip
    archive = _zip({"Train/5/00001.bin": events, "Train/7/00002.bin": events[:100]})

    def cifar(path: Path) -> Any:
        return read_cifar_binary(path.parent)

    def csv(path: Path) -> Any:
        return csv_series(path, "x", predict="y", time="time", gaps="interpolate", washout=5)

    def bin_(path: Path) -> Any:
        return decode_events(path.read_bytes())

    Change = Callable[[np.random.Generator, bytes], bytes] | None
    rows: list[tuple[str, Callable[[Path], Any], bytes, str, Change, bool]] = [
        ("network", same, network, "net.npz", _in_zip, False),
        ("nir", from_nir, nir, "net.nir", _in_hdf5, False),
        ("experiment", load_experiment, _EXPERIMENT, "experiment.toml", _in_toml, True),
        ("sweep", load_sweep, _SWEEP, "sweep.toml", _in_toml, True),
        ("csv", csv, series.encode(), "series.csv", None, True),
        ("idx", read_idx, idx, "idx3-ubyte", None, False),
        ("idx_gz", read_idx, gzip.compress(idx, mtime=0), "idx3-ubyte.gz", _in_gzip, False),
        ("cifar", cifar, records, "data_batch_1.bin", None, False),
        ("images", read_image_npz, _npz(**images), "images.npz", _in_zip, False),
        ("nmnist_bin", bin_, events, "00001.bin", None, False),
        ("nmnist_zip", read_event_zip, archive, "Train.zip", _in_zip, False),
        ("nmnist_npz", read_event_npz, _npz(**lists), "events.npz", _in_zip, False),
    ]
    found = [fuzz.Loader(*row) for row in rows]
    for loader in found:
        (folder / loader.name).mkdir()
        (folder / loader.name / loader.file).write_bytes(loader.data)
    for k in range(2, 6):
        (folder / "cifar" / f"data_batch_{k}.bin").write_bytes(records)
    (folder / "cifar" / "test_batch.bin").write_bytes(records)
    for loader in found:
        loader.read(folder / loader.name / loader.file)  # the valid file is one
    return found
