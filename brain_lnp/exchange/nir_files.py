"""NIR files (HDF5) as nested dicts, read with care: a file comes from anywhere."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from models_eq.errors import BrainLNPError, CapabilityError, FormatError, MissingFileError
from models_eq.packing import check
from models_eq.storage import FREE_BYTES, MAX_RATIO, atomic_write

Tree = dict[str, Any]
MAX_OBJECTS, MAX_DEPTH, MAX_TEXT = 5_000, 16, 2**20
# Those of HDF5 itself and h5py; others may be loaded from plug-ins.
_FILTERS = {"gzip", "shuffle", "lzf", "fletcher32"}
_FILTER_IDS = {1, 2, 3, 32000}
_INSTALL = "pip install 'brain-lnp[exchange]'"


def extra(name: str) -> Any:
    """A module of the extra ``exchange``, or CapabilityError saying how to install it."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise CapabilityError(name, "an installed package", "none", _INSTALL) from None


def read_tree(path: str | os.PathLike[str]) -> Tree:
    """Read the graph of a NIR file.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict
        What ``nir`` calls the dict of a graph: text, arrays and further dicts.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        For what is no NIR file: damaged, too large, nested too deep, with links to other files,
        filters of plug-ins, or data other than numbers and text.
    CapabilityError
        If h5py is not installed.
    """
    source = Path(path)
    if not source.exists():
        raise MissingFileError(str(source), "an existing file", "none")
    check(source.is_file(), str(source), "a file", "a folder or device")
    h5py = extra("h5py")
    try:
        with h5py.File(source, "r") as file:
            reader = _Reader(h5py, FREE_BYTES + MAX_RATIO * source.stat().st_size)
            node = file.get("node", getlink=False) if "node" in file else None
            check(isinstance(node, h5py.Group), "node", "a NIR graph", "another HDF5 file")
            reader.only_hard(file, "node")
            return reader.group(node, "node", 0)
    except BrainLNPError as error:
        raise FormatError(str(source), "a NIR file", str(error)) from error
    except Exception as error:
        # h5py answers damaged input with half a dozen types.
        why = f"a damaged or foreign file ({type(error).__name__}: {error})"
        raise FormatError(str(source), "a NIR file", why) from error


class _Reader:
    def __init__(self, h5py: Any, most: int) -> None:
        self.h5py, self.most, self.read, self.count = h5py, most, 0, 0

    def only_hard(self, group: Any, name: str) -> None:
        # Soft links may form circles; external ones open other files.
        link = group.get(name, getlink=True)
        check(isinstance(link, self.h5py.HardLink), name, "no links", type(link).__name__)

    def group(self, group: Any, at: str, depth: int) -> Tree:
        check(depth <= MAX_DEPTH, at[:80], f"at most {MAX_DEPTH} levels", "more")
        found: Tree = {}
        for key in group:
            self.count += 1
            check(self.count <= MAX_OBJECTS, "content", f"at most {MAX_OBJECTS} objects", "more")
            self.only_hard(group, key)
            item, where = group[key], f"{at}/{key}"
            if isinstance(item, self.h5py.Group):
                found[key] = self.group(item, where, depth + 1)
            else:
                check(isinstance(item, self.h5py.Dataset), where, "an array", type(item).__name__)
                found[key] = self.array(item, where)
        return found

    def array(self, item: Any, at: str) -> Any:
        plain = not item.external and not item.is_virtual
        check(plain, at, "data in the file itself", "external or virtual data")
        plist = item.id.get_create_plist()
        filters = {plist.get_filter(k)[0] for k in range(plist.get_nfilters())}
        check(filters <= _FILTER_IDS, at, ", ".join(sorted(_FILTERS)), f"filters {filters}")
        text = self.h5py.check_string_dtype(item.dtype) is not None
        size = item.size or 0
        self.read += size * (16 if text else item.dtype.itemsize)
        check(self.read <= self.most, "content", f"at most {self.most} bytes", "more")
        if text:
            check(size <= 10_000, at, "at most 10,000 texts", size)
            check(item.id.get_storage_size() <= MAX_TEXT, at, f"at most {MAX_TEXT} bytes", "more")
            value = item[()]
            if isinstance(value, bytes):
                return value.decode("utf-8")
            return [[str(_text(x)) for x in row] for row in np.atleast_2d(value)]
        check(item.dtype.kind in "biuf", at, "numbers or text", str(item.dtype))
        return np.asarray(item[()])


def _text(value: Any) -> str:
    check(isinstance(value, (bytes, str)), "text", "text", type(value).__name__)
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def write_graph(graph: Any, path: str | os.PathLike[str]) -> Path:
    """Write a ``nir.NIRGraph`` to a file, all or nothing.

    Raises
    ------
    MissingFileError, ParameterError
        As :func:`~models_eq.storage.atomic_write`.
    """
    nir = extra("nir")
    buffer = io.BytesIO()
    nir.write(buffer, graph)
    data = buffer.getvalue()
    total = sum(a.nbytes for a in _arrays(graph.to_dict()))
    if total > FREE_BYTES + MAX_RATIO * len(data):  # beyond what read_tree takes for honest
        buffer = io.BytesIO()
        nir.write(buffer, graph, compression=None)
        data = buffer.getvalue()

    def write(file: BinaryIO) -> None:
        file.write(data)

    return atomic_write(path, write)


def _arrays(tree: Any) -> list[np.ndarray]:
    if isinstance(tree, np.ndarray):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else ()
    return [array for value in values for array in _arrays(value)]
