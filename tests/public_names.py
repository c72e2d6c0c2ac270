"""What the packages offer: every public name, and the arguments of every function and class.

python -m tests.public_names    # writes tests/public_names.json, after a change that is meant
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")
PACKAGES = (
    "models_eq", "analysis", "analysis.lyapunov", "analysis.plots", "analysis.pruning",
    "analysis.readout", "brain_lnp", "brain_lnp.exchange", "brain_lnp.reporting",
    "brain_lnp.tasks", "brain_lnp.usermodel",
)  # fmt: skip


def offered() -> dict[str, dict[str, list[str]]]:
    """Names by package, each with its arguments; a star before those that go by name only."""
    return {package: _names(package) for package in PACKAGES}


def _names(package: str) -> dict[str, list[str]]:
    module = importlib.import_module(package)
    return {name: _arguments(getattr(module, name)) for name in sorted(module.__all__)}


def _arguments(value: object) -> list[str]:
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return []
    try:
        found = inspect.signature(value).parameters.values()
    except ValueError:  # built in, such as errors
        return []
    marks = {inspect.Parameter.KEYWORD_ONLY: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [marks.get(one.kind, "") + one.name for one in found]


if __name__ == "__main__":
    FILE.write_text(json.dumps(offered(), indent=1) + "\n", encoding="utf-8")
