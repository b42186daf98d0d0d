"""What readers see of an answer: images, text, and the citations and links to files in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localassist.runs.changes import Shown
from localassist.runs.recorder import OpenMessage, Piece
from localassist.schemas.messages import CitedFile, FileCitation, FilePath, FileReference
from localassist.tools.code_interpreter.links import FileLink, Linked, LinkReader
from localassist.tools.file_search import Citation, CitationReader, Cited

Annotated = Cited | Linked
"""A piece of text with citations or with links to files."""


@dataclass(frozen=True, slots=True)
class Annotator:
    """Reads an answer as it comes: for citations of what was searched, and then for links to files
    of the code interpreter. Either may be missing."""

    citations: CitationReader | None = None
    links: LinkReader | None = None

    @property
    def has_readers(self) -> bool:
        """Whether pieces may be held back, cut anew or changed."""
        return self.citations is not None or self.links is not None

    def feed(self, text: str) -> list[Annotated]:
        """What can be shown now."""
        cited = [Cited(text)] if self.citations is None else self.citations.feed(text)
        return [piece for one in cited for piece in self._linked(one)]

    def finish(self) -> list[Annotated]:
        """The rest, once the answer is over."""
        cited = [] if self.citations is None else self.citations.finish()
        pieces = [piece for one in cited for piece in self._linked(one)]
        return [*pieces, *self._held()]

    def _linked(self, cited: Cited) -> list[Annotated]:
        if self.links is None:
            return [cited]
        if not cited.citations:
            return [*self.links.feed(cited.text)]
        # No address goes on behind a citation.
        return [*self._held(), cited]

    def _held(self) -> list[Annotated]:
        return [] if self.links is None else [*self.links.finish()]


class AnnotatedText:
    """What readers have been shown of a message: places of annotations are counted in it."""

    def __init__(self, opened: OpenMessage | None = None, images: Sequence[str] = ()) -> None:
        """``images`` are those of a message that is not open yet."""
        self._parts = [opened.text] if opened is not None else []
        self._length = sum(map(len, self._parts))
        self._annotations: list[Mapping[str, Any]] = []
        self.images = tuple(images)
        if opened is not None:
            self._annotations += opened.annotations
            self.images = opened.images

    def add(self, said: Annotated, token_ids: tuple[int, ...] = ()) -> Piece:
        """The next piece, with its annotations in wire form."""
        first = len(self._annotations)
        if isinstance(said, Cited):
            added = [_citation(citation, self._length) for citation in said.citations]
        else:
            added = [_path(link, self._length) for link in said.links]
        self._parts.append(said.text)
        self._length += len(said.text)
        self._annotations += added
        return Piece(said.text, token_ids, tuple(added), first)

    @property
    def is_empty(self) -> bool:
        """No text has been shown yet."""
        return self._length == 0

    @property
    def shown(self) -> Shown:
        return Shown("".join(self._parts), tuple(self._annotations), self.images)


def _citation(citation: Citation, offset: int) -> dict[str, Any]:
    return FileCitation(
        text=citation.text,
        start_index=offset + citation.start,
        end_index=offset + citation.end,
        file_citation=CitedFile(
            file_id=citation.file_id, quote=citation.quote, place=citation.place or None
        ),
    ).dump()


def _path(link: FileLink, offset: int) -> dict[str, Any]:
    return FilePath(
        text=link.text,
        start_index=offset + link.start,
        end_index=offset + link.end,
        file_path=FileReference(file_id=link.file_id),
    ).dump()
