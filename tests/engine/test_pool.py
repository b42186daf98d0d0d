"""EnginePool: leases, a memory budget, queues without starvation, and everything closed."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import AsyncExitStack

import pytest

from localassist.engine import EnginePool, EngineSettings, LlamaEngine, ScriptedEngine
from localassist.engine.loading import LoadProgress
from localassist.engine.scripted_backend import ScriptedBackend
from localassist.errors import ModelLoadFailed, ShuttingDown
from tests.engine.pool_bench import Holder, Shelf, settle, states, touch
from tests.waiting import until


async def test_concurrent_callers_share_one_load() -> None:
    shelf = Shelf(a=1, b=1)
    async with shelf.pool() as pool, AsyncExitStack() as stack:
        leases = [stack.enter_async_context(pool.lease(name)) for name in ("a", "a")]
        first, second = [await lease for lease in leases]
        assert first is second and shelf.loads == ["a"]
        others = [Holder(pool, name) for name in ("a", "b", "b")]
        for other in others:
            await other.got_it()
            await other.let_go()
        assert sorted(shelf.loads) == ["a", "b"]
        assert pool.totals["a"].loads == 1 and pool.totals["a"].load_seconds > 0
    with pytest.raises(ShuttingDown):
        await touch(pool, "a")


async def test_two_models_load_and_work_at_the_same_time() -> None:
    shelf = Shelf(a=1, b=1)
    shelf.gate = threading.Event()
    async with shelf.pool(budget_mb=2) as pool:
        holders = [Holder(pool, "a"), Holder(pool, "b")]
        await until(lambda: [model.progress for model in pool.loaded()] == [0.25, 0.25])
        assert states(pool) == {"a": "loading", "b": "loading"} and pool.waiting == 2
        shelf.gate.set()
        for holder in holders:
            await holder.got_it()
        assert states(pool) == {"a": "busy", "b": "busy"} and pool.waiting == 0
        for holder in holders:
            await holder.let_go()
        assert states(pool) == {"a": "idle", "b": "idle"}


async def test_a_failed_load_is_raised_to_all_and_tried_again() -> None:
    attempts = 0

    def load(model_id: str, progress: LoadProgress) -> ScriptedEngine:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ModelLoadFailed("no")
        return ScriptedEngine()

    pool = EnginePool(load)
    first = await asyncio.gather(touch(pool, "a"), touch(pool, "a"), return_exceptions=True)
    assert all(isinstance(result, ModelLoadFailed) for result in first)
    await touch(pool, "a")
    assert (pool.totals["a"].loads, pool.totals["a"].load_failures) == (1, 1)
    await pool.close()


async def test_an_estimate_that_fails_is_raised() -> None:
    shelf = Shelf()
    async with shelf.pool(budget_mb=1) as pool:
        with pytest.raises(KeyError):
            await touch(pool, "unknown")
        assert shelf.loads == [] and pool.waiting == 0


async def test_a_cancelled_caller_does_not_lose_the_engine() -> None:
    shelf = Shelf(a=1)
    shelf.gate = threading.Event()
    async with shelf.pool(keep_alive=1000) as pool:
        holder = Holder(pool, "a")
        await until(lambda: states(pool) == {"a": "loading"})
        holder.task.cancel()
        await asyncio.wait([holder.task])
        assert pool.waiting == 0
        shelf.gate.set()
        await until(lambda: states(pool) == {"a": "idle"})
        await touch(pool, "a")
        assert shelf.loads == ["a"]


async def test_a_caller_cancelled_at_the_moment_of_its_lease_gives_it_back() -> None:
    shelf = Shelf(a=1)
    async with shelf.pool() as pool:
        await touch(pool, "a")
        for ticks in range(6):
            task = asyncio.create_task(touch(pool, "a"))
            for _ in range(ticks):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert states(pool) == {"a": "idle"}


async def test_a_broken_engine_is_closed_and_loaded_anew() -> None:
    backends: list[ScriptedBackend] = []

    def load(model_id: str, progress: LoadProgress) -> LlamaEngine:
        backends.append(ScriptedBackend())
        return LlamaEngine(lambda: backends[-1], model_id, EngineSettings(max_sequences=2))

    pool = EnginePool(load)
    first = await Holder(pool, "a").got_it()
    assert isinstance(first.engine, LlamaEngine)
    first.engine._worker.has_failed = True
    second = Holder(pool, "a")
    await settle()
    assert not second.has_lease and not backends[0].is_closed
    await first.let_go()
    await second.got_it()
    assert backends[0].is_closed and not backends[1].is_closed
    await second.let_go()
    await pool.close()
    assert backends[1].is_closed


# --- the budget ---------------------------------------------------------------------------------


async def test_an_idle_model_is_closed_after_a_while() -> None:
    shelf = Shelf(a=1)
    async with shelf.pool(keep_alive=0.05) as pool:
        holder = await Holder(pool, "a").got_it()
        await asyncio.sleep(0.1)
        assert states(pool) == {"a": "busy"}
        await holder.let_go()
        assert states(pool) == {"a": "idle"}
        await until(lambda: pool.loaded() == [])
        assert shelf.engines["a"]._is_closed
        assert (pool.totals["a"].expirations, pool.totals["a"].evictions) == (1, 0)
        await touch(pool, "a")
        assert shelf.loads == ["a", "a"]


async def test_a_model_kept_for_good_has_no_timer() -> None:
    shelf = Shelf(a=1)
    async with shelf.pool(keep_alive=-1) as pool:
        await touch(pool, "a")
        assert pool._residents["a"].expiry is None


async def test_closing_ends_loads_waits_and_work() -> None:
    shelf = Shelf(a=1, b=1, c=1)
    async with shelf.pool(budget_mb=2) as pool:
        busy = await Holder(pool, "a").got_it()
        shelf.gate = threading.Event()
        loading, waiting = Holder(pool, "b"), Holder(pool, "c")
        await until(lambda: states(pool).get("b") == "loading" and pool.waiting == 2)
        closing = asyncio.create_task(pool.close())
        await settle()
        for holder in (loading, waiting):
            with pytest.raises(ShuttingDown):
                await holder.task
        shelf.gate.set()
        await closing
        # The load was told to stop before it had an engine.
        assert shelf.loads == ["a"] and shelf.engines["a"]._is_closed
        await busy.let_go()
        await pool.close()


async def test_an_engine_that_does_not_close_in_order_is_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stubborn(ScriptedEngine):
        async def close(self) -> None:
            raise OSError("no")

    pool = EnginePool(lambda model_id, progress: (time.sleep(0), Stubborn())[1])
    await touch(pool, "a")
    await pool.close()
    assert pool.loaded() == [] and "did not close in order" in caplog.text
