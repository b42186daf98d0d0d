"""What a file says, and where in the file it says it. Plain data that every stage shares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where ``text[start:end]`` of a document stands in its file. Offsets are code points.

    ``page`` and ``slide`` count from 1, ``heading`` is the path of headings above the text, joined
    by `` › ``. A field is None where the format has no such thing.
    """

    start: int
    end: int
    page: int | None = None
    slide: int | None = None
    sheet: str | None = None
    heading: str | None = None

    def label(self) -> str:
        """For people: ``page 3``, ``slide 2``, ``sheet Prices``, ``section Setup › Linux``; empty
        where nothing is known."""
        if self.page is not None:
            return f"page {self.page}"
        if self.slide is not None:
            return f"slide {self.slide}"
        if self.sheet is not None:
            return f"sheet {self.sheet}"
        return f"section {self.heading}" if self.heading else ""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """The text of a file. ``places`` are in order, do not overlap and may leave gaps;
    ``language`` is an ISO 639-1 code, empty where it cannot be told."""

    text: str
    places: tuple[Place, ...] = ()
    language: str = ""
