"""Things that happen at the same moment: stops, claims, flushes, deletions and readers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import ResourceNotFound, ShuttingDown, StorageUnavailable
from localassist.runs import executor as executor_module
from localassist.runs.feed import EventFeed
from localassist.runs.recorder import Piece, Recorder
from localassist.runs.writer import RunWriter
from localassist.schemas.events import RunEvent
from localassist.storage import run_events
from localassist.storage import runs as stored_runs
from localassist.storage.database import Session
from tests.runs.conftest import WEATHER, OpenRuntime, P, Talk, begin, names
from tests.runs.test_executor import LONG, until_text
from tests.runs.test_loop import CALL
from tests.waiting import until


async def test_a_cancellation_between_claim_and_first_step_ends_the_run(talk: Talk) -> None:
    executor = talk.runtime.runs._executor
    start = executor._begin

    claimed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    executor._begin = lambda *args: claimed.set_result(args)  # type: ignore[method-assign]
    run = await talk.start()
    job = await asyncio.wait_for(claimed, 5)
    executor._begin = start  # type: ignore[method-assign]
    await talk.runtime.runs._writer.cancel(P, talk.thread_id, run.id)
    start(*job)
    executor.cancel(run.id)  # the task exists, and has not run yet
    events = await asyncio.wait_for(talk.events(run), 5)
    assert names(events)[-2:] == ["R.cancelling", "R.cancelled"]
    await until(lambda: run.id not in executor._workers)


async def test_a_process_that_slept_does_not_claim_what_it_is_working_on(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.02)
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        await until_text(talk, run.id)
        executor = runtime.runs._executor
        worker = executor._workers[run.id]
        # A suspended machine wakes up: every lease has run out, and claiming comes first.
        await runtime.runs._database.write(
            lambda s: stored_runs.renew(s, executor._owner, [run.id], until=0.0)
        )
        await executor._claim()
        assert executor._workers[run.id] is worker
        assert [e.name for e in await talk.events(run)][-1] == "thread.run.completed"


async def test_a_call_finished_after_a_cancellation_elsewhere_is_cancelled(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(CALL, model_id="scripted", delay_seconds=0.05)
    quiet = {"poll_seconds": 30, "flush_seconds": 0.005}
    async with open_scripted(engine, runs=quiet) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.start()
        await until(lambda: engine.counters.running == 1)
        other = RunWriter(runtime.runs._database, EventFeed())  # as another process would
        await other.cancel(P, talk.thread_id, run.id)
        events = await asyncio.wait_for(talk.events(run), 10)
        assert "R.cancelling" in names(events)
        assert names(events)[-2:] == ["S.cancelled", "R.cancelled"]


async def test_a_thread_deleted_while_its_run_expires_does_not_end_the_watch(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        project_id, thread_id, id = P, "thread_gone", "run_gone"

    monkeypatch.setattr(stored_runs, "expired", lambda session, now: [Gone()])
    assert await talk.runtime.runs._writer.expire_waiting() == []


async def test_the_executor_outlives_a_broken_round(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = talk.runtime.runs._executor
    for name in ("has_claimable", "expired"):
        original, calls = getattr(stored_runs, name), iter([1])

        def once(*args: Any, _calls: Any = calls, _original: Any = original) -> Any:
            if next(_calls, None):
                raise ValueError("a row nobody can read")
            return _original(*args)

        monkeypatch.setattr(stored_runs, name, once)
    await asyncio.sleep(0.2)
    assert not any(task.done() for task in executor._tasks)
    assert (await talk.finish()).status == "completed"


async def test_a_slow_sweep_does_not_hold_up_the_leases(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = 0
    original = stored_runs.renew

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal renewed
        renewed += 1
        return original(*args, **more)

    async def stuck(self: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(stored_runs, "renew", counted)
    monkeypatch.setattr("localassist.services.files.Files.sweep", stuck)
    engine = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        await talk.finish()
    assert renewed >= 3


async def test_a_failed_start_is_reported_as_what_it_is(
    open_scripted: OpenRuntime, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: Session) -> None:
        raise StorageUnavailable("The disk is full.")

    monkeypatch.setattr(executor_module, "_release_dead", fail)
    with pytest.raises(StorageUnavailable, match="disk is full"):
        async with open_scripted(engine):
            raise AssertionError("it has started")


async def test_a_store_that_fails_at_the_end_does_not_prevent_closing(
    open_scripted: OpenRuntime, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: Session, owner: str) -> None:
        raise StorageUnavailable("The disk is full.")

    async with open_scripted(engine):
        monkeypatch.setattr(stored_runs, "release_all", fail)


async def test_progress_stays_in_order_when_a_write_fails(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flush fails while the change after it is on its way: what it carried comes first still."""
    engine = ScriptedEngine(CALL, model_id="scripted", delay_seconds=30)
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.start()
        await until(lambda: engine.counters.running == 1)
        executor, writer = runtime.runs._executor, runtime.runs._writer
        recorder = Recorder(writer, run.id, executor._owner)
        opened = await recorder.open_message("scripted")
        failures = [StorageUnavailable("busy")]
        original = writer.commit

        async def fail_once(change: Any, *, durable: bool = True) -> Any:
            if failures:
                await asyncio.sleep(0.02)
                raise failures.pop()
            return await original(change, durable=durable)

        monkeypatch.setattr(writer, "commit", fail_once)
        recorder.text(opened, Piece("first "), is_first=True)
        flush = asyncio.create_task(recorder.flush())
        await asyncio.sleep(0)
        recorder.text(opened, Piece("second"), is_first=False)
        await asyncio.gather(flush, recorder.open_calls(), return_exceptions=True)
        stored = await runtime.runs._database.read(lambda s: run_events.read(s, run.id, -1))
        deltas = [e.data["delta"] for e in stored if e.name == "thread.message.delta"]
        texts = [delta["content"][0]["text"]["value"] for delta in deltas]
        assert "".join(texts) == "first second"


