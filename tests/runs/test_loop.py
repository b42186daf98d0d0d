"""What a run does, event by event, in the orders of the hosted API."""

from __future__ import annotations

import asyncio
import json

import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import (
    GenerationFailed,
    InvalidRequest,
    RateLimited,
    ResourceNotFound,
)
from localassist.schemas.runs import SubmitToolOutputs
from tests.runs.conftest import WEATHER, OpenRuntime, P, Talk, begin, names

HEAD = ["R.created", "R.queued", "R.in_progress"]
MESSAGE_OPENS = ["S.created", "S.in_progress", "M.created", "M.in_progress"]
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'


def outputs(**answers: str) -> SubmitToolOutputs:
    given = [{"tool_call_id": call_id, "output": text} for call_id, text in answers.items()]
    return SubmitToolOutputs.model_validate({"tool_outputs": given})


async def test_a_plain_answer(talk: Talk) -> None:
    run = await talk.start()
    events = await talk.events(run)
    assert names(events) == [
        *HEAD,
        *MESSAGE_OPENS,
        "M.delta",
        "M.completed",
        "S.completed",
        "R.completed",
    ]
    assert [event.seq for event in events] == list(range(len(events)))
    text = "Hello, I am a scripted model."
    assert await talk.texts() == [("user", "Hello?"), ("assistant", text)]
    deltas = [e.data["delta"]["content"][0] for e in events if e.name == "thread.message.delta"]
    assert "".join(delta["text"]["value"] for delta in deltas) == text
    assert [("annotations" in delta["text"]) for delta in deltas][:2] == [True, False]
    finished = await talk.look(run)
    assert finished.dump() == events[-1].data
    assert (finished.status, finished.expires_at, finished.last_error) == ("completed", None, None)
    [step] = await talk.steps(run)
    assert step.dump() == next(e.data for e in events if e.name == "thread.run.step.completed")
    assert finished.usage == step.usage
    assert finished.usage is not None and finished.usage.completion_tokens == len(text)


async def test_a_late_reader_sees_the_same_log(talk: Talk) -> None:
    run = await talk.start()
    live = await talk.events(run)
    assert await talk.events(run) == live
    assert await talk.events(run, after_seq=4) == live[5:]


async def test_a_second_turn_contains_the_first_token_for_token(
    talk: Talk, engine: ScriptedEngine
) -> None:
    await talk.finish()
    await talk.say("And now?")
    run = await talk.finish()
    first, second = engine.requests
    said = engine.tokenize("Hello, I am a scripted model.", parse_special=False)
    beginning = [*first.prompt, *said]
    assert list(second.prompt)[: len(beginning)] == beginning
    assert run.usage is not None and run.usage.prompt_token_details is not None
    assert run.usage.prompt_token_details.cached_tokens >= len(first.prompt)


async def test_a_call_waits_for_its_output_and_goes_on(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine("I will look. " + CALL, "It rains in Paris.", model_id="scripted")
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime, "How is Paris?", tools=[WEATHER])
        run = await talk.start()
        events = await talk.events(run)
        assert names(events) == [
            *HEAD,
            *MESSAGE_OPENS,
            "M.delta",
            "M.completed",
            "S.completed",
            "S.created",
            "S.in_progress",
            "S.delta",
            "R.requires_action",
        ]
        waiting = await talk.look(run)
        assert waiting.usage is None and waiting.required_action is not None
        [call] = waiting.required_action.submit_tool_outputs.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == (
            "get_weather",
            {"city": "Paris"},
        )
        with pytest.raises(InvalidRequest, match="Can't add messages to thread_"):
            await talk.say("Hurry!")
        submitted = await runtime.runs.submit_tool_outputs(
            P, talk.thread_id, run.id, outputs(**{call.id: "rain, 12 C"})
        )
        assert submitted.run.status == "queued"
        rest = await talk.events(run, submitted.after_seq)
        assert names(rest) == [
            "S.completed",
            "R.queued",
            "R.in_progress",
            *MESSAGE_OPENS,
            "M.delta",
            "M.completed",
            "S.completed",
            "R.completed",
        ]
        assert rest[0].data["step_details"]["tool_calls"][0]["function"]["output"] == "rain, 12 C"
        prompt = engine.detokenize(engine.requests[-1].prompt)
        assert "I will look. " + CALL in prompt and "rain, 12 C" in prompt
        finished = await talk.look(run)
        steps = await talk.steps(run)
        types = ["message_creation", "tool_calls", "message_creation"]
        assert [step.type for step in steps] == types
        total = sum(step.usage.total_tokens for step in steps if step.usage is not None)
        assert finished.usage is not None and finished.usage.total_tokens == total
        # A later run still sees the call and its output.
        await talk.say("Thanks. And tomorrow?")
        await talk.finish()
        assert "rain, 12 C" in engine.detokenize(engine.requests[-1].prompt)


