"""Which part of a dump is the content of which file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from localassist import clock
from localassist.archive.documents import PRINTED, is_printed
from localassist.archive.export_file import CONTENTS, MANIFEST
from localassist.archive.reading import Reading
from localassist.archive.sources import Part, Source
from localassist.schemas.files import File

_LOOKED_AT = 200
_HEAD_CHARACTERS = 4096


def find_contents(
    source: Source,
    reading: Reading,
    files: dict[str, File],
    named_files: Collection[str],
    contents: dict[str, Part],
    notes: list[str],
) -> None:
    """Fill ``contents``, and ``files`` with those that are named and of which there is nothing but
    a content. Contents lie in an export under their SHA-256, in a dump beside the JSON: under the
    id of their file or in a folder of that name, or under its name with its size."""
    by_name = {part.name: part for part in reading.contents}
    for file_id, known in reading.declared.items():
        part = by_name.get(f"{CONTENTS}{known.get('sha256')}")
        if part is not None and file_id in files:
            contents[file_id] = part
    matched = {MANIFEST, *(part.name for part in contents.values())}
    shelf = _Shelf(part for part in reading.contents if part.name not in matched)
    for file_id in sorted({*files, *named_files} - set(contents)):
        part = shelf.of_id(file_id)
        if part is None:
            continue
        contents[file_id] = part
        if file_id not in files:
            name = PurePosixPath(part.name).name
            files[file_id] = File(
                id=file_id,
                bytes=part.size_bytes,
                created_at=clock.now(),
                filename=name,
                purpose="assistants",
            )
    for file_id, file in files.items():
        if file_id not in contents:
            part = shelf.of_name(file.filename, file.bytes)
            if part is not None:
                contents[file_id] = part
    used = {part.name for part in contents.values()} | reading.spoken_for
    unused = [part for part in shelf.parts if part.name not in used]
    if unused:
        notes.append(f"{len(unused)} files in it belong to no file object, and are left out.")
    for part in unused[:_LOOKED_AT]:
        if _is_printed_objects(source, part):
            reading.refuse(part.name, PRINTED)


def _is_printed_objects(source: Source, part: Part) -> bool:
    """Whether somebody has printed objects of the API into a text file."""
    head = next(iter(source.chunks(part)), b"").decode(errors="replace")[:_HEAD_CHARACTERS]
    is_object = any(mark in head for mark in ("object='", "'object': '"))
    return is_object and is_printed(head)


class _Shelf:
    """Contents by what they are called."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.parts = list(parts)
        self._by_word: dict[str, list[Part]] = {}
        self._by_name: dict[str, list[Part]] = {}
        for part in self.parts:
            path = PurePosixPath(part.name)
            self._by_name.setdefault(path.name, []).append(part)
            heads = {path.stem, path.name, *path.parent.parts}
            heads |= {path.name.partition(mark)[0] for mark in ("_", ".", " ", "__")}
            for word in heads:
                self._by_word.setdefault(word, []).append(part)

    def of_id(self, file_id: str) -> Part | None:
        found = self._by_word.get(file_id, ())
        return found[0] if len(found) == 1 else None

    def of_name(self, filename: str, size_bytes: int) -> Part | None:
        found = self._by_name.get(filename, ())
        fitting = [part for part in found if part.size_bytes == size_bytes]
        if size_bytes == 0 and len(found) == 1:
            return found[0]
        return fitting[0] if fitting else None
