"""Which file lies where in the folder of a thread's code. Touches no disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from localassist.sandbox.names import free_name, safe_name
from localassist.storage.code_files import StoredFile


@dataclass(frozen=True, slots=True)
class Placed:
    """What lies at a path: a file of its own, or, with ``link_to``, a link to another path."""

    file: StoredFile
    link_to: str | None = None


def named(files: Sequence[StoredFile], folders: Iterable[str] = ()) -> dict[str, StoredFile]:
    """Files that are given to code, by the name each has there, in their order. ``folders`` are
    names that code has given to folders."""
    taken = set(folders)
    found: dict[str, StoredFile] = {}
    for file in files:
        name = free_name(safe_name(file.filename), taken)
        taken.add(name)
        found[name] = file
    return found


def layout(
    files: Sequence[StoredFile], written: Mapping[str, StoredFile]
) -> tuple[dict[str, StoredFile], dict[str, Placed]]:
    """What code finds by path: the given files, then those that earlier code has written; where
    both have a path, the file that was made later has it. And all that has to be placed for that:
    a given file has its id as a second name, a link, or, where code has written over it, a copy of
    its own."""
    given = named(files, {path.partition("/")[0] for path in written if "/" in path})
    found = {**given, **written}
    for path in given.keys() & written.keys():
        found[path] = max(given[path], written[path], key=lambda file: file.age)
    placed = {path: Placed(file) for path, file in found.items()}
    for path, file in given.items():
        link_to = path if found[path].id == file.id else None
        placed.setdefault(file.id, Placed(file, link_to))
    return found, placed
