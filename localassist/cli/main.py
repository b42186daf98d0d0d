"""The ``localassist`` command: its global options, its sub-commands, its last line of defence.

Commands import what they use when they run, so that ``--help`` is instant.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from localassist.cli import (
    ask,
    assistants,
    backup,
    bench,
    bundle,
    chat,
    compat,
    completion,
    deploy,
    docs,
    doctor,
    files,
    keys,
    models,
    prune,
    runs,
    sandbox,
    serve,
    stores,
    tools,
    transfer,
)
from localassist.cli.output import EXIT_INTERRUPTED, EXIT_USAGE, report
from localassist.errors import LocalAssistError
from localassist.offline import seal

app = typer.Typer(
    name="localassist",
    help="The Assistants API on your own machine, with a local model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.command("ask")(ask.ask)
app.add_typer(assistants.app, name="assistants")
app.add_typer(models.app, name="models")
app.add_typer(files.app, name="files")
app.add_typer(stores.app, name="stores")
app.add_typer(runs.app, name="runs")
app.add_typer(tools.app, name="tools")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(bench.app, name="bench")
app.command("doctor")(doctor.doctor)
app.command("docs")(docs.docs)
app.command("compat")(compat.compat)
app.add_typer(keys.app, name="keys")
app.add_typer(backup.app, name="backup")
app.command("export")(transfer.export_objects)
app.command("import")(transfer.import_objects)
app.command("prune")(prune.prune)
app.command("vacuum")(prune.vacuum)
app.add_typer(bundle.app, name="bundle")
app.add_typer(deploy.app, name="deploy")
app.command("completion")(completion.completion)


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
    """Entry point. An error of ours becomes one line and exit code 2, never a traceback."""
    completion.prepare()
    seal()
    try:
        app()
    except LocalAssistError as exc:
        report(exc.message)
        sys.exit(EXIT_USAGE)
    except SystemExit as end:
        if _was_interrupted(end):  # and the command has not said so
            report("Stopped.")
        raise
    except KeyboardInterrupt:  # before a command has begun
        report("Stopped.")
        sys.exit(EXIT_INTERRUPTED)


def _was_interrupted(end: SystemExit) -> bool:
    """Whether an interrupt has come through to typer, which ends the program without a word."""
    left = end.__context__
    return left is not None and isinstance(left.__cause__, KeyboardInterrupt)
