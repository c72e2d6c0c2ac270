"""Image and event files: exact content, and files made to harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from brain_lnp import tasks
from brain_lnp.cli import main
from brain_lnp.tasks import downloads, events, imagefiles
from models_eq.errors import CapabilityError, FormatError, MissingFileError, ParameterError

RNG = np.random.default_rng(0)


def idx(array: np.ndarray, shape: tuple[int, ...] | None = None) -> bytes:
    """An IDX file, of which the header may lie."""
    shape = array.shape if shape is None else shape
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


# ---------------------------------------------------------------- IDX


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_is_read_plain_and_packed(tmp_path, pack):
    array = RNG.integers(0, 256, (5, 3, 4), dtype=np.uint8)
    (tmp_path / "f").write_bytes(pack(idx(array)))
    np.testing.assert_array_equal(imagefiles.read_idx(tmp_path / "f"), array)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        b"\0\0\x08\x03\0\0",
        b"\0\0\x0d\x01\0\0\0\x01\0",  # floats
        b"\0\0\x08\x00",
        idx(np.zeros(4, np.uint8), (5,)),
        idx(np.zeros(4, np.uint8), (3,)),
        idx(np.zeros(4, np.uint8), (2**32 - 1,) * 4),
        idx(np.zeros(4, np.uint8), (2**31,)),
    ],
)
def test_idx_that_lies_is_refused_before_memory_is_taken(tmp_path, pack, content):
    (tmp_path / "f").write_bytes(pack(content))
    tracemalloc.start()
    with pytest.raises(FormatError):
        imagefiles.read_idx(tmp_path / "f")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25


def test_a_gzip_bomb_is_left_after_what_its_header_promised(tmp_path):
    (tmp_path / "f.gz").write_bytes(gzip.compress(idx(np.zeros(2**25, np.uint8), (10,))))
    tracemalloc.start()
    with pytest.raises(FormatError, match="more"):
        imagefiles.read_idx(tmp_path / "f.gz")
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    (tmp_path / "f.gz").write_bytes(gzip.compress(idx(np.zeros(99, np.uint8)))[:-12])
    with pytest.raises(FormatError):
        imagefiles.read_idx(tmp_path / "f.gz")


def put_mnist(folder: Path, n: int = 20) -> None:
    folder.mkdir(parents=True)
    for part, images in (("train", 2 * n), ("t10k", n)):
        x = RNG.integers(0, 256, (images, 28, 28), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x)))
        y = (np.arange(images) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y)))


def test_a_folder_of_idx_becomes_a_task_and_says_what_is_missing(tmp_path, monkeypatch):
    put_mnist(tmp_path / "mnist")
    monkeypatch.setenv("BRAIN_LNP_DATA", str(tmp_path))
    task = tasks.public_images("mnist", n_train=20, n_validation=10, n_test=10)
    assert task.inputs.shape == (40, 30, 28) and "LeCun" in task.licence and task.name == "mnist"
    assert downloads.present("mnist") == []
    with pytest.raises(MissingFileError, match="brain-lnp data get kmnist"):
        tasks.public_images("kmnist")
    with pytest.raises(CapabilityError, match="events"):
        tasks.read_data("nmnist")
    with pytest.raises(ParameterError, match="fashion_mnist"):
        tasks.read_data("mnst")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(FormatError, match="as many test labels"):
        tasks.read_data("mnist")


# ---------------------------------------------------------------- CIFAR


def cifar(n: int, width: int, label: int = 3) -> tuple[bytes, np.ndarray]:
    """Records of known pixels: red is 1, green 2, blue 3, but for one in the first row."""
    planes = np.repeat(np.array([1, 2, 3], np.uint8), 1024).reshape(3, 32, 32)
    planes[0, 0, 5] = 77
    record = bytes([label] * width) + planes.tobytes()
    return record * n, planes.transpose(1, 2, 0)


@pytest.mark.parametrize(("kind", "width"), [("cifar10", 1), ("cifar100", 2)])
@pytest.mark.parametrize("packed", [False, True])
def test_cifar_binary(tmp_path, kind, width, packed):
    train, test = imagefiles._CIFAR[kind][3:]
    content, image = cifar(2, width)
    if packed:
        path = tmp_path / "c.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for name in (*train, test, "../../evil.txt"):
                info = tarfile.TarInfo(f"batches/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    else:
        path = tmp_path
        for name in (*train, test):
            (tmp_path / name).write_bytes(content)
    found = imagefiles.read_cifar_binary(path, kind)
    assert found.x_train.shape == (2 * len(train), 32, 32, 3) and found.x_test.shape[0] == 2
    np.testing.assert_array_equal(found.x_train[-1], image)
    assert (found.y_train == 3).all() and not (tmp_path / "evil.txt").exists()


def test_cifar_faults(tmp_path):
    with pytest.raises(MissingFileError, match=r"data_batch_1\.bin"):
        imagefiles.read_cifar_binary(tmp_path)
    with pytest.raises(MissingFileError, match="data list"):
        imagefiles.read_cifar_binary(tmp_path / "absent.tar.gz")
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8bnonsense")
    with pytest.raises(FormatError):
        imagefiles.read_cifar_binary(tmp_path / "broken.tar.gz")
    for content, words in (
        (cifar(1, 1)[0][:-1], "whole records"),
        (cifar(1, 1, 10)[0], "below 10"),
    ):
        for name in (*imagefiles._CIFAR["cifar10"][3], "test_batch.bin"):
            (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError, match=words):
            imagefiles.read_cifar_binary(tmp_path)


# ---------------------------------------------------------------- npz


def npz_with_header(path: Path, shape: tuple[int, ...], descr: str = "|u1") -> None:
    """An npz whose one array promises a shape and holds eight bytes."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", head.getvalue() + b"\0" * 8)


