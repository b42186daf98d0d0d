from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from localassist import clock
from localassist.engine import ScriptedEngine
from localassist.errors import ResourceNotFound, StorageCorrupt
from localassist.schemas.assistants import AssistantCreate
from localassist.schemas.base import ListQuery
from localassist.schemas.threads import ThreadCreate
from localassist.schemas.vector_stores import (
    FileBatchCreate,
    StoreFileCreate,
    VectorStoreCreate,
)
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


@pytest.mark.parametrize("how", ["delete", "cancel"])
async def test_ingest_hears_of_what_has_gone(open_scripted: OpenRuntime, how: str) -> None:
    """At once, not at its next poll: work on the file is in vain, and its traces are to go."""
    async with open_scripted(ScriptedEngine()) as runtime:
        file = await runtime.files.create(P, filename="a.txt", purpose="batch", chunks=chunks())
        store = await runtime.vector_stores.create(P, VectorStoreCreate())
        body = FileBatchCreate(file_ids=[file.id])
        batch = await runtime.vector_stores.create_batch(P, store.id, body)
        await runtime.ingest.close()
        for heard in (runtime.ingest._check, runtime.ingest._untidy):
            heard.clear()
        if how == "delete":
            await runtime.files.delete(P, file.id)
        else:
            await runtime.vector_stores.cancel_batch(P, store.id, batch.id)
        assert runtime.ingest._check.is_set() and runtime.ingest._untidy.is_set()


async def test_an_expired_file_leaves_its_stores(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_scripted(ScriptedEngine()) as runtime:
        kept, short = [
            await runtime.files.create(
                P, filename="a.txt", purpose="assistants", chunks=chunks(), expires_after_seconds=s
            )
            for s in (None, 3600)
        ]
        body = VectorStoreCreate(file_ids=[kept.id, short.id])
        store = await runtime.vector_stores.create(P, body)
        monkeypatch.setattr(clock, "now", lambda: short.expires_at)
        with pytest.raises(ResourceNotFound, match=f"No such File object: {short.id}"):
            await runtime.vector_stores.attach(P, store.id, StoreFileCreate(file_id=short.id))
        await runtime.files.sweep()
        page = await runtime.vector_stores.list_files(P, store.id, ListQuery())
        assert [file.id for file in page.data] == [kept.id]
        # The id of a file that has gone is still a cursor.
        after = ListQuery(after=short.id, order="desc")
        page = await runtime.vector_stores.list_files(P, store.id, after)
        assert [file.id for file in page.data] == [kept.id]
