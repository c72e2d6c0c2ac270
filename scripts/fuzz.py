"""Fuzz the loaders: malformed files must end in a typed error, soon, small, and write nothing.

    python scripts/fuzz.py --refused 10000 --json docs/results/fuzz.json

Valid files of every format are damaged (bits flipped, cut, spliced, sizes blown up, contents
changed under correct check sums, words of text replaced) or replaced by random bytes, each case by
a generator of its own, seeded by (seed, loader, number): ``--only LOADER:NUMBER`` repeats one. A
case ends well in a BrainLNPError, or in a value where the damage left a valid file (another pixel),
within 2 s of processor time and 500 MB above what the process held before. Every loader runs in a
child process, so that a crash or an endless loop is seen as well; an audit hook there reports files
opened for writing, moved or removed, processes started and objects unpickled.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import platform
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models_eq.errors import BrainLNPError

SECONDS, MEGABYTES, KILL_AFTER = 2.0, 500.0, 20.0
_WRITES = {
    "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate",
    "os.chmod", "os.chown", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen",
    "shutil.move", "shutil.rmtree", "pickle.find_class", "socket.connect", "ctypes.dlopen",
}  # fmt: skip


@dataclass(frozen=True)
class Loader:
    """A loader, the valid file whose damaged copies it reads, and how damage is done.

    Attributes
    ----------
    name : str
    read : callable
        Takes the path of the damaged file.
    data : bytes
        The valid file.
    file : str
        Its name; the loader may look for it in its folder.
    change : callable, optional
        Takes a generator and the data, and damages what the container holds, leaving it intact.
    text : bool
        Whether words are replaced as well.
    """

    name: str
    read: Callable[[Path], Any]
    data: bytes
    file: str
    change: Callable[[np.random.Generator, bytes], bytes] | None = None
    text: bool = False


# -- damage ----------------------------------------------------------------------------------------

_SIZES = [0, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1]
_WORDS = (
    b"", b"-1", b"0", b"1e999", b"nan", b"-inf", b"9" * 400, b"99999999", b"1e-320", b"true", b'""',
    b'"x"', b"[]", b"{}", b"[" * 3000, b"\x00", b"\xff\xfe", b'"20 parsec"', b"'''", b"0x",
    b"2026-13-45",
    b"\n", b",,,", b"..", b"a.b.c", b'"../../../etc/passwd"', b"__import__('os')",
    "\u202e\U0001f9e0".encode(),
)  # fmt: skip


def flipped(rng: np.random.Generator, data: bytes) -> bytes:
    """Some bits, most of them early, where headers are."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        reach = len(out) if rng.random() < 0.5 else min(len(out), 128)
        out[int(rng.integers(reach))] ^= 1 << int(rng.integers(8))
    return bytes(out)


def truncated(rng: np.random.Generator, data: bytes) -> bytes:
    """A file that ends early."""
    return data[: int(rng.integers(len(data)))]


def spliced(rng: np.random.Generator, data: bytes) -> bytes:
    """A piece left out, doubled, or put elsewhere."""
    a, b = sorted(int(k) for k in rng.integers(0, len(data) + 1, 2))
    to = int(rng.integers(len(data) + 1))
    rest = data[:a] + data[b:]
    return [rest, data[:b] + data[a:], rest[:to] + data[a:b] + rest[to:]][int(rng.integers(3))]


def inflated(rng: np.random.Generator, data: bytes) -> bytes:
    """Sizes of 1 to 8 bytes, of either order, overwritten with extreme ones."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        width = int(rng.choice([1, 2, 4, 8]))
        value = int(_SIZES[int(rng.integers(len(_SIZES)))]) % 256**width
        reach = len(out) if rng.random() < 0.5 else min(len(out), 256)
        at = int(rng.integers(max(1, reach - width)))
        out[at : at + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")
    return bytes(out)


def noise(rng: np.random.Generator, data: bytes) -> bytes:
    """Random bytes, half of them after the beginning of the valid file."""
    start = data[: int(rng.integers(1, 64))] if rng.random() < 0.5 else b""
    return start + rng.bytes(int(rng.integers(0, 4096)))


def reworded(rng: np.random.Generator, data: bytes) -> bytes:
    """Words of a text replaced."""
    import re

    out = data
    for _ in range(int(rng.integers(1, 4))):
        words = list(re.finditer(rb"[^\s,=\[\]]+|[,=\[\]\n]", out))
        if not words:
            return out + b"="
        word = words[int(rng.integers(len(words)))]
        out = out[: word.start()] + _WORDS[int(rng.integers(len(_WORDS)))] + out[word.end() :]
    return out


def damaged(loader: Loader, seed: int, number: int) -> bytes:
    """The file of one case."""
    rng = np.random.default_rng([seed, zlib.crc32(loader.name.encode()), number])
    ways = [flipped, truncated, spliced, inflated, noise]
    ways += [reworded] * 5 if loader.text else []
    ways += [loader.change] * 5 if loader.change else []
    return ways[int(rng.integers(len(ways)))](rng, loader.data)


# -- one case --------------------------------------------------------------------------------------


def _peak() -> float:
    """Largest resident memory since :func:`_forget`, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _case(loader: Loader, path: Path, seen: list[str]) -> dict[str, Any]:
    """Read a file and say how it went."""
    seen.clear()
    _forget()
    before, begun, wall = _peak(), time.process_time(), time.perf_counter()
    fault = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loader.read(path)
        end = "accepted"
    except BrainLNPError as error:
        end = "refused"
        if not str(error):
            fault = "an error without a text"
    except BaseException as error:
        end = "fault"
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        fault = f"{type(error).__name__}: {str(error)[:200]} ({where})"
    used = time.process_time() - begun
    extra = _peak() - before
    fault = fault or (f"{used:.1f} s" if used > SECONDS else "")
    fault = fault or (f"{extra:.0f} MB" if extra > MEGABYTES else "")
    fault = fault or (f"touched {seen[0]}" if seen else "")
    return {
        "end": "fault" if fault else end, "fault": fault, "seconds": used, "megabytes": extra,
        "wall": time.perf_counter() - wall,
    }  # fmt: skip


