from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import StorageCorrupt
from localassist.schemas.assistants import AssistantCreate
from localassist.schemas.threads import ThreadCreate
from tests.runs.conftest import OpenRuntime, P, open_scripted

__all__ = ["open_scripted"]


async def chunks() -> AsyncIterator[bytes]:
    yield b"text"


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
async def test_a_damaged_file_fails_before_its_first_byte(
    open_scripted: OpenRuntime, damage: object
) -> None:
    """While an error can still be answered as one."""
    async with open_scripted(ScriptedEngine()) as runtime:
        file = await runtime.files.create(P, filename="a", purpose="batch", chunks=chunks())
        [path] = (runtime.settings.home / "blobs").glob("??/*")
        damage(path)  # type: ignore[operator]
        with pytest.raises(StorageCorrupt):
            await runtime.files.open(P, file.id)


async def test_a_deleted_file_vanishes_from_every_list(open_scripted: OpenRuntime) -> None:
    async with open_scripted(ScriptedEngine()) as runtime:
        gone, kept = [
            (await runtime.files.create(P, filename=n, purpose="assistants", chunks=chunks())).id
            for n in "ab"
        ]
        resources = {"code_interpreter": {"file_ids": [gone, kept]}}
        body = {"model": "scripted", "tool_resources": resources, "file_ids": [gone]}
        assistant = await runtime.assistants.create(P, AssistantCreate.model_validate(body))
        attachment = {"file_id": gone, "tools": [{"type": "code_interpreter"}]}
        message = {"role": "user", "content": "see", "attachments": [attachment]}
        thread = await runtime.threads.create(
            P, ThreadCreate.model_validate({"messages": [message]})
        )
        assert thread.tool_resources.dump() == {"code_interpreter": {"file_ids": [gone]}}
        await runtime.files.delete(P, gone)
        assistant = await runtime.assistants.retrieve(P, assistant.id)
        assert assistant.tool_resources.dump() == {"code_interpreter": {"file_ids": [kept]}}
        assert assistant.file_ids == []
        thread = await runtime.threads.retrieve(P, thread.id)
        assert thread.tool_resources.dump() == {"code_interpreter": {"file_ids": []}}
