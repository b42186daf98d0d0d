"""``localassist models``: see, add, forget and choose models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from localassist.cli.models_change import change, edit
from localassist.cli.models_check import check
from localassist.cli.models_pull import pull
from localassist.cli.models_recommend import recommend
from localassist.cli.optimize import optimize
from localassist.cli.output import (
    EXIT_INTERRUPTED,
    bytes_bar,
    console,
    fail,
    report,
    say,
)
from localassist.disk import size

if TYPE_CHECKING:
    from localassist.registry import Catalog, ModelManifest

app = typer.Typer(help="List, add, check, configure and remove models.", no_args_is_help=True)

app.command("pull")(pull)
app.command("check")(check)
app.command("recommend")(recommend)
app.command("set")(change)
app.command("edit")(edit)
app.command("optimize")(optimize)

Name = Annotated[str, typer.Argument(help="A model's name, as `models list` shows it.")]


@app.command("list")
def list_models(context: typer.Context) -> None:
    """List every model that requests can name."""
    catalog = _catalog(context)
    models = catalog.list()
    defaults = {catalog.default(kind).id for kind in ("chat", "embedding")}
    # Eight columns fit a terminal of 80 characters only side by side.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("name", "kind", "default", "size", "context", "tools", "licence", "origin"):
        is_number = heading in ("size", "context")
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    for model in models:
        table.add_row(
            model.id,
            model.kind,
            "yes" if model.id in defaults else "",
            size(model.size_bytes) if model.size_bytes else "",
            "" if model.context_length is None else f"{model.context_length:,}",
            _tool_mode(context, model, "{mode}"),
            Text(model.licence),
            _origin(catalog, model),
        )
    console.print(table)


@app.command("add")
def add(
    context: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(help="A chat model in GGUF format, or a folder with a model."),
    ],
    file: Annotated[
        str | None, typer.Option(help="Which file of the folder.", show_default=False)
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the model; by default the file's.", show_default=False),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the file into the data folder.")
    ] = False,
    tool_mode: Annotated[
        str,
        typer.Option(help="How functions are called: native, guided, none, or auto to find out."),
    ] = "auto",
) -> None:
    """Add a model from a GGUF file. The file is used where it is, unless copied.

    A split model is added by any of its parts, a folder by what it holds: one model, or an
    embedding model in the layout of sentence-transformers.
    """
    from localassist.registry.describe import check_tool_mode
    from localassist.registry.given import find_given, remarks_on

    mode = check_tool_mode(tool_mode)
    for left_out in find_given(path, file).left_out:
        report(f"{left_out} is an image projector, not a model by itself; it is left out.")
    try:
        with bytes_bar() as bar:
            task = bar.add_task("Copying" if copy else "Checking", total=None)
            model = _catalog(context).add(
                path,
                file=file,
                model_id=name,
                copy=copy,
                tool_mode=mode,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    except KeyboardInterrupt:
        fail("Stopped; nothing was added.", EXIT_INTERRUPTED)
    place = "a copy is in the data folder" if copy else "the file stays where it is; keep it there"
    say(f"Added {model.id} ({place}).")
    for remark in remarks_on(model):
        report(remark)
    say(f"Use it by that name, or for every hosted name: localassist models default {model.id}")


@app.command("add-server")
def add_server(
    context: typer.Context,
    url: Annotated[
        str, typer.Argument(help="Where it listens, for instance http://127.0.0.1:8080.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="The server's name for it, if it has several.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the model here; by default the server's.", show_default=False),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(help="The variable that holds the server's API key.", show_default=False),
    ] = None,
    tool_mode: Annotated[
        str | None,
        typer.Option(
            help="How functions are called: native, guided, none or auto; by default what fits.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Add a model that llama-server or vLLM runs. Its conversations go to that server."""
    from localassist.services import model_servers

    added = model_servers.add_server(
        _catalog(context),
        url,
        model=model,
        model_id=name,
        api_key_env=api_key_env,
        tool_mode=tool_mode,
    )
    say(f"Added {added.manifest.id} ({added.summary}).")
    say(
        "Use it by that name, or for every hosted name: "
        f"localassist models default {added.manifest.id}"
    )


@app.command("show")
def show(context: typer.Context, name: Name) -> None:
    """Show one model; a hosted name such as gpt-4o shows what answers to it."""
    catalog = _catalog(context)
    found = catalog.find(name)
    model = catalog.get(name) if found is None else found
    for field, value in model.model_dump(mode="json", exclude={"source", "origin"}).items():
        if field == "tool_mode":
            value = _tool_mode(context, model, "{mode} ({how})")
        if value not in (None, "", 0, [], {}):
            _say_field(field, _plain(value))
    _say_field("origin", _origin(catalog, model) + (f", {model.origin}" if model.origin else ""))
    server = _server(model)
    if server is not None:
        _say_field("server", server)
    else:
        _say_field("weights", str(catalog.locate(model)))


@app.command("remove")
def remove(context: typer.Context, name: Name) -> None:
    """Remove a model you added. Your file stays; a copy in the data folder is deleted."""
    model = _catalog(context).remove(name)
    say(f"Removed {model.id}.")


@app.command("default")
def default(context: typer.Context, name: Name) -> None:
    """Choose the model that answers to hosted names such as gpt-4o."""
    model = _catalog(context).set_default(name)
    say(f"{model.id} is now the default {model.kind} model.")


def _catalog(context: typer.Context) -> Catalog:
    from localassist.registry import Catalog

    return Catalog(context.obj.home, context.obj.models)


def _say_field(field: str, value: str) -> None:
    console.print(Text.assemble((f"{field:<15} ", "bold"), value), soft_wrap=True)


def _tool_mode(context: typer.Context, model: ModelManifest, known: str) -> str:
    """How the model calls functions; ``known`` words what was found out with ``auto``."""
    if model.kind != "chat" or model.tool_mode != "auto":
        return model.tool_mode if model.kind == "chat" else ""
    from localassist.registry.tool_modes import ToolModeMemory

    found = ToolModeMemory(context.obj.home).recall(model)
    if found is None:
        return "auto"
    return known.format(mode=found.mode, how=f"auto: {found.reason}")


def _origin(catalog: Catalog, model: ModelManifest) -> str:
    if _server(model) is not None:
        return "server"
    return "shipped" if catalog.is_shipped(model.id) else "added"


def _server(model: ModelManifest) -> str | None:
    """Where another server computes the model, None for one with weights."""
    from localassist.registry.manifest import ServerSource

    return model.source.server if isinstance(model.source, ServerSource) else None


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
