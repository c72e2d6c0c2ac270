"""Registered value types as arrays and JSON-able data: what a file of :mod:`storage` holds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from models_eq.errors import FormatError, ParameterError

Arrays = dict[str, np.ndarray]
Held = Mapping[str, np.ndarray]
Encode = Callable[[Any], tuple[Held, Mapping[str, Any]]]
Decode = Callable[[Held, Mapping[str, Any]], Any]
NAME = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*")
NUMBERS = "biufc"


_KINDS: dict[str, tuple[type, Encode, Decode, int]] = {}


def check(ok: bool, field: str, expected: str, got: Any, hint: str = "") -> None:
    """Raise FormatError unless ``ok``."""
    if not ok:
        raise FormatError(field, expected, got, hint)


def register(kind: str, cls: type, encode: Encode, decode: Decode, version: int = 1) -> None:
    """Make a value type known to :func:`save` and :func:`load`.

    Parameters
    ----------
    kind : str
        Name written into files.
    cls : type
        The value type; matched exactly, not its subclasses.
    encode : callable
        ``encode(value) -> (arrays, meta)``: arrays by name (bool, integer, float, complex), and a
        dict of None, bool, int, float, str, lists, tuples, dicts, arrays and registered values at
        any depth, which come back as they were (NumPy scalars as Python's).
    decode : callable
        ``decode(arrays, meta) -> value``; whatever it raises is reported as FormatError.
    version : int
        Raise it when old code could not read what ``encode`` writes now.

    Raises
    ------
    ParameterError
        If the kind is taken by another class.
    """
    if kind in _KINDS and _KINDS[kind][0].__qualname__ != cls.__qualname__:
        raise ParameterError("kind", "a name not taken yet", kind)
    _KINDS[kind] = (cls, encode, decode, version)


def _pack(value: Any, arrays: Arrays, at: str) -> Any:
    """Plain data as JSON; what JSON lacks becomes a dict of one key, arrays go to ``arrays``."""
    if at.count("/") > 60:
        raise ParameterError(at[:40], "data nested at most 60 deep")
    value = value.item() if isinstance(value, np.generic) else value
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    if kind is float:
        return {"$float": repr(value)}
    if kind in (list, tuple):
        items = [_pack(item, arrays, f"{at}/{k}") for k, item in enumerate(value)]
        return items if kind is list else {"$tuple": items}
    if kind is np.ndarray:
        arrays[at] = value
        return {"$array": at}
    if any(kind is known[0] for known in _KINDS.values()):
        return {"$value": [at, encode_nested(value, arrays, at)]}
    if not isinstance(value, Mapping):
        raise ParameterError(at, "plain data, arrays or registered values", kind.__name__)
    plain = all(type(key) is str and not key.startswith("$") for key in value)
    pairs = []
    for k, (key, item) in enumerate(value.items()):
        # The place keeps names apart where keys differ only in what a name cannot hold.
        name = f"{at}/{k}_{re.sub('[^A-Za-z0-9_]', '_', key) if plain else ''}"
        pairs.append([_pack(key, arrays, f"{name}_key"), _pack(item, arrays, name)])
    return dict(pairs) if plain else {"$items": pairs}


def _unpack(data: Any, arrays: Held) -> Any:
    if isinstance(data, list):
        return [_unpack(item, arrays) for item in data]
    if not isinstance(data, dict):
        return data
    tag = next((key for key in data if key.startswith("$")), None)
    if tag is None:
        return {key: _unpack(item, arrays) for key, item in data.items()}
    body = data[tag]
    if tag == "$float":
        return float(body)
    if tag == "$tuple":
        return tuple(_unpack(item, arrays) for item in body)
    if tag == "$items":
        return {_unpack(key, arrays): _unpack(item, arrays) for key, item in body}
    if tag == "$array":
        return take(arrays, body)
    if tag == "$value":
        return decode_nested(body[1], arrays, body[0])
    raise FormatError("meta", "a known tag", tag)


def take(
    arrays: Held, name: str, dtype: Any = None, shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """One array of a file, for ``decode``; FormatError if missing or of other dtype or shape."""
    check(name in arrays, name, "an array of this name", "none")
    array = arrays[name]
    right = dtype is None or array.dtype == np.dtype(dtype)
    check(right, name, f"dtype {dtype}", f"dtype {array.dtype}")
    check(shape in (None, array.shape), name, f"shape {shape}", f"shape {array.shape}")
    return array


def encode_nested(value: Any, arrays: Arrays, prefix: str) -> dict[str, Any]:
    """Encode a registered value into ``arrays`` under ``prefix/``; returns its plain data.

    Raises ParameterError if the type is not registered or holds what cannot be stored.
    """
    kind = next((name for name, known in _KINDS.items() if known[0] is type(value)), None)
    if kind is None:
        raise ParameterError("value", "one of " + ", ".join(_KINDS), type(value).__name__)
    own, meta = _KINDS[kind][1](value)
    packed: Arrays = {}
    data = _pack(dict(meta), packed, "meta")
    if set(own) & set(packed):
        raise ParameterError(kind, "array names that do not begin with meta/", "such a name")
    arrays.update({f"{prefix}/{k}" if prefix else k: a for k, a in {**own, **packed}.items()})
    return {"kind": kind, "kind_version": _KINDS[kind][3], "meta": data}


def decode_nested(data: Mapping[str, Any], arrays: Held, prefix: str, expected: Any = None) -> Any:
    """Undo :func:`encode_nested`; ``expected`` is a class, a tuple of classes, or None.

    Raises FormatError for an unknown or unexpected kind, or a newer version of it.
    """
    name = data["kind"]
    hint = "Import brain_lnp first: it makes every kind known"
    check(name in _KINDS, "kind", "one of " + ", ".join(_KINDS), name, hint)
    cls, _, decode, version = _KINDS[name]
    wanted = expected if isinstance(expected, tuple) else (expected or object,)
    check(issubclass(cls, wanted), "kind", " or ".join(c.__name__ for c in wanted), name)
    check_version(f"version of {name}", data["kind_version"], version)
    start = f"{prefix}/" if prefix else ""
    own = {key[len(start) :]: a for key, a in arrays.items() if key.startswith(start)}
    return decode(own, _unpack(data["meta"], own))


def check_version(field: str, found: Any, newest: int) -> None:
    """Raise FormatError unless ``found`` is a version that this package can read."""
    fine = type(found) is int and 1 <= found <= newest
    check(fine, field, f"1..{newest}", found, "For a newer file update brain-lnp")
