"""Every resource through the official client; texts and headers through raw requests."""

from __future__ import annotations

import io
from itertools import islice
from typing import Any

import openai
import pytest

from localassist.engine import ScriptedEngine
from tests.server.conftest import ANSWER

# The SDK marks the surface under test as deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

V1 = {"OpenAI-Beta": "assistants=v1"}


def raw(client: openai.OpenAI, method: str, path: str, **options: Any) -> Any:
    """A request below the SDK, to see headers and bodies as they are."""
    http_client = client._client
    return http_client.request(method, str(client.base_url).rstrip("/") + path, **options)


def error(response: Any) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


def conversation(client: openai.OpenAI, question: str = "Why?") -> tuple[str, str]:
    assistant = client.beta.assistants.create(model="gpt-4o", name="A")
    thread = client.beta.threads.create(messages=[{"role": "user", "content": question}])
    return thread.id, assistant.id


def test_assistants(client: openai.OpenAI) -> None:
    assistants = client.beta.assistants
    made = assistants.create(model="gpt-4o", name="é", metadata={"a": "1"})
    assert made.id.startswith("asst_") and made._request_id
    assert assistants.retrieve(made.id).name == "é"
    assert assistants.update(made.id, metadata={"b": "2"}).metadata == {"a": "1", "b": "2"}
    other = assistants.create(model="gpt-4o")
    pages = islice(assistants.list(limit=1), 2)
    assert [item.id for item in pages] == [other.id, made.id]
    assert assistants.delete(made.id).object == "assistant.deleted"
    with pytest.raises(openai.NotFoundError, match=f"No assistant found with id '{made.id}'"):
        assistants.retrieve(made.id)


def test_threads_and_messages(client: openai.OpenAI) -> None:
    threads = client.beta.threads
    thread = threads.create(metadata={"a": "1"})
    message = threads.messages.create(thread.id, role="user", content="One")
    assert threads.retrieve(thread.id).metadata == {"a": "1"}
    assert threads.update(thread.id, metadata={"b": "2"}).metadata == {"a": "1", "b": "2"}
    assert threads.messages.list(thread.id).data == [message]
    changed = threads.messages.update(message.id, thread_id=thread.id, metadata={"c": "3"})
    assert threads.messages.retrieve(message.id, thread_id=thread.id) == changed
    assert threads.messages.delete(message.id, thread_id=thread.id).deleted
    assert threads.delete(thread.id).object == "thread.deleted"


def test_a_run_from_creation_to_its_steps(client: openai.OpenAI) -> None:
    thread_id, assistant_id = conversation(client)
    runs = client.beta.threads.runs
    run = runs.create_and_poll(thread_id=thread_id, assistant_id=assistant_id)
    assert run.status == "completed"
    assert runs.list(thread_id).data == [run]
    (step,) = runs.steps.list(run.id, thread_id=thread_id).data
    assert runs.steps.retrieve(step.id, thread_id=thread_id, run_id=run.id) == step
    assert runs.update(run.id, thread_id=thread_id, metadata={"a": "1"}).metadata == {"a": "1"}
    (answer,) = client.beta.threads.messages.list(thread_id, run_id=run.id).data
    assert answer.content[0].text.value == ANSWER  # type: ignore[union-attr]
    with pytest.raises(openai.BadRequestError, match="Cannot cancel run with status 'completed'"):
        runs.cancel(run.id, thread_id=thread_id)


def test_events_arrive_before_the_generation_has_finished(
    client: openai.OpenAI, slow_engine: ScriptedEngine
) -> None:
    thread_id, assistant_id = conversation(client)
    names, unfinished_deltas = [], 0
    with client.beta.threads.runs.create(
        thread_id=thread_id, assistant_id=assistant_id, stream=True
    ) as stream:
        for event in stream:
            names.append(event.event)
            is_delta = event.event == "thread.message.delta"
            unfinished_deltas += is_delta and slow_engine.counters.finished == 0
    assert names[:3] == ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
    assert names[-1] == "thread.run.completed"
    assert unfinished_deltas >= 3


def test_a_reader_that_leaves_does_not_end_the_run(
    client: openai.OpenAI, slow_engine: ScriptedEngine
) -> None:
    thread_id, assistant_id = conversation(client)
    runs = client.beta.threads.runs
    with runs.create(thread_id=thread_id, assistant_id=assistant_id, stream=True) as stream:
        first = next(stream)
    run = runs.poll(first.data.id, thread_id=thread_id)  # type: ignore[union-attr, arg-type]
    assert run.status == "completed"


