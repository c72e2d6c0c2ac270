"""Atomic save and load of every value type: one npz, a schema version, no pickle.

A file is a zip of ``.npy`` members. The first, ``schema``, holds JSON as bytes: format, schema
version, package version, kind of the value, its plain data (``meta``), and the dtype and shape
of every other member. ``numpy.load(path, allow_pickle=False)`` reads it as well.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import math
import os
import secrets
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from models_eq.errors import BrainLNPError, FormatError, MissingFileError, ParameterError
from models_eq.hrsnn import HRSNN, PER_NEURON
from models_eq.packing import (
    NAME,
    NUMBERS,
    Arrays,
    Held,
    check,
    check_version,
    decode_nested,
    encode_nested,
    register,
    take,
)

__all__ = [
    "atomic_write", "decode_nested", "encode_nested", "load", "package_version", "register",
    "save", "take",
]  # fmt: skip

FORMAT, VERSION = "brain_lnp", 1
MAX_SCHEMA_BYTES = 16 * 2**20  # plain data of one file
MAX_MEMBERS = 60_000
FREE_BYTES, MAX_RATIO = 256 * 2**20, 100  # a file may unpack to FREE_BYTES + MAX_RATIO * its size


def package_version() -> str:
    """Version of the installed distribution, or ``"0+unknown"`` in a bare source tree."""
    try:
        return importlib.metadata.version("brain-lnp")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def _as_path(path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)) or "\0" in os.fsdecode(path):
        raise ParameterError("path", "the path of a file", path)
    return Path(os.fsdecode(path))


def atomic_write(path: str | os.PathLike[str], write: Callable[[BinaryIO], Any]) -> Path:
    """Write a file beside its target, flush it to disk and move it into place.

    On any error, an interrupt included, the target stays as it was and nothing is left behind.
    Raises MissingFileError where the folder does not exist, ParameterError where it cannot be
    written or the target is no regular file.
    """
    target = Path(os.path.realpath(_as_path(path)))  # a link stays a link
    if not target.parent.is_dir():
        raise MissingFileError(str(target.parent), "an existing folder", "none")
    if target.exists() and not target.is_file():
        raise ParameterError(str(target), "the path of a file", "a folder or device")
    temporary = target.with_name(f".{target.name[:80]}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb+") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        why = error.strerror or str(error)
        raise ParameterError(str(target), "a place that can be written to", why) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def save(value: Any, path: str | os.PathLike[str]) -> Path:
    """Write a value to an npz file, all or nothing.

    Parameters
    ----------
    value : HRSNN or another registered type
        What to save.
    path : path-like
        Target; must end in ``.npz`` (nothing is appended). An existing file is replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ParameterError
        For another suffix, a value that cannot be stored, or a folder that cannot be written.
    MissingFileError
        If the folder does not exist.

    Notes
    -----
    A reader sees the old file or the new one. One value gives the same bytes every time (with the
    same versions of this package and of zlib).
    """
    target = _as_path(path)
    if target.suffix != ".npz":
        raise ParameterError("path", "a file name ending in .npz", str(target))
    arrays: Arrays = {}
    root = encode_nested(value, arrays, "")
    arrays = {name: _storable(name, array) for name, array in arrays.items()}
    head = {"format": FORMAT, "version": VERSION, "package": package_version()}
    text = json.dumps({**head, **root, "arrays": _table(arrays)}, allow_nan=False).encode("ascii")
    if len(text) > MAX_SCHEMA_BYTES or len(arrays) >= MAX_MEMBERS:
        got = f"{len(text)} bytes, {len(arrays)} arrays"
        raise ParameterError("value", f"16 MiB of plain data, {MAX_MEMBERS - 1} arrays", got)
    members = {"schema": np.frombuffer(text, dtype=np.uint8), **arrays}

    def write(file: BinaryIO) -> None:
        _write_zip(file, members, zipfile.ZIP_DEFLATED)
        # Long constant arrays deflate beyond what load accepts: those files are not deflated.
        if sum(a.nbytes + 256 for a in members.values()) > FREE_BYTES + MAX_RATIO * file.tell():
            file.seek(0)
            file.truncate()
            _write_zip(file, members, zipfile.ZIP_STORED)

    return atomic_write(target, write)


def _table(arrays: Held) -> dict[str, Any]:
    return {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}


def _storable(name: str, array: Any) -> np.ndarray:
    if type(array) is not np.ndarray or array.dtype.kind not in NUMBERS:
        got = str(getattr(array, "dtype", type(array).__name__))
        raise ParameterError(name, "a plain array of bool, int, float or complex", got)
    if not NAME.fullmatch(name) or name == "schema":
        raise ParameterError(name, "an array name of letters, digits and _, not schema")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def _write_zip(file: BinaryIO, members: Arrays, method: int) -> None:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, array in members.items():
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = method, 3, 0o644 << 16
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
            archive.writestr(info, buffer.getvalue(), compresslevel=3)


def load(path: str | os.PathLike[str], expected: Any = None) -> Any:
    """Read a value that :func:`save` wrote; no code in the file is run.

    Parameters
    ----------
    path : path-like
        The file; its name does not matter, its content does.
    expected : type or tuple of types, optional
        Refuse values of any other type.

    Returns
    -------
    HRSNN or another registered type
        The value, equal to what was saved.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        For a folder, a corrupt, truncated or foreign file, object arrays, a newer schema
        version, or a file that claims to unpack to more than 256 MiB + 100 times its size.
    ParameterError
        If it may not be read.
    """
    source = _as_path(path)
    if not source.exists():
        raise MissingFileError(str(source), "an existing file", "none")
    check(source.is_file(), str(source), "a file", "a folder" if source.is_dir() else "a device")
    try:
        with source.open("rb") as file:
            schema, arrays = _read_zip(file, source.stat().st_size)
        return decode_nested(schema, arrays, "", expected)
    except PermissionError as error:
        raise ParameterError(str(source), "a file that can be read", error.strerror) from error
    except BrainLNPError as error:
        raise FormatError(str(source), "a file of brain_lnp", str(error)) from error
    except Exception as error:
        # zipfile and json answer damaged input with a dozen types, and decode functions with any.
        why = f"a damaged or foreign file ({type(error).__name__}: {error})"
        raise FormatError(str(source), "a file of brain_lnp", why) from error


def _read_zip(file: BinaryIO, size: int) -> tuple[dict[str, Any], Arrays]:
    # zipfile reads the whole directory before it can be asked, so its size comes from the end
    # record, which a zip64 locator would overrule.
    file.seek(max(0, size - 42))
    tail = file.read(42)
    complete = len(tail) >= 22 and tail[-22:-18] == b"PK\x05\x06"
    check(complete, "content", "a complete npz", "truncated, or no npz")
    count, directory = struct.unpack("<HL", tail[-12:-6])
    fine = tail[:4] != b"PK\x06\x07" or size > 2**31 - 2**26
    fine = fine and count <= MAX_MEMBERS and directory <= 2**25
    check(fine, "content", f"at most {MAX_MEMBERS} members", "a larger directory")
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        total, most = sum(info.file_size for info in infos), FREE_BYTES + MAX_RATIO * size
        check(total <= most, "content", f"at most {most} bytes", total)
        first = infos and infos[0].filename == "schema.npy"
        fine = bool(first) and infos[0].file_size <= MAX_SCHEMA_BYTES
        check(fine, "content", "a schema of brain_lnp", "another npz")
        # Methods other than these two put no bound on what one read unpacks.
        fine = all(info.compress_type in (0, 8) for info in infos)
        check(fine, "content", "stored or deflated members", "another compression")
        schema = json.loads(_read_member(archive, infos[0]).tobytes())
        fine = isinstance(schema, dict) and schema.get("format") == FORMAT
        check(fine, "format", FORMAT, "another npz")
        check_version("schema version", schema.get("version"), VERSION)
        arrays = {i.filename.removesuffix(".npy"): _read_member(archive, i) for i in infos[1:]}
    listed, found = dict(schema["arrays"]), _table(arrays)
    wrong = sorted(k for k in {*listed, *found} if listed.get(k) != found.get(k))
    fine = not wrong and len(infos) == len(arrays) + 1
    check(fine, "arrays", "what the schema lists", "other " + ", ".join(wrong))
    return schema, arrays


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    name = info.filename
    with archive.open(info) as member:
        check(np.lib.format.read_magic(member) == (1, 0), name, "npy version 1.0", "another")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
        check(not dtype.hasobject, name, "plain numbers", "an object array (pickle)")
        check(dtype.kind in NUMBERS and not fortran, name, "numbers in C order", str(dtype))
        # Before allocating: what the header promises must be what the member holds.
        size = math.prod(shape) * dtype.itemsize
        fine = min(shape, default=0) >= 0 and member.tell() + size == info.file_size
        check(fine, name, f"{size} bytes for shape {shape}", "another size")
        data = member.read(size)  # bounded: the size in the directory may be a lie
        check(len(data) == size, name, f"{size} bytes", len(data))
    return np.frombuffer(data, dtype=dtype).reshape(shape) if size else np.empty(shape, dtype)


_SYNAPSES = {"i": "<i8", "j": "<i8", "w": "<f8"}
_LABELS = {"is_exc": "|b1", "cluster": "<i8", "ids": "<i8"}
_PLAIN = ("model", "n", "n_origin", "history")
_EACH = {**dict.fromkeys(PER_NEURON, "<f8"), **_LABELS}


def _encode_hrsnn(net: HRSNN) -> tuple[Arrays, dict[str, Any]]:
    arrays = {name: getattr(net, name) for name in (*_SYNAPSES, *_EACH)}
    arrays.update({f"params/{name}": array for name, array in net.params.items()})
    return arrays, {name: getattr(net, name) for name in (*_PLAIN, "digest")}


def _decode_hrsnn(arrays: Held, meta: Mapping[str, Any]) -> HRSNN:
    shape = take(arrays, "w").shape
    values: dict[str, Any] = {name: meta[name] for name in _PLAIN}
    values |= {name: take(arrays, name, kind, shape) for name, kind in _SYNAPSES.items()}
    values |= {name: take(arrays, name, kind, (meta["n"],)) for name, kind in _EACH.items()}
    params = {k.removeprefix("params/"): a for k, a in arrays.items() if k.startswith("params/")}
    net = HRSNN(**values, params=params)
    check(net.digest == meta["digest"], "digest", meta["digest"], net.digest)
    return net


register("HRSNN", HRSNN, _encode_hrsnn, _decode_hrsnn)
