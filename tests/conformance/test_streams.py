"""Streams of runs: the order of their events, and what the client's helpers make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AssistantEventHandler
from typing_extensions import override

from localassist.engine import ScriptedEngine
from localassist.errors import GenerationFailed
from tests.conformance.conftest import ANSWER, Talk
from tests.conformance.wire import Event, delta_text, raw_stream, short

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

UseEngine = Callable[..., ScriptedEngine]
HEAD = ["R.created", "R.queued", "R.in_progress"]
OPENING = ["S.created", "S.in_progress", "M.created", "M.in_progress"]
CLOSING = ["M.completed", "S.completed", "R.completed"]
PLAIN = [*HEAD, *OPENING, "M.delta", *CLOSING]


class Recorder(AssistantEventHandler):
    """Notes the name of every callback, and what came last."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.events: list[str] = []
        self.message: Any = None
        self.step: Any = None
        self.error: Exception | None = None

    @override
    def on_event(self, event: Any) -> None:
        self.events.append(event.event)

    @override
    def on_message_created(self, message: Any) -> None:
        self.calls.append("message_created")
        assert message.content == []

    @override
    def on_message_delta(self, delta: Any, snapshot: Any) -> None:
        self.calls.append("message_delta")

    @override
    def on_message_done(self, message: Any) -> None:
        self.calls.append("message_done")
        self.message = message

    @override
    def on_text_created(self, text: Any) -> None:
        self.calls.append("text_created")

    @override
    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.calls.append("text_delta")
        assert snapshot.value.endswith(delta.value)

    @override
    def on_text_done(self, text: Any) -> None:
        self.calls.append("text_done")

    @override
    def on_run_step_created(self, run_step: Any) -> None:
        self.calls.append("run_step_created")

    @override
    def on_run_step_done(self, run_step: Any) -> None:
        self.calls.append("run_step_done")
        self.step = run_step

    @override
    def on_exception(self, exception: Exception) -> None:
        self.error = exception

    @override
    def on_end(self) -> None:
        self.calls.append("end")


def test_the_handler_is_told_everything_in_order(talk: Talk) -> None:
    handler = Recorder()
    runs = talk.client.beta.threads.runs
    with runs.stream(**talk.ids, event_handler=handler) as stream:
        stream.until_done()
    assert short(handler.events) == PLAIN
    deltas = handler.calls.count("message_delta")
    assert deltas == handler.calls.count("text_delta") > 3
    assert list(dict.fromkeys(handler.calls)) == [
        "run_step_created",
        "message_created",
        "text_created",
        "text_delta",
        "message_delta",
        "text_done",
        "message_done",
        "run_step_done",
        "end",
    ]
    assert handler.error is None


def test_what_a_stream_ends_with_is_what_polling_sees(talk: Talk) -> None:
    handler = Recorder()
    threads = talk.client.beta.threads
    with threads.runs.stream(**talk.ids, event_handler=handler) as stream:
        run = stream.get_final_run()
        (message,) = stream.get_final_messages()
        (step,) = stream.get_final_run_steps()
    assert threads.runs.retrieve(run.id, thread_id=talk.thread_id) == run
    stored = threads.messages.retrieve(message.id, thread_id=talk.thread_id)
    assert stored == message == handler.message
    (polled,) = threads.runs.steps.list(run.id, thread_id=talk.thread_id).data
    assert polled == handler.step and polled.id == step.id
    assert talk.texts()[-1] == ANSWER


def test_iterating_the_helper_and_its_text(talk: Talk) -> None:
    with talk.client.beta.threads.runs.stream(**talk.ids) as stream:
        assert "".join(stream.text_deltas) == ANSWER
    talk.say("Again?")
    with talk.client.beta.threads.runs.stream(**talk.ids) as stream:
        assert short(event.event for event in stream) == PLAIN


def test_create_and_run_stream_begins_with_the_thread(client: openai.OpenAI) -> None:
    assistant = client.beta.assistants.create(model="gpt-4o")
    handler = Recorder()
    with client.beta.threads.create_and_run_stream(
        assistant_id=assistant.id,
        thread={"messages": [{"role": "user", "content": "Hi"}]},
        event_handler=handler,
    ) as stream:
        run = stream.get_final_run()
    assert short(handler.events) == ["created", *PLAIN]
    assert Talk(client, assistant.id, run.thread_id).texts() == ["Hi", ANSWER]


