"""Deltas of several runs, stored together: all or nothing, except where a lease is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from localassist.engine import ScriptedEngine
from localassist.errors import StorageUnavailable
from localassist.runs.progress import Progress
from localassist.runs.recorder import Piece, Recorder
from localassist.runtime import Runtime
from localassist.schemas import events as wire
from localassist.storage import run_events
from localassist.storage import runs as stored_runs
from tests.runs.conftest import OpenRuntime, P, Talk, begin
from tests.waiting import until

WAITING = {"poll_seconds": 30, "flush_seconds": 0.005}


@pytest_asyncio.fixture
async def runtime(open_scripted: OpenRuntime) -> AsyncIterator[Runtime]:
    """One whose runs are under way and say nothing by themselves."""
    engine = ScriptedEngine(default_reply="...", model_id="scripted", delay_seconds=60)
    async with open_scripted(engine, runs=WAITING) as opened:
        yield opened


async def begun(runtime: Runtime) -> tuple[Talk, Recorder, str]:
    """A run that is being worked, a recorder of its own, and its open message."""
    talk = await begin(runtime)
    run = await talk.start()
    executor = runtime.runs._executor
    await until(lambda: run.id in executor._workers)
    recorder = Recorder(runtime.runs._writer, run.id, executor._owner)
    opened = await recorder.open_message("scripted")
    return talk, recorder, opened


async def texts(runtime: Runtime, recorder: Recorder) -> list[str]:
    stored = await runtime.runs._database.read(lambda s: run_events.read(s, recorder.run_id, -1))
    assert [event.seq for event in stored] == list(range(len(stored)))
    deltas = [e.data["delta"] for e in stored if e.name == "thread.message.delta"]
    return [delta["content"][0]["text"]["value"] for delta in deltas]


async def test_a_step_of_all_runs_is_one_transaction(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects = [await begun(runtime) for _ in range(3)]
    database, writes = runtime.runs._database, 0
    original = database.write

    async def counted(transaction: Any, *, durable: bool = True) -> Any:
        nonlocal writes
        writes += 1
        return await original(transaction, durable=durable)

    lost: list[Recorder] = []
    progress = Progress(runtime.runs._writer, runtime.runs._executor._owner, lost.append)
    monkeypatch.setattr(database, "write", counted)
    for number, (_, recorder, message) in enumerate(subjects):
        for word in range(number + 1):
            recorder.text(message, Piece(f"{number}.{word}", (word,)), is_first=word == 0)
        progress.mark(recorder)
    await asyncio.wait_for(progress.store(), 5)
    assert (writes, lost) == (1, [])
    for number, (_, recorder, message) in enumerate(subjects):
        assert await texts(runtime, recorder) == [f"{number}.{w}" for w in range(number + 1)]
        found = await database.read(
            lambda s, r=recorder, m=message.message_id: run_events.streamed_text(s, r.run_id, m)
        )
        assert found.token_ids == tuple(range(number + 1))


async def test_what_is_printed_bit_by_bit_is_stored_together(runtime: Runtime) -> None:
    _, recorder, _ = await begun(runtime)
    parts = [wire.code_logs(0, 0, str(number)) for number in range(10)]
    parts += [wire.code_image(0, 1, "file-1"), wire.code_logs(0, 2, "a"), wire.code_logs(0, 2, "b")]
    parts += [wire.code_logs(1, 0, "c"), wire.more_code(1, "d"), wire.code_logs(1, 0, "e")]
    for part in parts:
        recorder.call("step_1", part)
    recorder.call("step_2", wire.code_logs(1, 0, "f"))
    pending = [event.data["delta"]["step_details"]["tool_calls"][0] for event in recorder._pending]
    assert pending == [
        wire.code_logs(0, 0, "0123456789"),
        wire.code_image(0, 1, "file-1"),
        wire.code_logs(0, 2, "ab"),
        wire.code_logs(1, 0, "c"),
        wire.more_code(1, "d"),
        wire.code_logs(1, 0, "e"),
        wire.code_logs(1, 0, "f"),
    ]
    recorder.take_pending()


async def test_numbers_go_on_where_single_changes_left_off(runtime: Runtime) -> None:
    _, recorder, message = await begun(runtime)
    progress = Progress(runtime.runs._writer, runtime.runs._executor._owner, lambda _: None)
    for word in range(4):
        recorder.text(message, Piece(str(word)), is_first=word == 0)
        if word % 2:
            await recorder.flush()
        else:
            progress.mark(recorder)
            await progress.store()
    assert await texts(runtime, recorder) == ["0", "1", "2", "3"]


async def test_a_lost_lease_is_told_and_holds_up_no_other(runtime: Runtime) -> None:
    (_, kept, kept_message), (_, gone, gone_message) = await begun(runtime), await begun(runtime)
    owner = runtime.runs._executor._owner
    await runtime.runs._database.write(lambda s: stored_runs.release(s, owner, [gone.run_id]))
    lost: list[Recorder] = []
    progress = Progress(runtime.runs._writer, owner, lost.append)
    for recorder, message in ((kept, kept_message), (gone, gone_message)):
        recorder.text(message, Piece("word"), is_first=True)
        progress.mark(recorder)
    await progress.store()
    assert lost == [gone]
    assert (await texts(runtime, kept), await texts(runtime, gone)) == (["word"], [])
    assert len(gone.take_pending()) == 1


async def test_what_cannot_be_stored_comes_first_next_time(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, recorder, message = await begun(runtime)
    progress = Progress(runtime.runs._writer, runtime.runs._executor._owner, lambda _: None)
    original = runtime.runs._writer.commit_progress

    async def fail(*args: Any) -> Any:
        raise StorageUnavailable("The disk is full.")

    monkeypatch.setattr(runtime.runs._writer, "commit_progress", fail)
    recorder.text(message, Piece("first "), is_first=True)
    progress.mark(recorder)
    with pytest.raises(StorageUnavailable):
        await progress.store()
    monkeypatch.setattr(runtime.runs._writer, "commit_progress", original)
    recorder.text(message, Piece("second"), is_first=False)
    progress.mark(recorder)
    await progress.store()
    assert await texts(runtime, recorder) == ["first ", "second"]


async def test_stopping_waits_for_what_is_on_its_way(runtime: Runtime) -> None:
    _, recorder, message = await begun(runtime)
    progress = Progress(runtime.runs._writer, runtime.runs._executor._owner, lambda _: None)
    recorder.text(message, Piece("word"), is_first=True)
    progress.mark(recorder)
    storing = asyncio.create_task(progress.store())
    await until(lambda: not recorder._pending)
    storing.cancel()
    await asyncio.gather(storing, return_exceptions=True)
    assert await texts(runtime, recorder) == ["word"]
    assert recorder.take_pending() == []


async def test_every_reader_sees_the_common_progress(runtime: Runtime) -> None:
    talk, recorder, message = await begun(runtime)
    log = runtime.runs.event_batches(P, talk.thread_id, recorder.run_id)
    first = await asyncio.wait_for(anext(log), 5)
    executor = runtime.runs._executor
    recorder.on_pending = executor._progress.mark
    recorder.text(message, Piece("word"), is_first=True)
    second = await asyncio.wait_for(anext(log), 5)
    await log.aclose()
    assert [e.seq for e in first + second] == list(range(len(first) + 1))
    assert second[-1].data["delta"]["content"][0]["text"]["value"] == "word"
