"""Cells one after the other in this process, nearly as a kernel runs them, without any isolation:
for cells of our own forms and small models over our own data. Standard library only, so that the
interpreter of a kernel's environment can run it.

Reads ``{"cells": [...]}`` from stdin, works in the current folder; writes what became of the last
cell: ``logs``, ``ending``, ``figures`` (a title for each).
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import sys
import traceback
from functools import partial
from typing import Any


def run(code: str, names: dict[str, Any], figures: list[str]) -> dict[str, Any]:
    """One cell; the value of its last line is printed."""
    said = io.StringIO()
    ending = "ok"
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            tree = ast.parse(code)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<cell>", "exec"), names)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
                if value is not None:
                    print(repr(value))
            _take_figures(figures)
        except BaseException:
            traceback.print_exc()
            ending = "error"
    return {"logs": said.getvalue(), "ending": ending, "figures": figures}


def _take_figures(figures: list[str]) -> None:
    if "matplotlib.pyplot" not in sys.modules:
        return
    import matplotlib.pyplot as plt

    for number in plt.get_fignums():
        figure = plt.figure(number)
        titles = [axes.get_title() for axes in figure.axes]
        figures.append(" ".join(filter(None, titles)))
        figure.savefig(f".figure-{len(figures)}.png")
    plt.close("all")


def _shown(figures: list[str], *_: Any, **__: Any) -> None:
    _take_figures(figures)


def main() -> None:
    os.environ["MPLBACKEND"] = "Agg"
    cells = json.load(sys.stdin)["cells"]
    names: dict[str, Any] = {"__name__": "__main__"}
    outcome: dict[str, Any] = {}
    for code in cells:
        figures: list[str] = []
        if "matplotlib" in code:
            import matplotlib.pyplot as plt

            plt.show = partial(_shown, figures)
        outcome = run(code, names, figures)
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main()
