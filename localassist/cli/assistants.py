"""``localassist assistants``: assistants that are kept, for ``chat -a`` and ``ask -a``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from localassist.cli.completion import assistant_names, model_names
from localassist.cli.documents import connected, folder_store
from localassist.cli.editor import edited
from localassist.cli.output import (
    EXIT_FAILURE,
    console,
    err_console,
    fail,
    new_table,
    say,
    say_json,
)

if TYPE_CHECKING:
    from localassist.client.assistants import Assistant
    from localassist.client.client import LocalAssist
    from localassist.settings import Settings

app = typer.Typer(help="Saved assistants, by name.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(help="The assistant's name, or its id.", autocompletion=assistant_names),
]
Model = Annotated[
    str | None,
    typer.Option(help="Model that answers.", show_default=False, autocompletion=model_names),
]
System = Annotated[str | None, typer.Option(help="Instructions.", show_default=False)]
SystemFile = Annotated[
    Path | None, typer.Option(help="File with the instructions.", show_default=False)
]
Docs = Annotated[
    Path | None, typer.Option(help="Folder whose documents are to answer.", show_default=False)
]
Temperature = Annotated[
    float | None,
    typer.Option(help="0 is repeatable, 2 is wild.", min=0, max=2, show_default=False),
]
Description = Annotated[
    str | None, typer.Option(help="What it is for, for people.", show_default=False)
]


@app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call it.")],
    model: Model = None,
    system: System = None,
    system_file: SystemFile = None,
    code: Annotated[bool, typer.Option("--code", help="It may run Python in a sandbox.")] = False,
    search: Annotated[
        bool, typer.Option("--search", help="It may search files that are attached.")
    ] = False,
    docs: Docs = None,
    temperature: Temperature = None,
    description: Description = None,
) -> None:
    """Save an assistant: a model with instructions and tools."""
    from localassist.client.assistants import fields_for, saved_assistants

    fields = {
        "model": model or _default_model(context.obj),
        "instructions": _instructions(system, system_file),
        "temperature": temperature,
        "description": description,
    }
    with connected(context.obj) as client:
        if any(one.name == name for one in saved_assistants(client)):
            fail(f"An assistant '{name}' already exists; localassist assistants edit changes it.")
        store_id = None if docs is None else folder_store(client, docs)
        given: dict[str, Any] = {key: value for key, value in fields.items() if value is not None}
        given |= fields_for(runs_code=code, searches=search, store_id=store_id)
        made = client.beta.assistants.create(name=name, **given)
        say(f"Created {made.id} ({name}).")
    err_console.print(Text(f"To talk to it: localassist chat -a {shlex.quote(name)}", "dim"))


@app.command("list")
def list_assistants(
    context: typer.Context,
    every: Annotated[
        bool, typer.Option("--all", help="Also those made for one conversation.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List the saved assistants."""
    from localassist.client.assistants import saved_assistants

    with connected(context.obj) as client:
        if every:
            found = list(client.beta.assistants.list(limit=100))
        else:
            found = list(saved_assistants(client))
    if as_json:
        say_json([one.to_dict() for one in found])
        return
    table = new_table()
    for heading in ("name", "id", "model", "tools"):
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for one in found:
        tools = ", ".join(_tool_name(tool) for tool in one.tools)
        table.add_row(Text(one.name or ""), one.id, Text(one.model), Text(tools))
    console.print(table)


@app.command("show")
def show(
    context: typer.Context,
    name: Name,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show an assistant as `edit` opens it."""
    from localassist.client.assistants import to_toml

    with _named(context.obj, name) as (_, found):
        if as_json:
            say_json(found.to_dict())
        else:
            typer.echo(to_toml(found).rstrip("\n"))


@app.command("edit")
def edit(
    context: typer.Context,
    name: Name,
    rename: Annotated[str | None, typer.Option(help="A new name.", show_default=False)] = None,
    model: Model = None,
    system: System = None,
    system_file: SystemFile = None,
    code: Annotated[
        bool | None,
        typer.Option(
            "--code/--no-code", help="It may run Python; --no-code: not.", show_default=False
        ),
    ] = None,
    search: Annotated[
        bool | None,
        typer.Option(
            "--search/--no-search",
            help="It may search files; --no-search: not.",
            show_default=False,
        ),
    ] = None,
    docs: Docs = None,
    temperature: Temperature = None,
    description: Description = None,
) -> None:
    """Change an assistant: by options, or without any in $EDITOR."""
    from localassist.client.assistants import changed_tools, from_toml, to_toml

    fields = {
        "name": rename,
        "model": model,
        "instructions": _instructions(system, system_file),
        "temperature": temperature,
        "description": description,
    }
    given: dict[str, Any] = {key: value for key, value in fields.items() if value is not None}
    with _named(context.obj, name) as (client, found):
        if docs is not None:
            given |= {"tool_resources": _searching(client, docs)}
        if docs is not None or code is not None or search is not None:
            wants_search = True if docs is not None else search
            given["tools"] = changed_tools(found, runs_code=code, searches=wants_search)
        if not given:
            text = to_toml(found)
            given = edited(text, ".toml", lambda new: from_toml(new, found))
        if not given:
            say("Nothing is changed.")
            return
        client.beta.assistants.update(found.id, **given)
        say(f"Changed {found.id} ({given.get('name', found.name)}).")


@app.command("rm")
def remove(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(help="Names, or ids.", autocompletion=assistant_names)
    ],
) -> None:
    """Delete saved assistants. Conversations with them stay."""
    for name in names:
        with _named(context.obj, name) as (client, found):
            client.beta.assistants.delete(found.id)
            say(f"Deleted {found.id} ({found.name}).")


@contextmanager
def _named(settings: Settings, name: str) -> Iterator[tuple[LocalAssist, Assistant]]:
    """The assistant that is meant; ends the command when there is none, or more than one."""
    from localassist.client.assistants import NoSuchAssistant, find_assistant

    with connected(settings) as client:
        try:
            found = find_assistant(client, name)
        except NoSuchAssistant as error:
            fail(str(error), EXIT_FAILURE)
        yield client, found


def _instructions(text: str | None, path: Path | None) -> str | None:
    if path is None:
        return text
    if text is not None:
        fail("--system and --system-file say the same thing; give one of them.")
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        fail(f"{path}: {error.strerror}.")
    except UnicodeDecodeError:
        fail(f"{path} is not UTF-8 text.")


def _searching(client: LocalAssist, docs: Path) -> dict[str, Any]:
    return {"file_search": {"vector_store_ids": [folder_store(client, docs)]}}


def _default_model(settings: Settings) -> str:
    from localassist.registry.catalog import Catalog

    return Catalog(settings.home, settings.models).default("chat").id


def _tool_name(tool: Any) -> str:
    return str(tool.function.name if tool.type == "function" else tool.type)