def test_npz_that_lies_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "f.npz"
    for shape, descr in (((2**40,), "|u1"), ((9,), "|u1"), ((2**20, 2**20), "<f8"), ((1,), "|O")):
        npz_with_header(path, shape, descr)
        tracemalloc.start()
        with pytest.raises(FormatError):
            imagefiles.read_npz(path, ("a",))
        assert tracemalloc.get_traced_memory()[1] < 2**22
        tracemalloc.stop()
    npz_with_header(path, (8,))
    assert imagefiles.read_npz(path, ("a",))["a"].tolist() == [0] * 8
    with pytest.raises(FormatError, match="without"):
        imagefiles.read_npz(path, ("a", "b"))


# ---------------------------------------------------------------- events


def packed_event(x: int, y: int, p: int, t: int) -> bytes:
    return bytes([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255])


def test_events_in_five_bytes(tmp_path):
    wanted = [(0, 0, 0, 0), (33, 17, 1, 2**23 - 1), (5, 33, 0, 65536), (1, 2, 1, 255)]
    data = b"".join(packed_event(*e) for e in wanted)
    assert [
        tuple(int(v) for v in e) for e in zip(*events.decode_events(data), strict=True)
    ] == wanted
    for bad in (
        data[:-1],
        packed_event(34, 0, 0, 0),
        packed_event(0, 34, 0, 0),
        b"\0" * (5 * 2**23),
    ):
        with pytest.raises(FormatError):
            events.decode_events(bad)
    path = tmp_path / "Test.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Test/7/00002.bin", data)
        archive.writestr("Test/3/00001.bin", data[:5])
        archive.writestr("../Test/readme.txt", b"x")
    found = events.read_event_zip(path)
    assert found.labels.tolist() == [3, 7] and found.offsets.tolist() == [0, 1, 5]
    assert len(events.read_event_zip(path, limit=1)) == 2
    (tmp_path / "Bad.zip").write_bytes(b"PK")
    with pytest.raises(FormatError):
        events.read_event_zip(tmp_path / "Bad.zip")


def some_events() -> events.Events:
    t = np.array([100, 900, 1500, 400000, 2500], np.int32)
    ones = np.ones(5, np.uint8)
    return events.Events(ones * 2, ones * 4, ones, t, np.array([0, 4, 5]), np.array([1, 2]))


