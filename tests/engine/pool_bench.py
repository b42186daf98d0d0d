"""Models that take memory and a while, and who holds them, without a model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from localassist.engine import EnginePool, ScriptedEngine
from localassist.engine.footprint import MIB, MemoryBudget
from localassist.engine.loading import LoadProgress
from tests.waiting import until


class Shelf:
    """Loads scripted engines and watches what is loaded at the same time. Sizes are in MiB."""

    def __init__(self, **sizes: int) -> None:
        self.sizes = sizes
        self.loads: list[str] = []
        self.engines: dict[str, ScriptedEngine] = {}
        self.most_bytes = 0
        self.gate: threading.Event | None = None

    def load(self, model_id: str, progress: LoadProgress) -> ScriptedEngine:
        progress(0.25)
        if self.gate is not None:
            assert self.gate.wait(20)
        progress(0.75)
        self.loads.append(model_id)
        self.engines[model_id] = ScriptedEngine(model_id=model_id, default_reply="Yes.")
        self.most_bytes = max(self.most_bytes, self.open_bytes)
        return self.engines[model_id]

    def estimate(self, model_id: str) -> int:
        return self.sizes[model_id] * MIB

    @property
    def open_bytes(self) -> int:
        return sum(
            self.estimate(name) for name, engine in self.engines.items() if not engine._is_closed
        )

    @asynccontextmanager
    async def pool(
        self, budget_mb: int | None = None, *, is_derived: bool = False, keep_alive: float = -1
    ) -> AsyncIterator[EnginePool]:
        size_bytes = None if budget_mb is None else budget_mb * MIB
        pool = EnginePool(
            self.load,
            estimate=self.estimate,
            budget=MemoryBudget(size_bytes, is_derived),
            keep_alive_seconds=keep_alive,
        )
        try:
            yield pool
        finally:
            await pool.close()
            assert self.open_bytes == 0 and pool.loaded() == []


async def settle() -> None:
    """Let everything happen that can happen without outside help."""
    for _ in range(20):
        await asyncio.sleep(0)


def states(pool: EnginePool) -> dict[str, str]:
    return {model.model_id: model.state for model in pool.loaded()}


class Holder:
    """Someone with a lease, who gives it back when told to."""

    def __init__(self, pool: EnginePool, model_id: str) -> None:
        self._pool, self._model_id = pool, model_id
        self._done = asyncio.Event()
        self.engine: object | None = None
        self.task = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        async with self._pool.lease(self._model_id) as self.engine:
            await self._done.wait()

    @property
    def has_lease(self) -> bool:
        return self.engine is not None

    async def got_it(self) -> Holder:
        await until(lambda: self.has_lease or self.task.done())
        assert self.has_lease
        return self

    async def let_go(self) -> None:
        self._done.set()
        await self.task


async def touch(pool: EnginePool, *model_ids: str) -> None:
    for model_id in model_ids:
        async with pool.lease(model_id):
            pass


# --- loading ------------------------------------------------------------------------------------
