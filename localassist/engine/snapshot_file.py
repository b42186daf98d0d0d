"""One snapshot in one file: written whole or not at all, and never read wrongly.

A file starts with magic, format version, fingerprint, first position, and counts; then come the
tokens of positions 0 to the end, the cells of positions from the first on, and a checksum over all
of it. Its name is the key, which is a hash of the tokens, so that a header can be trusted without
its cells being read.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SnapshotKey = bytes
"""Names the cells of one segment: a hash of fingerprint, first position, and all tokens up to the
end of the segment. 16 bytes."""

_MAGIC = b"LACELLS1"
_HEADER = struct.Struct("<8s16sIIQ")
"""Magic with version, fingerprint, first position, number of tokens, bytes of the cells."""
_KEY_BYTES, _CHECKSUM_BYTES = 16, 4
_SUFFIX, _PART_SUFFIX = ".cells", ".part"
_ABANDONED_SECONDS = 600


class SnapshotDamaged(Exception):
    """The file is not what was written under this name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored segment: cells of positions ``start`` to ``len(tokens)``."""

    key: SnapshotKey
    start: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the folder, also another fingerprint's. ``used_ns``: when it was last of use."""

    path: Path
    size: int
    used_ns: int


def snapshot_key(fingerprint: str, start: int, tokens: Sequence[int]) -> SnapshotKey:
    """The name of the cells from ``start`` to the end of ``tokens``."""
    return _key_of(fingerprint, start, _pack_tokens(tokens))


def file_size(token_count: int, data_bytes: int) -> int:
    """Bytes of a file that holds these."""
    return _HEADER.size + 4 * token_count + data_bytes + _CHECKSUM_BYTES


def file_name(key: SnapshotKey) -> str:
    return key.hex() + _SUFFIX


def key_in_name(path: Path) -> SnapshotKey | None:
    """The key that a file is named after, if it is."""
    try:
        key = bytes.fromhex(path.stem)
    except ValueError:
        return None
    return key if path.name == file_name(key) and len(key) == _KEY_BYTES else None


def write_snapshot(
    folder: Path, fingerprint: str, start: int, tokens: Sequence[int], data: memoryview
) -> int:
    """Write a file into ``folder``, readable by its owner only; returns its size in bytes.

    Under its name there is never a part of a file. It is not synced: what a power cut leaves is
    damaged at worst, and noticed. Raises OSError.
    """
    packed = _pack_tokens(tokens)
    header = _HEADER.pack(_MAGIC, _digest(fingerprint), start, len(tokens), data.nbytes)
    checksum = _checksum(header, packed, data)
    path = folder / file_name(_key_of(fingerprint, start, packed))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(_PART_SUFFIX, f"{path.stem}.", folder)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            for content in (header, packed, data, checksum):
                _write_all(file, memoryview(content).cast("B"))
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            os.unlink(part)
        raise
    return file_size(len(tokens), data.nbytes)


def read_snapshot(folder: Path, fingerprint: str, key: SnapshotKey) -> tuple[Entry, memoryview]:
    """What a file is about, and the cells. Raises SnapshotDamaged, or OSError when the file cannot
    be read."""
    with (folder / file_name(key)).open("rb", buffering=0) as file:
        header, packed, entry = _read_head(file, fingerprint, key)
        data_bytes = os.fstat(file.fileno()).st_size - file_size(len(entry.tokens), 0)
        content = bytearray(data_bytes + _CHECKSUM_BYTES)
        _read_all(file, memoryview(content))
    data = memoryview(content)[:data_bytes]
    if _checksum(header, packed, data) != content[data_bytes:]:
        raise SnapshotDamaged("the checksum does not match")
    return entry, data.toreadonly()


def read_entry(folder: Path, fingerprint: str, key: SnapshotKey) -> Entry:
    """What a file is about; its cells are not read. Raises SnapshotDamaged or OSError."""
    with (folder / file_name(key)).open("rb", buffering=0) as file:
        return _read_head(file, fingerprint, key)[2]


def stored_files(root: Path) -> Iterator[StoredFile]:
    """All snapshots in the folders under ``root``. Parts that no process can still be writing are
    removed on the way. Raises OSError when ``root`` cannot be listed."""
    for folder in root.iterdir():
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            with suppress(OSError):  # another process may have removed it
                status = entry.stat(follow_symlinks=False)
                if entry.name.endswith(_SUFFIX):
                    yield StoredFile(Path(entry.path), status.st_size, status.st_mtime_ns)
                elif entry.name.endswith(_PART_SUFFIX):
                    if status.st_mtime < time.time() - _ABANDONED_SECONDS:
                        os.unlink(entry.path)


def _read_head(
    file: BinaryIO, fingerprint: str, key: SnapshotKey
) -> tuple[bytearray, bytearray, Entry]:
    header = bytearray(_HEADER.size)
    _read_all(file, memoryview(header))
    magic, owner, start, token_count, data_bytes = _HEADER.unpack(header)
    if magic != _MAGIC or owner != _digest(fingerprint):
        raise SnapshotDamaged("it is of another kind")
    # Sizes come first: nothing is allocated for a header that promises more than there is.
    if file_size(token_count, data_bytes) != os.fstat(file.fileno()).st_size:
        raise SnapshotDamaged("its length does not match its header")
    packed = bytearray(4 * token_count)
    _read_all(file, memoryview(packed))
    if start >= token_count or _key_of(fingerprint, start, packed) != key:
        raise SnapshotDamaged("its tokens do not match its name")
    return header, packed, Entry(key, start, struct.unpack(f"<{token_count}I", packed))


def _read_all(file: BinaryIO, target: memoryview) -> None:
    while target:
        count = file.readinto(target)  # type: ignore[attr-defined]
        if not count:
            raise SnapshotDamaged("it is too short")
        target = target[count:]


def _write_all(file: BinaryIO, content: memoryview) -> None:
    while content:
        content = content[file.write(content) :]


def _pack_tokens(tokens: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(tokens)}I", *tokens)


def _key_of(fingerprint: str, start: int, packed: bytes | bytearray) -> SnapshotKey:
    content = _digest(fingerprint) + struct.pack("<I", start)
    hashed = hashlib.blake2b(content, digest_size=_KEY_BYTES)
    hashed.update(packed)
    return hashed.digest()


def _digest(fingerprint: str) -> bytes:
    return hashlib.blake2b(fingerprint.encode(), digest_size=16).digest()


def _checksum(*contents: bytes | bytearray | memoryview) -> bytes:
    """CRC-32. A conversation that comes back waits for it, and cryptographic hashes take several
    times as long; what is to be noticed is damage, the folder is its owner's alone."""
    value = 0
    for content in contents:
        value = zlib.crc32(content, value)
    return struct.pack("<I", value)
