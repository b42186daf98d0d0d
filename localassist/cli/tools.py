"""``localassist tools``: which function a model would call, and why."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from localassist.cli.output import (
    EXIT_FAILURE,
    EXIT_USAGE,
    console,
    err_console,
    fail,
    is_interactive,
    say_json,
)

if TYPE_CHECKING:
    from localassist.settings import Settings

app = typer.Typer(help="See how a model decides about functions.", no_args_is_help=True)
_CHOICES = ("auto", "required", "none")


@app.command("explain")
def explain_tools(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What a user would ask.")],
    tools: Annotated[
        Path,
        typer.Option(
            help="JSON: a list of tools as the API takes them, or of bare functions; - reads it "
            "from standard input. Or a Python file, as chat --tools takes it.",
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="Model to ask; by default the default one.")
    ] = None,
    tool_choice: Annotated[
        str, typer.Option(help="auto, required, none, or the name of a function.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show whether a question would call a function, which one, with which arguments, and why."""
    from localassist.client.client import APIError, LocalAssist, explain, explain_calls
    from localassist.schemas.base import is_storable

    if not is_storable(question):
        fail("The question is not valid text.")
    settings: Settings = context.obj
    named = {"type": "function", "function": {"name": tool_choice}}
    request = {
        "model": model or _default_model(settings),
        "question": question,
        "tools": read_tools(tools),
        "tool_choice": tool_choice if tool_choice in _CHOICES else named,
    }
    try:
        with LocalAssist(settings=settings) as client, _spinner():
            found = explain_calls(client, request)
    except APIError as exc:
        is_usage = 400 <= getattr(exc, "status_code", 500) < 500
        fail(explain(exc), EXIT_USAGE if is_usage else EXIT_FAILURE)
    if as_json:
        say_json(found)
    else:
        _show(found)


def _spinner() -> AbstractContextManager[object]:
    """Loading a model, and asking an unknown one how it calls functions, takes a while."""
    is_watched = is_interactive() and err_console.is_terminal
    return err_console.status("Loading the model and deciding …") if is_watched else nullcontext()


def read_tools(path: Path) -> list[Any]:
    """The tools in a file: JSON, bare functions made into tools, or the functions of a Python file.
    Ends the command if it is neither; ConfigError says what is wrong with a Python file."""
    if path.suffix == ".py":
        from localassist.cli.chat.tool_file import load_tools

        return [tool.definition for tool in load_tools(path)]
    name = "standard input" if str(path) == "-" else path.name
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8-sig")
        tools = json.loads(text, parse_constant=_refuse_constant)
        # Escapes may spell what no request can hold.
        json.dumps(tools, ensure_ascii=False).encode()
    except OSError as error:
        fail(f"{name} cannot be read: {error.strerror}.")
    except (ValueError, RecursionError) as error:
        fail(f"{name} is not JSON: {error}.")
    if isinstance(tools, dict):
        tools = tools.get("tools", [tools])
    if not isinstance(tools, list) or not tools:
        fail(f"{name} must hold a list of at least one tool.")
    return [_as_tool(tool) for tool in tools]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _as_tool(tool: Any) -> Any:
    is_bare = isinstance(tool, dict) and "name" in tool and "type" not in tool
    return {"type": "function", "function": tool} if is_bare else tool


def _default_model(settings: Settings) -> str:
    from localassist.registry.catalog import Catalog

    return Catalog(settings.home, settings.models).default("chat").id


def _show(found: dict[str, Any]) -> None:
    _say("model", f"{found['model']}, tool mode {found['mode']}")
    if found["question"] is not None:
        _say("question", found["question"])
    if found["scores"]:
        console.print(_score_table(found))
    if found["grounding"] is not None:
        _say("grounding", f"{found['grounding']:.0%} of what is required stands in the question")
    for index, call in enumerate(found["calls"]):
        _say("verdict" if index == 0 else "and", f"call {call['name']}")
        console.print(_argument_table(call))
    if not found["calls"]:
        _say("verdict", "answer")
    if found["output"] is not None:
        _say("wrote", found["output"])
    usage = found["usage"]
    _say("tokens", f"{usage['prompt_tokens']:,} read, {usage['completion_tokens']:,} written")


def _score_table(found: dict[str, Any]) -> Table:
    called = {call["name"] for call in found["calls"]}
    figures = ("similarity", "gain", "shared_words", "decision")
    headings = (figure.replace("_", " ") for figure in figures)
    table = _table("tool", *headings, "limit", numbers=len(figures))
    for score in sorted(found["scores"], key=lambda score: -score["decision"]):
        above = "above" if score["decision"] > 0 else "below"
        verdict = f"{above}, called" if score["name"] in called else above
        values = (f"{score[figure]:.3f}" for figure in figures)
        table.add_row(Text(score["name"]), *values, verdict)
    return table


def _argument_table(call: dict[str, Any]) -> Table:
    table = _table("argument", "value", "evidence")
    try:
        arguments = json.loads(call["arguments"])
    except ValueError:
        # What a model wrote, as it stands.
        table.add_row(Text("(not JSON)"), Text(call["arguments"]), Text(""))
        return table
    for name, value in arguments.items():
        shown = json.dumps(value, ensure_ascii=False)
        table.add_row(Text(name), Text(shown), Text(call["evidence"].get(name, "")))
    return table


def _table(*headings: str, numbers: int = 0) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for index, heading in enumerate(headings):
        is_number = 1 <= index <= numbers
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    return table


def _say(field: str, value: str) -> None:
    """Questions and names contain brackets: no markup."""
    console.print(Text.assemble((f"{field:<9} ", "bold"), value), soft_wrap=True)
