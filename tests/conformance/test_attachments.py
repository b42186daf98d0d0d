"""Files that come with assistants, threads and messages: which stores and lists they end in."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from localassist import clock

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

SEARCH: Any = [{"type": "file_search"}]
CODE: Any = [{"type": "code_interpreter"}]
WEEK = 7 * 86_400


def upload(client: openai.OpenAI, name: str = "notes.txt") -> str:
    data = f"These are the words of {name}.".encode()
    return client.files.create(file=(name, data), purpose="assistants").id


def attach(file_id: str, tools: Any = SEARCH) -> Any:
    return {"role": "user", "content": "?", "attachments": [{"file_id": file_id, "tools": tools}]}


def store_of(owner: Any) -> str:
    (store_id,) = owner.tool_resources.file_search.vector_store_ids
    return store_id  # type: ignore[no-any-return]


def searched(client: openai.OpenAI, owner: Any) -> list[str]:
    return [f.id for f in client.vector_stores.files.list(store_of(owner), order="asc")]


def test_files_of_messages_share_the_store_of_their_thread(client: openai.OpenAI) -> None:
    a, b, c = (upload(client) for _ in range(3))
    threads = client.beta.threads
    thread = threads.create(messages=[attach(a)])
    store = client.vector_stores.retrieve(store_of(thread))
    assert store.expires_after is not None and store.expires_after.days == 7
    assert store.expires_at == store.last_active_at + WEEK  # type: ignore[operator]
    threads.messages.create(thread.id, **attach(b))
    threads.messages.create(thread.id, **attach(c, CODE + SEARCH))
    threads.messages.create(thread.id, **attach(a))
    seen = threads.retrieve(thread.id)
    assert store_of(seen) == store.id and searched(client, seen) == [a, b, c]
    assert seen.tool_resources.code_interpreter.file_ids == [c]  # type: ignore[union-attr]


def test_a_message_brings_a_store_to_a_thread_without(client: openai.OpenAI) -> None:
    threads = client.beta.threads
    thread = threads.create()
    file_id = upload(client)
    message = threads.messages.create(thread.id, **attach(file_id, CODE))
    assert "file_search" not in threads.retrieve(thread.id).tool_resources.to_dict()  # type: ignore[union-attr]
    assert message.attachments[0].file_id == file_id  # type: ignore[index]
    threads.messages.create(thread.id, **attach(file_id))
    first = store_of(threads.retrieve(thread.id))
    # A store that was deleted is replaced.
    client.vector_stores.delete(first)
    threads.messages.create(thread.id, **attach(file_id))
    seen = threads.retrieve(thread.id)
    assert store_of(seen) != first and searched(client, seen) == [file_id]


def test_a_store_that_is_given(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="mine")
    resources: Any = {"file_search": {"vector_store_ids": [store.id]}}
    file_id = upload(client)
    thread = client.beta.threads.create(tool_resources=resources, messages=[attach(file_id)])
    assert searched(client, thread) == [file_id] and store_of(thread) == store.id
    assert client.vector_stores.retrieve(store.id).expires_after is None
    empty: Any = {"file_search": {"vector_store_ids": []}}
    changed = client.beta.threads.update(thread.id, tool_resources=empty)
    assert changed.tool_resources.to_dict() == empty  # type: ignore[union-attr]


@pytest.mark.parametrize(("resource", "days"), [("assistants", None), ("threads", 7)])
def test_a_store_made_on_the_way(client: openai.OpenAI, resource: str, days: int | None) -> None:
    file_id = upload(client)
    static = {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 50}
    strategy = {"type": "static", "static": static}
    wanted = {"file_ids": [file_id], "metadata": {"a": "b"}, "chunking_strategy": strategy}
    fields = {"model": "gpt-4o"} if resource == "assistants" else {}
    owner = getattr(client.beta, resource).create(
        tool_resources={"file_search": {"vector_stores": [wanted]}}, **fields
    )
    store = client.vector_stores.retrieve(store_of(owner))
    policy = store.expires_after
    assert (policy.days if policy else None, store.metadata) == (days, {"a": "b"})
    (file,) = client.vector_stores.files.list(store.id)
    assert (file.id, file.chunking_strategy.to_dict()) == (file_id, strategy)  # type: ignore[union-attr]


def test_messages_that_come_with_a_run(client: openai.OpenAI) -> None:
    made = client.beta.assistants.create(model="gpt-4o")
    a, b = upload(client), upload(client)
    runs = client.beta.threads.runs
    run = client.beta.threads.create_and_run_poll(
        assistant_id=made.id, thread={"messages": [attach(a)]}
    )
    assert searched(client, client.beta.threads.retrieve(run.thread_id)) == [a]
    extra: Any = [attach(b)]
    runs.create_and_poll(thread_id=run.thread_id, assistant_id=made.id, additional_messages=extra)
    assert searched(client, client.beta.threads.retrieve(run.thread_id)) == [a, b]


def test_more_files_than_a_body_can_list(client: openai.OpenAI) -> None:
    thread = client.beta.threads.create()
    for _ in range(3):
        many = [{"file_id": upload(client), "tools": CODE} for _ in range(8)]
        client.beta.threads.messages.create(
            thread.id,
            role="user",
            content="?",
            attachments=many,  # type: ignore[arg-type]
        )
    seen = client.beta.threads.retrieve(thread.id)
    assert seen.tool_resources is not None
    assert len(seen.tool_resources.code_interpreter.file_ids) == 24  # type: ignore[union-attr,arg-type]


NO_STORE = "No vector store found with id 'vs_x'."


def test_what_is_not_there(client: openai.OpenAI) -> None:
    unknown: Any = {"file_search": {"vector_store_ids": ["vs_x"]}}
    thread = client.beta.threads.create()
    made = client.beta.assistants.create(model="gpt-4o")
    for request in (
        lambda: client.beta.assistants.create(model="gpt-4o", tool_resources=unknown),
        lambda: client.beta.assistants.update(made.id, tool_resources=unknown),
        lambda: client.beta.threads.create(tool_resources=unknown),
        lambda: client.beta.threads.update(thread.id, tool_resources=unknown),
        lambda: client.beta.threads.create_and_run(assistant_id=made.id, tool_resources=unknown),
    ):
        with pytest.raises(openai.NotFoundError) as error:
            request()
        assert error.value.body["message"] == NO_STORE  # type: ignore[index]
        assert error.value.param is None
    new: Any = {"file_search": {"vector_stores": [{"file_ids": ["file-x"]}]}}
    with pytest.raises(openai.BadRequestError) as wrong:
        client.beta.threads.create(tool_resources=new)
    assert wrong.value.body["message"] == "No such File object: file-x"  # type: ignore[index]
    assert wrong.value.param == "tool_resources.file_search.vector_stores[0].file_ids"


def test_nothing_is_left_of_a_message_that_was_refused(client: openai.OpenAI) -> None:
    thread = client.beta.threads.create()
    before = len(client.vector_stores.list(limit=100).data)
    bad = attach(upload(client))
    bad["attachments"] += attach(upload(client, "film.mp4"))["attachments"]
    with pytest.raises(openai.BadRequestError) as error:
        client.beta.threads.messages.create(thread.id, **bad)
    assert (error.value.param, error.value.code) == ("attachments", "unsupported_file")
    assert "[.mp4]" in error.value.body["message"]  # type: ignore[index]
    assert client.beta.threads.retrieve(thread.id) == thread
    assert not client.beta.threads.messages.list(thread.id).data
    assert len(client.vector_stores.list(limit=100).data) == before


def test_the_store_of_a_thread_expires(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = client.beta.threads.create(messages=[attach(upload(client))])
    store_id = store_of(thread)
    late = clock.now() + WEEK + 60
    monkeypatch.setattr(clock, "now", lambda: late)
    assert client.vector_stores.retrieve(store_id).status == "expired"
    with pytest.raises(openai.BadRequestError) as error:
        client.beta.threads.messages.create(thread.id, **attach(upload(client)))
    assert error.value.body["message"] == f"Vector store '{store_id}' has expired"  # type: ignore[index]
    # Without a file there is nothing to put into it.
    client.beta.threads.messages.create(thread.id, role="user", content="?")
