"""A database looked at while others work on it, or while nobody does. Nothing is written, not even
the files that SQLite keeps beside a database."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy import inspect as tables_of
from sqlalchemy.exc import DatabaseError

from localassist.errors import StorageCorrupt, StorageUnavailable
from localassist.offline import allow
from localassist.storage.config import StorageSettings
from localassist.storage.database import URL_ERRORS, unusable_url
from localassist.storage.revisions import known_revisions
from localassist.storage.tables import ACTIVE_STATUSES

DATABASE = "localassist.db"
_WITH_TIMES = ("runs", "messages", "threads", "assistants", "files", "vector_stores")
_CONTENTS = ("files", "upload_parts")
_CONNECT_SECONDS = 5
_STEPS = 20_000  # of SQLite's machine between two looks at the time


def database_file(home: Path, settings: StorageSettings) -> Path | None:
    """The file of the database; None where it is on a server."""
    if settings.url is None:
        return home / DATABASE
    scheme, _, path = settings.url.partition(":///")
    return Path(path) if scheme.startswith("sqlite") and path else None


@dataclass(frozen=True, slots=True)
class Schema:
    """``is_known``: this release can read it, after ``migrations`` changes."""

    revision: str | None
    is_known: bool
    migrations: int


class Inspection:
    """An open database; made with ``inspect``. What a method asks may be missing in an older
    schema, and then counts as nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = frozenset(tables_of(connection).get_table_names())

    def schema(self) -> Schema:
        revision = self._value("alembic_version", "SELECT version_num FROM alembic_version")
        known = None if revision is None else str(revision)
        all_known = known_revisions()
        if known is None:
            return Schema(None, True, len(all_known))
        if known not in all_known:
            return Schema(known, False, 0)
        return Schema(known, True, len(all_known) - 1 - all_known.index(known))

    def newest(self) -> int | None:
        """When the newest object was made."""
        times = [self._value(name, f"SELECT max(created_at) FROM {name}") for name in _WITH_TIMES]
        return max((int(str(one)) for one in times if one is not None), default=None)

    def has_keys(self) -> bool:
        """Whether a key was ever made: from then on nobody comes in without one."""
        return bool(self._value("api_keys", "SELECT count(*) FROM api_keys"))

    def runs(self) -> dict[str, int]:
        """How many runs have not ended, by status."""
        if "runs" not in self._tables:
            return {}
        among = ", ".join(f"'{status}'" for status in ACTIVE_STATUSES)
        count = f"SELECT status, count(*) FROM runs WHERE status IN ({among}) GROUP BY status"
        return {
            str(status): int(number) for status, number in self._connection.execute(text(count))
        }

    def contents(self) -> dict[str, int]:
        """The sizes of the contents that rows name, by SHA-256."""
        found: dict[str, int] = {}
        for name in _CONTENTS:
            if name in self._tables:
                named = f"SELECT DISTINCT sha256, bytes FROM {name} WHERE sha256 != ''"
                for sha256, size_bytes in self._connection.execute(text(named)):
                    found[str(sha256)] = int(size_bytes)
        return found

    def segments(self) -> dict[str, str]:
        """The keys of the segments that completed files of stores need; a store of each."""
        if "vector_store_files" not in self._tables:
            return {}
        needed = (
            "SELECT segment_key, min(store_id) FROM vector_store_files "
            "WHERE status = 'completed' AND segment_key IS NOT NULL GROUP BY segment_key"
        )
        return {str(key): str(store) for key, store in self._connection.execute(text(needed))}

    def damage(self, seconds: float) -> str | None:
        """The first thing that is wrong with SQLite's pages and indexes; None where nothing is, and
        on other databases. Raises TimeoutError when ``seconds`` were not enough."""
        driver = self._connection.connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            return None
        end = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        try:
            said = str(driver.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise TimeoutError from error
            raise
        finally:
            driver.set_progress_handler(None, 0)
        return None if said == "ok" else said

    def _value(self, table: str, query: str) -> object:
        if table not in self._tables:
            return None
        return self._connection.execute(text(query)).scalar()


@contextmanager
def inspect(home: Path, settings: StorageSettings) -> Iterator[Inspection | None]:
    """The database; None where there is none yet. Raises StorageUnavailable, StorageCorrupt and
    ConfigError."""
    file = database_file(home, settings)
    if file is not None and not file.exists():
        yield None
        return
    allow(settings.url)
    try:
        if file is not None:
            engine = create_engine("sqlite://", poolclass=NullPool, creator=_reader(file))
        else:
            timeout = {"connect_timeout": _CONNECT_SECONDS}
            engine = create_engine(settings.url or "", poolclass=NullPool, connect_args=timeout)
        with engine.connect() as connection:
            yield Inspection(connection)
    except URL_ERRORS as error:
        raise unusable_url(error) from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        said = str(getattr(error, "orig", error))
        kind = StorageUnavailable if "unable to open" in said or file is None else StorageCorrupt
        raise kind(f"The database cannot be read: {said}.") from error


def _reader(file: Path) -> Callable[[], sqlite3.Connection]:
    """Without a log beside it nobody has the database open, and SQLite would make one to read."""

    def connect() -> sqlite3.Connection:
        is_open = file.with_name(f"{file.name}-wal").exists()
        how = "mode=ro" if is_open else "immutable=1"
        return sqlite3.connect(
            f"{file.absolute().as_uri()}?{how}", uri=True, timeout=_CONNECT_SECONDS
        )

    return connect
