"""One file on its way through ingest: what is known of it, and what its errors mean."""

from __future__ import annotations

import asyncio
import errno
import logging
from dataclasses import dataclass

from localassist.errors import (
    LocalAssistError,
    ShuttingDown,
    StorageUnavailable,
    UnreadableFile,
    UnsupportedFile,
)
from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.segments import Segment
from localassist.storage.ingest_queue import Failed, QueuedFile

_log = logging.getLogger(__name__)

# The disk or the machine has no more room: not the file's fault, and it may pass.
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class FileProgress:
    """A file that is being ingested: ``units`` of ``total_units`` are embedded; both are 0 while
    it is still read."""

    file_id: str
    units: int
    total_units: int


@dataclass(slots=True)
class IngestCounters:
    """What this process has ingested. ``queued`` is what waited when it last looked."""

    completed: int = 0
    failed: int = 0
    dropped: int = 0
    units: int = 0
    queued: int = 0


@dataclass(slots=True, eq=False)
class Job:
    """A file under way. In the end it has a segment or a failure, or it is gone."""

    file: QueuedFile
    key: str
    document: ParsedDocument | None = None
    segment: Segment | None = None
    failure: Failed | None = None
    is_gone: bool = False
    step: asyncio.Task[None] | None = None
    units: int = 0
    total_units: int = 0

    def advance(self, units: int, total_units: int) -> None:
        self.units, self.total_units = units, total_units

    def stop(self) -> None:
        self.is_gone = True
        if self.step is not None:
            self.step.cancel()


def is_passing(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _PASSING
    return isinstance(error, StorageUnavailable | ShuttingDown)


def failure_of(error: BaseException, file: QueuedFile) -> Failed:
    """What went wrong, in the words and codes of the API."""
    if isinstance(error, UnsupportedFile):
        return Failed("unsupported_file", error.message)
    if isinstance(error, UnreadableFile):
        return Failed("invalid_file", error.message)
    if isinstance(error, LocalAssistError):
        _log.warning("file %s cannot be ingested: %s", file.file_id, error.message)
        return Failed("server_error", error.message)
    _log.error("file %s cannot be ingested", file.file_id, exc_info=error)
    return Failed("server_error", "The file could not be processed because of an internal error.")
