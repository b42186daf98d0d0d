"""What a run did when: kept with it over waits, restarts and other workers."""

from __future__ import annotations

import asyncio
from typing import Any

from localassist.engine import ScriptedEngine
from localassist.runs.records import RunRecord, RunRecords
from localassist.runtime import Runtime
from localassist.schemas.runs import Run, SubmitToolOutputs
from tests.runs.conftest import WEATHER, OpenRuntime, P, Talk, begin

CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>'


async def record_of(runtime: Runtime, run: Run) -> RunRecord:
    return await RunRecords(runtime.runs._database).show(run.id)


def phases(record: RunRecord) -> list[dict[str, Any]]:
    assert record.timeline is not None
    return list(record.timeline["phases"])


def names(record: RunRecord) -> list[str]:
    return [phase["name"] for phase in phases(record)]


async def asked(talk: Talk) -> Run:
    run = await talk.finish(tools=[WEATHER])
    assert run.status == "requires_action"
    return run


def outputs(run: Run) -> SubmitToolOutputs:
    assert run.required_action is not None
    calls = run.required_action.submit_tool_outputs.tool_calls
    given = [{"tool_call_id": call.id, "output": "rain"} for call in calls]
    return SubmitToolOutputs.model_validate({"tool_outputs": given})


async def test_an_answer_is_a_queue_a_model_a_prompt_and_its_writing(
    open_scripted: OpenRuntime, engine: ScriptedEngine
) -> None:
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        record = await record_of(runtime, await talk.finish())
    assert names(record) == ["queued", "model", "prefill", "decode"]
    assert all(phase["ms"] >= 0 for phase in phases(record))
    starts = [phase["start_ms"] for phase in phases(record)]
    assert starts == sorted(starts)
    assert record.timeline is not None and record.timeline["first_text_ms"] >= starts[2]
    assert record.usage is not None and record.doing is None
    assert phases(record)[2]["tokens"] == record.usage["prompt_tokens"]
    assert phases(record)[3]["tokens"] == record.usage["completion_tokens"]


async def test_the_wait_for_a_function_lies_between_two_turns(
    open_scripted: OpenRuntime, engine: ScriptedEngine
) -> None:
    engine.enqueue(CALL)
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        run = await asked(talk)
        waiting = await record_of(runtime, run)
        assert waiting.doing == "waiting for its caller to answer get_weather"
        assert phases(waiting)[-1]["ms"] is None
        body = outputs(run)
        submitted = await runtime.runs.submit_tool_outputs(P, talk.thread_id, run.id, body)
        await talk.events(run, submitted.after_seq)
        record = await record_of(runtime, run)
    turn = ["queued", "model", "prefill", "decode"]
    assert names(record) == [*turn, "functions", *turn]
    assert phases(record)[4]["calls"] == ["get_weather"]
    assert record.steps is not None
    assert [step["calls"] for step in record.steps] == [["get_weather"], []]
    counted = runtime.run_counters
    assert counted.tool_calls["function"] == 1
    for histogram in (counted.run_seconds["completed"], counted.first_text_seconds):
        assert histogram.buckets()[-1][1] == 1
    assert counted.queue_seconds.buckets()[-1][1] == 2


async def test_a_restart_keeps_the_phases_before_it(
    open_scripted: OpenRuntime, engine: ScriptedEngine
) -> None:
    slow = ScriptedEngine(default_reply="A long answer. " * 20, delay_seconds=0.02)
    async with open_scripted(slow) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        async for event in runtime.runs.events(P, talk.thread_id, run.id):
            if event.name == "thread.message.delta":
                break
    # Whoever looks before the next process sees what the last one did.
    async with open_scripted(ScriptedEngine(default_reply="A long answer. " * 20)) as runtime:
        talk = Talk(runtime, talk.assistant_id, talk.thread_id)
        await talk.events(run)
        record = await record_of(runtime, run)
    assert record.status == "completed"
    turn = ["model", "prefill", "decode"]
    assert names(record) == ["queued", *turn, "interrupted", *turn]
    assert all(phase["ms"] is not None for phase in phases(record))


async def test_a_run_says_what_it_is_doing(
    open_scripted: OpenRuntime, engine: ScriptedEngine
) -> None:
    slow = ScriptedEngine(default_reply="Word " * 500, delay_seconds=0.05)
    async with open_scripted(slow, runs={"concurrency": 1, "poll_seconds": 0.05}) as runtime:
        talk, other = await begin(runtime), await begin(runtime)
        run = await talk.start()
        queued = await other.start()
        while (record := await record_of(runtime, run)).doing != "writing":
            assert record.doing is not None
            await asyncio.sleep(0.01)
        assert phases(record)[-1]["ms"] is None
        assert (await record_of(runtime, queued)).doing == "waiting for a worker"
        assert runtime.run_counters.running == 1 and await runtime.runs.waiting() == 1
        await runtime.runs.cancel(P, talk.thread_id, run.id)
        await talk.events(run)
        record = await record_of(runtime, run)
        assert record.status == "cancelled" and phases(record)[-1]["ms"] is not None
    assert runtime.run_counters.run_seconds["cancelled"].buckets()[-1][1] == 1


async def test_a_run_that_expires_is_counted_and_waits_no_more(
    open_scripted: OpenRuntime, engine: ScriptedEngine
) -> None:
    engine.enqueue(CALL)
    async with open_scripted(engine, runs={"poll_seconds": 0.05, "lifetime_seconds": 1}) as runtime:
        talk = await begin(runtime)
        run = await asked(talk)
        while run.status == "requires_action":
            await asyncio.sleep(0.05)
            run = await talk.look(run)
        record = await record_of(runtime, run)
    assert record.status == "expired" and record.doing is None
    assert names(record)[-1] == "functions" and phases(record)[-1]["ms"] is not None
    assert runtime.run_counters.run_seconds["expired"].buckets()[-1][1] == 1


async def test_the_record_is_not_in_the_run_as_callers_see_it(
    open_scripted: OpenRuntime, engine: ScriptedEngine
) -> None:
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        run = await talk.finish()
        assert not {"timeline", "phases", "doing"} & set(run.dump())
        listed = await RunRecords(runtime.runs._database).list(talk.thread_id, 5)
        assert [one.id for one in listed] == [run.id] and listed[0].timeline is None


async def test_no_transaction_is_made_for_the_record(
    open_scripted: OpenRuntime, engine: ScriptedEngine
) -> None:
    """Stored with the run, with its first text, and with its end."""
    async with open_scripted(engine, runs={"poll_seconds": 60, "flush_seconds": 60}) as runtime:
        talk = await begin(runtime)
        database, writes = runtime.runs._database, list[str]()
        write = database.write

        async def counted(transaction: Any, **options: Any) -> Any:
            writes.append(transaction.__qualname__)
            return await write(transaction, **options)

        database.write = counted  # type: ignore[method-assign]
        record = await record_of(runtime, await talk.finish())
        assert len(phases(record)) == 4
        made = [name for name in writes if "commit_progress" not in name]
    of_runs = [name.partition(".")[0] for name in made if name.startswith(("Exec", "Rec", "Run"))]
    assert of_runs == ["Executor", "Recorder", "Recorder"]
