"""Documents with their texts, and questions whose references have been found in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from localassist.errors import ConfigError
from localassist.evaluation.excerpts import SpacelessText, compact
from localassist.evaluation.questions import Question, Reference
from localassist.evaluation.spans import Span
from localassist.retrieval.documents import ParsedDocument


@dataclass(frozen=True)
class Document:
    """A parsed file under the name by which questions and figures know it."""

    name: str
    parsed: ParsedDocument

    @property
    def text(self) -> str:
        return self.parsed.text

    @cached_property
    def spaceless(self) -> SpacelessText:
        return SpacelessText(self.text)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question whose answer is known: ``references`` are spans of documents (none where only
    relevant documents are known), ``relevant`` the documents that answer it."""

    question: Question
    references: tuple[Span, ...]
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class NotFound:
    """An answer that is not in the corpus as the parsers read it."""

    question: Question
    what: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched, what is asked, and what was wrong with either. ``unreadable`` are files
    that were left out, with the reason."""

    name: str
    documents: tuple[Document, ...]
    asked: tuple[Asked, ...]
    not_found: tuple[NotFound, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = field(default=())


def pose(
    name: str,
    documents: Sequence[Document],
    questions: Iterable[Question],
    unreadable: Sequence[tuple[str, str]] = (),
) -> Problem:
    """Find what the questions refer to. A question counts if anything it refers to was found; what
    was not found is kept by name. Raises ConfigError when nothing is left to ask."""
    by_name = _by_name(documents)
    asked, not_found = [], []
    for question in questions:
        spans = []
        relevant = set()
        for reference in question.references:
            span = _locate(reference, documents, by_name)
            if span is None:
                not_found.append(NotFound(question, _describe(reference)))
            else:
                spans.append(span)
        for wanted in question.documents:
            document = by_name.get(wanted)
            if document is None:
                not_found.append(NotFound(question, f"the document {wanted}"))
            else:
                relevant.add(document.name)
        relevant |= {span.document for span in spans}
        if relevant:
            asked.append(Asked(question, tuple(spans), frozenset(relevant)))
    if not asked:
        first = f" The first: {not_found[0].what}." if not_found else ""
        raise ConfigError(f"Nothing the questions refer to was found in the documents.{first}")
    return Problem(name, tuple(documents), tuple(asked), tuple(not_found), tuple(unreadable))


def _by_name(documents: Sequence[Document]) -> dict[str, Document]:
    """By full name, and by shorter names that mean only one: without folders, without suffix."""
    found: dict[str, Document] = {}
    ambiguous = set()
    for document in documents:
        path = Path(document.name)
        for short in {path.name, path.stem, str(path.with_suffix(""))} - {document.name}:
            if short in found:
                ambiguous.add(short)
            found[short] = document
    for short in ambiguous:
        del found[short]
    return found | {document.name: document for document in documents}


def _locate(
    reference: Reference, documents: Sequence[Document], by_name: dict[str, Document]
) -> Span | None:
    """Where a reference stands: its own offsets if they hold its content, else the first place
    where its content stands."""
    if reference.document:
        named = by_name.get(reference.document)
        documents = () if named is None else (named,)
    start, end = reference.start, reference.end
    if start is not None and end is not None and len(documents) == 1:
        found = documents[0].text[start:end] if 0 <= start < end <= len(documents[0].text) else ""
        if found.strip() and compact(reference.content) in ("", compact(found)):
            return Span(documents[0].name, start, end)
    for document in documents:
        place = document.spaceless.find(reference.content)
        if place is not None:
            return Span(document.name, *place)
    return None


def _describe(reference: Reference) -> str:
    content = " ".join(reference.content.split())
    if len(content) > 80:
        content = content[:77] + "…"
    text = f"“{content}”" if content else f"the place {reference.start}–{reference.end}"
    return f"{text} in {reference.document}" if reference.document else text
