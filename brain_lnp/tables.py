"""Tables of an experiment file: laws and graphs with the dotted key of every error, and TOML."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from brian2.units.fundamentalunits import DIMENSIONLESS, Dimension
from pydantic import ValidationError

from models_eq.distributions import Distribution, as_distribution
from models_eq.errors import FormatError, MissingFileError, ParameterError
from models_eq.units import to_si

_MAX_BYTES = 2**20
_DIMENSIONLESS_KEYS = ("shape", "cv", "weights")


def one_of(value: Any, names: tuple[str, ...], field: str = "") -> Any:
    """Return ``value`` if it is one of ``names``; ParameterError with the nearest otherwise."""
    if value not in names:
        raise ParameterError(field, "one of " + ", ".join(names), value, _near(value, names))
    return value


def _near(word: Any, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word).lower(), list(names), 1, 0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


def plain(value: Any) -> Any:
    """Tuples as lists, and None left out."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def toml_key(key: str) -> str:
    """A key as TOML writes it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else toml_value(key, key)


def toml_value(value: Any, field: str) -> str:
    """A value as TOML writes it; ParameterError for dates, nan and inf."""
    if isinstance(value, Mapping):
        items = (
            f"{toml_key(k)} = {toml_value(v, f'{field}.{k}'.strip('.'))}" for k, v in value.items()
        )
        return "{" + ", ".join(items) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(item, field) for item in value) + "]"
    if isinstance(value, str):  # TOML's escapes are JSON's, and it wants one for DEL as well
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (bool, int)):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    raise ParameterError(field, "text, numbers, true or false, lists and tables", value)


def kinds(data: Any, base: type) -> Any:
    """Write every ``kind`` below ``data`` as its class is written, where there is such a class."""
    if isinstance(data, list):
        return [kinds(item, base) for item in data]
    if not isinstance(data, Mapping):
        return data
    result = {key: kinds(item, base) for key, item in data.items()}
    known, todo = {}, [base]
    while todo:
        todo += (found := todo.pop()).__subclasses__()
        known[found.__name__.lower()] = found.__name__
    kind = data.get("kind")
    if isinstance(kind, str):
        result["kind"] = known.get(kind.lower().replace("_", ""), kind)
    return result


def law(value: Any, dimension: Dimension, path: str) -> Distribution:
    """Read a law of a given dimension; errors carry the dotted key below ``path``."""
    _check_units(value, dimension, path)
    table = kinds(value, Distribution)
    return build(lambda: as_distribution(table, path, dimension), path, table)


def _check_units(value: Any, dimension: Dimension, path: str) -> None:
    # The laws check as well, but know neither where they stand nor what they are for.
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key != "kind":
                dimensional = key not in _DIMENSIONLESS_KEYS
                _check_units(item, dimension if dimensional else DIMENSIONLESS, f"{path}.{key}")
    elif isinstance(value, list):
        for k, item in enumerate(value):
            _check_units(item, dimension, f"{path}.{k}")
    else:
        to_si(value, dimension, path)


def build(make: Callable[[], Any], path: str, table: Any) -> Any:
    """Call ``make``; its ParameterError gets the dotted key of what it complains about."""
    try:
        return make()
    except ParameterError as error:
        field = error.field
        if not field.startswith(path):
            kind, _, key = field.partition(".")
            place = _find(table, kind)
            field = f"{path}.{field}" if place is None else ".".join((path, *place, key))
        raise renamed(error, field) from None


def _find(table: Any, kind: str) -> tuple[str, ...] | None:
    if isinstance(table, list):
        table = dict(enumerate(table))
    if not isinstance(table, Mapping):
        return None
    if table.get("kind") == kind:
        return ()
    below = ((str(key), _find(item, kind)) for key, item in table.items())
    return next(((key, *rest) for key, rest in below if rest is not None), None)


def renamed(error: ParameterError, field: str) -> ParameterError:
    """The same error for another field, with the nearest of the names that it lists."""
    hint = error.hint
    if not hint and (listed := re.match("one of (?:the keys )?(.*)", error.expected)):
        word = field.rpartition(".")[2] if "keys" in error.expected else error.got
        hint = _near(word, listed[1].split(", "))
    return type(error)(field, error.expected, error.got, hint)


def translated(failure: ValidationError, models: Mapping[str, Any]) -> ParameterError:
    """The first complaint of pydantic as one error; what is unknown goes before what is missing."""
    rank = {"extra_forbidden": 0, "missing": 2}
    problem = min(failure.errors(include_url=False), key=lambda p: rank.get(p["type"], 1))
    place = [str(part) for part in problem["loc"]]
    field, given, cause = ".".join(place), problem["input"], problem.get("ctx", {}).get("error")
    if isinstance(cause, ParameterError):
        return renamed(cause, ".".join(filter(None, (field, cause.field))))
    if problem["type"] == "missing":
        return ParameterError(field, "a value", "nothing")
    if problem["type"] == "extra_forbidden":
        model = models[place[0] if len(place) > 1 else ""]
        keys = ", ".join(model.model_fields)
        return renamed(ParameterError(field, "one of the keys " + keys, "this key"), field)
    expected = problem["msg"].removeprefix("Input should ").removeprefix("be ")
    return ParameterError(field, expected.replace("tuple", "list"), given)


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a TOML file; errors as of :func:`~brain_lnp.config.load_experiment`."""
    source = Path(path)
    if not source.exists():
        raise MissingFileError(str(source), "an existing TOML file", "none")
    size = source.stat().st_size
    if not source.is_file() or size > _MAX_BYTES:
        given = f"{size} bytes" if source.is_file() else "a folder or a device"
        raise FormatError(str(source), "a TOML file of at most 1 MiB", given)
    try:
        data = source.read_bytes()
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(str(source), "UTF-8 text", f"other bytes in line {line}") from None
    except OSError as error:
        raise ParameterError(str(source), "a file that can be read", str(error.strerror)) from None
    return text
