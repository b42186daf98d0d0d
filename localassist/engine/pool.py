"""Loaded models within a memory budget: loaded when asked for, closed when idle or in the way.

Whoever uses an engine holds a *lease* on its model meanwhile; a model with leases is never closed.
A model that does not fit closes idle ones, least recently used first. Where that is not enough it
waits until busy ones have become idle; those take no new leases then, so that nobody waits for
ever. Waiters are served in the order of their coming, all that wait for one model together.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from localassist import clock
from localassist.engine.footprint import MIB, MemoryBudget
from localassist.engine.loading import LoadProgress
from localassist.engine.request import Engine
from localassist.errors import ModelLoadFailed, ShuttingDown

_log = logging.getLogger(__name__)

State = Literal["loading", "busy", "idle", "closing"]
_PROGRESS_LOG_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that takes memory at the moment. ``progress`` is the loaded part, 0 to 1;
    ``counters`` is the engine's own dataclass, None while there is no engine or it counts nothing.
    """

    model_id: str
    state: State
    progress: float
    size_bytes: int
    leases: int
    counters: Any


@dataclass(slots=True)
class ModelTotals:
    """What has happened to one model since the start. ``evictions`` made room for another model,
    ``expirations`` came after too long a time without use."""

    loads: int = 0
    load_failures: int = 0
    load_seconds: float = 0.0
    evictions: int = 0
    expirations: int = 0


@dataclass(slots=True, eq=False)
class _Waiter:
    """Someone who wants a lease. A holder has one already, of whichever model."""

    model_id: str
    size_bytes: int
    is_holder: bool
    granted: asyncio.Future[_Resident]


@dataclass(slots=True, eq=False)
class _Resident:
    """A model that takes memory: on its way in, there, or on its way out."""

    model_id: str
    size_bytes: int
    engine: Engine | None = None
    is_closing: bool = False
    leases: int = 0
    last_use: int = 0
    progress: float = 0.0
    riders: list[_Waiter] = field(default_factory=list)  # get their leases with the loaded model
    expiry: asyncio.TimerHandle | None = None

    @property
    def state(self) -> State:
        if self.is_closing:
            return "closing"
        if self.engine is None:
            return "loading"
        return "busy" if self.leases else "idle"

    @property
    def is_broken(self) -> bool:
        return getattr(self.engine, "is_broken", False)  # only engines that can break say so


