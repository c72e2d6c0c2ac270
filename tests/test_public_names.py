"""Names that others rely on, and what importing costs and guards against."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.public_names import FILE, offered

ROOT = Path(__file__).resolve().parent.parent
MODELS_EQ = (
    "HRSNN", "HRSNNSpec", "sample_hrsnn", "simulate", "to_brian2", "use_device", "Gamma",
    "LogNormal",
)  # fmt: skip
ANALYSIS = ("lyapunov_spectrum", "node_exponents", "LyapunovResult", "LinearReadout", "STDPReadout")
BRAIN_LNP = ("LNP", "prune", "prune_model", "evaluate", "tasks", "load", "save")
RELIED_ON = [
    *(("models_eq", name) for name in MODELS_EQ),
    *(("analysis", name) for name in ANALYSIS),
    *(("brain_lnp", name) for name in (*BRAIN_LNP, *MODELS_EQ, *ANALYSIS)),
]
SIGNATURES = {
    ("models_eq", "simulate"): (
        "net", "stimulus", "duration", "dt", "initial_state", "record", "copies", "seed",
    ),
    ("models_eq", "sample_hrsnn"): ("spec", "seed"),
    ("analysis", "lyapunov_spectrum"): (
        "system", "stimulus", "k", "duration", "dt", "transient", "initial_state", "t_qr", "method",
        "seed",
    ),
    ("analysis", "node_exponents"): ("net", "stimulus", "duration", "dt", "seed", "definition"),
    ("brain_lnp", "prune"): (
        "net", "method", "synapses", "neurons", "seed", "stimulus", "treatment", "progress",
    ),
    ("brain_lnp", "evaluate"): ("net", "task", "readout", "dt", "tau", "seed"),
    ("brain_lnp", "save"): ("value", "path"),
    ("brain_lnp", "load"): ("path",),
}  # fmt: skip


def run(code: str, cwd: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    """Python in a folder of its own; ``python -c`` looks there first, as a script would."""
    search = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("package", "name"), RELIED_ON)
def test_a_name_that_others_rely_on_is_there_and_public(package: str, name: str) -> None:
    module = importlib.import_module(package)
    assert name in module.__all__ and name in dir(module)
    assert getattr(module, name) is not None


@pytest.mark.parametrize("name", [*MODELS_EQ, *ANALYSIS])
def test_a_name_is_one_thing_wherever_it_comes_from(name: str) -> None:
    home = "models_eq" if name in MODELS_EQ else "analysis"
    here, there = importlib.import_module("brain_lnp"), importlib.import_module(home)
    assert getattr(here, name) is getattr(there, name)


@pytest.mark.parametrize("package", ["models_eq", "analysis", "brain_lnp", "brain_lnp.tasks"])
def test_every_public_name_resolves_and_is_documented(package: str) -> None:
    module = importlib.import_module(package)
    names = module.__all__
    assert len(set(names)) == len(names)
    for name in names:
        value = getattr(module, name)
        if isinstance(value, (type, types.FunctionType, types.ModuleType)):
            text = inspect.getdoc(value)
            assert text and text.strip(), f"{package}.{name}"
            # A dataclass without a docstring would show its signature.
            assert not text.startswith(f"{name}("), f"{package}.{name}"


def test_no_public_name_or_argument_comes_or_goes_unnoticed() -> None:
    found, kept = offered(), json.loads(FILE.read_text(encoding="utf-8"))
    for package in {*found, *kept}:
        here, there = found.get(package, {}), kept.get(package, {})
        assert sorted(here) == sorted(there), f"{package}; if meant: python -m tests.public_names"
        for name in here:
            assert here[name] == there[name], f"{package}.{name}; python -m tests.public_names"


def test_what_does_not_exist_is_an_attribute_error() -> None:
    import brain_lnp

    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        brain_lnp.magic  # noqa: B018


@pytest.mark.parametrize(("key", "wanted"), SIGNATURES.items(), ids=lambda v: ".".join(v[:2]))
def test_the_arguments_that_others_give_are_there(
    key: tuple[str, str], wanted: tuple[str, ...]
) -> None:
    function = getattr(importlib.import_module(key[0]), key[1])
    found = list(inspect.signature(function).parameters)
    assert [name for name in found if name in wanted] == list(wanted)


def test_an_evaluation_has_what_others_read() -> None:
    from brain_lnp import Evaluation, PruneResult

    assert {"nrmse", "accuracy", "sops_per_second"} <= set(Evaluation.__dataclass_fields__)
    assert {"net", "stopped"} <= set(PruneResult.__dataclass_fields__)


def test_evaluate_is_a_function_whatever_was_imported_before(tmp_path: Path) -> None:
    code = (
        "import brain_lnp.evaluation, brain_lnp.lnp, brain_lnp.methods\n"
        "from brain_lnp import evaluate, prune, tasks\n"
        "import brain_lnp, types\n"
        "assert isinstance(evaluate, types.FunctionType), evaluate\n"
        "assert isinstance(brain_lnp.evaluate, types.FunctionType)\n"
        "assert isinstance(prune, types.FunctionType) and isinstance(tasks, types.ModuleType)\n"
    )
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_imports_nothing_that_is_slow(tmp_path: Path) -> None:
    slow = ("brian2", "numpy", "scipy", "sklearn", "networkit", "numba", "matplotlib", "pandas")
    code = (
        f"import sys, brain_lnp\nslow = {slow!r}\n"
        "found = [name for name in slow if name in sys.modules]\n"
        "assert not found, found\n"
        "brain_lnp.HRSNN\n"
        "assert 'brian2' in sys.modules, 'so the check can fail'\n"
    )
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["analysis", "models_eq"])
@pytest.mark.parametrize("kind", ["file", "package"])
def test_a_stray_module_in_the_way_is_named(name: str, kind: str, tmp_path: Path) -> None:
    if kind == "file":
        stray = tmp_path / f"{name}.py"
    else:
        (tmp_path / name).mkdir()
        stray = tmp_path / name / "__init__.py"
    stray.write_text("raise SystemExit('it was run')\n")
    done = run("import brain_lnp", tmp_path)
    assert done.returncode == 1 and "ImportError" in done.stderr
    assert str(stray) in done.stderr and "in the way" in done.stderr
    # Elsewhere it does no harm.
    other = tmp_path / "elsewhere"
    other.mkdir()
    assert run("import brain_lnp", other).returncode == 0


def test_a_folder_of_data_called_analysis_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "results.csv").write_text("x\n1\n")
    done = run("from brain_lnp import node_exponents", tmp_path)
    assert done.returncode == 0, done.stderr
