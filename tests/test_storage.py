"""Storage: exact round trips, equal bytes, all-or-nothing writes, and every kind of bad file."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models_eq import packing, storage
from models_eq.errors import BrainLNPError, FormatError, MissingFileError, ParameterError
from models_eq.hrsnn import HRSNN, PER_NEURON
from models_eq.storage import load, register, save, take


@dataclass(frozen=True)
class Box:
    """A value type of the tests: arrays, and anything plain or registered in ``meta``."""

    arrays: dict[str, Any]
    meta: dict[str, Any]


def _encode_box(box: Box) -> tuple[dict[str, Any], dict[str, Any]]:
    return box.arrays, {"all": box.meta}


def _decode_box(arrays: Any, meta: Any) -> Box:
    own = {name: array for name, array in arrays.items() if not name.startswith("meta/")}
    return Box(own, meta["all"])


@pytest.fixture(autouse=True)
def _box_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_KINDS", dict(packing._KINDS))
    register("Box", Box, _encode_box, _decode_box)


def make_net(n: int = 12, m: int = 40, seed: int = 3, model: str = "alif") -> HRSNN:
    rng = np.random.default_rng(seed)
    key = rng.permutation([i * n + j for i in range(n) for j in range(n) if i != j])[:m]
    net = HRSNN(
        model,
        n,
        i=key // n,
        j=key % n,
        w=rng.normal(size=m),
        tau_m=rng.gamma(3, 0.007, n),
        tau_syn=rng.uniform(0.002, 0.02, n),
        i_ext=rng.normal(size=n),
        ids=np.sort(rng.permutation(3 * n)[:n]),
        n_origin=3 * n,
        cluster=rng.integers(0, 3, n),
        params={"tau_a": rng.uniform(0.1, 0.3, n)} if model == "alif" else {},
    )
    return net.note(step="synapses", kept=0.1, pair=(1, 2), odd=float("nan"), who={"a": [1, None]})


def rewrite(source: Path, target: Path, change: Any) -> Path:
    """Copy an npz member by member through ``change(name, bytes) -> bytes or None``."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info.filename, data)
    return target


def npy(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def edit_schema(**changes: Any) -> Any:
    def change(name: str, data: bytes) -> bytes:
        if name != "schema.npy":
            return data
        schema = json.loads(np.load(io.BytesIO(data)).tobytes())
        return npy(np.frombuffer(json.dumps({**schema, **changes}).encode(), np.uint8))

    return change


def replace_member(member: str, data: bytes | None) -> Any:
    return lambda name, old: data if name == f"{member}.npy" else old


# -- round trips ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["lif_exp", "lif_delta", "qif", "alif"])
def test_hrsnn_round_trip_is_bit_identical(tmp_path: Path, model: str) -> None:
    net = make_net(model=model)
    back = load(save(net, tmp_path / "net.npz"), expected=HRSNN)
    assert back.digest == net.digest and back == net
    for name in ("i", "j", "w", *PER_NEURON, "is_exc", "cluster", "ids"):
        a, b = getattr(net, name), getattr(back, name)
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), name
        assert not b.flags.writeable
    assert set(back.params) == set(net.params)
    assert back.n_origin == net.n_origin
    entry = dict(back.history[0])
    assert np.isnan(entry.pop("odd"))
    expected = {"step": "synapses", "kept": 0.1, "pair": (1, 2), "who": {"a": [1, None]}}
    assert entry == expected and isinstance(entry["pair"], tuple)


def test_no_synapses_and_one_neuron(tmp_path: Path) -> None:
    net = HRSNN("lif_exp", 1, i=[], j=[], w=[], tau_m=0.02)
    assert load(save(net, tmp_path / "a.npz")) == net


def test_extreme_floats_survive(tmp_path: Path) -> None:
    values = np.array([-0.0, 5e-324, np.nextafter(1, 2), -1.7976931348623157e308])
    net = HRSNN("lif_exp", 5, i=[0, 1, 2, 3], j=[1, 2, 3, 4], w=values, tau_m=5e-324)
    back = load(save(net, tmp_path / "a.npz"))
    assert back.w.tobytes() == values.tobytes()


