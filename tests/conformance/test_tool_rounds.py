"""Rounds of calls at their edges: outputs of every kind, budgets, cancelling, choices, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from tests.conformance.conftest import ANSWER, WEATHER, Talk, Transport, begin
from tests.conformance.serving import call, scripted_settings
from tests.conformance.test_function_calls import (
    CALLING,
    UseEngine,
    calls_of,
    outputs,
    wait,
)
from tests.conformance.test_streams import HEAD
from tests.conformance.wire import Event, raw, raw_stream, short
from tests.grammars import accepts
from tests.server.serving import Stage

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


@pytest.fixture
def talk(client: openai.OpenAI, use_engine: UseEngine) -> Talk:
    """A thread whose first run asks for the weather of one city."""
    use_engine(call("Paris"))
    return begin(client, "How is Paris?", tools=[WEATHER])


def submit(talk: Talk, run: Any, body: Any) -> Any:
    path = f"/threads/{talk.thread_id}/runs/{run.id}/submit_tool_outputs"
    return raw(talk.client, "POST", path, json=body)


def stored_output(talk: Talk, run: Any) -> str | None:
    steps = talk.client.beta.threads.runs.steps.list(run.id, thread_id=talk.thread_id).data
    (step,) = [step for step in steps if step.type == "tool_calls"]
    return step.step_details.tool_calls[0].function.output  # type: ignore[union-attr, no-any-return]


def prompt(engine: Any) -> str:
    return str(engine.detokenize(engine.requests[-1].prompt))


def stream(talk: Talk, path: str, **body: Any) -> list[Event]:
    return list(raw_stream(talk.client, "POST", path, json={**body, "stream": True}))


# --- outputs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"output": ""}])
def test_an_output_may_be_empty_or_absent(talk: Talk, given: dict[str, str]) -> None:
    run = wait(talk)
    (asked,) = calls_of(run)
    assert submit(talk, run, {"tool_outputs": [{"tool_call_id": asked.id, **given}]}).is_success
    done = talk.client.beta.threads.runs.poll(run.id, thread_id=talk.thread_id)
    assert done.status == "completed" and stored_output(talk, run) == ""


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({}, "Missing required parameter: 'tool_outputs'.", "tool_outputs"),
        ({"tool_outputs": [{"output": "x"}]}, None, "tool_outputs[0].tool_call_id"),
        (
            {"tool_outputs": [{"tool_call_id": "call_1", "output": None}]},
            "Invalid type for 'tool_outputs[0].output': expected a string, but got null instead.",
            "tool_outputs[0].output",
        ),
        (
            {"tool_outputs": [{"tool_call_id": "call_1", "output": {"a": 1}}]},
            "Invalid type for 'tool_outputs[0].output': expected a string, "
            "but got an object instead.",
            "tool_outputs[0].output",
        ),
    ],
)
def test_outputs_of_another_shape_are_refused(
    talk: Talk, body: Any, message: str | None, param: str
) -> None:
    run = wait(talk)
    refused = submit(talk, run, body)
    error = refused.json()["error"]
    assert (refused.status_code, error["param"]) == (400, param)
    assert message is None or error["message"] == message
    again = talk.client.beta.threads.runs.retrieve(run.id, thread_id=talk.thread_id)
    assert again.status == "requires_action"


def test_outputs_for_another_run_are_refused(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(call("Paris"), call("Rome"))
    run = wait(talk)
    other_talk = begin(talk.client, "And Rome?", tools=[WEATHER])
    other = wait(other_talk)
    (mine,), (theirs,) = calls_of(run), calls_of(other)
    refused = submit(talk, run, {"tool_outputs": [{"tool_call_id": theirs.id, "output": "x"}]})
    expected = f"Expected tool outputs for call_ids ['{mine.id}'], got ['{theirs.id}']"
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, expected)
    with pytest.raises(openai.NotFoundError, match=f"No run found with id '{other.id}'."):
        talk.client.beta.threads.runs.submit_tool_outputs(
            other.id, thread_id=talk.thread_id, tool_outputs=outputs(other)
        )


def test_outputs_too_large_for_a_request_are_refused_and_the_run_waits_on(
    talk: Talk,
) -> None:
    run = wait(talk)
    (asked,) = calls_of(run)
    body = {"tool_outputs": [{"tool_call_id": asked.id, "output": "x" * (65 * 2**20)}]}
    assert submit(talk, run, body).status_code == 413
    done = talk.client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=talk.thread_id, tool_outputs=outputs(run)
    )
    assert done.status == "completed"


def test_an_output_larger_than_the_context_is_cut_for_the_model_only(
    talk: Talk, use_engine: UseEngine
) -> None:
    engine = use_engine(call("Paris"), context_length=3000)
    run = wait(talk)
    (asked,) = calls_of(run)
    output = "rain and wind " * 10_000
    done = talk.client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id,
        thread_id=talk.thread_id,
        tool_outputs=[{"tool_call_id": asked.id, "output": output}],
    )
    assert done.status == "completed" and talk.texts()[-1] == ANSWER
    assert stored_output(talk, run) == output
    assert done.context_truncation is not None  # type: ignore[attr-defined]
    (cut,) = done.context_truncation["cut_tool_outputs"]  # type: ignore[attr-defined]
    assert (cut["tool_call_id"], cut["characters"]) == (asked.id, len(output))
    kept, read = cut["kept_characters"], prompt(engine)
    assert len(engine.requests[-1].prompt) <= 2250 < len(engine.requests[-1].prompt) + 100
    assert f"{output[:kept]}\n[… {len(output) - kept:,} characters left out]" in read
    assert "How is Paris?" in read


# --- rounds -------------------------------------------------------------------------------------


def test_every_round_is_a_step_of_its_own_with_new_ids(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(*[call("Paris") + "\n" + call("Rome")] * 3)
    runs = talk.client.beta.threads.runs
    run, seen = wait(talk), []
    while run.status == "requires_action":
        seen += [c.id for c in calls_of(run)]
        run = runs.submit_tool_outputs_and_poll(
            run_id=run.id, thread_id=talk.thread_id, tool_outputs=outputs(run)[::-1]
        )
    assert run.status == "completed" and len(set(seen)) == 6
    steps = runs.steps.list(run.id, thread_id=talk.thread_id, order="asc").data
    assert [step.type for step in steps] == ["tool_calls"] * 3 + ["message_creation"]
    calls: list[Any] = [c for s in steps[:3] for c in s.step_details.tool_calls]  # type: ignore[union-attr]
    assert [c.id for c in calls] == seen
    # Whatever order they were submitted in, each call has its own output.
    assert [c.function.output for c in calls] == [f"{c.function.arguments}: 20 C" for c in calls]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(run.usage, name) == sum(getattr(step.usage, name) for step in steps)


def test_the_second_half_may_ask_again(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(call("Paris"), call("Rome"))
    run = wait(talk)
    path = f"/threads/{talk.thread_id}/runs/{run.id}/submit_tool_outputs"
    events = stream(talk, path, tool_outputs=outputs(run))
    assert short(e.name for e in events) == ["S.completed", "R.queued", *CALLING[2:]]
    assert events[0].data["usage"]["total_tokens"] > 0
    assert events[1].data["required_action"] is None
    assert events[-1].data["usage"] is None and events[-1].data["id"] == run.id


def test_a_run_without_end_fails_and_says_after_how_many_rounds(
    transport: Transport, tmp_path: Path, stage: Stage, use_engine: UseEngine
) -> None:
    use_engine(default_reply=call("Paris"))
    settings = scripted_settings(tmp_path, runs={"max_tool_rounds": 2})
    with transport(settings, stage) as client:
        talk = begin(client, tools=[WEATHER])
        run, rounds = wait(talk), 0
        while run.status == "requires_action":
            rounds += 1
            run = client.beta.threads.runs.submit_tool_outputs_and_poll(
                run_id=run.id, thread_id=talk.thread_id, tool_outputs=outputs(run)
            )
        assert (rounds, run.status, run.last_error.code) == (2, "failed", "server_error")
        assert "asked for tools 2 times" in run.last_error.message
        talk.say("Never mind.")


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=str
)
def test_a_demanded_call_is_demanded_of_the_first_turn_only(
    talk: Talk, use_engine: UseEngine, choice: Any
) -> None:
    engine = use_engine(call("Paris"))
    runs = talk.client.beta.threads.runs
    run = runs.create_and_poll(**talk.ids, tool_choice=choice)
    done = runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=talk.thread_id, tool_outputs=outputs(run)
    )
    assert done.status == "completed"
    demanded, free = (request.constraint for request in engine.requests)
    assert not accepts(demanded, ANSWER) and accepts(free, ANSWER)
    # A new run on the same thread is held to its own choice, whatever outputs there are already.
    talk.say("And now?")
    engine.enqueue(call("Paris"))
    again = runs.create_and_poll(**talk.ids, tool_choice=choice)
    assert again.status == "requires_action"
    assert not accepts(engine.requests[-1].constraint, ANSWER)


def test_parallel_calls_can_be_forbidden(talk: Talk, use_engine: UseEngine) -> None:
    engine = use_engine(call("Paris"), call("Paris"))
    runs = talk.client.beta.threads.runs
    one = runs.create_and_poll(**talk.ids, parallel_tool_calls=False)
    assert one.parallel_tool_calls is False and len(calls_of(one)) == 1
    runs.cancel(one.id, thread_id=talk.thread_id)
    runs.poll(one.id, thread_id=talk.thread_id)
    runs.create_and_poll(**talk.ids)
    both = call("Paris") + "\n" + call("Rome")
    single, many = (request.constraint for request in engine.requests)
    assert not accepts(single, both) and accepts(many, both)


def test_a_schema_is_refused_by_its_place_among_all_tools(client: openai.OpenAI) -> None:
    talk = begin(client, "Hi")
    broken = {"name": "f", "parameters": {"properties": {"x": {"type": "nonsense"}}}}
    tools: Any = [{"type": "code_interpreter"}, {"type": "function", "function": broken}]
    beta = client.beta
    for create in (
        lambda: beta.assistants.create(model="gpt-4o", tools=tools),
        lambda: beta.threads.runs.create(**talk.ids, tools=tools),
    ):
        with pytest.raises(openai.BadRequestError, match="'f'") as caught:
            create()
        assert caught.value.param == "tools[1].function.parameters"
        assert caught.value.code == "invalid_function_parameters"


# --- ends ---------------------------------------------------------------------------------------


def test_cancelling_while_the_run_waits(talk: Talk) -> None:
    runs = talk.client.beta.threads.runs
    run = wait(talk)
    given = outputs(run)
    assert runs.cancel(run.id, thread_id=talk.thread_id).status == "cancelling"
    ended = runs.poll(run.id, thread_id=talk.thread_id)
    assert (ended.status, ended.required_action) == ("cancelled", None)
    assert ended.usage is not None and ended.usage.completion_tokens > 0
    (step,) = runs.steps.list(run.id, thread_id=talk.thread_id).data
    assert step.status == "cancelled" and stored_output(talk, run) is None
    with pytest.raises(openai.BadRequestError) as caught:
        runs.submit_tool_outputs(run.id, thread_id=talk.thread_id, tool_outputs=given)
    message = 'Runs in status "cancelled" do not accept tool outputs.'
    assert caught.value.body["message"] == message  # type: ignore[index]
    talk.say("Never mind.")


def streamed_calls(events: list[Event]) -> list[Any]:
    """What the deltas of one step with one call add up to."""
    (first, *more) = [
        event.data["delta"]["step_details"]["tool_calls"][0]
        for event in events
        if event.name == "thread.run.step.delta"
    ]
    arguments = "".join(part["function"]["arguments"] for part in more)
    function = {"name": "get_weather", "arguments": arguments, "output": None}
    return [{"id": first["id"], "type": "function", "function": function}]


def test_a_budget_that_ends_in_the_middle_of_a_call(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(call("P" * 1000))
    path = f"/threads/{talk.thread_id}/runs"
    events = stream(talk, path, assistant_id=talk.assistant_id, max_completion_tokens=256)
    opened = [*HEAD, "S.created", "S.in_progress", "S.delta"]
    assert short(e.name for e in events) == [*opened, "S.completed", "R.incomplete"]
    ended = events[-1].data
    assert ended["incomplete_details"] == {"reason": "max_completion_tokens"}
    assert ended["required_action"] is None and ended["usage"]["completion_tokens"] == 256
    closed = events[-2].data
    assert ended["usage"]["total_tokens"] == closed["usage"]["total_tokens"]
    # What was streamed of the call can be read later as well.
    shown = closed["step_details"]["tool_calls"]
    assert shown == streamed_calls(events)
    assert shown[0]["function"]["arguments"].startswith('{"city": "PPP')
    talk.say("Try again.")
    assert wait(talk).status == "completed"


def test_a_prompt_budget_holds_for_all_rounds_together(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(call("Paris"))
    runs = talk.client.beta.threads.runs
    run = runs.create_and_poll(**talk.ids, max_prompt_tokens=1000)
    (asked,) = calls_of(run)
    done = runs.submit_tool_outputs_and_poll(
        run_id=run.id,
        thread_id=talk.thread_id,
        tool_outputs=[{"tool_call_id": asked.id, "output": "rain " * 200}],
    )
    assert done.status == "incomplete" and done.incomplete_details is not None
    assert done.incomplete_details.reason == "max_prompt_tokens"
    assert done.usage is not None and 0 < done.usage.prompt_tokens <= 1000
    assert stored_output(talk, run) == "rain " * 200


def test_cancelling_in_the_middle_of_a_call(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(call("P" * 4000), delay_seconds=0.01)
    runs = talk.client.beta.threads.runs
    path = f"/threads/{talk.thread_id}/runs"
    body = {"assistant_id": talk.assistant_id, "stream": True}
    events: list[Event] = []
    deltas = 0
    for event in raw_stream(talk.client, "POST", path, json=body):
        events.append(event)
        is_delta = event.name == "thread.run.step.delta"
        deltas += is_delta
        if is_delta and deltas == 3:
            cancelled = runs.cancel(events[0].data["id"], thread_id=talk.thread_id)
            assert cancelled.status == "cancelling"
    names = short(e.name for e in events)
    assert [name for name in names if name != "S.delta"][-3:] == [
        "R.cancelling",
        "S.cancelled",
        "R.cancelled",
    ]
    assert events[-2].data["step_details"]["tool_calls"] == streamed_calls(events)
    talk.say("Never mind.")
