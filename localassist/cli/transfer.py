"""``localassist export`` and ``localassist import``: objects out of a data folder and into one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

import typer

from localassist.cli.backup import Told, explained, told_progress
from localassist.cli.output import EXIT_FAILURE, fail, report, say
from localassist.disk import size

if TYPE_CHECKING:
    from localassist.archive.archive import Archive, Imported
    from localassist.archive.planning import Policy
    from localassist.settings import Settings

T = TypeVar("T")
_MOST_PROBLEMS = 20
_POLICIES = ("fail", "skip", "replace")
Project = Annotated[str, typer.Option(help="The project; 'default' is that of no key.")]


def export_objects(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="The file to write, a .zip.")],
    project: Project = "default",
    assistant: Annotated[
        list[str] | None,
        typer.Option("--assistant", help="Only this assistant, by id; may be given again."),
    ] = None,
    thread: Annotated[
        list[str] | None,
        typer.Option("--thread", help="Only this thread, by id; may be given again."),
    ] = None,
    no_files: Annotated[
        bool, typer.Option("--no-files", help="Without the contents of files.")
    ] = False,
) -> None:
    """Write assistants, threads, runs, files and vector stores into one file, with their ids."""
    from localassist.archive.export import Selection

    selection = Selection(tuple(assistant or ()), tuple(thread or ()), not no_files)
    with explained("Nothing was exported."):
        made = _with_archive(
            context.obj,
            lambda archive, told: archive.export(project, out, selection, told),
        )
    counts = made.manifest.counts
    say(f"{made.path}: {size(made.size_bytes)}.")
    say(", ".join(f"{number:,} {_called(kind)}" for kind, number in counts.items()) + ".")
    if made.lost:
        fail(
            f"{len(made.lost)} files come without their content, which is missing or damaged here: "
            f"{', '.join(made.lost[:5])}.",
            EXIT_FAILURE,
        )


def import_objects(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            help="An export, or a dump of the hosted API: a .zip, .tar, .json or .jsonl file, or a "
            "folder."
        ),
    ],
    project: Project = "default",
    on_conflict: Annotated[
        str,
        typer.Option(help="What to do with ids that are there already: fail, skip or replace."),
    ] = "fail",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be imported.")
    ] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out objects that are not valid.")
    ] = False,
    shorten: Annotated[
        bool,
        typer.Option(
            "--shorten", help="Cut names and descriptions that are longer than the API allows."
        ),
    ] = False,
) -> None:
    """Read objects into the data folder, with their ids: all of them, or nothing."""
    if on_conflict not in _POLICIES:
        fail(f"--on-conflict is one of {', '.join(_POLICIES)}.")
    with explained("Nothing was imported."):
        done = _with_archive(
            context.obj,
            lambda archive, told: archive.load(
                source,
                project,
                policy=cast("Policy", on_conflict),
                is_dry=dry_run,
                skip_invalid=skip_invalid,
                shorten=shorten,
                on_progress=told,
            ),
        )
    _show(done)
    if done.problems:
        shown = done.problems if dry_run else done.problems[:_MOST_PROBLEMS]
        for problem in shown:
            report(problem)
        more = len(done.problems) - len(shown)
        others = f", of which --dry-run shows {more} more" if more > 0 else ""
        fail(f"Nothing was imported. Problems: {len(done.problems)}{others}.", EXIT_FAILURE)


def _with_archive(settings: Settings, work: Callable[[Archive, Told], Awaitable[T]]) -> T:
    from localassist.runtime import open_archive

    async def run(told: Told) -> T:
        async with open_archive(settings) as archive:
            return await work(archive, told)

    with told_progress() as told:
        return asyncio.run(run(told))


def _show(done: Imported) -> None:
    if not done.problems:
        say("Would be imported:" if done.is_dry else "Imported:")
        for family, verbs in done.tally.items():
            say(f"  {family}: {', '.join(f'{n:,} {verb}' for verb, n in sorted(verbs.items()))}")
        for note in done.notes:
            say(note)
    if done.unknown_fields:
        number = sum(done.unknown_fields.values())
        names = ", ".join(name for name, _ in done.unknown_fields.most_common(10))
        say(f"Fields that are not known and were left out: {number:,} ({names}).")
    if done.others:
        names = ", ".join(f"{n:,} {kind}" for kind, n in done.others.most_common(10))
        say(f"Objects that are not imported: {names}.")
    for problem in done.left_out[:_MOST_PROBLEMS]:
        report(f"left out: {problem}")
    if len(done.left_out) > _MOST_PROBLEMS:
        report(f"{len(done.left_out) - _MOST_PROBLEMS} more were left out.")
    if done.waiting and not done.problems:
        say(f"Files that a server will read into vector stores: {done.waiting:,}.")


def _called(kind: str) -> str:
    """``thread.run.step`` → ``run steps``."""
    return kind.removeprefix("thread.").replace(".", " ").replace("_", " ") + "s"
