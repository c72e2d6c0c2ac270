"""The code blocks of the how-to pages run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from brian2 import prefs

from models_eq import use_device

DOCS = Path(__file__).parent.parent / "docs"
PAGES = (
    "exchange.md",
    "howto.md",
    "lyapunov.md",
    "moore_chaudhuri.md",
    "own_models.md",
    "pruning.md",
    "reports.md",
)
BLOCKS = [
    (page, k, block)
    for page in PAGES
    for k, block in enumerate(
        re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.S)
    )
]


@pytest.mark.parametrize(("page", "k", "block"), BLOCKS, ids=[f"{p}-{k}" for p, k, _ in BLOCKS])
def test_a_code_block_runs(page, k, block, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(prefs, "codegen.target", "numpy")
    with use_device("numpy"):
        exec(compile(block, f"{page}, block {k}", "exec"), {})
    assert capsys.readouterr().out.strip() or "plots." in block


def test_the_tutorial_runs_from_its_first_block_to_its_last(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(prefs, "codegen.target", "numpy")
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    names: dict = {}
    for k, block in enumerate(re.findall(r"```python\n(.*?)```", text, flags=re.S)):
        exec(compile(block, f"tutorial.md, block {k}", "exec"), names)
        assert capsys.readouterr().out.strip() or "import" in block
    spectrum, result = names["spectrum"], names["result"]
    assert (spectrum.exponents < 0).all(), "the text says so"
    assert result.net.n_synapses == round(0.2 * names["net"].n_synapses)
    assert len(names["errors"]["random_gain"]) == 3


PICTURED = sorted(p.name for p in DOCS.glob("*.md") if "{figure}" in p.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PICTURED)
def test_every_figure_of_a_page_is_there(page):
    named = re.findall(r"\{figure\} (\S+)", (DOCS / page).read_text(encoding="utf-8"))
    assert named and all((DOCS / name).is_file() for name in named)


def test_the_pages_with_figures_are_looked_at():
    assert {"lyapunov.md", "moore_chaudhuri.md", "pruning_study.md"} <= set(PICTURED)
