"""Runs whose stores still have files in progress: they are waited for when they are missed, and an
answer never says that the documents hold nothing as long as some of them have not been read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from localassist import clock
from localassist.engine import ScriptedEngine
from localassist.schemas.vector_stores import StoreFileCreate
from tests.runs.conftest import OpenRuntime, P, Talk
from tests.runs.documents import HOURS
from tests.runs.test_cited_answers import SENTENCE, last_text
from tests.runs.test_file_search import SEARCH, prompt, talking

UNREAD = (
    "The documents that have been read so far hold nothing about this. "
    "2 files are still being read."
)


async def leave_unread(talk: Talk, count: int) -> None:
    """Files in the assistant's store whose ingest never ends, because it has been stopped."""
    await talk.runtime.ingest.close()
    assistant = await talk.runtime.assistants.retrieve(P, talk.assistant_id)
    (store_id,) = assistant.tool_resources.dump()["file_search"]["vector_store_ids"]
    for _ in range(count):
        file = await talk.runtime.files.create(
            P, filename="a.txt", purpose="assistants", chunks=chunks()
        )
        await talk.runtime.vector_stores.attach(P, store_id, StoreFileCreate(file_id=file.id))


async def chunks() -> AsyncIterator[bytes]:
    yield b"text"


def on_wait(talk: Talk, read: Callable[[], None] = lambda: None) -> list[float]:
    """Have ``read`` be what happens while a run waits for files; the waits so far, in seconds."""
    waits: list[float] = []

    async def wait(store_ids: Any, seconds: float) -> None:
        waits.append(seconds)
        read()

    talk.runtime.runs._executor._loop._searcher._wait_for_files = wait
    return waits


async def test_files_of_an_assistants_store_are_waited_for_when_they_are_missed(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(model_id="scripted")
    async with talking(open_scripted, engine, tool_mode="guided") as (talk, library):
        library.texts = {"file-empty": "Nothing of interest."}
        await leave_unread(talk, 1)

        def read() -> None:
            library.texts = {"file-hours": HOURS}

        waits = on_wait(talk, read)
        run = await talk.finish()
        assert SENTENCE in (await last_text(talk, run))["value"]
        assert len(waits) == 1 and 50 < waits[0] <= 60


async def test_a_question_that_can_be_answered_waits_for_no_files(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(model_id="scripted")
    async with talking(open_scripted, engine, tool_mode="guided") as (talk, _):
        await leave_unread(talk, 2)
        waits = on_wait(talk)
        run = await talk.finish()
        assert SENTENCE in (await last_text(talk, run))["value"]
        assert waits == []


@pytest.mark.parametrize("seconds", [0, 60])
async def test_nothing_is_said_to_be_missing_while_files_are_read(
    open_scripted: OpenRuntime, seconds: float
) -> None:
    """Quoted for; all patience of a run is spent once."""
    engine = ScriptedEngine(model_id="scripted")
    runs = {"poll_seconds": 0.05, "flush_seconds": 0.005, "file_wait_seconds": seconds}
    options = {"tool_mode": "guided", "runs": runs}
    async with talking(open_scripted, engine, **options) as (talk, library):
        library.texts = {"file-empty": "Nothing of interest."}
        await leave_unread(talk, 2)
        waits = on_wait(talk)
        run = await talk.finish()
        assert await last_text(talk, run) == {"value": UNREAD, "annotations": []}
        assert len(waits) == (1 if seconds else 0)


async def test_files_that_take_long_are_not_waited_for_again_and_again(
    open_scripted: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or every question of the next hour would take a minute."""
    engine = ScriptedEngine(model_id="scripted")
    async with talking(open_scripted, engine, tool_mode="guided") as (talk, library):
        library.texts = {}
        await leave_unread(talk, 2)
        waits = on_wait(talk)
        later = clock.now() + 61
        monkeypatch.setattr(clock, "now", lambda: later)
        run = await talk.finish()
        assert (await last_text(talk, run))["value"] == UNREAD
        assert waits == []


async def test_a_model_that_writes_itself_is_told_of_unread_files(
    open_scripted: OpenRuntime,
) -> None:
    engine = ScriptedEngine(SEARCH, "I cannot tell yet.", model_id="scripted")
    async with talking(open_scripted, engine) as (talk, library):
        library.texts = {}
        await leave_unread(talk, 1)
        on_wait(talk)
        await talk.finish()
        assert "No passages were found. 1 file is still being read." in prompt(engine)
