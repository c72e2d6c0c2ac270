"""Tables of the parts of the study that are not errors on the four tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr
from study_rows import Row
from study_values import as_list, error, interval, short

from analysis.comparison import paired_ratio
from analysis.metrics import mean_and_stderr


def digits(rows: Sequence[Row]) -> tuple[str, Row]:
    """Share of wrong digits, and LNP over random_matched, paired."""
    by = {}
    for row in rows:
        by.setdefault(row["variant"], {})[row["seed"]] = row["error"]
    lines, found = [], {}
    for name, errors in by.items():
        mean, stderr = mean_and_stderr(list(errors.values()))
        found[name] = [short(mean), short(stderr), len(errors)]
        lines.append(f"| {name} | {mean:.4f} ± {stderr:.4f} | {len(errors)} |")
    seeds = sorted(set(by["LNP"]) & set(by["random_matched"]))
    pair = paired_ratio([by["LNP"][s] for s in seeds], [by["random_matched"][s] for s in seeds])
    found["LNP / random_matched"] = as_list(pair)
    head = "| 2 % of the synapses | wrong | seeds |\n|---|---:|---:|\n"
    tail = f"\n\nLNP over random_matched: {interval(as_list(pair))}."
    return head + "\n".join(lines) + tail, found


# Errors of the dense network's readouts, over that of its ordinary readout on itself.
READOUTS = ("transfer", "robust", "robust_dense")


def fidelity(rows: Sequence[Row]) -> tuple[str, list[Row]]:
    """Share of variance reproduced, and the dense network's readout used unchanged."""
    by: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        by.setdefault((row["variant"], row["synapses"]), []).append(row)
    lines, found = [], []
    for (name, synapses), members in by.items():
        entry: Row = {"variant": name, "synapses": synapses, "seeds": len(members)}
        for key in ("share", "ceiling", "median", "rate_error", *READOUTS):
            entry[key] = [short(v) for v in mean_and_stderr([row[key] for row in members])]
        found.append(entry)
        cells = [f"{entry[k][0]:.3f} ± {entry[k][1]:.3f}" for k in ("share", "ceiling")]
        cells += [f"{entry[k][0]:.2f} ± {entry[k][1]:.2f}" for k in READOUTS]
        lines.append(f"| {name} | {100 * synapses:g} % | {' | '.join(cells)} | {len(members)} |")
    head = (
        "| mask | synapses | share of variance | ceiling | dense readout | robust readout | robust "
        "readout, on dense | seeds |\n|---|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    return head + "\n".join(lines), found


def predictors(rows: Sequence[Row]) -> tuple[str, list[Row]]:
    """Rank correlation of what can be measured without a task with the error, seed by seed."""
    lines, found = [], []
    for name in ("capacity", "mean_abs_exponent", "mean_exponent", "rate", "sops"):
        values = []
        for seed in sorted({row["seed"] for row in rows}):
            mine = [r for r in rows if r["seed"] == seed and r["capacity"] is not None]
            mine = [r for r in mine if r["synapses"] < 1.0]
            if len(mine) > 3:
                found_here = spearmanr([r[name] for r in mine], [error(r) for r in mine])
                values.append(float(found_here.statistic))
        if len(values) > 1:
            mean, stderr = mean_and_stderr(values)
            found.append({"measure": name, "spearman": [short(mean), short(stderr)]})
            lines.append(f"| {name.replace('_', ' ')} | {mean:+.2f} ± {stderr:.2f} |")
    head = "| measure | Spearman correlation with the error |\n|---|---:|\n"
    return (head + "\n".join(lines) if lines else ""), found


def stability(rows: Sequence[Row]) -> tuple[str, list[Row]]:
    """Leading exponents and mean size of the twenty, and where pruning lost the contraction."""
    lines, found = [], []
    dense = {row["seed"]: row for row in rows if row["name"].startswith("dense")}
    for name in dict.fromkeys(row["name"] for row in rows):
        members = [row for row in rows if row["name"] == name]
        entry: Row = {"name": name, "seeds": len(members)}
        cells = []
        for key, error_key in (("exponents", "stderr"), ("task_exponents", "task_stderr")):
            leading = mean_and_stderr([row[key][0] for row in members])
            size = mean_and_stderr([float(np.mean(np.abs(row[key]))) for row in members])
            # Two standard errors of one run: what is not surely positive counts as contracting.
            lost = sum(
                row[key][0] - 2 * row[error_key][0] > 0
                for row in members
                if row["seed"] in dense and dense[row["seed"]][key][0] < 0
            )
            above = sum(
                row[key][0] > 0
                for row in members
                if row["seed"] in dense and dense[row["seed"]][key][0] < 0
            )
            entry[key] = {
                "leading": [short(v) for v in leading], "mean size": [short(v) for v in size],
                "positive where dense is negative": int(above), "surely": int(lost),
            }  # fmt: skip
            cells += [f"{leading[0]:+.1f} ± {leading[1]:.1f}", f"{size[0]:.1f} ± {size[1]:.1f}"]
            cells.append(f"{above} ({lost})")
        found.append(entry)
        lines.append(f"| {name} | {' | '.join(cells)} | {len(members)} |")
    head = (
        "| | noise: leading, 1/s | mean size of 20 | above 0 where dense is below (surely) | task: "
        "leading, 1/s | mean size of 20 | above 0 where dense is below (surely) | seeds |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    return head + "\n".join(lines), found
