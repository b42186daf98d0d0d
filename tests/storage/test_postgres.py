"""Vector stores and uploads on PostgreSQL: see ``tests/runs/test_postgres.py`` for the URL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import create_engine, text

from localassist.schemas.base import ListQuery
from localassist.schemas.uploads import UploadCreate
from localassist.schemas.v1_files import AssistantFileCreate
from localassist.services.attachments import Attachments
from localassist.services.owned_files import OwnedFiles
from localassist.storage import (
    assistants,
    file_batches,
    files,
    projects,
    store_files,
    uploads,
    vector_stores,
)
from localassist.storage.blobs import Blob
from localassist.storage.config import StorageSettings
from localassist.storage.database import Database, Session
from localassist.storage.tables import Base
from tests.storage.filled import P, ask, attach, end, filled

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Database, Database]]:
    """Two processes' views of one database."""
    url = os.environ["POSTGRES_TEST_URL"]
    settings = StorageSettings(url=url)
    one, two = (Database.open(tmp_path / name, settings) for name in ("one", "two"))
    yield one, two
    await one.close()
    await two.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    engine.dispose()


async def test_a_reader_sees_one_moment(pair: tuple[Database, Database]) -> None:
    one, two = pair
    await one.write(lambda session: projects.find_or_make(session, "a"))
    loop = asyncio.get_running_loop()

    def look(session: Session) -> tuple[list[str], list[str]]:
        before = projects.names(session)
        change = two.write(lambda session: projects.find_or_make(session, "b"))
        asyncio.run_coroutine_threadsafe(change, loop).result(30)
        return before, projects.names(session)

    before, after = await one.read(look)
    assert before == after != await one.read(projects.names)


async def test_two_processes_attach_the_same_files(pair: tuple[Database, Database]) -> None:
    one, two = pair
    store_id, _ = await filled(one, 0)
    _, file_ids = await filled(one, 5)
    both = [one.write(lambda s: attach(s, store_id, *file_ids)) for one in pair * 3]
    await asyncio.gather(*both)
    page = await ask(two, store_files.list_page, store_id, ListQuery(order="asc"))
    assert [file.id for file in page.data] == file_ids


async def test_a_store_with_a_batch(pair: tuple[Database, Database]) -> None:
    one, two = pair
    store_id, ids = await filled(one, 5)

    def work(session: Session) -> str:
        batch = file_batches.create(session, P, store_id, ids[:4])
        end(session, "completed", ids[0], ids[4])
        files.delete(session, P, ids[1])
        store_files.remove(session, P, store_id, ids[2])
        return file_batches.cancel(session, P, store_id, batch.id).id

    batch_id = await one.write(work)
    batch = await ask(two, file_batches.get, store_id, batch_id)
    assert (batch.status, batch.file_counts.cancelled, batch.file_counts.total) == (
        "cancelled",
        1,
        2,
    )
    store = await ask(two, vector_stores.get, store_id)
    assert (store.file_counts.completed, store.usage_bytes) == (2, 200)
    for gone in ids[1:3]:
        query = ListQuery(order="asc", after=gone)
        page = await ask(two, store_files.list_page, store_id, query, status="completed")
        assert [file.id for file in page.data] == [ids[4]]
    members = await two.read(lambda session: store_files.members(session, store_id))
    assert [member.file_id for member in members] == [ids[0], ids[4]]


async def test_two_processes_change_one_assistant(pair: tuple[Database, Database]) -> None:
    """What one adds, the other keeps: files of version 1 come in one after the other."""
    _, file_ids = await filled(pair[0], 8)
    attachments = Attachments(lambda: "hashing", lambda name: True, lambda: None)
    fields: dict[str, Any] = {"model": "m", "tools": [{"type": "file_search"}]}
    fields |= {"tool_resources": {}, "file_ids": [], "metadata": {}}
    made = await pair[0].write(lambda session: assistants.insert(session, P, fields))
    owned = [OwnedFiles(database, attachments) for database in pair]
    await asyncio.gather(
        *(
            owned[number % 2].add(P, made.id, AssistantFileCreate(file_id=file_id))
            for number, file_id in enumerate(file_ids)
        )
    )
    found = await ask(pair[1], assistants.get, made.id)
    assert sorted(found.file_ids) == sorted(file_ids)
    (store_id,) = vector_stores.attached_ids(found.tool_resources.dump())
    page = await ask(pair[1], store_files.list_page, store_id, ListQuery())
    assert len(page.data) == len(file_ids)


async def test_files_are_deleted_while_others_are_added(pair: tuple[Database, Database]) -> None:
    """Neither loses the other's change, and neither waits for the other for ever."""
    _, file_ids = await filled(pair[0], 12)
    attachments = Attachments(lambda: "hashing", lambda name: True, lambda: None)
    fields: dict[str, Any] = {"model": "m", "tools": [{"type": "file_search"}], "metadata": {}}
    fields |= {"tool_resources": {}, "file_ids": []}
    made = await pair[0].write(lambda session: assistants.insert(session, P, fields))
    owned = [OwnedFiles(database, attachments) for database in pair]
    gone, added = file_ids[:6], file_ids[6:]
    for file_id in gone:
        await owned[0].add(P, made.id, AssistantFileCreate(file_id=file_id))

    def delete(file_id: str) -> Callable[[Session], object]:
        return lambda session: files.delete(session, P, file_id)

    await asyncio.gather(
        *(pair[0].write(delete(file_id)) for file_id in gone),
        *(owned[1].add(P, made.id, AssistantFileCreate(file_id=file_id)) for file_id in added),
    )
    found = await ask(pair[1], assistants.get, made.id)
    assert sorted(found.file_ids) == sorted(added)


async def test_an_upload(pair: tuple[Database, Database]) -> None:
    one, two = pair
    body = UploadCreate(filename="a", purpose="batch", bytes=1, mime_type="text/plain")
    upload = await one.write(lambda session: uploads.insert(session, P, body))
    part = Blob("a" * 64, 1)
    made = await two.write(lambda session: uploads.add_part(session, P, upload.id, part))
    found = await one.read(lambda session: uploads.pending(session, P, upload.id, [made.id]))
    assert found.parts == (part,)
    assert part.sha256 in await one.read(files.recorded_contents)
    await one.write(lambda session: uploads.cancel(session, P, upload.id))
    await two.write(uploads.expire)
    assert not await one.read(files.recorded_contents)
