"""Event logs and databases that were damaged from outside, and a clock that is set back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from localassist import clock
from localassist.engine import ScriptedEngine
from localassist.errors import StorageCorrupt
from localassist.runtime import Runtime
from tests.faults.children import Nursery
from tests.faults.invariants import violations
from tests.faults.stories import Api
from tests.faults.test_disk import served
from tests.runs.conftest import OpenRuntime, Talk, begin
from tests.runs.test_executor import LONG, until_text

DELTAS = "run_id = ? AND name = 'thread.message.delta'"


def change(home: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(home / "localassist.db")) as database, database:
        database.execute(statement, values)


async def interrupted(
    open_scripted: OpenRuntime, then: Callable[[Path, str], None]
) -> tuple[Talk, str]:
    """A run that was stopped in the middle of its answer, and what happened to it after that."""
    slow = ScriptedEngine(LONG, model_id="scripted", delay_seconds=0.01)
    async with open_scripted(slow) as runtime:
        talk = await begin(runtime)
        run = await talk.start()
        await until_text(talk, run.id)
        await asyncio.sleep(0.1)
    then(runtime.settings.home, run.id)
    return talk, run.id


async def end(talk: Talk, runtime: Runtime, run_id: str) -> str:
    talk.runtime = runtime
    for _ in range(500):
        run = (await runtime.runs.retrieve("proj_default", talk.thread_id, run_id)).status
        if run not in ("queued", "in_progress"):
            return run
        await asyncio.sleep(0.02)
    raise AssertionError("the run does not end")


async def test_a_truncated_log_costs_only_what_is_said_again(open_scripted: OpenRuntime) -> None:
    def truncate(home: Path, run_id: str) -> None:
        newest = f"SELECT max(seq) - 1 FROM run_events WHERE {DELTAS}"
        change(
            home, f"DELETE FROM run_events WHERE run_id = ? AND seq > ({newest})", run_id, run_id
        )

    talk, run_id = await interrupted(open_scripted, truncate)
    async with open_scripted(ScriptedEngine(model_id="scripted", default_reply=LONG)) as runtime:
        assert await end(talk, runtime, run_id) == "completed"
        assert (await talk.texts())[-1] == ("assistant", LONG)
        await talk.say("And then?")


async def test_a_garbled_log_ends_its_run_and_frees_the_thread(open_scripted: OpenRuntime) -> None:
    def garble(home: Path, run_id: str) -> None:
        change(home, f"UPDATE run_events SET data = '{{\"id\": ' WHERE {DELTAS}", run_id)

    talk, run_id = await interrupted(open_scripted, garble)
    async with open_scripted(ScriptedEngine(model_id="scripted", default_reply=LONG)) as runtime:
        assert await end(talk, runtime, run_id) == "completed"
        assert (await talk.texts())[-1] == ("assistant", LONG)
        with pytest.raises(StorageCorrupt, match="cannot be read"):
            await talk.events(await runtime.runs.retrieve("proj_default", talk.thread_id, run_id))
        await talk.say("And then?")
        assert (await talk.finish()).status == "completed"


async def test_a_clock_that_is_set_back_keeps_the_order(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine("First answer.", "Second answer.", model_id="scripted")
    async with open_scripted(engine) as runtime:
        talk = await begin(runtime, "First question")
        first = await talk.finish()
        then = clock.now() - 86_400
        monkeypatch.setattr(clock, "now", lambda: then)
        await talk.say("Second question")
        second = await talk.finish()
        assert (first.status, second.status) == ("completed", "completed")
        told = [text for _, text in await talk.texts()]
        assert told == ["First question", "First answer.", "Second question", "Second answer."]
        assert second.created_at >= first.created_at
    assert violations(runtime.settings.home) == []


def test_a_damaged_page_is_told_and_harms_nothing_else(nursery: Nursery, tmp_path: Path) -> None:
    with served(nursery, tmp_path) as api:
        thread = f"/threads/{api.post('/threads', messages=[_said('Kept.')])['id']}"
        assistant = f"/assistants/{api.post('/assistants', model='gpt-4o')['id']}"
    database = tmp_path / "localassist.db"
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = opened.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages'")
        (size,) = opened.execute("PRAGMA page_size").fetchone()
    whole = database.read_bytes()
    start = (page[0] - 1) * size
    database.write_bytes(whole[:start] + b"\xaa" * size + whole[start + size :])
    with served(nursery, tmp_path) as api:
        answer = api._http.get(f"{thread}/messages")
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error" and "malformed" not in answer.text
        assert "retry-after" not in answer.headers  # it does not go away by itself
        api.send("GET", assistant)
    database.write_bytes(whole)
    for rest in tmp_path.glob("localassist.db-*"):
        rest.unlink()
    with served(nursery, tmp_path) as api:
        assert _texts(api, thread) == ["Kept."]
    assert violations(tmp_path) == []


@pytest.mark.parametrize("has_index", [True, False])
def test_without_its_write_ahead_log_a_database_is_whole(
    nursery: Nursery, tmp_path: Path, has_index: bool
) -> None:
    """What stood in the log alone is gone, which nothing can tell; all that was there before is
    there, and the service works."""
    with served(nursery, tmp_path) as api:
        thread = f"/threads/{api.post('/threads', messages=[_said('Kept.')])['id']}"
        change(tmp_path, "PRAGMA wal_checkpoint(TRUNCATE)")
        api.post(f"{thread}/messages", **_said("Lost?"))
    (tmp_path / "localassist.db-wal").unlink()
    if not has_index:
        (tmp_path / "localassist.db-shm").unlink()
    with served(nursery, tmp_path) as api:
        assert _texts(api, thread) == ["Kept."]
        api.post(f"{thread}/messages", **_said("New."))
        assert _texts(api, thread) == ["Kept.", "New."]
    assert violations(tmp_path) == []


def _said(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _texts(api: Api, thread: str) -> list[str]:
    page = api.send("GET", f"{thread}/messages?order=asc")
    return [one["content"][0]["text"]["value"] for one in page["data"]]
