"""Backups of data folders of every earlier release, restored by this one."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from localassist.archive.backup import create_backup
from localassist.archive.restore import restore, verify
from localassist.storage import migrations
from localassist.storage.blobs import BlobStore
from localassist.storage.snapshot import content_of
from localassist.storage.tables import DEFAULT_PROJECT
from tests.archive.conftest import HANDBOOK, Opened, texts

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

CONFIG = Config()
CONFIG.set_main_option("script_location", str(Path(migrations.__file__).parent))
REVISIONS = [each.revision for each in ScriptDirectory.from_config(CONFIG).walk_revisions()][1:]
SHA256 = hashlib.sha256(HANDBOOK).hexdigest()
TEXT = '[{"type": "text", "text": {"value": "Hello.", "annotations": []}}]'
ROWS: dict[str, dict[str, Any]] = {
    "assistants": {"id": "asst_old", "model": "gpt-4o", "tools": "[]", "name": "Ada"},
    "threads": {"id": "thread_old"},
    "messages": {
        "id": "msg_old",
        "thread_id": "thread_old",
        "role": "user",
        "status": "completed",
        "content": TEXT,
        "attachments": "[]",
    },
    "files": {
        "id": "file-old",
        "filename": "handbook.md",
        "purpose": "assistants",
        "sha256": SHA256,
        "bytes": len(HANDBOOK),
    },
}


def put(database: sqlite3.Connection, table: str, known: dict[str, Any]) -> None:
    """A row with what every column that must have something is given."""
    columns = {row[1]: row for row in database.execute(f"PRAGMA table_info({table})")}
    row = {"project_id": DEFAULT_PROJECT, "created_at": 1_700_000_000, **known}
    for name, (_, _, kind, is_needed, default, is_key) in columns.items():
        if is_needed and not is_key and default is None and name not in row:
            row[name] = {"JSON": "[]" if name.endswith("_ids") else "{}"}.get(kind, 0)
    names = [name for name in row if name in columns]
    marks = ", ".join("?" * len(names))
    database.execute(
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", [row[name] for name in names]
    )


def old_folder(home: Path, revision: str) -> Path:
    """A data folder as the release with this schema left it."""
    home.mkdir()
    engine = create_engine(f"sqlite:///{home / 'localassist.db'}")
    with engine.begin() as connection:
        CONFIG.attributes["connection"] = connection
        command.upgrade(CONFIG, revision)
    engine.dispose()
    with closing(sqlite3.connect(home / "localassist.db")) as database:
        for table, row in ROWS.items():
            put(database, table, row)
        database.commit()
    path = BlobStore(home / "blobs").path(SHA256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(HANDBOOK)
    return home


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_backup_of_an_older_release_is_brought_up_to_date(
    tmp_path: Path, opened: Opened, revision: str
) -> None:
    made = create_backup(old_folder(tmp_path / "old", revision), tmp_path / "old.tar")
    assert made.head.schema_revision == revision and not made.head.missing
    assert verify(made.path) == made.head
    restore(made.path, tmp_path / "new")
    with opened(tmp_path / "new") as client:
        assert client.beta.assistants.retrieve("asst_old").name == "Ada"
        assert texts(client, "thread_old") == [("user", "Hello.")]
        assert client.files.content("file-old").read() == HANDBOOK
        run = client.beta.threads.runs.create_and_poll(
            thread_id="thread_old", assistant_id="asst_old"
        )
        assert run.status == "completed", run.last_error
    assert content_of(tmp_path / "new" / "localassist.db").revision not in REVISIONS
    assert content_of(tmp_path / "old" / "localassist.db").revision == revision
