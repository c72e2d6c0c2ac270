"""Frozen arrays and clocks for Brian2 that leave generated code the same from run to run."""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2 import Clock, Function, second
from brian2.utils.caching import CacheKey


class FrozenFunction(Function, CacheKey):  # type: ignore[misc]
    """A function that Brian2's caches tell apart by its signature, not by the array behind it.

    They keep what they were asked for as long as the process lives: with the function itself as a
    key, every array that was ever an input would stay in memory.
    """

    def __init__(self, name: str, python: Any, arg_units: list[Any], arg_names: list[str]) -> None:
        super().__init__(
            python, arg_units=arg_units, return_unit=1, arg_names=arg_names, stateless=False
        )
        self.signature = (name, *arg_names)

    @property
    def _state_tuple(self) -> tuple[str, ...]:
        return self.signature


def frozen_input(values: np.ndarray, hold: float) -> Function:
    """Brian2 function ``frozen_input(t, channel)``: row ``t / hold``, column ``channel``.

    Unlike a TimedArray, the generated code does not contain the array's shape, so one compiled
    module serves inputs of any size.

    Parameters
    ----------
    values : ndarray, shape (rows, c)
        Input values.
    hold : float, s
        Length of a row.
    """
    flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
    rows, cols = values.shape
    meta = np.array([1.0 / hold, rows, cols], dtype=np.float64)
    last = rows - 1

    def python(t: Any, channel: Any) -> Any:
        row = np.clip(np.asarray(np.asarray(t) / hold + 1e-6, dtype=np.int64), 0, last)
        return values[row, np.asarray(channel)]

    function = FrozenFunction("frozen_input", python, [second, 1], ["t", "channel"])
    function.implementations.add_implementation("numpy", python)
    namespace = {"frozen_input_values": flat, "frozen_input_meta": meta}
    cpp = """
    static inline double frozen_input(const double t, const int channel)
    {
        long row = (long)(t * _namespacefrozen_input_meta[0] + 1e-6);
        const long rows = (long)_namespacefrozen_input_meta[1];
        if (row >= rows) row = rows - 1;
        return _namespacefrozen_input_values[row * (long)_namespacefrozen_input_meta[2] + channel];
    }
    """
    cython = """
    cdef double frozen_input(const double t, const int channel):
        global _namespacefrozen_input_values, _namespacefrozen_input_meta
        cdef long row = <long>(t * _namespacefrozen_input_meta[0] + 1e-6)
        cdef long rows = <long>_namespacefrozen_input_meta[1]
        if row >= rows:
            row = rows - 1
        return _namespacefrozen_input_values[row * <long>_namespacefrozen_input_meta[2] + channel]
    """
    for target, code in (("cpp", cpp), ("cython", cython)):
        function.implementations.add_implementation(
            target, code, namespace=namespace, name="frozen_input"
        )
    return function


def frozen_rows(values: np.ndarray, order: np.ndarray, hold: float) -> Function:
    """Brian2 function ``frozen_rows(t, channel)``: row ``order[t / hold]``, column ``channel``.

    Like :func:`frozen_input` of ``values[order]``, without a copy for each time a row is shown.

    Parameters
    ----------
    values : ndarray, shape (rows, c)
        Input values.
    order : ndarray of int, shape (k,)
        Row of each stretch of time; the last one stays.
    hold : float, s
        Length of a stretch.
    """
    flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
    table = np.ascontiguousarray(order, dtype=np.float64)
    meta = np.array([1.0 / hold, table.size, values.shape[1]], dtype=np.float64)
    last = table.size - 1

    def python(t: Any, channel: Any) -> Any:
        turn = np.clip(np.asarray(np.asarray(t) / hold + 1e-6, dtype=np.int64), 0, last)
        return values[table[turn].astype(np.int64), np.asarray(channel)]

    function = FrozenFunction("frozen_rows", python, [second, 1], ["t", "channel"])
    function.implementations.add_implementation("numpy", python)
    names = {name: f"_namespacefrozen_rows_{name}" for name in ("values", "order", "meta")}
    namespace = {"frozen_rows_values": flat, "frozen_rows_order": table, "frozen_rows_meta": meta}
    cpp = f"""
    static inline double frozen_rows(const double t, const int channel)
    {{
        long turn = (long)(t * {names["meta"]}[0] + 1e-6);
        const long turns = (long){names["meta"]}[1];
        if (turn >= turns) turn = turns - 1;
        const long row = (long){names["order"]}[turn];
        return {names["values"]}[row * (long){names["meta"]}[2] + channel];
    }}
    """
    cython = f"""
    cdef double frozen_rows(const double t, const int channel):
        global {names["values"]}, {names["order"]}, {names["meta"]}
        cdef long turn = <long>(t * {names["meta"]}[0] + 1e-6)
        cdef long turns = <long>{names["meta"]}[1]
        if turn >= turns:
            turn = turns - 1
        cdef long row = <long>{names["order"]}[turn]
        return {names["values"]}[row * <long>{names["meta"]}[2] + channel]
    """
    for target, code in (("cpp", cpp), ("cython", cython)):
        function.implementations.add_implementation(
            target, code, namespace=namespace, name="frozen_rows"
        )
    return function


def named_clock(name: str, dt: float) -> Clock:
    """Clock with a fixed name.

    Brian2 numbers the clocks that it makes itself by those still in memory, and their names
    stand in the generated code: each number would be compiled anew.
    """
    return Clock(dt * second, name=name)
