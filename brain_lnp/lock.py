"""Lock files: who wrote one, and whether that process is gone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def owner(lock: Path) -> dict[str, Any]:
    """What a lock file says of its writer; empty where it says nothing."""
    try:
        data = json.loads(lock.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def started(pid: int) -> str | None:
    """When a process began, in ticks since boot, or None where that cannot be told."""
    try:
        # The name of the program, in brackets, may hold blanks: count from behind it.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def is_stale(lock: Path) -> bool:
    """Whether the process that wrote the lock is gone; False where that cannot be told."""
    held = owner(lock)
    pid = held.get("pid")
    if os.name != "posix":
        return False  # there os.kill(pid, 0) would end the process
    if type(pid) is not int or pid <= 0:
        return True  # cut off while it was written: writers hold the folder until it is complete
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    # The number may have gone to another process since.
    return held.get("start") is not None and held["start"] != started(pid)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes from looking at the lock at the same time, where the system can."""
    if os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
