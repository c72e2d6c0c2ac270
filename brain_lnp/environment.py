"""What a result depends on beside its configuration."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from models_eq.storage import package_version

DEPENDENCIES = (
    "brian2", "numpy", "scipy", "scikit-learn", "networkit", "numba", "joblib", "sympy",
    "pydantic", "matplotlib", "optuna", "Cython",
)  # fmt: skip


def environment(device: str = "auto") -> dict[str, Any]:
    """What a result may depend on beside its configuration; no names of hosts, users or folders.

    Parameters
    ----------
    device : str
        The device that runs the simulations.

    Returns
    -------
    dict
        Versions of Python, this package and its dependencies (None where not installed), system
        and machine type, number of processors, device, and the commit where the package lies in a
        git checkout (which does not tell whether files were changed since).
    """
    versions: dict[str, str | None] = {}
    for name in DEPENDENCIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "package": package_version(),
        "commit": commit_of(Path(__file__).resolve().parents[1] / ".git"),
        "dependencies": versions,
        "device": device,
    }


def commit_of(git: Path) -> str | None:
    """Commit that a ``.git`` folder has checked out, or None."""
    # Read, not asked of git, which need not be installed.
    with suppress(OSError, UnicodeDecodeError):
        head = (git / "HEAD").read_text().strip()
        if head.startswith("ref: "):
            name = head.removeprefix("ref: ")
            if (git / name).is_file():
                head = (git / name).read_text().strip()
            else:
                packed = (git / "packed-refs").read_text()
                head = next(
                    (x.split()[0] for x in packed.splitlines() if x.endswith(" " + name)), ""
                )
        return head if re.fullmatch("[0-9a-f]{40,64}", head) else None
    return None
