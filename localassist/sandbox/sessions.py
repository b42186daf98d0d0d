"""One kernel per key, which keeps its variables between uses, and never too many kernels at once.

A key is whatever state belongs to, such as a thread. Whoever uses a kernel holds a lease on it;
beside leases, kernels are ended when they were idle too long or their place is needed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from localassist import clock
from localassist.errors import ShuttingDown
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.launcher import KernelLauncher, Launched, Launcher
from localassist.sandbox.limits import Limits
from localassist.sandbox.session import Session
from localassist.sandbox.warm_pool import WarmPool

log = logging.getLogger(__name__)

TEND_SECONDS = 1.0
REMEMBERED = 10_000
"""Keys whose kernel is gone, for telling them so."""

End = Literal["evicted", "expired", "died", "dropped"]

_DELETED = "what it belonged to was deleted"
_CLOSED = "the service ended"


class Sessions:
    """For one event loop. Nothing is started before the first lease."""

    def __init__(
        self,
        settings: SandboxSettings,
        home: Path,
        *,
        launcher: KernelLauncher | None = None,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        self._settings = settings
        self._launcher = launcher or Launcher(settings, home)
        self._monotonic = monotonic
        self._limits = Limits.of(settings)
        self._sessions: dict[str, Session] = {}
        self._warm = WarmPool(lambda: self._launch(self._limits), monotonic, self._announce)
        self._reserved = 0  # places of kernels that are being started or taken down
        self._queue: deque[object] = deque()  # for places: first come, first served
        self._changed = asyncio.Event()
        self._lost: OrderedDict[str, str] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._sweeping: asyncio.Task[None] | None = None
        self._tending: asyncio.Task[None] | None = None
        self._is_closed = False

    @asynccontextmanager
    async def lease(self, key: str, limits: Limits) -> AsyncIterator[Session]:
        """The kernel of the key, started if need be, for as long as the block runs. Waits while
        another lease of the key is held, and while all kernels are in use. Raises
        SandboxUnavailable, KernelStartFailed and ShuttingDown."""
        session = await self.acquire(key, limits)
        try:
            yield session
        finally:
            await self.release(session)

    async def acquire(self, key: str, limits: Limits) -> Session:
        """See ``lease``; ``release`` has to follow."""
        self._require_open()
        await self._begin()
        while True:
            session = self._sessions.get(key)
            if session is None:
                session = Session(key, limits, self._lost.pop(key, None))
                self._sessions[key] = session
            if await self._lease(session, limits):
                return session

    async def release(self, session: Session) -> None:
        session.used_at = self._monotonic()
        self._give_back(session)
        if session.is_dropped and session.leases == 0:
            await self._end(session, "dropped", _DELETED)

    async def drop(self, key: str) -> None:
        """The key is gone: end its kernel, also while code runs in it."""
        self._lost.pop(key, None)
        session = self._sessions.get(key)
        if session is not None:
            session.is_dropped = True
            if session.is_started:
                await self._end(session, "dropped", _DELETED)

    async def close(self) -> None:
        """End all kernels; nothing of them is left when this returns."""
        self._is_closed = True
        self._announce()
        for task in (self._tending, self._sweeping):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._warm.close()
        started = [session for session in self._sessions.values() if session.is_started]
        await asyncio.gather(*(self._end(one, "dropped", _CLOSED) for one in started))
        while self._reserved:  # starts that have yet to notice
            await self._changed.wait()

    def counts(self) -> Mapping[str, int]:
        """Kernels now (``kernels``, of them ``busy``, ``idle`` and ``warm``), and what happened
        since the beginning (``started``, ``evicted``, ``expired``, ``died``)."""
        started = [session for session in self._sessions.values() if session.is_started]
        busy = sum(session.leases > 0 for session in started)
        return {
            "kernels": len(started) + self._warm.ready,
            "busy": busy,
            "idle": len(started) - busy,
            "warm": self._warm.ready,
            **{name: self._counts[name] for name in ("started", "evicted", "expired", "died")},
        }

    async def tend(self) -> None:
        """Once: end what was idle too long, notice what has died, start what should stand ready."""
        for session in [one for one in self._sessions.values() if one.is_idle]:
            if not await session.kernel.check():
                await self._end_dead(session)
            elif self._monotonic() - session.used_at > self._settings.idle_seconds:
                minutes = self._settings.idle_seconds / 60
                await self._end(session, "expired", f"it was not used for {minutes:g} minutes")
        if not self._queue:
            free = self._settings.max_kernels - self._taken()
            self._warm.fill(min(self._settings.warm_kernels, len(self._warm) + free))

    async def _begin(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._launcher.sweep())
        await asyncio.wait([self._sweeping])
        if self._tending is None and not self._is_closed:
            self._tending = asyncio.create_task(self._tend_for_ever())

    async def _tend_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TEND_SECONDS)
            try:
                await self.tend()
            except Exception:  # whatever it was, others have to be looked after
                log.exception("Kernels could not be looked after")

    async def _lease(self, session: Session, limits: Limits) -> bool:
        """False: the session has ended while we waited for it, take another."""
        session.leases += 1
        try:
            await session.lock.acquire()
        except BaseException:
            self._unlease(session)
            raise
        try:
            is_usable = await self._make_usable(session, limits)
        except BaseException:
            self._give_back(session)
            raise
        if not is_usable:
            self._give_back(session)
        return is_usable

    async def _make_usable(self, session: Session, limits: Limits) -> bool:
        self._require_open()
        if self._sessions.get(session.key) is not session or session.ending is not None:
            return False
        session.limits = limits
        if not session.is_started:
            await self._start(session)
        elif await session.kernel.check():
            session.kernel.limits = limits
        else:
            await self._end_dead(session)
            return False
        return True

    def _give_back(self, session: Session) -> None:
        session.lock.release()
        self._unlease(session)

    def _unlease(self, session: Session) -> None:
        session.leases -= 1
        is_ours = self._sessions.get(session.key) is session
        if is_ours and session.leases == 0 and not session.is_started:
            del self._sessions[session.key]
            self._remember(session.key, session.lost_because)
        self._announce()

    async def _start(self, session: Session) -> None:
        launched = await self._wait_for_place(session.limits)
        # A place is reserved from here on.
        try:
            session.begin(launched or await self._launch(session.limits))
        finally:
            self._reserved -= 1
            self._announce()
        if self._is_closed:
            await self._end(session, "dropped", _CLOSED)
            self._require_open()

    async def _wait_for_place(self, limits: Limits) -> Launched | None:
        """Reserve a place, with a kernel that stands ready where one suits."""
        ticket = object()
        self._queue.append(ticket)
        try:
            while True:
                self._require_open()
                changed = self._changed
                if self._queue[0] is ticket:
                    if self._is_usual(limits) and self._warm.ready:
                        self._reserved += 1
                        return await self._take_warm()
                    if self._taken() < self._settings.max_kernels:
                        self._reserved += 1
                        return None
                    if await self._make_room():
                        continue
                await changed.wait()
        finally:
            self._queue.remove(ticket)
            self._announce()

    async def _take_warm(self) -> Launched | None:
        try:
            return await self._warm.take()
        except BaseException:
            self._reserved -= 1
            raise

    async def _make_room(self) -> bool:
        """End a kernel that nobody uses; False when all are in use."""
        if await self._warm.close_one():
            return True
        idle = [session for session in self._sessions.values() if session.is_idle]
        if not idle:
            return False
        oldest = min(idle, key=lambda session: session.used_at)
        await self._end(oldest, "evicted", "other code needed its place")
        return True

    def _taken(self) -> int:
        started = sum(session.is_started for session in self._sessions.values())
        return started + self._reserved + len(self._warm)

    def _is_usual(self, limits: Limits) -> bool:
        """What is set when a kernel starts, and can only be lowered from outside, is as in those
        that stand ready."""
        return all(
            getattr(limits, name) == getattr(self._limits, name)
            for name in ("memory_mb", "processes", "disk_mb")
        )

    async def _launch(self, limits: Limits) -> Launched:
        launched = await self._launcher.launch(limits)
        self._counts["started"] += 1
        return launched

    async def _end_dead(self, session: Session) -> None:
        await self._end(session, "died", session.kernel.ended_because() or "it ended")

    async def _end(self, session: Session, end: End, because: str) -> None:
        """Until nothing of its kernel is left."""
        if session.ending is None:
            self._counts[end] += 1
            if self._sessions.get(session.key) is session:
                del self._sessions[session.key]
            if not session.is_dropped:
                self._remember(session.key, because)
            self._reserved += 1
            session.ending = asyncio.create_task(self._take_down(session, because))
        await asyncio.shield(session.ending)

    async def _take_down(self, session: Session, because: str) -> None:
        try:
            await session.launched.close(because)
        finally:
            self._reserved -= 1
            self._announce()

    def _remember(self, key: str, because: str | None) -> None:
        if because is not None:
            self._lost[key] = because
            if len(self._lost) > REMEMBERED:
                self._lost.popitem(last=False)

    def _announce(self) -> None:
        """Wake all who wait for something to change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _require_open(self) -> None:
        if self._is_closed:
            raise ShuttingDown("The service is closing; no code can be run any more.")
