"""Bytes through the parsers, in this process."""

from __future__ import annotations

import tempfile
from pathlib import Path

from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.parsers.reading import read_document


def read(content: bytes, filename: str, max_characters: int = 1_000_000) -> ParsedDocument:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blob"
        path.write_bytes(content)
        return read_document(path, filename, max_characters)


def place_of(document: ParsedDocument, text: str) -> str:
    """The label of the place where ``text`` stands, which it must."""
    at = document.text.index(text)
    return next((p.label() for p in document.places if p.start <= at < p.end), "")
