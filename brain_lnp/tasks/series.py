"""Forecasts of measured series: any column of any CSV file."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brain_lnp.tasks.datafile import data_file
from brain_lnp.tasks.task import Task, forecast_task, whole
from models_eq.errors import FormatError, ParameterError
from models_eq.units import positive_seconds

GAPS = ("error", "longest", "interpolate")
TRANSFORMS = ("none", "difference", "log_return")
_MISSING = {"", "nan", "na", "n/a", "null"}


def _number(text: str, line: int, column: str) -> float:
    if text.strip().lower() in _MISSING:
        return np.nan
    try:
        value = float(text)
    except ValueError:
        raise FormatError(f"{column}, line {line}", "a number or an empty cell", text) from None
    if not np.isfinite(value):
        raise FormatError(f"{column}, line {line}", "a finite number", text)
    return value


def _time(text: str, line: int, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(np.datetime64(text.strip(), "ms").astype(np.int64)) / 1000
    except ValueError:
        raise FormatError(f"{column}, line {line}", "a number or an ISO date", text) from None


def _read(file: Path, columns: Sequence[str], time: str | None) -> tuple[np.ndarray, ...]:
    """Values (rows, columns), times (rows,) and line numbers (rows,) of a file."""
    values: list[list[float]] = []
    times: list[float] = []
    lines: list[int] = []
    try:
        with open(file, newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            names = reader.fieldnames or []
            absent = [c for c in (*columns, *([time] if time else [])) if c not in names]
            if absent:
                raise ParameterError("column", "one of " + ", ".join(names), absent)
            for row in reader:
                line = reader.line_num
                values.append([_number(row[c] or "", line, c) for c in columns])
                times.append(_time(row[time] or "", line, time) if time else float(len(times)))
                lines.append(line)
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(str(file), "a CSV file in UTF-8", str(error)) from error
    if len(values) < 2:
        raise FormatError(str(file), "a header and at least two rows", f"{len(values)} rows")
    return np.array(values), np.array(times), np.array(lines)


def _on_grid(values: np.ndarray, times: np.ndarray, lines: np.ndarray) -> tuple[np.ndarray, ...]:
    """The same rows with a row of NaN (line 0) for each time step that has none."""
    unusable = ~np.isfinite(times)
    if unusable.any():
        raise FormatError("time", "finite times", f"line {lines[np.argmax(unusable)]}")
    with np.errstate(over="ignore"):
        jumps = np.diff(times)
    if (jumps <= 0).any():
        raise FormatError("time", "times that increase", f"line {lines[np.argmax(jumps <= 0) + 1]}")
    # Whole multiples of the median step: months of 28 to 31 days then count as one step each.
    ratios = np.round(jumps / np.median(jumps))
    if not ratios.sum() <= 100 * len(values):  # before the cast, which would wrap around
        raise FormatError("time", "gaps shorter than the data", f"{ratios.sum():g} steps")
    steps = ratios.astype(int)
    if (steps == 0).any():
        raise FormatError("time", "equal time steps", f"line {lines[np.argmax(steps == 0) + 1]}")
    position = np.concatenate([[0], np.cumsum(steps)])
    grid = np.full((position[-1] + 1, values.shape[1]), np.nan)
    grid_lines = np.zeros(len(grid), dtype=int)
    grid[position], grid_lines[position] = values, lines
    return grid, grid_lines


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Half-open intervals in which ``mask`` is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _describe(gap: tuple[int, int], lines: np.ndarray) -> str:
    a, b = gap
    if lines[a:b].all():
        return f"line {lines[a]}" if b - a == 1 else f"lines {lines[a]}-{lines[b - 1]}"
    return f"{b - a} steps after line {lines[:a].max(initial=1)}"


def _without_gaps(values: np.ndarray, lines: np.ndarray, gaps: str) -> np.ndarray:
    missing = np.isnan(values).any(axis=1)
    if not missing.any():
        return values
    if missing.all():
        raise ParameterError("column", "a row without an empty cell", "none")
    if gaps == "error":
        found = _runs(missing)
        shown = ", ".join(_describe(gap, lines) for gap in found[:5])
        raise ParameterError(
            "gaps",
            "a series without gaps",
            f"{len(found)} ({shown}{', ...' if len(found) > 5 else ''})",
            "Pass gaps='longest' for the longest run without, or gaps='interpolate'",
        )
    if gaps == "longest":
        a, b = max(_runs(~missing), key=lambda run: run[1] - run[0])
        return values[a:b]
    present = np.flatnonzero(~missing)
    at = np.arange(present[0], present[-1] + 1)
    filled = [
        np.interp(at, np.flatnonzero(~np.isnan(column)), column[~np.isnan(column)])
        for column in values.T
    ]
    return np.column_stack(filled)


def _averaged(values: np.ndarray, rows: int) -> np.ndarray:
    """Means of ``rows`` rows at a time, from the start; a shorter rest is dropped."""
    count = len(values) // rows
    if count < 2:
        raise ParameterError("resample", f"at most {len(values) // 2} rows a mean", rows)
    return values[: count * rows].reshape(count, rows, -1).mean(axis=1)


def _transformed(values: np.ndarray, transform: str) -> np.ndarray:
    if transform == "none":
        return values
    if transform == "log_return":
        if (values <= 0).any():
            raise ParameterError("transform", "values above 0 for log_return", float(values.min()))
        values = np.log(values)
    return np.diff(values, axis=0)


def csv_series(
    path: str | os.PathLike[str],
    column: str | Sequence[str],
    *,
    predict: str | Sequence[str] | None = None,
    time: str | None = None,
    gaps: str = "error",
    resample: int = 1,
    transform: str = "none",
    horizon: int = 1,
    seed: int = 0,
    washout: int = 50,
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
    directory: str | os.PathLike[str] | None = None,
    hold: Any = "10 ms",
    input_sd: float = 2.0,
    name: str | None = None,
    licence: str = "",
) -> Task:
    """Forecast of columns of a CSV file, split in time, standardised on the training part.

    Parameters
    ----------
    path : path-like
        A file with one header line, UTF-8; an empty cell is missing.
    column : str or sequence of str
        What the network sees.
    predict : str or sequence of str, optional
        What it is to predict, ``horizon`` rows ahead. Default: ``column``.
    time : str, optional
        Column of times (numbers or ISO dates). With it, steps that have no row count as gaps;
        without it rows are taken as equally spaced (such as trading days).
    gaps : {'error', 'longest', 'interpolate'}
        Refuse a series with gaps, take its longest run without, or join their ends by straight
        lines (which lets a row inside a gap know where the gap ends).
    resample : int
        Rows of the file that are averaged to one, after the gaps (6 makes hours of 10 minutes).
    transform : {'none', 'difference', 'log_return'}
        Applied after that; a series with a trend leaves the range of its training part.
    horizon : int
        Rows ahead, at least 1.
    seed : int
        Input weights.
    washout, n_train, n_validation, n_test : int
        Rows, from the start. Default: 60, 15 and 25 % of what the washout leaves. Rows beyond
        the parts are not used.
    directory : path-like, optional
        Folder to look in. Default: the working directory, then ``$BRAIN_LNP_DATA``.
    hold : Quantity or str
        Biological time one row is held.
    input_sd : float
        Standard deviation of the input weights.
    name, licence : str
        What the task is called, and the terms of the data.

    Returns
    -------
    Task
        A series; see :class:`Task`.

    Raises
    ------
    MissingFileError
        If the file is not there.
    FormatError
        For cells that are not numbers, or times that do not increase in equal steps.
    ParameterError
        For a column that is not there, gaps (naming their lines), or a series too short.
    """
    if gaps not in GAPS:
        raise ParameterError("gaps", "one of " + ", ".join(GAPS), gaps)
    if transform not in TRANSFORMS:
        raise ParameterError("transform", "one of " + ", ".join(TRANSFORMS), transform)
    seen = [column] if isinstance(column, str) else list(column)
    wanted = seen if predict is None else [predict] if isinstance(predict, str) else list(predict)
    if not seen or not wanted:
        raise ParameterError("column", "at least one column", column)
    names = list(dict.fromkeys([*seen, *wanted]))
    file = data_file(path, directory)
    values, times, lines = _read(file, names, time)
    if time is not None:
        values, lines = _on_grid(values, times, lines)
    values = _averaged(_without_gaps(values, lines, gaps), whole(resample, "resample", 1))
    values = _transformed(values, transform)
    horizon, washout = whole(horizon, "horizon", 1), whole(washout, "washout", 0)
    left = len(values) - horizon - washout
    cuts = np.round(np.cumsum([0, 0.6, 0.15, 0.25]) * max(left, 0)).astype(int)
    given = {"n_train": n_train, "n_validation": n_validation, "n_test": n_test}
    parts = {
        key: int(cuts[k + 1] - cuts[k]) if value is None else whole(value, key, 1)
        for k, (key, value) in enumerate(given.items())
    }
    used = washout + sum(parts.values()) + horizon
    if min(parts.values()) < 1 or used > len(values):
        raise ParameterError(
            "n_train, n_validation, n_test",
            f"parts of the {max(left, 0)} rows left by washout and horizon",
            list(parts.values()),
        )
    return forecast_task(
        name or f"{file.stem}_{'_'.join(wanted)}_h{horizon}",
        values[:used],
        [names.index(c) for c in seen],
        [names.index(c) for c in wanted],
        horizon=horizon,
        washout=washout,
        **parts,
        hold=positive_seconds(hold, "hold"),
        input_sd=input_sd,
        licence=licence,
        input_seed=seed,
    )
