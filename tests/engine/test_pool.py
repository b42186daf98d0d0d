"""EnginePool: leases, a memory budget, queues without starvation, and everything closed."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from localassist.engine import EnginePool, EngineSettings, LlamaEngine, ScriptedEngine
from localassist.engine.footprint import MIB, MemoryBudget
from localassist.engine.loading import LoadProgress
from localassist.engine.scripted_backend import ScriptedBackend
from localassist.errors import ModelLoadFailed, ShuttingDown


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


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it has not come to pass")


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


async def test_idle_models_make_room_least_recently_used_first() -> None:
    shelf = Shelf(a=1, b=1, c=1, big=2)
    async with shelf.pool(budget_mb=3) as pool:
        await touch(pool, "a", "b", "c", "a", "big")
        assert set(states(pool)) == {"a", "big"}
        await touch(pool, "b")
        assert set(states(pool)) == {"big", "b"}
        evicted = {name: totals.evictions for name, totals in pool.totals.items()}
        assert evicted == {"a": 1, "b": 1, "c": 1, "big": 0}
    assert shelf.most_bytes <= 3 * MIB


async def test_a_model_in_use_is_never_closed() -> None:
    shelf = Shelf(a=1, b=1)
    async with shelf.pool(budget_mb=1, keep_alive=0) as pool:
        first = await Holder(pool, "a").got_it()
        second = Holder(pool, "b")
        await until(lambda: pool.waiting == 1)
        await settle()
        assert not second.has_lease and not shelf.engines["a"]._is_closed
        await first.let_go()
        await second.got_it()
        assert shelf.engines["a"]._is_closed
        await second.let_go()


async def test_whoever_waits_is_not_overtaken_for_ever() -> None:
    """Requests for a busy model that never pause would keep it busy: they queue up instead."""
    shelf = Shelf(a=1, b=1, small=1)
    async with shelf.pool(budget_mb=2) as pool:
        await touch(pool, "small")
        first = await Holder(pool, "a").got_it()
        held = await Holder(pool, "small").got_it()
        waiting = Holder(pool, "b")
        await until(lambda: pool.waiting == 1)
        late = Holder(pool, "a")
        await settle()
        # "a" was used before "small", so "a" is given up and "small" goes on.
        assert not late.has_lease
        await touch(pool, "small")
        await first.let_go()
        await waiting.got_it()
        assert not late.has_lease
        await held.let_go()
        await late.got_it()
        await waiting.let_go()
        await late.let_go()


async def test_all_who_wait_for_a_model_ride_along() -> None:
    shelf = Shelf(a=1, b=1)
    async with shelf.pool(budget_mb=1) as pool:
        first = await Holder(pool, "a").got_it()
        queue = []
        for name in "babab":
            queue.append(Holder(pool, name))
            await until(lambda: pool.waiting == len(queue))
        await first.let_go()
        for holder in queue[::2]:
            await holder.got_it()
        assert not queue[1].has_lease
        for holder in [*queue[::2], *queue[1::2]]:
            await holder.got_it()
            await holder.let_go()
        assert shelf.loads == ["a", "b", "a"]


async def test_a_cancelled_waiter_holds_nobody_up() -> None:
    shelf = Shelf(a=1, b=2)
    async with shelf.pool(budget_mb=2) as pool:
        first = await Holder(pool, "a").got_it()
        waiting = Holder(pool, "b")
        await until(lambda: pool.waiting == 1)
        late = Holder(pool, "a")
        await settle()
        assert not late.has_lease
        waiting.task.cancel()
        await late.got_it()
        await first.let_go()
        await late.let_go()
        assert shelf.loads == ["a"]


async def test_a_model_that_can_never_fit_is_refused() -> None:
    shelf = Shelf(a=1, huge=5)
    async with shelf.pool(budget_mb=4) as pool:
        await touch(pool, "a")
        with pytest.raises(
            ModelLoadFailed, match="huge needs about 5 MiB.*memory_budget_mb allows"
        ):
            await touch(pool, "huge")
        assert states(pool) == {"a": "idle"}


async def test_a_derived_budget_is_exceeded_by_one_model_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shelf = Shelf(a=1, huge=5)
    async with shelf.pool(budget_mb=4, is_derived=True) as pool:
        await touch(pool, "a", "huge")
        assert states(pool) == {"huge": "idle"}
        assert "Loading huge exceeds the memory for models by 1 MiB." in caplog.text
        await touch(pool, "a")
        assert states(pool) == {"a": "idle"}


async def test_room_is_there_while_nothing_has_to_be_closed_for_it() -> None:
    shelf = Shelf(a=1, b=1, huge=5, remote=0)
    async with shelf.pool(budget_mb=2) as pool:
        assert await pool.has_room("huge")
        await touch(pool, "a")
        assert await pool.has_room("a") and await pool.has_room("b")
        assert not await pool.has_room("huge") and await pool.has_room("remote")
        await touch(pool, "b")
        assert await pool.has_room("a") and await pool.has_room("remote")
        assert shelf.loads == ["a", "b"]


async def test_nothing_is_prepared_that_would_be_closed_at_once() -> None:
    async with Shelf(a=1).pool(keep_alive=0) as pool:
        assert not await pool.has_room("a")
        async with pool.lease("a"):
            assert await pool.has_room("a")


async def test_what_needs_no_memory_here_waits_for_nobody() -> None:
    shelf = Shelf(a=1, remote=0)
    async with shelf.pool(budget_mb=1) as pool:
        holder = await Holder(pool, "a").got_it()
        await touch(pool, "remote")
        await holder.let_go()
        assert set(states(pool)) == {"a", "remote"}


async def test_requests_for_two_models_each_do_not_wait_for_each_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shelf = Shelf(a=1, b=1, shared=1)
    has_one = [asyncio.Event(), asyncio.Event()]

    async def both(pool: EnginePool, number: int, name: str) -> None:
        async with pool.lease(name):
            has_one[number].set()
            await has_one[1 - number].wait()
            async with pool.lease("shared") as engine, pool.lease(name):
                assert await engine.score([1], [[2]])

    async with shelf.pool(budget_mb=2) as pool:
        work = asyncio.gather(both(pool, 0, "a"), both(pool, 1, "b"))
        await asyncio.wait_for(work, 20)
    assert "exceeds" in caplog.text and shelf.most_bytes == 3 * MIB


async def test_many_requests_for_many_models(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever comes and goes in whatever order: nobody waits for ever, a leased engine is open,
    and no more than the budget is loaded."""
    shelf = Shelf(a=1, b=2, c=3, d=4, e=0)
    served: list[str] = []

    async def request(pool: EnginePool, name: str, pause: random.Random) -> None:
        async with pool.lease(name) as engine:
            for _ in range(pause.randrange(4)):
                await asyncio.sleep(0)
                assert await engine.score([1], [[2]]) and engine.model_id == name
            served.append(name)

    for seed in range(15):
        dice = random.Random(seed)
        async with shelf.pool(budget_mb=5, keep_alive=dice.choice([-1, 0])) as pool:
            tasks = []
            for _ in range(40):
                tasks.append(asyncio.create_task(request(pool, dice.choice("abcde"), dice)))
                if dice.random() < 0.5:
                    await asyncio.sleep(0)
                if dice.random() < 0.2:
                    dice.choice(tasks).cancel()
            results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
            failures = [r for r in results if isinstance(r, Exception)]
            assert not failures and pool.waiting == 0
            assert all(model.leases == 0 for model in pool.loaded())
            assert not pool._holders and not pool._queue
    assert shelf.most_bytes <= 5 * MIB and len(served) > 400 and "exceeds" not in caplog.text


# --- keep-alive and the end ---------------------------------------------------------------------


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