def test_plain_data_arrays_and_nested_values(tmp_path: Path) -> None:
    net = make_net()
    meta = {
        "none": None,
        "flag": True,
        "numpy": np.float64(0.1),
        "count": np.int64(7),
        "inf": -np.inf,
        "tuple": (1, (2, "x"), []),
        "odd keys!": {1: "one", (2, 3): np.arange(3), "$tag": 0},
        "net": net,
        "steps": [{"net": net.keep_edges([0, 1])}, {"net": Box({"x": np.ones(2)}, {})}],
        "a b": np.arange(4, dtype=np.int16),
        "a_b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "zero": np.zeros((0, 3)),
        "scalar": np.array(2.5),
    }
    box = Box(
        {"x": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "big": np.arange(3, dtype=">i4")},
        meta,
    )
    back = load(save(box, tmp_path / "box.npz"))
    got = back.meta
    assert list(got) == list(meta)
    for key in ("none", "flag", "numpy", "count", "inf", "tuple"):
        assert got[key] == meta[key] and type(got[key]) is not np.float64
    assert got["odd keys!"][1] == "one" and got["odd keys!"]["$tag"] == 0
    assert got["odd keys!"][(2, 3)].tolist() == [0, 1, 2]
    assert got["net"] == net and got["net"].history[0]["pair"] == (1, 2)
    assert got["steps"][0]["net"] == net.keep_edges([0, 1])
    assert got["steps"][1]["net"].arrays["x"].tolist() == [1, 1]
    for key in ("a b", "a_b", "zero", "scalar"):
        assert got[key].dtype == meta[key].dtype and got[key].shape == meta[key].shape
        assert np.array_equal(got[key], meta[key])
    assert np.array_equal(back.arrays["x"], box.arrays["x"])
    assert back.arrays["big"].tolist() == [0, 1, 2]


def test_numpy_reads_the_file_without_pickle(tmp_path: Path) -> None:
    net = make_net()
    with np.load(save(net, tmp_path / "a.npz"), allow_pickle=False) as data:
        assert np.array_equal(data["w"], net.w)
        schema = json.loads(data["schema"].tobytes())
    assert schema["format"] == "brain_lnp" and schema["kind"] == "HRSNN"
    assert schema["version"] == storage.VERSION and schema["package"]


def test_same_value_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = save(make_net(), tmp_path / "a.npz").read_bytes()
    monkeypatch.setattr(time, "time", lambda: 2e9)
    again = save(make_net(), tmp_path / "other.npz").read_bytes()
    reloaded = save(load(tmp_path / "a.npz"), tmp_path / "c.npz").read_bytes()
    assert first == again == reloaded
    assert save(make_net(seed=4), tmp_path / "d.npz").read_bytes() != first


def test_long_constant_arrays_are_written_so_that_load_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "FREE_BYTES", 2**16)
    box = Box({"x": np.zeros(10**6)}, {})
    path = save(box, tmp_path / "a.npz")
    assert path.stat().st_size > 8_000_000
    assert load(path).arrays["x"].shape == (10**6,)


