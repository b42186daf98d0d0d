"""Several processes, dead ones, and runs that must not get stuck."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from localassist.engine import ScriptedEngine
from localassist.runs import owner
from localassist.runs.loop import Job, RunLoop
from localassist.runs.recorder import Recorder
from localassist.storage.database import Database, Session
from localassist.storage.tables import RunRow
from tests.runs.conftest import WEATHER, OpenRuntime, P, Talk, begin, names
from tests.runs.test_loop import CALL, outputs

LONG = "one two three four five six seven eight nine ten " * 10


async def until_text(talk: Talk, run_id: str) -> int:
    """Wait for some text; returns the position in the log."""
    async for event in talk.runtime.runs.events(P, talk.thread_id, run_id):
        if event.name == "thread.message.delta":
            return event.seq
    raise AssertionError("the run ended without text")


async def test_a_parked_run_goes_on_in_the_same_message(open_scripted: OpenRuntime) -> None:
    first = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(first) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        seen = await until_text(talk, run.id)
    assert first.counters.running == 0
    second = ScriptedEngine(LONG, model_id="scripted")
    async with open_scripted(second) as runtime:
        talk.runtime = runtime
        rest = await talk.events(run, seen)
        assert [role for role, _ in await talk.texts()] == ["user", "assistant"]
        assert (await talk.texts())[1][1] == LONG
        events = await talk.events(run)
        assert events[-len(rest) :] == rest
        parts = [e.data["delta"]["content"][0] for e in events if e.name.endswith("message.delta")]
        assert "".join(part["text"]["value"] for part in parts) == LONG
        assert [event.seq for event in events] == list(range(len(events)))
        assert names(events).count("M.created") == 1
        [request] = second.requests
        assert 0 < len(request.continued) < len(LONG)


async def test_the_runs_of_a_dead_process_are_taken_up_at_once(open_scripted: OpenRuntime) -> None:
    slow = {"poll_seconds": 0.05, "lease_seconds": 3600}
    first = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(first, runs=slow) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        await until_text(talk, run.id)
    home = runtime.settings.home
    database = Database.open(home, runtime.settings.storage)
    await database.write(lambda s: _pretend_owner(s, run.id, _name_of_a_dead_process()))
    await database.close()
    second = ScriptedEngine(LONG, model_id="scripted")
    async with open_scripted(second, runs=slow) as runtime:
        talk.runtime = runtime
        await asyncio.wait_for(talk.events(run), 5)
        assert (await talk.look(run)).status == "completed"


async def test_a_lease_of_another_host_is_taken_over_when_it_ends(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(LONG, LONG, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        await until_text(talk, run.id)
        database = Database.open(runtime.settings.home, runtime.settings.storage)
        # Somebody else holds the run now: our worker has to notice and stop writing.
        await database.write(
            lambda s: _pretend_owner(s, run.id, "elsewhere/-/1/0/x", for_seconds=1)
        )
        for _ in range(100):
            await asyncio.sleep(0.02)
            if engine.counters.running == 0:
                break
        assert engine.counters.aborted == 1
        await asyncio.wait_for(talk.events(run), 10)  # and to take it up again after that lease
        assert (await talk.texts())[1][1] == LONG
        await database.close()


async def test_a_run_that_kills_its_workers_fails_in_the_end(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        await until_text(talk, run.id)
    database = Database.open(runtime.settings.home, runtime.settings.storage)
    await database.write(lambda s: _set(s, run.id, interruptions=5))
    await database.close()
    async with open_scripted(engine) as runtime:
        talk.runtime = runtime
        await talk.events(run)
        failed = await talk.look(run)
        assert failed.status == "failed" and failed.last_error is not None
        assert "interrupted 6 times" in failed.last_error.message


async def test_two_runtimes_on_one_folder_share_the_work(open_scripted: OpenRuntime) -> None:
    engines = [ScriptedEngine(model_id="scripted", default_reply="done") for _ in range(2)]
    async with open_scripted(engines[0]) as one, open_scripted(engines[1]) as two:
        talks = [await begin(one, f"Question {n}") for n in range(12)]
        runs = await asyncio.gather(*(talk.start() for talk in talks))
        for talk in talks:
            talk.runtime = two  # what one creates, the other sees, streams included
        ended = await asyncio.gather(*(t.events(r) for t, r in zip(talks, runs, strict=True)))
        assert all(events[-1].name == "thread.run.completed" for events in ended)
        assert sum(len(engine.requests) for engine in engines) == 12


async def test_a_run_can_be_cancelled_from_another_process(open_scripted: OpenRuntime) -> None:
    slow = ScriptedEngine(LONG * 20, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(slow) as one, open_scripted(ScriptedEngine()) as two:
        talk = await begin(one)
        run = await talk.start()
        await until_text(talk, run.id)
        await two.runs.cancel(P, talk.thread_id, run.id)
        events = await asyncio.wait_for(talk.events(run), 10)
        assert events[-1].name == "thread.run.cancelled"


async def test_waiting_runs_expire(open_scripted: OpenRuntime) -> None:
    call = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    settings = {"poll_seconds": 0.05, "lifetime_seconds": 1}
    async with open_scripted(ScriptedEngine(call, model_id="scripted"), runs=settings) as runtime:
        talk = await begin(runtime, tools=[{"type": "function", "function": {"name": "f"}}])
        run = await talk.start()
        before = await talk.events(run)
        rest = await asyncio.wait_for(talk.events(run, before[-1].seq), 10)
        assert names(rest) == ["S.expired", "R.expired"]
        expired = await talk.look(run)
        assert expired.expires_at is not None and expired.required_action is None


async def test_no_more_runs_than_allowed_at_once(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply="x" * 40, delay_seconds=0.005)
    settings = {"poll_seconds": 0.05, "concurrency": 3}
    async with open_scripted(engine, runs=settings) as runtime:
        talks = [await begin(runtime) for _ in range(9)]
        runs = [await talk.start() for talk in talks]
        await asyncio.gather(*(t.events(r) for t, r in zip(talks, runs, strict=True)))
        assert engine.counters.most_running == 3
        assert engine.counters.finished == 9


async def test_an_answer_that_overtakes_the_leaving_worker_has_one_worker(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who polls may see the run wait for its outputs before the worker here has left it."""
    engine = ScriptedEngine(CALL, LONG, model_id="scripted", delay_seconds=0.01)
    may_leave = asyncio.Event()
    work = RunLoop.work

    async def work_and_linger(self: RunLoop, job: Job, recorder: Recorder) -> None:
        await work(self, job, recorder)
        await may_leave.wait()

    monkeypatch.setattr(RunLoop, "work", work_and_linger)
    short = {"poll_seconds": 0.05, "lease_seconds": 0.3}
    async with open_scripted(engine, runs=short) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.start()
        await talk.events(run)
        waiting = await talk.look(run)
        assert waiting.required_action is not None
        [call] = waiting.required_action.submit_tool_outputs.tool_calls
        submitted = await runtime.runs.submit_tool_outputs(
            P, talk.thread_id, run.id, outputs(**{call.id: "rain"})
        )
        await asyncio.sleep(0.1)
        may_leave.set()
        await talk.events(run, submitted.after_seq)
        assert (await talk.look(run)).status == "completed"
        assert len(engine.requests) == 2
        assert (await talk.texts())[-1][1] == LONG


def test_an_owner_is_dead_only_when_that_is_certain() -> None:
    assert not owner.is_dead(owner.this_process())
    assert owner.is_dead(_name_of_a_dead_process())
    assert not owner.is_dead("another-host/pid:[1]/1/0/nonce")
    assert not owner.is_dead("not an owner")
    host, pid, _, nonce = owner.this_process().rsplit("/", 3)
    assert owner.is_dead(f"{host}/{pid}/1/{nonce}")  # the number was used again by another process


def _name_of_a_dead_process() -> str:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    name = owner.this_process()
    return name.replace(f"/{os.getpid()}/", f"/{child.pid}/")


def _pretend_owner(session: Session, run_id: str, name: str, *, for_seconds: float = 3600) -> None:
    import time

    _set(session, run_id, lease_owner=name, lease_expires_at=time.time() + for_seconds)


def _set(session: Session, run_id: str, **columns: object) -> None:
    session.query(RunRow).filter(RunRow.id == run_id).update(columns)  # type: ignore[arg-type]
