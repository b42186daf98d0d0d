"""Files are read by child processes, which may crash, hang or be killed.

A child is kept for some files, since starting one takes a while; one that broke is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import localassist
from localassist.errors import ShuttingDown, UnreadableFile, UnsupportedFile
from localassist.retrieval.config import RetrievalSettings
from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.parsers import worker as protocol

_log = logging.getLogger(__name__)

_ROOT = Path(localassist.__file__).resolve().parents[1]
_MODULE = protocol.__name__
_FILES_PER_CHILD = 200
_IDLE_SECONDS = 60.0
_START_SECONDS = 60.0
_LARGEST_HEADER = 64 << 20
# What a child gets of our environment: enough to find its libraries, and no secrets.
_PASSED_ON = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")


class _ChildDied(Exception):
    """The child ended before it answered, with this exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class ParserPool:
    """Reads files, at most ``workers`` at the same time. For use on one event loop."""

    def __init__(self, settings: RetrievalSettings, *, workers: int = 1) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(workers)
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()
        self._is_closed = False
        self._expiry: asyncio.TimerHandle | None = None
        self._farewells: set[asyncio.Task[None]] = set()

    async def parse(self, path: Path, filename: str) -> ParsedDocument:
        """The text of the file at ``path``, whose name counts where its content does not say what
        it is. Raises UnsupportedFile or UnreadableFile with a sentence for whoever added it."""
        async with self._slots:
            child = await self._child()
            if child.files:
                # An earlier file may have left it broken; if it dies, a fresh one decides.
                with contextlib.suppress(_ChildDied):
                    return await self._parse(child, path, filename)
                child = await self._start()
            try:
                return await self._parse(child, path, filename)
            except _ChildDied as death:
                if self._is_closed:
                    raise _closing() from death
                raise self._death_notice(death.exit_code, filename) from death

    async def close(self) -> None:
        """End all children, also those at work: who waits for them gets ShuttingDown."""
        self._is_closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        idle = list(self._idle)
        for child in self._children.difference(idle):
            child.stop()
        await asyncio.gather(*(self._end(child) for child in idle), *self._farewells)
        # Those at work are cleaned up by the tasks that wait for them.
        await asyncio.gather(*(child.ended() for child in self._children))

    async def _parse(self, child: _Child, path: Path, filename: str) -> ParsedDocument:
        limit = 4 * self._settings.max_text_characters
        is_kept = False
        try:
            reply, text = await asyncio.wait_for(
                child.ask(self._request(path, filename), limit), self._settings.parse_seconds
            )
            is_kept = not reply["is_spent"] and child.files < _FILES_PER_CHILD
        except asyncio.TimeoutError as error:
            raise self._too_slow() from error
        finally:
            if is_kept and not self._is_closed:
                self._idle.append(child)
                self._expire_later()
            else:
                await self._end(child)
        if (code := reply.get("error")) is None:
            return await asyncio.to_thread(protocol.document_of, reply, text)
        if code == protocol.OUT_OF_MEMORY:
            raise self._too_large()
        kind = UnsupportedFile if code == UnsupportedFile.code else UnreadableFile
        raise kind(reply["message"])

    def _request(self, path: Path, filename: str) -> dict[str, Any]:
        return {
            "path": str(path.absolute()),
            "filename": filename,
            "max_characters": self._settings.max_text_characters,
            "seconds": self._settings.parse_seconds,
        }

    async def _child(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_alive:
                return child
            await self._end(child)
        return await self._start()

    async def _start(self) -> _Child:
        if self._is_closed:
            raise _closing()
        child = await _Child.start(self._settings.parse_memory_mb)
        self._children.add(child)
        return child

    async def _end(self, child: _Child) -> None:
        self._children.discard(child)
        if child in self._idle:
            self._idle.remove(child)
        await child.kill()

    def _expire_later(self) -> None:
        """Children without work are ended after a while."""
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(_IDLE_SECONDS, self._expire)

    def _expire(self) -> None:
        for child in list(self._idle):
            task = asyncio.ensure_future(self._end(child))
            self._farewells.add(task)
            task.add_done_callback(self._farewells.discard)

    def _death_notice(self, exit_code: int, filename: str) -> UnreadableFile:
        _log.info("the reader of %s ended with %d", filename, exit_code)
        if exit_code == -signal.SIGXCPU:
            return self._too_slow()
        if exit_code == -signal.SIGKILL:
            return UnreadableFile(
                "Reading the file was stopped by the system, probably because it takes more memory "
                "than there is. Split the file and add the parts."
            )
        return UnreadableFile(
            "The program that reads such files crashed on this one: it is damaged or made to do "
            "harm. Save it again in the program that made it, and add the copy."
        )

    def _too_slow(self) -> UnreadableFile:
        return UnreadableFile(
            f"Reading the file took longer than {self._settings.parse_seconds:g} seconds and was "
            "stopped. Split the file, or raise retrieval.parse_seconds."
        )

    def _too_large(self) -> UnreadableFile:
        return UnreadableFile(
            f"Reading the file takes more than {self._settings.parse_memory_mb:,} MiB of memory. "
            "Split the file, or raise retrieval.parse_memory_mb."
        )


def _closing() -> ShuttingDown:
    return ShuttingDown("The service is closing; the file is read after the next start.")


class _Child:
    """One process of ``parsers.worker``, in a group of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.files = 0

    @classmethod
    async def start(cls, memory_mb: int) -> _Child:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # One thread each: numpy's library would reserve memory for every core.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE, str(os.getpid()), str(memory_mb)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
            env=environment,
            start_new_session=True,
        )
        child = cls(process)
        try:
            await asyncio.wait_for(child._read_frame(0), _START_SECONDS)
        except BaseException:
            await child.kill()
            raise
        return child

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, request: Mapping[str, Any], limit: int) -> tuple[dict[str, Any], bytes]:
        """The answer and its text of at most ``limit`` bytes. Raises _ChildDied."""
        self.files += 1
        assert self._process.stdin is not None
        # A child that died shows when its answer does not come.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            await self._process.stdin.drain()
        return await self._read_frame(limit)

    async def _read_frame(self, limit: int) -> tuple[dict[str, Any], bytes]:
        stream = self._process.stdout
        assert stream is not None
        try:
            header, body = protocol.FRAME.unpack(await stream.readexactly(protocol.FRAME.size))
            if header > _LARGEST_HEADER or body > limit:
                raise UnreadableFile("The file's text has too many parts. Split it and try again.")
            reply = json.loads(await stream.readexactly(header))
            return reply, await stream.readexactly(body)
        except (asyncio.IncompleteReadError, ConnectionResetError) as error:
            raise _ChildDied(await self._process.wait()) from error

    def stop(self) -> None:
        """End the process and its group, whatever they do."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def ended(self) -> None:
        await self._process.wait()

    async def kill(self) -> None:
        """Stop and wait for the end. Not while somebody waits for an answer."""
        self.stop()
        # What it was still writing is read, or its pipes would stay open.
        await self._process.communicate()
