"""Functions that the client executes: waiting, answering, several rounds, refusals."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AssistantEventHandler
from typing_extensions import override

from localassist.engine import ScriptedEngine
from tests.conformance.conftest import ANSWER, WEATHER, Talk, Transport, begin
from tests.conformance.serving import call, scripted_settings
from tests.conformance.test_streams import CLOSING, HEAD, OPENING, Recorder
from tests.conformance.wire import raw_stream, short
from tests.server.serving import Stage

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

UseEngine = Callable[..., ScriptedEngine]
CALLING = [*HEAD, "S.created", "S.in_progress", "S.delta", "R.requires_action"]
ANSWERING = ["S.completed", "R.queued", "R.in_progress", *OPENING, "M.delta", *CLOSING]


@pytest.fixture
def talk(client: openai.OpenAI, use_engine: UseEngine) -> Talk:
    """A thread whose first run asks for the weather of two cities at once."""
    use_engine(call("Paris") + "\n" + call("Rome"))
    return begin(client, "Where is it warmer?", tools=[WEATHER])


def calls_of(run: Any) -> list[Any]:
    assert run.status == "requires_action" and run.required_action.type == "submit_tool_outputs"
    return list(run.required_action.submit_tool_outputs.tool_calls)


def outputs(run: Any) -> Any:
    return [
        {"tool_call_id": c.id, "output": f"{c.function.arguments}: 20 C"} for c in calls_of(run)
    ]


def wait(talk: Talk) -> Any:
    return talk.client.beta.threads.runs.create_and_poll(**talk.ids)


def test_a_run_waits_and_goes_on(talk: Talk) -> None:
    runs = talk.client.beta.threads.runs
    run = wait(talk)
    cities = [json.loads(c.function.arguments)["city"] for c in calls_of(run)]
    assert cities == ["Paris", "Rome"] and run.usage is None
    assert all(c.id.startswith("call_") and c.function.name == "get_weather" for c in calls_of(run))
    submitted = runs.submit_tool_outputs(
        run.id, thread_id=talk.thread_id, tool_outputs=outputs(run)
    )
    assert (submitted.status, submitted.required_action) == ("queued", None)
    done = runs.poll(run.id, thread_id=talk.thread_id)
    assert done.status == "completed" and talk.texts()[-1] == ANSWER
    steps = runs.steps.list(run.id, thread_id=talk.thread_id, order="asc").data
    assert [step.type for step in steps] == ["tool_calls", "message_creation"]
    answered: Any = [c.function for c in steps[0].step_details.tool_calls]  # type: ignore[union-attr]
    assert [f.output for f in answered] == [f"{f.arguments}: 20 C" for f in answered]
    assert done.usage is not None
    assert done.usage.total_tokens == sum(step.usage.total_tokens for step in steps if step.usage)


def test_submit_and_poll(talk: Talk) -> None:
    run = wait(talk)
    done = talk.client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=talk.thread_id, tool_outputs=outputs(run)
    )
    assert done.status == "completed"


def test_submit_and_stream(talk: Talk) -> None:
    run = wait(talk)
    handler = Recorder()
    with talk.client.beta.threads.runs.submit_tool_outputs_stream(
        run_id=run.id,
        thread_id=talk.thread_id,
        tool_outputs=outputs(run),
        event_handler=handler,
    ) as stream:
        stream.until_done()
    assert short(handler.events) == ANSWERING
    assert handler.message.content[0].text.value == ANSWER


def test_submit_with_raw_events(talk: Talk) -> None:
    run = wait(talk)
    path = f"/threads/{talk.thread_id}/runs/{run.id}/submit_tool_outputs"
    body = {"tool_outputs": outputs(run), "stream": True}
    events = list(raw_stream(talk.client, "POST", path, json=body))
    assert short(event.name for event in events) == ANSWERING
    closed = events[0].data
    (waiting,) = talk.client.beta.threads.runs.steps.list(
        run.id, thread_id=talk.thread_id, order="asc", limit=1
    ).data
    assert closed["id"] == waiting.id and closed["status"] == "completed"


def test_calls_arrive_in_fragments_that_add_up(talk: Talk) -> None:
    path = f"/threads/{talk.thread_id}/runs"
    body = {"assistant_id": talk.assistant_id, "stream": True}
    events = list(raw_stream(talk.client, "POST", path, json=body))
    assert short(event.name for event in events) == CALLING
    calls: list[dict[str, str]] = []
    for event in events:
        if event.name != "thread.run.step.delta":
            continue
        assert set(event.data["delta"]) == {"step_details"}
        for part in event.data["delta"]["step_details"]["tool_calls"]:
            if part["index"] == len(calls):
                assert part["function"] == {"name": "get_weather", "arguments": "", "output": None}
                calls.append({"id": part["id"], "arguments": ""})
            else:
                assert set(part) == {"index", "type", "function"}
                assert set(part["function"]) == {"arguments"}
                calls[part["index"]]["arguments"] += part["function"]["arguments"]
    required = events[-1].data["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert calls == [{"id": c["id"], "arguments": c["function"]["arguments"]} for c in required]
    assert [json.loads(c["arguments"])["city"] for c in calls] == ["Paris", "Rome"]


class Answering(AssistantEventHandler):
    """The usual program: answers calls from within the stream, with a stream of its own."""

    def __init__(self, client: openai.OpenAI) -> None:
        super().__init__()
        self.client = client
        self.created: list[str] = []
        self.text = ""

    @override
    def on_tool_call_created(self, tool_call: Any) -> None:
        self.created.append(tool_call.function.name)

    @override
    def on_event(self, event: Any) -> None:
        if event.event != "thread.run.requires_action":
            return
        inner = Answering(self.client)
        with self.client.beta.threads.runs.submit_tool_outputs_stream(
            thread_id=event.data.thread_id,
            run_id=event.data.id,
            tool_outputs=outputs(event.data),
            event_handler=inner,
        ) as stream:
            stream.until_done()
        self.text = inner.text

    @override
    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.text += delta.value


def test_answering_from_within_the_stream(talk: Talk) -> None:
    handler = Answering(talk.client)
    with talk.client.beta.threads.runs.stream(**talk.ids, event_handler=handler) as stream:
        stream.until_done()
    assert handler.created == ["get_weather", "get_weather"]
    assert handler.text == ANSWER == talk.texts()[-1]


def test_text_before_a_call_is_a_message_of_its_own(talk: Talk, use_engine: UseEngine) -> None:
    use_engine("I will look. " + call("Paris"), call("Rome"), "Both are warm.")
    runs = talk.client.beta.threads.runs
    handler = Recorder()
    with runs.stream(**talk.ids, event_handler=handler) as stream:
        run = stream.get_final_run()
    said = ["M.delta", "M.completed", "S.completed"]
    assert short(handler.events) == [*HEAD, *OPENING, *said, *CALLING[3:]]
    for status in ("requires_action", "completed"):
        run = runs.submit_tool_outputs_and_poll(
            run_id=run.id, thread_id=talk.thread_id, tool_outputs=outputs(run)
        )
        assert run.status == status
    assert talk.texts()[1:] == ["I will look.", "Both are warm."]
    steps = runs.steps.list(run.id, thread_id=talk.thread_id, order="asc").data
    types = ["message_creation", "tool_calls", "tool_calls", "message_creation"]
    assert [step.type for step in steps] == types


def test_outputs_must_answer_exactly_the_calls(talk: Talk) -> None:
    runs = talk.client.beta.threads.runs
    run = wait(talk)
    first, second = (c.id for c in calls_of(run))
    for given in ([first], [first, first], [first, second, "call_other"], []):
        answers: Any = [{"tool_call_id": call_id, "output": "x"} for call_id in given]
        with pytest.raises(openai.BadRequestError) as caught:
            runs.submit_tool_outputs(run.id, thread_id=talk.thread_id, tool_outputs=answers)
        expected = f"Expected tool outputs for call_ids {[first, second]}, got {given}"
        assert caught.value.body["message"] == expected  # type: ignore[index]
    assert runs.retrieve(run.id, thread_id=talk.thread_id) == run
    runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=talk.thread_id, tool_outputs=outputs(run)
    )
    with pytest.raises(openai.BadRequestError) as caught:
        runs.submit_tool_outputs(run.id, thread_id=talk.thread_id, tool_outputs=outputs(run))
    message = 'Runs in status "completed" do not accept tool outputs.'
    assert caught.value.body["message"] == message  # type: ignore[index]


def test_an_unanswered_run_expires(
    transport: Transport, tmp_path: Path, stage: Stage, use_engine: UseEngine
) -> None:
    use_engine(call("Paris"))
    settings = scripted_settings(tmp_path, runs={"lifetime_seconds": 1})
    with transport(settings, stage) as client:
        talk = begin(client, tools=[WEATHER])
        runs = client.beta.threads.runs
        run = wait(talk)
        given = outputs(run)
        while (expired := runs.retrieve(run.id, thread_id=talk.thread_id)).status != "expired":
            assert expired.status == "requires_action"
            time.sleep(0.05)
        assert (expired.required_action, expired.last_error) == (None, None)
        (step,) = runs.steps.list(run.id, thread_id=talk.thread_id).data
        assert step.status == "expired" and step.expired_at is not None
        with pytest.raises(openai.BadRequestError, match='Runs in status "expired" do not accept'):
            runs.submit_tool_outputs(run.id, thread_id=talk.thread_id, tool_outputs=given)
        path = f"/threads/{talk.thread_id}/runs/{run.id}/stream"
        events = list(raw_stream(client, "GET", path, params={"starting_after": "7"}))
        assert short(event.name for event in events)[-2:] == ["S.expired", "R.expired"]
        talk.say("Never mind.")
