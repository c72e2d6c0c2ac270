"""RunFolder: where an experiment leaves its record, its finished units and its results.

``run.json`` (marker and digest), ``config.toml``, ``environment.json``, ``units/*.json`` (one a
finished unit, so that an interrupted run resumes), ``networks/*.npz``, ``results.json``,
``results.csv``, and while a run is going on ``run.lock`` and ``checkpoints`` (of networks that are
being pruned). Every file is written atomically.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from brain_lnp.config import Experiment
from brain_lnp.environment import environment
from brain_lnp.unitfolder import UnitFolder, json_text, slug, write_text
from models_eq.hrsnn import HRSNN
from models_eq.storage import load, save

FORMAT = "brain_lnp run"


class RunFolder(UnitFolder):
    """The folder of one run, locked while it is open; use it in a ``with`` statement.

    Parameters
    ----------
    path : path-like
        A folder that does not exist, is empty, or holds an earlier run of the same experiment,
        which is then resumed.
    experiment : Experiment
        What is run.
    device : str, optional
        The device that is used, for ``environment.json``; by default that of the experiment.

    Raises
    ------
    ParameterError
        For a folder that holds other things, a run of another experiment or one going on now, or
        that cannot be written.
    FormatError
        If the marker of an earlier run is damaged, or from a newer version.

    Notes
    -----
    A unit file that is damaged is reported in the log and counts as not done, so that it is
    computed anew: a cut power line must not force a user to find and delete a file by hand.
    """

    same = "a run of the same experiment"

    def __init__(
        self, path: str | os.PathLike[str], experiment: Experiment, device: str | None = None
    ) -> None:
        self.experiment = experiment
        self._device = device or experiment.experiment.device
        super().__init__(path, FORMAT, experiment.experiment.name, experiment.digest)

    def _create(self) -> None:
        super()._create()
        write_text(self.path / "config.toml", self.experiment.to_toml())
        found = json_text(environment(self._device), "environment")
        write_text(self.path / "environment.json", found)
        (self.path / "networks").mkdir(exist_ok=True)

    def save_network(self, key: str, net: HRSNN) -> Path:
        """Save a network as ``networks/<key>.npz``; see :func:`models_eq.storage.save`."""
        return save(net, self.path / "networks" / f"{slug(key)}.npz")

    def load_network(self, key: str) -> HRSNN:
        """Load what ``save_network`` wrote; MissingFileError and FormatError as of ``load``."""
        net: HRSNN = load(self.path / "networks" / f"{slug(key)}.npz", expected=HRSNN)
        return net

    def checkpoint(self, key: str) -> Path:
        """Where the pruning of ``key`` keeps its state while it goes on."""
        folder = self.path / "checkpoints"
        folder.mkdir(exist_ok=True)
        return folder / f"{slug(key)}.npz"

    def drop_checkpoint(self, key: str) -> None:
        """Remove what :meth:`checkpoint` was for, once the network is saved."""
        place = self.checkpoint(key)
        for path in (place, place.with_suffix(".timescales.json")):
            path.unlink(missing_ok=True)

    def end_checkpoints(self) -> None:
        """Remove the folder of the checkpoints, once all networks are pruned."""
        with suppress(OSError):  # not there, or not empty: then it is not ours alone
            (self.path / "checkpoints").rmdir()

    def write_results(
        self, rows: Sequence[Mapping[str, Any]], more: Mapping[str, Any] | None = None
    ) -> None:
        """Write ``results.json`` and ``results.csv``.

        Parameters
        ----------
        rows : sequence of Mapping
            One table row each; columns stand in the order in which they first occur. In the CSV
            what does not apply (None) is empty, and lists and tables are JSON.
        more : Mapping, optional
            Further entries of the JSON beside ``rows``.

        Raises
        ------
        ParameterError
            For rows that are not plain data with finite numbers.
        """
        text = json_text({"rows": [dict(row) for row in rows], **(more or {})}, "results")
        write_text(self.path / "results.json", text)
        write_text(self.path / "results.csv", csv_text(json.loads(text)["rows"]))


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of plain data as CSV: None is empty, lists and tables are JSON.

    Columns stand in the order in which they first occur.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in row.items()}
        )
    return table.getvalue()
