"""Who makes room for whom in a pool of models, and who waits."""

from __future__ import annotations

import asyncio
import random

import pytest

from localassist.engine import EnginePool
from localassist.engine.footprint import MIB
from localassist.errors import ModelLoadFailed
from tests.engine.pool_bench import Holder, Shelf, settle, states, touch
from tests.waiting import until


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
