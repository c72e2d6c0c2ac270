"""Tables and figures of the study, from the rows of its finished units."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from study_rows import MAIN, SPECIAL, TASKS, Row, merged, read_csv, read_rows, write_csv
from study_special import digits, fidelity, predictors, stability
from study_values import as_list, error, interval, short

from analysis.comparison import PairedRatio, error_at, paired_ratio
from analysis.metrics import mean_and_stderr

MEASURED = ("sops", "rate", "kept_neurons", "kept_synapses", "capacity", "cv_p", "m")


class Curves:
    """Rows of one family and size, by variant and budget, seed by seed."""

    def __init__(self, rows: Sequence[Row], family: str, n: int) -> None:
        self.rows: dict[tuple[str, float, float], dict[int, Row]] = {}
        for row in rows:
            if (row["family"], row["n"]) == (family, n) and row["coupling"] is None:
                key = row["variant"], float(row["synapses"]), float(row["neurons"])
                self.rows.setdefault(key, {})[row["seed"]] = row

    def budgets(self, variant: str, neurons: float = 1.0) -> list[float]:
        """Fractions of synapses there are, from many to few."""
        found = {s for v, s, k in self.rows if v == variant and k == neurons}
        return sorted(found, reverse=True)

    def versus_dense(self, key: tuple[str, float, float]) -> PairedRatio | None:
        """Ratio to the dense network of the same seed, with its interval."""
        return self._pair(key, lambda seed, row: self._at(("dense", 1.0, 1.0), seed))

    def versus(
        self, key: tuple[str, float, float], other: str, neurons: float | None = None
    ) -> PairedRatio | None:
        """Ratio to another variant at equal synaptic operations, seed by seed.

        Beyond the ends of the other's curve its nearest point is taken, if the operations differ
        by less than a fifth; other seeds are left out.
        """
        k = key[2] if neurons is None else neurons
        budgets = self.budgets(other, k)

        def value(seed: int, row: Row) -> float | None:
            points = [self.rows[other, s, k].get(seed) for s in budgets]
            there = [one for one in points if one is not None and one["sops"] > 0]
            if not there or row["sops"] <= 0:
                return None
            costs = np.array([one["sops"] for one in there])
            errors = np.array([error(one) for one in there])
            if len(there) > 1:
                found = float(error_at([row["sops"]], costs, errors)[0])
                if np.isfinite(found):
                    return found
            near = int(np.argmin(np.abs(np.log(costs / row["sops"]))))
            close = abs(np.log(costs[near] / row["sops"])) < np.log(1.2)
            return float(errors[near]) if close else None

        return self._pair(key, value)

    def at_equal_synapses(self, key: tuple[str, float, float], other: str) -> PairedRatio | None:
        """Ratio to another variant that keeps as many synapses and neurons."""
        return self._pair(key, lambda seed, row: self._at((other, key[1], key[2]), seed))

    def _at(self, key: tuple[str, float, float], seed: int) -> float | None:
        row = self.rows.get(key, {}).get(seed)
        return None if row is None else error(row)

    def _pair(
        self, key: tuple[str, float, float], other: Callable[[int, Row], float | None]
    ) -> PairedRatio | None:
        pairs = []
        for seed, row in sorted(self.rows.get(key, {}).items()):
            theirs = other(seed, row)
            if theirs is not None:
                pairs.append((error(row), theirs))
        return paired_ratio(*zip(*pairs, strict=True)) if len(pairs) > 1 else None

    def line(self, key: tuple[str, float, float]) -> Row:
        """One line of a table: means and standard errors."""
        members = [row for _, row in sorted(self.rows[key].items())]
        entry: Row = dict(zip(("variant", "synapses", "neurons"), key, strict=True))
        entry["seeds"] = len(members)
        for name in (*TASKS, *MEASURED):
            values = [row.get(name) for row in members]
            good = [v for v in values if isinstance(v, (int, float))]
            if len(good) == len(members) > 1:
                mean, stderr = mean_and_stderr(good)
                entry[name] = [short(mean), short(stderr)]
        entry["stopped"] = sum(bool(row.get("stopped")) for row in members)
        for name, found in (
            ("Q", self.versus_dense(key)),
            ("versus random_matched", self.versus(key, "random_matched")),
        ):
            if found is not None and key[0] != "dense":
                entry[name] = as_list(found)
        return entry

    def table(self) -> list[Row]:
        """All lines."""
        names = list(dict.fromkeys(key[0] for key in self.rows))
        first = ["dense", "LNP", "random_matched"]
        order = {name: k for k, name in enumerate(dict.fromkeys([*first, *names]))}
        # One network of a kind says nothing of its error.
        several = [key for key, members in self.rows.items() if len(members) > 1]
        keys = sorted(several, key=lambda key: (-key[2], order[key[0]], -key[1]))
        return [self.line(key) for key in keys]


def markdown(lines: Sequence[Row]) -> str:
    """The lines as a table."""
    head = ["variant", "synapses", "neurons", "kSOP/s", *TASKS, "Q (95 %)", "seeds"]
    out = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for one in lines:
        cells = [one["variant"], f"{100 * one['synapses']:g} %", f"{100 * one['neurons']:g} %"]
        cells.append(f"{one['sops'][0] / 1e3:.1f}" if "sops" in one else "")
        cells += [
            f"{one[t][0]:.3f} ± {one[t][1]:.3f}" if t in one else "" for t in TASKS
        ]  # fmt: skip
        cells.append(interval(one.get("Q")))
        out.append("| " + " | ".join([*cells, str(one["seeds"])]) + " |")
    return "\n".join(out)


def comparisons(curves: Curves, variant: str = "LNP") -> list[Row]:
    """LNP against every other variant, at equal operations and at equal synapses."""
    out = []
    for synapses in curves.budgets(variant):
        key = (variant, synapses, 1.0)
        for other in dict.fromkeys(v for v, _, k in curves.rows if k == 1.0):
            if other in (variant, "dense") or other.startswith(("no recurrence", "dense")):
                continue
            entry: Row = {"variant": variant, "synapses": synapses, "other": other}
            for name, found in (
                ("equal operations", curves.versus(key, other)),
                ("equal synapses", curves.at_equal_synapses(key, other)),
            ):
                if found is not None:
                    entry[name] = as_list(found)
            if len(entry) > 3:
                out.append(entry)
    return out


def comparison_markdown(entries: Sequence[Row]) -> str:
    """Comparisons as a table."""
    out = ["| LNP at | against | equal operations | equal synapses |", "|---:|---|---:|---:|"]
    for one in entries:
        cells = [f"{100 * one['synapses']:g} %", one["other"]]
        cells += [interval(one.get(name)) for name in ("equal operations", "equal synapses")]
        out.append("| " + " | ".join(cells) + " |")
    return "\n".join(out)


def write_all(folder: Path, docs: Path) -> None:
    """Every table and figure, from the finished units or, without them, from the stored rows.

    Parameters
    ----------
    folder : Path
        Of the study.
    docs : Path
        Where ``results``, ``figures`` and the page of tables go.
    """
    from study_figures import coupling_figure, curves_figure, forest_figure, spectra_figure
    from study_networks import FAMILIES

    results, figures = docs / "results", docs / "figures"
    stored = results / "study_rows.csv"
    fresh = read_rows(folder)
    rows = merged(read_csv(stored) if stored.exists() else [], fresh)
    special = {}
    for part in SPECIAL:
        where = results / f"study_{part}.json"
        kept = json.loads(where.read_text()) if where.exists() else []
        special[part] = merged(kept, [row for row in fresh if row["part"] == part])
        if special[part]:
            where.write_text(json.dumps(special[part], indent=1) + "\n")
    rows = [row for row in rows if row["part"] not in SPECIAL]
    write_csv(rows, stored)
    main = [row for row in rows if row["part"] in MAIN]
    curves = {
        (family, n): Curves(main, family, n)
        for family in FAMILIES
        for n in (400, 1000)
        if any((row["family"], row["n"]) == (family, n) for row in main)
    }
    page = [
        "# Tables of the pruning study",
        "Made by `python scripts/frompapers/study.py tables`; what they say is in "
        "[the study](pruning_study.md). Errors: mean ± standard error over seeds. Q: geometric "
        "mean of the four errors over those of the dense network of the same seed, with its 95 % "
        "interval.",
    ]
    found: Row = {}
    for (family, n), one in curves.items():
        title = f"{family.replace('_', ' ')}, {n} neurons"
        table, against = one.table(), comparisons(one)
        found[f"{family} {n}"] = {"table": table, "comparisons": against}
        page += [f"## {title}", markdown(table), "LNP over the other's error, paired over seeds:"]
        page += [comparison_markdown(against)]
    extra = [row for row in rows if row["part"] in ("iid400", "steps", "neurons")]
    steps = Curves(extra, "iid", 400)
    keys = [key for key in steps.rows if ("LNP" in key[0] or "Step IV" in key[0])]
    at_two = [key for key in keys if key[1:] == (0.02, 1.0) and key[0] != "LNP"]
    ablation = [
        (key[0], steps.at_equal_synapses(key, "LNP"), steps.versus(key, "LNP")) for key in at_two
    ]
    found["steps"] = [
        {
            "variant": name,
            "equal synapses": as_list(a),
            "equal operations": as_list(b) if b else None,
        }
        for name, a, b in ablation
        if a is not None
    ]
    page += ["## Steps, exponents and settings: 400 neurons, 2 % of the synapses"]
    page += ["The variant's error over LNP's, paired over seeds:"]
    lines = ["| variant | equal synapses | equal operations |", "|---|---:|---:|"]
    lines += [
        f"| {name} | {interval(as_list(a))} | {interval(as_list(b)) if b else ''} |"
        for name, a, b in ablation
        if a is not None
    ]
    page.append("\n".join(lines))
    fewer = [steps.line(key) for key in steps.rows if key[1] == 0.02 and key[2] < 1.0]
    if fewer:
        found["neurons"] = fewer
        page += ["## Fewer neurons: 400 neurons, 2 % of the synapses", markdown(fewer)]
    text, found["predictors"] = predictors([row for row in main if row["part"] == "iid400"])
    if text:
        page += ["## What ranks pruned networks, 400 neurons", text]
    if special["digits"]:
        text, found["digits"] = digits(special["digits"])
        page += ["## All digits by five-fold cross-validation", text]
    if special["exponents"]:
        text, found["stability"] = stability(special["exponents"])
        page += ["## Lyapunov exponents before and after", text]
    if special["fidelity"]:
        text, found["fidelity"] = fidelity(special["fidelity"])
        page += ["## Fidelity to the dense network, 400 neurons", text]
    (results / "study_tables.json").write_text(json.dumps(found, indent=1) + "\n")
    (docs / "study_tables.md").write_text("\n\n".join(page) + "\n")
    panels = [(f"{n} neurons", curves["iid", n]) for n in (400, 1000) if ("iid", n) in curves]
    if panels:
        curves_figure(panels, figures / "study_curves.png")
    groups = [
        (
            family.replace("_", " "),
            [
                (f"{100 * s:g} %", curves[family, 400].versus(("LNP", s, 1.0), "random_matched"))
                for s in (0.01, 0.005)
            ],
        )
        for family in FAMILIES
        if (family, 400) in curves
    ]
    if any(pair for _, members in groups for _, pair in members):
        label = "error of LNP over random_matched, equal operations"
        forest_figure(groups, figures / "study_families.png", label)
    if any(a for _, a, _ in ablation):
        members = [(name, a) for name, a, _ in ablation]
        forest_figure([("", members)], figures / "study_steps.png", "error over that of LNP")
    scan = [row for row in rows if row["part"] == "coupling"]
    if scan:
        coupling_figure(scan, figures / "study_coupling.png")
    if special["exponents"]:
        spectra_figure(special["exponents"], figures / "study_spectra.png")
