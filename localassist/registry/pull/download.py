"""One file over HTTP: taken up where it was left, and not believed before its hash fits.

What has come lies in ``<name>.part``; ``<name>.json`` says of which edition it is. A file takes its
own name only when it is whole. Only one process at a time writes a file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from localassist.disk import free_bytes, is_full
from localassist.errors import DownloadFailed, StorageUnavailable
from localassist.registry.given import read_json
from localassist.registry.pull.place import plain
from localassist.registry.pull.web import Interrupted, Response, Web, count_of
from localassist.registry.weights import make_folder, write_text

_CHUNK_BYTES = 2**18
_TRIES = 6
SPARE_BYTES = 64 * 2**20
"""What a download leaves free on the disk."""
_MAGIC = b"GGUF"
_LOOK_BYTES = 2**23
"""So much comes between two looks at the disk."""

Say = Callable[[str], None]
"""Tells the user something in a sentence."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """``size_bytes`` and ``sha256`` are None where the sender does not say them beforehand."""

    url: str
    name: str
    size_bytes: int | None = None
    sha256: str | None = None


class _StartOver(Exception):
    """What is there cannot be continued; the message says why."""


class Download:
    """The way of one file into ``folder``."""

    def __init__(self, remote: RemoteFile, folder: Path, web: Web, say: Say) -> None:
        self.remote = remote
        self.target = folder / remote.name
        self._part = folder / f"{remote.name}.part"
        self._record = folder / f"{remote.name}.json"
        self._web = web
        self._say = say

    @property
    def held_bytes(self) -> int:
        """How much of the file is here."""
        for path in (self.target, self._part):
            if path.exists():
                return path.stat().st_size
        return 0

    def fetch(self, progress: Callable[[int], None]) -> str:
        """Get what is missing; SHA-256 of the whole. ``progress`` is told the bytes that are here.

        Raises DownloadFailed, which keeps what has come unless it is wrong, and StorageUnavailable.
        """
        known = self._complete()
        if known is not None:
            progress(self.held_bytes)
            return known
        try:
            make_folder(self._part.parent)
            with _locked(self._part) as file:
                sha256 = self._fetch_into(file, progress)
                os.fsync(file.fileno())
                self._write_record(None, sha256)
                os.replace(self._part, self.target)
        except OSError as error:
            raise self._storage_error(error) from error
        return sha256

    def discard(self) -> None:
        """Remove what is here."""
        for path in (self.target, self._part, self._record):
            path.unlink(missing_ok=True)

    def _complete(self) -> str | None:
        """The hash of the whole file if it is here already, and still what is wanted."""
        found = read_json(self._record).get("sha256") if self.target.exists() else None
        size, wanted = self.remote.size_bytes, self.remote.sha256
        is_same = found == wanted if wanted else size in (None, self.held_bytes)
        return found if isinstance(found, str) and is_same else None

    def _fetch_into(self, file: IO[bytes], progress: Callable[[int], None]) -> str:
        held = _Held(file, progress)
        self._take_up(held)
        failures = 0
        while True:
            before = held.count
            try:
                self._continue(held)
            except _StartOver as reason:
                self._start_over(held, str(reason))
                failures += 1
            except Interrupted as error:
                failures = 1 if held.count > before else failures + 1
                if failures >= _TRIES:
                    raise
                self._web.pause(failures, error)
            else:
                if self._fits(held.sha256):
                    return held.sha256
                if not held.taken_up:
                    raise self._wrong(held.sha256)
                self._start_over(held, "what was kept of it is damaged")
            if failures >= _TRIES:
                raise DownloadFailed(f"{plain(self.remote.url)} changes while it is fetched.")

    def _start_over(self, held: _Held, reason: str) -> None:
        self._say(f"{self.remote.name}: {reason}; it is fetched from its beginning.")
        held.clear()

    def _take_up(self, held: _Held) -> None:
        """Read what an earlier try has left, as far as it is of use."""
        record = read_json(self._record)
        size = self.remote.size_bytes
        is_usable = record.get("wanted") == self.remote.sha256 and record.get("size") in (
            None,
            size,
        )
        if not is_usable or (size is not None and held.stored > size):
            held.clear()
        held.read()

    def _continue(self, held: _Held) -> None:
        """One request for what is missing. Returns when the file is whole."""
        size = self.remote.size_bytes
        if size is not None and held.count == size:
            return
        headers = {}
        if held.count:
            validator = read_json(self._record).get("validator")
            if self.remote.sha256 is None:
                if not isinstance(validator, str):
                    raise _StartOver("nothing tells whether it is still the same file")
                headers["If-Range"] = validator
            headers["Range"] = f"bytes={held.count}-"
        with self._web.open(self.remote.url, headers) as response:
            if response.status_code == 416 and held.count:
                if _total(response) == held.count and self.remote.size_bytes is None:
                    return
                raise _StartOver("its length has changed")
            self._web.check(response)
            if response.status_code != 206 and held.count:
                self._start_over(held, "the file has changed, or its server sends no parts")
            total = self._check_answer(response, held)
            if not held.count:
                self._write_record(_validator(response), None)
            self._read_body(response, held)
        if total is not None and held.count < total:
            raise Interrupted(f"The connection to {plain(self.remote.url)} broke.")

    def _check_answer(self, response: Response, held: _Held) -> int | None:
        """The size of the whole file, where the server says it."""
        where = plain(self.remote.url)
        if response.headers.get("content-type", "").startswith("text/html"):
            raise DownloadFailed(
                f"{where} is a web page, not a model: perhaps of a login or a proxy."
            )
        if response.headers.get("content-encoding", "identity") != "identity":
            raise DownloadFailed(f"{where} is sent compressed, although that was not asked for.")
        if response.status_code == 206:
            start = re.match(r"bytes ([0-9]+)-", response.headers.get("content-range", ""))
            if start is None or count_of(start[1]) != held.count:
                raise _StartOver("the server sends another part than was asked for")
            total = _total(response)
        else:
            total = count_of(response.headers.get("content-length", ""))
        expected = self.remote.size_bytes
        if None not in (expected, total) and expected != total:
            if held.count:
                raise _StartOver("its length has changed")
            raise DownloadFailed(f"{where} has {total:,} bytes and should have {expected:,}.")
        return total

    def _read_body(self, response: Response, held: _Held) -> None:
        start = b""
        for chunk in response.iter_raw():
            if held.count == 0 and len(start) < len(_MAGIC):
                start += chunk
                if len(start) < len(_MAGIC):
                    continue
                if not start.startswith(_MAGIC):
                    raise self._no_model(start)
                chunk = start
            self._check_room_for(held.count + len(chunk), held)
            held.add(chunk)
        if held.count == 0:
            raise self._no_model(start)

    def _check_room_for(self, count: int, held: _Held) -> None:
        """Whatever was promised, a body is only as long as it turns out to be."""
        size = self.remote.size_bytes
        if size is not None and count > size:
            self.discard()
            raise DownloadFailed(
                f"{plain(self.remote.url)} sends more than the {size:,} bytes that it should have."
            )
        if count // _LOOK_BYTES == held.count // _LOOK_BYTES:
            return
        if free_bytes(self._part.parent) < SPARE_BYTES:
            raise StorageUnavailable(
                f"The disk is nearly full. {held.count:,} bytes of {self.remote.name} are kept; "
                "make room and give the same command again."
            )

    def _no_model(self, start: bytes) -> DownloadFailed:
        self.discard()
        begin = f"it starts with the bytes {start[:16]!r}" if start else "it is empty"
        return DownloadFailed(f"{plain(self.remote.url)} is not a GGUF file: {begin}.")

    def _fits(self, sha256: str) -> bool:
        return self.remote.sha256 in (None, sha256)

    def _wrong(self, sha256: str) -> DownloadFailed:
        self.discard()
        return DownloadFailed(
            f"{plain(self.remote.url)} is not the promised file: expected SHA-256 "
            f"{self.remote.sha256}, got {sha256}. Nothing of it was kept; if another try ends "
            "alike, the file or its sum is wrong where it comes from."
        )

    def _write_record(self, validator: str | None, sha256: str | None) -> None:
        facts = {
            "wanted": self.remote.sha256,
            "size": self.remote.size_bytes,
            "validator": validator,
            "sha256": sha256,
        }
        write_text(self._record, json.dumps(facts, indent=1) + "\n")

    def _storage_error(self, error: OSError) -> StorageUnavailable | DownloadFailed:
        if is_full(error):
            return StorageUnavailable(
                f"The disk is full. {self.held_bytes:,} bytes of {self.remote.name} are kept; make "
                "room and give the same command again."
            )
        return StorageUnavailable(f"{self._part} cannot be written: {error.strerror}.")


class _Held:
    """The bytes of a file that are here, and their hash as it grows. ``taken_up``: some are from an
    earlier process."""

    def __init__(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        self._file = file
        self._progress = progress
        self._digest = hashlib.sha256()
        self.count = 0
        self.taken_up = False

    @property
    def stored(self) -> int:
        """Bytes on disk, read or not."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def read(self) -> None:
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            self._note(chunk)
        self.taken_up = self.count > 0

    def add(self, chunk: bytes) -> None:
        written: Any = self._file.write(chunk)
        while written < len(chunk):  # a disk that is nearly full takes less first
            written += self._file.write(chunk[written:])
        self._note(chunk)

    def clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.count = 0
        self.taken_up = False

    def _note(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.count += len(chunk)
        self._progress(self.count)


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, open for reading and writing without a buffer, and held by this process alone."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DownloadFailed(
                f"{path.name.removesuffix('.part')} is being fetched by another process."
            ) from error
        yield file


def _validator(response: Response) -> str | None:
    """What tells this edition of the file from another: never a weak tag, which may not."""
    tag = response.headers.get("etag", "")
    changed: str | None = response.headers.get("last-modified")
    chosen = tag if tag and not tag.startswith("W/") else changed
    # What cannot be sent back as it came tells nothing.
    return chosen if chosen is not None and chosen.isascii() else None


def _total(response: Response) -> int | None:
    """The size of the whole file in an answer that is part of it, or says that there is no such
    part."""
    return count_of(response.headers.get("content-range", "").rpartition("/")[2])
