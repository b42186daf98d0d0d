"""From the owner thread to event loops: everything one step produced, in one hand-over per loop.

Knows nothing of what it carries beyond its type.
"""

from __future__ import annotations

import asyncio
from collections import deque

from localassist.engine.generation import Scores
from localassist.engine.request import Finished, Piece
from localassist.errors import LocalAssistError

Item = Piece | Finished | Scores | LocalAssistError


class Stream:
    """What one reader receives. Created on the event loop that will read it.

    Not a queue of the library's: that one wakes its reader through a chain of calls for each item,
    which is felt when eight answers come a token at a time.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._items: deque[Item] = deque()
        self._waiting: asyncio.Future[None] | None = None

    def put(self, item: Item) -> None:
        """Called on the stream's own loop."""
        self._items.append(item)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> Piece | Finished | Scores:
        """The next item; an error is raised."""
        if not self._items:
            await self._arrival()
        item = self._items.popleft()
        if isinstance(item, LocalAssistError):
            raise item
        return item

    async def get_all(self) -> list[Piece | Finished | Scores]:
        """Everything that has arrived, at least one item; an error is raised when its turn comes,
        after the items before it have been taken."""
        if not self._items:
            await self._arrival()
        taken: list[Piece | Finished | Scores] = []
        while self._items:
            item = self._items[0]
            if isinstance(item, LocalAssistError):
                if taken:
                    break
                raise item
            taken.append(item)
            self._items.popleft()
        return taken

    async def _arrival(self) -> None:
        """Until there is an item. A reader that is cancelled here has taken nothing."""
        assert self._waiting is None, "a stream has one reader"
        self._waiting = self.loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None


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
