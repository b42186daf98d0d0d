"""A quick look at names in a data folder's database, for somebody who waits between two keys.

Reads SQLite through the standard library: nothing is opened for writing, nothing is migrated, and
nothing is waited for. Raises OSError and sqlite3.Error, for instance where there is no database.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from localassist.storage.config import DEFAULT_PROJECT, StorageSettings

_THREADS = """
SELECT t.id, t.metadata,
       (SELECT content FROM messages AS m WHERE m.thread_id = t.id ORDER BY m.seq LIMIT 1)
FROM threads AS t WHERE t.project_id = ? ORDER BY t.created_at DESC, t.seq DESC LIMIT ?
"""
_ASSISTANTS = """
SELECT name, metadata FROM assistants
WHERE project_id = ? AND name IS NOT NULL ORDER BY created_at DESC, seq DESC LIMIT ?
"""
_MOST = 200


def recent_threads(
    home: Path, settings: StorageSettings, *, limit: int = 20
) -> list[tuple[str, str]]:
    """Ids of the newest threads, each with its title, else what was said first."""
    found = []
    for thread_id, metadata, content in _rows(home, settings, _THREADS, limit):
        title = json.loads(metadata).get("title")
        parts = json.loads(content or "[]")
        said = next((part["text"]["value"] for part in parts if part["type"] == "text"), "")
        found.append((thread_id, title or said))
    return found


def assistant_names(home: Path, settings: StorageSettings) -> list[str]:
    """Names of the newest assistants but those made for one conversation."""
    rows = _rows(home, settings, _ASSISTANTS, _MOST)
    names = [name for name, metadata in rows if "thread_id" not in json.loads(metadata)]
    return list(dict.fromkeys(names))


def _rows(home: Path, settings: StorageSettings, query: str, limit: int) -> Sequence[Any]:
    if settings.url is not None:  # elsewhere, and not to be asked between two keys
        return []
    address = f"{(home / 'localassist.db').resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, timeout=0.1)) as database:
        return database.execute(query, (DEFAULT_PROJECT, limit)).fetchall()