def test_attaching_again_continues_behind_a_position(client: openai.OpenAI) -> None:
    thread_id, assistant_id = conversation(client)
    run = client.beta.threads.runs.create_and_poll(thread_id=thread_id, assistant_id=assistant_id)
    path = f"/threads/{thread_id}/runs/{run.id}/stream"
    whole = raw(client, "GET", path)
    assert whole.headers["content-type"] == "text/event-stream; charset=utf-8"
    records = whole.text.split("\n\n")
    assert records[0].startswith("id: 0\nevent: thread.run.created\ndata: {")
    assert records[-2:] == ["event: done\ndata: [DONE]", ""]
    for again in (
        raw(client, "GET", f"{path}?starting_after=2"),
        raw(client, "GET", path, headers={"Last-Event-ID": "2"}),
    ):
        assert again.text.split("\n\n") == records[3:]
    refused = raw(client, "GET", f"{path}?starting_after=x")
    assert (refused.status_code, error(refused)["param"]) == (400, "starting_after")


def test_create_and_run_streams_from_the_thread_on(client: openai.OpenAI) -> None:
    assistant = client.beta.assistants.create(model="gpt-4o")
    with client.beta.threads.create_and_run_stream(
        assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "Hi"}]}
    ) as stream:
        names = [event.event for event in stream]
    assert names[:2] == ["thread.created", "thread.run.created"]
    run = client.beta.threads.create_and_run(assistant_id=assistant.id)
    assert run.status == "queued"


def test_runs_say_when_to_look_again(client: openai.OpenAI) -> None:
    thread_id, assistant_id = conversation(client)
    run = client.beta.threads.runs.create(thread_id=thread_id, assistant_id=assistant_id)
    answer = raw(client, "GET", f"/threads/{thread_id}/runs/{run.id}")
    assert answer.headers["openai-poll-after-ms"] == "200"


def test_include_is_checked(client: openai.OpenAI) -> None:
    thread_id, assistant_id = conversation(client)
    create = client.beta.threads.runs.create
    legal = "step_details.tool_calls[*].file_search.results[*].content"
    with pytest.raises(openai.BadRequestError) as caught:
        create(thread_id=thread_id, assistant_id=assistant_id, include=["nonsense"])  # type: ignore[list-item]
    assert (caught.value.param, caught.value.code) == ("include[0]", "invalid_value")
    assert create(thread_id=thread_id, assistant_id=assistant_id, include=[legal]).id  # type: ignore[list-item]


def test_a_v1_client_gets_v1_shapes_in_answers_and_streams(client: openai.OpenAI) -> None:
    thread_id, assistant_id = conversation(client)
    old = raw(client, "GET", f"/assistants/{assistant_id}", headers=V1).json()
    new = raw(client, "GET", f"/assistants/{assistant_id}").json()
    assert "tool_resources" in new and "tool_resources" not in old
    body = {"assistant_id": assistant_id, "stream": True}
    stream = raw(client, "POST", f"/threads/{thread_id}/runs", json=body, headers=V1)
    assert "thread.run.completed" in stream.text
    assert "tool_resources" not in stream.text and "parallel_tool_calls" not in stream.text


def test_chat_completions(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    whole = client.chat.completions.create(model="gpt-4o", messages=messages)
    assert whole.choices[0].message.content == ANSWER
    chunks = client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(deltas) == ANSWER and len(deltas) > 3
    body = {"model": "gpt-4o", "messages": messages, "stream": True}
    lines = raw(client, "POST", "/chat/completions", json=body).text.splitlines()
    assert {line[:6] for line in lines} == {"data: ", ""}
    assert lines[-2:] == ["data: [DONE]", ""]


def test_a_chat_stream_that_cannot_begin_is_an_ordinary_error(client: openai.OpenAI) -> None:
    body = {"model": "no-such", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    answer = raw(client, "POST", "/chat/completions", json=body)
    assert (answer.status_code, error(answer)["code"]) == (404, "model_not_found")


def test_embeddings(client: openai.OpenAI) -> None:
    result = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert [item.index for item in result.data] == [0, 1]
    assert len(result.data[0].embedding) == len(result.data[1].embedding) > 10


def test_files_go_in_and_out_unchanged(client: openai.OpenAI) -> None:
    data = bytes(range(256)) * 5000
    file = client.files.create(file=("ä b.bin", io.BytesIO(data)), purpose="batch")
    assert (file.bytes, file.filename, file.purpose) == (len(data), "ä b.bin", "batch")
    assert client.files.list(purpose="batch").data == [client.files.retrieve(file.id)]
    content = client.files.content(file.id)
    assert content.read() == data
    assert content.response.headers["content-length"] == str(len(data))
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match=f"No such File object: {file.id}"):
        client.files.content(file.id)


@pytest.mark.parametrize("is_file_first", [True, False])
def test_the_file_may_come_before_or_after_its_fields(
    client: openai.OpenAI, is_file_first: bool
) -> None:
    file = ("file", ("a.txt", b"text"))
    fields = [
        ("purpose", (None, b"user_data")),
        ("expires_after[anchor]", (None, b"created_at")),
        ("expires_after[seconds]", (None, b"3600")),
    ]
    parts = [file, *fields] if is_file_first else [*fields, file]
    made = raw(client, "POST", "/files", files=parts).json()
    assert made["expires_at"] == made["created_at"] + 3600


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"purpose": (None, b"assistants")}, "'file' is a required property"),
        ({"file": ("a", b"x")}, "'purpose' is a required property"),
        ({"file": ("a", b""), "purpose": (None, b"assistants")}, "File is empty."),
    ],
)
def test_incomplete_uploads(client: openai.OpenAI, parts: Any, message: str) -> None:
    answer = raw(client, "POST", "/files", files=parts)
    assert (answer.status_code, error(answer)["message"]) == (400, message)


