"""``localassist keys``: who may call, and whose objects they see."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.text import Text

from localassist.cli.output import (
    EXIT_FAILURE,
    console,
    err_console,
    fail,
    new_table,
    say,
    say_json,
)
from localassist.errors import RequestError

if TYPE_CHECKING:
    from localassist.services.keys import Keys
    from localassist.settings import Settings

app = typer.Typer(help="API keys: who may call, and whose objects they see.", no_args_is_help=True)

T = TypeVar("T")


@app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who or what the key is for.")],
    project: Annotated[
        str,
        typer.Option(
            help="The project it opens, made where there is none. Projects share nothing; "
            "'default' is the one of callers without a key."
        ),
    ] = "default",
) -> None:
    """Create a key and print it. It is not stored: this is the only time you see it."""
    made, secret = _with_keys(context.obj, lambda keys: keys.create(name, project))
    console.print(secret, soft_wrap=True)
    said = (
        f"{made.id}: '{made.name}' opens project '{made.project}'. From now on callers need a key."
    )
    err_console.print(Text(said, style="dim"), soft_wrap=True)


@app.command("list")
def list_keys(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List all keys, without the keys themselves."""
    found = _with_keys(context.obj, lambda keys: keys.list())
    if as_json:
        say_json([asdict(key) for key in found])
        return
    table = new_table()
    for heading in ("name", "id", "project", "ends in", "made", "revoked"):
        table.add_column(heading, no_wrap=heading == "id")
    for key in found:
        times = _day(key.created_at), "" if key.revoked_at is None else _day(key.revoked_at)
        table.add_row(Text(key.name), key.id, Text(key.project), f"…{key.ending}", *times)
    console.print(table)


@app.command("revoke")
def revoke(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="The key's name or id.")],
) -> None:
    """Revoke a key, which stops working within a second. Objects made with it stay."""
    revoked = _with_keys(context.obj, lambda keys: keys.revoke(key))
    say(f"Revoked {revoked.id} ({revoked.name}).")


def _with_keys(settings: Settings, work: Callable[[Keys], Awaitable[T]]) -> T:
    import asyncio

    from localassist.runtime import open_keys

    async def run() -> T:
        async with open_keys(settings) as keys:
            return await work(keys)

    try:
        return asyncio.run(run())
    except RequestError as error:
        fail(error.message, EXIT_FAILURE)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M")
