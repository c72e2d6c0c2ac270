"""Rows of the study: read from its finished units, kept as a table, merged."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
TASKS = ("x1", "xh", "nh", "digits")
MAIN = ("iid400", "iid1000", "families", "selection")
SPECIAL = ("digits", "fidelity", "exponents")  # parts whose rows are of other kinds
RAW = (
    "part", "family", "n", "seed", "variant", "synapses", "neurons", "coupling", "kept_neurons",
    "kept_synapses", *TASKS, *(f"{task}_validation" for task in TASKS), "sops", "rate", "factor",
    "capacity", "cv_p", "m", "mean_exponent", "mean_abs_exponent", "stopped",
)  # fmt: skip


def read_rows(folder: Path) -> list[Row]:
    """All rows of the finished units below ``folder``; what failed is printed and left out."""
    rows = []
    for path in sorted(folder.glob("*/units/*.json")):
        for row in json.loads(path.read_text())["data"]["rows"]:
            if "failed" in row:
                which = f"{row['variant']} {row['synapses']} {row['seed']}"
                print(f"left out: {which}: {row['failed']}")
                continue
            rows.append({"part": path.parts[-3], **row})
    return rows


def read_csv(path: Path) -> list[Row]:
    """The rows that :func:`write_csv` wrote."""
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            row: Row = dict(line)
            for name, value in line.items():
                if name in ("part", "family", "variant", "stopped"):
                    row[name] = value or None
                else:
                    row[name] = float(value) if value else None
            for name in ("n", "seed"):
                row[name] = int(row[name])
            rows.append(row)
    return rows


def merged(kept: Sequence[Row], fresh: Sequence[Row]) -> list[Row]:
    """Rows that are kept and new ones, which count where both have the same network."""
    which = ("part", "family", "n", "seed", "variant", "name", "synapses", "neurons", "coupling")
    rows = {tuple(row.get(name) for name in which): row for row in (*kept, *fresh)}
    return sorted(rows.values(), key=lambda row: [str(row.get(name)) for name in which])


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line a network, five digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(RAW)
        for row in rows:
            values = [row.get(name) for name in RAW]
            # One scale for each cluster: their geometric mean.
            values = [float(np.exp(np.mean(np.log(v)))) if type(v) is list else v for v in values]
            writer.writerow([f"{v:.5g}" if isinstance(v, float) else v for v in values])
