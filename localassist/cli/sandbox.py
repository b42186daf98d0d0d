"""``localassist sandbox``: build what kernels need, and run code in isolation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from localassist.cli.output import EXIT_FAILURE, err_console, fail, report, say
from localassist.cli.sandbox_abuse import test
from localassist.cli.sandbox_exec import execute
from localassist.errors import SandboxUnavailable

if TYPE_CHECKING:
    from localassist.settings import Settings

app = typer.Typer(help="Run code in isolation from this machine.", no_args_is_help=True)
app.command("exec")(execute)
app.command("test")(test)


@app.command("build")
def build(
    context: typer.Context,
    wheels: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Install from this folder of wheels, without a network.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether it is up to date.")
    ] = False,
) -> None:
    """Install the Python environment that code runs in, unless it is up to date."""
    from localassist.sandbox.building import build_environment
    from localassist.sandbox.environment import environment_folder, is_current

    settings: Settings = context.obj
    folder = environment_folder(settings.sandbox, settings.home)
    is_there = is_current(settings.sandbox, settings.home)
    if check:
        if not is_there:
            fail(f"{folder} is missing or out of date: localassist sandbox build", EXIT_FAILURE)
        say(f"{folder} is up to date.")
        return
    if wheels is not None and not wheels.is_dir():
        fail(f"{wheels} is not a folder.")
    if not is_there:
        report(f"building the environment of kernels in {folder}; this takes some minutes once")
    try:
        with _progress() as progress:
            environment = build_environment(
                settings.sandbox, settings.home, wheels=wheels, progress=progress
            )
    except SandboxUnavailable as error:
        fail(error.message, EXIT_FAILURE)
    say(f"{environment.folder} is {'there and up to date' if is_there else 'ready'}.")


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What is being done, on stderr: a line that changes for a person, a line for each kind of
    work for a program."""
    if err_console.is_terminal:
        with err_console.status("") as status:
            yield lambda stage: status.update(Text(stage))
        return
    said = ""

    def say(stage: str) -> None:
        nonlocal said
        if stage.split()[0] != said:
            said = stage.split()[0]
            report(stage)

    yield say
