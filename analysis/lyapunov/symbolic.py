"""Brian2 strings as sympy expressions: parse, differentiate, compose statements, write back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy
from brian2.parsing.sympytools import str_to_sympy, sympy_to_str

from models_eq.brian_text import statements
from models_eq.errors import CapabilityError

_STEPS = ("int_", "floor", "ceiling", "sign", "timestep", "Heaviside")


class _Clip(sympy.Function):  # type: ignore[misc]
    """``clip(a, low, high)`` with its derivative almost everywhere."""

    nargs = 3

    def fdiff(self, argindex: int = 1) -> Any:
        """Derivative after one argument."""
        a, low, high = self.args
        step = sympy.Function("int_")
        return (step(a > low) * step(a < high), step(a <= low), step(a >= high))[argindex - 1]


class _Exprel(sympy.Function):  # type: ignore[misc]
    """``exprel(x) = (exp(x) - 1)/x`` with a derivative that survives x = 0."""

    nargs = 1

    def fdiff(self, argindex: int = 1) -> Any:
        """Series near 0, where the closed form cancels."""
        x = self.args[0]
        near = sympy.Function("int_")(sympy.Abs(x) < sympy.Float(0.02))
        series = sympy.Rational(1, 2) + x / 3 + x**2 / 8 + x**3 / 30 + x**4 / 144
        closed = (sympy.exp(x) * (x - 1) + 1) / (x**2 + near)
        return near * series + (1 - near) * closed


def symbol(name: str) -> sympy.Symbol:
    """Symbol of a variable, with the assumptions that Brian2's parser makes."""
    return sympy.Symbol(name, real=True)


def parse(text: str) -> Any:
    """Expression of a Brian2 string; functions without a derivative in sympy get one."""
    found = str_to_sympy(text)
    found = found.replace(lambda e: e.func.__name__ == "clip", lambda e: _Clip(*e.args))
    found = found.replace(lambda e: e.func.__name__ == "exprel", lambda e: _Exprel(*e.args))
    found = found.replace(lambda e: e.func.__name__ == "sqrt", lambda e: sympy.sqrt(*e.args))
    return found.replace(lambda e: isinstance(e, sympy.Mod), lambda e: _modulo(*e.args))


def _modulo(a: Any, b: Any) -> Any:
    return a - b * sympy.floor(a / b)


def text(expression: Any) -> str:
    """Brian2 string of an expression."""
    names = {_Clip: "clip", _Exprel: "exprel"}
    for kind, name in names.items():
        if expression.has(kind):
            expression = expression.replace(kind, sympy.Function(name))
    return str(sympy_to_str(expression))


def derivative(expression: Any, variable: sympy.Symbol, where: str = "equations") -> Any:
    """Partial derivative; steps (``int``, ``floor``, ``sign``) count as constant.

    Raises
    ------
    CapabilityError
        For a function of the state whose derivative is not known.
    """
    if variable not in expression.free_symbols:
        return sympy.Integer(0)
    flat: dict[Any, sympy.Symbol] = {}

    def hide(e: Any) -> sympy.Symbol:
        return flat.setdefault(e, sympy.Dummy(real=True))

    hidden = expression.replace(lambda e: e.func.__name__ in _STEPS, hide)
    found = hidden.diff(variable)
    if found.has(sympy.Derivative, sympy.Subs):
        unknown = {
            e.func.__name__ for e in hidden.atoms(sympy.Function) if variable in e.free_symbols
        } - {"exp", "_Clip", "_Exprel"}
        raise CapabilityError(
            where, "functions of the state with a known derivative", ", ".join(sorted(unknown)),
            "Write the function out in the equations",
        )  # fmt: skip
    back = {dummy: e for e, dummy in flat.items()}
    # Steps may stand inside others: until none is hidden.
    while found.atoms(sympy.Dummy) & set(back):
        found = found.xreplace(back)
    return found


def compose(code: str, start: Mapping[sympy.Symbol, Any] | None = None) -> dict[Any, Any]:
    """Run statements symbolically: each assigned symbol as a function of the values before."""
    env: dict[Any, Any] = dict(start or {})
    for name, operator, right in statements(code):
        target = symbol(name)
        value = parse(right).xreplace(env)
        before = env.get(target, target)
        env[target] = {
            "": lambda b, v: v,
            "+": lambda b, v: b + v,
            "-": lambda b, v: b - v,
            "*": lambda b, v: b * v,
            "/": lambda b, v: b / v,
            "**": lambda b, v: b**v,
            "//": lambda b, v: sympy.floor(b / v),
            "%": _modulo,
        }[operator](before, value)
    return env


def tidy(expression: Any) -> Any:
    """The shorter of an expression, its expanded form, and that with common factors taken out."""
    forms = [expression]
    if sympy.count_ops(expression) < 120:
        expanded = sympy.expand_mul(expression)
        forms += [expanded, sympy.factor_terms(expanded)]
    return min(forms, key=sympy.count_ops)


def as_code(targets: Sequence[tuple[str, Any]], prefix: str) -> list[str]:
    """Statements ``name = expression`` that share their common subexpressions.

    Parameters
    ----------
    targets : sequence of (str, sympy expression)
        What to compute, in order.
    prefix : str
        Start of the names of intermediate results.
    """
    generator = sympy.numbered_symbols(prefix, real=True)
    shared, right = sympy.cse([e for _, e in targets], symbols=generator, order="none")
    lines = [f"{name} = {text(e)}" for name, e in shared]
    return lines + [f"{name} = {text(e)}" for (name, _), e in zip(targets, right, strict=True)]
