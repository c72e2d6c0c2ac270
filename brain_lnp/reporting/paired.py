"""Paired: two methods (or two runs) on the same seeds, with an interval and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from analysis.comparison import PairedRatio, paired_ratio
from brain_lnp.units import CONTROLS

Row = Mapping[str, Any]
LEVEL = 0.05


@dataclass(frozen=True)
class Paired:
    """What one method has beside another on one task, over the seeds that both have.

    Attributes
    ----------
    ours, other : str
        Who is compared, and with whom.
    synapses, neurons : float
        Fractions that ``other`` keeps.
    task : str
        On which task.
    n : int
        Pairs.
    difference, stderr : float
        Mean of error(ours) - error(other) and its standard error (NaN for one pair).
    ratio : PairedRatio or None
        Geometric mean of the ratio of errors and its 95 % interval; None for one pair, or where
        an error is 0.
    operations : float or None
        Geometric mean of the ratio of synaptic operations; None where one has none.
    p : float
        Of a paired t test, on logarithms where there is a ratio; NaN where it says nothing: for
        one pair, or differences without any spread.
    p_holm : float
        The same, adjusted for all comparisons made together.
    """

    ours: str
    other: str
    synapses: float
    neurons: float
    task: str
    n: int
    difference: float
    stderr: float
    ratio: PairedRatio | None
    operations: float | None
    p: float
    p_holm: float = float("nan")

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``equal`` (in every pair), or ``open``: not told apart."""
        if self.n and self.difference == 0 and (self.n == 1 or self.stderr == 0):
            return "equal"
        if not self.p_holm < LEVEL:
            return "open"
        return "better" if self.difference < 0 else "worse"


def pair(mine_rows: Sequence[Row], other_rows: Sequence[Row], **names: Any) -> Paired | None:
    """Compare rows of two, by seed; None where they share no seed."""
    mine, theirs = ({row["seed"]: row for row in rows} for rows in (mine_rows, other_rows))
    seeds = [seed for seed in mine if seed in theirs]
    if not seeds:
        return None
    a, b = (np.array([rows[s]["error"] for s in seeds], dtype=float) for rows in (mine, theirs))
    d, n = a - b, len(seeds)
    positive = bool((a > 0).all() and (b > 0).all())
    tested = np.log(a) - np.log(b) if positive else d
    spread = float(tested.std(ddof=1)) if n > 1 else 0.0
    p = float("nan")
    if spread > 1e-12 * max(1.0, float(np.abs(tested).max())):
        p = float(stats.ttest_1samp(tested, 0.0).pvalue)
    cost = [_ratio(mine[s].get("sops_per_second"), theirs[s].get("sops_per_second")) for s in seeds]
    known = [value for value in cost if value is not None]
    return Paired(
        n=n,
        difference=float(d.mean()),
        stderr=float(d.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan"),
        ratio=paired_ratio(a, b) if positive and n > 1 else None,
        operations=float(np.exp(np.mean(known))) if len(known) == n else None,
        p=p,
        **names,
    )


def _ratio(ours: Any, other: Any) -> float | None:
    return float(np.log(ours / other)) if ours and other and ours > 0 and other > 0 else None


def holm(comparisons: Iterable[Paired]) -> list[Paired]:
    """Adjust p values for being many.

    Parameters
    ----------
    comparisons : iterable of Paired
        All comparisons that are shown together.

    Returns
    -------
    list of Paired
        The same with ``p_holm``; what has no p value counts for nothing.

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6.

    Examples
    --------
    >>> from dataclasses import replace
    >>> one = Paired("a", "b", 1.0, 1.0, "t", 3, -0.1, 0.01, None, None, 0.01)
    >>> [found.p_holm for found in holm([one, replace(one, p=0.04), replace(one, p=float("nan"))])]
    [0.02, 0.04, nan]
    """
    found = list(comparisons)
    order = sorted((k for k, one in enumerate(found) if one.p == one.p), key=lambda k: found[k].p)
    worst = 0.0
    for rank, k in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - rank) * found[k].p))
        found[k] = replace(found[k], p_holm=worst)
    return found


def reference_method(methods: Sequence[str]) -> str | None:
    """The method that others are compared with: LNP where it ran, else the last but no control."""
    if "lnp" in methods:
        return "lnp"
    others = [name for name in methods if name not in CONTROLS]
    return others[-1] if others else None


def paired_methods(rows: Sequence[Row], reference: str | None = None) -> list[Paired]:
    """Compare one method with every other one at the same budget, and with the controls.

    Parameters
    ----------
    rows : sequence of Mapping
        Rows of a run.
    reference : str, optional
        The method; by default ``lnp``, or where it did not run the last one.

    Returns
    -------
    list of Paired
        For each budget of the method, each other method and each task, over shared seeds;
        ``p_holm`` is adjusted for all of them.
    """
    chosen = reference or reference_method(list(dict.fromkeys(row["method"] for row in rows)))
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        key = row["method"], row["synapses"], row["neurons"], row["task"]
        groups.setdefault(key, []).append(row)
    found = []
    for (method, synapses, neurons, task), mine in groups.items():
        if method != chosen:
            continue
        for (other, share, kept, same), theirs in groups.items():
            budget = other in CONTROLS or (share, kept) == (synapses, neurons)
            if other == method or same != task or not budget:
                continue
            one = pair(
                mine, theirs, ours=method, other=other, synapses=synapses, neurons=neurons,
                task=task,
            )  # fmt: skip
            if one is not None:
                found.append(one)
    return holm(found)
