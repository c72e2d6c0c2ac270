"""The table of tasks counts what its rows say, and its networks are kept by name and seed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models_eq import HRSNNSpec, sample_hrsnn, save

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(scope="module")
def study() -> Any:
    sys.path.insert(0, str(SCRIPTS))
    try:
        import tasks_study

        yield tasks_study
    finally:
        sys.path.remove(str(SCRIPTS))


def rows_of(study: Any) -> list[dict[str, Any]]:
    """On the first task the sparse network has 0.9 of dense's error, on the second 1.2."""
    found = []
    for task, ratio in (("easy", 0.9), ("hard", 1.2)):
        for seed in range(5):
            luck = float(np.exp(0.4 * np.sin(5 * seed)))
            for who in study.NETWORKS:
                error = luck * (ratio * (1 + 0.01 * np.cos(seed)) if who == "lnp" else 1.0)
                found.append(
                    {"seed": seed, "task": task, "who": who, "error": error, "sops": 2e4,
                     "neurons": 1000, "synapses": 4000}
                )  # fmt: skip
            found.append({"seed": seed, "task": task, "who": "persistence", "error": 2.0})
    return found


def test_bounds_are_paired_and_counted(study: Any, tmp_path: Path) -> None:
    rows = rows_of(study)
    ratio, low, high, n = study.loss(rows, "easy")
    assert n == 5 and ratio == pytest.approx(0.9, rel=0.01) and high - low < 0.05
    (tmp_path / "figures").mkdir()
    study.table(rows, tmp_path)
    page = (tmp_path / "tasks_table.md").read_text(encoding="utf-8")
    # Unpaired, the luck of the seeds would hide both.
    assert "On 1 of 2 tasks" in page and "1.2" in page.split("| hard |")[1].splitlines()[0]
    assert "| 2.000 |" in page, "a baseline that never varies has no error to show"
    assert (tmp_path / "figures" / "tasks_study.png").stat().st_size > 5000


def test_a_network_that_is_there_is_not_made_again(study: Any, tmp_path: Path) -> None:
    net = sample_hrsnn(HRSNNSpec(n=20), seed=4)
    save(net, tmp_path / "lnp_7.npz")
    assert study.network("lnp", 7, tmp_path) == net


def test_files_that_are_missing_leave_their_task_out(
    study: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = study.named_tasks(1, tmp_path)
    assert "digits" in names and not any("wind" in name for name in names)
    assert "left out: wind" in capsys.readouterr().out
