"""RunRecord: all that a run folder says, read and checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_lnp.config import Experiment, parse_experiment
from brain_lnp.experiment import ExperimentResult
from brain_lnp.summary import Record, summarise
from brain_lnp.unitfolder import read_json, slug
from brain_lnp.units import Cell
from models_eq.errors import BrainLNPError, FormatError, MissingFileError
from models_eq.hrsnn import HRSNN
from models_eq.storage import load

_ROW = ("seed", "method", "synapses", "neurons", "task", "metric", "error")


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Attributes
    ----------
    name : str
        Name of the experiment; that of the folder where there is no configuration.
    folder : Path
        Where it lies.
    result : ExperimentResult
        Rows, their means and standard errors over seeds, and the trivial baselines.
    experiment : Experiment or None
        What was asked; None where the folder does not say it.
    config : str
        The same as TOML text.
    environment : Mapping
        Versions and machine, as of :func:`brain_lnp.environment.environment`; empty where the
        folder does not say it.
    """

    name: str
    folder: Path
    result: ExperimentResult
    experiment: Experiment | None
    config: str
    environment: Mapping[str, Any]

    @property
    def rows(self) -> list[Record]:
        """One for each network and task."""
        return self.result.rows

    @property
    def seeds(self) -> list[int]:
        """Seeds, in the order of the rows."""
        return list(dict.fromkeys(row["seed"] for row in self.rows))

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in the order of the rows."""
        return list(dict.fromkeys(row["task"] for row in self.rows))

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the rows."""
        return list(dict.fromkeys(row["method"] for row in self.rows))

    def network(self, cell: Cell) -> HRSNN | None:
        """The network of a cell, or None where the folder does not hold it (any more)."""
        path = self.folder / "networks" / f"{slug(cell.key)}.npz"
        return load(path, HRSNN) if path.is_file() else None

    def unit(self, key: str) -> Mapping[str, Any]:
        """What is kept of the finished unit of work ``key``; empty where there is nothing."""
        path = self.folder / "units" / f"{slug(key)}.json"
        try:
            found = read_json(path).get("data", {})
        except BrainLNPError:
            return {}
        return found if isinstance(found, dict) else {}


def read_run(folder: str | os.PathLike[str]) -> RunRecord:
    """Read the folder of a finished run.

    Parameters
    ----------
    folder : path-like
        What :func:`~brain_lnp.experiment.run_experiment` wrote.

    Returns
    -------
    RunRecord
        Everything that the folder says about the run.

    Raises
    ------
    MissingFileError
        If there is no such folder, or no ``results.json`` in it.
    FormatError
        If its files are damaged.
    """
    path = Path(folder)
    if not path.is_dir():
        raise MissingFileError(str(path), "the folder of a run", "none")
    source = path / "results.json"
    if not source.is_file():
        hint = "An unfinished run goes on with: brain-lnp run EXPERIMENT.toml -o FOLDER"
        raise MissingFileError(str(path), "the folder of a finished run", "no results.json", hint)
    try:
        data = json.loads(source.read_bytes())
        rows = data if isinstance(data, list) else data["rows"]
        baselines = [] if isinstance(data, list) else data["baselines"]
        for row in rows:
            _ = [row[name] for name in _ROW]
        for row in baselines:
            _ = row["task"], row["baseline"], row["error_mean"]
        result = ExperimentResult(rows, summarise(rows), baselines, path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"
        raise FormatError(str(source), "the results of a run", why) from None
    config = path / "config.toml"
    text, experiment = "", None
    if config.is_file():
        try:
            text = config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FormatError(str(config), "UTF-8 text", str(error)) from None
        experiment = parse_experiment(text, str(config))
    environment: Mapping[str, Any] = {}
    if (path / "environment.json").is_file():
        environment = read_json(path / "environment.json")
    name = path.resolve().name if experiment is None else experiment.experiment.name
    return RunRecord(name, path, result, experiment, text, environment)
