"""Whether new work for models is still taken, and what ends with its caller that is under way.

A run outlives its caller and its process, a chat completion does not: a service that is about to
stop refuses both, waits for both, and then stops what is left. Knows nothing of how long that is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from localassist.errors import ShuttingDown

RETRY_SECONDS = 5.0
"""When a caller may find the next process."""


class Admission:
    """Open, then closed to new work, then over for what is under way as well."""

    def __init__(self) -> None:
        self.is_closed = False
        self.under_way = 0
        self._is_over = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def close(self) -> None:
        """Take nothing new."""
        self.is_closed = True

    def end(self) -> None:
        """Have what is under way stop at its next step."""
        self.is_closed = self._is_over = True

    def check(self) -> None:
        """Raises ShuttingDown once nothing new is taken."""
        if self.is_closed:
            raise ShuttingDown(
                "The service is about to stop and takes no new work. Please try again later.",
                retry_after_seconds=RETRY_SECONDS,
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Work that is lost when the process ends before it. Raises as ``check`` does."""
        self.check()
        self.under_way += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self.under_way -= 1
            if not self.under_way:
                self._is_idle.set()

    async def rest(self) -> None:
        """Return when nothing is under way."""
        await self._is_idle.wait()

    def step(self) -> None:
        """Raises ShuttingDown when work under way has to stop."""
        if self._is_over:
            raise ShuttingDown(
                "The service was stopped before the answer was complete. Please try again later.",
                retry_after_seconds=RETRY_SECONDS,
            )
