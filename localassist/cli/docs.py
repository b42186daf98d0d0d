"""``localassist docs``: the pages that come with localassist, read in the terminal."""

from __future__ import annotations

import os
import pydoc
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from localassist.cli.output import EXIT_FAILURE, console, fail, say_aside

if TYPE_CHECKING:
    from localassist.pages import Hit, Page

_MOST_HITS = 25


def _complete(incomplete: str) -> list[tuple[str, str]]:
    from localassist.pages import all_pages

    pages = all_pages().values()
    return [(page.name, page.about) for page in pages if page.name.startswith(incomplete)]


def docs(
    page: Annotated[
        str,
        typer.Argument(
            help="A page's name, or a part of it. Without one: the index.",
            autocompletion=_complete,
        ),
    ] = "",
    is_list: Annotated[
        bool, typer.Option("--list", help="List all pages, with a sentence about each.")
    ] = False,
    words: Annotated[
        str | None,
        typer.Option("--search", help="Find the sections that hold all these words."),
    ] = None,
    is_path: Annotated[
        bool, typer.Option("--path", help="Print the page's path, or the folder of all pages.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(help="Write all pages as HTML into this folder, which must be new or empty."),
    ] = None,
) -> None:
    """Read these pages in the terminal, search them, or write them as HTML.

    In a pipe, a page is printed as its Markdown.
    """
    from localassist import pages

    wishes = [bool(page) and not is_path, is_list, words is not None, html is not None]
    if sum(wishes) > 1 or (is_path and any(wishes)):
        fail(
            "Use only one of a page, --list, --search, --path and --html (--path may have a page)."
        )
    if html is not None:
        _write(html)
    elif words is not None:
        _search(words)
    elif is_list:
        _show_list(list(pages.all_pages().values()))
    elif is_path:
        found = _one(page) if page else pages.all_pages()[pages.INDEX]
        typer.echo(found.path if page else found.path.parent)
    else:
        _show(_one(page or pages.INDEX))


def _one(name: str) -> Page:
    """The page that is meant. Ends the command where that is none or not clear."""
    from localassist.pages import find

    found = find(name)
    if not found:
        fail(f"No page is called {name}. `localassist docs --list` names them all.", EXIT_FAILURE)
    if len(found) > 1:
        _show_list(found)
        fail(f"{name} may be any of these {len(found)}: name one.", EXIT_FAILURE)
    return found[0]


def _show(page: Page) -> None:
    if not console.is_terminal:
        typer.echo(page.text().strip())
        return
    from localassist.cli.display import markdown
    from localassist.cli.page_text import for_terminal

    with console.capture() as capture:
        # Long lines of code are the terminal's to wrap.
        console.print(markdown(for_terminal(page, console.width)), crop=False)
    shown = capture.get()
    if shown.count("\n") < console.height:
        typer.echo(shown, nl=False)
    else:
        # `less` shows colours only when it is told to.
        os.environ.setdefault("LESS", "-R")
        pydoc.pager(shown)


def _show_list(pages: list[Page]) -> None:
    longest = max(len(page.name) for page in pages)
    group = None
    for page in pages:
        if page.group != group:
            group = page.group
            heading = Text(group, style="bold")
            console.print(*([Text()] if page is not pages[0] else []), heading, sep="\n")
        about = page.about or page.title
        if console.is_terminal and console.width < longest + 2 + len(about):
            console.print(Text(page.name, style="cyan"))
            console.print(Text(about), width=console.width)
        else:
            line = Text.assemble((f"{page.name:<{longest}}  ", "cyan"), about)
            console.print(line, soft_wrap=True)


def _search(words: str) -> None:
    from localassist.pages import search

    hits = search(words.split())
    if not hits:
        fail(f"No section holds all of: {words}. Fewer words find more.", EXIT_FAILURE)
    for hit in hits[:_MOST_HITS]:
        _show_hit(hit, words.split())
    if len(hits) > _MOST_HITS:
        say_aside(Text(f"{len(hits) - _MOST_HITS} more; more words find fewer."))


def _show_hit(hit: Hit, words: list[str]) -> None:
    from localassist.pages import plain

    where = Text.assemble(
        (hit.page.name, "cyan"), f":{hit.line}  ", (hit.section.heading, "bold"), overflow="fold"
    )
    line = Text(f"  {plain(hit.text.lstrip('#|-> '))}")
    line.highlight_words(words, style="yellow", case_sensitive=False)
    for text in (where, line):
        console.print(text, soft_wrap=not console.is_terminal)


def _write(folder: Path) -> None:
    """All pages into a folder that appears when it is complete."""
    from localassist.server.pages import write_all

    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            fail(f"{folder} already exists and is not empty. Name a new folder.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            write_all(made)
            made.chmod(0o755)
            made.replace(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        fail(f"{folder} cannot be written: {error.strerror or error}.", EXIT_FAILURE)
    say_aside(Text(f"Written. Open {folder / 'index.html'} in a browser."))
