"""Search results made by hand."""

from __future__ import annotations

from collections.abc import Sequence

from localassist.retrieval.passages import Passage, ScoreParts, UnitHit
from localassist.tools.file_search import Result, number

HANDBOOK = (
    "The warehouse in Lyon opened in March 2011. It has 40 loading docks and employs 250 people. "
    "Visitors report at gate 3."
)
BIOGRAPHY = (
    "Dr. Ada Breuer was born in Bremen in 1893. She invented the turbo lathe\nin 1923. "
    "The patent was granted to her brother, Emil Breuer, who sold it for 12,000 marks."
)
MENU = "On Tuesdays the canteen serves “soup of the day”. Coffee is free for employees."


def passage(
    text: str,
    name: str = "file",
    *,
    place: str = "",
    fused: float = 1.0,
    cosine: float = 0.5,
    start: int = 0,
) -> Passage:
    """A passage that one unit fills."""
    parts = ScoreParts(cosine, cosine, cosine, 1.0, 1.0, 1.0)
    hit = UnitHit(f"file-{name}", 0, start, start + len(text), fused, 0.9, parts)
    end = start + len(text)
    return Passage(f"file-{name}", f"{name}.pdf", start, end, text, 0.9, place, 10, (hit,))


def results(*texts: str) -> list[Result]:
    """Results of one search; their files are called a, b, c…"""
    return number([passage(text, chr(ord("a") + at)) for at, text in enumerate(texts)], 4)


def all_texts(found: Sequence[Result]) -> str:
    return "\n".join(result.passage.text for result in found)
