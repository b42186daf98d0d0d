"""A consistent copy of the SQLite database while others write to it, and what a copy holds.

The copy is of one moment: a read transaction stays open until the last page is copied, and under a
write-ahead log it keeps nobody from writing. Knows nothing of the files that rows name.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from localassist.errors import StorageCorrupt, StorageUnavailable
from localassist.storage.tables import Base

_PAGES = 2048
_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DatabaseContent:
    """What a database file holds. ``revision`` is that of its schema, ``counts`` the rows of each
    table, ``blobs`` the sizes of the contents that rows name, by SHA-256."""

    revision: str | None
    counts: Mapping[str, int]
    blobs: Mapping[str, int]
    segments: frozenset[str]


def copy_database(source: Path, target: Path, on_progress: Callable[[int, int], None]) -> None:
    """Copy the database as it is at this moment to ``target``, which must not exist;
    ``on_progress`` is told the pages copied and the pages of all. Raises StorageUnavailable and
    StorageCorrupt."""

    def report(_status: int, remaining: int, total: int) -> None:
        on_progress(total - remaining, total)

    with _opened(source, "rw") as live, _opened(target, "rwc") as copy:
        live.execute("BEGIN")
        live.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on one moment
        live.backup(copy, pages=_PAGES, progress=report)
        live.rollback()
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode=DELETE")


def content_of(path: Path) -> DatabaseContent:
    """Look into a copy. Raises StorageCorrupt when it is no database."""
    with _opened(path, "ro") as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        counts = {
            name: int(database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])
            for name in sorted(Base.metadata.tables)
            if name in tables
        }
        revision = None
        if "alembic_version" in tables:
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
            revision = None if row is None else str(row[0])
        blobs: dict[str, int] = {}
        for name in ("files", "upload_parts"):
            if name in tables:
                named = database.execute(f"SELECT sha256, bytes FROM {name} WHERE sha256 != ''")
                blobs.update(named.fetchall())
        segments: list[str] = []
        if "vector_store_files" in tables:
            keys = "SELECT DISTINCT segment_key FROM vector_store_files"
            segments = [row[0] for row in database.execute(keys) if row[0] is not None]
    return DatabaseContent(revision, counts, blobs, frozenset(segments))


def check_database(path: Path) -> None:
    """Read all of a copy. Raises StorageCorrupt with the first thing that is wrong."""
    with _opened(path, "ro") as database:
        # Ours has neither, and what they do to the rows of the next write nobody has asked for.
        acting = "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')"
        strange = database.execute(acting).fetchone()
        if strange is not None:
            raise StorageCorrupt(f"The database holds a {strange[0]} that is not localassist's.")
        said = str(database.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if said != "ok":
            raise StorageCorrupt(f"The database is damaged: {said}.")
        loose = database.execute("PRAGMA foreign_key_check").fetchone()
        if loose is not None:
            raise StorageCorrupt(f"The database is damaged: a row of {loose[0]} belongs nowhere.")


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    try:
        address = f"{path.absolute().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_SECONDS)) as connection:
            connection.isolation_level = None
            connection.execute("PRAGMA trusted_schema=OFF")
            yield connection
    except sqlite3.OperationalError as error:
        raise StorageUnavailable(f"The database {path} cannot be used: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise StorageCorrupt(f"The database {path} is damaged: {error}.") from error
