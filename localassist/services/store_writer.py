"""Writes the indexes of vector stores so that they follow the rows, which are the truth.

Everything an index holds can be made anew from segments. So whatever goes wrong here, a kill
between two writes or a damaged index, is put right by comparing: entries without a completed file
go, completed files without entries come, and files whose segment is lost are queued again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence

from localassist.errors import IndexUnavailable, ShuttingDown
from localassist.retrieval.segments import Segment, SegmentStore
from localassist.retrieval.store_index import StoreIndex
from localassist.services.open_stores import OpenStores
from localassist.services.searching import ContentLost, MemberSegments
from localassist.storage import ingest_queue
from localassist.storage.database import Database, Session
from localassist.storage.ingest_queue import Completed, Outcome, QueuedFile

_log = logging.getLogger(__name__)
_SEGMENTS_AT_ONCE = 64
_UNITS_AT_ONCE = 1000
# In a store's folder: the version of the store that its index was last compared with.
_MARK = "version"


class StoreWriter:
    """Used by the one process that ingests, on its event loop."""

    def __init__(self, database: Database, segments: SegmentStore, stores: OpenStores) -> None:
        self._database = database
        self._segments = segments
        self._stores = stores
        # An entry whose row is about to be completed must not be taken for one without a row.
        self._lock = asyncio.Lock()
        # The versions with which indexes were last in line; None where nobody knows.
        self._seen: dict[str, int | None] = {}
        # Indexes that may have vectors to move, and whose mark on disk is older than ``_seen``.
        self._unsettled: set[str] = set()
        self._is_stopped = False

    def stop(self) -> None:
        """End a comparison that is under way at the next file: the process is closing."""
        self._is_stopped = True

    async def record(
        self,
        store_id: str,
        done: Sequence[tuple[QueuedFile, Segment]],
        failed: Mapping[int, Outcome],
    ) -> set[int]:
        """Make files of one store searchable and record how they ended, in one commit of the index
        and one of the database. Returns the entries that had not been removed meanwhile. Raises
        IndexUnavailable when even a new index cannot be written, and StorageError."""
        async with self._lock:
            if done:
                await self._add(store_id, {file.file_id: segment for file, segment in done})
            outcomes: dict[int, Outcome] = dict(failed)
            for file, segment in done:
                outcomes[file.seq] = Completed(segment.key, usage_bytes(segment))

            def finish(session: Session) -> tuple[set[int], int | None]:
                found = ingest_queue.finish(session, outcomes)
                return found, ingest_queue.version(session, store_id)

            found, version = await self._database.write(finish)
            if done:
                self._unsettled.add(store_id)
                if version is not None and self._seen.get(store_id) == version - 1:
                    self._seen[store_id] = version  # nobody else has changed the store meanwhile
            return found

    async def tidy(self) -> None:
        """Bring every index in line with its store, and remove those of deleted stores."""
        on_disk = await self._stores.on_disk()  # first: a store made meanwhile is not a leftover
        versions = await self._database.read(ingest_queue.store_versions)
        for store_id in on_disk - versions.keys():
            async with self._lock:
                await self._stores.remove(store_id)
            self._seen.pop(store_id, None)
            self._unsettled.discard(store_id)
        for store_id, (version, has_content) in versions.items():
            if not has_content and store_id not in on_disk:
                continue
            if store_id not in self._seen:
                self._seen[store_id] = await asyncio.to_thread(self._read_mark, store_id)
            try:
                if self._seen[store_id] != version:
                    async with self._lock:
                        await self._compare(store_id)
                if store_id in self._unsettled:
                    await self._settle(store_id)
            except IndexUnavailable as error:
                _log.error("the index of %s cannot be written: %s", store_id, error.message)

    async def rebuild(self, store_id: str) -> None:
        """Make a damaged index anew. Raises IndexUnavailable."""
        async with self._lock:
            await self._stores.remove(store_id)
            await self._compare(store_id)

    async def _add(self, store_id: str, added: Mapping[str, Segment]) -> None:
        try:
            await self._write(store_id, added)
        except IndexUnavailable as error:
            _log.warning("the index of %s is made anew: %s", store_id, error.message)
            await self._stores.remove(store_id)
            await self._compare(store_id)
            await self._write(store_id, added)

    async def _compare(self, store_id: str) -> None:
        """Bring the index in line with the rows."""

        def look(session: Session) -> tuple[int | None, dict[str, str]]:
            version = ingest_queue.version(session, store_id)
            return version, ingest_queue.segment_keys(session, store_id)

        version, keys = await self._database.read(look)
        try:
            await self._fill(store_id, keys)
        except IndexUnavailable as error:
            _log.warning("the index of %s is made anew: %s", store_id, error.message)
            await self._stores.remove(store_id)
            await self._fill(store_id, keys)
        self._seen[store_id] = version
        self._unsettled.add(store_id)

    async def _settle(self, store_id: str) -> None:
        """Move vectors into the index of a store that has become large, bit by bit, so that files
        which come meanwhile need not wait long."""
        keys = await self._database.read(lambda s: ingest_queue.segment_keys(s, store_id))
        members = MemberSegments(self._segments, keys)
        dimensions = await asyncio.to_thread(self._dimensions, keys.values())
        has_more = True
        try:
            while has_more and dimensions is not None and not self._is_stopped:
                async with self._lock, self._stores.lease(store_id, dimensions) as index:
                    has_more = await asyncio.to_thread(
                        index.settle, members, most_units=_UNITS_AT_ONCE
                    )
        except ContentLost:
            return  # the next comparison queues the file again
        if not self._is_stopped:
            self._unsettled.discard(store_id)
            await asyncio.to_thread(self._write_mark, store_id)

    async def _fill(self, store_id: str, keys: Mapping[str, str]) -> None:
        dimensions = await asyncio.to_thread(self._dimensions, keys.values())
        have: set[str] = set()
        if dimensions is None:  # nothing is left that could be searched
            await self._stores.remove(store_id)
        else:
            async with self._stores.lease(store_id, dimensions) as index:
                have = await asyncio.to_thread(index.file_ids)
                if stale := have - keys.keys():
                    await asyncio.to_thread(_apply, index, stale, {})
        missing = sorted(keys.keys() - have)
        lost: list[str] = []
        for start in range(0, len(missing), _SEGMENTS_AT_ONCE):
            names = missing[start : start + _SEGMENTS_AT_ONCE]
            if self._is_stopped:
                raise ShuttingDown("The service is closing.")
            segments = await asyncio.to_thread(self._load, {name: keys[name] for name in names})
            lost += [name for name in names if name not in segments]
            await self._write(store_id, segments)
        if lost:
            _log.warning("%d files of %s lost their content: queued again", len(lost), store_id)
            await self._database.write(lambda s: ingest_queue.put_back(s, store_id, lost))

    async def _write(self, store_id: str, added: Mapping[str, Segment]) -> None:
        if added:
            dimensions = next(iter(added.values())).vectors.shape[1]
            async with self._stores.lease(store_id, dimensions) as index:
                await asyncio.to_thread(_apply, index, (), added)

    def _dimensions(self, keys: Iterable[str]) -> int | None:
        segments = (self._segments.get(key) for key in keys)
        return next((each.vectors.shape[1] for each in segments if each is not None), None)

    def _load(self, keys: Mapping[str, str]) -> dict[str, Segment]:
        found = {name: self._segments.get(key) for name, key in keys.items()}
        return {name: segment for name, segment in found.items() if segment is not None}

    def _write_mark(self, store_id: str) -> None:
        folder = self._stores.folder(store_id)
        if folder.is_dir():
            (folder / _MARK).write_text(f"{self._seen[store_id]}\n")

    def _read_mark(self, store_id: str) -> int | None:
        try:
            return int((self._stores.folder(store_id) / _MARK).read_text())
        except (OSError, ValueError):
            return None


def usage_bytes(segment: Segment) -> int:
    """What a file's content takes: its text in UTF-8 and its vectors."""
    return len(segment.text.encode(errors="surrogatepass")) + segment.vectors.nbytes


def _apply(index: StoreIndex, gone: Collection[str], added: Mapping[str, Segment]) -> None:
    for file_id in gone:
        index.remove(file_id)
    for file_id, segment in added.items():
        index.add(file_id, segment)
    index.commit()
