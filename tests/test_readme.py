"""The README's own code blocks run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from models_eq import use_device

TEXT = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S)


def test_the_readme_opens_with_two_commands() -> None:
    commands = re.findall(r"^    (python3 scripts/start\.py \w+)", TEXT, flags=re.M)
    assert commands[:2] == ["python3 scripts/start.py demo", "python3 scripts/start.py test"]


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block{k}" for k in range(len(BLOCKS))])
def test_a_code_block_runs(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with use_device("numpy"):
        exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_the_saved_network_has_a_tenth_of_the_synapses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brain_lnp import load

    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with use_device("numpy"):
        exec(compile(BLOCKS[0], "README.md", "exec"), names)
    assert load("sparse.npz").n_synapses == 800
    assert 0 < names["score"].nrmse < 1  # type: ignore[attr-defined]
