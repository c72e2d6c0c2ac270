"""Where data files are looked for."""

from __future__ import annotations

import os
from pathlib import Path

from models_eq.errors import MissingFileError

DATA_VARIABLE = "BRAIN_LNP_DATA"


def data_file(path: str | os.PathLike[str], directory: str | os.PathLike[str] | None) -> Path:
    """Where a data file is: as given, in ``directory``, or under ``$BRAIN_LNP_DATA``.

    Raises
    ------
    MissingFileError
        Naming what was tried and what to do.
    """
    tried = [Path(path).expanduser()]
    if directory is not None:
        tried = [Path(directory).expanduser() / path]
    elif os.environ.get(DATA_VARIABLE):
        tried.append(Path(os.environ[DATA_VARIABLE]).expanduser() / path)
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise MissingFileError(
        str(path),
        "a data file",
        "nothing at " + " or ".join(str(p) for p in tried),
        f"Pass directory=, or set {DATA_VARIABLE} to the folder that holds it",
    )
