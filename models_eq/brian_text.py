"""Statements and expressions of Brian2 models as text: who is read, who is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from brian2.utils.stringtools import get_identifiers, word_substitute

_STATEMENT = re.compile(r"^(\w+)\s*(\*\*|//|[-+*/%])?=(?!=)\s*(.+)$", re.DOTALL)
_INEQUALITIES = (ast.Gt, ast.GtE, ast.Lt, ast.LtE)


def statements(code: str) -> list[tuple[str, str, str]]:
    """Split code into ``(variable, operator, expression)``.

    Parameters
    ----------
    code : str
        Statements, one a line or separated by semicolons, with comments.

    Returns
    -------
    list of tuple
        The operator is ``""`` for a plain assignment, else ``"+"``, ``"-"``, ...

    Raises
    ------
    ValueError
        For what is no assignment.

    Examples
    --------
    >>> statements("v = v_r; w += b  # adapt")
    [('v', '', 'v_r'), ('w', '+', 'b')]
    """
    found = []
    lines = [line.split("#")[0] for line in code.splitlines()]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    for text in re.split(r"[;\n]", joined):
        text = text.strip()
        if not text:
            continue
        match = _STATEMENT.match(text)
        if match is None:
            raise ValueError(f"not an assignment: {text!r}")
        name, operator, expression = match.groups()
        found.append((name, operator or "", expression.strip()))
    return found


def assigned(code: str) -> set[str]:
    """Names that statements assign to."""
    return {name for name, _, _ in statements(code)}


def names(text: str) -> set[str]:
    """Identifiers of a text, comments left out."""
    return set(get_identifiers("\n".join(line.split("#")[0] for line in text.splitlines())))


def inline(text: str, definitions: Mapping[str, str]) -> str:
    """Put definitions, which may name one another, in the place of their names."""
    while (found := names(text) & set(definitions)) and definitions:
        text = word_substitute(text, {name: f"({definitions[name]})" for name in found})
    return text


def join(parts: list[tuple[str, str, str]]) -> str:
    """Statements as code again."""
    return "\n".join(f"{name} {operator}= {expression}" for name, operator, expression in parts)


def is_inequality(text: str) -> bool:
    """Whether a text is one comparison of two expressions by order.

    Examples
    --------
    >>> is_inequality("v > 1"), is_inequality("v > 1 and w < 2"), is_inequality("not v < 1")
    (True, False, False)
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return False
    return (
        isinstance(tree, ast.Compare)
        and len(tree.ops) == 1
        and isinstance(tree.ops[0], _INEQUALITIES)
    )


def sides(inequality: str) -> tuple[str, str]:
    """Both sides of an inequality."""
    tree = ast.parse(inequality.strip(), mode="eval").body
    if not isinstance(tree, ast.Compare):
        raise ValueError(f"not an inequality: {inequality!r}")
    return ast.unparse(tree.left), ast.unparse(tree.comparators[0])
