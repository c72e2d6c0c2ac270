"""compare_runs: several runs side by side, paired over the seeds that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brain_lnp.reporting.paired import Paired, holm, pair
from brain_lnp.reporting.record import RunRecord
from models_eq.errors import ParameterError

Label = tuple[str, float, float]


@dataclass(frozen=True)
class Comparison:
    """Several runs beside each other.

    Attributes
    ----------
    names : tuple of str
        One for each run: its experiment's, or its folder's where two have the same.
    records : tuple of RunRecord
        The runs.
    differences : dict of str to tuple of str
        Settings (dotted key) and versions that are not the same in all, as text.
    summary : dict
        By (method, synapses, neurons, task): the summary row of each run, or None.
    paired : tuple of Paired
        The other runs against the first, for every network and task that both have.
    """

    names: tuple[str, ...]
    records: tuple[RunRecord, ...]
    differences: Mapping[str, tuple[str, ...]]
    summary: Mapping[tuple[Any, ...], tuple[Mapping[str, Any] | None, ...]]
    paired: tuple[Paired, ...]


def compare_runs(records: Sequence[RunRecord]) -> Comparison:
    """Compare runs.

    Parameters
    ----------
    records : sequence of RunRecord
        At least two; the others are compared with the first.

    Returns
    -------
    Comparison
        What they have side by side, what they were asked differently, and the paired differences.

    Raises
    ------
    ParameterError
        For fewer than two runs, or one given twice.

    Notes
    -----
    Rows are paired by seed where method, budget and name of the task agree. A seed draws the same
    network and the same task in both only where these were asked alike: ``differences`` says
    where they were not.
    """
    if len(records) < 2:
        raise ParameterError("runs", "at least two folders of finished runs", len(records))
    names = _names(records)
    summary: dict[tuple[Any, ...], list[Mapping[str, Any] | None]] = {}
    for k, record in enumerate(records):
        for row in record.result.summary:
            key = row["method"], row["synapses"], row["neurons"], row["task"]
            summary.setdefault(key, [None] * len(records))[k] = row
    paired = []
    for k in range(1, len(records)):
        for method, synapses, neurons, task in summary:
            mine, theirs = (
                [
                    row
                    for row in record.rows
                    if (row["method"], row["synapses"], row["neurons"], row["task"])
                    == (method, synapses, neurons, task)
                ]
                for record in (records[k], records[0])
            )
            one = pair(
                mine, theirs, ours=f"{names[k]}: {method}", other=f"{names[0]}: {method}",
                synapses=synapses, neurons=neurons, task=task,
            )  # fmt: skip
            if one is not None:
                paired.append(one)
    return Comparison(
        tuple(names),
        tuple(records),
        _differences(records),
        {key: tuple(rows) for key, rows in summary.items()},
        tuple(holm(paired)),
    )


def _names(records: Sequence[RunRecord]) -> list[str]:
    """The experiment's name; where several have it, the folder's; at last the whole path."""
    ways = (lambda r: r.name, lambda r: r.folder.resolve().name, lambda r: str(r.folder))
    for way in ways:
        names = [way(record) for record in records]
        if len(set(names)) == len(names):
            return names
    raise ParameterError("runs", "each folder once", ", ".join(names))


def _differences(records: Sequence[RunRecord]) -> dict[str, tuple[str, ...]]:
    """Settings and versions that differ, by dotted key."""
    said = []
    for record in records:
        asked = {} if record.experiment is None else record.experiment.to_dict()
        flat = _flat({key: value for key, value in asked.items() if key != "output"})
        flat |= {f"environment.{key}": v for key, v in _flat(record.environment).items()}
        said.append(flat)
    keys = dict.fromkeys(key for flat in said for key in flat)
    found = {key: tuple(flat.get(key, "-") for flat in said) for key in keys}
    found.pop("experiment.name", None)
    return {key: values for key, values in found.items() if len(set(values)) > 1}


def _flat(value: Any, key: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        items = [_flat(item, f"{key}.{name}".strip(".")) for name, item in value.items()]
        return {name: text for one in items for name, text in one.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        return _flat({str(k): item for k, item in enumerate(value)}, key)
    if isinstance(value, (list, tuple)):
        return {key: ", ".join(map(str, value))}
    return {key: "-" if value is None else str(value)}