@pytest.mark.parametrize(
    "given", [{}, {"call_other": "x"}, {"both": "x", "call_other": "y"}], ids=str
)
async def test_wrong_outputs_are_refused_and_change_nothing(
    open_scripted: OpenRuntime, given: dict[str, str]
) -> None:
    async with open_scripted(ScriptedEngine(CALL, model_id="scripted")) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.start()
        await talk.events(run)
        waiting = await talk.look(run)
        assert waiting.required_action is not None
        wanted = waiting.required_action.submit_tool_outputs.tool_calls[0].id
        answers = {wanted if key == "both" else key: value for key, value in given.items()}
        expected = f"Expected tool outputs for call_ids ['{wanted}'], got {list(answers)}"
        with pytest.raises(InvalidRequest) as caught:
            await runtime.runs.submit_tool_outputs(P, talk.thread_id, run.id, outputs(**answers))
        assert caught.value.message == expected
        assert await talk.look(run) == waiting


async def test_outputs_for_a_finished_run_are_refused(talk: Talk) -> None:
    run = await talk.finish()
    with pytest.raises(InvalidRequest) as caught:
        await talk.runtime.runs.submit_tool_outputs(P, talk.thread_id, run.id, outputs(call_a="x"))
    assert caught.value.message == 'Runs in status "completed" do not accept tool outputs.'


async def test_a_model_that_never_stops_calling_is_stopped(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply=CALL)
    settings = {"poll_seconds": 0.05, "max_tool_rounds": 2}
    async with open_scripted(engine, runs=settings) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.start()
        await talk.events(run)
        for _ in range(2):
            waiting = await talk.look(run)
            assert waiting.required_action is not None
            call = waiting.required_action.submit_tool_outputs.tool_calls[0]
            submitted = await runtime.runs.submit_tool_outputs(
                P, talk.thread_id, run.id, outputs(**{call.id: "again"})
            )
            await talk.events(run, submitted.after_seq)
        failed = await talk.look(run)
        assert failed.status == "failed" and failed.last_error is not None
        assert "2 times" in failed.last_error.message


