"""A folder of files into documents, by the parsers that vector stores use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from localassist.errors import ConfigError, RetrievalError
from localassist.evaluation.compare import Progress
from localassist.evaluation.corpus import Document
from localassist.retrieval.config import RetrievalSettings
from localassist.retrieval.parsing import ParserPool

Unreadable = tuple[str, str]
"""A file that was left out, and why."""


async def read_corpus(
    path: Path, settings: RetrievalSettings, on_progress: Progress
) -> tuple[list[Document], list[Unreadable]]:
    """A file, or all files below a folder, but hidden ones. Raises ConfigError when nothing of it
    can be read."""
    files = await asyncio.to_thread(_files, path)
    documents: list[Document] = []
    unreadable: list[Unreadable] = []
    pool = ParserPool(settings)
    try:
        for done, (name, file) in enumerate(files):
            on_progress("Reading", done, len(files))
            try:
                documents.append(Document(name, await pool.parse(file, file.name)))
            except RetrievalError as error:
                unreadable.append((name, " ".join(error.message.split())))
    finally:
        await pool.close()
    on_progress("Reading", len(files), len(files))
    if not documents:
        first = f" {unreadable[0][0]}: {unreadable[0][1]}" if unreadable else ""
        raise ConfigError(f"{path} holds no file that can be read.{first}")
    return documents, unreadable


def _files(path: Path) -> list[tuple[str, Path]]:
    """Files by the name that questions know them by: their path below the folder."""
    if path.is_file():
        return [(path.name, path)]
    if not path.is_dir():
        raise ConfigError(f"There is no file or folder {path}.")
    return sorted((file.relative_to(path).as_posix(), file) for file in _visible(path))


def _visible(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _visible(entry)
        elif entry.is_file():
            yield entry
