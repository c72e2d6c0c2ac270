"""RunFolder: where an experiment leaves its record, its finished units and its results.

``run.json`` (marker and digest), ``config.toml``, ``environment.json``, ``units/*.json`` (one a
finished unit, so that an interrupted run resumes), ``networks/*.npz``, ``results.json``,
``results.csv``, and ``run.lock`` while a run is going on. Every file is written atomically.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from brain_lnp.config import Experiment
from brain_lnp.environment import environment
from brain_lnp.lock import alone, is_stale, owner, started
from models_eq.errors import FormatError, MissingFileError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.storage import atomic_write, load, save

logger = logging.getLogger("brain_lnp.runfolder")

FORMAT, VERSION = "brain_lnp run", 1
_LOCK = "run.lock"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(type(value).__name__)


def _json(data: Any, field: str, indent: int | None = 1) -> str:
    try:
        return json.dumps(data, indent=indent, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(field, "plain data with finite numbers", str(error)) from None


def _write(path: Path, text: str) -> None:
    atomic_write(path, lambda file: file.write(text.encode("utf-8")))


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise MissingFileError(str(path), "an existing file", "none")
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(str(path), "a JSON file", str(error)) from error
    if not isinstance(data, dict):
        raise FormatError(str(path), "a JSON object", type(data).__name__)
    return data


def _slug(key: str) -> str:
    """A file name for any key; the hash keeps apart keys that look alike."""
    if not isinstance(key, str) or not key:
        raise ParameterError("key", "a text", key)
    readable = re.sub(r"[^A-Za-z0-9_.=-]+", "_", key)[:80].strip(".")
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


class RunFolder:
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

    def __init__(
        self, path: str | os.PathLike[str], experiment: Experiment, device: str | None = None
    ) -> None:
        self.path = Path(path)
        self.experiment = experiment
        self._token: str | None = None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or str(error)
            raise ParameterError(str(self.path), "a folder that can be written", why) from None
        self._check()
        self._acquire()
        try:
            self._check()  # again, now that no one else can change it
            self._create(device or experiment.experiment.device)
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        held = [
            p.name
            for p in self.path.iterdir()
            if p.name != _LOCK and not re.fullmatch(r"\..*\.tmp", p.name)
        ]
        if not held:
            return
        if "run.json" not in held:
            hint = "Choose a new folder: nothing in this one is touched"
            got = f"a folder with {sorted(held)[0]} in it"
            raise ParameterError(str(self.path), "an empty folder or one of a run", got, hint)
        marker = _read(self.path / "run.json")
        if marker.get("format") != FORMAT:
            raise FormatError(str(self.path / "run.json"), "the marker of a run", "another file")
        version = marker.get("version")
        if type(version) is not int or not 1 <= version <= VERSION:
            raise FormatError(str(self.path / "run.json"), f"version 1..{VERSION}", version)
        if marker.get("digest") != self.experiment.digest:
            expected = "a run of the same experiment"
            got = f"one of experiment {marker.get('name')!r} with another configuration"
            hint = "Choose another folder, or compare its config.toml with yours"
            raise ParameterError(str(self.path), expected, got, hint)

    def _create(self, device: str) -> None:
        digest, name = self.experiment.digest, self.experiment.experiment.name
        marker = {"format": FORMAT, "version": VERSION, "name": name, "digest": digest}
        # The marker first: a folder cut off right after it is still one of ours.
        _write(self.path / "run.json", _json(marker, "run"))
        _write(self.path / "config.toml", self.experiment.to_toml())
        _write(self.path / "environment.json", _json(environment(device), "environment"))
        for folder in ("units", "networks"):
            (self.path / folder).mkdir(exist_ok=True)

    # -- lock ------------------------------------------------------------------------------------

    def _acquire(self) -> None:
        lock = self.path / _LOCK
        token = secrets.token_hex(8)
        text = json.dumps({"pid": os.getpid(), "start": started(os.getpid()), "token": token})
        with alone(self.path):
            if lock.exists() and is_stale(lock):
                logger.warning("Taking over %s: the run that wrote it is gone", lock)
                lock.unlink(missing_ok=True)
            try:
                handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                hint = f"Wait for it to end; if there is none, delete {_LOCK}"
                got = f"one used by the run with process id {owner(lock).get('pid', 'unknown')}"
                raise ParameterError(str(self.path), "a folder not in use", got, hint) from None
            except OSError as error:
                why = error.strerror or str(error)
                raise ParameterError(str(self.path), "a folder that can be written", why) from None
            with os.fdopen(handle, "w") as file:
                file.write(text)
        self._token = token

    def close(self) -> None:
        """Release the lock; safe to call twice."""
        lock = self.path / _LOCK
        if self._token is not None and owner(lock).get("token") == self._token:
            with suppress(OSError):
                lock.unlink()
        self._token = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    # -- units -----------------------------------------------------------------------------------

    def _unit(self, key: str) -> Path:
        return self.path / "units" / f"{_slug(key)}.json"

    def store(self, key: str, data: Mapping[str, Any]) -> None:
        """Keep the result of one finished unit of work.

        Parameters
        ----------
        key : str
            Any text that names the unit.
        data : Mapping
            Plain data; NumPy scalars and arrays become numbers and lists.

        Raises
        ------
        ParameterError
            For data that is not plain or not finite, or if the folder is closed.
        """
        if self._token is None:
            raise ParameterError("RunFolder", "an open run folder", "a closed one")
        body = _json(dict(data), key, indent=None)
        check = hashlib.sha256(body.encode()).hexdigest()
        unit = {"key": key, "sha256": check, "data": json.loads(body)}
        _write(self._unit(key), _json(unit, key))

    def fetch(self, key: str) -> dict[str, Any]:
        """The stored data of a unit.

        Raises
        ------
        MissingFileError
            If it was not stored.
        FormatError
            If its file is damaged.
        """
        path = self._unit(key)
        unit = _read(path)
        body = json.dumps(unit.get("data"))
        if (
            unit.get("key") != key
            or unit.get("sha256") != hashlib.sha256(body.encode()).hexdigest()
        ):
            raise FormatError(str(path), "the unit as it was stored", "other content")
        return dict(unit["data"])

    def done(self, key: str) -> bool:
        """Whether a unit was stored and is intact; a damaged one is reported in the log."""
        try:
            self.fetch(key)
        except MissingFileError:
            return False
        except FormatError as error:
            logger.warning("Computing unit %r again: %s", key, error)
            return False
        return True

    # -- networks and results --------------------------------------------------------------------

    def save_network(self, key: str, net: HRSNN) -> Path:
        """Save a network as ``networks/<key>.npz``; see :func:`models_eq.storage.save`."""
        return save(net, self.path / "networks" / f"{_slug(key)}.npz")

    def load_network(self, key: str) -> HRSNN:
        """Load what ``save_network`` wrote; MissingFileError and FormatError as of ``load``."""
        net: HRSNN = load(self.path / "networks" / f"{_slug(key)}.npz", expected=HRSNN)
        return net

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
        text = _json({"rows": [dict(row) for row in rows], **(more or {})}, "results")
        plain = json.loads(text)["rows"]
        columns = list(dict.fromkeys(key for row in plain for key in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        for row in plain:
            writer.writerow(
                {k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in row.items()}
            )
        _write(self.path / "results.json", text)
        _write(self.path / "results.csv", table.getvalue())
