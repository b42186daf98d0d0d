"""Where commands write: answers to stdout, everything said about them to stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # what shells make of Ctrl-C


class CleanConsole(Console):
    """A console on which no text can act: names of files, models and threads, and whatever else
    comes from outside, cannot move the cursor, set the clipboard or hide what was written."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control is None and not text.isprintable() and text != "\n":
                from localassist.cli.display.clean import cleaned  # rarely needed, and not small

                segment = Segment(cleaned(text), segment.style)
            yield segment


console = CleanConsole(highlight=False)
err_console = CleanConsole(stderr=True, highlight=False)


def fail(message: str, code: int = EXIT_USAGE) -> NoReturn:
    """Say why in one line on stderr and exit."""
    report(message)
    raise typer.Exit(code)


def explain_os(error: OSError) -> str:
    """``notes.md: Permission denied``"""
    reason = (error.strerror or str(error) or type(error).__name__).rstrip(".")
    return f"{error.filename}: {reason}" if error.filename else f"{reason}."


def report(message: str) -> None:
    """One line on stderr, without markup: messages contain brackets."""
    line = " ".join(message.split())
    say_aside(Text(f"localassist: {line}"))


def say(text: str) -> None:
    """A line on stdout, without markup: names contain brackets. Broken between words for a person,
    whole for a program that reads it."""
    console.print(Text(text), soft_wrap=not console.is_terminal)


def say_json(value: Any) -> None:
    """What ``--json`` asks for. What could act on a terminal is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    typer.echo(re.sub(r"[^\n -~]", lambda c: c[0] if c[0].isprintable() else _escaped(c[0]), text))


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


def new_table() -> Table:
    """A table as all commands draw theirs."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")


def say_aside(text: Text) -> None:
    """A line on stderr: broken between words for a person, whole for a program that reads it."""
    err_console.print(text, soft_wrap=not err_console.is_terminal)


def progress_bar() -> Progress:
    """One bar on stderr, gone when all is done. Without a total it only shows that work goes on."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _CountColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=err_console,
        transient=True,
        disable=not err_console.is_terminal,
    )


def bytes_bar() -> Progress:
    """Likewise one for work that is counted in bytes, with its speed."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=err_console,
        transient=True,
        disable=not err_console.is_terminal,
    )


class _CountColumn(MofNCompleteColumn):
    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


def is_interactive() -> bool:
    """Whether a person types and reads."""
    return sys.stdin.isatty() and sys.stdout.isatty()
