"""Search results as a turn sees them: numbered, shown to a model, cited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localassist.retrieval.passages import Passage
from localassist.tools.evidence.words import Span

HOW_TO_CITE = (
    "Answer from these passages. Behind each statement taken from one, write its marker, such as "
    "{marker}. What you quote word for word goes between “ and ”, with the marker right behind. If "
    "the passages do not hold the answer, say so."
)
_NOTHING = "No passages were found."
# What delimits quotations and markers is kept for that.
_RESERVED = str.maketrans("“”【】", '""[]')


@dataclass(frozen=True, slots=True)
class Result:
    """A passage and the marker that cites it, such as ``【4:0†source】``."""

    marker: str
    passage: Passage


@dataclass(frozen=True, slots=True)
class Citation:
    """One ``file_citation``: ``text`` is the marker, at code points ``start`` to ``end`` of the
    piece of text it came with; ``quote`` is the file's own text that it points to, ``place`` the
    label of where that stands, empty where it is not known."""

    text: str
    start: int
    end: int
    file_id: str
    quote: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Cited:
    """A piece of an answer. Every marker in ``citations`` stands whole in ``text``."""

    text: str
    citations: tuple[Citation, ...] = ()


def number(passages: Sequence[Passage], turn: int) -> list[Result]:
    """The passages with their markers; ``turn`` is the same for all results of one search and
    differs between the searches of a run."""
    return [Result(f"【{turn}:{at}†source】", passage) for at, passage in enumerate(passages)]


def render(results: Sequence[Result], unread: int = 0) -> str:
    """The output of a search for a model that writes its answer itself: how to cite, then each
    passage behind its marker, file name and place. ``unread`` files could not be searched yet."""
    if not results:
        return f"{_NOTHING} {still_read(unread)}" if unread else _NOTHING
    shown = [HOW_TO_CITE.format(marker=results[0].marker)]
    shown += [f"{r.marker} {source_of(r.passage)}\n{r.passage.text}" for r in results]
    return "\n\n".join(shown)


def still_read(unread: int) -> str:
    """That files could not be searched yet."""
    return "1 file is still being read." if unread == 1 else f"{unread} files are still being read."


def source_of(passage: Passage, span: Span | None = None) -> str:
    """For people: ``handbook.pdf, page 3``; the place is that of a stretch of its text, where one
    is given."""
    return ", ".join(part for part in (passage.filename, _place_of(passage, span)) if part)


def citation_of(result: Result, span: Span | None) -> Citation:
    """The marker alone, with the stretch of the passage that it points to; without one it points to
    the passage as a whole."""
    passage = result.passage
    quote = "" if span is None else passage.text[span.start : span.end]
    place = _place_of(passage, span)
    return Citation(result.marker, 0, len(result.marker), passage.file_id, quote, place)


def _place_of(passage: Passage, span: Span | None) -> str:
    """Where a passage names no places, its one place is that of its best unit."""
    if span is None:
        return passage.place
    if passage.places:
        return passage.place_of(span.start)
    best = passage.hits[0] if passage.hits else None
    start, end = passage.start + span.start, passage.start + span.end
    return passage.place if best is None or (best.start < end and start < best.end) else ""


def spoken(text: str) -> str:
    """A stretch of a file as a quotation says it: white space as single spaces, and marks that
    delimit quotations and markers as plain ones."""
    return " ".join(text.translate(_RESERVED).split())
