"""Whatever JSON arrives, a body is either built or refused with a well-formed error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localassist.errors import InvalidRequest, UnsupportedParameter
from localassist.schemas.assistants import AssistantCreate, AssistantUpdate
from localassist.schemas.base import Body
from localassist.schemas.chat import ChatCompletionCreate
from localassist.schemas.embeddings import EmbeddingCreate
from localassist.schemas.errors import parse_body
from localassist.schemas.messages import MessageCreate, MessageUpdate
from localassist.schemas.runs import RunCreate, RunUpdate, SubmitToolOutputs, ThreadAndRunCreate
from localassist.schemas.threads import ThreadCreate, ThreadUpdate
from localassist.schemas.uploads import UploadComplete, UploadCreate
from localassist.schemas.vector_stores import (
    FileBatchCreate,
    StoreFileCreate,
    StoreFileUpdate,
    VectorStoreCreate,
    VectorStoreSearch,
    VectorStoreUpdate,
)

BODIES: list[type[Body]] = [
    AssistantCreate,
    AssistantUpdate,
    ThreadCreate,
    ThreadUpdate,
    MessageCreate,
    MessageUpdate,
    RunCreate,
    ThreadAndRunCreate,
    RunUpdate,
    SubmitToolOutputs,
    ChatCompletionCreate,
    EmbeddingCreate,
    VectorStoreCreate,
    VectorStoreUpdate,
    StoreFileCreate,
    StoreFileUpdate,
    FileBatchCreate,
    VectorStoreSearch,
    UploadCreate,
    UploadComplete,
]
FIELDS = sorted(
    {field.alias or name for body in BODIES for name, field in body.model_fields.items()}
)
INNER = [
    *("type", "function", "name", "text", "file_search", "vector_stores", "role", "content"),
    *("key", "value", "filters"),
]
WORDS = [
    "function",
    "file_search",
    "retrieval",
    "text",
    "auto",
    "user",
    "json_schema",
    "tool",
    "eq",
    "or",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(WORDS)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(FIELDS + INNER) | st.text(), inner, max_size=5)
    ),
    max_leaves=12,
)


def judge(body_type: type[Body], raw: bytes) -> None:
    try:
        body = parse_body(body_type, raw)
    except (InvalidRequest, UnsupportedParameter) as error:
        assert error.status == 400
        error.message.encode()
        assert "\0" not in error.message
        assert error.param is None or "\0" not in error.param
        assert "pydantic" not in error.message
    else:
        json.dumps(body.dump(), allow_nan=False).encode()


@pytest.mark.parametrize("body_type", BODIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.dictionaries(st.sampled_from(FIELDS), values, max_size=6) | values)
def test_any_json(body_type: type[Body], body: Any) -> None:
    judge(body_type, json.dumps(body).encode())


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=64))
def test_any_bytes(raw: bytes) -> None:
    judge(ThreadCreate, raw)


@pytest.mark.parametrize("body_type", BODIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_almost_right(body_type: type[Body], data: st.DataObject) -> None:
    """A good body with one value, anywhere in it, replaced."""
    body = json.loads(json.dumps(GOOD.get(body_type, {"metadata": {"a": "b"}})))
    parse_body(body_type, json.dumps(body).encode())
    place: Any = body
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            place[key] = data.draw(values)
            break
        place = inner
    judge(body_type, json.dumps(body).encode())


_TOOLS = [
    {"type": "code_interpreter"},
    {
        "type": "file_search",
        "file_search": {
            "max_num_results": 3,
            "ranking_options": {"ranker": "auto", "score_threshold": 0.5},
        },
    },
    {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
]
_FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
_STORE = {
    "file_ids": ["file-1"],
    "chunking_strategy": {
        "type": "static",
        "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
    },
}
_MESSAGE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "hi"},
        {"type": "image_file", "image_file": {"file_id": "file-1"}},
        {"type": "image_url", "image_url": {"url": "http://x", "detail": "low"}},
    ],
    "attachments": [{"file_id": "file-1", "tools": [{"type": "file_search"}]}],
}
_RUN = {
    "assistant_id": "asst_1",
    "tools": _TOOLS,
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "truncation_strategy": {"type": "last_messages", "last_messages": 2},
    "response_format": _FORMAT,
}
GOOD: dict[type[Body], Any] = {
    AssistantCreate: {
        "model": "m",
        "tools": _TOOLS,
        "tool_resources": {
            "code_interpreter": {"file_ids": []},
            "file_search": {"vector_stores": [_STORE]},
        },
        "response_format": _FORMAT,
    },
    ThreadCreate: {"messages": [_MESSAGE]},
    MessageCreate: _MESSAGE,
    RunCreate: {**_RUN, "additional_messages": [_MESSAGE]},
    ThreadAndRunCreate: {**_RUN, "thread": {"messages": [_MESSAGE]}},
    SubmitToolOutputs: {"tool_outputs": [{"tool_call_id": "call_1", "output": "x"}]},
    ChatCompletionCreate: {
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "be"}]},
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "y"},
        ],
        "tools": [_TOOLS[2]],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "auto",
                "tools": [{"type": "function", "function": {"name": "f"}}],
            },
        },
        "stop": ["a"],
        "logit_bias": {"5": -100},
        "stream_options": {"include_usage": True},
    },
    EmbeddingCreate: {"model": "m", "input": [[1, 2], [3]]},
    VectorStoreCreate: {
        **_STORE,
        "name": "n",
        "expires_after": {"anchor": "last_active_at", "days": 1},
    },
    StoreFileCreate: {
        "file_id": "file-1",
        "attributes": {"a": 1, "b": True, "c": "d"},
        "chunking_strategy": _STORE["chunking_strategy"],
    },
    StoreFileUpdate: {"attributes": {"a": 1.5}},
    FileBatchCreate: {"files": [{"file_id": "file-1", "attributes": {"a": 1}}]},
    VectorStoreSearch: {
        "query": ["a", "b"],
        "filters": {
            "type": "and",
            "filters": [
                {"type": "eq", "key": "a", "value": 1},
                {"type": "or", "filters": [{"type": "in", "key": "b", "value": ["c", 2]}]},
            ],
        },
        "ranking_options": {"ranker": "auto", "score_threshold": 0.5},
    },
    UploadCreate: {
        "filename": "a.txt",
        "purpose": "assistants",
        "bytes": 1,
        "mime_type": "text/plain",
        "expires_after": {"anchor": "created_at", "seconds": 3600},
    },
    UploadComplete: {"part_ids": ["part_1"], "md5": "0"},
}
