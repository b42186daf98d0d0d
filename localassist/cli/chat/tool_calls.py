"""Calls of the model in front of a person: shown, asked about, and what came of them.

Whatever the model or a function wrote is shown with control characters spelled out, so that it
cannot move the cursor or pass for something else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.text import Text

from localassist.cli.output import err_console

if TYPE_CHECKING:
    from localassist.client.tool_runner import CallResult, FunctionCall

_VALUE_CHARACTERS = 80
_RESULT_CHARACTERS = 200


def show_call(call: FunctionCall) -> bool:
    """Print the call with its arguments; False when some of them had to be shortened."""
    short, whole = _spelled(call, _VALUE_CHARACTERS), _spelled(call, None)
    err_console.print(Text.assemble(("→ ", "cyan"), short), soft_wrap=True)
    return short.plain == whole.plain


def ask(call: FunctionCall, *, is_whole: bool) -> bool:
    """Whether the user lets the call be made; anything but a yes is a no."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.output import create_output

    session: PromptSession[str] = PromptSession(output=create_output(always_prefer_tty=True))
    choices = "y/N" if is_whole else "y/N, v to view all of it"
    while True:
        try:
            answer = session.prompt(f"  Make this call? [{choices}] ").strip().lower()
        except EOFError:
            return False
        if answer != "v":
            return answer in ("y", "yes")
        err_console.print(_spelled(call, None), soft_wrap=True)


def show_result(result: CallResult) -> None:
    """Print what the model is told, or the beginning of it."""
    if result.call.refusal is not None:
        line = Text("  not called", style="yellow")
    elif result.error is not None:
        line = Text(f"  {printable(result.output, _RESULT_CHARACTERS)}", style="red")
    else:
        line = Text(f"← {printable(result.output, _RESULT_CHARACTERS)}", style="dim")
    err_console.print(line, soft_wrap=True)


def printable(text: str, limit: int | None = None) -> str:
    """One line of at most about ``limit`` characters."""
    more = "" if limit is None or len(text) <= limit else f"… ({len(text):,} characters)"
    head = text if not more else text[:limit]
    return "".join(c if c.isprintable() else _escape(c) for c in head) + more


def _escape(character: str) -> str:
    return " " if character in "\r\n\t" else f"\\u{ord(character):04x}"


def _spelled(call: FunctionCall, limit: int | None) -> Text:
    """``name(argument=value, …)``, values as JSON."""
    line = Text(printable(call.name), style="bold")
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        return line.append(f"({printable(call.arguments, limit)})", style="not bold")
    line.append("(", style="not bold")
    for number, (name, value) in enumerate(arguments.items()):
        shown = printable(json.dumps(value, ensure_ascii=False), limit)
        line.append(f"{', ' if number else ''}{printable(name)}=", style="not bold dim")
        line.append(shown, style="not bold")
    return line.append(")", style="not bold")
