"""``localassist prune`` and ``localassist vacuum``: what has outlived its use, and its room."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from localassist.cli.output import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    console,
    fail,
    new_table,
    say_aside,
    say_json,
)
from localassist.disk import size
from localassist.errors import StorageError

if TYPE_CHECKING:
    from localassist.services.retention import Removal
    from localassist.settings import Settings


def prune(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go; change nothing.")
    ] = False,
    thread_days: Annotated[
        int | None,
        typer.Option(min=1, help="In place of retention.thread_days.", show_default=False),
    ] = None,
    file_days: Annotated[
        int | None,
        typer.Option(min=1, help="In place of retention.file_days.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Remove what is older than the retention settings allow, as a service does by itself."""
    import asyncio

    settings: Settings = context.obj
    given = {"thread_days": thread_days, "file_days": file_days}
    changes = {name: days for name, days in given.items() if days is not None}
    changed = settings.retention.model_copy(update=changes)
    settings = settings.model_copy(update={"retention": changed})
    try:
        removed = asyncio.run(_prune(settings, is_meant=not dry_run))
    except StorageError as error:
        fail(error.message, EXIT_FAILURE)
    except KeyboardInterrupt:
        fail(
            "Stopped: some of it has gone, each thing whole. Run it again for the rest.",
            EXIT_INTERRUPTED,
        )
    if as_json:
        told = {"dry_run": dry_run, "removed": [asdict(one) for one in removed]}
        say_json(told)
    else:
        _show(removed, dry_run)


async def _prune(settings: Settings, *, is_meant: bool) -> list[Removal]:
    from localassist.runtime import open_retention

    async with open_retention(settings) as retention:
        return await (retention.sweep() if is_meant else retention.plan())


def _show(removed: list[Removal], dry_run: bool) -> None:
    table = new_table()
    table.add_column("would go" if dry_run else "gone")
    table.add_column("count", justify="right")
    table.add_column("about", justify="right")
    table.add_column("kept for")
    for one in removed:
        kept = "ever" if one.days is None else f"{one.days:g} day{'' if one.days == 1 else 's'}"
        told = (f"{one.count:,}", size(one.bytes)) if one.days is not None else ("–", "–")
        table.add_row(one.what, *told, kept)
    console.print(table)
    if not dry_run and any(one.bytes for one in removed):
        say_aside(
            Text(
                "The database keeps up to retention.free_mb of the room for what comes next. "
                "`localassist vacuum` gives all of it to the disk."
            )
        )


def vacuum(
    context: typer.Context,
    live: Annotated[
        bool,
        typer.Option("--live", help="Also while a service runs; its writes wait meanwhile."),
    ] = False,
) -> None:
    """Return free space inside the SQLite database to the disk."""
    from localassist.runtime import vacuum as shrink

    settings: Settings = context.obj
    try:
        before, after = shrink(settings, is_live=live)
    except StorageError as error:
        fail(error.message, EXIT_FAILURE)
    except KeyboardInterrupt:
        fail("Stopped: the database is as it was.", EXIT_INTERRUPTED)
    console.print(f"The database took {size(before)} and takes {size(after)}.", markup=False)
