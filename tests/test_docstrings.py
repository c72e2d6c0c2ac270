"""Every public name is documented: what it takes, what it gives, what it refuses."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

docscrape = pytest.importorskip("numpydoc.docscrape")

PACKAGES = (
    "models_eq", "analysis", "analysis.lyapunov", "analysis.pruning", "analysis.plots",
    "analysis.readout", "brain_lnp", "brain_lnp.tasks", "brain_lnp.reporting",
    "brain_lnp.usermodel",
)  # fmt: skip
# What scikit-learn asks of estimators and documents itself.
CONVENTIONS = {"X", "y"}


def public() -> dict[str, Any]:
    """Public functions and classes by their full names."""
    found = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return found


def documented(text: str) -> tuple[set[str], Any]:
    """Names in the sections of a docstring that describe parameters, and the parsed docstring."""
    parsed = docscrape.NumpyDocString(inspect.cleandoc(text))
    names: set[str] = set()
    for section in ("Parameters", "Other Parameters", "Attributes"):
        for entry in parsed[section]:
            names |= {part.strip().lstrip("*") for part in entry.name.split(",")}
    return names, parsed


def faults(value: Any, name: str) -> Iterator[str]:
    """What the docstring of a function or class lacks."""
    text = inspect.getdoc(value) or ""
    if not text.strip():
        yield f"{name}: no docstring"
        return
    names, parsed = documented(text)
    if inspect.isclass(value):
        for parent in value.__mro__[1:]:
            if parent.__module__.partition(".")[0] in ("models_eq", "analysis", "brain_lnp"):
                names |= documented(parent.__doc__ or "x")[0]
    try:
        signature = inspect.signature(value)
    except ValueError:
        signature = inspect.Signature()
    wanted = [p.lstrip("*") for p in signature.parameters if p not in ("self", "cls")]
    names |= set(re.findall(r"``(\w+)``", text.partition("\n")[0]))  # a tuple of few fields
    missing = [p for p in wanted if not p.startswith("_") and p not in names]
    if missing:
        yield f"{name}: undocumented {', '.join(missing)}"
    for entry in parsed["Parameters"]:
        # "As for another function", which says the rest.
        as_there = any(line.startswith("As ") for line in entry.desc)
        if not entry.type and not entry.name.startswith("*") and not as_there:
            yield f"{name}: no type for {entry.name}"
        known = {part.strip() for part in entry.name.split(",")} <= CONVENTIONS
        if (
            not " ".join(entry.desc).strip()
            and "{" not in entry.type
            and "(" not in entry.type
            and not known
        ):
            yield f"{name}: no description of {entry.name}"
    if inspect.isfunction(value):
        nothing = signature.return_annotation in (None, "None")
        nothing |= any(line.startswith("As ") for e in parsed["Parameters"] for line in e.desc)
        if not nothing and not parsed["Returns"] and not parsed["Yields"]:
            yield f"{name}: no Returns"
        for entry in parsed["Returns"]:
            if not " ".join(entry.desc).strip() and not re.search(
                r"shape|list of|dict of|float|Axes|[A-Z]\w+[a-z]", entry.type
            ):
                yield f"{name}: Returns without a description"
        if re.search(r"^\s*raise (?!NotImplementedError)\w+", inspect.getsource(value), re.M):
            if not parsed["Raises"]:
                yield f"{name}: raises, and does not say what"


def faults_of_methods(cls: type, name: str) -> Iterator[str]:
    """The same for the methods of a class that take something; short ones need a line."""
    for key, value in vars(cls).items():
        value = getattr(value, "__func__", value)
        if key.startswith("_") or not inspect.isfunction(value):
            continue
        text = inspect.getdoc(getattr(cls, key)) or ""
        if not text:
            yield f"{name}.{key}: no docstring"
            continue
        takes = [p for p in inspect.signature(value).parameters if p not in ("self", "cls")]
        said = documented(text)[0] | set(re.findall(r"\w+", text))
        missing = [p for p in takes if p not in said and p not in CONVENTIONS]
        if missing:
            yield f"{name}.{key}: does not mention {', '.join(missing)}"


def test_every_public_name_is_documented() -> None:
    names = public()
    assert len(names) > 100
    wrong = [fault for name, value in names.items() for fault in faults(value, name)]
    for name, value in names.items():
        if inspect.isclass(value):
            wrong += faults_of_methods(value, name)
    assert not wrong, "\n".join(wrong)


def bare(a: int) -> int:
    """Give the number back."""
    return a


def untyped(a: int) -> None:
    """Take a number.

    Parameters
    ----------
    a
        A number.
    """


def silent(a: int) -> int:
    """Give a positive number back.

    Parameters
    ----------
    a : int
        The number.

    Returns
    -------
    int
        The same.
    """
    if a < 0:
        raise ValueError
    return a


def whole(a: int) -> int:
    """Give the number back.

    Parameters
    ----------
    a : int
        The number.

    Returns
    -------
    int
        The same.
    """
    return a


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (bare, ["undocumented a", "no Returns"]),
        (untyped, ["no type for a"]),
        (silent, ["does not say what"]),
        (whole, []),
    ],
)
def test_a_gap_is_noticed(function: Callable[..., Any], words: list[str]) -> None:
    found = list(faults(function, "f"))
    assert len(found) == len(words)
    assert all(word in fault for word, fault in zip(words, found, strict=True))
