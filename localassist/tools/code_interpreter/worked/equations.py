"""Equations in one unknown, solved, and curves drawn: with expressions that the question gives."""

from __future__ import annotations

import ast
import re

from localassist.tools.code_interpreter.wording import PLOTTING
from localassist.tools.code_interpreter.worked.base import Asked, Worked, cell, literal

_FUNCTIONS = "sin cos tan exp log sqrt sinh cosh tanh"
_CALL = rf"(?:{_FUNCTIONS.replace(' ', '|')})\s*\("
_SIDE = rf"(?:{_CALL}|[a-z](?![a-z])|[\d\s.()+*/^−-])+"
_EQUATION = re.compile(rf"(?<![a-z\d])({_SIDE})=({_SIDE})(?![a-z\d])")
_CURVE = re.compile(rf"(?<![a-z\d])(?:y\s*=|f\(x\)\s*=)?({_SIDE})(?![a-z\d])")
_RANGE = re.compile(
    r"\b(?:from|between|von)\s+(-?\d+(?:\.\d+)?)\s+(?:to|and|bis|und)\s+(-?\d+(?:\.\d+)?)"
)
_LONGEST = 200  # characters of a question that is looked at
_MOST_POWER = 20


def equation(asked: Asked) -> Worked | None:
    """The solutions of the one equation, or the curve of the one expression, of the question."""
    text = asked.text.lower().replace("−", "-")
    if asked.tables or len(text) > _LONGEST:
        return None
    return _curve(text) if PLOTTING.search(text) else _solved(text)


def _solved(text: str) -> Worked | None:
    match = _EQUATION.search(text)
    if match is None or text.count("=") > 1:
        return None
    left, right = _code(match[1]), _code(match[2])
    if left is None or right is None:
        return None
    unknowns = _names(left) | _names(right)
    if len(unknowns) != 1 or not re.search(r"[\d(]", match.group()):
        return None
    (name,) = unknowns
    shown = " ".join(match.group().split())
    return Worked(
        cell(
            f"Solve {shown}",
            "from sympy import *",
            "",
            f"{name} = symbols({literal(name)})",
            f"solutions = solve(Eq({left}, {right}), {name})",
            f'print(" or ".join(f"{name} = {{each}}" for each in solutions) or "no solution")',
        ),
        f"the equation {shown}",
    )


def _curve(text: str) -> Worked | None:
    between = _RANGE.search(text)
    head = text[: between.start()] if between is not None else text
    found = (_code(match[1]) for match in _CURVE.finditer(head))
    code = next((one for one in found if one is not None and _names(one) == {"x"}), None)
    if code is None or not re.search(r"[(*+/-]", code):
        return None
    low, high = (between[1], between[2]) if between is not None else ("-10", "10")
    return Worked(
        cell(
            f"The curve of {code} from {low} to {high}",
            "import matplotlib.pyplot as plt",
            "from numpy import *",
            "",
            f"x = linspace({low}, {high}, 500)",
            f"y = {code}",
            "",
            "plt.figure(figsize=(8, 5))",
            "plt.plot(x, y)",
            f"plt.title({literal(code)})",
            'plt.xlabel("x")',
            "plt.grid(alpha=0.3)",
            "plt.tight_layout()",
            "plt.show()",
        ),
        f"the curve of {code}",
    )


def _code(side: str) -> str | None:
    """The expression as Python writes it; None where it is none."""
    spaced = side.strip(" .").replace("^", "**")
    # 2x, 3(x + 1) and 2 sin(x) are products.
    code = re.sub(r"(?<=\d)\s*(?=[a-z(])|(?<=\))\s*(?=[a-z\d(])", "*", spaced)
    try:
        tree = ast.parse(code, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return ast.unparse(tree) if all(map(_is_plain, ast.walk(tree))) else None


def _is_plain(node: ast.AST) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        power = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
        value = power.value if isinstance(power, ast.Constant) else None
        return isinstance(value, int | float) and value <= _MOST_POWER
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and len(node.args) == 1
    kinds = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant)
    return isinstance(node, (*kinds, ast.operator, ast.unaryop, ast.expr_context))


def _names(code: str) -> set[str]:
    found = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    return found - set(_FUNCTIONS.split())
