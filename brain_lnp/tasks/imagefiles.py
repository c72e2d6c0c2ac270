"""Image files in the formats their publishers chose: IDX, CIFAR's binary records, npz.

No format here can carry code: nothing is unpickled. What a header promises is compared with what
the file holds *before* memory is asked for.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from brain_lnp.tasks.datafile import data_file
from models_eq.errors import FormatError, MissingFileError

# 4 GiB: several times the largest of these data sets, and still no danger to a workstation.
MAX_BYTES = 4 * 2**30
_NPZ_KEYS = ("x_train", "y_train", "x_test", "y_test")
_IDX_PARTS = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
_PIXELS = 3 * 32 * 32
_CIFAR = {
    # label bytes of a record, which of them is the class, classes, training files, test file
    "cifar10": (1, 0, 10, [f"data_batch_{k}.bin" for k in range(1, 6)], "test_batch.bin"),
    "cifar100": (2, 1, 100, ["train.bin"], "test.bin"),
}


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and labels as their publisher divided them.

    Attributes
    ----------
    x_train, x_test : ndarray of uint8, shape (n, height, width) or (n, height, width, colours)
    y_train, y_test : ndarray of int, shape (n,)
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Array of an IDX file of unsigned bytes, plain or compressed with gzip.

    Parameters
    ----------
    path : path-like
        Such as ``train-images-idx3-ubyte.gz``; gzip is recognised by its content.

    Returns
    -------
    ndarray of uint8

    Raises
    ------
    FormatError
        For another magic number or type, no or more than four dimensions, or a file that is shorter
        or longer than its header says.

    References
    ----------
    LeCun, Cortes & Burges, The MNIST database of handwritten digits (description of the format).
    """
    file = Path(path)
    try:
        with open(file, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(file) if packed else open(file, "rb") as stream:
            return _idx(stream, file, None if packed else file.stat().st_size)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(str(file), "an IDX file that can be read", str(error)) from error


def _idx(stream: Any, file: Path, size: int | None) -> np.ndarray:
    head = stream.read(4)
    if len(head) != 4 or head[:2] != b"\0\0" or head[2] != 8 or not 1 <= head[3] <= 4:
        raise FormatError(str(file), "IDX of unsigned bytes (magic 00 00 08 01..04)", head.hex(" "))
    sizes = stream.read(4 * head[3])
    if len(sizes) != 4 * head[3]:
        raise FormatError(str(file), f"{head[3]} sizes after the magic number", "the end")
    shape = tuple(int(s) for s in np.frombuffer(sizes, ">u4"))
    total = 1
    for length in shape:
        total *= length
    if total > MAX_BYTES or (size is not None and size != 4 + 4 * head[3] + total):
        raise FormatError(
            str(file),
            f"the size its header of {shape} asks for",
            f"{total} bytes promised" + ("" if size is None else f", {size} in the file"),
        )
    # In pieces: what a gzip stream really holds shows only as it unfolds.
    pieces, left = [], total + 1
    while left and (piece := stream.read(min(left, 2**22))):
        pieces.append(piece)
        left -= len(piece)
    data = b"".join(pieces)
    if len(data) != total:
        more = "more" if len(data) > total else str(len(data))
        raise FormatError(str(file), f"{total} bytes of data, as {shape} asks for", more)
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_idx_folder(directory: str | os.PathLike[str]) -> ImageSet:
    """MNIST or a data set in its format: four IDX files of one folder, plain or ``.gz``.

    Raises
    ------
    MissingFileError
        Naming the file that is not there.
    FormatError
        If a file is damaged, or images and labels differ in number.
    """
    arrays = []
    for name in _IDX_PARTS:
        found = [Path(directory) / f"{name}{end}" for end in ("", ".gz")]
        file = next((f for f in found if f.is_file()), None)
        if file is None:
            raise MissingFileError(
                name,
                f"the file, plain or .gz, in {directory}",
                "none",
                "See `brain-lnp data list` for what can be downloaded",
            )
        arrays.append(read_idx(file))
    x_train, y_train, x_test, y_test = arrays
    for x, y, part in ((x_train, y_train, "train"), (x_test, y_test, "test")):
        if x.ndim != 3 or y.ndim != 1 or len(x) != len(y) or x.size == 0:
            shapes = f"{x.shape} and {y.shape}"
            raise FormatError(str(directory), f"as many {part} labels as images", shapes)
    return ImageSet(x_train, y_train, x_test, y_test)


def _records(data: bytes, name: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    width, which, classes, _, _ = _CIFAR[kind]
    record = width + _PIXELS
    if not data or len(data) % record:
        raise FormatError(name, f"whole records of {record} bytes", f"{len(data)} bytes")
    table = np.frombuffer(data, np.uint8).reshape(-1, record)
    labels = table[:, which].astype(np.int64)
    if labels.max() >= classes:
        raise FormatError(name, f"labels below {classes}", int(labels.max()), f"Is it {kind}?")
    # Planes of red, green and blue, each row by row.
    images = table[:, width:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


def _bounded(stream: IO[bytes], size: int, name: str) -> bytes:
    if size > MAX_BYTES:
        raise FormatError(name, f"at most {MAX_BYTES} bytes", f"{size}")
    return stream.read(size + 1)


def read_cifar_binary(path: str | os.PathLike[str], kind: str = "cifar10") -> ImageSet:
    """CIFAR-10 or CIFAR-100 in the publisher's binary version, which needs no pickle.

    Parameters
    ----------
    path : path-like
        The folder of ``.bin`` files, or the ``.tar.gz`` as downloaded (nothing is unpacked to disk,
        and only the expected names are read).
    kind : {'cifar10', 'cifar100'}
        CIFAR-100 has a coarse label before the fine one; the fine one is returned.

    Raises
    ------
    MissingFileError
        Naming the batch that is not there.
    FormatError
        For a file that is not whole records, or labels out of range.

    References
    ----------
    Krizhevsky 2009, Learning multiple layers of features from tiny images, University of Toronto.
    """
    source = Path(path)
    train, test = _CIFAR[kind][3:]
    files = dict(_folder(source, [*train, test]) if source.is_dir() else _tar(source))
    absent = [name for name in (*train, test) if name not in files]
    if absent:
        raise MissingFileError(
            absent[0], f"the file in {source}", "none", "See `brain-lnp data get --help`"
        )
    parts = [_records(files[name], name, kind) for name in (*train, test)]
    return ImageSet(
        np.concatenate([x for x, _ in parts[:-1]]),
        np.concatenate([y for _, y in parts[:-1]]),
        *parts[-1],
    )


def _folder(folder: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if (folder / name).is_file():
            with open(folder / name, "rb") as stream:
                yield name, _bounded(stream, (folder / name).stat().st_size, name)


def _tar(archive: Path) -> Iterator[tuple[str, bytes]]:
    names = {name for spec in _CIFAR.values() for name in (*spec[3], spec[4])}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                if member.isfile() and name in names and (stream := tar.extractfile(member)):
                    yield name, _bounded(stream, member.size, name)
    except FileNotFoundError as error:
        raise MissingFileError(
            str(archive), "a folder or archive", "none", "Download it: `brain-lnp data list`"
        ) from error
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise FormatError(str(archive), "a tar archive that can be read", str(error)) from error


def read_npz(path: str | os.PathLike[str], keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Named arrays of an npz file, whose headers are checked before anything is allocated.

    Parameters
    ----------
    path : path-like
        The file.
    keys : tuple of str
        Arrays that must be there; others are not read.

    Raises
    ------
    FormatError
        For what is no npz file, lacks an array, holds pickled objects, or promises more than it
        holds or than 4 GiB.
    """
    file = Path(path)
    readable = "a readable npz file without pickled arrays"
    try:
        with zipfile.ZipFile(file) as archive:
            entries = {e.filename.removesuffix(".npy"): e for e in archive.infolist()}
            absent = [key for key in keys if key not in entries]
            if absent:
                expected = "the arrays " + ", ".join(keys)
                raise FormatError(str(file), expected, f"{list(entries)}, without {absent}")
            for key in keys:
                with archive.open(entries[key]) as stream:
                    _check_header(stream, entries[key].file_size, f"{file}, array {key}")
        with np.load(file, allow_pickle=False) as npz:
            return {key: npz[key] for key in keys}
    except FormatError:
        raise
    except Exception as error:  # zipfile, zlib and lzma each raise their own
        raise FormatError(str(file), readable, str(error)) from error


def _check_header(stream: IO[bytes], size: int, name: str) -> None:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise FormatError(name, "npy format 1.0 or 2.0", f"{version}")
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise FormatError(name, "numbers or text", "objects, which only pickle could load")
    total = dtype.itemsize
    for length in shape:
        total *= int(length)
    if total > MAX_BYTES or total > size:
        raise FormatError(name, f"{total} bytes, as its header says (limit {MAX_BYTES})", size)


def read_image_npz(
    path: str | os.PathLike[str], directory: str | os.PathLike[str] | None = None
) -> ImageSet:
    """Images of an npz file with the arrays x_train, y_train, x_test and y_test.

    Raises
    ------
    MissingFileError
        If the file is not there, saying what to do.
    FormatError
        If it is not such a file.
    """
    arrays = read_npz(data_file(path, directory), _NPZ_KEYS)
    return ImageSet(*(arrays[key] for key in _NPZ_KEYS))
