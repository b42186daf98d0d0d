"""The folder of one kernel as the service sees it: what was placed in it, what code has made of it.

One of these belongs to one kernel, for as long as that lives. All methods block on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localassist.sandbox.changes import Snapshot, Stamp, stamp_of, take_snapshot
from localassist.sandbox.files import opened_folder, put_file, put_link
from localassist.sandbox.names import readable
from localassist.services.code_layout import Placed

_MORE_ENTRIES = 100
_WHY_NOT = {
    "link": "links are not kept",
    "hard link": "files with several hard links are not kept",
    "special": "only regular files are kept",
}
_NAMED_IN_A_NOTE = 3


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed: paths of files to keep, the oldest first; readable paths that have gone;
    and sentences about what is not kept."""

    files: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seen: Snapshot = field(default_factory=Snapshot)
    """All that was there."""


class CodeFolder:
    """``data`` is the folder that code sees as ``/mnt/data``."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._known: set[tuple[str, str]] = set()
        self._stamps: dict[str, Stamp] = {}
        self._left_out: frozenset[str] = frozenset()
        self.given_bytes = 0
        """The size of all that was placed, which code may use beside its own."""

    def missing(self, wanted: Mapping[str, Placed]) -> dict[str, Placed]:
        """What is to be placed: what was placed before stays as code has left it."""
        return {p: w for p, w in wanted.items() if (p, w.file.id) not in self._known}

    def place(self, missing: Mapping[str, Placed], path_of: Callable[[str], Path]) -> list[str]:
        """Put files in place. ``path_of`` is where a content lies, by its SHA-256. Returns
        sentences about what could not be placed."""
        notes: list[str] = []
        try:
            with opened_folder(self.data) as folder:
                owner = os.fstat(folder).st_uid if os.geteuid() == 0 else None
                for path, placed in missing.items():
                    try:
                        status = self._put(folder, path, placed, path_of, owner)
                    except OSError as error:
                        notes.append(f"{shown(path)} could not be put in place: {error.strerror}.")
                    else:
                        self._known.add((path, placed.file.id))
                        self._stamps[path] = stamp_of(status)
        except OSError as error:
            notes.append(f"No files could be put in place: {error.strerror}.")
        return notes

    def _put(
        self,
        folder: int,
        path: str,
        placed: Placed,
        path_of: Callable[[str], Path],
        owner: int | None,
    ) -> os.stat_result:
        if placed.link_to is not None:
            return put_link(folder, path, placed.link_to, owner=owner)
        file = placed.file
        source = path_of(file.blob.sha256)
        status = put_file(folder, path, source, owner=owner, changed_at=file.created_at)
        self.given_bytes += status.st_size
        return status

    def changes(self, *, max_entries: int, max_files: int) -> Changes:
        """What has changed since what was seen last, or was placed. Raises OSError when the folder
        cannot be read."""
        room = max_entries + len(self._known) + _MORE_ENTRIES
        with opened_folder(self.data) as folder:
            now = take_snapshot(folder, max_entries=room)
        before = Snapshot(self._stamps)
        gone = now.gone_since(before)
        files: list[str] = []
        refused: dict[str, list[str]] = {}
        for path in now.changed_since(before):
            kind = now.stamps[path].kind
            if kind == "file":
                files.append(path)
            else:
                refused.setdefault(_WHY_NOT[kind], []).append(path)
        if len(files) > max_files:
            refused[f"at most {max_files} files are kept after one piece of code"] = files[
                max_files:
            ]
        deep = [path for path in now.left_out if path not in self._left_out]
        if deep:
            refused["it is too deep, too much, or closed"] = deep
        return Changes(
            tuple(files[:max_files]),
            tuple(readable(path) for path in gone),
            tuple(_note(reason, paths) for reason, paths in refused.items()),
            now,
        )

    def accept(self, changes: Changes, kept: Mapping[str, str]) -> None:
        """The changes were dealt with. ``kept`` are files by readable path: they need not be placed
        here."""
        self._stamps = dict(changes.seen.stamps)
        self._left_out = frozenset(changes.seen.left_out)
        self._known.update(kept.items())


def shown(path: str) -> str:
    """A path for a sentence: on one line, and not too long."""
    name = "".join(char if char.isprintable() else "�" for char in readable(path))
    return name if len(name) <= 80 else f"{name[:40]}…{name[-39:]}"


def _note(reason: str, paths: list[str]) -> str:
    names = ", ".join(shown(path) for path in paths[:_NAMED_IN_A_NOTE])
    more = len(paths) - _NAMED_IN_A_NOTE
    return f"Not kept: {names}{f' and {more} more' if more > 0 else ''} ({reason})."
