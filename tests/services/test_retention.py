"""What is old goes, what is used or worked stays, and a dry run says just what a real one does."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import delete, func, select, text, update

from localassist import clock
from localassist.engine import ScriptedEngine
from localassist.errors import ResourceNotFound, StorageUnavailable
from localassist.runtime import Runtime, vacuum
from localassist.schemas.base import ListQuery
from localassist.schemas.messages import MessageCreate
from localassist.services.config import RetentionSettings
from localassist.services.files import Files
from localassist.services.retention import Removal, Retention
from localassist.settings import load_settings
from localassist.storage import free_room
from localassist.storage import retention as rows
from localassist.storage.blobs import BlobStore
from localassist.storage.database import MOST_LOG_BYTES, Database, Session
from localassist.storage.tables import (
    Base,
    CodeFileRow,
    FileRow,
    ItemRow,
    MessageRow,
    RunEventRow,
    RunRow,
    RunStepRow,
    ThreadRow,
    TombstoneRow,
)
from tests.runs.conftest import WEATHER, OpenRuntime, P, Talk, begin, open_scripted
from tests.runs.test_loop import CALL

__all__ = ["open_scripted"]
DAY = 24 * 3600
EVERYTHING = RetentionSettings(
    thread_days=10, file_days=10, timeline_days=10, cursor_days=10, snapshot_days=10
)

FILES = RetentionSettings(file_days=10)


@pytest_asyncio.fixture
async def runtime(open_scripted: OpenRuntime) -> AsyncIterator[Runtime]:
    engine = ScriptedEngine(model_id="scripted", default_reply="Hello.")
    async with open_scripted(engine) as opened:
        yield opened


@pytest_asyncio.fixture
async def database(runtime: Runtime) -> AsyncIterator[Database]:
    """The same one, as another process sees it."""
    opened = Database.open(runtime.settings.home, runtime.settings.storage)
    yield opened
    await opened.close()


@pytest.fixture
def make(runtime: Runtime, database: Database) -> Callable[..., Retention]:
    def made(settings: RetentionSettings = EVERYTHING, **fields: Any) -> Retention:
        async def threads_deleted(thread_ids: list[str]) -> None:
            return

        home = runtime.settings.home
        files = Files(database, BlobStore(home / "blobs"))
        options: dict[str, Any] = {
            "log_seconds": 10 * DAY,
            "snapshots": home / "cache" / "conversations",
            "on_threads": threads_deleted,
            "on_files": files.sweep,
        }
        return Retention(database, settings, **{**options, **fields})

    return made


async def age(database: Database, days: float = 11, **only: Any) -> None:
    """Everything, or the given thread's or file's, happened so many days earlier."""
    moved = int(days * DAY)

    def change(session: Session) -> None:
        for table in Base.metadata.sorted_tables:
            times = [column for column in table.c if column.name.endswith(("_at", "_since"))]
            wanted = [table.c[name] == value for name, value in only.items() if name in table.c]
            if times and (wanted or not only):
                values = {column.name: column - moved for column in times}
                session.execute(update(table).where(*wanted).values(values))

    await database.write(change)


async def count(database: Database, table: type[Base]) -> int:
    return await database.read(lambda s: s.scalar(select(func.count()).select_from(table)) or 0)


def counts(removed: list[Removal]) -> dict[str, int]:
    return {one.what: one.count for one in removed if one.count}


async def test_unused_threads_go_with_all_that_is_theirs(
    runtime: Runtime, database: Database, make: Callable[..., Retention]
) -> None:
    old, used = await begin(runtime), await begin(runtime)
    for talk in (old, used):
        await talk.finish()
    await age(database)
    await used.say("I am back.")
    planned = await make().plan()
    assert await make().plan() == planned  # which changes nothing
    assert counts(planned) == {"threads": 1, "time lines": 2, "events": planned[3].count}
    assert planned[0].bytes > 0
    removed = await make().sweep()
    assert removed[0] == planned[0]
    with pytest.raises(ResourceNotFound):
        await runtime.threads.retrieve(P, old.thread_id)
    assert len(await used.texts()) == 3
    for table, left in ((ThreadRow, 1), (MessageRow, 3), (RunRow, 1), (RunStepRow, 1)):
        assert await count(database, table) == left
    assert await database.read(lambda s: set(s.scalars(select(ItemRow.thread_id)))) == {
        used.thread_id
    }
    assert await count(database, RunEventRow) == 0
    assert counts(await make().sweep()) == {}


async def test_a_thread_whose_run_is_not_at_its_end_stays(
    open_scripted: OpenRuntime, make: Callable[..., Retention]
) -> None:
    async with open_scripted(ScriptedEngine(CALL, model_id="scripted")) as runtime:
        talk = await begin(runtime, tools=[WEATHER])
        assert (await talk.finish()).status == "requires_action"
        database = Database.open(runtime.settings.home, runtime.settings.storage)
        # Not the run's own end: it would expire.
        await age(database, thread_id=talk.thread_id)
        await database.write(
            lambda s: s.execute(update(RunRow).values(expires_at=int(time.time()) + DAY))
        )
        await database.write(lambda s: s.execute(update(ThreadRow).values(created_at=1)))
        assert counts(await make().sweep()) == {}
        assert (await runtime.threads.retrieve(P, talk.thread_id)).id == talk.thread_id
        await database.close()


async def test_nothing_that_a_caller_made_goes_by_default(
    runtime: Runtime, database: Database, make: Callable[..., Retention]
) -> None:
    await (await begin(runtime)).finish()
    await new_file(runtime)
    await age(database, days=1000)
    removed = await make(RetentionSettings()).sweep()
    assert set(counts(removed)) == {"events"}
    assert await count(database, ThreadRow) == await count(database, FileRow) == 1


async def test_a_sweep_that_is_cut_short_is_gone_on_with(
    runtime: Runtime, database: Database, make: Callable[..., Retention]
) -> None:
    for _ in range(45):
        await begin(runtime)
    await age(database)
    told: list[str] = []

    async def cut(thread_ids: list[str]) -> None:
        told.extend(thread_ids)
        raise OSError("killed")

    with pytest.raises(OSError, match="killed"):
        await make(on_threads=cut).sweep()
    left = await count(database, ThreadRow)
    assert 0 < left == 45 - len(told)
    assert await count(database, MessageRow) == left
    assert counts(await make().sweep()) == {"threads": left}


# --- files --------------------------------------------------------------------------------------


async def new_file(runtime: Runtime, purpose: str = "assistants") -> str:
    async def content() -> AsyncIterator[bytes]:
        yield os.urandom(100)

    file = await runtime.files.create(P, filename="a.txt", purpose=purpose, chunks=content())
    return file.id


async def attach(talk: Talk, file_id: str) -> None:
    attachment = {"file_id": file_id, "tools": [{"type": "code_interpreter"}]}
    fields = {"role": "user", "content": "See this.", "attachments": [attachment]}
    await talk.runtime.messages.create(P, talk.thread_id, MessageCreate.model_validate(fields))


async def test_files_go_when_nothing_has_named_them_for_long(
    runtime: Runtime, database: Database, make: Callable[..., Retention]
) -> None:
    named, unnamed, used_again = [await new_file(runtime) for _ in range(3)]
    other = await new_file(runtime, "user_data")
    code = {"code_interpreter": {"file_ids": [named]}}
    talk = await begin(runtime, tools=[{"type": "code_interpreter"}], tool_resources=code)
    await age(database)
    assert counts(await make(FILES).sweep()).get("files") is None  # noticed for the first time
    await age(database, days=6, purpose="assistants")
    assert counts(await make(FILES).sweep()).get("files") is None  # not long enough
    await age(database, days=6, purpose="assistants")
    await attach(talk, used_again)
    planned = await make(FILES).plan()
    assert (planned[1].count, planned[1].bytes) == (1, 100)
    blobs = list((runtime.settings.home / "blobs").glob("??/*"))
    for blob in blobs:  # those of the last hour may belong to an upload
        os.utime(blob, (1, 1))
    assert (await make(FILES).sweep())[1] == planned[1]
    assert sum(blob.exists() for blob in blobs) == 3
    page = await runtime.files.list(P, ListQuery())
    assert {file.id for file in page.data} == {named, used_again, other}
    # Its time begins anew when it is no longer named.
    await runtime.threads.delete(P, talk.thread_id)
    await make(FILES).sweep()
    assert await database.read(
        lambda s: s.scalar(select(FileRow.unused_since).where(FileRow.id == used_again))
    ) == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("imported", ["file_1a2b", "fileOf-before"])
async def test_an_imported_file_that_a_message_names_stays(
    runtime: Runtime, database: Database, imported: str
) -> None:
    """The import takes ids of other shapes than ours."""
    file_id = await new_file(runtime)
    rename = update(FileRow).where(FileRow.id == file_id).values(id=imported)
    await database.write(lambda s: s.execute(rename))
    talk = await begin(runtime)
    await attach(talk, imported)
    forgotten = update(ThreadRow).values(tool_resources={})
    await database.write(lambda s: s.execute(forgotten))
    named = await database.read(rows.named_files)
    assert imported in named.file_ids


async def test_a_file_that_is_named_after_the_look_stays(
    runtime: Runtime, database: Database
) -> None:
    talk = await begin(runtime)
    said, held, written, gone = [await new_file(runtime) for _ in range(4)]
    named = await database.read(rows.named_files)
    await database.write(lambda s: rows.note_unused_files(s, named, 1))
    everything = await database.read(lambda s: rows.unused_files(s, named, 1))
    assert [one for _, one, _ in everything] == [said, held, written, gone]
    await attach(talk, said)
    await begin(
        runtime,
        tools=[{"type": "code_interpreter"}],
        tool_resources={"code_interpreter": {"file_ids": [held]}},
    )
    entry = CodeFileRow(thread_id=talk.thread_id, path="a", file_id=written)
    await database.write(lambda s: s.add(entry))
    removed = await database.write(
        lambda s: rows.delete_unused_files(s, [(p, one) for p, one, _ in everything], named)
    )
    assert removed == [gone]


# --- the rest -----------------------------------------------------------------------------------


async def test_cursors_and_snapshots_go_by_their_age(
    runtime: Runtime, database: Database, make: Callable[..., Retention]
) -> None:
    old, new = [await new_file(runtime) for _ in range(2)]
    await runtime.files.delete(P, old)
    await age(database)
    await runtime.files.delete(P, new)
    folder = runtime.settings.home / "cache" / "conversations" / "some-model"
    folder.mkdir(parents=True)
    for name, at in (("a.cells", 1.0), ("b.cells", time.time()), ("notes.txt", 1.0)):
        (folder / name).write_bytes(b"x" * 50)
        os.utime(folder / name, (at, at))
    planned = counts(await make().plan())
    assert counts(await make().sweep()) == planned
    assert planned["cursors"] == 1
    assert await database.read(lambda s: list(s.scalars(select(TombstoneRow.id)))) == [new]
    assert planned["snapshots"] == 1 and not (folder / "a.cells").exists()
    assert {path.name for path in folder.iterdir()} == {"b.cells", "notes.txt"}


async def test_a_service_looks_now_and_then(
    runtime: Runtime, database: Database, make: Callable[..., Retention]
) -> None:
    often = make(EVERYTHING.model_copy(update={"sweep_minutes": 1e-9}))
    seldom = make()
    for sweeping, left in ((seldom, 0), (seldom, 1), (often, 0), (often, 0)):
        await begin(runtime)
        await age(database)
        await sweeping.sweep_in_turn()
        assert await count(database, ThreadRow) == left


def test_the_database_gives_back_its_room(tmp_path: Path) -> None:
    async def fill() -> None:
        database = Database.open(settings.home, settings.storage)
        values = [ThreadRow(id=f"thread_{n}", created_at=1, project_id=P) for n in range(2000)]
        for value in values:
            value.tool_resources, value.metadata_ = {}, {"text": "x" * 1000}
        await database.write(lambda s: s.add_all(values))
        await database.write(lambda s: s.query(ThreadRow).delete())
        await database.close()

    settings = load_settings(tmp_path)
    asyncio.run(fill())
    before, after = vacuum(settings, is_live=False)
    assert after < before / 5
    assert (tmp_path / "localassist.db").stat().st_size == after


async def make_room(database: Database) -> int:
    """Some MiB free at the beginning of the database, before what is kept; how many bytes."""
    now = clock.now()

    def fill(session: Session) -> None:
        fields: dict[str, Any] = {"tool_resources": {}, "metadata_": {"text": "x" * 1800}}
        for n in range(10_000):
            thread = ThreadRow(id=f"thread_{n}", created_at=now + n, project_id=P, **fields)
            session.add(thread)

    old = delete(ThreadRow).where(ThreadRow.created_at < now + 5000)
    await database.write(fill)
    await database.write(lambda session: session.execute(old))
    free = await database.read(free_room.free_bytes)
    assert free > 3 * 2**20
    return free


async def test_a_sweep_gives_back_what_is_above_the_setting(
    database: Database, make: Callable[..., Retention]
) -> None:
    free = await make_room(database)
    for free_mb, most in ((100, free), (2, 2 * 2**20), (0, 0)):
        await make(EVERYTHING.model_copy(update={"free_mb": free_mb})).sweep()
        left = await database.read(free_room.free_bytes)
        assert most - 2**20 <= left <= most
    checked = text("PRAGMA quick_check")
    assert await database.read(lambda session: session.scalar(checked)) == "ok"


async def test_room_is_not_given_back_beside_a_long_read(
    runtime: Runtime,
    database: Database,
    make: Callable[..., Retention],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside a backup it would take as much room in the log as it is to give back."""
    await make_room(database)
    monkeypatch.setattr(free_room, "MOST_LOG_BYTES", 6 * 2**20)
    sweeping = make(EVERYTHING.model_copy(update={"free_mb": 0}))
    with closing(sqlite3.connect(runtime.settings.home / "localassist.db")) as reader:
        reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM threads").fetchone()
        await sweeping.sweep()
        assert await database.read(free_room.free_bytes) > 0
        reader.execute("ROLLBACK")
        reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for _ in range(20):  # the runtime's own short reads may end one early
        await sweeping.sweep()
    assert await database.read(free_room.free_bytes) == 0


