"""Citations for a terminal: a line each below the answer, or the whole passage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from localassist.cli.chat.code import printable
from localassist.cli.output import err_console, say_aside

if TYPE_CHECKING:
    from localassist.client.passages import Passage

_QUOTE_CHARACTERS = 160
_AROUND_CHARACTERS = 400  # of a passage, on either side of the cited words
_FORGOTTEN = "(its text is not known any more)"


def say_sources(passages: Sequence[Passage], answer: str) -> None:
    """Say in a line each what the numbers of an answer stand for."""
    for passage in passages:
        # What the answer quotes has just been read.
        say_aside(_line(passage, "" if passage.quote in answer else passage.quote))


def show_passage(passage: Passage, *, is_whole: bool) -> None:
    """The file, where in it the cited words stand, and how well their passage fitted the question;
    then the words, in the passage or in what stands around them."""
    head = Text.assemble((f"[{passage.number}] ", "bold"), (_where(passage), "bold"))
    if passage.score is not None:
        head.append(f"  score {passage.score:.2f}", "cyan")
    err_console.print(head)
    text = passage.quote if passage.text is None else passage.text.strip()
    found = re.search(r"\s+".join(map(re.escape, passage.quote.split())), text)
    start, end = (0, 0) if found is None else found.span()
    first, last = (0, len(text)) if is_whole else _around(text, start, end)
    shown = Text(style="" if text else "dim")
    shown.append(printable(text[first:start]) or ("" if text else _FORGOTTEN))
    shown.append(printable(text[start:end]), "bold yellow")
    shown.append(printable(text[end:last]))
    if first > 0:
        shown = Text("… ").append_text(shown)
    if last < len(text):
        shown.append(" …")
    err_console.print(Padding(shown, (0, 0, 0, 4)))


def _around(text: str, start: int, end: int) -> tuple[int, int]:
    """The stretch around ``text[start:end]`` that is shown, from word to word."""
    first, last = start - _AROUND_CHARACTERS, end + _AROUND_CHARACTERS
    if first > 0:
        first = text.find(" ", first, start) + 1 or first
    if last < len(text):
        space = text.rfind(" ", end, last)
        last = space if space > 0 else last
    return max(0, first), min(len(text), last)


def _line(passage: Passage, quote: str) -> Text:
    if len(quote) > _QUOTE_CHARACTERS:
        quote = quote[: _QUOTE_CHARACTERS - 1] + "…"
    said = f": “{printable(quote)}”" if quote else ""
    return Text(f"[{passage.number}] {_where(passage)}{said}", style="dim")


def _where(passage: Passage) -> str:
    return printable(", ".join(filter(None, [passage.filename, passage.place])))