def test_raw_events_of_a_plain_answer(talk: Talk) -> None:
    stream = talk.client.beta.threads.runs.create(**talk.ids, stream=True)
    events: list[Any] = list(stream)
    assert short(event.event for event in events) == PLAIN
    assert [event.data.status for event in events[:3]] == ["queued", "queued", "in_progress"]
    assert events[-1].data.status == "completed"


def test_deltas_are_shaped_as_the_contract_says(talk: Talk) -> None:
    events = list(_raw_run(talk))
    assert short(event.name for event in events) == PLAIN
    parts = [e.data["delta"]["content"] for e in events if e.name == "thread.message.delta"]
    assert parts[0][0]["text"]["annotations"] == []
    assert all("annotations" not in part[0]["text"] for part in parts[1:])
    assert delta_text(events) == ANSWER
    opened = next(e.data for e in events if e.name == "thread.message.created")
    assert (opened["content"], opened["status"]) == ([], "in_progress")
    step, run = events[-2].data, events[-1].data
    assert step["usage"] == run["usage"] and run["usage"]["completion_tokens"] == len(ANSWER)


def test_a_failed_run(talk: Talk, use_engine: UseEngine) -> None:
    use_engine(GenerationFailed("the model broke"))
    handler = Recorder()
    with talk.client.beta.threads.runs.stream(**talk.ids, event_handler=handler) as stream:
        run = stream.get_final_run()
    assert short(handler.events) == [*HEAD, "R.failed"]
    assert run.status == "failed" and run.last_error is not None
    assert run.last_error.message == "the model broke"
    assert handler.error is None


def test_a_cancelled_run(talk: Talk, use_engine: UseEngine) -> None:
    use_engine("word " * 2000, delay_seconds=0.005)
    runs = talk.client.beta.threads.runs
    events: list[Event] = []
    for event in _raw_run(talk):
        events.append(event)
        if [seen.name for seen in events].count("thread.message.delta") == 1:
            if event.name == "thread.message.delta":
                runs.cancel(events[0].data["id"], thread_id=talk.thread_id)
    names = short(event.name for event in events)
    # A piece or two may still be on its way when the cancellation is noted.
    assert [name for name in names if name != "M.delta"] == [
        *HEAD,
        *OPENING,
        "R.cancelling",
        "M.incomplete",
        "S.cancelled",
        "R.cancelled",
    ]
    message = next(e.data for e in events if e.name == "thread.message.incomplete")
    assert message["incomplete_details"] == {"reason": "run_cancelled"}
    assert message["content"][0]["text"]["value"] == delta_text(events)


def test_a_run_out_of_budget(talk: Talk, use_engine: UseEngine) -> None:
    use_engine("x" * 5000)
    handler = Recorder()
    with talk.client.beta.threads.runs.stream(
        **talk.ids, max_completion_tokens=300, event_handler=handler
    ) as stream:
        run = stream.get_final_run()
    ends = ["M.incomplete", "S.completed", "R.incomplete"]
    assert short(handler.events) == [*HEAD, *OPENING, "M.delta", *ends]
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == "max_completion_tokens"
    assert handler.message.incomplete_details.reason == "max_tokens"
    assert handler.message.content[0].text.value == "x" * 300


def test_a_prompt_beyond_its_budget(talk: Talk) -> None:
    talk.say("long " * 200)
    events = list(_raw_run(talk, max_prompt_tokens=256))
    assert short(event.name for event in events) == [*HEAD, "R.incomplete"]
    assert events[-1].data["incomplete_details"] == {"reason": "max_prompt_tokens"}


def test_a_request_that_cannot_begin_is_no_stream(talk: Talk) -> None:
    runs = talk.client.beta.threads.runs
    with pytest.raises(openai.NotFoundError, match="No assistant found with id 'asst_none'"):
        runs.create(thread_id=talk.thread_id, assistant_id="asst_none", stream=True)
    with pytest.raises(openai.NotFoundError, match="No thread found with id 'thread_none'"):
        with runs.stream(thread_id="thread_none", assistant_id=talk.assistant_id):
            pass


def _raw_run(talk: Talk, **body: Any) -> Iterator[Event]:
    path = f"/threads/{talk.thread_id}/runs"
    body |= {"assistant_id": talk.assistant_id, "stream": True}
    return raw_stream(talk.client, "POST", path, json=body)
