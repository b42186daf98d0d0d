"""The file of a backup: a tar whose first member says what it is, and whose last sums all others.

``backup.json`` comes first, then the files of the data folder below ``data/``, then
``manifest.json`` with the size and SHA-256 of each. A file that was cut short has no manifest, and
a byte that changed is found in the part that holds it.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from localassist.archive.plain_tar import PlainTarInfo
from localassist.errors import ConfigError, StorageCorrupt

HEAD, MANIFEST, DATA = "backup.json", "manifest.json", "data/"
DATABASE = "data/localassist.db"
VERSION = 1
_CHUNK_BYTES = 1 << 20
_LONGEST_JSON_BYTES = 256 * 2**20

Model = TypeVar("Model", bound=BaseModel)
Progress = Callable[[str, int, int], None]
"""Told what is being done, and how many bytes of how many are done."""


class Head(BaseModel):
    """What a backup is. ``home`` is where its data folder lay, ``schema_revision`` None without a
    database. ``missing`` are contents that rows name and that the folder itself had lost."""

    model_config = ConfigDict(frozen=True)

    format: Literal["localassist-backup"]
    version: int
    localassist: str
    created_at: int
    home: str
    schema_revision: str | None
    files: int
    bytes: int
    counts: dict[str, int]
    missing: list[str]


class Part(BaseModel):
    """A file in a backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str


