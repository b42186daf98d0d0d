"""Assistants, threads and messages: make, read, change, list, delete."""

from __future__ import annotations

import openai
import pytest

from tests.conformance.conftest import WEATHER, begin

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


def test_an_assistant_keeps_what_it_was_made_with(client: openai.OpenAI) -> None:
    assistants = client.beta.assistants
    made = assistants.create(
        model="gpt-4o",
        name="Ä",
        description="d",
        instructions="i",
        tools=[WEATHER, {"type": "code_interpreter"}],  # type: ignore[list-item]
        metadata={"a": "1"},
        temperature=0,
        top_p=0.5,
        response_format={"type": "json_object"},
    )
    assert assistants.retrieve(made.id) == made
    assert (made.name, made.model, made.temperature, made.top_p) == ("Ä", "gpt-4o", 0, 0.5)
    assert [tool.type for tool in made.tools] == ["function", "code_interpreter"]
    assert made.response_format.type == "json_object"  # type: ignore[union-attr]
    plain = assistants.create(model="gpt-4o")
    assert (plain.name, plain.tools, plain.metadata, plain.temperature) == (None, [], {}, 1.0)


def test_an_update_changes_what_it_names(client: openai.OpenAI) -> None:
    assistants = client.beta.assistants
    made = assistants.create(model="gpt-4o", name="A", instructions="i", tools=[WEATHER])  # type: ignore[list-item]
    changed = assistants.update(made.id, name="B", temperature=0)
    assert (changed.name, changed.instructions, changed.temperature) == ("B", "i", 0)
    assert assistants.update(made.id, tools=[]).tools == []
    assert assistants.update(made.id, name=None).name is None
    assert assistants.retrieve(made.id).created_at == made.created_at


def test_metadata_is_merged_on_every_object(client: openai.OpenAI) -> None:
    talk = begin(client, metadata={"a": "1"})
    messages, runs = client.beta.threads.messages, client.beta.threads.runs
    run = runs.create_and_poll(**talk.ids)
    message = messages.create(talk.thread_id, role="user", content="?", metadata={"a": "1"})
    client.beta.threads.update(talk.thread_id, metadata={"a": "1"})
    runs.update(run.id, thread_id=talk.thread_id, metadata={"a": "1"})
    for change in ({"b": "2"}, {"b": "3"}):
        metadata = [
            client.beta.assistants.update(talk.assistant_id, metadata=change).metadata,
            client.beta.threads.update(talk.thread_id, metadata=change).metadata,
            messages.update(message.id, thread_id=talk.thread_id, metadata=change).metadata,
            runs.update(run.id, thread_id=talk.thread_id, metadata=change).metadata,
        ]
        assert metadata == [{"a": "1", **change}] * 4
    assert messages.retrieve(message.id, thread_id=talk.thread_id).metadata == {"a": "1", "b": "3"}


def test_a_thread_takes_its_first_messages_along(client: openai.OpenAI) -> None:
    thread = client.beta.threads.create(
        messages=[
            {"role": "user", "content": "One", "metadata": {"n": "1"}},
            {"role": "assistant", "content": [{"type": "text", "text": "Two"}]},
        ],
        metadata={"a": "1"},
    )
    assert client.beta.threads.retrieve(thread.id) == thread
    newest, oldest = client.beta.threads.messages.list(thread.id).data
    assert (oldest.role, newest.role, oldest.metadata) == ("user", "assistant", {"n": "1"})
    assert [m.content[0].text.value for m in (oldest, newest)] == ["One", "Two"]  # type: ignore[union-attr]
    assert (oldest.status, oldest.run_id, oldest.assistant_id) == ("completed", None, None)


def test_messages_of_one_run(client: openai.OpenAI) -> None:
    talk = begin(client)
    run = client.beta.threads.runs.create_and_poll(**talk.ids)
    talk.say("And tomorrow?")
    (answer,) = client.beta.threads.messages.list(talk.thread_id, run_id=run.id).data
    assert (answer.run_id, answer.assistant_id) == (run.id, talk.assistant_id)


def test_what_is_deleted_is_gone(client: openai.OpenAI) -> None:
    talk = begin(client)
    messages = client.beta.threads.messages
    message = messages.create(talk.thread_id, role="user", content="?")
    deleted = messages.delete(message.id, thread_id=talk.thread_id)
    assert (deleted.id, deleted.object) == (message.id, "thread.message.deleted")
    with pytest.raises(openai.NotFoundError, match=f"No message found with id '{message.id}'"):
        messages.retrieve(message.id, thread_id=talk.thread_id)
    assert client.beta.threads.delete(talk.thread_id).object == "thread.deleted"
    with pytest.raises(openai.NotFoundError, match=f"No thread found with id '{talk.thread_id}'"):
        messages.list(talk.thread_id)
    assert client.beta.assistants.delete(talk.assistant_id).object == "assistant.deleted"
    with pytest.raises(openai.NotFoundError, match=f"'{talk.assistant_id}'"):
        client.beta.assistants.delete(talk.assistant_id)


def test_a_run_outlives_its_assistant(client: openai.OpenAI) -> None:
    talk = begin(client)
    run = client.beta.threads.runs.create_and_poll(**talk.ids)
    client.beta.assistants.delete(talk.assistant_id)
    kept = client.beta.threads.runs.retrieve(run.id, thread_id=talk.thread_id)
    assert kept == run
    with pytest.raises(openai.NotFoundError, match=f"'{talk.assistant_id}'"):
        client.beta.threads.runs.create(**talk.ids)
