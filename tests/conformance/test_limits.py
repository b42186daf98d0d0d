"""Every limit of the contract's table: what is just within is accepted, what is just beyond refused
by name; and what holds where nothing is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import RequestError
from localassist.schemas.assistants import AssistantCreate
from localassist.schemas.base import Body
from localassist.schemas.chat import ChatCompletionCreate
from localassist.schemas.embeddings import EmbeddingCreate
from localassist.schemas.errors import parse_body
from localassist.schemas.messages import MessageCreate
from localassist.schemas.runs import RunCreate
from localassist.schemas.uploads import UploadCreate
from localassist.schemas.vector_stores import (
    FileBatchCreate,
    StoreFileCreate,
    VectorStoreCreate,
    VectorStoreSearch,
)
from localassist.server.config import ServerSettings
from localassist.services import uploads
from tests.conformance import serving
from tests.conformance.conftest import Talk, begin
from tests.conformance.serving import MODEL, scripted_settings
from tests.conformance.wire import raw
from tests.server.serving import Stage

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

Make = Callable[[int], Any]
TEXT, ITEMS, PAIRS = (
    "string_above_max_length",
    "array_above_max_length",
    "object_above_max_properties",
)
HIGH, LOW = "integer_above_max_value", "integer_below_min_value"
ABOVE, BELOW = "decimal_above_max_value", "decimal_below_min_value"


def itself(n: int) -> int:
    return n


def text(n: int) -> str:
    return "ä" * n


def ids(n: int) -> list[str]:
    return ["file-1"] * n


def pairs(n: int) -> dict[str, str]:
    return {str(i): "x" for i in range(n)}


def key(n: int) -> dict[str, str]:
    return {text(n): "x"}


def value(n: int) -> dict[str, str]:
    return {"key": text(n)}


def functions(n: int) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": f"f{i}"}} for i in range(n)]


def named_function(n: int) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": "f" * n}}]


def named_schema(n: int) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "s" * n, "schema": {}}}


def search_tool(n: int) -> list[dict[str, Any]]:
    return [{"type": "file_search", "file_search": {"max_num_results": n}}]


def code_files(n: int) -> dict[str, Any]:
    return {"code_interpreter": {"file_ids": ids(n)}}


def stores(n: int) -> dict[str, Any]:
    return {"file_search": {"vector_store_ids": ["vs_1"] * n}}


def new_stores(n: int) -> dict[str, Any]:
    return {"file_search": {"vector_stores": [{}] * n}}


def new_store(n: int) -> dict[str, Any]:
    return {"file_search": {"vector_stores": [{"file_ids": ids(n)}]}}


def chunks(n: int, overlap: int = 0) -> dict[str, Any]:
    static = {"max_chunk_size_tokens": n, "chunk_overlap_tokens": overlap}
    return {"type": "static", "static": static}


def overlap(n: int) -> dict[str, Any]:
    return chunks(800, n)


def days(n: int) -> dict[str, Any]:
    return {"anchor": "last_active_at", "days": n}


def seconds(n: int) -> dict[str, Any]:
    return {"anchor": "created_at", "seconds": n}


def last_messages(n: int) -> dict[str, Any]:
    return {"type": "last_messages", "last_messages": n}


def entries(n: int) -> list[dict[str, Any]]:
    return [{"file_id": "file-1"}] * n


def texts(n: int) -> list[str]:
    return ["x"] * n


# What bodies need beside the field that is tried.
LEAST: dict[type[Body], dict[str, Any]] = {
    AssistantCreate: {"model": "m"},
    MessageCreate: {"role": "user", "content": "Hi"},
    RunCreate: {"assistant_id": "asst_1"},
    StoreFileCreate: {"file_id": "file-1"},
    VectorStoreSearch: {"query": "q"},
    UploadCreate: {
        "filename": "a",
        "purpose": "assistants",
        "mime_type": "text/plain",
        "bytes": 1,
    },
    ChatCompletionCreate: {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "logprobs": True,
    },
    EmbeddingCreate: {"model": "m"},
}
CHUNKING = "chunking_strategy.static"
SEARCH = "tool_resources.file_search"
# The body, what is told of, its value for a number, the last number within, how more is refused.
LIMITS: list[tuple[type[Body], str, Make, int, str]] = [
    (AssistantCreate, "name", text, 256, TEXT),
    (AssistantCreate, "description", text, 512, TEXT),
    (AssistantCreate, "instructions", text, 256_000, TEXT),
    (RunCreate, "instructions", text, 256_000, TEXT),
    (MessageCreate, "content", text, 256_000, TEXT),
    (AssistantCreate, "tools", functions, 128, ITEMS),
    (RunCreate, "tools", functions, 20, ITEMS),
    (ChatCompletionCreate, "tools", functions, 128, ITEMS),
    (RunCreate, "metadata", pairs, 16, PAIRS),
    (RunCreate, "metadata", key, 64, TEXT),
    (RunCreate, "metadata.key", value, 512, TEXT),
    (StoreFileCreate, "attributes", pairs, 16, PAIRS),
    (StoreFileCreate, "attributes", key, 64, TEXT),
    (StoreFileCreate, "attributes.key", value, 512, TEXT),
    (RunCreate, "tools[0].function.name", named_function, 64, TEXT),
    (RunCreate, "response_format.json_schema.name", named_schema, 64, TEXT),
    (AssistantCreate, "tool_resources.code_interpreter.file_ids", code_files, 20, ITEMS),
    (AssistantCreate, f"{SEARCH}.vector_store_ids", stores, 1, ITEMS),
    (AssistantCreate, f"{SEARCH}.vector_stores", new_stores, 1, ITEMS),
    (AssistantCreate, f"{SEARCH}.vector_stores[0].file_ids", new_store, 10_000, ITEMS),
    (VectorStoreCreate, "file_ids", ids, 500, ITEMS),
    (FileBatchCreate, "file_ids", ids, 2000, ITEMS),
    (FileBatchCreate, "files", entries, 2000, ITEMS),
    (StoreFileCreate, f"{CHUNKING}.max_chunk_size_tokens", chunks, 4096, "invalid_value"),
    (StoreFileCreate, f"{CHUNKING}.chunk_overlap_tokens", overlap, 400, "invalid_value"),
    (VectorStoreCreate, "expires_after.days", days, 365, HIGH),
    (VectorStoreCreate, "expires_after.days", days, 1, LOW),
    (UploadCreate, "expires_after.seconds", seconds, 2_592_000, HIGH),
    (UploadCreate, "expires_after.seconds", seconds, 3600, LOW),
    (UploadCreate, "bytes", itself, 8 * 2**30, HIGH),
    (VectorStoreSearch, "max_num_results", itself, 50, HIGH),
    (VectorStoreSearch, "max_num_results", itself, 1, LOW),
    (RunCreate, "tools[0].file_search.max_num_results", search_tool, 50, HIGH),
    (RunCreate, "max_prompt_tokens", itself, 256, LOW),
    (RunCreate, "max_completion_tokens", itself, 256, LOW),
    (RunCreate, "truncation_strategy.last_messages", last_messages, 1, LOW),
    (AssistantCreate, "file_ids", ids, 20, ITEMS),
    (MessageCreate, "file_ids", ids, 10, ITEMS),
    (ChatCompletionCreate, "stop", texts, 4, ITEMS),
    (ChatCompletionCreate, "top_logprobs", itself, 20, HIGH),
    (ChatCompletionCreate, "presence_penalty", itself, 2, ABOVE),
    (ChatCompletionCreate, "frequency_penalty", itself, -2, BELOW),
    (EmbeddingCreate, "input", texts, 2048, ITEMS),
    *(
        (body, name, itself, end, code)
        for body in (AssistantCreate, RunCreate, ChatCompletionCreate)
        for name, end, code in (
            ("temperature", 2, ABOVE),
            ("temperature", 0, BELOW),
            ("top_p", 1, ABOVE),
            ("top_p", 0, BELOW),
        )
    ),
]


@pytest.mark.parametrize(("body", "param", "make", "within", "code"), LIMITS)
def test_a_limit(body: type[Body], param: str, make: Make, within: int, code: str) -> None:
    field = re.split(r"\W", param)[0]
    beyond = within - 1 if code in (LOW, BELOW) else within + 1
    least = LEAST.get(body, {})
    parse_body(body, json.dumps({**least, field: make(within)}).encode())
    with pytest.raises(RequestError) as refused:
        parse_body(body, json.dumps({**least, field: make(beyond)}).encode())
    assert (refused.value.status, refused.value.code) == (400, code)
    assert refused.value.param == param


def test_the_smallest_chunk() -> None:
    for size, is_fine in ((100, True), (99, False)):
        sent = json.dumps({"file_id": "file-1", "chunking_strategy": chunks(size)}).encode()
        if is_fine:
            parse_body(StoreFileCreate, sent)
        else:
            with pytest.raises(RequestError, match="below minimum value"):
                parse_body(StoreFileCreate, sent)


@pytest.mark.parametrize(("path", "most"), [("/assistants", 100), ("/files", 10_000)])
def test_pages(client: openai.OpenAI, path: str, most: int) -> None:
    for limit in (1, most):
        assert raw(client, "GET", f"{path}?limit={limit}").status_code == 200
    for limit, code in ((0, LOW), (most + 1, HIGH)):
        answer = raw(client, "GET", f"{path}?limit={limit}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


def test_a_page_has_twenty_newest_first(client: openai.OpenAI, talk: Talk) -> None:
    for number in range(21):
        talk.say(str(number))
    page = raw(client, "GET", f"/threads/{talk.thread_id}/messages").json()
    assert len(page["data"]) == 20 and page["has_more"]
    assert page["data"][0]["content"][0]["text"]["value"] == "20"


def test_files_are_listed_whole(client: openai.OpenAI) -> None:
    for number in range(101):
        client.files.create(file=(f"{number}.txt", b"x"), purpose="user_data")
    page = raw(client, "GET", "/files?purpose=user_data").json()
    assert len(page["data"]) >= 101 and not page["has_more"]


def test_a_part_of_an_upload(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    assert uploads.MAX_PART_BYTES == 64 * 2**20
    monkeypatch.setattr(uploads, "MAX_PART_BYTES", 4)
    upload = client.uploads.create(
        filename="a.txt", purpose="assistants", bytes=5, mime_type="text/plain"
    )
    client.uploads.parts.create(upload.id, data=b"1234")
    with pytest.raises(openai.APIStatusError) as refused:
        client.uploads.parts.create(upload.id, data=b"12345")
    assert refused.value.status_code == 413


def test_a_file_of_512_megabytes_fits_into_a_form() -> None:
    assert 512 * 2**20 < ServerSettings().max_upload_bytes < 514 * 2**20


def test_times(client: openai.OpenAI, talk: Talk) -> None:
    run = client.beta.threads.runs.create(**talk.ids)
    assert run.expires_at == run.created_at + 600
    upload = client.uploads.create(
        filename="a.txt", purpose="assistants", bytes=1, mime_type="text/plain"
    )
    assert upload.expires_at == upload.created_at + 3600
    resources: Any = new_stores(1)
    thread: Any = client.beta.threads.create(tool_resources=resources)
    (store_id,) = thread.tool_resources.file_search.vector_store_ids
    store: Any = client.vector_stores.retrieve(store_id)
    assert store.expires_after.days == 7
    assistant: Any = client.beta.assistants.create(model="gpt-4o", tool_resources=resources)
    (store_id,) = assistant.tool_resources.file_search.vector_store_ids
    assert client.vector_stores.retrieve(store_id).expires_after is None


def test_an_assistant_of_which_nothing_is_said(client: openai.OpenAI) -> None:
    made = raw(client, "POST", "/assistants", json={"model": "gpt-4o"}).json()
    assert {name: value for name, value in made.items() if name not in ("id", "created_at")} == {
        "object": "assistant",
        "name": None,
        "description": None,
        "model": "gpt-4o",
        "instructions": None,
        "tools": [],
        "tool_resources": {},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "response_format": "auto",
        "reasoning_effort": None,
        "file_ids": [],
    }


def test_a_run_of_which_nothing_is_said(client: openai.OpenAI, talk: Talk) -> None:
    """The literal example of the contract."""
    path = f"/threads/{talk.thread_id}/runs"
    made = raw(client, "POST", path, json={"assistant_id": talk.assistant_id}).json()
    assert {
        name: made[name]
        for name in made
        if name not in ("id", "created_at", "expires_at", "started_at", "status")
    } == {
        "object": "thread.run",
        "thread_id": talk.thread_id,
        "assistant_id": talk.assistant_id,
        "required_action": None,
        "last_error": None,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "incomplete_details": None,
        "model": "gpt-4o",
        "instructions": "",
        "tools": [],
        "tool_resources": {},
        "metadata": {},
        "usage": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_prompt_tokens": None,
        "max_completion_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": "auto",
        "reasoning_effort": None,
        "file_ids": [],
    }


@pytest.mark.parametrize("transport_name", ["in_process", "on_socket"])
def test_a_full_queue(transport_name: str, tmp_path: Path) -> None:
    """One run is worked, one waits, and there is no room for a third."""
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply="word " * 2000, delay_seconds=0.05, model_id=MODEL)
    queue = scripted_settings(tmp_path, runs={"concurrency": 1, "max_queued": 1})
    with getattr(serving, transport_name)(queue, stage) as shared:
        impatient = shared.with_options(max_retries=0)
        worked, waiting, refused = (begin(impatient) for _ in range(3))
        runs = impatient.beta.threads.runs
        runs.create(**worked.ids)
        runs.create(**waiting.ids)
        with pytest.raises(openai.RateLimitError, match="Rate limit reached for runs") as error:
            runs.create(**refused.ids)
        assert (error.value.status_code, error.value.code) == (429, "rate_limit_exceeded")
        assert error.value.type == "requests"
        assert error.value.response.headers["retry-after"] == "1"
        assert not runs.list(refused.thread_id).data
        for talk in (worked, waiting):
            impatient.beta.threads.delete(talk.thread_id)
        runs.create(**refused.ids)


def test_a_search_brings_ten(client: openai.OpenAI) -> None:
    """Chunks of a file, which is longer than ten of them."""
    words = " ".join(f"Paris number {n} is a capital." for n in range(1500))
    file = client.files.create(file=("a.txt", words.encode()), purpose="assistants")
    small: Any = chunks(100)
    store = client.vector_stores.create(file_ids=[file.id], chunking_strategy=small)
    client.vector_stores.files.poll(file.id, vector_store_id=store.id)
    assert len(list(client.vector_stores.search(store.id, query="capital Paris"))) == 10
    found = list(client.vector_stores.search(store.id, query="capital Paris", max_num_results=50))
    assert 20 < len(found) <= 50