def _watch(seen: list[str], own: str) -> None:
    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _WRITES:
            seen.append(f"{event} {args[:2]!r:.120}")
        elif event == "open" and isinstance(args[0], str) and not args[0].startswith("/proc/self/"):
            mode, flags = args[1] or "", args[2] or 0
            writes = set(str(mode)) & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not args[0].startswith(own):
                seen.append(f"open {args[0]}")

    sys.addaudithook(hook)


def _child(loader: Loader, numbers: Iterator[int], seed: int, folder: Path, pipe: int) -> None:
    """Cases one after the other, a line of JSON each."""
    limit = 16 * 2**30  # a guard of the machine; the limit of a case is measured
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seen: list[str] = []
    path = folder / loader.file
    own = [str(path)]
    _watch(seen, own[0])
    for number in numbers:
        os.write(pipe, (json.dumps({"begin": number}) + "\n").encode())
        path.write_bytes(damaged(loader, seed, number))
        told = {"number": number, **_case(loader, path, seen)}
        os.write(pipe, (json.dumps(told) + "\n").encode())


def cases(loader: Loader, numbers: range, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Results of cases, in children that are replaced when one dies.

    Parameters
    ----------
    loader : Loader
    numbers : range
    seed : int
    folder : Path
        Where the damaged file is written; what else the loader needs lies there already.
    """
    left = list(numbers)
    while left:
        read, write = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(read)
                _child(loader, iter(left), seed, folder, write)
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        running, text, killed = left[0], b"", False
        while True:
            ready, _, _ = select.select([read], [], [], KILL_AFTER)
            piece = os.read(read, 65536) if ready else b""
            if not piece:
                killed = not ready
                break
            *lines, text = (text + piece).split(b"\n")
            for line in lines:
                told = json.loads(line)
                if "begin" in told:
                    running = told["begin"]
                else:
                    left.remove(told["number"])
                    yield told
        if killed:
            os.kill(child, signal.SIGKILL)
        os.close(read)
        status = os.waitpid(child, 0)[1]
        if left:
            left.remove(running)
            why = f"no answer in {KILL_AFTER:g} s" if killed else f"the process died ({status})"
            yield {"number": running, "end": "fault", "fault": why, "seconds": 0.0, "wall": 0.0,
                   "megabytes": 0.0}  # fmt: skip


def fuzz(
    loaders: list[Loader], folder: Path, *, each: int, seed: int, first: int = 0
) -> dict[str, Any]:
    """Run cases ``first`` to ``first + each - 1`` of every loader.

    Returns
    -------
    dict
        By loader: numbers of cases refused and accepted, the most that one took, and the faults.
    """
    table: dict[str, Any] = {}
    for loader in loaders:
        before = _listing(folder)
        found = list(cases(loader, range(first, first + each), seed, folder / loader.name))
        ends = collections.Counter(one["end"] for one in found)
        (folder / loader.name / loader.file).write_bytes(loader.data)
        after = _listing(folder)
        faults = [{"number": r["number"], "fault": r["fault"]} for r in found if r["fault"]]
        if after != before:
            faults.append({"number": -1, "fault": f"files changed: {sorted(before ^ after)[:3]}"})
        table[loader.name] = {
            "cases": len(found), "refused": ends["refused"], "accepted": ends["accepted"],
            "most_seconds": max(r["seconds"] for r in found),
            "most_megabytes": max(r["megabytes"] for r in found), "faults": faults,
        }  # fmt: skip
    return table


def _listing(folder: Path) -> set[tuple[str, int]]:
    return {(str(p), p.stat().st_size if p.is_file() else -1) for p in folder.rglob("*")}


def merged(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Two tables as one."""
    out = {}
    for name in two:
        a, b = one.get(name), two[name]
        out[name] = b if a is None else {
            key: max(a[key], b[key]) if key.startswith("most") else a[key] + b[key] for key in b
        }  # fmt: skip
    return out


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--refused", type=int, default=10_000, help="Malformed files to reach.")
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--only", help="LOADER:NUMBER, one case, with its traceback.")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    from scripts.fuzz_formats import loaders

    with tempfile.TemporaryDirectory() as name:
        every = loaders(Path(name))
        if given.only:
            which, _, number = given.only.partition(":")
            loader = next(one for one in every if one.name == which)
            path = Path(name) / which / loader.file
            path.write_bytes(damaged(loader, given.seed, int(number)))
            print(loader.read(path))
            return
        table: dict[str, Any] = {}
        first, each = 0, 100
        while sum(row["refused"] for row in table.values()) < given.refused:
            more = fuzz(every, Path(name), each=each, seed=given.seed, first=first)
            table, first = merged(table, more), first + each
            total = {k: sum(row[k] for row in table.values()) for k in ("refused", "accepted")}
            print(total, [(n, f) for n, row in more.items() for f in row["faults"]], flush=True)
    total = {k: sum(r[k] for r in table.values()) for k in ("cases", "refused", "accepted")}
    total["faults"] = sum(len(row["faults"]) for row in table.values())
    out = {
        "seed": given.seed, "limits": {"seconds": SECONDS, "megabytes": MEGABYTES}, **total,
        "python": platform.python_version(), "numpy": np.__version__, "loaders": table,
    }  # fmt: skip
    print(json.dumps(out, indent=1))
    if given.json:
        given.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
