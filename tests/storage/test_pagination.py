from __future__ import annotations

import random

import pytest

from localassist import clock
from localassist.errors import ResourceNotFound
from localassist.schemas.assistants import Assistant
from localassist.schemas.base import ListQuery, Page
from localassist.storage import assistants
from localassist.storage.database import Database, Session

P = "proj_default"


def query(**values: str) -> ListQuery:
    return ListQuery.parse(values)


async def create(database: Database, count: int) -> list[str]:
    def insert(session: Session) -> list[str]:
        fields = {"model": "m", "tools": [], "tool_resources": {}, "file_ids": []}
        fields["metadata"] = None
        return [assistants.insert(session, P, fields).id for _ in range(count)]

    return await database.write(insert)


async def fetch(database: Database, **values: str) -> Page[Assistant]:
    return await database.read(lambda session: assistants.list_page(session, P, query(**values)))


async def walk(database: Database, order: str, limit: int) -> list[str]:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await fetch(database, order=order, limit=str(limit), **cursor)
        found += [item.id for item in page.data]
        if not page.has_more:
            return found
        cursor = {"after": found[-1]}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_walking_all_pages_gives_every_object_once(
    database: Database, order: str, limit: int
) -> None:
    ids = await create(database, 7)  # all within one second: only insertion order tells them apart
    assert await walk(database, order, limit) == (ids if order == "asc" else ids[::-1])


async def test_order_is_by_time_first(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    created = []
    for now in (30, 10, 20):
        # A server of another test may ask for the time, too.
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        created += await create(database, 1)
    late, early, middle = created
    assert await walk(database, "asc", 2) == [early, middle, late]


async def test_before_gives_the_nearest_ones_in_the_chosen_order(database: Database) -> None:
    ids = await create(database, 6)
    page = await fetch(database, order="asc", limit="2", before=ids[4])
    assert [item.id for item in page.data] == ids[2:4]
    assert page.has_more
    page = await fetch(database, order="desc", limit="10", before=ids[1])
    assert [item.id for item in page.data] == ids[:1:-1]
    assert not page.has_more


async def test_both_cursors_cut_out_what_lies_between(database: Database) -> None:
    ids = await create(database, 6)
    page = await fetch(database, order="asc", after=ids[0], before=ids[4])
    assert [item.id for item in page.data] == ids[1:4]


async def test_pages_agree_with_a_plain_list_while_objects_go(database: Database) -> None:
    rng = random.Random(4)
    ids = await create(database, 40)
    alive = list(ids)
    for _ in range(60):
        if rng.random() < 0.3 and alive:
            victim = rng.choice(alive)
            alive.remove(victim)
            await database.write(lambda s, v=victim: assistants.delete(s, P, v))
        cursor, limit = rng.choice(ids), rng.randint(1, 9)  # deleted cursors must still work
        order = rng.choice(["asc", "desc"])
        page = await fetch(database, order=order, limit=str(limit), after=cursor)
        line = alive if order == "asc" else alive[::-1]
        place = ids.index(cursor)
        rest = [i for i in line if (ids.index(i) > place) == (order == "asc") and i != cursor]
        assert [item.id for item in page.data] == rest[:limit]
        assert page.has_more == (len(rest) > limit)


async def test_a_cursor_that_was_never_issued_is_not_found(database: Database) -> None:
    with pytest.raises(ResourceNotFound, match="No assistant found with id 'asst_never'"):
        await fetch(database, after="asst_never")


async def test_an_empty_list_has_no_ids(database: Database) -> None:
    page = await fetch(database)
    assert page.dump() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_a_deleted_object_of_another_project_is_no_cursor(database: Database) -> None:
    [gone] = await create(database, 1)
    await database.write(lambda session: assistants.delete(session, P, gone))
    with pytest.raises(ResourceNotFound):
        await database.read(
            lambda session: assistants.list_page(session, "proj_other", query(after=gone))
        )
