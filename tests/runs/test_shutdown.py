"""The orderly end: what is under way finishes, or is parked and goes on; nothing is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import ShuttingDown
from localassist.runtime import Runtime
from localassist.schemas.chat import ChatCompletionCreate
from localassist.schemas.runs import SubmitToolOutputs
from tests.runs.conftest import WEATHER, OpenRuntime, P, begin
from tests.runs.test_executor import LONG, until_text
from tests.runs.test_loop import CALL

LONG_ENOUGH = 60.0


async def draining(runtime: Runtime, seconds: float = LONG_ENOUGH) -> asyncio.Task[int]:
    """A drain that has begun."""
    task = asyncio.create_task(runtime.shutdown.drain(seconds))
    await asyncio.sleep(0)
    assert runtime.shutdown.has_begun
    return task


async def test_a_run_that_is_worked_finishes_and_one_that_waits_is_kept(
    open_scripted: OpenRuntime,
) -> None:
    runs = {"concurrency": 1, "poll_seconds": 0.05, "flush_seconds": 0.005}
    engine = ScriptedEngine(default_reply=LONG, model_id="scripted", delay_seconds=0.002)
    async with open_scripted(engine, runs=runs) as runtime:
        worked, waiting = await begin(runtime), await begin(runtime)
        run = await worked.start()
        await until_text(worked, run.id)
        queued = await waiting.start()
        drain = await draining(runtime)
        with pytest.raises(ShuttingDown) as refused:
            await (await begin(runtime)).start()
        assert refused.value.status == 503 and refused.value.retry_after_seconds
        assert (await worked.events(run))[-1].name == "thread.run.completed"
        assert await drain == 0
        assert (await waiting.look(queued)).status == "queued"
        with pytest.raises(ShuttingDown, match="goes on when the service is back"):
            await waiting.events(queued)
    async with open_scripted(ScriptedEngine(default_reply="Done.", model_id="scripted")) as runtime:
        waiting.runtime = runtime
        assert (await waiting.events(queued))[-1].name == "thread.run.completed"


@pytest.mark.parametrize("is_urgent", [False, True])
async def test_a_run_that_takes_too_long_is_parked(
    open_scripted: OpenRuntime, is_urgent: bool
) -> None:
    slow = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.05)
    urgent = asyncio.Event()
    if is_urgent:
        urgent.set()
    async with open_scripted(slow) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        last = await until_text(talk, run.id)
        reading = asyncio.create_task(talk.events(run, last))
        assert await runtime.shutdown.drain(LONG_ENOUGH if is_urgent else 0.1, urgent) == 1
        with pytest.raises(ShuttingDown, match=run.id):
            await reading
    async with open_scripted(ScriptedEngine(LONG, model_id="scripted")) as runtime:
        talk.runtime = runtime
        assert (await talk.events(run))[-1].name == "thread.run.completed"
        assert (await talk.texts())[1][1] == LONG


async def test_tool_outputs_are_taken_to_the_end_and_answered_by_the_next(
    open_scripted: OpenRuntime,
) -> None:
    other = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.05)
    async with open_scripted(ScriptedEngine(CALL, model_id="scripted")) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.finish()
        assert run.status == "requires_action" and run.required_action is not None
    async with open_scripted(other) as runtime:
        busy = await begin(runtime)
        await busy.start()
        talk.runtime = runtime
        drain = await draining(runtime)
        calls = run.required_action.submit_tool_outputs.tool_calls
        outputs = [{"tool_call_id": call.id, "output": "sun"} for call in calls]
        body = SubmitToolOutputs.model_validate({"tool_outputs": outputs})
        submitted = await runtime.runs.submit_tool_outputs(P, talk.thread_id, run.id, body)
        assert submitted.run.status == "queued"
        drain.cancel()
        await asyncio.gather(drain, return_exceptions=True)
    async with open_scripted(ScriptedEngine(LONG, "Sunny.", model_id="scripted")) as runtime:
        talk.runtime = runtime
        await talk.events(run)
        assert (await talk.look(run)).status == "completed"


async def complete(runtime: Runtime) -> Any:
    message = {"role": "user", "content": "Hi"}
    body = ChatCompletionCreate.model_validate({"model": "scripted", "messages": [message]})
    return await runtime.chat.complete(P, body)


@pytest.mark.parametrize("seconds", [LONG_ENOUGH, 0.0])
async def test_a_completion_is_waited_for_or_stopped(
    open_scripted: OpenRuntime, seconds: float
) -> None:
    engine = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(engine) as runtime:
        asking = asyncio.create_task(complete(runtime))
        for _ in range(2000):
            await asyncio.sleep(0.005)
            if engine.counters.running:
                break
        assert runtime.shutdown.under_way == 1
        drain = await draining(runtime, seconds)
        with pytest.raises(ShuttingDown, match="takes no new work"):
            await complete(runtime)
        if seconds:
            assert (await asking).choices[0].message.content == LONG
        else:
            with pytest.raises(ShuttingDown, match="before the answer was complete"):
                await asking
        assert await drain == 0
