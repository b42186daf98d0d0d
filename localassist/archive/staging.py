"""Objects of an import that wait on disk until all of them are known.

An import is checked whole before any of it is written, and it may be larger than memory. Objects
wait in a database of their own, which goes with its folder; what memory holds at a time is one
thread. Knows nothing of what is in the data folder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from threading import Lock
from typing import Any

from localassist.errors import StorageUnavailable

_CACHE_KIB = 16 * 1024
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Staged:
    """An object in JSON, and where it stood. ``owner`` is the thread or vector store it belongs to,
    ``list_number`` tells lists apart and ``position`` what stood in one of them."""

    kind: str
    id: str
    owner: str
    run_id: str
    created_at: int
    role: str
    place: str
    list_number: int
    position: int
    is_page: bool
    body: str

    @property
    def key(self) -> str:
        """A file may be in several stores; every other id is there once."""
        return f"{self.id}/{self.owner}" if self.kind == "vector_store.file" else self.id


_NAMES = ", ".join(each.name for each in fields(Staged))
_ALL = f"SELECT {_NAMES} FROM objects"
_TABLES = f"""
CREATE TABLE objects ({_NAMES}, key, UNIQUE (kind, key));
CREATE INDEX by_owner ON objects (kind, owner, created_at);
"""
_PUT = f"INSERT OR IGNORE INTO objects VALUES ({', '.join('?' * (len(fields(Staged)) + 1))})"
_THREADS = """
SELECT id, created_at, 0 FROM objects WHERE kind = 'thread'
UNION ALL
SELECT owner, min(created_at), 1 FROM objects AS inner
WHERE kind IN ('thread.message', 'thread.run') AND NOT EXISTS (
  SELECT 1 FROM objects WHERE kind = 'thread' AND key = inner.owner
)
GROUP BY owner
ORDER BY 2, 1
"""
_LOST_STEPS = """
SELECT count(*) FROM objects AS step WHERE kind = 'thread.run.step' AND NOT EXISTS (
  SELECT 1 FROM objects WHERE kind = 'thread.run' AND key = step.run_id
)
"""
_STRAY_STEPS = """
SELECT step.place, run.id FROM objects AS step JOIN objects AS run
ON run.kind = 'thread.run' AND run.key = step.run_id
WHERE step.kind = 'thread.run.step' AND step.owner != run.owner
"""


class Staging:
    """One import's objects. Who is interrupted may close it under a thread that still works with
    it, which is told so by its next call: sqlite3 itself crashes when a connection is closed in the
    middle of a statement."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = Lock()

    def put(self, staged: Staged) -> Staged | None:
        """Keep an object; the one that has its id already, which then stays."""
        values = (*astuple(staged), staged.key)
        with self._lock:
            is_new = self._connection.execute(_PUT, values).rowcount
        return None if is_new else self.one(staged.kind, staged.key)

    def one(self, kind: str, key: str) -> Staged | None:
        rows = self._rows(f"{_ALL} WHERE kind = ? AND key = ?", kind, key)
        return Staged(*rows[0]) if rows else None

    def of_kind(self, kind: str) -> list[Staged]:
        """All of a kind, oldest first."""
        return in_order([Staged(*row) for row in self._rows(f"{_ALL} WHERE kind = ?", kind)])

    def of_owner(self, kind: str, owner: str) -> list[Staged]:
        """What belongs to a thread or a store, oldest first."""
        rows = self._rows(f"{_ALL} WHERE kind = ? AND owner = ?", kind, owner)
        return in_order([Staged(*row) for row in rows])

    def threads(self) -> Iterator[tuple[str, int, bool]]:
        """Ids of threads, oldest first, since when they are, and whether they are only named by
        what belongs to them."""
        for thread_id, created_at, is_made in self._each(_THREADS):
            yield thread_id, created_at, bool(is_made)

    def ids(self, kind: str) -> Iterator[tuple[str, str]]:
        """Ids and owners of a kind."""
        yield from self._each("SELECT id, owner FROM objects WHERE kind = ?", kind)

    def lost_steps(self) -> int:
        """How many steps have no run."""
        return int(self._rows(_LOST_STEPS)[0][0])

    def stray_steps(self) -> list[tuple[str, str]]:
        """Places of steps whose run is in another thread, and that run."""
        return self._rows(_STRAY_STEPS)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _rows(self, query: str, *values: str) -> list[Any]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    def _each(self, query: str, *values: str) -> Iterator[Any]:
        with self._lock:
            cursor = self._connection.execute(query, values)
            rows = cursor.fetchmany(_ROWS_AT_ONCE)
        while rows:
            yield from rows
            with self._lock:
                rows = cursor.fetchmany(_ROWS_AT_ONCE)


@contextmanager
def opened_staging(folder: Path) -> Iterator[Staging]:
    """In a folder that is removed afterwards. Raises StorageUnavailable when the disk fails, also
    during the work inside."""
    try:
        connection = sqlite3.connect(folder / "objects", check_same_thread=False)
        with closing(Staging(connection)) as staging:
            connection.isolation_level = None
            # Nothing in it outlives the import.
            for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
                connection.execute(f"PRAGMA {setting}")
            connection.executescript(_TABLES)
            connection.execute("BEGIN")
            yield staging
    except sqlite3.Error as error:
        raise StorageUnavailable(f"Objects cannot be kept in {folder.parent}: {error}.") from error


def in_order(objects: list[Staged]) -> list[Staged]:
    """Oldest first. Of one second, those of a list in its order, whichever way round it is."""
    lists: dict[int, list[Staged]] = {}
    for each in objects:
        lists.setdefault(each.list_number, []).append(each)
    sign = {number: -1 if is_newest_first(members) else 1 for number, members in lists.items()}

    def key(each: Staged) -> tuple[int, int, int]:
        way = sign[each.list_number]
        return each.created_at, way * each.list_number, way * each.position

    return sorted(objects, key=key)


def is_newest_first(members: list[Staged]) -> bool:
    """Lists of the API are newest first unless it was asked otherwise. In one second nobody can
    tell, but that a question comes before its answer."""
    first = min(members, key=lambda each: each.position)
    last = max(members, key=lambda each: each.position)
    if first.created_at != last.created_at:
        return first.created_at > last.created_at
    roles = first.role, last.role
    return roles == ("assistant", "user") or (first.is_page and roles != ("user", "assistant"))
