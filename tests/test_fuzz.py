"""Malformed files end in typed errors; a loader that does worse is found out."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models_eq.errors import FormatError
from scripts.fuzz import Loader, damaged, fuzz
from scripts.fuzz_formats import loaders


def test_two_hundred_damaged_files_are_refused_or_still_valid(tmp_path: Path) -> None:
    every = loaders(tmp_path)
    table = fuzz(every, tmp_path, each=17, seed=1)
    assert sum(row["cases"] for row in table.values()) >= 200
    assert {name: row["faults"] for name, row in table.items() if row["faults"]} == {}
    assert all(row["refused"] > 0 for row in table.values())


def test_a_case_is_the_same_every_time_and_no_other() -> None:
    loader = Loader("x", Path.read_bytes, bytes(range(200)), "x")
    assert [damaged(loader, 1, k) for k in range(9)] == [damaged(loader, 1, k) for k in range(9)]
    assert len({damaged(loader, 1, k) for k in range(9)} | {damaged(loader, 2, 0)}) == 10


def _untyped(path: Path) -> Any:
    raise ValueError(path.name)


def _slow(path: Path) -> Any:
    end = time.process_time() + 2.2
    while time.process_time() < end:
        pass
    raise FormatError("x", "a", "b")


def _large(path: Path) -> Any:
    np.ones(80_000_000)
    raise FormatError("x", "a", "b")


def _writing(path: Path) -> Any:
    (path.parent.parent / "outside").write_text("x")
    raise FormatError("x", "a", "b")


def _dying(path: Path) -> Any:
    os._exit(3)


@pytest.mark.parametrize(
    ("read", "named"),
    [(_untyped, "ValueError"), (_slow, r"\d s"), (_large, "MB"), (_writing, "touched open"),
     (_dying, "died")],
)  # fmt: skip
def test_faults_are_seen(read: Callable[[Path], Any], named: str, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    loader = Loader("x", read, b"0123456789", "file")
    (tmp_path / "x" / "file").write_bytes(loader.data)
    (fault, *_) = fuzz([loader], tmp_path, each=1, seed=1)["x"]["faults"]
    assert re.search(named, fault["fault"])
