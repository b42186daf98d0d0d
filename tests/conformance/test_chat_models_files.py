"""The endpoints around the Assistants API: chat completions, embeddings, models, files."""

from __future__ import annotations

import base64
import io
import json
import struct
from collections.abc import Callable
from typing import Any

import openai
import pytest

from localassist.engine import ScriptedEngine
from tests.conformance.conftest import ANSWER, WEATHER
from tests.conformance.published import check_chunk
from tests.conformance.serving import MODEL, call
from tests.conformance.wire import CHUNK, check, raw

UseEngine = Callable[..., ScriptedEngine]
HI: Any = [{"role": "user", "content": "Hi"}]


def test_a_completion(client: openai.OpenAI) -> None:
    completion = client.chat.completions.create(model="gpt-4o", messages=HI)
    (choice,) = completion.choices
    assert (choice.message.content, choice.finish_reason) == (ANSWER, "stop")
    assert completion.model == "gpt-4o" and completion.usage is not None
    assert completion.usage.completion_tokens == len(ANSWER)


def test_a_completion_that_is_cut(client: openai.OpenAI) -> None:
    create = client.chat.completions.create
    for limit in ({"max_tokens": 5}, {"max_completion_tokens": 5}):
        (choice,) = create(model="gpt-4o", messages=HI, **limit).choices  # type: ignore[call-overload]
        assert (choice.message.content, choice.finish_reason) == (ANSWER[:5], "length")
    (choice,) = create(model="gpt-4o", messages=HI, stop=["day", "never"]).choices
    assert (choice.message.content, choice.finish_reason) == (ANSWER.split("day")[0], "stop")


@pytest.mark.parametrize("has_usage", [False, True])
def test_a_streamed_completion(client: openai.OpenAI, has_usage: bool) -> None:
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o",
            messages=HI,
            stream=True,
            stream_options={"include_usage": has_usage},
        )
    )
    usages = [chunk.usage for chunk in chunks]
    if has_usage:
        last = chunks.pop()
        assert last.choices == [] and last.usage is not None
        assert last.usage.completion_tokens == len(ANSWER)
    assert usages[: len(chunks)] == [None] * len(chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert (deltas[0].role, deltas[0].content) == ("assistant", "")
    assert "".join(delta.content or "" for delta in deltas) == ANSWER and len(deltas) > 4
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [*[None] * (len(chunks) - 1), "stop"]


def test_the_sdks_chat_stream_helper(client: openai.OpenAI, use_engine: UseEngine) -> None:
    use_engine(call("Paris"))
    tools: Any = [WEATHER]
    with client.chat.completions.stream(model="gpt-4o", messages=HI, tools=tools) as stream:
        completion = stream.get_final_completion()
    (choice,) = completion.choices
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls
    (asked,) = choice.message.tool_calls
    assert (asked.function.name, json.loads(asked.function.arguments)["city"]) == (
        "get_weather",
        "Paris",
    )


def test_a_conversation_with_a_tool(client: openai.OpenAI, use_engine: UseEngine) -> None:
    engine = use_engine(call("Paris"), "It rains.")
    tools: Any = [WEATHER]
    first = client.chat.completions.create(model="gpt-4o", messages=HI, tools=tools).choices[0]
    assert (first.message.content, first.finish_reason) == (None, "tool_calls")
    (asked,) = first.message.tool_calls or []
    answer: Any = {"role": "tool", "tool_call_id": asked.id, "content": "rain, 12 C"}
    messages: Any = [*HI, first.message, answer]
    second = client.chat.completions.create(model="gpt-4o", messages=messages, tools=tools)
    assert second.choices[0].message.content == "It rains."
    assert "rain, 12 C" in engine.detokenize(engine.requests[-1].prompt)


def test_chunks_on_the_wire(client: openai.OpenAI) -> None:
    body = {"model": "gpt-4o", "messages": HI, "stream": True}
    records = raw(client, "POST", "/chat/completions", json=body).text.split("\n\n")
    assert records[-2:] == ["data: [DONE]", ""]
    for record in records[:-2]:
        chunk = json.loads(record.removeprefix("data: "))
        CHUNK.validate_python(chunk, strict=True)
        check_chunk(chunk)


def test_embeddings(client: openai.OpenAI) -> None:
    texts = ["one fish", "two fish", "one fish"]
    result = client.embeddings.create(model="text-embedding-3-small", input=texts)
    assert result.model == "text-embedding-3-small"
    assert [item.index for item in result.data] == [0, 1, 2]
    one, two, again = (item.embedding for item in result.data)
    assert one == again != two and len(one) == 64
    single = client.embeddings.create(model="text-embedding-3-small", input=texts[0])
    assert single.data[0].embedding == one
    assert single.usage.total_tokens == single.usage.prompt_tokens == 2


def test_embeddings_in_both_encodings(client: openai.OpenAI) -> None:
    body = {"model": "text-embedding-3-small", "input": "one fish"}
    packed = raw(client, "POST", "/embeddings", json={**body, "encoding_format": "base64"}).json()
    plain = raw(client, "POST", "/embeddings", json={**body, "encoding_format": "float"}).json()
    check(plain)
    data = base64.b64decode(packed["data"][0]["embedding"])
    numbers = struct.unpack(f"<{len(data) // 4}f", data)
    assert numbers == pytest.approx(plain["data"][0]["embedding"], abs=1e-6)


def test_models(client: openai.OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert MODEL in listed
    for name in (*listed, "gpt-4o", "text-embedding-3-small"):
        assert client.models.retrieve(name).id == name


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("../../etc/hosts.txt", "hosts.txt"), ("C:\\docs\\a.txt", "a.txt"), ("docs/..", "upload")],
)
def test_a_file_is_called_by_its_base_name(client: openai.OpenAI, sent: str, kept: str) -> None:
    assert client.files.create(file=(sent, b"x"), purpose="assistants").filename == kept
    upload = client.uploads.create(
        filename=sent, purpose="assistants", bytes=1, mime_type="text/plain"
    )
    assert upload.filename == kept


def test_a_file_name_must_be_storable(client: openai.OpenAI) -> None:
    """PostgreSQL holds no NUL."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\0b.txt"\r\n\r\nx\r\n--b--'
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = raw(client, "POST", "/files", content=body, headers=headers)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("file", "invalid_value")
    answer = raw(client, "GET", "/files?purpose=%00")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "purpose")


def test_files(client: openai.OpenAI) -> None:
    data = bytes(range(256)) * 1000
    file = client.files.create(file=("ä b.bin", io.BytesIO(data)), purpose="vision")
    assert (file.bytes, file.filename, file.purpose) == (len(data), "ä b.bin", "vision")
    assert file.status == "processed" and client.files.wait_for_processing(file.id) == file
    other = client.files.create(
        file=("b.txt", b"x"),
        purpose="vision",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert other.expires_at == other.created_at + 3600
    assert client.files.list(purpose="vision").data == [other, file]
    assert client.files.content(file.id).read() == data
    with client.files.with_streaming_response.content(file.id) as streamed:
        assert b"".join(streamed.iter_bytes()) == data
    for made in (file, other):
        deleted = client.files.delete(made.id)
        assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "file", True)
    assert client.files.list(purpose="vision").data == []
    with pytest.raises(openai.NotFoundError, match=f"No such File object: {file.id}"):
        client.files.content(file.id)
