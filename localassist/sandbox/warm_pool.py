"""Kernels that stand ready, for whoever needs one next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from localassist.errors import LocalAssistError
from localassist.sandbox.launcher import Launched

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 300.0


class WarmPool:
    """Filled by ``fill``, which is asked again and again. A start that fails is tried anew after a
    pause, each twice as long as the one before."""

    def __init__(
        self,
        launch: Callable[[], Awaitable[Launched]],
        monotonic: Callable[[], float],
        announce: Callable[[], None],
    ) -> None:
        """``announce`` is called when a start has ended, in one way or the other."""
        self._launch = launch
        self._announce = announce
        self._monotonic = monotonic
        self._ready: list[Launched] = []
        self._starting: asyncio.Task[None] | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._next_at = 0.0
        self._is_closed = False

    def __len__(self) -> int:
        """Those that stand ready or are being started."""
        return len(self._ready) + (self._starting is not None)

    @property
    def ready(self) -> int:
        return len(self._ready)

    async def take(self) -> Launched | None:
        """One that lives, if there is any."""
        while self._ready:
            launched = self._ready.pop(0)
            if await launched.kernel.check():
                return launched
            await launched.close("it ended before it was used")
        return None

    def fill(self, size: int) -> None:
        """Start one in the background where there are fewer than ``size``."""
        is_time = self._monotonic() >= self._next_at
        if len(self) < size and self._starting is None and is_time and not self._is_closed:
            self._starting = asyncio.create_task(self._start())

    async def close_one(self) -> bool:
        """Give up one that stands ready; False when there is none."""
        if not self._ready:
            return False
        await self._ready.pop().close("its place was needed")
        return True

    async def close(self) -> None:
        self._is_closed = True
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        ready, self._ready = self._ready, []
        await asyncio.gather(*(one.close("the service ended") for one in ready))

    async def _start(self) -> None:
        try:
            launched = await self._launch()
        except (LocalAssistError, OSError) as error:
            log.warning(
                "A kernel could not be made ready, next try in %g s: %s", self._pause, error
            )
            self._next_at = self._monotonic() + self._pause
            self._pause = min(2 * self._pause, MAX_PAUSE_SECONDS)
        else:
            self._pause = FIRST_PAUSE_SECONDS
            self._ready.append(launched)
        finally:
            self._starting = None
            self._announce()
