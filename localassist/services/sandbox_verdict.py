"""Whether code can be run on this machine: found out, and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from localassist import clock
from localassist.sandbox.verdict import Verdict

_AGAIN_SECONDS = 30.0


class RememberedVerdict:
    """``probe`` blocks, and starts a sandbox: it is asked in a thread, for one caller at a time.
    What works is believed from then on, what does not is tried again after half a minute."""

    def __init__(
        self, probe: Callable[[], Verdict], now: Callable[[], float] = clock.monotonic
    ) -> None:
        self._probe = probe
        self._now = now
        self._lock = asyncio.Lock()
        self._found: Verdict | None = None
        self._found_at = 0.0
        self._asking: asyncio.Task[Verdict] | None = None

    def so_far(self) -> Verdict | None:
        """What is known without waiting. Where that is nothing yet, it is being found out now."""
        if self._found is None and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self.get())
        return self._found

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def get(self) -> Verdict:
        async with self._lock:
            found = self._found
            if found is None or not found.ok and self._now() - self._found_at >= _AGAIN_SECONDS:
                found = await asyncio.to_thread(self._probe)
                self._found, self._found_at = found, self._now()
            return found

    def doubt(self) -> None:
        """A kernel could not be started after all: ask anew."""
        self._found = None
