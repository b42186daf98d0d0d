from __future__ import annotations

import pytest

from localassist import clock
from localassist.errors import InvalidRequest, ResourceNotFound
from localassist.schemas.base import ListQuery
from localassist.storage import assistants, files, threads, vector_stores
from localassist.storage.database import Database, Session
from tests.storage.filled import P, ask, attach, end, filled, new_files, new_store, version

DAY = 86_400


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Sets the clock."""
    return lambda seconds: monkeypatch.setattr(clock, "now", lambda: seconds)


async def test_counts_and_bytes_are_those_of_the_rows(database: Database) -> None:
    store_id, (a, b, c, d) = await filled(database, 4)
    assert (await ask(database, vector_stores.get, store_id)).status == "in_progress"

    def work(session: Session) -> None:
        end(session, "completed", a, b)
        end(session, "failed", c)
        end(session, "cancelled", d)

    await database.write(work)
    store = await ask(database, vector_stores.get, store_id)
    assert store.file_counts.dump() == {
        "in_progress": 0,
        "completed": 2,
        "failed": 1,
        "cancelled": 1,
        "total": 4,
    }
    assert (store.status, store.usage_bytes) == ("completed", 200)
    await database.write(lambda session: files.delete(session, P, a))
    store = await ask(database, vector_stores.get, store_id)
    assert (store.file_counts.completed, store.file_counts.total, store.usage_bytes) == (1, 3, 100)


async def test_a_page_of_stores_has_the_counts_of_each(database: Database) -> None:
    ids = [(await filled(database, count))[0] for count in (0, 2, 1)]
    page = await ask(database, vector_stores.list_page, ListQuery(order="asc"))
    assert [store.id for store in page.data] == ids
    assert [store.file_counts.total for store in page.data] == [0, 2, 1]
    assert [store.status for store in page.data] == ["completed", "in_progress", "in_progress"]


async def test_a_store_expires_after_its_last_use(database: Database, at) -> None:  # type: ignore[no-untyped-def]
    at(0)
    store_id, [file_id] = await filled(database, 1, expires_after_days=2)
    store = await ask(database, vector_stores.get, store_id)
    assert (store.last_active_at, store.expires_at) == (0, 2 * DAY)
    at(DAY)
    await database.write(lambda session: vector_stores.touch(session, [store_id]))
    at(3 * DAY - 1)
    await ask(database, vector_stores.usable, store_id)
    at(3 * DAY)
    store = await ask(database, vector_stores.get, store_id)
    assert (store.status, store.expires_at) == ("expired", 3 * DAY)
    with pytest.raises(InvalidRequest, match=f"^Vector store '{store_id}' has expired$"):
        await ask(database, vector_stores.usable, store_id)
    with pytest.raises(InvalidRequest, match=f"^Vector store {store_id} is expired\\.$"):
        await ask(database, vector_stores.check_usable, ["vs_gone", store_id])
    with pytest.raises(InvalidRequest, match="has expired"):
        await database.write(lambda session: attach(session, store_id, file_id))


async def test_a_policy_can_be_taken_away(database: Database, at) -> None:  # type: ignore[no-untyped-def]
    at(0)
    store_id, _ = await filled(database, 0, expires_after_days=1)
    change = {"expires_after_days": None, "name": "kept", "metadata": {"a": "b"}}
    await database.write(lambda s: vector_stores.update_fields(s, P, store_id, change))
    at(400 * DAY)
    store = await ask(database, vector_stores.get, store_id)
    assert (store.status, store.expires_at, store.name) == ("completed", None, "kept")
    assert (store.metadata, store.last_active_at) == ({"a": "b"}, 0)


async def test_stores_of_an_assistant_and_a_thread(database: Database) -> None:
    def make(session: Session) -> tuple[str, str, list[str]]:
        ours, theirs, gone = [new_store(session, []) for _ in range(3)]
        fields = {"model": "m", "tools": [], "file_ids": [], "metadata": None}
        fields["tool_resources"] = {"file_search": {"vector_store_ids": [ours]}}
        assistant = assistants.insert(session, P, fields)
        resources = {"file_search": {"vector_store_ids": [theirs]}}
        thread = threads.insert(session, P, {"tool_resources": resources})
        vector_stores.delete(session, P, gone)
        return assistant.id, thread.id, [ours, theirs, gone]

    assistant_id, thread_id, [ours, theirs, gone] = await database.write(make)
    of = vector_stores.store_ids_of
    assert await ask(database, of, assistant_id, thread_id) == [ours, theirs]
    assert await ask(database, of, "asst_none", thread_id) == [theirs]
    assert await ask(database, vector_stores.existing, [gone, ours, ours]) == [ours]
    await database.write(lambda session: vector_stores.delete(session, P, theirs))
    assert await ask(database, of, assistant_id, thread_id) == [ours]
    with pytest.raises(ResourceNotFound, match="^No vector store found with id 'vs_x'.$"):
        await ask(database, vector_stores.get, "vs_x")


async def test_every_change_of_what_can_be_searched_is_a_new_version(database: Database) -> None:
    def step(session: Session) -> list[int]:
        [a, b] = new_files(session, 2)
        store_id, other = new_store(session, [a, b]), new_store(session, [a])
        seen = [version(session, store_id)]
        attach(session, store_id, a, attributes={"year": 1})
        seen.append(version(session, store_id))
        files.delete(session, P, a)
        seen += [version(session, store_id), version(session, other)]
        vector_stores.touch(session, [store_id])
        vector_stores.update_fields(session, P, store_id, {"name": "n"})
        return [*seen, version(session, store_id)]

    first, updated, deleted, of_other, untouched = await database.write(step)
    assert first < updated < deleted == untouched
    assert of_other == 2
