"""A TOML file as a validated sweep: a base experiment, and which fields of it take which values."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import tomllib
import zlib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from brain_lnp.config import (
    DEVICES,
    Count,
    Experiment,
    ExperimentSection,
    Section,
    Text,
    load_experiment,
    parse_experiment,
)
from brain_lnp.sweepaxes import check_law, draw, put
from brain_lnp.tables import one_of, read_text, toml_key, toml_value, translated
from brain_lnp.units import check_options
from models_eq.errors import BrainLNPError, FormatError, ParameterError
from models_eq.rng import stream

CLUSTERS = ("dask", "slurm")
# Fields that say how a sweep runs, not what it computes.
_FIXED = ("experiment.name", "experiment.seeds", "experiment.jobs", "output")
_MAX_POINTS = 100_000


class SweepSection(Section):
    """``[sweep]``: name, seeds of every point, random draws and their seed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    seeds: Any = None
    samples: Annotated[int, Field(ge=0, le=_MAX_POINTS)] = 0
    seed: Annotated[int, Field(ge=0)] = 0
    keep_runs: bool = True

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: Any) -> tuple[int, ...]:
        try:
            return ExperimentSection(name="x", seeds=value).seeds
        except ValidationError as failure:
            error = translated(failure, {"": ExperimentSection})
            raise ParameterError(error.field[6:], error.expected, error.got) from None


class ClusterSection(Section):
    """``[cluster]``: where the sweep runs, if not in processes of this machine."""

    kind: str
    address: Text | None = None
    jobs: Count = 1
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("kind")
    @classmethod
    def _kind(cls, value: str) -> str:
        return one_of(value, CLUSTERS)


class SweepFile(Section):
    """The file as it stands."""

    base: str | dict[str, Any]
    sweep: SweepSection
    grid: dict[str, Any] = Field(default_factory=dict)
    random: dict[str, Any] = Field(default_factory=dict)
    cluster: ClusterSection | None = None


_MODELS = {"": SweepFile, "sweep": SweepSection, "cluster": ClusterSection}


