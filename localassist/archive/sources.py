"""Where an import comes from: a folder, a zip archive, a tar archive, or one file of JSON.

Nothing is ever unpacked to a path that a source names: parts are read as streams, and their names
only say what they are.
"""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

from localassist.archive.plain_tar import PlainTarInfo
from localassist.errors import ConfigError

_MOST_PARTS = 1_000_000
CHUNK_BYTES = 1 << 20
_ZIP = b"PK\x03\x04"
# gzip, bzip2, xz, zstd, 7z and rar, by how they begin.
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zX", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!")
# What the libraries raise for damage; of OSError, those of bz2 and gzip.
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError)


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a source, by its path in it, with ``/``."""

    name: str
    size_bytes: int


class Source(Protocol):
    """An open source. ``read`` raises ConfigError for a part that cannot be read."""

    def parts(self) -> list[Part]:
        """All files, in the order of their names, of which numbers are counted: 2 before 10."""
        ...

    def chunks(self, part: Part) -> Iterator[bytes]:
        """The bytes of a part; never more than its size."""
        ...


@contextmanager
def opened_source(path: Path) -> Iterator[Source]:
    """Raises ConfigError when it is nothing that can be read."""
    with ExitStack() as stack:
        try:
            source = _open(path, stack)
        except _DAMAGE as error:
            raise ConfigError(f"{path} is damaged: {error}.") from error
        except (NotImplementedError, RuntimeError, UnicodeError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read: {error}.") from error
        yield source


def read_part(source: Source, part: Part) -> bytes:
    """All of a part."""
    return b"".join(source.chunks(part))


def _open(path: Path, stack: ExitStack) -> Source:
    if path.is_dir():
        return _Folder(path)
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    if zipfile.is_zipfile(path):
        return _Zip(stack.enter_context(zipfile.ZipFile(path)))
    if path.suffix.lower() not in (".json", ".jsonl", ".ndjson") and tarfile.is_tarfile(path):
        return _Tar(stack.enter_context(tarfile.open(path, tarinfo=PlainTarInfo)))
    if head == _ZIP:
        raise ConfigError(f"{path} is a zip archive that is cut short or damaged at its end.")
    if head.startswith(_COMPRESSED):
        raise ConfigError(f"{path} is compressed, and no archive that is read here: unpack it.")
    return _File(path)


class _Folder:
    """Links are not followed: they may lead out of the folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def parts(self) -> list[Part]:
        found = [path for path in self._path.rglob("*") if path.is_file() and not path.is_symlink()]
        _check_number(len(found))
        parts = [
            Part(path.relative_to(self._path).as_posix(), path.stat().st_size) for path in found
        ]
        return sorted(parts, key=lambda part: _counted(part.name))

    def chunks(self, part: Part) -> Iterator[bytes]:
        path = self._path / part.name
        try:
            file = path.open("rb")
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
        with file:
            yield from _limited(file, part)


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        _check_number(len(self._infos))

    def parts(self) -> list[Part]:
        return [
            Part(name, self._infos[name].file_size) for name in sorted(self._infos, key=_counted)
        ]

    def chunks(self, part: Part) -> Iterator[bytes]:
        try:
            file = self._archive.open(self._infos[part.name])
        except (RuntimeError, NotImplementedError) as error:
            raise ConfigError(f"{part.name} cannot be read: {error}.") from error
        except _DAMAGE as error:
            raise _damaged(part, error) from error
        with file:
            yield from _limited(file, part)


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members: dict[str, tarfile.TarInfo] = {}
        for count, member in enumerate(archive):
            _check_number(count)  # before there are too many to remember
            if member.isreg():
                self._members[member.name] = member
        file = cast(IO[bytes], archive.fileobj)
        while file.read(CHUNK_BYTES):
            pass  # compressed ones compare their checksum when they come to the end

    def parts(self) -> list[Part]:
        return [
            Part(name, self._members[name].size) for name in sorted(self._members, key=_counted)
        ]

    def chunks(self, part: Part) -> Iterator[bytes]:
        file = self._archive.extractfile(self._members[part.name])
        yield from _limited(cast(IO[bytes], file), part)


class _File:
    """One file, which is the only part."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def parts(self) -> list[Part]:
        return [Part(self._path.name, self._path.stat().st_size)]

    def chunks(self, part: Part) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            yield from _limited(file, part)


def _counted(name: str) -> list[tuple[int, str]]:
    """A key to sort names by. Every second piece is a number, longer ones come later."""
    pieces = re.split(r"([0-9]+)", name)
    pieces[1::2] = [number.lstrip("0") for number in pieces[1::2]]
    return [(len(piece) if place % 2 else 0, piece) for place, piece in enumerate(pieces)]


def _damaged(part: Part, error: Exception) -> ConfigError:
    return ConfigError(f"{part.name} is damaged or cannot be read: {error}.")


def _limited(file: IO[bytes], part: Part) -> Iterator[bytes]:
    left = part.size_bytes
    while chunk := _next_chunk(file, part, left):
        left -= len(chunk)
        yield chunk
    if left:
        raise ConfigError(f"{part.name} is cut short: {left} bytes are missing.")


def _next_chunk(file: IO[bytes], part: Part, left: int) -> bytes:
    """What comes next, empty at the end. Only the reading is guarded: what becomes of a chunk may
    fail in its own way."""
    try:
        if left > 0:
            return file.read(min(CHUNK_BYTES, left))
        file.read(1)  # a zip compares its checksum when it comes to the end
        return b""
    except _DAMAGE as error:
        raise _damaged(part, error) from error


def _check_number(count: int) -> None:
    if count > _MOST_PARTS:
        raise ConfigError(f"There are {count:,} files in it; at most {_MOST_PARTS:,} are read.")
