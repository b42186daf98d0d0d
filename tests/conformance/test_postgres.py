"""A short round through the API on PostgreSQL: see ``tests/runs/test_postgres.py`` for the URL.

SQLite forgives what PostgreSQL does not: types, locks, orders that nobody asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

import localassist.storage.migrations as migrations
from localassist.engine import ScriptedEngine
from localassist.storage.tables import Base
from tests.conformance.conftest import WEATHER, begin
from tests.conformance.serving import MODEL, call, on_socket, scripted_settings
from tests.conformance.wire import check_every_answer, raw
from tests.server.serving import Stage

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]
V1 = {"OpenAI-Beta": "assistants=v1"}


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The empty database, and empty again afterwards."""
    opened = create_engine(os.environ["POSTGRES_TEST_URL"])
    yield opened
    with opened.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    opened.dispose()


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def client(tmp_path: Path, stage: Stage, engine: Engine) -> Iterator[openai.OpenAI]:
    url = engine.url.render_as_string(hide_password=False)
    settings = scripted_settings(tmp_path, storage={"url": url})
    with on_socket(settings, stage) as opened:
        check_every_answer(opened)
        yield opened


def test_every_migration_and_what_they_make(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    for revision in reversed(revisions):
        with engine.begin() as connection:  # one release after the other
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_revision() == revisions[0]
        assert compare_metadata(context, Base.metadata) == []


def test_a_thread_with_calls_files_and_both_versions(client: openai.OpenAI, stage: Stage) -> None:
    stage.engine = ScriptedEngine(call("Paris"), model_id=MODEL, default_reply="It is sunny.")
    talk = begin(client, tools=[WEATHER])
    runs = client.beta.threads.runs
    run: Any = runs.create_and_poll(**talk.ids)
    assert run.status == "requires_action"
    outputs = [
        {"tool_call_id": one.id, "output": "sun"}
        for one in run.required_action.submit_tool_outputs.tool_calls
    ]
    events = list(
        runs.submit_tool_outputs(
            run.id, thread_id=talk.thread_id, tool_outputs=outputs, stream=True
        )
    )
    assert events[-1].event == "thread.run.completed"
    assert talk.texts() == ["How is the day?", "It is sunny."]
    assert len(runs.steps.list(run.id, thread_id=talk.thread_id).data) == 2
    shown = raw(client, "GET", f"/threads/{talk.thread_id}/messages", headers=V1).json()
    assert [message["file_ids"] for message in shown["data"]] == [[], []]
    client.beta.assistants.update(talk.assistant_id, metadata={"a": "1"})
    assert client.beta.assistants.update(talk.assistant_id, metadata={"b": "2"}).metadata
    client.beta.threads.delete(talk.thread_id)
    with pytest.raises(openai.NotFoundError):
        runs.retrieve(run.id, thread_id=talk.thread_id)


def test_files_stores_uploads_and_cursors_of_what_has_gone(client: openai.OpenAI) -> None:
    files = [
        client.files.create(file=(f"{n}.txt", f"Lighthouse {n}.".encode()), purpose="assistants")
        for n in range(5)
    ]
    upload = client.uploads.create(
        filename="b.txt", purpose="assistants", bytes=4, mime_type="text/plain"
    )
    part = client.uploads.parts.create(upload.id, data=b"text")
    assert client.uploads.complete(upload.id, part_ids=[part.id]).status == "completed"
    ids = [file.id for file in files]
    store = client.vector_stores.create(file_ids=ids)
    for file_id in ids:
        client.vector_stores.files.poll(file_id, vector_store_id=store.id)
    assert list(client.vector_stores.search(store.id, query="lighthouse"))
    page = client.files.list(limit=3, order="asc")
    client.files.delete(page.data[-1].id)
    rest = client.files.list(after=page.data[-1].id, order="asc")
    assert [file.filename for file in rest.data] == ["3.txt", "4.txt", "b.txt"]
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 4
