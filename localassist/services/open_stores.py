"""The indexes of vector stores that are open in this process, shared by ingest and search.

An index is opened when first asked for, stays open while it is used now and then, and is closed
when nobody holds it. One process writes all indexes; in the others an open index is only as new as
the store's version when it was opened, so it is opened again when the store has a newer one.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from localassist.errors import IndexUnavailable
from localassist.retrieval.store_index import StoreIndex

_log = logging.getLogger(__name__)
_PREFIX = "vs_"


@dataclass(slots=True)
class _Open:
    """An index, perhaps still being opened. ``version`` is the store's when it was opened."""

    opening: asyncio.Task[StoreIndex]
    version: int
    leases: int = 0
    is_retired: bool = False
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class OpenStores:
    """Used on the runtime's event loop; opening and closing happen in threads.

    ``is_writer`` is set once this process is the one that ingests.
    """

    def __init__(self, root: Path, *, keep: int) -> None:
        self._root = root
        self._keep = keep
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._closing: dict[str, asyncio.Task[None]] = {}
        self.is_writer = False

    async def become_writer(self) -> None:
        """This process ingests from now on. Indexes that are open may be older than what another
        process wrote before it ended."""
        if not self.is_writer:
            self.is_writer = True
            for store_id, found in list(self._open.items()):
                self._retire(store_id, found)

    @asynccontextmanager
    async def lease(
        self, store_id: str, dimensions: int, version: int = 0
    ) -> AsyncIterator[StoreIndex]:
        """The store's index, at least as new as ``version``; open until the end of the block.
        Raises IndexUnavailable."""
        found = await self._find(store_id, dimensions, version)
        found.leases += 1
        try:
            yield await asyncio.shield(found.opening)
        except IndexUnavailable:
            self._retire(store_id, found)
            raise
        finally:
            found.leases -= 1
            if found.is_retired and not found.leases:
                self._close(store_id, found)
            self._trim()

    async def drop(self, store_id: str) -> None:
        """Close the store's index, and wait until those who hold it have let go."""
        found = self._open.get(store_id)
        if found is not None:
            self._retire(store_id, found)
            await found.closed.wait()
        await self._closed(store_id)

    async def remove(self, store_id: str) -> None:
        """Delete the store's index from the disk. Not for those who hold it."""
        await self.drop(store_id)
        await asyncio.to_thread(shutil.rmtree, self._root / store_id, ignore_errors=True)

    async def on_disk(self) -> set[str]:
        """The stores that have an index on disk."""

        def look() -> set[str]:
            return {path.name for path in self._root.glob(f"{_PREFIX}*") if path.is_dir()}

        return await asyncio.to_thread(look)

    def folder(self, store_id: str) -> Path:
        return self._root / store_id

    async def close(self) -> None:
        """Close everything; nobody may hold an index any more."""
        for store_id, found in list(self._open.items()):
            self._retire(store_id, found)
        await asyncio.gather(*self._closing.values(), return_exceptions=True)

    async def _find(self, store_id: str, dimensions: int, version: int) -> _Open:
        found = self._open.get(store_id)
        if found is not None and found.version < version and not self.is_writer:
            self._retire(store_id, found)
        await self._closed(store_id)
        found = self._open.get(store_id)  # another task may have been quicker
        if found is None:
            opening = asyncio.create_task(
                asyncio.to_thread(StoreIndex.open, self.folder(store_id), dimensions)
            )
            found = self._open[store_id] = _Open(opening, version)
        self._open.move_to_end(store_id)
        return found

    async def _closed(self, store_id: str) -> None:
        while store_id in self._closing:
            await asyncio.wait({self._closing[store_id]})

    def _retire(self, store_id: str, found: _Open) -> None:
        if self._open.get(store_id) is found:
            del self._open[store_id]
        if not found.is_retired:
            found.is_retired = True
            if not found.leases:
                self._close(store_id, found)

    def _trim(self) -> None:
        idle = [item for item in self._open.items() if not item[1].leases]
        for store_id, found in idle[: max(0, len(self._open) - self._keep)]:
            self._retire(store_id, found)

    def _close(self, store_id: str, found: _Open) -> None:
        before = self._closing.get(store_id)

        async def close() -> None:
            try:
                if before is not None:
                    await asyncio.wait({before})
                await asyncio.wait({found.opening})
                if found.opening.exception() is None:
                    await asyncio.to_thread(found.opening.result().close)
            except Exception:
                _log.exception("the index of %s could not be closed", store_id)
            finally:
                found.closed.set()
                if self._closing.get(store_id) is task:
                    del self._closing[store_id]

        task = self._closing[store_id] = asyncio.create_task(close())
