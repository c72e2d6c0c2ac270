"""``brain-lnp prune``: settings by name, checkpoints, and what is said where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brain_lnp.cli import main
from brain_lnp.cli_prune import _settings
from brain_lnp.lnp import LNP
from models_eq import HRSNN, HRSNNSpec, load, sample_hrsnn, save, use_device
from models_eq.errors import ParameterError

FAST = ["--device", "numpy", "--method", "lnp_calibrated", "--n-iter", "2", "--seed", "3"]


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save(sample_hrsnn(HRSNNSpec(n=40), seed=1), tmp_path / "net.npz")


def prune(network: Path, *more: str) -> int:
    given = ["prune", network, "--synapses", "0.25", "-o", "out.npz", "--force", *FAST, *more]
    return main([str(one) for one in given])


def test_settings_are_read_as_what_they_are():
    found = _settings(
        ["trials=4", "add=0.05", "times_weight=true", "timescales = off", "refit=off"]
    )
    assert found == {
        "trials": 4, "add": 0.05, "times_weight": True, "timescales": "off", "refit": "off",
    }  # fmt: skip
    for wrong in ("trials", "=4", "two words=1"):
        with pytest.raises(ParameterError, match="option"):
            _settings([wrong])


def test_options_reach_the_method(network, capsys):
    options = {"connected": 0.0, "noise_duration": "200 ms", "add": 0.1, "synapse_score": "random"}
    given = [f"--option={name}={value}" for name, value in options.items()]
    assert prune(network, *given, "--json") == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [s["added"] for s in said["steps"] if s["name"] == "rewire"] == [16, 8]
    with use_device("numpy"):
        settings = LNP(mode="calibrated", n_iter=2, **options)  # type: ignore[arg-type]
        same = settings.run(load(network), synapses=0.25, seed=3).net
    assert load("out.npz", expected=HRSNN) == same


def test_a_checkpoint_is_kept_and_another_run_refused(network, capsys):
    more = ["--option", "connected=0", "--option", "noise_duration=200 ms"]
    assert prune(network, *more, "--checkpoint", "run.npz") == 0
    first, kept = Path("out.npz").read_bytes(), Path("run.npz").read_bytes()
    assert prune(network, *more, "--checkpoint", "run.npz") == 0
    assert Path("out.npz").read_bytes() == first
    capsys.readouterr()
    assert prune(network, *more, "--option", "add=0", "--checkpoint", "run.npz") == 2
    assert "another run" in capsys.readouterr().err and Path("run.npz").read_bytes() == kept


@pytest.mark.parametrize("option", ["sharpness=9", "steps=3", "add", "timescales=maybe"])
def test_a_wrong_option_is_one_line(option, network, capsys):
    assert prune(network, "--option", option) == 2
    said = capsys.readouterr().err
    assert option.partition("=")[0] in said and "Traceback" not in said
    assert not Path("out.npz").exists()
