"""Axes of a sweep: laws from which values are drawn, and putting a value in its place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np

from brain_lnp.tables import one_of
from models_eq.errors import ParameterError
from models_eq.units import TIME, parse_quantity, to_si

LAWS: Mapping[str, tuple[str, ...]] = {
    "uniform": ("low", "high"), "log_uniform": ("low", "high"), "integer": ("low", "high"),
    "choice": ("values",),
}  # fmt: skip


def check_law(law: Mapping[str, Any], place: str) -> None:
    """Refuse a law that cannot be drawn from; ParameterError names the key below ``place``."""
    one_of(law["kind"], tuple(LAWS), f"{place}.kind")
    keys = LAWS[law["kind"]]
    for key in law:
        one_of(key, ("kind", *keys), f"{place}.{key}")
    for key in keys:
        if key not in law:
            raise ParameterError(f"{place}.{key}", "a value", "nothing")
    if law["kind"] == "choice":
        if not isinstance(law["values"], list) or not law["values"]:
            raise ParameterError(f"{place}.values", "a list of values", law["values"])
        return
    low, high = (_number(law[key], f"{place}.{key}") for key in keys)
    if law["kind"] == "integer" and not all(type(law[key]) is int for key in keys):
        raise ParameterError(place, "whole numbers", [law["low"], law["high"]])
    if isinstance(law["low"], str) != isinstance(law["high"], str):
        raise ParameterError(place, "a unit for both bounds or for none", [law["low"], law["high"]])
    if not low < high:
        raise ParameterError(f"{place}.high", f"a value above low ({law['low']})", law["high"])
    if law["kind"] == "log_uniform" and low <= 0:
        raise ParameterError(f"{place}.low", "a value above 0", law["low"])


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ParameterError(place, "a number or a time with its unit", value)
    if isinstance(value, str):
        found = parse_quantity(value, place)
        if isinstance(found, float):
            raise ParameterError(place, "a number, or a time with its unit", value)
        return float(to_si(value, TIME, place))
    if not math.isfinite(value):
        raise ParameterError(place, "a finite number", value)
    return float(value)


def draw(law: Mapping[str, Any], rng: np.random.Generator, count: int) -> list[Any]:
    """Draw ``count`` values: numbers, times as text in seconds, or one of the choices."""
    unit = rng.random(count)
    if law["kind"] == "choice":
        return [law["values"][int(u * len(law["values"]))] for u in unit]
    low, high = _number(law["low"], "low"), _number(law["high"], "high")
    if law["kind"] == "integer":
        return [int(low + math.floor(u * (high - low + 1))) for u in unit]
    if law["kind"] == "log_uniform":
        found = [low * (high / low) ** float(u) for u in unit]
    else:
        found = [low + (high - low) * float(u) for u in unit]
    return [f"{x!r} s" for x in found] if isinstance(law["low"], str) else found


def put(data: Any, key: str, value: Any) -> None:
    """Set a field by its dotted key: numbers count entries of a list, ``*`` is each of them."""
    *path, last = key.split(".")
    places = [data]
    for part in path:
        places = [below for place in places for below in _below(place, part, key)]
    for place in places:
        if isinstance(place, list):
            for k in _entries(place, last, key):
                place[k] = value
            continue
        # A field that takes a list takes one value as a list of one.
        wants_list = isinstance(place.get(last), list) and not isinstance(value, list)
        place[last] = [value] if wants_list else deepcopy(value)


def _below(place: Any, part: str, key: str) -> list[Any]:
    if isinstance(place, list):
        found = [place[k] for k in _entries(place, part, key)]
    else:
        found = [place.setdefault(part, {})]
    for one in found:
        if not isinstance(one, (dict, list)):
            raise ParameterError(key, "a field of the base experiment", f"{part} is {one!r}")
    return found


def _entries(place: list[Any], part: str, key: str) -> list[int]:
    if part == "*":
        return list(range(len(place)))
    if not part.isdecimal() or int(part) >= len(place):
        raise ParameterError(key, f"a number below {len(place)}, or *", part)
    return [int(part)]
