from __future__ import annotations

import asyncio

import pytest

from localassist.runs.feed import EventFeed, Signal
from localassist.schemas.events import MESSAGE_DELTA, RUN_COMPLETED, RunEvent

PLACE = ("proj", "thread_1")


def delta(seq: int) -> RunEvent:
    return RunEvent(seq, MESSAGE_DELTA, {})


async def test_a_signal_wakes_stays_set_and_has_patience() -> None:
    signal = Signal()
    assert not await signal.wait(0.01)
    waiting = asyncio.create_task(signal.wait(60))
    await asyncio.sleep(0)
    signal.set()
    assert await asyncio.wait_for(waiting, 5)
    assert await signal.wait(60)  # still set
    signal.clear()
    assert not signal.is_set()


async def test_a_cancellation_that_arrives_with_the_signal_is_not_lost() -> None:
    signal = Signal()
    waiting = asyncio.create_task(signal.wait(60))
    await asyncio.sleep(0)
    signal.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await signal.wait(60)


def test_memory_tells_only_of_the_callers_own_run() -> None:
    feed = EventFeed()
    feed.keep(*PLACE, "run_1", 3)
    feed.publish("run_1", [delta(3), delta(4)])
    assert feed.after(*PLACE, "run_1", 3) == [delta(4)]
    assert feed.after(*PLACE, "run_1", 4) == []
    assert feed.after(*PLACE, "run_1", 1) is None  # event 2 was never here
    assert feed.after("proj", "thread_2", "run_1", 3) is None
    assert feed.after("other", "thread_1", "run_1", 3) is None


async def test_a_reader_takes_the_end_of_a_run_from_memory() -> None:
    feed = EventFeed()
    feed.keep(*PLACE, "run_1", 0)
    end = RunEvent(1, RUN_COMPLETED, {})
    with feed.listening("run_1"):
        feed.publish("run_1", [delta(0), end])
        feed.forget("run_1")
        assert feed.after(*PLACE, "run_1", 0) == [end]
        # What follows the end, if anything does, another process may write.
        assert feed.after(*PLACE, "run_1", 1) is None
    assert feed.after(*PLACE, "run_1", 0) is None
    assert (feed._recent, feed._listeners) == ({}, {})


async def test_a_run_that_was_lost_is_forgotten_at_once() -> None:
    feed = EventFeed()
    feed.keep(*PLACE, "run_1", 0)
    with feed.listening("run_1"):
        feed.publish("run_1", [delta(0)])
        feed.forget("run_1")
        assert feed.after(*PLACE, "run_1", -1) is None
