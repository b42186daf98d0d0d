"""Citations for a terminal: a line each below the answer, or the whole passage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from localassist.cli.chat.code import printable
from localassist.cli.output import err_console, say_aside

if TYPE_CHECKING:
    from localassist.client.passages import Passage

_QUOTE_CHARACTERS = 160


def say_sources(passages: Sequence[Passage], answer: str) -> None:
    """Say in a line each what the numbers of an answer stand for."""
    for passage in passages:
        # What the answer quotes has just been read.
        say_aside(_line(passage, "" if passage.quote in answer else passage.quote))


def show_passage(passage: Passage) -> None:
    """The passage with its file, its place in it, and how well it fitted the question."""
    head = Text.assemble((f"[{passage.number}] ", "bold"), (_where(passage), "bold"))
    if passage.score is not None:
        head.append(f"  score {passage.score:.2f}", "cyan")
    err_console.print(head)
    text = passage.quote if passage.text is None else passage.text.strip()
    shown = Text(printable(text) or "(its text is not known any more)", "" if text else "dim")
    if passage.quote:
        shown.highlight_words([passage.quote], "bold yellow")
    err_console.print(Padding(shown, (0, 0, 0, 4)))


def _line(passage: Passage, quote: str) -> Text:
    if len(quote) > _QUOTE_CHARACTERS:
        quote = quote[: _QUOTE_CHARACTERS - 1] + "…"
    said = f": “{printable(quote)}”" if quote else ""
    return Text(f"[{passage.number}] {_where(passage)}{said}", style="dim")


def _where(passage: Passage) -> str:
    return printable(", ".join(filter(None, [passage.filename, passage.place])))
