"""The tables of the study read the rows rightly, and its jobs give such rows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts" / "frompapers"


@pytest.fixture(scope="module")
def tables() -> Any:
    sys.path.insert(0, str(SCRIPTS))
    try:
        import study_tables

        yield study_tables
    finally:
        sys.path.remove(str(SCRIPTS))


def row(variant: str, seed: int, synapses: float, error: float, sops: float) -> dict[str, Any]:
    tasks = ("x1", "xh", "nh", "digits")
    return {
        "part": "iid400", "family": "iid", "n": 400, "seed": seed, "variant": variant,
        "synapses": synapses, "neurons": 1.0, "coupling": None, "sops": sops, "rate": 30.0,
        "kept_neurons": 400, "kept_synapses": 640, "stopped": None,
        **dict.fromkeys(tasks, error), **{f"{t}_validation": error for t in tasks},
    }  # fmt: skip


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """The baseline's error is 0.2 (SOPs/1e4)^-1/4 times what the seed does to all."""
    found = []
    for seed in range(6):
        luck = float(np.exp(0.3 * np.sin(7 * seed)))
        found.append(row("dense", seed, 1.0, 0.2 * luck, 1e6))
        for share, sops in ((0.1, 1e5), (0.02, 2e4), (0.005, 5e3)):
            error = 0.2 * luck * (sops / 1e4) ** -0.25
            found.append(row("random_matched", seed, share, error, sops))
        # 10 % better than the baseline would be at the same operations.
        noise = 1 + 0.01 * np.cos(3 * seed)
        found.append(row("LNP", seed, 0.02, 0.9 * noise * 0.2 * luck * 3**-0.25, 3e4))
    return found


def test_equal_operations_are_read_off_the_curve(tables, rows):
    curves = tables.Curves(rows, "iid", 400)
    key = ("LNP", 0.02, 1.0)
    fair = curves.versus(key, "random_matched")
    assert fair.n == 6 and fair.better and fair.ratio == pytest.approx(0.9, rel=0.01)
    # At equal synapses the baseline has fewer operations, hence the larger error here.
    unfair = curves.at_equal_synapses(key, "random_matched")
    assert unfair.ratio == pytest.approx(0.9 * 1.5**-0.25, rel=0.01)
    dense = curves.versus_dense(key)
    assert dense.ratio == pytest.approx(0.9 * 3**-0.25, rel=0.01) and dense.high - dense.low < 0.03
    assert curves.budgets("random_matched") == [0.1, 0.02, 0.005]
    assert curves.versus(("random_matched", 0.1, 1.0), "LNP") is None, "nothing is known there"


def test_every_line_has_its_error_and_the_files_come_back(tables, rows, tmp_path):
    tables.write_csv(rows, tmp_path / "rows.csv")
    again = tables.read_csv(tmp_path / "rows.csv")
    assert len(again) == len(rows) and again[0]["variant"] == "dense"
    for name in ("results", "figures"):
        (tmp_path / "docs" / name).mkdir(parents=True)
    (tmp_path / "docs" / "results" / "study_rows.csv").write_bytes(
        (tmp_path / "rows.csv").read_bytes()
    )
    tables.write_all(tmp_path / "nothing", tmp_path / "docs")
    page = (tmp_path / "docs" / "study_tables.md").read_text(encoding="utf-8")
    assert "| LNP | 2 % | 100 % | 30.0 |" in page and "0.90 (0.8" in page
    assert (tmp_path / "docs" / "figures" / "study_curves.png").stat().st_size > 10_000
    first = (tmp_path / "docs" / "results" / "study_tables.json").read_bytes()
    tables.write_all(tmp_path / "nothing", tmp_path / "docs")
    assert (tmp_path / "docs" / "results" / "study_tables.json").read_bytes() == first


def test_lost_contraction_is_counted_where_the_dense_network_contracts(tables):
    from study_special import stability

    def spectrum(name: str, seed: int, leading: float) -> dict[str, Any]:
        lines = {"exponents": [leading, -10.0], "stderr": [1.0, 1.0]}
        both = lines | {f"task_{key}": value for key, value in lines.items()}
        return {"name": name, "seed": seed, **both}

    rows = [spectrum("dense, 100 %", seed, lam) for seed, lam in enumerate((-3.0, -2.0, 1.0))]
    rows += [spectrum("LNP, 2 %", seed, lam) for seed, lam in enumerate((1.0, 3.0, 9.0))]
    text, found = stability(rows)
    # Of the two seeds whose dense network contracts both are above 0, one beyond two errors.
    assert found[1]["exponents"]["positive where dense is negative"] == 2
    assert found[1]["task_exponents"]["surely"] == 1
    assert found[0]["exponents"]["leading"][0] == pytest.approx(-4 / 3, rel=1e-3)
    assert found[1]["exponents"]["mean size"][0] == pytest.approx((5.5 + 6.5 + 9.5) / 3, rel=1e-3)
    assert "2 (1)" in text
