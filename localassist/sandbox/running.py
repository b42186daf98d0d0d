"""Runs code in one kernel of its own, for programs that need no threads, runs or models.

A kernel lives as long as the block that opens it. Knows nothing of where settings come from.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from localassist.errors import ConfigError
from localassist.sandbox.changes import Snapshot, stamp_of, take_snapshot
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.files import NotKept, Output, open_output, opened_folder, put_file
from localassist.sandbox.limits import Limits
from localassist.sandbox.names import free_name, readable, safe_name
from localassist.sandbox.outputs import CellEnded, CellOutput, CellStatus, Image, Logs

if TYPE_CHECKING:
    from localassist.sandbox.session import Session

_MORE_ENTRIES = 100
_KEY = "program"


@dataclass(frozen=True, slots=True)
class Result:
    """What a piece of code printed, showed and wrote. ``files`` are contents by path below
    ``/mnt/data``; ``notices`` say what was exceeded, lost or not kept."""

    status: CellStatus
    logs: str
    images: tuple[Image, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """Paths below ``/mnt/data`` of new or changed files, the oldest change first."""

    paths: tuple[str, ...]
    notices: tuple[str, ...] = ()


class OpenKernel:
    """A kernel that keeps its variables from one piece of code to the next. One piece at a time."""

    def __init__(self, session: Session, limits: Limits) -> None:
        self.limits = limits
        self._session = session
        self._before = Snapshot()
        self._given: set[str] = set()
        self._given_bytes = 0

    async def give(self, file: Path) -> str:
        """Copy a file into ``/mnt/data``; returns its name there. Raises OSError."""
        name = free_name(safe_name(file.name), self._given)
        self._given.add(name)
        size = await asyncio.to_thread(self._put, name, file)
        self._given_bytes += size
        self._session.kernel.allow(size, 1)
        return name

    def execute(self, code: str) -> AsyncGenerator[CellOutput, None]:
        """Run code; what comes out of it, as it comes. Closing the iterator interrupts it."""
        return self._session.kernel.execute(code)

    async def run(self, code: str) -> Result:
        """Run code to its end, with everything that came of it in memory."""
        logs: list[str] = []
        images: list[Image] = []
        ended = CellEnded("died")
        async with aclosing(self.execute(code)) as outputs:
            async for output in outputs:
                if isinstance(output, Logs):
                    logs.append(output.text)
                elif isinstance(output, Image):
                    images.append(output)
                else:
                    ended = output
        written = await self.written()
        files, notices = await asyncio.to_thread(self._contents, written.paths)
        said = () if ended.notice is None else (ended.notice,)
        notices = (*said, *written.notices, *notices)
        return Result(ended.status, "".join(logs), tuple(images), files, notices)

    async def written(self) -> Written:
        """What has changed in ``/mnt/data`` since the last call, or since it was given."""
        return await asyncio.to_thread(self._look)

    @contextmanager
    def opened(self, path: str) -> Iterator[Output]:
        """A file that code has written. Blocks. Raises NotKept."""
        with opened_folder(self._session.data) as folder:
            output = open_output(folder, path, max_bytes=self._room)
        try:
            yield output
        finally:
            output.close()

    @property
    def _room(self) -> int:
        """Bytes that code may have written, what it was given included: it may change that."""
        return (self.limits.disk_mb << 20) + self._given_bytes

    def _put(self, name: str, file: Path) -> int:
        """Returns the size."""
        with opened_folder(self._session.data) as folder:
            owner = os.fstat(folder).st_uid if os.geteuid() == 0 else None
            status = put_file(folder, name, file, owner=owner)
            stamps = {**self._before.stamps, name: stamp_of(status)}
            self._before = Snapshot(stamps)
        return status.st_size

    def _look(self) -> Written:
        with opened_folder(self._session.data) as folder:
            now = self._snapshot(folder)
        changed = now.changed_since(self._before)
        self._before = now
        most = self.limits.output_files
        more = len(changed) - most
        notices = (f"Not kept: {more} of the {len(changed)} files, which are too many.",)
        return Written(tuple(changed[:most]), notices if more > 0 else ())

    def _snapshot(self, folder: int) -> Snapshot:
        room = self.limits.files + len(self._given) + _MORE_ENTRIES
        return take_snapshot(folder, max_entries=room)

    def _contents(self, paths: Sequence[str]) -> tuple[dict[str, bytes], tuple[str, ...]]:
        """What files hold, all together no more than code may write."""
        files: dict[str, bytes] = {}
        notices = []
        room = self._room
        for path in paths:
            name = free_name(readable(path), files)
            try:
                with self.opened(path) as output:
                    if output.size_bytes > room:
                        raise NotKept("all files together are too large")
                    files[name] = b"".join(output.chunks())
            except NotKept as error:
                notices.append(f"Not kept: {name} ({error}).")
            else:
                room -= len(files[name])
        return files, tuple(notices)


@asynccontextmanager
async def open_kernel(
    settings: SandboxSettings,
    home: Path,
    *,
    inputs: Sequence[Path] = (),
    wanted: Mapping[str, Any] | None = None,
) -> AsyncIterator[OpenKernel]:
    """A kernel with files in place, for as long as the block runs. ``wanted`` are lower limits, by
    field of ``Limits``. Raises ConfigError, SandboxUnavailable, KernelStartFailed and OSError."""
    limits = lowered(settings, wanted or {})
    for file in inputs:  # before a kernel is started for nothing
        with file.open("rb"):
            pass
    from localassist.sandbox.sessions import Sessions

    # Nothing is known of the code: what it needs, it imports.
    alone = settings.model_copy(update={"warm_kernels": 0, "max_kernels": 1, "preload": ()})
    sessions = Sessions(alone, home)
    try:
        async with sessions.lease(_KEY, limits) as session:
            kernel = OpenKernel(session, limits)
            for file in inputs:
                await kernel.give(file)
            yield kernel
    finally:
        await sessions.close()


def lowered(settings: SandboxSettings, wanted: Mapping[str, Any]) -> Limits:
    """The limits of the settings, with what is wanted by field. Raises ConfigError for a field that
    does not exist, and for a value that is too small, more than the settings allow, or none."""
    most = Limits.of(settings)
    names = set(Limits.__dataclass_fields__)
    if unknown := sorted(set(wanted) - names):
        raise ConfigError(
            f"There is no limit '{unknown[0]}'; there are {', '.join(sorted(names))}."
        )
    try:
        asked = SandboxSettings.model_validate({**settings.model_dump(), **wanted})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"The limit '{first['loc'][0]}': {first['msg']}.") from error
    for name in wanted:
        if getattr(asked, name) > getattr(most, name):
            raise ConfigError(
                f"The limit '{name}' may be at most {getattr(most, name):g}, which is the setting "
                f"sandbox.{name}."
            )
    return Limits.of(asked)
