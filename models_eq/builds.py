"""Compiled programs, kept between runs in a folder of the user's cache."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from models_eq.errors import DeviceError

logger = logging.getLogger("brain_lnp")

VARIABLE = "BRAIN_LNP_CACHE"
PROGRAM = "main"
KEEP = 256
A_DAY = 86400.0  # s
_DATA = ("static_arrays", "results")
_SOURCES = (".cpp", ".cu", ".h", ".c")
# Each clock is set to 0, and on CUDA gets its random numbers.
_LOOSE = re.compile(
    rb"\s*(_array_\w+_(t|timestep)\[0\] = [0.]+;|\w+\.add\(&\w+, _run_random_number_buffer\);)\s*"
)
# Brian2 numbers code by how much of the same name is still in memory.
_NUMBERED = re.compile(rb"(_codeobject|_push_spikes)_\d+")


def cache_folder() -> Path:
    """Where compiled programs are kept: ``$BRAIN_LNP_CACHE``, or the user's cache folder.

    It is made where it does not exist. Where it cannot be made, programs are kept in a temporary
    folder for as long as the process lives, and a warning is logged.
    """
    given = os.environ.get(VARIABLE)
    if given:
        folder = Path(given).expanduser()
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches" / "brain_lnp"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
        folder = Path(base).expanduser() / "brain_lnp"
    folder = folder / "programs"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return _temporary(str(folder))


@lru_cache(maxsize=8)
def _temporary(wanted: str) -> Path:
    logger.warning("%s cannot be written: compiled programs are forgotten on exit", wanted)
    made = tempfile.mkdtemp(prefix="brain_lnp_cache_")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def project_digest(project: Path, tools: str) -> str:
    """SHA-256 of what a program is made from: its sources and makefile, the tools, the processor.

    Data that the program reads when it starts do not count.

    Parameters
    ----------
    project : Path
        Folder of a generated project.
    tools : str
        Names and versions of the compilers.
    """
    h = hashlib.sha256(f"{tools}\n{processor()}\n".encode())
    parts = []
    for path in project.rglob("*"):
        inside = path.relative_to(project)
        if inside.parts[0] in _DATA or not path.is_file():
            continue
        if path.suffix in _SOURCES or path.name == "makefile":
            content = path.read_bytes()
            if path.stem == PROGRAM:
                content = _in_order(content)
            name = inside.as_posix().encode()
            parts.append(_NUMBERED.sub(rb"\1", name + b"\n" + content))
    for part in sorted(parts):
        h.update(f"{len(part)}\n".encode() + part)
    return h.hexdigest()


def _in_order(source: bytes) -> bytes:
    """Move lines whose order means nothing to the end, sorted: Brian2 takes them from a set."""
    lines = source.splitlines()
    loose = sorted(line.strip() for line in lines if _LOOSE.fullmatch(line))
    return b"\n".join([line for line in lines if not _LOOSE.fullmatch(line)] + loose)


@lru_cache(maxsize=1)
def processor() -> str:
    """What code compiled for this very processor depends on."""
    found = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features", "model name")):
                found.append(" ".join(line.split()))
            elif not line:
                break
    return "\n".join(found)


def compiled(project: Path, tools: str, environment: dict[str, str] | None = None) -> Path:
    """The program of a generated project, compiled unless the cache has it.

    Parameters
    ----------
    project : Path
        Folder with sources and a makefile, as Brian2 writes it.
    tools : str
        Names and versions of the compilers.
    environment : dict, optional
        Variables for ``make``, on top of those of this process.

    Returns
    -------
    Path
        The program, in the cache.

    Raises
    ------
    DeviceError
        If it does not compile; the message has the compiler's last words.
    """
    digest = project_digest(project, tools)
    folder = cache_folder()
    found = folder / digest / PROGRAM
    with _alone(folder / f"{digest}.lock", unless=found):
        if not found.is_file():
            _make(project, environment)
            _publish(project / PROGRAM, found)
            _forget_oldest(folder)
    with contextlib.suppress(OSError):
        os.utime(found.parent)  # for the choice of what to forget
    return found


def _publish(program: Path, target: Path) -> None:
    """Put a program into the cache in one step, so that no process ever sees half of it."""
    made = Path(tempfile.mkdtemp(prefix=".new_", dir=target.parent.parent))
    try:
        shutil.copy2(program, made / PROGRAM)
        with contextlib.suppress(OSError):  # another process was first: its program is the same
            os.rename(made, target.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    if not target.is_file():
        raise DeviceError("device", f"a cache that can be written ({target.parent.parent})", "none")


@contextlib.contextmanager
def _alone(lock: Path, unless: Path) -> Iterator[None]:
    """Let one process compile while others wait for what it makes, where the system can.

    Without it nothing breaks: both compile, and the first to finish is kept.
    """
    if unless.is_file() or os.name != "posix":
        yield
        return
    import fcntl

    handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)
        os.close(handle)


def _make(project: Path, environment: dict[str, str] | None) -> None:
    make = shutil.which("make")
    if make is None:
        raise DeviceError("device", "the program make", "none found", "Install make")
    done = subprocess.run(
        [make, f"-j{os.cpu_count() or 1}"],
        cwd=project,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode or not (project / PROGRAM).is_file():
        lines = done.stdout.splitlines()
        telling = [line for line in lines if "rror" in line] or lines
        raise DeviceError(
            "device",
            "a program that compiles",
            "one for which make failed",
            " | ".join(telling[:3]) + " (see `brain-lnp devices`, or use_device('numpy'))",
        )


def _entries(folder: Path) -> list[Path]:
    """Programs in the cache, the longest unused first; what a killed process left goes."""
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.is_dir():
                found.append((path.stat().st_mtime, path))
    for used, path in found:
        if path.name.startswith(".new_") and time.time() - used > A_DAY:
            shutil.rmtree(path, ignore_errors=True)
    return [path for _, path in sorted(found) if not path.name.startswith(".")]


def _forget_oldest(folder: Path) -> None:
    for path in _entries(folder)[:-KEEP]:
        shutil.rmtree(path, ignore_errors=True)


def clear_cache() -> int:
    """Remove all compiled programs; programs that run are not disturbed.

    Returns
    -------
    int
        How many there were.
    """
    entries = _entries(cache_folder())
    for path in entries:
        shutil.rmtree(path, ignore_errors=True)
    return len(entries)