async def test_room_that_cannot_be_given_back_is_said_in_words(database: Database) -> None:
    await make_room(database)

    def give_back(session: Session) -> None:
        session.connection().exec_driver_sql("PRAGMA query_only = 1")
        free_room.give_back(session, 1)

    with pytest.raises(StorageUnavailable, match="cannot be made smaller: attempt to write"):
        await database.write(give_back)


async def test_a_long_transaction_leaves_no_long_log(tmp_path: Path) -> None:
    database = Database.open(tmp_path, load_settings(tmp_path).storage)
    log = tmp_path / "localassist.db-wal"
    put = text("INSERT INTO large VALUES (zeroblob(1000000))")
    await database.write(lambda s: s.execute(text("CREATE TABLE large (content)")))
    await database.write(lambda s: [s.execute(put) for _ in range(80)])
    assert log.stat().st_size > 80_000_000
    await database.write(lambda s: s.execute(put))
    assert log.stat().st_size <= MOST_LOG_BYTES
    await database.close()


def test_a_database_of_before_takes_it_up_when_it_is_vacuumed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "localassist.db")) as old:
        old.execute("CREATE TABLE old (text)")
        old.commit()
    settings = load_settings(tmp_path)
    vacuum(settings, is_live=False)
    with closing(sqlite3.connect(tmp_path / "localassist.db")) as seen:
        assert seen.execute("PRAGMA auto_vacuum").fetchone() == (2,)
