"""``localassist completion``: what shells need to complete commands, options and names.

The names are looked up while somebody waits between two keys: nothing is opened but a few small
files and, for reading only, the database.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from localassist.settings import Settings

_T = TypeVar("_T")
_PROGRAM = "localassist"
_VARIABLE = f"_{_PROGRAM.upper()}_COMPLETE"
_TITLE_CHARACTERS = 40
# Shells put what is offered on the command line as it is, and zsh evaluates it with its title: no
# name may be a command by the way, and none that would have to be quoted is offered.
_PLAIN = re.compile(r"[\w@%+=:,./-]+")
_IN_TITLES = str.maketrans("\\[]`$", "/()'%")


class Shell(str, Enum):
    """The shells there is a script for."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.", show_default=False)],
) -> None:
    """Print a shell's completion script: eval "$(localassist completion bash)"."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    script = get_completion_script(prog_name=_PROGRAM, complete_var=_VARIABLE, shell=shell.value)
    typer.echo(script)


def prepare() -> None:
    """Let this process answer a shell, if a shell asks."""
    if _VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def model_names(context: typer.Context, incomplete: str) -> list[str]:
    """Chat models whose names begin like this."""

    def names(settings: Settings) -> Iterable[str]:
        from localassist.registry import Catalog

        return (m.id for m in Catalog(settings.home, settings.models).list() if m.kind == "chat")

    return [name for name in _looked_up(context, names) if name.startswith(incomplete)]


def assistant_names(context: typer.Context, incomplete: str) -> list[str]:
    """Saved assistants whose names begin like this."""

    def names(settings: Settings) -> Iterable[str]:
        from localassist.storage import glimpse

        return glimpse.assistant_names(settings.home, settings.storage)

    found = _looked_up(context, names)
    return [name for name in found if name.startswith(incomplete) and _PLAIN.fullmatch(name)]


def thread_ids(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest threads whose ids begin like this, each with what was said first."""

    def threads(settings: Settings) -> Iterable[tuple[str, str]]:
        from localassist.storage import glimpse

        return glimpse.recent_threads(settings.home, settings.storage)

    return [
        (thread_id, _title(said))
        for thread_id, said in _looked_up(context, threads)
        if thread_id.startswith(incomplete)
    ]


def _title(said: str) -> str:
    words = " ".join(said.translate(_IN_TITLES).split())[:_TITLE_CHARACTERS]
    return "".join(c for c in words if c.isprintable())


def _looked_up(context: typer.Context, find: Callable[[Settings], Iterable[_T]]) -> list[_T]:
    """What is found; nothing where anything is wrong: the command itself will say so."""
    from localassist.settings import load_settings

    home = context.find_root().params.get("home")
    try:
        return list(find(load_settings(home=None if home is None else Path(home))))
    except Exception:  # no message may come between two keys
        return []
