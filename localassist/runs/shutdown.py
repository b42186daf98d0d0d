"""The orderly end of a service: nothing new, what is worked may finish, the rest is parked.

Parked runs have kept all they have said; whichever process opens the data folder next goes on with
them. Streams end with an error that says so. Knows nothing of signals or sockets.
"""

from __future__ import annotations

import asyncio

from localassist.runs.events import EventLog
from localassist.runs.executor import Executor
from localassist.services.admission import Admission


class Shutdown:
    """Happens once. The runtime may be closed without it; then all runs are parked at once."""

    def __init__(self, admission: Admission, executor: Executor, log: EventLog) -> None:
        self._admission = admission
        self._executor = executor
        self._log = log

    @property
    def has_begun(self) -> bool:
        return self._admission.is_closed

    @property
    def under_way(self) -> int:
        """Runs being worked, and chat completions."""
        return self._executor.running + self._admission.under_way

    async def drain(self, seconds: float, urgent: asyncio.Event | None = None) -> int:
        """Take nothing new; let what is under way finish for so long, or until it is ``urgent``;
        then park the runs and end all streams. Returns how many runs were parked.

        Tool outputs are accepted all the while; their runs wait for the next process.
        """
        self._admission.close()
        self._executor.stop_claiming()
        hurry = (asyncio.Event() if urgent is None else urgent).wait()
        waits = {asyncio.create_task(self._rest()), asyncio.create_task(hurry)}
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait(waits, timeout=seconds, return_when=first)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        parked = await self._executor.park()
        self._admission.end()
        self._log.close()
        return parked

    async def _rest(self) -> None:
        await self._executor.rest()
        await self._admission.rest()