class Manifest(BaseModel):
    """All files by name, as they stand below ``data/``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, Part]


class BackupWriter:
    """Writes one backup; ``finish`` ends it."""

    def __init__(self, file: IO[bytes], *, compress: bool) -> None:
        if compress:
            self._tar = tarfile.open(fileobj=file, mode="w:gz", compresslevel=6)
        else:
            self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)
        self._parts: dict[str, Part] = {}

    def head(self, head: Head) -> None:
        self._json(HEAD, head.model_dump_json(indent=1))

    def add(self, name: str, path: Path, size_bytes: int, on_bytes: Callable[[int], None]) -> str:
        """Add a file that does not change; its SHA-256. Raises OSError."""
        with path.open("rb") as file:
            reader = _Hashing(file, on_bytes)
            self._tar.addfile(_info(name, size_bytes), reader)
        self._parts[name] = Part(bytes=size_bytes, sha256=reader.sha256)
        return reader.sha256

    def finish(self) -> None:
        self._json(MANIFEST, Manifest(files=self._parts).model_dump_json())
        self._tar.close()

    def _json(self, name: str, text: str) -> None:
        content = text.encode()
        self._tar.addfile(_info(name, len(content)), io.BytesIO(content))


class BackupReader:
    """Reads one backup from its beginning to its end. Everything it finds wrong is
    StorageCorrupt."""

    def __init__(self, tar: tarfile.TarFile, path: Path) -> None:
        self._tar = tar
        self._path = path
        self._last = "its beginning"
        self.head = self._read_head()

    def parts(self, into: Path | None, keep: Callable[[str], bool], progress: Progress) -> Manifest:
        """Read every part, check all, and write those that ``keep`` wants below ``into``. Raises
        OSError when ``into`` cannot be written."""
        found: dict[str, Part] = {}
        done_bytes = 0
        while True:
            member = self._next()
            if member is None:
                raise self._damaged(f"it ends after {self._last}, before its list of files")
            if member.name == MANIFEST:
                break
            name = self._checked(member, found)
            done_bytes += member.size
            if done_bytes > self.head.bytes or len(found) >= self.head.files:
                raise self._damaged(f"{name} is more than it says it holds")
            target = None
            if into is not None and keep(name):
                target = into / PurePosixPath(name)
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            found[name] = self._read_part(member, target)
            progress("reading", done_bytes, self.head.bytes)
        manifest = self._read_json(member, Manifest)
        self._compare(found, manifest)
        return manifest

    def _read_head(self) -> Head:
        member = self._next()
        if member is None or member.name != HEAD:
            raise ConfigError(f"{self._path} is not a backup of localassist.")
        head = self._read_json(member, _AnyHead)
        if head.version > VERSION:
            raise ConfigError(
                f"{self._path} was made by a newer localassist (backup format {head.version}; this "
                f"release reads {VERSION}): upgrade localassist first."
            )
        try:
            return Head.model_validate(head.model_dump())
        except ValidationError as error:
            raise self._damaged(f"{HEAD} is not what it should be") from error

    def _checked(self, member: tarfile.TarInfo, found: dict[str, Part]) -> str:
        """The member's name, if it may be a part: a plain file inside of the data folder."""
        name = member.name
        steps = PurePosixPath(name).parts
        is_inside = name.startswith(DATA) and ".." not in steps and "\0" not in name
        # Written in one way only: another would pass by what is looked at under its own name.
        is_plain = str(PurePosixPath(name)) == name and not name.startswith(f"{DATABASE}-")
        is_file = member.isreg() and not member.issparse()
        if not is_inside or not is_plain or not is_file or name in found:
            raise self._damaged(f"{name!r} does not belong into a backup")
        return name

    def _read_part(self, member: tarfile.TarInfo, target: Path | None) -> Part:
        digest, size = hashlib.sha256(), 0
        copy = None if target is None else target.open("xb")
        try:
            for chunk in self._chunks(member):
                digest.update(chunk)
                size += len(chunk)
                if copy is not None:
                    copy.write(chunk)
        finally:
            if copy is not None:
                copy.close()
        self._last = member.name
        return Part(bytes=size, sha256=digest.hexdigest())

    def _compare(self, found: dict[str, Part], manifest: Manifest) -> None:
        for name, part in found.items():
            if manifest.files.get(name) != part:
                raise self._damaged(f"{name} does not have its recorded content")
        for name in manifest.files:
            if name not in found:
                raise self._damaged(f"{name} is missing")

    def _next(self) -> tarfile.TarInfo | None:
        self._tar.members.clear()  # type: ignore[attr-defined]  # which would remember all
        with self._reading("the part after " + self._last):
            return self._tar.next()

    def _chunks(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        # Only the reading is guarded: what the caller does with a chunk may fail in its own way.
        file = self._tar.extractfile(member)
        left = member.size
        while file is not None and left:
            with self._reading(member.name):
                chunk = file.read(min(_CHUNK_BYTES, left))
            if not chunk:
                raise self._damaged(f"it ends inside of {member.name}")
            left -= len(chunk)
            yield chunk

    def _read_json(self, member: tarfile.TarInfo, kind: type[Model]) -> Model:
        if not member.isreg() or member.size > _LONGEST_JSON_BYTES:
            raise self._damaged(f"{member.name} is not what it should be")
        try:
            return kind.model_validate_json(b"".join(self._chunks(member)))
        except ValidationError as error:
            raise self._damaged(f"{member.name} is not what it should be") from error

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
            raise self._damaged(f"{what} cannot be read ({error})") from error
        except OSError as error:
            raise self._damaged(f"{what} cannot be read ({error.strerror or error})") from error

    def _damaged(self, what: str) -> StorageCorrupt:
        return StorageCorrupt(f"The backup {self._path} is damaged: {what}.")


class _AnyHead(BaseModel):
    """The head of any version."""

    model_config = ConfigDict(extra="allow")

    format: Literal["localassist-backup"]
    version: int


@contextmanager
def opened_backup(path: Path) -> Iterator[BackupReader]:
    """Open a backup, compressed or not. Raises ConfigError when it is none or of a newer release,
    StorageCorrupt when it is damaged."""
    try:
        file = path.open("rb")
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder; name the file of a backup.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    with file:
        try:
            tar = tarfile.open(fileobj=file, mode="r|*", tarinfo=PlainTarInfo)
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ConfigError(f"{path} is not a backup of localassist.") from error
        with tar:
            yield BackupReader(tar, path)


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes], on_bytes: Callable[[int], None]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._on_bytes = on_bytes

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self._digest.update(chunk)
        self._on_bytes(len(chunk))
        return chunk

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _info(name: str, size_bytes: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, 0o600
    return info
