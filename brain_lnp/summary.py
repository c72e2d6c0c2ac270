"""Mean and standard error over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Record = dict[str, Any]


def summarise(
    rows: Sequence[Record], by: Sequence[str] = ("method", "synapses", "neurons", "task")
) -> list[Record]:
    """Mean and standard error over seeds of every number in rows that agree in ``by``.

    Parameters
    ----------
    rows : sequence of dict
        Rows of an experiment.
    by : sequence of str
        What stays apart.

    Returns
    -------
    list of dict
        In order of first appearance; ``x_mean`` and ``x_stderr`` (None for one seed) for each
        number x, and ``seeds``, how many.
    """
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    summary = []
    for key, members in groups.items():
        entry: Record = dict(zip(by, key, strict=True))
        entry["seeds"] = len(members)
        for name, value in members[0].items():
            if name in by or name == "seed" or isinstance(value, (str, bool)) or value is None:
                continue
            values = np.array([member[name] for member in members], dtype=float)
            entry[f"{name}_mean"] = float(values.mean())
            entry[f"{name}_stderr"] = (
                float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else None
            )
        summary.append(entry)
    return summary
