#!/usr/bin/env python3
"""Build the virtual environment, then run the demonstration or all checks.

    python3 scripts/start.py demo [arguments of `brain-lnp demo`]
    python3 scripts/start.py test [arguments of pytest]

Needs Python 3.11 to 3.13 and nothing else. The environment is .venv beside this repository's
files, or the folder named by BRAIN_LNP_VENV; it is installed once, and again only when setup.cfg,
pyproject.toml or the Python version changes.
"""
# No __future__ import: up to the version check, this file must be readable to any Python 3.

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

OLDEST, TOO_NEW = (3, 11), (3, 14)
VERSION = ".".join(map(str, sys.version_info[:2]))
if not OLDEST <= sys.version_info[:2] < TOO_NEW:
    sys.exit(
        f"brain_lnp needs Python 3.11, 3.12 or 3.13; this is Python {VERSION} ({sys.executable}).\n"
        "Run this script with one of those, for example: python3.12 scripts/start.py demo"
    )

ROOT = Path(__file__).resolve().parent.parent
WINDOWS = os.name == "nt"
PACKAGES = ("models_eq", "analysis", "brain_lnp")
STAMP = "brain_lnp_installed.json"
# Variables that would make Python or pip inside the environment look or write outside it.
FOREIGN = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "__PYVENV_LAUNCHER__",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
)


class StartError(Exception):
    """Something the user can put right; shown without a traceback."""


def say(text: str) -> None:
    """Print one line of progress at once, on stderr, so that stdout stays the program's."""
    print(text, file=sys.stderr, flush=True)


def venv_folder() -> Path:
    """Folder of the virtual environment."""
    named = os.environ.get("BRAIN_LNP_VENV")
    return Path(named).expanduser().resolve() if named else ROOT / ".venv"


def program(venv: Path, name: str) -> Path:
    """Path of a program inside the environment."""
    return venv / "Scripts" / (name + ".exe") if WINDOWS else venv / "bin" / name


def clean_environment(venv: Path) -> dict[str, str]:
    """Environment variables as after activation, without those that reach outside."""
    env = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    env["VIRTUAL_ENV"] = str(venv)
    env["PATH"] = str(program(venv, "python").parent) + os.pathsep + env.get("PATH", os.defpath)
    return env


def call(command: list[str], venv: Path, cwd: Path | None = None) -> int:
    """Run a command inside the environment and return its exit status."""
    try:
        status = subprocess.call(command, env=clean_environment(venv), cwd=cwd)
    except OSError as error:
        raise StartError(f"cannot run {command[0]}: {error}") from None
    return 128 - status if status < 0 else status  # killed by a signal, as a shell reports it


