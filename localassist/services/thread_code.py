"""The interpreter over kernels: files go in, code runs, and what it leaves is stored.

Everything that comes out of a kernel is untrusted: names are made readable, sizes and numbers are
bounded, and what cannot be kept is said in the logs and stops nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Protocol
from weakref import WeakKeyDictionary

from localassist.errors import (
    CapacityError,
    SandboxError,
    SandboxUnavailable,
    StorageUnavailable,
)
from localassist.sandbox.files import NotKept
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import CellEnded, CellOutput, CellStatus, Image, Logs
from localassist.sandbox.verdict import Verdict
from localassist.services.code_folder import CodeFolder
from localassist.services.code_layout import layout
from localassist.services.code_outputs import CodeOutputs, Kept
from localassist.services.file_heads import head_of, is_text
from localassist.services.interpreter import Executed, ExecutionItem, Printed, Shown
from localassist.services.sandbox_verdict import RememberedVerdict
from localassist.storage import code_files
from localassist.storage.blobs import BlobStore
from localassist.storage.code_files import StoredFile
from localassist.storage.database import Database, Session
from localassist.tools.code_interpreter.base import CodeFile, Execution

_log = logging.getLogger(__name__)
_LOST = "The kernel was started anew, because the one before is gone; variables are lost."


class CodeKernel(Protocol):
    """See ``sandbox.kernel.Kernel``."""

    def execute(self, code: str) -> AsyncGenerator[CellOutput, None]: ...

    def allow(self, disk_bytes: int, files: int) -> None: ...


class KernelSession(Protocol):
    """See ``sandbox.sessions.Session``. One object for as long as its kernel lives."""

    @property
    def kernel(self) -> CodeKernel: ...

    @property
    def data(self) -> Path: ...

    @property
    def is_new(self) -> bool: ...

    @property
    def notice(self) -> str | None: ...


class KernelSessions(Protocol):
    """See ``sandbox.sessions.Sessions``."""

    def lease(self, key: str, limits: Limits) -> AbstractAsyncContextManager[KernelSession]:
        """One at a time for each key."""
        ...

    async def drop(self, key: str) -> None: ...

    async def close(self) -> None: ...

    def counts(self) -> Mapping[str, int]: ...


class ThreadCode:
    """``services.interpreter.Interpreter`` over the kernels of this process."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        sessions: KernelSessions,
        verdict: RememberedVerdict,
        maxima: Limits,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._sessions = sessions
        self._verdict = verdict
        self._maxima = maxima
        self._outputs = CodeOutputs(database, blobs)
        self._folders: WeakKeyDictionary[KernelSession, CodeFolder] = WeakKeyDictionary()
        self._preparing: set[asyncio.Task[None]] = set()

    async def verdict(self) -> Verdict:
        return await self._verdict.get()

    def verdict_so_far(self) -> Verdict | None:
        return self._verdict.so_far()

    def counts(self) -> Mapping[str, int]:
        return self._sessions.counts()

    def prepare(self, thread_id: str, wanted: Mapping[str, float]) -> None:
        task = asyncio.create_task(self._prepare(thread_id, self._maxima.lowered(wanted)))
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)

    async def _prepare(self, thread_id: str, limits: Limits) -> None:
        try:
            async with self._sessions.lease(thread_id, limits):
                pass
        except (SandboxError, CapacityError) as error:
            _log.info("No kernel could be prepared: %s", error.message)

    async def files(self, project: str, thread_id: str, file_ids: Sequence[str]) -> list[CodeFile]:
        given, written = await self._stored_files(project, thread_id, file_ids)
        found, _ = layout(given, written)
        return await asyncio.to_thread(self._described, found)

    async def execute(
        self,
        project: str,
        thread_id: str,
        code: str,
        *,
        file_ids: Sequence[str],
        wanted: Mapping[str, float],
    ) -> AsyncGenerator[ExecutionItem, None]:
        limits = self._maxima.lowered(wanted)
        try:
            async with self._sessions.lease(thread_id, limits) as session:
                # Not before: earlier code of the thread may still have been leaving files.
                given, written = await self._stored_files(project, thread_id, file_ids)
                cell = _Cell(self._outputs, project, thread_id, limits, self._folder(session))
                await cell.place(session, given, written, self._blobs)
                notice = await self._notice(session, thread_id)
                async with aclosing(cell.run(session, code, notice)) as items:
                    async for item in items:
                        yield item
        except SandboxUnavailable:
            self._verdict.doubt()
            raise

    async def drop(self, thread_id: str) -> None:
        await self._sessions.drop(thread_id)

    async def close(self) -> None:
        for task in self._preparing:
            task.cancel()
        await asyncio.gather(*self._preparing, return_exceptions=True)
        await self._verdict.close()
        await self._sessions.close()

    async def _stored_files(
        self, project: str, thread_id: str, file_ids: Sequence[str]
    ) -> tuple[list[StoredFile], dict[str, StoredFile]]:
        def load(session: Session) -> tuple[list[StoredFile], dict[str, StoredFile]]:
            return (
                code_files.given(session, project, file_ids),
                code_files.written(session, project, thread_id),
            )

        return await self._database.read(load)

    async def _notice(self, session: KernelSession, thread_id: str) -> str | None:
        """What the thread has lost since its last code, which another process may have run."""
        if session.notice is None and session.is_new:
            has_run = await self._database.read(lambda read: code_files.has_run(read, thread_id))
            return _LOST if has_run else None
        return session.notice

    def _described(self, found: Mapping[str, StoredFile]) -> list[CodeFile]:
        return [
            CodeFile(path, file.id, file.blob.size_bytes, self._head(path, file))
            for path, file in found.items()
        ]

    def _head(self, path: str, file: StoredFile) -> str | None:
        if not is_text(path):
            return None
        try:
            return head_of(self._blobs.path(file.blob.sha256))
        except OSError:
            return None  # damaged: code will be told

    def _folder(self, session: KernelSession) -> CodeFolder:
        return self._folders.setdefault(session, CodeFolder(session.data))


