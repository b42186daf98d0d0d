from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text

from localassist.errors import ConfigError, InvalidRequest, StorageCorrupt, StorageUnavailable
from localassist.storage.config import StorageSettings
from localassist.storage.database import Database, Session, after_commit
from localassist.storage.tables import Base, ProjectRow

SETTINGS = StorageSettings()


def add_project(name: str):  # type: ignore[no-untyped-def]
    return lambda session: session.add(ProjectRow(id=name, name=name, created_at=1))


def names(session: Session) -> set[str]:
    return {row.id for row in session.query(ProjectRow)}


async def test_migrations_build_exactly_the_tables(database: Database, tmp_path: Path) -> None:
    engine = create_engine(database.url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


async def test_a_write_that_raises_changes_nothing(database: Database) -> None:
    def fail(session: Session) -> None:
        session.add(ProjectRow(id="lost", name="lost", created_at=1))
        session.flush()
        raise ValueError("after the write")

    with pytest.raises(ValueError, match="after the write"):
        await database.write(fail)
    assert "lost" not in await database.read(names)


async def test_what_a_read_changes_is_rolled_back(database: Database) -> None:
    await database.write(add_project("kept"))
    await database.read(lambda session: session.execute(text("UPDATE projects SET name = 'x'")))
    assert "kept" == await database.read(lambda s: s.get_one(ProjectRow, "kept").name)


async def test_writes_are_done_in_the_order_they_were_asked_for(database: Database) -> None:
    order: list[int] = []
    await asyncio.gather(
        *(database.write(lambda _, n=n: order.append(n), durable=n % 2 == 0) for n in range(20))
    )
    assert order == list(range(20))


async def test_reopening_keeps_data_and_migrates_nothing(tmp_path: Path) -> None:
    home = tmp_path / "again"
    first = Database.open(home, SETTINGS)
    await first.write(add_project("mine"))
    await first.close()
    second = Database.open(home, SETTINGS)
    assert "mine" in await second.read(names)
    await second.close()


async def test_processes_that_open_a_new_folder_together_both_succeed(tmp_path: Path) -> None:
    home = tmp_path / "shared"
    opened: list[Database] = []
    failures: list[Exception] = []

    def open_it() -> None:
        try:
            opened.append(Database.open(home, SETTINGS))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for database in opened:
        await database.close()


async def test_a_full_disk_loses_nothing_that_was_acknowledged(database: Database) -> None:
    await database.write(add_project("acknowledged"))

    def fill(session: Session) -> None:
        pages = session.execute(text("PRAGMA page_count")).scalar_one()
        session.execute(text(f"PRAGMA max_page_count = {pages + 1}"))
        for n in range(1000):
            session.add(ProjectRow(id=f"p{n}", name="x" * 1000, created_at=1))
        session.flush()

    with pytest.raises(StorageUnavailable, match="full"):
        await database.write(fill)
    assert await database.read(names) == {"proj_default", "acknowledged"}


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    with pytest.raises(StorageUnavailable, match="cannot be created"):
        Database.open(tmp_path / "home", SETTINGS)


async def test_a_folder_that_is_read_only_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Database.open(tmp_path, SETTINGS).close()
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(StorageUnavailable, match="cannot be written: it is read-only"):
        Database.open(tmp_path, SETTINGS)


def test_a_database_that_another_user_has_made_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "localassist.db"
    file.touch()
    with monkeypatch.context() as patch:  # root may write everything
        patch.setattr(os, "access", lambda path, mode: path != file)
        with pytest.raises(StorageUnavailable, match="chown"):
            Database.open(tmp_path, SETTINGS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder another's")
def test_root_makes_no_database_in_the_folder_of_another(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(ConfigError, match="belongs to user 12345"):
        Database.open(tmp_path, SETTINGS)
    assert not list(tmp_path.iterdir())


def test_a_damaged_database_is_refused_in_our_own_words(tmp_path: Path) -> None:
    (tmp_path / "localassist.db").write_bytes(b"this was a database once" * 100)
    with pytest.raises(StorageCorrupt, match="damaged"):
        Database.open(tmp_path, SETTINGS)


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    await Database.open(tmp_path, SETTINGS).close()
    with sqlite3.connect(tmp_path / "localassist.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageCorrupt, match="newer localassist"):
        Database.open(tmp_path, SETTINGS)


@pytest.mark.parametrize("url", ["nonsense", "oracle9://x/y", "mysql+nodriver://x/y"])
def test_an_url_that_cannot_be_used_is_the_operators_error(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"storage\.url"):
        Database.open(tmp_path, StorageSettings(url=url))


async def test_a_locked_database_is_reported_after_the_timeout(tmp_path: Path) -> None:
    database = Database.open(tmp_path, StorageSettings(busy_timeout_seconds=0.1))
    other = sqlite3.connect(tmp_path / "localassist.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="locked"):
        await database.write(add_project("late"))
    assert "late" not in await database.read(names)  # readers are not held up
    other.execute("ROLLBACK")
    other.close()
    await database.write(add_project("late"))
    await database.close()


async def test_a_database_is_opened_and_read_while_another_process_writes(tmp_path: Path) -> None:
    """As an import does for long, all of it in one transaction."""
    settings = StorageSettings(busy_timeout_seconds=0.1)
    await Database.open(tmp_path, settings).close()
    other = sqlite3.connect(tmp_path / "localassist.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    database = Database.open(tmp_path, settings)
    assert "late" not in await database.read(names)
    await database.close()
    other.close()


async def test_writes_that_wait_for_another_process_fail_together(tmp_path: Path) -> None:
    """Not one after the other; and what is asked for later has the whole time again."""
    seconds = 0.5
    database = Database.open(tmp_path, StorageSettings(busy_timeout_seconds=seconds))
    other = sqlite3.connect(tmp_path / "localassist.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    many = [database.write(add_project(f"late {n}"), durable=n % 2 == 0) for n in range(20)]
    refused = await asyncio.gather(*many, return_exceptions=True)
    took = time.monotonic() - began
    assert all(isinstance(error, StorageUnavailable) for error in refused)
    assert seconds <= took < 10 * seconds  # twenty in turn would take twenty times as long
    began = time.monotonic()
    with pytest.raises(StorageUnavailable, match="locked"):
        await database.write(add_project("later"))
    assert time.monotonic() - began >= 0.9 * seconds
    other.execute("ROLLBACK")
    other.close()
    await database.write(add_project("free"))
    assert "free" in await database.read(names)
    await database.close()


async def test_a_killed_process_keeps_what_it_had_committed(tmp_path: Path) -> None:
    program = f"""
import asyncio, os, signal
from pathlib import Path
from localassist.storage.config import StorageSettings
from localassist.storage.database import Database
from localassist.storage.tables import ProjectRow

async def main():
    database = Database.open(Path({str(tmp_path)!r}), StorageSettings())
    for n in range(5):
        await database.write(
            lambda s: s.add(ProjectRow(id=f"p{{n}}", name="x", created_at=1)), durable=n % 2 == 0
        )
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await child.wait() == -9
    database = Database.open(tmp_path, SETTINGS)
    assert {f"p{n}" for n in range(5)} <= await database.read(names)
    await database.close()


async def test_a_commit_is_told_on_the_event_loop(database: Database) -> None:
    told: list[str] = []
    loop = asyncio.get_running_loop()

    def note() -> None:
        assert asyncio.get_running_loop() is loop
        told.append("committed")

    def change(session: Session) -> None:
        after_commit(session, note)
        after_commit(session, note)

    await database.write(change)
    assert told == ["committed"]

    def fail(session: Session) -> None:
        after_commit(session, note)
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest):
        await database.write(fail)
    await database.read(change)
    assert told == ["committed"]
