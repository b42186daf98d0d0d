from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localassist import load_settings
from localassist.engine import ScriptedEngine
from localassist.errors import LocalAssistError
from localassist.schemas.chat import ChatCompletionCreate
from localassist.server.routes.chat import ChunkRecords
from tests.server.serving import Stage, scripted


@pytest.mark.parametrize("includes_usage", [False, True])
async def test_every_chunk_has_a_usage_if_one_was_asked_for(
    tmp_path: Path, includes_usage: bool
) -> None:
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply="Hello.")
    body: dict[str, Any] = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream_options": {"include_usage": includes_usage},
    }
    request = ChatCompletionCreate.model_validate(body)
    async with scripted(stage)(load_settings(tmp_path)) as runtime:
        stream = runtime.chat.stream(runtime.default_project, request)
        records = ChunkRecords()
        answer = [records.of(chunk) async for chunk in stream]
    chunks = [json.loads(record.removeprefix(b"data: ")) for record in answer]
    usages = [chunk.get("usage", "absent") for chunk in chunks]
    if includes_usage:
        assert usages[:-1] == [None] * (len(chunks) - 1)
        assert usages[-1]["completion_tokens"] == len("Hello.")
    else:
        assert set(usages) == {"absent"}


BAD_TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": 1}}}},
}
ANSWER_FORMAT = {"name": "n", "schema": {"type": "nonsense"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:"}}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [BAD_TOOL]},
        {"tools": [BAD_TOOL], "tool_choice": "none"},
        {"response_format": {"type": "json_schema", "json_schema": ANSWER_FORMAT}},
        {
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "tool_choice": {"type": "function", "function": {"name": "g"}},
        },
        {"messages": [{"role": "user", "content": [IMAGE]}]},
    ],
)
async def test_nothing_is_loaded_for_a_bad_request(tmp_path: Path, fields: dict[str, Any]) -> None:
    stage = Stage()
    del stage.engine  # whoever loads a model fails
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], **fields}
    request = ChatCompletionCreate.model_validate(body)
    async with scripted(stage)(load_settings(tmp_path)) as runtime:
        with pytest.raises(LocalAssistError) as whole:
            await runtime.chat.complete(runtime.default_project, request)
        with pytest.raises(LocalAssistError) as streamed:
            async for _ in runtime.chat.stream(runtime.default_project, request):
                pass
    assert whole.value.status == streamed.value.status == 400
    assert whole.value.message == streamed.value.message
