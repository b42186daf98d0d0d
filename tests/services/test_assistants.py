"""What an update changes, and what it leaves."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import InvalidRequest
from localassist.runtime import Runtime
from localassist.schemas.assistants import AssistantCreate, AssistantUpdate
from tests.runs.conftest import OpenRuntime, P, open_scripted

__all__ = ["open_scripted"]


async def chunks() -> AsyncIterator[bytes]:
    yield b"text"


async def create(runtime: Runtime, **fields: Any) -> str:
    body = AssistantCreate.model_validate({"model": "scripted", **fields})
    return (await runtime.assistants.create(P, body)).id


async def test_tool_resources_are_replaced_one_by_one(open_scripted: OpenRuntime) -> None:
    async with open_scripted(ScriptedEngine()) as runtime:
        file = await runtime.files.create(P, filename="a", purpose="assistants", chunks=chunks())
        code = {"code_interpreter": {"file_ids": [file.id]}}
        made = await create(runtime, tool_resources=code)

        async def update(resources: Any) -> dict[str, Any]:
            body = AssistantUpdate.model_validate({"tool_resources": resources})
            changed = await runtime.assistants.update(P, made, body)
            return changed.dump()["tool_resources"]  # type: ignore[no-any-return]

        search: dict[str, Any] = {"file_search": {"vector_store_ids": []}}
        assert await update(search) == {**code, **search}
        empty: dict[str, Any] = {"code_interpreter": {"file_ids": []}}
        assert await update(empty) == {**empty, **search}
        assert await update(None) == {}


async def test_schemas_are_checked_off_the_event_loop(open_scripted: OpenRuntime) -> None:
    async with open_scripted(ScriptedEngine()) as runtime:
        threads: list[int] = []
        runtime.models.validate = lambda grammar: threads.append(threading.get_ident())
        schema = {"type": "object", "properties": {"a": {"type": "string"}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        await create(runtime, response_format=wanted)
        assert threads and threading.get_ident() not in threads


async def test_an_unknown_model_is_looked_up_off_the_event_loop(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_scripted(ScriptedEngine()) as runtime:
        catalog = runtime.models._catalog
        threads: list[int] = []
        original = catalog.list

        def watched() -> Any:
            threads.append(threading.get_ident())
            return original()

        monkeypatch.setattr(catalog, "list", watched)
        with pytest.raises(InvalidRequest, match="does not exist"):
            await create(runtime, model="no-such")
        assert threads and threading.get_ident() not in threads
