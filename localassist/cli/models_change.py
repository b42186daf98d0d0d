"""``localassist models set`` and ``edit``: what a model does where a request does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from localassist.cli.output import console, fail, is_interactive, report, say

if TYPE_CHECKING:
    from localassist.registry import Catalog

_Name = Annotated[str, typer.Argument(help="A model's name.")]


def change(
    context: typer.Context,
    name: _Name,
    values: Annotated[
        list[str],
        typer.Argument(
            help="key=value, for instance temperature=0.7; key=@FILE reads a file, and key= takes "
            "the default again."
        ),
    ],
) -> None:
    """Set what a model does by default: sampling, context, system prompt, tool mode, template."""
    from localassist.services import model_defaults

    catalog = _catalog(context)
    was_shipped = catalog.is_shipped(name)
    changed = model_defaults.change(catalog, name, values)
    for value in values:
        key, _, _ = value.partition("=")
        say(f"{key.strip()} of {changed.id} is set.")
    _note(changed.id, was_shipped)


def edit(context: typer.Context, name: _Name) -> None:
    """Change a model's manifest in your editor ($EDITOR)."""
    import click

    from localassist.errors import ConfigError
    from localassist.registry.manifest import parse_manifest, to_toml
    from localassist.services import model_defaults

    catalog = _catalog(context)
    stored = catalog.stored(name)
    was_shipped = catalog.is_shipped(name)
    text = before = to_toml(stored)
    while True:
        try:
            edited = click.edit(text, extension=".toml")
        except click.ClickException as error:
            fail(error.message)
        if edited is None or edited == before:
            console.print("Nothing was changed.")
            return
        text = edited
        try:
            model_defaults.replace(catalog, name, parse_manifest(text, f"{name}.toml"))
            break
        except ConfigError as error:
            report(error.message)
            if not (is_interactive() and typer.confirm("Edit it again?", default=True)):
                fail("Nothing was changed.")
    say(f"{name} is changed.")
    _note(name, was_shipped)


def _note(name: str, was_shipped: bool) -> None:
    if was_shipped:
        report(f"localassist models remove {name} brings the manifest back that it came with.")


def _catalog(context: typer.Context) -> Catalog:
    from localassist.registry import Catalog

    return Catalog(context.obj.home, context.obj.models)
