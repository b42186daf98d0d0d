"""What travels: every body checked against the official SDK's own types, and raw event streams.

The SDK builds its objects without validating them, so a field it does not understand goes unseen.
Here each answer is validated strictly, as it arrives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
from openai.types import (
    CreateEmbeddingResponse,
    FileDeleted,
    FileObject,
    Model,
    Upload,
    VectorStore,
    VectorStoreDeleted,
    VectorStoreSearchResponse,
    beta,
    vector_stores,
)
from openai.types.beta import threads
from openai.types.beta.assistant_stream_event import AssistantStreamEvent
from openai.types.beta.threads import runs
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.uploads import UploadPart
from pydantic import TypeAdapter

from localassist.schemas.search_explanations import SearchExplanation
from localassist.schemas.tool_explanations import ToolsExplanation
from tests.conformance import published

TYPES: dict[str, Any] = {
    "assistant": beta.Assistant,
    "assistant.deleted": beta.AssistantDeleted,
    "thread": beta.Thread,
    "thread.deleted": beta.ThreadDeleted,
    "thread.message": threads.Message,
    "thread.message.deleted": threads.MessageDeleted,
    "thread.run": threads.Run,
    "thread.run.step": runs.RunStep,
    "file": FileObject | FileDeleted,
    "model": Model,
    "chat.completion": ChatCompletion,
    "vector_store": VectorStore,
    "vector_store.deleted": VectorStoreDeleted,
    "vector_store.file": vector_stores.VectorStoreFile,
    "vector_store.file.deleted": vector_stores.VectorStoreFileDeleted,
    "vector_store.file_batch": vector_stores.VectorStoreFileBatch,
    "vector_store.search.explanation": SearchExplanation,
    "tools.explanation": ToolsExplanation,
    "upload": Upload,
    "upload.part": UploadPart,
}
# Lists of one page, by what they list.
PAGES: dict[str, Any] = {
    "vector_store.search_results.page": VectorStoreSearchResponse,
    "vector_store.file_content.page": vector_stores.FileContentResponse,
}
# Objects of which the SDK's type, like the published description, has another name than the hosted
# API sends.
PUBLISHED_NAMES = {"vector_store.file_batch": "vector_store.files_batch"}
# Objects that only the first version of the API had.
OLD_OBJECTS = {
    "assistant.file": {"id", "object", "created_at", "assistant_id"},
    "assistant.file.deleted": {"id", "object", "deleted"},
    "thread.message.file": {"id", "object", "created_at", "message_id"},
}
STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(AssistantStreamEvent)
CHUNK = TypeAdapter(ChatCompletionChunk)
V1 = {"OpenAI-Beta": "assistants=v1"}


def check(body: dict[str, Any]) -> None:
    """Fail unless ``body`` is what the SDK's types promise."""
    if "error" in body:
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
    elif body["object"] == "list" and "usage" in body:
        TypeAdapter(CreateEmbeddingResponse).validate_python(_with_numbers(body), strict=True)
    elif body["object"] == "list":
        for item in body["data"]:
            check(item)
        if body["data"] and body["data"][0]["object"] != "model":
            ends = body["data"][0]["id"], body["data"][-1]["id"]
            assert (body["first_id"], body["last_id"]) == ends
            assert isinstance(body["has_more"], bool)
    elif body["object"] in PAGES:
        item_type = TypeAdapter(PAGES[body["object"]])
        for item in body["data"]:
            item_type.validate_python(item, strict=True)
        assert (body["has_more"], body["next_page"]) == (False, None)
    elif body["object"] in OLD_OBJECTS:
        assert set(body) == OLD_OBJECTS[body["object"]]
    else:
        name = body["object"]
        described = {**body, "object": PUBLISHED_NAMES.get(name, name)}
        if body.get("purpose") == "evals":  # a purpose that the SDK sends and does not list
            described["purpose"] = "user_data"
        TypeAdapter(TYPES[name]).validate_python(described, strict=True)


def _with_numbers(body: dict[str, Any]) -> dict[str, Any]:
    """The SDK asks for base64 by itself; what its type promises is what it decodes from that."""
    data = [
        {**item, "embedding": [0.0]} if isinstance(item["embedding"], str) else item
        for item in body["data"]
    ]
    return {**body, "data": data}


def check_every_answer(client: openai.OpenAI) -> None:
    """From now on, no JSON answer passes unchecked: those of the current API version by the SDK's
    types, those of both by the published descriptions."""

    def on_response(response: Any) -> None:
        if response.headers["content-type"] != "application/json":
            return
        response.read()
        body = response.json()
        is_v1 = "v1" in response.request.headers.get("openai-beta", "")
        if not is_v1:
            check(body)
        if "error" not in body:
            path = response.request.url.path.removeprefix("/v1")
            published.check_answer("v1" if is_v1 else "v2", response.request.method, path, body)

    client._client.event_hooks = {"response": [on_response]}


@dataclass(frozen=True)
class Event:
    """One record of a stream. ``seq`` is its ``id:``, which only re-attached streams have."""

    name: str
    data: dict[str, Any]
    seq: int | None = None


def raw(client: openai.OpenAI, method: str, path: str, **options: Any) -> Any:
    """A request below the SDK, to see headers and bodies as they are."""
    url = str(client.base_url).rstrip("/") + path
    return client._client.request(method, url, **{"timeout": 60} | options)


def raw_stream(client: openai.OpenAI, method: str, path: str, **options: Any) -> Iterator[Event]:
    """The records of an event stream as they come, each validated; ends with the stream."""
    url = str(client.base_url).rstrip("/") + path
    is_v1 = "v1" in options.get("headers", {}).get("OpenAI-Beta", "")
    with client._client.stream(method, url, **options) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            if fields.get("event") == "done":
                assert fields["data"] == "[DONE]"
                return
            if fields:
                yield _event(fields, is_v1)
            fields = {}
    raise AssertionError("the stream ended without saying so")


def _event(fields: dict[str, str], is_v1: bool) -> Event:
    event = Event(fields["event"], json.loads(fields["data"]), int(fields.get("id", "-1")))
    if not is_v1:
        body = {"event": event.name, "data": event.data}
        STREAM_EVENT.validate_python(body, strict=True)
    published.check_event("v1" if is_v1 else "v2", event.name, event.data)
    return event if "id" in fields else Event(event.name, event.data)


def short(names: Iterator[str] | list[str]) -> list[str]:
    """Event names as the contract abbreviates them, several deltas in a row as one."""
    found: list[str] = []
    for name in names:
        short_name = name.removeprefix("thread.")
        for long, letter in (("message.", "M."), ("run.step.", "S."), ("run.", "R.")):
            if short_name.startswith(long):
                short_name = letter + short_name.removeprefix(long)
                break
        if not (found and short_name == found[-1] and short_name.endswith(".delta")):
            found.append(short_name)
    return found


def delta_text(events: list[Event]) -> str:
    """What the message deltas add up to."""
    parts = [
        part
        for event in events
        if event.name == "thread.message.delta"
        for part in event.data["delta"]["content"]
    ]
    assert all(part["index"] == 0 for part in parts)
    return "".join(part["text"]["value"] for part in parts)
