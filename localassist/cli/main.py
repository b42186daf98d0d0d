"""The ``localassist`` command: its global options, its sub-commands, its last line of defence.

A sub-command is imported when it is named, and imports what it uses when it runs: a shell waits for
completions between two keys.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from localassist.cli import completion
from localassist.cli.output import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    explain_os,
    report,
)
from localassist.errors import LocalAssistError, StorageUnavailable
from localassist.offline import seal

# By heading, in the order of the help. Each name with the module in this package that has it, and
# the function or the group of commands in there.
HEADINGS = {
    "Talk": {
        "chat": ("chat", "chat"),
        "ask": ("ask", "ask"),
        "assistants": ("assistants", "app"),
    },
    "Serve": {
        "serve": ("serve", "serve"),
        "doctor": ("doctor", "doctor"),
        "keys": ("keys", "app"),
        "deploy": ("deploy", "app"),
        "bundle": ("bundle", "app"),
    },
    "Models and documents": {
        "models": ("models", "app"),
        "files": ("files", "app"),
        "stores": ("stores", "app"),
        "bench": ("bench", "app"),
    },
    "Runs, functions and code": {
        "runs": ("runs", "app"),
        "tools": ("tools", "app"),
        "sandbox": ("sandbox", "app"),
    },
    "Data": {
        "backup": ("backup", "app"),
        "export": ("transfer", "export_objects"),
        "import": ("transfer", "import_objects"),
        "prune": ("prune", "prune"),
        "vacuum": ("prune", "vacuum"),
    },
    "Help": {
        "docs": ("docs", "docs"),
        "compat": ("compat", "compat"),
        "completion": ("completion", "completion"),
    },
}
COMMANDS = {name: place for group in HEADINGS.values() for name, place in group.items()}


class _Commands(Mapping[str, Any]):
    """The sub-commands by name, each imported when it is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            module, attribute = COMMANDS[name]
            told = getattr(import_module(f"localassist.cli.{module}"), attribute)
            alone = typer.Typer()
            if isinstance(told, typer.Typer):
                alone.add_typer(told, name=name)
            else:
                alone.command(name)(told)
            loaded: Any = get_group(alone).commands[name]
            loaded.rich_help_panel = next(head for head, group in HEADINGS.items() if name in group)
            self._loaded[name] = loaded
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Root(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]  # nothing is added to it

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names alone: none of them is loaded to be listed."""
        return list(self.commands)


app = typer.Typer(
    name="localassist",
    cls=_Root,
    help="The Assistants API on your own machine, with a local model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from localassist import __version__

        typer.echo(f"localassist {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Data folder: database, files, models.", show_default=False),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    from localassist.settings import load_settings

    context.obj = load_settings(home=home)


def main() -> None:
    """Entry point. An error of ours, or of the system, becomes one line, never a traceback, except
    for developers (``python -X dev``). Exit code 2, or 1 where the next time may be otherwise."""
    _open_streams()
    completion.prepare()
    seal()
    try:
        app()
    except LocalAssistError as exc:
        report(exc.message)
        sys.exit(EXIT_FAILURE if isinstance(exc, StorageUnavailable) else EXIT_USAGE)
    except OSError as error:  # such as a full disk behind standard output
        if error.errno is None or sys.flags.dev_mode:  # without a number it is not the system's
            raise
        report(explain_os(error))
        _drop_output()
        sys.exit(EXIT_FAILURE)
    except SystemExit as end:
        if _was_interrupted(end):  # and the command has not said so
            report("Stopped.")
        raise
    except KeyboardInterrupt:  # before a command has begun
        report("Stopped.")
        sys.exit(EXIT_INTERRUPTED)


def _open_streams() -> None:
    """Standard streams that were closed are empty ones: the next file that is opened would get the
    number of one of them, and with it what is written there."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def _drop_output() -> None:
    """What standard output does not take is not tried again at the end, which would be said."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _was_interrupted(end: SystemExit) -> bool:
    """Whether an interrupt has come through to typer, which ends the program without a word."""
    left = end.__context__
    return left is not None and isinstance(left.__cause__, KeyboardInterrupt)