@dataclass(frozen=True)
class Point:
    """One point of a sweep.

    Attributes
    ----------
    values : dict
        What each swept field is, by dotted key.
    """

    values: dict[str, Any]

    @property
    def name(self) -> str:
        """From the values alone, so that a sweep may grow and still know what it has."""
        text = json.dumps(self.values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Sweep:
    """A sweep: every combination of the grid with every random draw, for every seed.

    Attributes
    ----------
    name : str
    base : Experiment
        What all points share.
    grid : dict of str to list
        Values of each field, by dotted key.
    random : dict of str to dict
        Law of each field that is drawn.
    samples : int
        Random draws; the same ones for every combination of the grid.
    seed : int
        Seed of the draws.
    seeds : tuple of int
        Seeds of the experiments.
    keep_runs : bool
        Whether the run folder of each experiment, with its networks, is kept.
    cluster : ClusterSection or None
    """

    name: str
    base: Experiment
    grid: dict[str, list[Any]]
    random: dict[str, dict[str, Any]]
    samples: int
    seed: int
    seeds: tuple[int, ...]
    keep_runs: bool = True
    cluster: ClusterSection | None = None
    _plain: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the base; points know themselves by their values, seeds by their number."""
        return hashlib.sha256(json.dumps(self._plain, sort_keys=True).encode()).hexdigest()

    @property
    def fields(self) -> tuple[str, ...]:
        """Dotted keys of what is swept."""
        return (*self.grid, *self.random)

    def points(self) -> list[Point]:
        """All points, in the order of the file."""
        draws = self._draws()
        found = [
            Point({**dict(zip(self.grid, values, strict=True)), **draw})
            for values in itertools.product(*self.grid.values())
            for draw in draws
        ]
        return list({point.name: point for point in found}.values())

    def _draws(self) -> list[dict[str, Any]]:
        if not self.random:
            return [{}]
        # A stream for each field: another field, or more samples, leave the draws as they are.
        columns = {
            key: draw(law, stream(self.seed, "sweep", zlib.crc32(key.encode())), self.samples)
            for key, law in self.random.items()
        }
        return [{key: column[k] for key, column in columns.items()} for k in range(self.samples)]

    def on(self, device: str) -> Sweep:
        """The same on another device, where points do not say their own.

        Raises
        ------
        ParameterError
            For an unknown device.
        """
        one_of(device, DEVICES, "device")
        section = ExperimentSection(**{**dict(self.base.experiment), "device": device})
        plain = deepcopy(self._plain)
        plain["experiment"]["device"] = device
        base = self.base.model_copy(update={"experiment": section})
        return replace(self, base=base, _plain=plain)

    def experiment(self, point: Point, seed: int | None = None) -> Experiment:
        """The experiment of a point, for one seed or for all.

        Raises
        ------
        ParameterError
            For values that the experiment refuses, with the dotted key as ``field``.
        """
        data = deepcopy(self._plain)
        data["experiment"]["seeds"] = list(self.seeds) if seed is None else [seed]
        for key, value in point.values.items():
            put(data, key, value)
        lines = [f"{toml_key(k)} = {toml_value(v, k)}" for k, v in data.items()]
        try:
            experiment = parse_experiment("\n".join(lines), self.name)
            check_options(experiment)
        except ParameterError as error:
            where = ", ".join(f"{k} = {v!r}" for k, v in point.values.items())
            hint = " ".join(filter(None, (error.hint, f"At the point {where}" if where else "")))
            raise type(error)(error.field, error.expected, error.got, hint) from None
        return experiment


# -- reading -------------------------------------------------------------------------------------


def parse_sweep(text: str, source: str = "sweep", folder: Path | None = None) -> Sweep:
    """Read a sweep from TOML text.

    Parameters
    ----------
    text : str
    source : str
        Names it in errors.
    folder : Path, optional
        Where a base experiment that is named by its file is sought; by default the working folder.

    Raises
    ------
    FormatError
        If the text is not TOML; names the line.
    ParameterError
        For what is wrong inside, with the dotted key as ``field``: every point is looked at.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise FormatError(source, "a TOML file", str(error)) from None
    try:
        file = SweepFile(**data)
    except ValidationError as failure:
        raise translated(failure, _MODELS) from None
    base = _base(file, folder or Path())
    grid = dict(_leaves(file.grid, "grid", lambda value: isinstance(value, list)))
    random = dict(_leaves(file.random, "random", lambda value: "kind" in value))
    _check_axes(file, grid, random)
    plain = tomllib.loads(base.to_toml())
    seeds = base.experiment.seeds if file.sweep.seeds is None else file.sweep.seeds
    del plain["experiment"]["seeds"], plain["experiment"]["jobs"], plain["output"]
    section = file.sweep
    sweep = Sweep(
        section.name, base, grid, random, section.samples, section.seed, seeds, section.keep_runs,
        file.cluster, plain,
    )  # fmt: skip
    count = math.prod(map(len, grid.values())) * (section.samples if random else 1)
    if count > _MAX_POINTS:
        raise ParameterError("grid", f"at most {_MAX_POINTS} points", count)
    for point in sweep.points():
        sweep.experiment(point)
    return sweep


def load_sweep(path: Path) -> Sweep:
    """Read a sweep from a TOML file.

    Raises
    ------
    MissingFileError, FormatError, ParameterError
        As :func:`~brain_lnp.config.load_experiment`.
    """
    return parse_sweep(read_text(path), str(path), path.parent)


def is_sweep(path: Path) -> bool:
    """Whether a TOML file describes a sweep; False for what cannot be read."""
    try:
        return "sweep" in tomllib.loads(read_text(path))
    except (BrainLNPError, tomllib.TOMLDecodeError, RecursionError, ValueError):
        return False


def _base(file: SweepFile, folder: Path) -> Experiment:
    try:
        if isinstance(file.base, str):
            return load_experiment(folder / file.base)
        table = deepcopy(file.base)
        if isinstance(table.setdefault("experiment", {}), dict):
            table["experiment"].setdefault("name", file.sweep.name)
        lines = [f"{toml_key(k)} = {toml_value(v, k)}" for k, v in table.items()]
        return parse_experiment("\n".join(lines), "base")
    except ParameterError as error:
        field_ = error.field if isinstance(file.base, str) else f"base.{error.field}"
        raise type(error)(field_, error.expected, error.got, error.hint) from None


def _leaves(table: Mapping[str, Any], path: str, is_leaf: Any) -> Iterator[tuple[str, Any]]:
    """Entries of tables within tables, with their dotted key below the outermost."""
    for key, value in table.items():
        place = f"{path}.{key}"
        if is_leaf(value) if isinstance(value, (dict, list)) else False:
            yield place.partition(".")[2], value
        elif isinstance(value, dict) and value:
            yield from _leaves(value, place, is_leaf)
        else:
            expected = "a list of values" if path.startswith("grid") else "a law: a table with kind"
            raise ParameterError(place, expected, value)


def _check_axes(file: SweepFile, grid: dict[str, Any], random: dict[str, Any]) -> None:
    for kind, axes in (("grid", grid), ("random", random)):
        for key in axes:
            if key.startswith(_FIXED):
                hint = "Seeds stand in sweep.seeds" if key == "experiment.seeds" else ""
                raise ParameterError(f"{kind}.{key}", "a field that changes results", key, hint)
            if kind == "random" and key in grid:
                raise ParameterError(
                    f"random.{key}", "a field that is not in the grid", "one of it"
                )
    for key, values in grid.items():
        if not values:
            raise ParameterError(f"grid.{key}", "at least one value", values)
        if any(value in values[:k] for k, value in enumerate(values)):
            raise ParameterError(f"grid.{key}", "each value once", values)
    for key, law in random.items():
        check_law(law, f"random.{key}")
    if bool(random) != bool(file.sweep.samples):
        expected = "a number of random draws" if random else "0, as nothing is drawn"
        raise ParameterError("sweep.samples", expected, file.sweep.samples)
