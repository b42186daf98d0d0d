"""What is said of code that was run, put together from its facts: for models too small to do it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from localassist.tools.code_interpreter.base import Execution
from localassist.tools.code_interpreter.links import link_to
from localassist.tools.code_interpreter.own_code import own_code
from localassist.tools.code_interpreter.repair import missing_module
from localassist.tools.code_interpreter.results import shortened
from localassist.tools.code_interpreter.wording import FUNCTION

_MOST_LOGS = 3000  # characters
_SHOWS_CODE = re.compile(r"\b(?:show|see|with|give|the|your)\b.{0,20}\bcode\b", re.IGNORECASE)
_ERROR = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Iteration)\b.*$")
_FENCE = re.compile(r"`{3,}")


def answer(question: str, executions: Sequence[Execution]) -> list[str] | None:
    """The answer in parts that make it when joined; None when nothing was run."""
    if not executions:
        return None
    last = executions[-1]
    is_code_wanted = wants_code(question) or _is_free(question, last.code)
    parts = _failure(last) if last.failed else _success(last, is_code_wanted)
    if is_code_wanted:
        lead = "Here is the code:" if not last.failed else "This is the code that was tried:"
        parts = [f"{lead}\n\n{_block(last.code, 'python')}", *parts]
    return [part if at == 0 else f"\n\n{part}" for at, part in enumerate(parts)]


def wants_code(question: str) -> bool:
    """The code itself is part of what is asked for."""
    if own_code(question) is not None:
        return False
    return bool(FUNCTION.search(question) or _SHOWS_CODE.search(question))


def _is_free(question: str, code: str) -> bool:
    """A model has written the cell, so that people should see what its results rest on. Worked
    forms begin with what they do, which the grammar of free cells does not allow."""
    return own_code(question) is None and not code.startswith("# ")


def _success(last: Execution, is_code_wanted: bool) -> list[str]:
    parts = []
    titles = figure_titles(last.code)
    if last.images:
        if titles:
            named = " and ".join(f"“{title}”" for title in titles)
            shows = "The figure shows" if len(last.images) == 1 else "The figures show"
            parts.append(f"{shows} {named}.")
        else:
            parts.append(
                "Here is the figure." if len(last.images) == 1 else "Here are the figures."
            )
    logs = last.logs.strip("\n")
    if logs:
        parts.append(_logs(logs, has_lead=is_code_wanted))
    elif not last.images and not last.files:
        parts.append("The code ran to its end. It printed nothing.")
    if last.files:
        links = [link_to(path) for path in sorted(last.files)]
        written = "The file" if len(links) == 1 else "The files"
        parts.append(f"{written}: {', '.join(links)}")
    return parts


def _logs(logs: str, *, has_lead: bool) -> str:
    shown = shortened(logs, _MOST_LOGS)
    is_line = "\n" not in shown and len(shown) < 200
    if has_lead:
        lead = "When it is run, it prints"
        return (
            f"{lead} `{shown}`." if is_line and "`" not in shown else f"{lead}:\n\n{_block(shown)}"
        )
    return shown if is_line and not _is_markup(shown) else _lead_and_block(shown)


def _lead_and_block(shown: str) -> str:
    """A first line that announces the others stands before them."""
    first, _, rest = shown.partition("\n")
    if first.endswith(":") and rest.strip():
        return f"{first}\n\n{_block(rest)}"
    return _block(shown)


def _is_markup(line: str) -> bool:
    """Shown as it is, the line would look different."""
    return re.search(r"[*_`<\[|#\\]", line) is not None and "* " not in line


def _failure(last: Execution) -> list[str]:
    lines = [line.strip() for line in last.logs.strip().splitlines() if line.strip()]
    error = next((line for line in reversed(lines) if _ERROR.match(line)), "")
    said = lines[-1] if lines else ""
    module = missing_module(last)
    if last.ending == "timed_out":
        return [f"The code took too long and was stopped. {said}".strip()]
    if last.ending in ("limit", "died"):
        return [f"The code was stopped before its end. {said}".strip()]
    if module is not None:
        return [f"The code needs the package `{module}`, which is not installed here."]
    if error:
        return [f"The code ended with an error: `{error.replace('`', chr(39))}`"]
    return ["The code ended with an error.", *([_block(said)] if said else [])]


def figure_titles(code: str) -> list[str]:
    """What the figures are called in the code."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return []
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in ("title", "set_title", "suptitle") and node.args:
            value = node.args[0]
            if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
                found.append(value.value)
    return list(dict.fromkeys(found))


def _block(text: str, language: str = "") -> str:
    """A fenced block whose fence the text does not hold."""
    longest = max((len(match.group()) for match in _FENCE.finditer(text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"
