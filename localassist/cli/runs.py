"""``localassist runs``: what became of runs, and where their time went."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from localassist.cli.output import EXIT_FAILURE, console, err_console, fail, new_table, say_json
from localassist.cli.timeline import TimeLine, duration
from localassist.errors import RequestError

if TYPE_CHECKING:
    from localassist.runs.records import RunRecord, RunRecords
    from localassist.settings import Settings

app = typer.Typer(help="List runs, and show where their time went.", no_args_is_help=True)

T = TypeVar("T")
_WIDE = 100
_COLOURS = {"completed": "green", "failed": "red", "incomplete": "yellow", "expired": "yellow"}


@app.command("list")
def list_runs(
    context: typer.Context,
    thread: Annotated[
        str | None, typer.Argument(help="Only runs of this thread.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(help="Show at most this many, the newest.", min=1)] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Show the newest runs, of all projects."""
    found = with_records(context.obj, lambda records: records.list(thread, limit))
    if as_json:
        say_json([_dumped(record) for record in found])
        return
    table = new_table()
    # Whoever looks on goes on with the id; it is never cut.
    table.add_column("id", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("made", min_width=10)
    table.add_column("took", no_wrap=True, justify="right")
    table.add_column("tokens", no_wrap=True, justify="right")
    has_room = console.width >= _WIDE
    if has_room:
        table.add_column("model", overflow="fold")
    for record in found:
        took = "" if record.ended_at is None else _seconds(record.ended_at - record.created_at)
        used = (record.usage or {}).get("total_tokens")
        table.add_row(
            record.id,
            Text(record.status, _COLOURS.get(record.status, "")),
            _at(record.created_at),
            took,
            "" if used is None else f"{used:,}",
            *([Text(record.model)] if has_room else []),
        )
    console.print(table)


@app.command("show")
def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a run: its status, its steps, and its time line. Of one that has not ended, also what it
    is doing."""
    record = with_records(context.obj, lambda records: records.show(run))
    if as_json:
        say_json(_dumped(record))
        return
    print_run(record, console)


def print_run(record: RunRecord, to: Console) -> None:
    """What a run did, in words and as bars."""
    _print_head(record, to)
    for step in record.steps or ():
        to.print(_step_line(step), soft_wrap=not to.is_terminal)
    if record.timeline is None:
        err_console.print("It was made by an earlier release, which kept no times.", style="dim")
        return
    to.print()
    to.print(TimeLine(record.timeline, _now_ms(record)))


def _print_head(record: RunRecord, to: Console) -> None:
    head = Text.assemble(
        (record.id, "bold"), "  ", (record.status, _COLOURS.get(record.status, "bold"))
    )
    if record.doing is not None:
        head.append(f": {record.doing}")
    to.print(head, soft_wrap=not to.is_terminal)
    said = f"{record.model}  {record.thread_id}  made {_at(record.created_at)} UTC"
    to.print(Text(said, "dim"), soft_wrap=not to.is_terminal)
    if record.last_error is not None:
        error = f"{record.last_error['code']}: {record.last_error['message']}"
        to.print(Text(" ".join(error.split()), "red"), soft_wrap=not to.is_terminal)
    parts = []
    if record.usage is not None:
        parts.append(_usage(record.usage))
    first_text_ms = (record.timeline or {}).get("first_text_ms")
    if first_text_ms is not None:
        parts.append(f"first text after {duration(first_text_ms)}")
    if parts:
        to.print("; ".join(parts), soft_wrap=not to.is_terminal)


def _step_line(step: dict[str, Any]) -> Text:
    what = ", ".join(step["calls"]) or (
        "message" if step["type"] == "message_creation" else "calls"
    )
    line = Text.assemble("  ", (step["id"], "dim"), f"  {what}  {step['status']}")
    if step["usage"] is not None:
        line.append(f"  {_usage(step['usage'])}", "dim")
    return line


def _usage(usage: dict[str, Any]) -> str:
    """``1,234 prompt tokens (1,100 cached), 56 completion tokens``."""
    cached = usage["prompt_token_details"]["cached_tokens"]
    held = f" ({cached:,} cached)" if cached else ""
    return (
        f"{usage['prompt_tokens']:,} prompt tokens{held}, "
        f"{usage['completion_tokens']:,} completion tokens"
    )


def _now_ms(record: RunRecord) -> float:
    """Where phases end that still last."""
    assert record.timeline is not None
    return float((time.time() - record.timeline["at"]) * 1000)


def _dumped(record: RunRecord) -> dict[str, Any]:
    """Without what was not asked for."""
    optional = ("steps", "timeline", "doing")
    return {
        name: value
        for name, value in asdict(record).items()
        if value is not None or name not in optional
    }


def with_records(settings: Settings, work: Callable[[RunRecords], Awaitable[T]]) -> T:
    """What ``work`` finds in the data folder; ends the command when there is no such run."""
    import asyncio

    from localassist.runtime import open_records

    async def run() -> T:
        async with open_records(settings) as records:
            return await work(records)

    try:
        return asyncio.run(run())
    except RequestError as error:
        fail(error.message, EXIT_FAILURE)


def _at(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _seconds(seconds: int) -> str:
    return duration(seconds * 1000) if seconds >= 60 else f"{seconds} s"
