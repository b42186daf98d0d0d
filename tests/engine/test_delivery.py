from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.core import Usage
from localassist.engine.delivery import Item, Outbox, Stream
from localassist.engine.request import Finished, Piece
from localassist.errors import GenerationFailed

END = Finished("stop", Usage(1, 2))


def piece(number: int) -> Piece:
    return Piece(f"{number} ", (number,))


@given(
    steps=st.lists(st.integers(0, 3), max_size=12), takes_all=st.lists(st.booleans(), max_size=40)
)
def test_every_item_arrives_once_and_in_order(steps: list[int], takes_all: list[bool]) -> None:
    """However many a step brings, and whichever way the reader takes them."""
    sent: list[Item] = [piece(number) for number in range(sum(steps))] + [END]

    async def exchange() -> list[Item]:
        stream, outbox = Stream(), Outbox()
        ways = iter(takes_all)
        got: list[Item] = []

        async def read() -> None:
            while not got or got[-1] is not END:
                if next(ways, False):
                    taken = await stream.get_all()
                    assert taken
                    got.extend(taken)
                else:
                    got.append(await stream.get())

        reading = asyncio.create_task(read())
        left = iter(sent)
        for count in [*steps, 1]:
            for _ in range(count):
                outbox.add(stream, next(left))
            assert outbox.flush() == []
            await asyncio.sleep(0)
        await asyncio.wait_for(reading, 5)
        return got

    assert asyncio.run(exchange()) == sent


async def test_what_came_before_an_error_is_read_before_it() -> None:
    stream = Stream()
    for item in (piece(1), piece(2), GenerationFailed("broken")):
        stream.put(item)
    assert await stream.get_all() == [piece(1), piece(2)]
    with pytest.raises(GenerationFailed, match="broken"):
        await stream.get_all()


async def test_a_cancelled_reader_takes_nothing_with_it() -> None:
    stream = Stream()
    reading = asyncio.create_task(stream.get())
    await asyncio.sleep(0)
    stream.put(piece(1))  # the reader is woken by this, and cancelled before it runs
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert reading.cancelled()
    stream.put(piece(2))
    assert await stream.get_all() == [piece(1), piece(2)]


async def test_streams_of_a_closed_loop_are_named() -> None:
    async def make() -> Stream:
        return Stream()

    lost = await asyncio.to_thread(asyncio.run, make())
    kept, outbox = Stream(), Outbox()
    outbox.add(lost, piece(1))
    outbox.add(kept, piece(2))
    assert outbox.flush() == [lost]
    assert await kept.get() == piece(2)
