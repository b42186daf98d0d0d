"""``localassist backup``: the data folder as one file, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localassist.cli.output import (
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    bytes_bar,
    fail,
    say,
)
from localassist.disk import size
from localassist.errors import LocalAssistError, StorageError

if TYPE_CHECKING:
    from localassist.archive.backup_file import Head
    from localassist.settings import Settings

app = typer.Typer(
    help="Back up the data folder into one file, and restore it.", no_args_is_help=True
)

Told = Callable[[str, int, int], None]
File = Annotated[Path, typer.Argument(help="The file of a backup.")]


@app.command("create")
def create(
    context: typer.Context,
    target: Annotated[
        Path,
        typer.Argument(help="The file to write (.tar or .tar.gz), or a folder to write it into."),
    ],
    with_models: Annotated[
        bool, typer.Option("--with-models", help="Also weights that lie in the data folder.")
    ] = False,
    gzip: Annotated[bool, typer.Option("--gzip", help="Compress it, which takes longer.")] = False,
    without_database: Annotated[
        bool,
        typer.Option(
            "--without-database",
            help="Everything but the database, where that is not in the data folder.",
        ),
    ] = False,
) -> None:
    """Back up the data folder, also while a server works on it; the file is read back before it
    appears."""
    from localassist.archive.backup import create_backup

    settings: Settings = context.obj
    with explained("No backup was made."), told_progress() as told:
        made = create_backup(
            settings.home,
            target,
            database_url=settings.storage.url,
            without_database=without_database,
            with_weights=with_models,
            compress=gzip,
            on_progress=told,
        )
    say(f"{made.path}: {size(made.size_bytes)} in {made.seconds:.1f} s, read back and whole.")
    say(_counted(made.head))
    if made.left_out:
        say(f"Without the weights of {len(made.left_out)} models; --with-models adds them.")
    if made.lost_segments:
        say(f"{made.lost_segments} files are read again after a restore.")
    lost = [*made.head.missing, *made.damaged]
    if lost:
        fail(
            f"{len(lost)} contents are missing or damaged in {settings.home} itself: "
            f"{', '.join(sha256[:12] for sha256 in lost[:5])}. The backup holds all else.",
            EXIT_FAILURE,
        )


@app.command("verify")
def verify_backup(file: File) -> None:
    """Read all of a backup and say whether it is whole."""
    from localassist.archive.restore import verify

    with explained("It cannot be restored."), told_progress() as told:
        head = verify(file, told)
    made = datetime.fromtimestamp(head.created_at, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    say(f"{file} is whole: made {made} UTC by localassist {head.localassist}.")
    say(_counted(head))


@app.command("restore")
def restore_backup(
    context: typer.Context,
    file: File,
    home: Annotated[
        Path | None,
        typer.Option(help="The data folder to make, by default the usual one.", show_default=False),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="A data folder that is there is kept beside the new one."),
    ] = False,
) -> None:
    """Make a data folder from a backup. It appears when all of it is there and checked."""
    from localassist.archive.restore import restore

    settings: Settings = context.obj
    target = settings.home if home is None else home.expanduser().absolute()
    with explained("Nothing was restored."), told_progress() as told:
        restored = restore(file, target, replace=replace, on_progress=told)
    say(f"Restored {target}.")
    say(_counted(restored.head))
    if restored.kept is not None:
        say(f"What was there before is {restored.kept}.")
    if restored.head.schema_revision is None:
        say("Without a database: restore that with its own tools.")
    for model_id in restored.weights_missing:
        say(f"The weights of {model_id} are not there: localassist models add")
    if restored.damaged:
        say(
            f"{len(restored.damaged)} contents were damaged when the backup was made: "
            f"{', '.join(sha256[:12] for sha256 in restored.damaged[:5])}."
        )
    say("Runs that were under way go on when the server starts.")


@contextmanager
def explained(outcome: str) -> Iterator[None]:
    """One line for what goes wrong. ``outcome`` is what it means that the work did not end."""
    try:
        yield
    except KeyboardInterrupt:
        fail(f"Stopped. {outcome}", EXIT_INTERRUPTED)
    except StorageError as error:
        fail(f"{error.message} {outcome}", EXIT_FAILURE)
    except LocalAssistError as error:
        fail(error.message)


@contextmanager
def told_progress() -> Iterator[Told]:
    """A bar for work that is counted in bytes."""
    with bytes_bar() as bar:
        task = bar.add_task("", total=None)

        def told(doing: str, done: int, total: int) -> None:
            bar.update(task, description=doing, completed=done, total=total)

        yield told


def _counted(head: Head) -> str:
    names = {"assistants", "threads", "messages", "runs", "files", "vector_stores"}
    counts = [f"{n:,} {name.replace('_', ' ')}" for name, n in head.counts.items() if name in names]
    return ", ".join([*counts, f"{head.files:,} files on disk ({size(head.bytes)})"]) + "."
