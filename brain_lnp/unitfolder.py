"""UnitFolder: a locked folder in which finished units of work are kept, one file each.

``run.json`` says what the folder is for, ``units/*.json`` hold the results, ``run.lock`` stands
there while someone works in it. Every file is written atomically.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from brain_lnp.lock import alone, is_stale, owner, started
from models_eq.errors import FormatError, MissingFileError, ParameterError
from models_eq.storage import atomic_write

logger = logging.getLogger("brain_lnp.runfolder")

VERSION = 1
_LOCK = "run.lock"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(type(value).__name__)


def json_text(data: Any, field: str, indent: int | None = 1) -> str:
    """Plain data as JSON text; ParameterError for what is not plain or not finite."""
    try:
        return json.dumps(data, indent=indent, allow_nan=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParameterError(field, "plain data with finite numbers", str(error)) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file, all or nothing."""
    atomic_write(path, lambda file: file.write(text.encode("utf-8")))


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; MissingFileError or FormatError where there is none."""
    if not path.exists():
        raise MissingFileError(str(path), "an existing file", "none")
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(str(path), "a JSON file", str(error)) from error
    if not isinstance(data, dict):
        raise FormatError(str(path), "a JSON object", type(data).__name__)
    return data


def slug(key: str) -> str:
    """A file name for any key; the hash keeps apart keys that look alike."""
    if not isinstance(key, str) or not key:
        raise ParameterError("key", "a text", key)
    readable = re.sub(r"[^A-Za-z0-9_.=-]+", "_", key)[:80].strip(".")
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


class UnitFolder:
    """A folder of finished units, locked while it is open; use it in a ``with`` statement.

    Parameters
    ----------
    path : path-like
        A folder that does not exist, is empty, or holds earlier work of the same ``digest``, which
        is then gone on with.
    kind : str
        What the folder is for, as its marker says it.
    name, digest : str
        Name and digest of the work.

    Raises
    ------
    ParameterError
        For a folder that holds other things, other work or work going on now, or that cannot be
        written.
    FormatError
        If the marker is damaged, or from a newer version.

    Notes
    -----
    A unit file that is damaged is reported in the log and counts as not done, so that it is
    computed anew: a cut power line must not force a user to find and delete a file by hand.
    """

    same = "a folder of the same work"

    def __init__(self, path: str | os.PathLike[str], kind: str, name: str, digest: str) -> None:
        self.path = Path(path)
        self.kind, self.name, self.digest = kind, name, digest
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
            self._create()
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
        marker = read_json(self.path / "run.json")
        if marker.get("format") != self.kind:
            raise FormatError(str(self.path / "run.json"), "the marker of a run", "another file")
        version = marker.get("version")
        if type(version) is not int or not 1 <= version <= VERSION:
            raise FormatError(str(self.path / "run.json"), f"version 1..{VERSION}", version)
        if marker.get("digest") != self.digest:
            expected = self.same
            got = f"one of {marker.get('name')!r} with another configuration"
            hint = "Choose another folder, or compare its configuration with yours"
            raise ParameterError(str(self.path), expected, got, hint)

    def _create(self) -> None:
        marker = {
            "format": self.kind, "version": VERSION, "name": self.name, "digest": self.digest
        }  # fmt: skip
        # The marker first: a folder cut off right after it is still one of ours.
        write_text(self.path / "run.json", json_text(marker, "run"))
        (self.path / "units").mkdir(exist_ok=True)

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

    def __enter__(self) -> Self:
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
        return self.path / "units" / f"{slug(key)}.json"

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
            raise ParameterError("UnitFolder", "an open folder", "a closed one")
        body = json_text(dict(data), key, indent=None)
        check = hashlib.sha256(body.encode()).hexdigest()
        unit = {"key": key, "sha256": check, "data": json.loads(body)}
        write_text(self._unit(key), json_text(unit, key))

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
        unit = read_json(path)
        body = json.dumps(unit.get("data"))
        if (
            unit.get("key") != key
            or unit.get("sha256") != hashlib.sha256(body.encode()).hexdigest()
        ):
            raise FormatError(str(path), "the unit as it was stored", "other content")
        return dict(unit["data"])

    def kept(self, key: str) -> dict[str, Any] | None:
        """The stored data of a unit, or None; a damaged one is reported in the log."""
        try:
            return self.fetch(key)
        except MissingFileError:
            return None
        except FormatError as error:
            logger.warning("Computing unit %r again: %s", key, error)
            return None

    def done(self, key: str) -> bool:
        """Whether a unit was stored and is intact; a damaged one is reported in the log."""
        return self.kept(key) is not None
