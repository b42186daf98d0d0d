"""``localassist stores``: collections of documents that can be searched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from localassist.cli.documents import add_documents, connected, files_in, report_added
from localassist.cli.output import EXIT_FAILURE, console, fail, new_table, say
from localassist.disk import size

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist
    from localassist.client.documents import LocalFile, VectorStore

app = typer.Typer(help="Vector stores: documents that can be searched.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The store's name, or its id.")]
Paths = Annotated[list[Path], typer.Argument(help="Files, or folders with files.")]


@app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What to call the store.")],
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files, or folders with files, to begin with.")
    ] = None,
) -> None:
    """Create a store and add documents to it."""
    files = files_in(paths or [])
    with connected(context.obj) as client:
        if _named(client, name):
            fail(f"A store '{name}' already exists. To add to it: localassist stores add")
        store = client.vector_stores.create(name=name)
        say(f"Created {store.id} ({name}).")
        if files:
            _add(client, store, files)


@app.command("add")
def add(
    context: typer.Context,
    name: Name,
    paths: Paths,
    sync: Annotated[
        bool, typer.Option("--sync", help="Also remove what is no longer in the folders.")
    ] = False,
) -> None:
    """Add documents to a store. Unchanged files that it already has are skipped."""
    files = files_in(paths)
    with connected(context.obj) as client:
        _add(client, _store(client, name), files, is_whole=sync)


@app.command("list")
def list_stores(context: typer.Context) -> None:
    """List all stores."""
    table = new_table()
    for heading in ("name", "id", "files", "failed", "size", "status"):
        is_number = heading in ("files", "failed", "size")
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=heading == "id")
    with connected(context.obj) as client:
        for store in client.vector_stores.list(limit=100):
            counts = store.file_counts
            numbers = str(counts.completed), str(counts.failed or ""), size(store.usage_bytes)
            table.add_row(Text(store.name or ""), store.id, *numbers, store.status)
    console.print(table)


@app.command("show")
def show(context: typer.Context, name: Name) -> None:
    """Show a store's files, and why some failed."""
    table = new_table()
    for heading in ("file", "id", "status", "size"):
        table.add_column(heading, no_wrap=heading == "id")
    failures = []
    with connected(context.obj) as client:
        store = _store(client, name)
        names = {file.id: file.filename for file in client.files.list()}
        for file in client.vector_stores.files.list(store.id, limit=100):
            path = str((file.attributes or {}).get("path", names.get(file.id, "")))
            table.add_row(Text(path), file.id, file.status, size(file.usage_bytes))
            if file.last_error is not None:
                failures.append(f"{path}: {file.last_error.message}")
    say(f"{store.name or store.id}: {store.status}, {size(store.usage_bytes)}")
    console.print(table)
    for failure in failures:
        say(failure)


@app.command("search")
def search(
    context: typer.Context,
    name: Name,
    question: Annotated[str, typer.Argument(help="What to look for.")],
    results: Annotated[
        int, typer.Option("--results", "-k", min=1, max=50, help="How many results to show.")
    ] = 5,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show what each score is made of.")
    ] = False,
) -> None:
    """Search a store and show the passages found."""
    from localassist.cli.search_results import explain_results, show_results

    look = explain_results if explain else show_results
    with connected(context.obj) as client:
        store = _store(client, name)
        if look(client, store.id, question, results) == 0:
            fail("Nothing was found.", EXIT_FAILURE)


@app.command("rm")
def remove(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Names of stores, or ids.")],
) -> None:
    """Delete stores. The files stay; `localassist files rm` deletes those."""
    with connected(context.obj) as client:
        for name in names:
            store = _store(client, name)
            client.vector_stores.delete(store.id)
            say(f"Deleted {store.id} ({name}).")


def _add(client: LocalAssist, store: VectorStore, files: list[LocalFile], **options: bool) -> None:
    added = add_documents(client, store.id, files, **options)
    report_added(store.name or store.id, added)
    if added.failures:
        raise typer.Exit(EXIT_FAILURE)


def _store(client: LocalAssist, name: str) -> VectorStore:
    """The store of that name or id; ends the command when there is none, or more than one."""
    found = _named(client, name)
    if not found:
        fail(f"There is no store '{name}'. See: localassist stores list")
    if len(found) > 1:
        ids = ", ".join(store.id for store in found)
        fail(f"Several stores are called '{name}'; say which by its id: {ids}")
    return found[0]


def _named(client: LocalAssist, name: str) -> list[VectorStore]:
    stores = client.vector_stores.list(limit=100)
    return [store for store in stores if name in (store.id, store.name)]