class EnginePool:
    """Engines by model id. Use from one event loop.

    ``load`` makes an engine, in a worker thread; ``estimate`` says beforehand how many bytes it
    will take (0: it is elsewhere and needs no room) and may block too. An engine without leases is
    closed after ``keep_alive_seconds``; negative is never. One that broke is loaded anew.
    """

    def __init__(
        self,
        load: Callable[[str, LoadProgress], Engine],
        *,
        estimate: Callable[[str], int] = lambda model_id: 0,
        budget: MemoryBudget | None = None,
        keep_alive_seconds: float = -1,
    ) -> None:
        self.budget = budget if budget is not None else MemoryBudget()
        self._load_engine = load
        self._estimate = estimate
        self._keep_alive_seconds = keep_alive_seconds
        self._residents: dict[str, _Resident] = {}
        self._queue: list[_Waiter] = []
        self._draining: set[_Resident] = set()
        self._holders: Counter[asyncio.Task[Any] | None] = Counter()
        self._totals: dict[str, ModelTotals] = {}
        self._uses = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @property
    def waiting(self) -> int:
        """Requests that wait for a model to be loaded."""
        riders = [rider for resident in self._residents.values() for rider in resident.riders]
        return sum(not waiter.granted.done() for waiter in [*self._queue, *riders])

    @property
    def totals(self) -> dict[str, ModelTotals]:
        return {model_id: replace(totals) for model_id, totals in self._totals.items()}

    def loaded(self) -> list[LoadedModel]:
        """The models that take memory, by id."""
        return [
            LoadedModel(
                model_id=resident.model_id,
                state=resident.state,
                progress=resident.progress,
                size_bytes=resident.size_bytes,
                leases=resident.leases,
                counters=getattr(resident.engine, "counters", None),
            )
            for _, resident in sorted(self._residents.items())
        ]

    @asynccontextmanager
    async def lease(self, model_id: str) -> AsyncIterator[Engine]:
        """The engine of a model, loaded if need be and kept until the end of the block.

        A task that leases a second model while it holds a first waits for no other's lease: two
        such tasks could wait for each other. It may take the pool over its budget instead.
        Raises ModelLoadFailed for a model that can never fit, ShuttingDown, and what ``estimate``
        and ``load`` raise; the next lease tries again.
        """
        task = asyncio.current_task()
        resident = await self._acquire(model_id, is_holder=self._holders[task] > 0)
        self._holders[task] += 1
        try:
            assert resident.engine is not None
            yield resident.engine
        finally:
            self._holders[task] -= 1
            if self._holders[task] == 0:
                del self._holders[task]
            self._release(resident)

    async def has_room(self, model_id: str) -> bool:
        """Whether a lease could begin at once, or with a load that closes and awaits nothing, and
        that outlasts the lease. Asked before work that nobody waits for. Raises what ``estimate``
        raises."""
        if model_id in self._residents:
            return True
        if self._keep_alive_seconds == 0:
            return False
        if not self._residents:
            return True
        size_bytes = await asyncio.to_thread(self._estimate, model_id)
        return not self._queue and self._missing_bytes(size_bytes) <= 0

    async def close(self) -> None:
        """Close every engine, in use or not, and stop what is loading; no lease from now on."""
        self._is_closed = True
        riders = [rider for resident in self._residents.values() for rider in resident.riders]
        for waiter in [*self._queue, *riders]:
            if not waiter.granted.done():
                waiter.granted.set_exception(ShuttingDown("The engines are closed."))
        self._queue.clear()
        for resident in list(self._residents.values()):
            if resident.engine is not None and not resident.is_closing:
                self._begin_close(resident)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- leases -----------------------------------------------------------------------------------

    async def _acquire(self, model_id: str, *, is_holder: bool) -> _Resident:
        self._check_open()
        known = self._residents.get(model_id)
        if known is not None:
            size_bytes = known.size_bytes
        else:
            size_bytes = await asyncio.to_thread(self._estimate, model_id)
            self._check_open()
            self._check_size(model_id, size_bytes)
        granted: asyncio.Future[_Resident] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(model_id, size_bytes, is_holder, granted)
        self._queue.append(waiter)
        self._advance()
        try:
            return await granted
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise

    def _withdraw(self, waiter: _Waiter) -> None:
        """The caller has gone; what it was given at the same moment goes back."""
        granted = waiter.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            self._release(granted.result())
        elif waiter in self._queue:
            self._queue.remove(waiter)
            self._advance()

    def _grant(self, waiter: _Waiter, resident: _Resident) -> None:
        if resident.expiry is not None:
            resident.expiry.cancel()
            resident.expiry = None
        resident.leases += 1
        resident.last_use = next(self._uses)
        waiter.granted.set_result(resident)

    def _release(self, resident: _Resident) -> None:
        resident.leases -= 1
        if resident.leases == 0 and not resident.is_closing:
            self._rest(resident)

    def _rest(self, resident: _Resident) -> None:
        """A model has become idle."""
        if resident.is_broken:
            self._begin_close(resident)
            return
        self._advance()
        if resident.state != "idle" or self._keep_alive_seconds < 0:
            return
        loop = asyncio.get_running_loop()
        resident.expiry = loop.call_later(self._keep_alive_seconds, self._expire, resident)

    def _expire(self, resident: _Resident) -> None:
        self._total(resident.model_id).expirations += 1
        _log.info("Closing %s, which nobody has used for a while.", resident.model_id)
        self._begin_close(resident)

    # --- the queue --------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Serve whoever can be served. Only the first that needs room may make some: the others
        wait behind it, but for those whose model is there and not being given up."""
        self._draining.clear()
        is_blocked = False
        for waiter in list(self._queue):
            if waiter.granted.done() or waiter not in self._queue:
                continue
            if self._serve(waiter, may_load=not is_blocked or waiter.is_holder):
                self._queue.remove(waiter)
            else:
                is_blocked = True

    def _serve(self, waiter: _Waiter, *, may_load: bool) -> bool:
        """Give a waiter its lease, or a place in a load."""
        resident = self._residents.get(waiter.model_id)
        if resident is None:
            if not may_load or not self._make_room(waiter):
                return False
            self._begin_load(waiter)
            return True
        if resident.state == "loading":
            resident.riders.append(waiter)
            return True
        if resident.is_closing:
            return False
        if resident.is_broken and resident.leases == 0:
            self._begin_close(resident)
            return False
        # A holder must not wait for leases, of which one may be its own.
        if not waiter.is_holder and (resident.is_broken or resident in self._draining):
            return False
        self._grant(waiter, resident)
        return True

    def _make_room(self, waiter: _Waiter) -> bool:
        """Whether a model can be loaded now. If not, idle models are closed and busy ones marked,
        as many as it takes; their end leads back here."""
        missing = self._missing_bytes(waiter.size_bytes)
        if missing <= 0:
            return True
        sized = [resident for resident in self._residents.values() if resident.size_bytes > 0]
        closing = [resident for resident in sized if resident.is_closing]
        missing -= sum(resident.size_bytes for resident in closing)
        staying = [resident for resident in sized if not resident.is_closing]
        for resident in sorted(staying, key=lambda r: (r.state != "idle", r.last_use)):
            if missing <= 0:
                break
            if resident.state == "idle":
                self._total(resident.model_id).evictions += 1
                _log.info("Closing %s to make room for %s.", resident.model_id, waiter.model_id)
                self._begin_close(resident)
                closing.append(resident)
            elif waiter.is_holder:
                break
            else:
                self._draining.add(resident)
            missing -= resident.size_bytes
        # What is closing is waited for; else only a holder and a model alone may exceed the budget.
        may_exceed = not closing and (waiter.is_holder or not sized)
        if may_exceed:
            _log.warning(
                "Loading %s exceeds the memory for models by %d MiB.",
                waiter.model_id,
                -(-missing // MIB),
            )
        return may_exceed

    def _missing_bytes(self, size_bytes: int) -> int:
        """By how much a model exceeds what is left of the budget; not positive when it fits."""
        limit = self.budget.size_bytes
        if limit is None or size_bytes == 0:
            return 0
        taken = sum(resident.size_bytes for resident in self._residents.values())
        return size_bytes + taken - limit

    def _check_size(self, model_id: str, size_bytes: int) -> None:
        limit = self.budget.size_bytes
        if limit is not None and size_bytes > limit and not self.budget.is_derived:
            raise ModelLoadFailed(
                f"{model_id} needs about {-(-size_bytes // MIB)} MiB for its weights, KV cells and "
                f"snapshots; engine.memory_budget_mb allows {limit // MIB}. Raise it, or lower "
                "engine.context_tokens or engine.snapshot_memory_mb."
            )

    # --- loading and closing ----------------------------------------------------------------------

    def _begin_load(self, waiter: _Waiter) -> None:
        """Load a model for a waiter and for all others that wait for it too."""
        resident = _Resident(waiter.model_id, waiter.size_bytes, last_use=next(self._uses))
        self._residents[waiter.model_id] = resident
        others = [w for w in self._queue if w.model_id == waiter.model_id and w is not waiter]
        resident.riders = [waiter, *others]
        self._queue = [w for w in self._queue if w not in others]
        self._start(self._load(resident), f"load {waiter.model_id}")

    async def _load(self, resident: _Resident) -> None:
        model_id = resident.model_id
        totals = self._total(model_id)
        started = clock.monotonic()
        size = f", about {resident.size_bytes // MIB} MiB" if resident.size_bytes else ""
        _log.info("Loading %s%s.", model_id, size)
        report = _ProgressReport(resident, lambda: self._is_closed)
        try:
            resident.engine = await asyncio.to_thread(self._load_engine, model_id, report)
        except Exception as error:
            totals.load_failures += 1
            del self._residents[model_id]
            for rider in resident.riders:
                if not rider.granted.done():
                    rider.granted.set_exception(error)
            self._advance()
            return
        seconds = clock.monotonic() - started
        totals.loads += 1
        totals.load_seconds += seconds
        resident.progress = 1.0
        _log.info("Loaded %s in %.1f s.", model_id, seconds)
        riders, resident.riders = resident.riders, []
        if self._is_closed:
            self._begin_close(resident)
            return
        for rider in riders:
            if not rider.granted.done():
                self._grant(rider, resident)
        if resident.leases == 0:
            self._rest(resident)
        else:
            self._advance()

    def _begin_close(self, resident: _Resident) -> None:
        if resident.expiry is not None:
            resident.expiry.cancel()
        resident.is_closing = True
        self._start(self._close(resident), f"close {resident.model_id}")

    async def _close(self, resident: _Resident) -> None:
        assert resident.engine is not None
        try:
            await resident.engine.close()
        except Exception:
            _log.exception("%s did not close in order", resident.model_id)
        finally:
            del self._residents[resident.model_id]
            self._advance()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _total(self, model_id: str) -> ModelTotals:
        return self._totals.setdefault(model_id, ModelTotals())

    def _check_open(self) -> None:
        if self._is_closed:
            raise ShuttingDown("The engines are closed.")


class _ProgressReport:
    """Notes how far a load is, on the thread that loads, and ends it once nobody wants it."""

    def __init__(self, resident: _Resident, is_unwanted: Callable[[], bool]) -> None:
        self._resident = resident
        self._is_unwanted = is_unwanted
        self._logged = clock.monotonic()

    def __call__(self, fraction: float) -> None:
        if self._is_unwanted():
            raise ShuttingDown("The engines are closed.")
        self._resident.progress = fraction
        now = clock.monotonic()
        if now - self._logged >= _PROGRESS_LOG_SECONDS:
            self._logged = now
            _log.info("Loading %s: %d %%.", self._resident.model_id, int(fraction * 100))
