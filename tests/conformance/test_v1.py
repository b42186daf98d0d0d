"""A client of the first API version: its shapes in answers and in streams.

Current SDKs put the newer version into every request; ``extra_headers`` is how a caller of theirs
asks for the older one.
"""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.conformance.conftest import ANSWER
from tests.conformance.test_streams import PLAIN, Recorder
from tests.conformance.wire import V1, check, delta_text, raw, raw_stream, short

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

NEW_FIELDS = {"tool_resources", "attachments", "parallel_tool_calls"}
RETRIEVAL: Any = [{"type": "retrieval"}]
OLD: Any = {"extra_headers": V1}


@pytest.fixture
def file_id(client: openai.OpenAI) -> str:
    made = client.files.create(file=("notes.txt", b"The answer is 42."), purpose="assistants")
    return made.id


@pytest.fixture
def ids(client: openai.OpenAI) -> dict[str, str]:
    """An assistant with retrieval, and a thread with a question."""
    made = client.beta.assistants.create(model="gpt-4-1106-preview", tools=RETRIEVAL, **OLD)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}], **OLD)
    return {"thread_id": thread.id, "assistant_id": made.id}


def fields(*objects: Any) -> set[str]:
    """Names of everything that was sent."""
    return {
        name
        for item in objects
        for name in (item if isinstance(item, dict) else item.model_fields_set)
    }


def test_an_assistant_with_files(client: openai.OpenAI, file_id: str) -> None:
    assistants: Any = client.beta.assistants
    body = {"file_ids": [file_id]}
    made = assistants.create(model="gpt-4", tools=RETRIEVAL, extra_body=body, **OLD)
    assert made.file_ids == [file_id]
    assert [tool.type for tool in made.tools] == ["retrieval"]
    assert not fields(made) & NEW_FIELDS
    assert assistants.list(limit=1, **OLD).data == [made]
    emptied = assistants.update(made.id, extra_body={"file_ids": []}, **OLD)
    assert emptied.file_ids == [] == assistants.retrieve(made.id, **OLD).file_ids
    seen_by_v2 = assistants.retrieve(made.id)
    assert [tool.type for tool in seen_by_v2.tools] == ["file_search"]
    assert seen_by_v2.tool_resources is not None


def test_a_message_with_files(client: openai.OpenAI, file_id: str) -> None:
    threads: Any = client.beta.threads
    thread = threads.create(**OLD)
    body = {"file_ids": [file_id]}
    message = threads.messages.create(
        thread.id, role="user", content="What is it?", extra_body=body, **OLD
    )
    assert message.file_ids == [file_id]
    assert threads.messages.list(thread.id, **OLD).data == [message]
    assert not fields(thread, message) & NEW_FIELDS


def test_a_run_in_v1_shapes(client: openai.OpenAI, ids: dict[str, str]) -> None:
    threads: Any = client.beta.threads
    run = threads.runs.create_and_poll(**ids, **OLD)
    assert run.status == "completed"
    assert [tool.type for tool in run.tools] == ["retrieval"] and run.file_ids == []
    (step,) = threads.runs.steps.list(run.id, thread_id=run.thread_id, **OLD).data
    (message,) = threads.messages.list(run.thread_id, run_id=run.id, **OLD).data
    assert message.content[0].text.value == ANSWER and message.file_ids == []
    assert not fields(run, step, message) & NEW_FIELDS


def test_the_stream_helper_on_v1_objects(client: openai.OpenAI, ids: dict[str, str]) -> None:
    handler = Recorder()
    runs: Any = client.beta.threads.runs
    with runs.stream(**ids, **OLD, event_handler=handler) as stream:
        run = stream.get_final_run()
    assert short(handler.events) == PLAIN and run.status == "completed"
    assert handler.message.content[0].text.value == ANSWER
    assert not fields(run, handler.message) & NEW_FIELDS


def test_every_record_of_a_v1_stream(client: openai.OpenAI, ids: dict[str, str]) -> None:
    body = {
        "assistant_id": ids["assistant_id"],
        "stream": True,
        "thread": {"messages": [{"role": "user", "content": "Hi"}]},
    }
    events = list(raw_stream(client, "POST", "/threads/runs", json=body, headers=V1))
    assert short(event.name for event in events) == ["created", *PLAIN]
    assert delta_text(events) == ANSWER
    assert not fields(*(event.data for event in events)) & NEW_FIELDS
    assert events[1].data["tools"] == [{"type": "retrieval"}]
    messages = [e.data for e in events if e.data["object"] == "thread.message"]
    assert [message["file_ids"] for message in messages] == [[], [], []]
    again = f"/threads/{events[0].data['id']}/runs/{events[1].data['id']}/stream"
    attached = list(raw_stream(client, "GET", again, headers=V1))
    assert [event.data for event in attached] == [event.data for event in events]


def test_without_a_header_the_answer_is_v2(client: openai.OpenAI) -> None:
    body = raw(client, "POST", "/assistants", json={"model": "gpt-4o", "tools": RETRIEVAL}).json()
    check(body)
    assert body["tools"] == [{"type": "file_search"}] and "tool_resources" in body
