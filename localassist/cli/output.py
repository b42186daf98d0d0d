"""Where commands write: answers to stdout, everything said about them to stderr."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer
from rich.console import Console

EXIT_FAILURE = 1
EXIT_USAGE = 2

console = Console(highlight=False)
err_console = Console(stderr=True, highlight=False)


def fail(message: str, code: int = EXIT_USAGE) -> NoReturn:
    """Say why in one line on stderr and exit."""
    report(message)
    raise typer.Exit(code)


def report(message: str) -> None:
    """One line on stderr, without markup: messages contain brackets."""
    line = " ".join(message.split())
    err_console.print(f"localassist: {line}", markup=False, soft_wrap=True)


def is_interactive() -> bool:
    """Whether a person types and reads."""
    return sys.stdin.isatty() and sys.stdout.isatty()
