"""A bundle as one ``.tar`` of which every byte is known: content by hash, the rest by its form.

Entries are plain files without owners, in the order of the sums. Reading one refuses any other
form, so a byte that was changed is noticed wherever it lies. ``tar xf`` unpacks it.

Standard library only: the installer's side uses it too.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from localassist.disk import chunks
from localassist.errors import BundleError

BLOCK = tarfile.BLOCKSIZE
_END_BYTES = 2 * BLOCK
_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the tar: its path below the top folder, and where its content lies."""

    path: str
    offset: int
    size_bytes: int


def header(name: str, size_bytes: int, *, is_program: bool, changed_at: int) -> bytes:
    """What stands before a file's content."""
    info = tarfile.TarInfo(name)
    info.size = size_bytes
    info.mode = 0o755 if is_program else 0o644
    info.mtime = changed_at
    return info.tobuf(tarfile.GNU_FORMAT)


def padding(size_bytes: int) -> int:
    """How many zeros follow a file's content."""
    return -size_bytes % BLOCK


class TarWriter:
    """Writes entries one after the other, and the end when all are there."""

    def __init__(self, out: IO[bytes], top: str, changed_at: int) -> None:
        self._out = out
        self._top = top
        self._changed_at = changed_at

    def add(
        self, path: str, source: Path, *, is_program: bool = False, on_bytes: Callable[[int], None]
    ) -> None:
        """Copy a file in; ``on_bytes`` gets the count of each piece written."""
        size_bytes = source.stat().st_size
        name = f"{self._top}/{path}"
        self._out.write(
            header(name, size_bytes, is_program=is_program, changed_at=self._changed_at)
        )
        written = 0
        with source.open("rb") as file:
            for chunk in chunks(file, size_bytes):
                self._out.write(chunk)
                written += len(chunk)
                on_bytes(len(chunk))
        if written != size_bytes:
            raise BundleError(f"{source} became shorter while it was packed.")
        self._out.write(b"\0" * padding(size_bytes))

    def end(self) -> None:
        self._out.write(b"\0" * _END_BYTES)


class TarReader:
    """The entries of a bundle's tar. Raises BundleError that says which entry is damaged, and
    ``NotABundle`` where the first one is none."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self.top = ""
        self._size_bytes = file.seek(0, 2)
        file.seek(0)

    def entries(self, expected: Callable[[int], str | None]) -> Iterator[Entry]:
        """Every entry in order. ``expected`` says which path should come at a position, None where
        that is not known (yet): it names the damaged one when a header cannot be read."""
        offset = count = 0
        while True:
            if self._is_end(offset):
                return
            entry, offset = self._entry(offset, expected(count))
            yield entry
            self._check_padding(entry)
            count += 1

    def _is_end(self, offset: int) -> bool:
        """Whether the tar ends here, as it should; BundleError where it ends otherwise."""
        left = self._size_bytes - offset
        self._file.seek(offset)
        block = self._file.read(BLOCK)
        if block.strip(b"\0"):
            return False
        if left < _END_BYTES:
            raise _cut_short(self._name)
        if left > _END_BYTES or self._file.read(BLOCK).strip(b"\0"):
            raise BundleError(f"{self._name} was changed: its end is not that of a bundle.")
        return True

    def _entry(self, offset: int, expected: str | None) -> tuple[Entry, int]:
        self._file.seek(offset)
        try:
            info = _read_header(self._file)
        except (tarfile.TarError, ValueError) as error:
            if self._size_bytes - offset < BLOCK:
                raise _cut_short(self._name) from error
            if expected is None:
                raise BundleError(
                    f"{self._name} was changed: behind its last file is what no bundle has."
                ) from error
            raise BundleError(
                f"{expected} was changed in {self._name}: it has no entry."
            ) from error
        top, _, path = info.name.partition("/")
        self.top = self.top or top
        if not path or top != self.top or not info.isreg() or info.size < 0:
            raise BundleError(f"{self._name} was changed: {info.name} is no file of a bundle.")
        canonical = header(
            info.name, info.size, is_program=bool(info.mode & 0o100), changed_at=int(info.mtime)
        )
        self._file.seek(offset)
        if self._file.read(len(canonical)) != canonical:
            raise BundleError(
                f"{path} was changed in {self._name}: its entry is not as a bundle's. One "
                "that another program has packed anew can be checked as a folder."
            )
        start = offset + len(canonical)
        end = start + info.size + padding(info.size)
        if end > self._size_bytes:
            raise BundleError(f"{self._name} is cut short: it ends in the middle of {path}.")
        return Entry(path, start, info.size), end

    def _check_padding(self, entry: Entry) -> None:
        self._file.seek(entry.offset + entry.size_bytes)
        if self._file.read(padding(entry.size_bytes)).strip(b"\0"):
            raise BundleError(f"{entry.path} was changed in {self._name}: behind its content.")


def _read_header(file: IO[bytes]) -> tarfile.TarInfo:
    """The header that comes next; a name that is too long for it stands in a block of its own.
    Raises TarError."""
    info = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "surrogateescape")
    if info.type != tarfile.GNUTYPE_LONGNAME:
        return info
    if not 0 < info.size <= _LONGEST_NAME:
        raise tarfile.HeaderError("a name without end")
    name = file.read(info.size + padding(info.size))[: info.size]
    info = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "surrogateescape")
    info.name = name.rstrip(b"\0").decode("utf-8", "surrogateescape")
    return info


def _cut_short(name: str) -> BundleError:
    return BundleError(f"{name} is cut short: its end is missing.")
