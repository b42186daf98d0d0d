"""``localassist files``: upload, see and delete files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from localassist.cli.documents import connected, files_in
from localassist.cli.output import EXIT_FAILURE, console, fail, new_table, report
from localassist.disk import size

app = typer.Typer(help="Upload, list and delete files.", no_args_is_help=True)


@app.command("add")
def add(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders with files.")],
    purpose: Annotated[str, typer.Option(help="What the files are for.")] = "assistants",
) -> None:
    """Upload files; prints the id of each. To search them: `localassist stores add`."""
    from localassist.client.client import APIError, explain

    failed = 0
    with connected(context.obj) as client:
        for file in files_in(paths):
            try:
                made = client.files.create(file=file.path, purpose=purpose)  # type: ignore[arg-type]
            except APIError as error:
                report(f"{file.name}: {explain(error)}")
                failed += 1
            else:
                console.print(Text(f"{made.id}  {file.name}"), soft_wrap=True)
    if failed:
        fail(f"{failed} of the files could not be uploaded.", EXIT_FAILURE)


@app.command("list")
def list_files(
    context: typer.Context,
    purpose: Annotated[
        str | None, typer.Option(help="Only files for this.", show_default=False)
    ] = None,
) -> None:
    """List all files."""
    table = new_table()
    for heading in ("id", "name", "purpose", "size", "uploaded"):
        is_id = heading == "id"
        table.add_column(heading, no_wrap=is_id, justify="right" if heading == "size" else "left")
    chosen = {} if purpose is None else {"purpose": purpose}
    with connected(context.obj) as client:
        for file in client.files.list(**chosen):  # type: ignore[arg-type]
            at = datetime.fromtimestamp(file.created_at).strftime("%Y-%m-%d %H:%M")
            table.add_row(file.id, Text(file.filename), file.purpose, size(file.bytes), at)
    console.print(table)


@app.command("rm")
def remove(
    context: typer.Context,
    file_ids: Annotated[list[str], typer.Argument(help="Ids, as `files list` shows them.")],
) -> None:
    """Delete files, also from every store they are in."""
    with connected(context.obj) as client:
        for file_id in file_ids:
            client.files.delete(file_id)
            console.print(f"Deleted {file_id}.", markup=False)
