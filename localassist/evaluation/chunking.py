"""How documents are cut into what is searched: the strategies that are compared. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from localassist.errors import ConfigError
from localassist.evaluation.corpus import Document
from localassist.evaluation.spans import Span
from localassist.evaluation.tokens import Offsets

Kind = Literal["units", "fixed", "recursive"]
UNIT_TOKENS = 100
_FORM = re.compile(r"(units|fixed|recursive)(?::(\d+)(?:/(\d+))?)?")


@dataclass(frozen=True, slots=True)
class Chunking:
    """``units`` are what localassist searches: at most ``size`` tokens of the embedder, with the
    windows around them. ``fixed`` are windows of ``size`` tokens that share ``overlap`` with the
    one before, wherever that cuts; 800/400 is the hosted default. ``recursive`` are pieces of at
    most ``size`` tokens, cut at headings, paragraphs and sentences as units are, each of which is
    embedded, searched and returned alone.
    """

    kind: Kind
    size: int
    overlap: int = 0

    @classmethod
    def parse(cls, text: str) -> Chunking:
        """``units``, ``units:64``, ``fixed:800/400``, ``recursive:400``. Raises ConfigError."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"`{text}` is not a chunking; use units, units:SIZE, fixed:SIZE/OVERLAP or "
                "recursive:SIZE."
            )
        kind: Kind = found[1]  # type: ignore[assignment]  # the pattern has only these
        size, overlap = int(found[2] or 0), int(found[3] or 0)
        if kind == "units" and not found[2]:
            size = UNIT_TOKENS
        if size < 1 or overlap >= size or (overlap and kind != "fixed"):
            raise ConfigError(
                f"`{text}` is not a chunking: a size is at least 1, and an overlap, which only "
                "fixed has, is smaller than it."
            )
        return cls(kind, size, overlap)

    def __str__(self) -> str:
        if self.kind == "fixed":
            return f"fixed:{self.size}/{self.overlap}"
        if self == Chunking("units", UNIT_TOKENS):
            return "units"
        return f"{self.kind}:{self.size}"


def fixed_windows(document: Document, starts: Offsets, size: int, overlap: int) -> Iterable[Span]:
    """Windows of so many tokens, the last one shorter. ``starts`` are the tokens of the text."""
    count = len(starts)
    for first in range(0, count, size - overlap):
        last = first + size
        end = int(starts[last]) if last < count else len(document.text)
        start = int(starts[first])
        if end > start:  # a character of several tokens may fill a window
            yield Span(document.name, start, end)
        if last >= count:
            return