# -- what save refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["net", "net.npy", "net.npz.txt", "net.NPZ"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="npz"):
        save(make_net(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    [
        Box({"x": np.array([object()])}, {}),
        Box({"x": np.array(["text"])}, {}),
        Box({"x": np.zeros(2, dtype=[("a", "f8")])}, {}),
        Box({"x": [1, 2]}, {}),
        Box({"../x": np.zeros(2)}, {}),
        Box({"schema": np.zeros(2)}, {}),
        Box({}, {"f": print}),
        Box({}, {"p": Path("x")}),
        Box({}, {"o": np.array([None])}),
        {"not": "registered"},
        None,
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ParameterError):
        save(value, tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_quantities_and_cycles_are_refused(tmp_path: Path) -> None:
    from brian2 import ms

    loop: list[Any] = []
    loop.append(loop)
    for value in ([1, 2] * ms, loop):
        with pytest.raises(ParameterError):
            save(Box({}, {"q": value}), tmp_path / "a.npz")


def test_kind_cannot_be_taken_twice() -> None:
    with pytest.raises(ParameterError, match="kind"):
        register("HRSNN", Box, _encode_box, _decode_box)


# -- all or nothing ------------------------------------------------------------------------------


class Interrupted(BaseException):
    """Stands for Ctrl-C."""


@pytest.mark.parametrize("where", ["replace", "fsync", "write_array"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), Interrupted()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException
) -> None:
    path = save(make_net(), tmp_path / "a.npz")
    before = path.read_bytes()
    calls = []

    def fail(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if where != "write_array" or len(calls) == 4:  # some members are written by then
            raise error
        real(*args, **kwargs)

    real = np.lib.format.write_array
    if where == "write_array":
        monkeypatch.setattr(np.lib.format, "write_array", fail)
    else:
        monkeypatch.setattr(os, where, fail)
    expected = ParameterError if isinstance(error, OSError) else Interrupted
    with pytest.raises(expected) as caught:
        save(make_net(seed=9), path)
    assert calls
    if expected is ParameterError:
        assert "No space left" in str(caught.value) and "a.npz" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
    assert path.read_bytes() == before


def test_folders_that_do_not_work(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="nowhere"):
        save(make_net(), tmp_path / "nowhere" / "a.npz")
    (tmp_path / "dir.npz").mkdir()
    with pytest.raises(ParameterError, match=r"dir\.npz"):
        save(make_net(), tmp_path / "dir.npz")
    for bad in (3, None, "a\0.npz"):
        with pytest.raises(ParameterError, match="path"):
            save(make_net(), bad)  # type: ignore[arg-type]


def test_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):  # root may write anyway

        def denied(*args: Any, **kwargs: Any) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(ParameterError, match="Permission denied"):
        save(make_net(), folder / "a.npz")
    monkeypatch.undo()
    assert list(folder.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = save(make_net(), tmp_path / "real.npz")
    link = tmp_path / "link.npz"
    link.symlink_to(real)
    save(make_net(seed=8), link)
    assert link.is_symlink() and load(real) == make_net(seed=8)


# -- bad files -----------------------------------------------------------------------------------


def refused(path: Path, *words: str) -> str:
    start = time.perf_counter()
    with pytest.raises(FormatError) as caught:
        load(path)
    assert time.perf_counter() - start < 2
    message = str(caught.value)
    assert caught.value.field == str(path)
    for word in words:
        assert word in message, message
    return message


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.npz"):
        load(tmp_path / "none.npz")
    refused(tmp_path, "a folder")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = save(make_net(), tmp_path / "a.npz").read_bytes()
    bad = tmp_path / "bad.npz"
    rng = np.random.default_rng(0)
    cuts = {0, 1, 21, 22, 41, 42, len(data) - 1, *rng.integers(0, len(data), 80).tolist()}
    for cut in cuts:
        bad.write_bytes(data[:cut])
        refused(bad, "truncated")


def test_flipped_bytes_are_refused_or_without_effect(tmp_path: Path) -> None:
    net = make_net()
    data = save(net, tmp_path / "a.npz").read_bytes()
    bad = tmp_path / "bad.npz"
    rng = np.random.default_rng(1)
    refusals = 0
    for place in rng.integers(0, len(data), 400).tolist():
        flipped = bytearray(data)
        flipped[place] ^= int(rng.integers(1, 256))
        bad.write_bytes(flipped)
        try:
            back = load(bad)
        except FormatError:
            refusals += 1
        else:  # a time stamp or file mode inside the zip
            assert back.digest == net.digest and len(back.history) == 1
    assert refusals > 200


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, w=np.zeros(3))
    refused(path, "another npz")
    np.savez(path, schema=np.frombuffer(b'{"format": "other"}', np.uint8))
    refused(path, "another npz")
    np.savez(path, schema=np.frombuffer(b"[1]", np.uint8))
    refused(path)
    path.write_bytes(npy(np.zeros(3)))
    refused(path)
    path.write_bytes(bytes(range(256)) * 40)
    refused(path)
    with zipfile.ZipFile(path, "w"):
        pass
    refused(path)


class Bomb:
    """Its pickle writes a file when loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("pwned", "w"))


def test_pickles_are_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = save(make_net(), tmp_path / "a.npz")
    bad = tmp_path / "bad.npz"
    objects = npy(np.array([Bomb()], dtype=object), allow_pickle=True)
    refused(rewrite(good, bad, replace_member("w", objects)), "object array")
    refused(rewrite(good, bad, replace_member("schema", objects)), "object array")
    refused(rewrite(good, bad, replace_member("w", pickle.dumps(Bomb()))))
    bad.write_bytes(pickle.dumps(Bomb()))
    refused(bad)
    assert not (tmp_path / "pwned").exists()


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    buffer = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(10**12,), (2**62, 4), (-1,), (0, 10**18, 0), (39,), (41,)])
def test_declared_shapes_are_checked_before_reading(tmp_path: Path, shape: tuple[int, ...]) -> None:
    good = save(make_net(), tmp_path / "a.npz")
    data = header(shape) + bytes(8 * 40)
    refused(rewrite(good, tmp_path / "bad.npz", replace_member("w", data)), "w")


def test_wrong_dtypes_shapes_and_members(tmp_path: Path) -> None:
    net = make_net()
    good = save(net, tmp_path / "a.npz")
    bad = tmp_path / "bad.npz"
    for other in (net.w.astype(np.float32), net.w.astype(int), net.w.reshape(2, 20), net.w + 1j):
        refused(rewrite(good, bad, replace_member("w", npy(other))), "w")
    refused(rewrite(good, bad, replace_member("w", None)), "arrays")
    with zipfile.ZipFile(rewrite(good, bad, lambda name, data: data), "a") as archive:
        archive.writestr("evil.npy", npy(np.zeros(2)))
    refused(bad, "arrays")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(good, "a") as archive:
        archive.writestr("w.npy", npy(net.w))
    refused(good)


def test_a_consistent_file_with_wrong_content_is_refused(tmp_path: Path) -> None:
    net = make_net()
    good = save(net, tmp_path / "a.npz")
    bad = tmp_path / "bad.npz"
    refused(rewrite(good, bad, replace_member("w", npy(net.w * 2))), "digest")
    refused(rewrite(good, bad, replace_member("tau_m", npy(-net.tau_m))), "tau_m")
    refused(rewrite(good, bad, edit_schema(meta={"model": "alif"})))
    refused(rewrite(good, bad, edit_schema(meta=None)))
    refused(rewrite(good, bad, edit_schema(arrays=[])), "arrays")


def test_versions_and_kinds(tmp_path: Path) -> None:
    good = save(make_net(), tmp_path / "a.npz")
    bad = tmp_path / "bad.npz"
    message = refused(rewrite(good, bad, edit_schema(version=storage.VERSION + 1)), "version")
    assert "update brain-lnp" in message
    refused(rewrite(good, bad, edit_schema(kind_version=99)), "HRSNN", "update")
    for odd in (0, "1", None, True, 1.0):
        refused(rewrite(good, bad, edit_schema(version=odd)), "version")
    refused(rewrite(good, bad, edit_schema(kind="Unheard")), "Unheard", "Import brain_lnp")
    refused(rewrite(good, bad, edit_schema(kind=["x"])))
    with pytest.raises(FormatError, match=r"Box.*HRSNN"):
        load(good, expected=Box)
    assert load(good, expected=(Box, HRSNN)) == make_net()
    # What an older package wrote stays readable.
    assert load(rewrite(good, bad, edit_schema(package="0.0.1"))) == make_net()


def test_deep_json_and_huge_numbers(tmp_path: Path) -> None:
    bad = tmp_path / "bad.npz"
    for text in (b"[" * 10**6, b'{"format":' * 10**5, b"1" * 10**6, b"\xff\xfe", b""):
        np.savez(bad, schema=np.frombuffer(text, np.uint8))
        refused(bad)


def test_zip_bombs(tmp_path: Path) -> None:
    bad = tmp_path / "bad.npz"
    good = save(make_net(), tmp_path / "a.npz")
    zeros = header((2**26,)) + bytes(2**29)
    with zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with zipfile.ZipFile(good) as old:
            archive.writestr("schema.npy", old.read("schema.npy"))
        archive.writestr("w.npy", zeros)
    assert bad.stat().st_size < 3_000_000
    refused(bad, "bytes")
    # The same with the size in the directory made small: what a read unpacks is bounded by it.
    data = bytearray(bad.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<L", 448)
    bad.write_bytes(data)
    refused(bad)


def test_many_members_are_refused_before_the_directory_is_read(tmp_path: Path) -> None:
    bad = tmp_path / "bad.npz"
    with zipfile.ZipFile(bad, "w") as archive:
        for k in range(storage.MAX_MEMBERS + 1):
            archive.writestr(zipfile.ZipInfo(f"{k}"), b"")
    refused(bad, "members")


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    good = save(make_net(), tmp_path / "a.npz")
    bad = tmp_path / "bad.npz"
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(bad, "w", zipfile.ZIP_LZMA) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    refused(bad, "compression")


def test_take_names_what_is_wrong() -> None:
    arrays = {"x": np.zeros(3)}
    assert take(arrays, "x", float, (3,)) is arrays["x"]
    for arguments in (("y",), ("x", int), ("x", float, (4,))):
        with pytest.raises(FormatError, match=arguments[0]):
            take(arrays, *arguments)


def test_errors_are_of_the_family(tmp_path: Path) -> None:
    assert issubclass(FormatError, BrainLNPError)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "x.npz")