async def test_a_model_that_breaks_fails_the_run_and_frees_the_thread(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(GenerationFailed("the model broke"), "Better.", model_id="scripted")
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        assert names(await talk.events(run)) == [*HEAD, "R.failed"]
        failed = await talk.look(run)
        assert failed.last_error is not None
        assert failed.last_error.dump() == {"code": "server_error", "message": "the model broke"}
        assert (await talk.finish()).status == "completed"


async def test_cancelling_keeps_the_text_so_far(open_scripted: OpenRuntime) -> None:
    slow = ScriptedEngine("word " * 2000, "Next.", model_id="scripted", delay_seconds=0.01)
    async with open_scripted(slow) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        seen = []
        async for event in runtime.runs.events(P, talk.thread_id, run.id):
            seen.append(event)
            if event.name == "thread.message.delta" and len(seen) < 12:
                with pytest.raises(InvalidRequest, match="already has an active run"):
                    await talk.start()
                assert (await runtime.runs.cancel(P, talk.thread_id, run.id)).status == "cancelling"
                break
        rest = await talk.events(run, seen[-1].seq)
        assert "R.cancelling" in names(rest)
        assert names(rest)[-3:] == ["M.incomplete", "S.cancelled", "R.cancelled"]
        (_, question), (role, text) = await talk.texts()
        assert role == "assistant" and text and ("word " * 2000).startswith(text)
        incomplete = next(e.data for e in rest if e.name == "thread.message.incomplete")
        assert incomplete["incomplete_details"] == {"reason": "run_cancelled"}
        assert incomplete["content"][0]["text"]["value"] == text
        assert slow.counters.running == 0
        with pytest.raises(InvalidRequest, match="Cannot cancel run with status 'cancelled'"):
            await runtime.runs.cancel(P, talk.thread_id, run.id)
        await talk.finish()
        assert text in slow.detokenize(slow.requests[-1].prompt)


async def test_cancelling_a_run_that_waits(open_scripted: OpenRuntime) -> None:
    async with open_scripted(ScriptedEngine(CALL, model_id="scripted")) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.start()
        before = await talk.events(run)
        await runtime.runs.cancel(P, talk.thread_id, run.id)
        rest = await talk.events(run, before[-1].seq)
        assert names(rest) == ["R.cancelling", "S.cancelled", "R.cancelled"]
        assert (await talk.look(run)).required_action is None


async def test_the_completion_budget_makes_a_run_incomplete(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine("x" * 5000, model_id="scripted")
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime)
        run = await talk.start(max_completion_tokens=300)
        assert names(await talk.events(run))[-3:] == ["M.incomplete", "S.completed", "R.incomplete"]
        ended = await talk.look(run)
        assert ended.incomplete_details is not None and ended.usage is not None
        assert ended.incomplete_details.reason == "max_completion_tokens"
        assert ended.usage.completion_tokens == 300


async def test_an_answer_that_fills_the_context_is_over(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine("x" * 5000, model_id="scripted", context_length=1000)
    async with open_scripted(engine) as runtime:
        run = await (await begin(runtime)).finish()
        assert run.status == "completed" and run.usage is not None
        assert run.usage.total_tokens == 1000


async def test_the_prompt_budget_makes_a_run_incomplete(open_scripted: OpenRuntime) -> None:
    async with open_scripted(ScriptedEngine(model_id="scripted")) as runtime:
        talk = await begin(runtime, "long " * 200)
        run = await talk.start(max_prompt_tokens=256)
        assert names(await talk.events(run)) == [*HEAD, "R.incomplete"]
        ended = await talk.look(run)
        assert ended.incomplete_details is not None
        assert ended.incomplete_details.reason == "max_prompt_tokens"


async def test_a_prompt_beyond_the_context_fails_clearly(open_scripted: OpenRuntime) -> None:
    async with open_scripted(ScriptedEngine(model_id="scripted", context_length=500)) as runtime:
        talk = await begin(runtime, "long " * 200)
        run = await talk.finish()
        assert run.status == "failed" and run.last_error is not None
        assert run.last_error.code == "invalid_prompt"
        assert "500 tokens" in run.last_error.message


async def test_what_was_dropped_is_recorded_on_the_run(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted", context_length=1000, default_reply="ok")
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime, "the first question")
        for n in range(8):
            await talk.say(f"question {n} " + "filler " * 20)
            run = await talk.finish()
        assert run.status == "completed" and run.context_truncation is not None
        dropped = run.context_truncation["dropped_message_ids"]
        prompt = engine.detokenize(engine.requests[-1].prompt)
        assert "the first question" in prompt and "question 7" in prompt
        assert "question 0" not in prompt
        assert dropped and len(engine.requests[-1].prompt) <= 750


async def test_an_image_is_refused_with_a_reason(talk: Talk) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    run = await talk.finish(additional_messages=[{"role": "user", "content": [image]}])
    assert run.last_error is not None
    assert (run.last_error.code, "image" in run.last_error.message) == ("invalid_prompt", True)


async def test_a_required_built_in_tool_fails_and_says_what_is_missing(talk: Talk) -> None:
    tools = [{"type": "code_interpreter"}]
    run = await talk.finish(tools=tools, tool_choice={"type": "code_interpreter"})
    assert run.last_error is not None and "code_interpreter" in run.last_error.message
    assert (await talk.finish(tools=tools)).status == "completed"  # auto answers without it


async def test_one_run_per_thread_even_under_a_race(talk: Talk, engine: ScriptedEngine) -> None:
    results = await asyncio.gather(*(talk.start() for _ in range(8)), return_exceptions=True)
    started = [r for r in results if not isinstance(r, BaseException)]
    refused = [r for r in results if isinstance(r, InvalidRequest)]
    assert len(started) == 1 and len(refused) == 7
    for error in refused:
        assert error.message == (
            f"Thread {talk.thread_id} already has an active run {started[0].id}."
        )


async def test_deleting_a_thread_stops_its_run(open_scripted: OpenRuntime) -> None:
    slow = ScriptedEngine("word " * 2000, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(slow) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        async for event in runtime.runs.events(P, talk.thread_id, run.id):
            if event.name == "thread.message.delta":
                break
        await runtime.threads.delete(P, talk.thread_id)
        with pytest.raises(ResourceNotFound):
            await talk.look(run)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if slow.counters.running == 0:
                break
        assert slow.counters.running == 0


async def test_a_message_deleted_while_it_is_written_stays_deleted(
    open_scripted: OpenRuntime,
) -> None:
    slow = ScriptedEngine("word " * 40, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(slow) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        async for event in runtime.runs.events(P, talk.thread_id, run.id):
            if event.name == "thread.message.created":
                await runtime.messages.delete(P, talk.thread_id, event.data["id"])
                break
        await talk.events(run)
        assert (await talk.look(run)).status == "completed"
        assert await talk.texts() == [("user", "Hello?")]


async def test_a_call_cut_off_by_the_budget_counts_its_tokens(open_scripted: OpenRuntime) -> None:
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "' + "P" * 500
    async with open_scripted(ScriptedEngine(call, model_id="scripted")) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        run = await talk.finish(max_completion_tokens=300)
        assert run.incomplete_details is not None and run.usage is not None
        assert run.incomplete_details.reason == "max_completion_tokens"
        assert run.usage.completion_tokens == 300


async def test_too_many_waiting_runs_are_refused(open_scripted: OpenRuntime) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply="x" * 4000, delay_seconds=0.01)
    settings = {"poll_seconds": 0.05, "concurrency": 1, "max_queued": 2}
    async with open_scripted(engine, runs=settings) as runtime:
        talks = [await begin(runtime) for _ in range(4)]
        first = await talks[0].start()
        async for event in runtime.runs.events(P, talks[0].thread_id, first.id):
            if event.name == "thread.run.in_progress":
                break
        for talk in talks[1:3]:
            await talk.start()
        with pytest.raises(RateLimited, match="2 are waiting"):
            await talks[3].start()
        assert (await talks[3].texts()) == [("user", "Hello?")]
