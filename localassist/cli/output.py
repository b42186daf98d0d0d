"""Where commands write: answers to stdout, everything said about them to stderr."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

console = Console(highlight=False)
err_console = Console(stderr=True, highlight=False)


def fail(message: str, code: int = EXIT_USAGE) -> NoReturn:
    """Say why in one line on stderr and exit."""
    report(message)
    raise typer.Exit(code)


def report(message: str) -> None:
    """One line on stderr, without markup: messages contain brackets."""
    line = " ".join(message.split())
    say_aside(Text(f"localassist: {line}"))


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


class _CountColumn(MofNCompleteColumn):
    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


def is_interactive() -> bool:
    """Whether a person types and reads."""
    return sys.stdin.isatty() and sys.stdout.isatty()
