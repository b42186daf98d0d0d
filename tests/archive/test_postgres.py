"""Exports and imports on PostgreSQL: see ``tests/runs/test_postgres.py`` for the URL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from localassist.engine import ScriptedEngine
from localassist.errors import StorageUnavailable
from localassist.storage.tables import Base
from tests.archive import hosted
from tests.archive.conftest import HANDBOOK, Opened, ask_weather, fill, texts
from tests.archive.moving import everything, export, ingested, load
from tests.waiting import until

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]
AT_ONCE = 4


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes data folders whose settings name the database."""
    url = os.environ["POSTGRES_TEST_URL"]

    def make(name: str) -> Path:
        home = tmp_path / name
        home.mkdir()
        (home / "localassist.toml").write_text(f'[storage]\nurl = "{url}"\n')
        return home

    yield make
    engine = create_engine(url)
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    engine.dispose()


def test_an_export_moves_in_and_out(
    tmp_path: Path, opened: Opened, folder: Callable[[str], Path]
) -> None:
    home, archive, again = folder("data"), tmp_path / "in.zip", tmp_path / "out.zip"
    engine = ScriptedEngine(default_reply="It is four.")
    with opened(tmp_path / "before", engine) as client:
        ids = fill(client)
        threads = [ids["thread"], ask_weather(client, ids["assistant"], engine).thread_id]
        before = everything(client, threads)
    exported = export(tmp_path / "before", archive)
    dry = load(home, archive, is_dry=True)
    done = load(home, archive)
    assert not done.problems and dry.tally == done.tally and done.waiting == 1
    with opened(home) as client:
        ingested(client, ids["store"])
        assert everything(client, threads) == before
        assert client.files.content(ids["file"]).read() == HANDBOOK
        run = client.beta.threads.runs.create_and_poll(
            thread_id=ids["thread"], assistant_id=ids["assistant"]
        )
        assert run.status == "completed", run.last_error
        client.beta.threads.delete(ids["thread"])
    assert load(home, archive, policy="replace").tally["threads"] == {"new": 1, "replaced": 1}
    assert export(home, again).manifest.counts == exported.manifest.counts
    load(tmp_path / "after", again)
    with opened(tmp_path / "after") as client:
        ingested(client, ids["store"])
        assert everything(client, threads) == before


def test_a_hosted_dump(tmp_path: Path, opened: Opened, folder: Callable[[str], Path]) -> None:
    dump, home = hosted.write(tmp_path / "dump"), folder("data")
    assert load(home, dump).tally["messages"] == {"new": 4}
    assert "is there already" in load(home, dump).problems[0]
    assert load(home, dump, policy="skip").tally["threads"] == {"skipped": 2}
    assert load(home, dump, policy="replace").tally["threads"] == {"replaced": 2}
    other = load(home, dump, project="another", policy="replace")
    assert all("another project" in problem for problem in other.problems)
    with opened(home) as client:
        assert [role for role, _ in texts(client, hosted.THREAD)] == ["user", "assistant", "user"]
        ingested(client, hosted.STORE)
        assert client.vector_stores.search(hosted.STORE, query="leave").data


def test_of_imports_at_once_one_is_made(tmp_path: Path, folder: Callable[[str], Path]) -> None:
    """Also of the tables, which are not there yet."""
    dump = hosted.write(tmp_path / "dump")
    homes = [folder(f"data{number}") for number in range(AT_ONCE)]

    def attempt(home: Path) -> str:
        try:
            done = load(home, dump)
        except StorageUnavailable as error:
            return error.message
        return "refused" if done.problems else "made"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = list(pool.map(attempt, homes))
    assert ends.count("made") == 1
    assert set(ends) <= {"made", "refused", "Another import is under way: wait for its end."}


def is_waited_for(engine: Engine) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with engine.connect() as connection:
        return bool(connection.scalar(text(waiting)))


def test_a_run_that_begins_meanwhile_is_not_replaced(
    tmp_path: Path, folder: Callable[[str], Path]
) -> None:
    dump, home = hosted.write(tmp_path / "dump"), folder("data")
    load(home, dump)
    engine = create_engine(os.environ["POSTGRES_TEST_URL"])
    with ThreadPoolExecutor(1) as pool, engine.connect() as other:
        of = {"thread": hosted.THREAD}
        other.execute(text("SELECT id FROM threads WHERE id = :thread FOR UPDATE"), of)
        begun = text("UPDATE runs SET status = 'in_progress' WHERE thread_id = :thread")
        assert other.execute(begun, of).rowcount == 1
        importing = pool.submit(load, home, dump, policy="replace")
        asyncio.run(until(lambda: is_waited_for(engine) or importing.done()))
        other.commit()
        problems = importing.result().problems
    engine.dispose()
    assert [f"A run is active on {hosted.THREAD}" in problem for problem in problems] == [True]
