"""From the owner thread to event loops: everything one step produced, in one hand-over per loop.

Knows nothing of what it carries beyond its type.
"""

from __future__ import annotations

import asyncio

from localassist.engine.generation import Scores
from localassist.engine.request import Finished, Piece
from localassist.errors import LocalAssistError

Item = Piece | Finished | Scores | LocalAssistError


class Stream:
    """What one reader receives. Created on the event loop that will read it."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[Item] = asyncio.Queue()

    def put(self, item: Item) -> None:
        """Called on the stream's own loop."""
        self._items.put_nowait(item)

    async def get(self) -> Piece | Finished | Scores:
        """The next item; an error is raised."""
        item = await self._items.get()
        if isinstance(item, LocalAssistError):
            raise item
        return item


class Outbox:
    """Collects items during a step. Used by the owner thread only."""

    def __init__(self) -> None:
        self._by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Stream, Item]]] = {}

    def add(self, stream: Stream, item: Item) -> None:
        self._by_loop.setdefault(stream.loop, []).append((stream, item))

    def flush(self) -> list[Stream]:
        """Hand everything over; returns the streams whose loop no longer exists."""
        lost: list[Stream] = []
        for loop, items in self._by_loop.items():
            try:
                loop.call_soon_threadsafe(_put_all, items)
            except RuntimeError:  # the loop is closed
                lost += [stream for stream, _ in items]
        self._by_loop = {}
        return lost


def _put_all(items: list[tuple[Stream, Item]]) -> None:
    for stream, item in items:
        stream.put(item)
