"""Citations for a terminal: ``【4:0†source】`` becomes ``[1]``, explained below the answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.text import Text

from localassist.cli.output import say_aside

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist

_MARKER = re.compile(r"【\d+:\d+†[^】]*】")
_QUOTE_CHARACTERS = 160


class Sources:
    """The numbers of one answer's citations, in the order in which they appear."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._answer = ""

    def numbered(self, text: str) -> str:
        """A piece of the answer with its markers as numbers. Markers arrive whole."""
        self._answer += text
        return _MARKER.sub(lambda marker: f" [{self._number(marker[0])}]", text)

    def show(self, client: LocalAssist, thread_id: str) -> None:
        """Say on stderr what the numbers of the newest message stand for."""
        if not self._numbers:
            return
        message = client.beta.threads.messages.list(thread_id, limit=1).data[0]
        seen: set[int] = set()
        for part in message.content:
            for annotation in part.text.annotations if part.type == "text" else []:
                number = self._numbers.get(annotation.text)
                if annotation.type != "file_citation" or number is None or number in seen:
                    continue
                seen.add(number)
                name = client.files.retrieve(annotation.file_citation.file_id).filename
                quote = " ".join((getattr(annotation.file_citation, "quote", None) or "").split())
                # What the answer quotes has just been read.
                say_aside(_line(number, name, "" if quote in self._answer else quote))

    def _number(self, marker: str) -> int:
        return self._numbers.setdefault(marker, len(self._numbers) + 1)


def _line(number: int, name: str, quote: str) -> Text:
    if len(quote) > _QUOTE_CHARACTERS:
        quote = quote[: _QUOTE_CHARACTERS - 1] + "…"
    said = f": “{quote}”" if quote else ""
    return Text(f"[{number}] {name}{said}", style="dim")