def test_models_by_awkward_names(client: openai.OpenAI) -> None:
    listed = client.models.list().data
    assert client.models.retrieve(listed[0].id).object == "model"
    for name in ("team/model:7b", "no such"):
        with pytest.raises(openai.NotFoundError) as caught:
            client.models.retrieve(name)
        assert caught.value.code == "model_not_found"
        assert f"'{name}'" in caught.value.message
    with pytest.raises(openai.PermissionDeniedError, match="cannot be deleted"):
        client.models.delete(listed[0].id)


def test_unknown_routes(client: openai.OpenAI) -> None:
    for path in ("/nope", "/assistants/", "/threads/thread_1/nope"):
        answer = raw(client, "GET", path)
        assert (answer.status_code, error(answer)["code"]) == (404, "unknown_url")
        assert error(answer)["message"].startswith(f"Unknown request URL: GET /v1{path}. Please")


def test_wrong_methods(client: openai.OpenAI) -> None:
    answer = raw(client, "PUT", "/assistants")
    assert answer.status_code == 405
    assert error(answer)["message"] == (
        "Not allowed to PUT on /v1/assistants. "
        "(HINT: Perhaps you meant to use a different HTTP method?)"
    )
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_options_and_head(client: openai.OpenAI) -> None:
    options = raw(client, "OPTIONS", "/models")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    head = raw(client, "HEAD", "/models")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("content", [b"", b"{}", b" \n"])
def test_an_empty_body_is_an_empty_object(client: openai.OpenAI, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    assert raw(client, "POST", "/threads", content=content, headers=headers).status_code == 200
    assert raw(client, "POST", "/threads", content=content).status_code == 200


def test_bodies_that_are_no_json(client: openai.OpenAI) -> None:
    answer = raw(client, "POST", "/assistants", content=b"{'model': 1}")
    assert answer.status_code == 400
    assert error(answer)["message"].startswith("We could not parse the JSON body of your request.")


def test_ids_of_another_kind_are_malformed_not_missing(client: openai.OpenAI) -> None:
    answer = raw(client, "GET", "/threads/undefined")
    assert answer.status_code == 400
    assert error(answer)["message"] == (
        "Invalid 'thread_id': 'undefined'. Expected an ID that begins with 'thread'."
    )


def test_large_bodies_declared_or_not(client: openai.OpenAI) -> None:
    pieces = (b"x" * 50_000 for _ in range(40))
    for content in (b"x" * 100_001, pieces):
        answer = raw(client, "POST", "/assistants", content=content)
        assert answer.status_code == 413
        assert error(answer)["message"].startswith("Maximum content size limit (100000) exceeded")
    upload = {"file": ("a", b"x" * 2_000_001), "purpose": (None, b"assistants")}
    assert raw(client, "POST", "/files", files=upload).status_code == 413


def test_health_is_outside_of_the_api(client: openai.OpenAI) -> None:
    url = str(client.base_url).replace("/v1/", "/health")
    told = client._client.get(url).json()
    assert told.pop("sandbox")["reasons"] == ["bwrap was not found."]
    assert told.pop("kernels") == {}
    assert told == {"status": "ok", "models": [], "embedders_loading": [], "ingest": []}