async def test_every_reader_is_woken() -> None:
    """Also one that shares its wait with a reader whose patience ended first."""
    feed = EventFeed()
    with feed.listening("run_1") as patient:
        with feed.listening("run_1") as impatient:
            assert not await impatient.wait(0.01)
        feed.publish("run_1", [RunEvent(0, "thread.run.created", {})])
        assert patient.is_set()
    assert feed._listeners == {}


async def test_events_between_looking_and_waiting_are_not_missed(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine(default_reply="Hello.", model_id="scripted")
    async with open_scripted(engine, runs={"poll_seconds": 20, "flush_seconds": 0}) as runtime:
        talk = await begin(runtime)
        log = runtime.runs._log
        original = log._stored

        slowly = iter([1])

        async def slow(*args: Any) -> list[RunEvent]:
            if next(slowly, None):
                await asyncio.sleep(0.3)  # everything happens now
                return []
            return await original(*args)

        monkeypatch.setattr(log, "_stored", slow)
        events = await asyncio.wait_for(talk.events(await talk.start()), 5)
        assert names(events)[-1] == "R.completed"


async def test_live_events_of_another_project_are_not_found(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        await until_text(talk, run.id)
        for project, thread_id in (("proj_other", talk.thread_id), (P, "thread_other")):
            with pytest.raises(ResourceNotFound):
                await anext(runtime.runs.events(project, thread_id, run.id, after_seq=4))


async def test_readers_of_a_closed_runtime_are_told_so(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.05)
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        reading = asyncio.create_task(talk.events(run))
        await until_text(talk, run.id)
    with pytest.raises(ShuttingDown):
        await asyncio.wait_for(reading, 5)


async def test_prompts_are_built_off_the_event_loop(open_scripted: OpenRuntime) -> None:
    class Watched(ScriptedEngine):
        threads: set[int]

        def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
            self.threads.add(threading.get_ident())
            return super().tokenize(text, parse_special=parse_special)

        async def generate(self, request: Any) -> Any:
            seen, self.threads = self.threads, set()  # what the double itself does is not the point
            assert seen and threading.get_ident() not in seen
            async for item in super().generate(request):
                yield item

    engine = Watched("Hello.", model_id="scripted")
    engine.threads = set()
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        assert (await talk.finish()).last_error is None


async def test_a_call_nobody_answered_is_not_shown_to_later_runs(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(CALL, "Fine.", model_id="scripted")
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.start()
        await talk.events(run)
        await runtime.runs.cancel(P, talk.thread_id, run.id)
        await until_ended(talk, run.id)
        await talk.say("Never mind. Hello?")
        assert (await talk.finish(tools=[])).status == "completed"
        assert "<tool_call>" not in engine.detokenize(engine.requests[-1].prompt)


async def until_ended(talk: Talk, run_id: str) -> Sequence[RunEvent]:
    after = -1
    while True:
        async for event in talk.runtime.runs.events(P, talk.thread_id, run_id, after):
            after = event.seq
            if event.name == "thread.run.cancelled":
                return []


async def test_a_run_goes_on_after_the_disk_was_full_for_a_while(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine(LONG, LONG, model_id="scripted", delay_seconds=0.01)
    settings = {"poll_seconds": 0.05, "lease_seconds": 0.4, "flush_seconds": 0.005}
    async with open_scripted(engine, runs=settings) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        await until_text(talk, run.id)
        database = runtime.runs._database
        write = database.write

        async def full(*args: Any, **more: Any) -> Any:
            raise StorageUnavailable("The disk is full.")

        monkeypatch.setattr(database, "write", full)
        await until(lambda: not runtime.runs._executor._workers)
        monkeypatch.setattr(database, "write", write)
        events = await asyncio.wait_for(talk.events(run), 10)
        assert names(events).count("M.created") == 1
        assert names(events)[-1] == "R.completed"
        assert (await talk.texts())[1][1] == LONG
        parts = [e.data["delta"]["content"][0] for e in events if e.name.endswith("message.delta")]
        assert "".join(part["text"]["value"] for part in parts) == LONG


async def test_a_run_is_taken_up_by_the_transaction_that_stores_it(
    open_scripted: OpenRuntime, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No claim and no look at the log: the stream of a new run begins from memory."""
    async with open_scripted(engine, runs={"poll_seconds": 30, "flush_seconds": 0}) as runtime:
        talk = await begin(runtime)

        def fail(*args: Any, **more: Any) -> Any:
            raise AssertionError("the way through the queue was taken")

        monkeypatch.setattr(stored_runs, "claim", fail)
        monkeypatch.setattr(run_events, "read", fail)
        run = await talk.start()
        assert run.status == "queued"
        events = await asyncio.wait_for(talk.events(run), 5)
    assert names(events)[:3] == ["R.created", "R.queued", "R.in_progress"]
    assert names(events)[-1] == "R.completed"


async def test_a_run_that_has_waited_goes_before_a_new_one(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply="Hello.", delay_seconds=0.05)
    one = {"poll_seconds": 30, "flush_seconds": 0.005, "concurrency": 1}
    async with open_scripted(engine, runs=one) as runtime:
        talks = [await begin(runtime, f"Question {n}") for n in range(3)]
        started = [await talk.start() for talk in talks[:2]]  # the second waits
        executor = runtime.runs._executor
        original = executor._claim

        async def late() -> None:
            await asyncio.sleep(0.1)
            await original()

        executor._claim = late  # type: ignore[method-assign]
        await until(lambda: not executor._workers)  # a worker is free and has not looked yet
        started.append(await talks[2].start())
        for talk, run in zip(talks, started, strict=True):
            await asyncio.wait_for(talk.events(run), 5)
        asked = [engine.detokenize(request.prompt) for request in engine.requests]
        found = [next(n for n in range(3) if f"Question {n}" in text) for text in asked]
        assert found == [0, 1, 2]


async def test_a_run_whose_caller_left_meanwhile_is_worked_all_the_same(
    open_scripted: OpenRuntime, engine: ScriptedEngine
) -> None:
    async with open_scripted(engine, runs={"poll_seconds": 30, "flush_seconds": 0}) as runtime:
        talk = await begin(runtime)
        executor = runtime.runs._executor
        creating = asyncio.create_task(talk.start())
        await until(lambda: bool(executor._admissions))
        creating.cancel()
        await asyncio.gather(creating, return_exceptions=True)
        assert creating.cancelled()
        await until(lambda: engine.counters.finished == 1)
        await until(lambda: not executor._workers)
        assert [role for role, _ in await talk.texts()] == ["user", "assistant"]


async def test_closing_parks_a_run_that_is_just_being_stored(
    open_scripted: OpenRuntime, engine: ScriptedEngine
) -> None:
    async with open_scripted(engine, runs={"poll_seconds": 30, "flush_seconds": 0}) as runtime:
        talk = await begin(runtime)
        creating = asyncio.create_task(talk.start())
        await until(lambda: bool(runtime.runs._executor._admissions))
    run = await creating
    async with open_scripted(engine) as runtime:
        talk.runtime = runtime
        events = await asyncio.wait_for(talk.events(run), 5)
        assert names(events)[-1] == "R.completed"
        assert [event.seq for event in events] == list(range(len(events)))