class _Cell:
    """One piece of code from its files to its outcome."""

    def __init__(
        self,
        outputs: CodeOutputs,
        project: str,
        thread_id: str,
        limits: Limits,
        folder: CodeFolder,
    ) -> None:
        self._outputs = outputs
        self._project = project
        self._thread_id = thread_id
        self._limits = limits
        self._folder = folder
        self._logs: list[str] = []
        self._images: list[str] = []
        self._notices: list[str] = []

    async def place(
        self,
        session: KernelSession,
        given: Sequence[StoredFile],
        written: Mapping[str, StoredFile],
        blobs: BlobStore,
    ) -> None:
        _, placed = layout(given, written)
        missing = self._folder.missing(placed)
        if not missing:
            return
        own = [place.file.blob.size_bytes for place in missing.values() if place.link_to is None]
        # Before they are there: they must not count as written by code for a moment.
        session.kernel.allow(sum(own), sum(1 + path.count("/") for path in missing))
        self._notices += await asyncio.to_thread(self._folder.place, missing, blobs.path)

    async def run(
        self, session: KernelSession, code: str, notice: str | None
    ) -> AsyncGenerator[ExecutionItem, None]:
        self._notices += [notice] if notice else []
        ending: CellStatus = "died"
        async with aclosing(session.kernel.execute(code)) as outputs:
            async for output in outputs:
                if isinstance(output, CellEnded):
                    ending = output.status
                    self._notices += [output.notice] if output.notice else []
                else:
                    item = await self._item(output)
                    if item is not None:
                        yield item
        kept = await self._collect()
        if self._notices:
            yield self._printed(self._last_lines())
        logs = "".join(self._logs)
        yield Executed(Execution(code, ending, logs, tuple(self._images), kept.files))

    async def _item(self, output: Logs | Image) -> ExecutionItem | None:
        if isinstance(output, Logs):
            return self._printed(output.text)
        try:
            file_id = await self._outputs.keep_image(self._project, output)
        except StorageUnavailable as error:
            self._notices.append(f"An image could not be kept: {error.message}")
            return None
        self._images.append(file_id)
        return Shown(file_id)

    async def _collect(self) -> Kept:
        try:
            kept = await self._outputs.collect(
                self._project, self._thread_id, self._folder, self._limits
            )
        except (NotKept, StorageUnavailable) as error:
            self._notices.append(f"The files could not be kept: {error}")
            return Kept()
        self._notices += kept.notes
        return kept

    def _printed(self, text: str) -> Printed:
        self._logs.append(text)
        return Printed(text)

    def _last_lines(self) -> str:
        begins = "\n" if self._logs and not self._logs[-1].endswith("\n") else ""
        return begins + "\n".join(f"[{notice}]" for notice in self._notices)
