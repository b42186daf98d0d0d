"""The same store on PostgreSQL: ``POSTGRES_TEST_URL=postgresql+psycopg://… pytest -m postgres``.

The URL must name an empty database; its tables are dropped afterwards.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from localassist.engine import ScriptedEngine
from localassist.errors import InvalidRequest
from localassist.storage.tables import Base
from tests.runs.conftest import OpenRuntime, P, begin

pytestmark = pytest.mark.postgres


@pytest.fixture
def url() -> Iterator[str]:
    url = os.environ["POSTGRES_TEST_URL"]
    yield url
    engine = create_engine(url)
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    engine.dispose()


async def test_two_processes_share_a_database(open_scripted: OpenRuntime, url: str) -> None:
    engine = ScriptedEngine(model_id="scripted", default_reply="done")
    storage = {"url": url}
    async with (
        open_scripted(engine, storage=storage) as one,
        open_scripted(engine, storage=storage) as two,
    ):
        talks = [await begin(one) for _ in range(8)]
        runs = await asyncio.gather(*(talk.start() for talk in talks))
        for talk, run in zip(talks, runs, strict=True):
            talk.runtime = two
            assert (await talk.events(run))[-1].name == "thread.run.completed"
            assert (await talk.texts())[-1] == ("assistant", "done")
        race = await asyncio.gather(*(talks[0].start() for _ in range(8)), return_exceptions=True)
        assert sum(isinstance(result, InvalidRequest) for result in race) == 7
        await two.threads.delete(P, talks[1].thread_id)
