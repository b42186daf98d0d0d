from __future__ import annotations

from typing import Any

import pytest

from localassist.errors import ResourceNotFound
from localassist.schemas.base import ListQuery
from localassist.storage import file_batches, files, store_files
from localassist.storage.database import Database, Session
from tests.storage.filled import P, ask, attach, end, filled, new_files, new_store

SMALL = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}


async def look(database: Database, store_id: str, file_id: str) -> Any:
    return await ask(database, store_files.get, store_id, file_id)


async def test_auto_is_shown_as_what_it_means(database: Database) -> None:
    store_id, [file_id] = await filled(database, 1)
    file = await look(database, store_id, file_id)
    assert file.dump()["chunking_strategy"] == {
        "type": "static",
        "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400},
    }
    assert (file.status, file.usage_bytes, file.last_error) == ("in_progress", 0, None)


async def test_a_file_that_is_there_already_stays(database: Database) -> None:
    store_id, [file_id] = await filled(database, 1)
    await database.write(lambda session: end(session, "completed", file_id))
    before = await look(database, store_id, file_id)
    await database.write(lambda session: attach(session, store_id, file_id))
    assert await look(database, store_id, file_id) == before
    auto = {"type": "auto"}
    await database.write(
        lambda s: attach(s, store_id, file_id, attributes={"a": 1}, chunking_strategy=auto)
    )
    after = await look(database, store_id, file_id)
    assert (after.status, after.attributes) == ("completed", {"a": 1})
    await database.write(lambda s: attach(s, store_id, file_id, chunking_strategy=SMALL))
    again = await look(database, store_id, file_id)
    assert (again.status, again.attributes) == ("in_progress", {"a": 1})
    assert again.chunking_strategy.dump() == SMALL


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_attaching_again_is_another_try(database: Database, status: str) -> None:
    store_id, [file_id] = await filled(database, 1)
    await database.write(lambda session: end(session, status, file_id))
    await database.write(lambda session: attach(session, store_id, file_id))
    assert (await look(database, store_id, file_id)).status == "in_progress"


async def test_a_store_that_is_larger_than_a_statement(database: Database) -> None:
    """Of values, SQLite takes 32,766 in one."""
    store_id, file_ids = await filled(database, 3)
    unknown = [f"file-{number}" for number in range(40_000)]
    found = await database.read(lambda s: files.names(s, P, [*unknown, *file_ids]))
    assert found == {file_id: f"{n}.txt" for n, file_id in enumerate(file_ids)}


async def test_members_are_the_completed_files(database: Database) -> None:
    store_id, (a, b, c) = await filled(database, 3)

    def work(session: Session) -> list[store_files.Member]:
        attach(session, store_id, c, attributes={"year": 2}, chunking_strategy=SMALL)
        end(session, "completed", a, c)
        end(session, "failed", b)
        return store_files.members(session, store_id)

    assert await database.write(work) == [
        store_files.Member(a, "0.txt", "s", {}, None, None),
        store_files.Member(c, "2.txt", "s", {"year": 2}, 100, 0),
    ]


async def test_pages_go_on_behind_files_that_left_or_changed(database: Database) -> None:
    store_id, ids = await filled(database, 6)

    async def page(after: str, **options: Any) -> list[str]:
        query = ListQuery(limit=2, order="asc", after=after)
        found = await ask(database, store_files.list_page, store_id, query, **options)
        return [file.id for file in found.data]

    await database.write(lambda session: store_files.remove(session, P, store_id, ids[1]))
    assert await page(ids[1]) == ids[2:4]
    await database.write(lambda session: files.delete(session, P, ids[3]))
    assert await page(ids[3]) == ids[4:6]
    await database.write(lambda session: end(session, "completed", ids[2]))
    assert await page(ids[2], status="in_progress") == ids[4:6]
    with pytest.raises(ResourceNotFound, match="No file found with id 'file-none' in vector"):
        await page("file-none")
    other, _ = await filled(database, 0)
    with pytest.raises(ResourceNotFound):
        await ask(database, store_files.list_page, other, ListQuery(after=ids[1]))
    # Attached and removed once more, it is behind all others.
    await database.write(lambda session: attach(session, store_id, ids[1]))
    assert await page(ids[4]) == [ids[5], ids[1]]
    await database.write(lambda session: store_files.remove(session, P, store_id, ids[1]))
    assert await page(ids[1]) == []


async def test_a_file_leaves_its_stores_when_it_is_deleted(database: Database) -> None:
    store_id, (a, b) = await filled(database, 2)
    other = await database.write(lambda session: new_store(session, [a]))
    await database.write(lambda session: files.delete(session, P, a))
    for owner in (store_id, other):
        with pytest.raises(ResourceNotFound):
            await look(database, owner, a)
    assert (await look(database, store_id, b)).id == b


async def test_a_batch_follows_its_files(database: Database) -> None:
    store_id, ids = await filled(database, 4)
    mine = ids[1:]

    def create(session: Session) -> str:
        return file_batches.create(session, P, store_id, [*mine, mine[0]]).id

    batch_id = await database.write(create)

    async def status() -> tuple[str, int, int]:
        batch = await ask(database, file_batches.get, store_id, batch_id)
        return batch.status, batch.file_counts.in_progress, batch.file_counts.total

    assert await status() == ("in_progress", 3, 3)
    await database.write(lambda session: end(session, "failed", *mine))
    assert await status() == ("failed", 0, 3)
    await database.write(lambda session: end(session, "completed", mine[0]))
    assert await status() == ("completed", 0, 3)
    await database.write(lambda session: files.delete(session, P, mine[1]))
    assert await status() == ("completed", 0, 2)
    found = await ask(
        database, store_files.list_page, store_id, ListQuery(order="asc"), batch_id=batch_id
    )
    assert [file.id for file in found.data] == [mine[0], mine[2]]
    batch = await database.write(lambda s: file_batches.cancel(s, P, store_id, batch_id))
    assert batch.status == "completed"


async def test_cancelling_stops_what_waits(database: Database) -> None:
    store_id, ids = await filled(database, 3)

    def work(session: Session) -> tuple[str, str]:
        batch = file_batches.create(session, P, store_id, ids[1:])
        end(session, "completed", ids[1])
        file_batches.cancel(session, P, store_id, batch.id)
        return batch.id, file_batches.cancel(session, P, store_id, batch.id).status

    batch_id, status = await database.write(work)
    assert status == "cancelled"
    batch = await ask(database, file_batches.get, store_id, batch_id)
    assert batch.file_counts.dump() == {
        "in_progress": 0,
        "completed": 1,
        "failed": 0,
        "cancelled": 1,
        "total": 2,
    }
    assert (await look(database, store_id, ids[0])).status == "in_progress"
    with pytest.raises(ResourceNotFound, match="No file batch found with id 'vsfb_x'."):
        await ask(database, file_batches.get, store_id, "vsfb_x")
    other = await database.write(lambda session: new_store(session, new_files(session, 1)))
    with pytest.raises(ResourceNotFound):
        await ask(database, file_batches.get, other, batch_id)