def quietly(command: list[str], venv: Path, failure: str) -> None:
    """Run a command without its output, which is shown only if it fails."""
    done = subprocess.run(
        command,
        env=clean_environment(venv),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise StartError(f"{done.stdout.strip()}\n\n{failure}")


def works(venv: Path) -> bool:
    """Whether the environment has this very Python version, and a pip."""
    code = "import sys, pip; print(*sys.version_info[:2], sep='.')"
    try:
        done = subprocess.run(
            [str(program(venv, "python")), "-c", code],
            env=clean_environment(venv),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == VERSION


def create(venv: Path) -> None:
    """Create the environment, or create it anew where it is broken or of another Python."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise StartError(
            f"this Python ({sys.executable}) has no module {' and '.join(missing)}, which is "
            "needed to build a virtual environment.\n"
            f"Debian and Ubuntu: sudo apt install python{VERSION}-venv. Elsewhere: install a full "
            "Python, for example from your package manager, conda or python.org."
        )
    ours = (venv / "pyvenv.cfg").is_file()
    # Never empty a folder that is not a virtual environment: the name may be a slip.
    if not ours and any(path.is_file() for path in venv.rglob("*")):
        raise StartError(
            f"{venv} holds files and is not a virtual environment. Point BRAIN_LNP_VENV elsewhere."
        )
    say(f"creating {venv} with Python {sys.version.split()[0]} ...")
    quietly(
        [sys.executable, "-m", "venv", *(["--clear"] if ours else []), str(venv)],
        venv,
        f"The virtual environment {venv} could not be created.",
    )


def fingerprint() -> str:
    """Hash of everything that an installation depends on."""
    digest = hashlib.sha256(VERSION.encode())
    digest.update(str(ROOT).encode())  # an editable installation points at this folder
    for name in ("setup.cfg", "pyproject.toml"):
        digest.update(b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()


def installed(venv: Path) -> list[str]:
    """Extras that are installed for the present fingerprint; ``""`` stands for the package."""
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
        current = stamp["fingerprint"] == fingerprint() and program(venv, "python").exists()
        return list(stamp["extras"]) if current else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def lock(venv: Path) -> object:
    """Hold the folder until this process ends, so that two starts do not install at once."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = os.open(venv, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another installation into {venv} ...")
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # some network file systems have no locks
        pass
    return handle


def ensure(venv: Path, extra: str = "") -> None:
    """Make sure that the package, with the extra, is installed from this folder."""
    if extra in installed(venv):
        return
    try:
        venv.mkdir(parents=True, exist_ok=True)
        handle = lock(venv)
    except OSError as error:
        raise StartError(f"cannot use {venv} for the virtual environment: {error}") from None
    try:
        have = installed(venv)  # another start may have finished meanwhile
        if extra in have:
            return
        if not works(venv):
            create(venv)
        # The stamp goes first and comes back last: an interrupted installation is seen as one.
        (venv / STAMP).unlink(missing_ok=True)
        target = f".[{extra}]" if extra else "."
        say(f"installing brain-lnp{target[1:]} into {venv} (a few minutes the first time) ...")
        began = time.monotonic()
        pip = [str(program(venv, "python")), "-m", "pip", "--disable-pip-version-check"]
        quietly(
            [*pip, "install", "--quiet", "--no-input", "-e", target],
            venv,
            "pip could not install brain-lnp; its messages stand above. "
            "Once the cause is mended, run the same command again.",
        )
        say(f"installed in {time.monotonic() - began:.0f} s")
        stamp = {"fingerprint": fingerprint(), "extras": sorted({"", extra, *have})}
        fresh = venv / (STAMP + ".new")
        fresh.write_text(json.dumps(stamp), encoding="utf-8")
        os.replace(fresh, venv / STAMP)
    finally:
        if isinstance(handle, int):
            os.close(handle)


def demo(arguments: list[str]) -> int:
    """Install the package and run ``brain-lnp demo`` in the caller's folder."""
    venv = venv_folder()
    ensure(venv)
    return call([str(program(venv, "brain-lnp")), "demo", *arguments], venv)


def test(arguments: list[str]) -> int:
    """Run every check, even after one has failed; return the first failure's exit status."""
    began = time.monotonic()
    venv = venv_folder()
    ensure(venv, "tests")
    checks = (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", *PACKAGES],
        ["pytest", "-n", "2", *arguments],
    )
    results = []
    for check in checks:
        say(f"== {' '.join(check)}")
        status = call([str(program(venv, "python")), "-m", *check], venv, cwd=ROOT)
        results.append((" ".join(check[:2] if check[0] == "ruff" else check[:1]), status))
    failed = [f"{name} (exit status {status})" for name, status in results if status]
    verdict = "failed: " + ", ".join(failed) if failed else "all checks passed"
    say(f"== {verdict}; {time.monotonic() - began:.0f} s in total")
    return next((status for _, status in results if status), 0)


def main(arguments: list[str]) -> int:
    """Run one verb; 0 done, 1 a fault, 2 a wrong call, 130 interrupted."""
    verbs = {"demo": demo, "test": test}
    if arguments and arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    if not arguments or arguments[0] not in verbs:
        say(__doc__.strip())
        return 2
    try:
        return verbs[arguments[0]](arguments[1:])
    except StartError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
