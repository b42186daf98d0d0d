"""What has outlived its use goes: by the service now and then, or when an operator asks.

Everything is removed a portion at a time, each in a transaction of its own: a sweep that is killed
has removed less, and the next goes on. What is being worked is never touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from localassist import clock
from localassist.engine.snapshot_file import StoredFile, stored_files
from localassist.services.config import RetentionSettings
from localassist.storage import free_room, retention, run_events
from localassist.storage.database import Database, Session
from localassist.storage.retention import Named, Share

_DAY = 24 * 3600
_THREADS_AT_ONCE = 20
_ROWS_AT_ONCE = 500
_FILES_AT_ONCE = 100
_NANOSECONDS = 10**9
_MIB = 2**20
# A MiB takes some milliseconds. Other processes that wait for the database try again now and then:
# without a pause they could wait until all is done.
_PAGES_AT_ONCE = 256
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Removal:
    """A kind of thing, how many of it go, and about how many bytes that frees. ``setting`` is what
    decides; ``days`` None when it keeps everything."""

    what: str
    setting: str
    days: float | None
    count: int = 0
    bytes: int = 0


class Retention:
    """``on_threads`` is told which threads have gone, ``on_files`` that files have."""

    def __init__(
        self,
        database: Database,
        settings: RetentionSettings,
        *,
        log_seconds: int,
        snapshots: Path,
        on_threads: Callable[[list[str]], Awaitable[None]],
        on_files: Callable[[], Awaitable[None]],
    ) -> None:
        self._database = database
        self._settings = settings
        self._log_seconds = log_seconds
        self._snapshots = snapshots
        self._on_threads = on_threads
        self._on_files = on_files
        self._next_at = 0.0

    async def sweep_in_turn(self) -> None:
        """``sweep``, when it is time for it again."""
        if clock.monotonic() >= self._next_at:
            self._next_at = clock.monotonic() + self._settings.sweep_minutes * 60
            await self.sweep()

    async def plan(self) -> list[Removal]:
        """What ``sweep`` would remove now. Changes nothing."""
        return await self._each(is_meant=False)

    async def sweep(self) -> list[Removal]:
        """Remove it; returns what went. What that has freed of the database is given back to the
        disk, above ``free_mb``."""
        removed = await self._each(is_meant=True)
        await self._give_back()
        return removed

    async def _each(self, *, is_meant: bool) -> list[Removal]:
        settings = self._settings
        kinds: list[tuple[str, str, float | None, Callable[[int, bool], Awaitable[Share]]]] = [
            ("threads", "retention.thread_days", settings.thread_days, self._threads),
            ("files", "retention.file_days", settings.file_days, self._files),
            ("time lines", "retention.timeline_days", settings.timeline_days, self._timelines),
            ("events", "runs.log_retention_seconds", self._log_seconds / _DAY, self._logs),
            ("cursors", "retention.cursor_days", settings.cursor_days, self._cursors),
            ("snapshots", "retention.snapshot_days", settings.snapshot_days, self._old_snapshots),
        ]
        removed = []
        for what, setting, days, remove in kinds:
            if days is None:
                removed.append(Removal(what, setting, None))
            else:
                share = await remove(round(clock.now() - days * _DAY), is_meant)
                removed.append(Removal(what, setting, days, share.count, share.bytes))
        return removed

    async def _threads(self, before: int, is_meant: bool) -> Share:
        share = await self._database.read(lambda s: retention.unused_threads(s, before))
        if not is_meant or not share.count:
            return share

        def remove(session: Session) -> list[str]:
            return retention.delete_unused_threads(session, before, _THREADS_AT_ONCE)

        count = 0
        while gone := await self._database.write(remove):
            count += len(gone)
            await self._on_threads(gone)
        return Share(count, share.bytes)

    async def _files(self, before: int, is_meant: bool) -> Share:
        named = await self._database.read(retention.named_files)
        if is_meant:
            now = clock.now()
            await self._database.write(lambda s: retention.note_unused_files(s, named, now))
        unused = await self._database.read(lambda s: retention.unused_files(s, named, before))
        sizes = {file_id: size for _, file_id, size in unused}
        if not is_meant:
            return Share(len(unused), sum(sizes.values()))
        gone: list[str] = []
        for start in range(0, len(unused), _FILES_AT_ONCE):
            portion = [(project, one) for project, one, _ in unused[start : start + _FILES_AT_ONCE]]
            gone += await self._database.write(_without(portion, named))
        if gone:
            await self._on_files()
        return Share(len(gone), sum(sizes[file_id] for file_id in gone))

    async def _timelines(self, before: int, is_meant: bool) -> Share:
        share = await self._database.read(lambda s: retention.old_timelines(s, before))
        if is_meant and share.count:
            await self._repeat(lambda s: retention.drop_timelines(s, before, _ROWS_AT_ONCE))
        return share

    async def _logs(self, before: int, is_meant: bool) -> Share:
        share = await self._database.read(lambda s: retention.old_logs(s, before))
        if is_meant and share.count:
            await self._database.write(lambda s: run_events.delete_logs(s, before))
        return share

    async def _cursors(self, before: int, is_meant: bool) -> Share:
        share = await self._database.read(lambda s: retention.old_cursors(s, before))
        if is_meant and share.count:
            await self._repeat(lambda s: retention.drop_cursors(s, before, _ROWS_AT_ONCE))
        return share

    async def _give_back(self) -> None:
        while await self._database.read(free_room.free_bytes) > self._settings.free_mb * _MIB:
            # Nothing is lost with it: no need to sync each.
            await self._database.write(
                lambda session: free_room.give_back(session, _PAGES_AT_ONCE), durable=False
            )
            if await self._database.read(free_room.is_held):
                return  # the next sweep goes on
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _repeat(self, portion: Callable[[Session], int]) -> None:
        while await self._database.write(portion):
            continue  # other writers go in between

    async def _old_snapshots(self, before: int, is_meant: bool) -> Share:
        return await asyncio.to_thread(_remove_snapshots, self._snapshots, before, is_meant)


def _without(files: list[tuple[str, str]], named: Named) -> Callable[[Session], list[str]]:
    return lambda session: retention.delete_unused_files(session, files, named)


def _remove_snapshots(root: Path, before: int, is_meant: bool) -> Share:
    if not root.is_dir():
        return Share(0, 0)
    old = [file for file in stored_files(root) if file.used_ns < before * _NANOSECONDS]
    if is_meant:
        _unlink(old)
    return Share(len(old), sum(file.size for file in old))


def _unlink(old: Iterable[StoredFile]) -> None:
    for file in old:
        with suppress(FileNotFoundError):  # another process was quicker
            file.path.unlink()