def test_event_stimulus_drops_doubles_and_late_ones():
    stimulus = events.event_stimulus(some_events(), [1, 0], 50, seed=3)
    assert stimulus.n_trials == 2 and stimulus.duration == pytest.approx(0.3)
    spikes = stimulus.spikes
    # Two events of the first millisecond are one spike; the one at 400 ms is too late.
    assert spikes.trial.tolist() == [0, 1, 1]
    np.testing.assert_allclose(spikes.t, [0.0025, 0.0005, 0.0015])
    assert (spikes.channel == 17 * 17 + 2 * 17 + 1).all() and spikes.weights.shape == (578, 50)
    # A neuron's weights are its own, whatever the size of the network.
    more = events.event_stimulus(some_events(), [1], 80, seed=3).spikes.weights
    np.testing.assert_array_equal(more[:, :50], spikes.weights)
    for change in ({"samples": [2]}, {"samples": []}, {"pool": 0}, {"weight_sd": -1.0}):
        given = {"samples": [0], **change}
        with pytest.raises(ParameterError, match=next(iter(change))):
            events.event_stimulus(some_events(), given.pop("samples"), 50, **given)


@pytest.mark.usefixtures("numpy_device")
def test_events_drive_a_network_as_input_spikes():
    from models_eq import HRSNN, simulate

    net = HRSNN("lif_delta", 50, i=[0], j=[1], w=[0.0], tau_m=0.02, i_ext=0.0)
    stimulus = events.event_stimulus(some_events(), [1, 0], 50, weight_sd=3.0, seed=3)
    run = simulate(net, stimulus, dt="1 ms", initial_state={"v": np.zeros(50)})
    kick = stimulus.spikes.weights[stimulus.spikes.channel[0]]
    first = run.i[(run.trial == 0) & (run.t < 0.0045)]
    # The kick acts at the end of its step, and has decayed for one step when the next one looks.
    expected = np.flatnonzero(kick * np.exp(-1 / 20) > 1)
    assert 0 < expected.size < np.sum(kick > 0.5) and set(first.tolist()) == set(expected.tolist())


# ---------------------------------------------------------------- the command line, and downloads


def test_data_verbs(tmp_path, capsys, monkeypatch):
    put_mnist(tmp_path / "mnist", 10)
    assert main(["data", "list", "--data-dir", str(tmp_path), "--json"]) == 0
    said = capsys.readouterr().out
    assert said.count('"there": true') == 1 and "CC BY-SA 4.0" in said
    assert main(["data", "get", "mnst", "--data-dir", str(tmp_path)]) == 2
    assert "fashion_mnist" in capsys.readouterr().err


def test_downloads_are_verified_and_a_wrong_file_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("pooch")
    source = tmp_path / "server"
    source.mkdir()
    (source / "a.bin").write_bytes(b"what was published")
    served = "md5:" + hashlib.md5(b"what was published").hexdigest()

    def offer(checksum):
        data = downloads.DataSet("x", "", "http://127.0.0.1:9/", {"a.bin": checksum}, "none")
        monkeypatch.setattr(downloads, "DATASETS", {"x": data})

    # What lies there already is verified, not fetched.
    (tmp_path / "d" / "x").mkdir(parents=True)
    (tmp_path / "d" / "x" / "a.bin").write_bytes(b"what was published")
    offer(served)
    assert downloads.fetch_data("x", tmp_path / "d")[0].read_bytes() == b"what was published"
    # Nobody listens there: the error names the address and where to put the file by hand.
    (tmp_path / "d" / "x" / "a.bin").unlink()
    with pytest.raises(MissingFileError, match=r"127\.0\.0\.1.*put the file at"):
        downloads.fetch_data("x", tmp_path / "d")

    import pooch

    def other(url, known_hash, fname, path):
        (Path(path) / fname).write_bytes(b"something else")
        if hashlib.md5(b"something else").hexdigest() != known_hash.removeprefix("md5:"):
            raise ValueError(f"MD5 hash of {fname} differs")

    monkeypatch.setattr(pooch, "retrieve", other)
    with pytest.raises(FormatError, match="differs"):
        downloads.fetch_data("x", tmp_path / "d")


def test_every_data_set_has_an_address_a_checksum_and_terms():
    for data in downloads.DATASETS.values():
        assert data.licence and data.files
        for file, checksum in data.files.items():
            assert data.url(file).startswith(("http://", "https://"))
            assert checksum.startswith("md5:") and len(checksum) == 36
            int(checksum[4:], 16)
