"""The database: two connection pools, transactions in worker threads, errors in our own words.

A transaction is a plain function over a ``Session`` that runs whole in a worker thread, so
repositories stay synchronous, nothing blocks the event loop, and a transaction costs one
hand-over instead of one per statement. All writes of a process go through one thread: their order
is the order of the calls. Knows nothing of what the tables mean.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, select, text
from sqlalchemy import inspect as tables_of
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from localassist.errors import ConfigError, ShuttingDown, StorageCorrupt, StorageUnavailable
from localassist.offline import allow
from localassist.storage.config import StorageSettings
from localassist.storage.patience import Patience
from localassist.storage.revisions import MIGRATIONS, is_known_revision, newest_revision

__all__ = [
    "MOST_LOG_BYTES",
    "URL_ERRORS",
    "Database",
    "Session",
    "after_commit",
    "in_portions",
    "is_alone",
    "unusable_url",
]

T = TypeVar("T")
Transaction = Callable[[Session], T]
URL_ERRORS = (ArgumentError, NoSuchModuleError, ModuleNotFoundError)
_AFTER_COMMIT = "after_commit"
# SQLite takes 32,766 values in a statement, PostgreSQL 65,535.
_MAX_VALUES = 20_000
MOST_LOG_BYTES = 64 * 2**20
"""What SQLite's write-ahead log keeps on disk once everything in it is in the database: a long
transaction, and all that is written beside a long read, makes it as large as what they write."""
_CORRUPT = ("malformed", "not a database", "corrupt")
_LOCKED = "database is locked"


class Database:
    """Opened with ``Database.open``; ``read`` and ``write`` run transactions."""

    def __init__(self, url: str, settings: StorageSettings) -> None:
        self.url = url
        self._patience = Patience(settings.busy_timeout_seconds)
        self._write_engine = _engine(url, settings, writes=self._patience)
        # Progress (text deltas) is worth keeping but not worth a disk sync each time; the next
        # durable commit syncs what was written before it as well.
        self._progress_engine = _engine(url, settings, writes=self._patience, synchronous="normal")
        self._read_engine = _engine(url, settings)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="storage-write")
        self._readers = ThreadPoolExecutor(settings.readers, thread_name_prefix="storage-read")
        self._is_closed = False

    @classmethod
    def open(cls, home: Path, settings: StorageSettings) -> Database:
        """Create the data folder if needed, migrate to the newest schema, and connect.

        Raises ConfigError (an URL that cannot be used), StorageUnavailable (folder not writable,
        disk full, locked) or StorageCorrupt (damaged, or of a newer localassist).
        """
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageUnavailable(
                f"The data folder {home} cannot be created: {error.strerror}."
            ) from error
        if not os.access(home, os.W_OK | os.X_OK):
            raise StorageUnavailable(
                f"The data folder {home} cannot be written: it is read-only, or belongs to another."
            )
        file = home / "localassist.db"
        if settings.url is None:
            _check_owner(home, file)
        url = settings.url or f"sqlite:///{file}"
        allow(settings.url)
        try:
            database = cls(url, settings)
        except URL_ERRORS as error:
            raise unusable_url(error) from error
        try:
            database._migrate()
        except DatabaseError as error:
            database._dispose()
            raise _translated(error) from error
        except BaseException:
            database._dispose()
            raise
        return database

    async def read(self, transaction: Transaction[T]) -> T:
        """Run ``transaction`` on a consistent snapshot; what it changes is rolled back."""
        return await self._in_thread(self._readers, self._read_engine, transaction, commit=False)

    async def write(self, transaction: Transaction[T], *, durable: bool = True) -> T:
        """Run ``transaction`` alone among this process's writers and commit it.

        When this returns, the change is durable (``durable=False``: it survives a killed process,
        not a power cut); when it raises, nothing was changed.
        """
        engine = self._write_engine if durable else self._progress_engine
        asked_at = self._patience.waited()

        def patient(session: Session) -> T:
            self._patience.spend(asked_at)
            return transaction(session)

        return await self._in_thread(self._writer, engine, patient, commit=True)

    def vacuum(self) -> tuple[int, int]:
        """Write an SQLite file anew without the room that is free in it; bytes before and after.
        Blocks, other writers as well. Raises ConfigError for other databases, StorageUnavailable
        when the disk has no room for the copy; then nothing has changed."""
        if self._write_engine.dialect.name != "sqlite":
            raise ConfigError("Only SQLite is vacuumed by hand; PostgreSQL does it by itself.")
        sizes = []
        connection = self._write_engine.raw_connection()
        try:
            cursor = connection.cursor()
            for statement in ("PRAGMA wal_checkpoint", "VACUUM"):
                cursor.execute(statement).fetchall()
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                (pages,) = cursor.execute("PRAGMA page_count").fetchone()
                (page_bytes,) = cursor.execute("PRAGMA page_size").fetchone()
                sizes.append(pages * page_bytes)
        except sqlite3.Error as error:
            raise StorageUnavailable(f"The database cannot be vacuumed: {error}.") from error
        finally:
            connection.close()
        return sizes[0], sizes[1]

    async def close(self) -> None:
        """Finish what is running and disconnect; whoever comes later is told ShuttingDown."""
        self._is_closed = True
        await asyncio.to_thread(self._dispose)

    async def _in_thread(
        self, pool: ThreadPoolExecutor, engine: Engine, transaction: Transaction[T], *, commit: bool
    ) -> T:
        if self._is_closed:
            raise ShuttingDown("The service is closing.")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, _transact, engine, transaction, commit, loop)

    def _dispose(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        for engine in (self._write_engine, self._progress_engine, self._read_engine):
            engine.dispose()

    def _migrate(self) -> None:
        # Nearly every start finds the newest schema, and has not to wait for those who write.
        with self._read_engine.connect() as connection:
            if _revision(connection) == newest_revision():
                return
        # Two processes that start together must not both migrate: one waits for the other, and
        # finds nothing left to do.
        with self._write_engine.begin() as connection:
            is_alone(connection, "migrate", waits=True)
            current = _revision(connection)
            if not is_known_revision(current):
                raise StorageCorrupt(
                    f"The data folder has schema {current} of a newer localassist: upgrade it."
                )
            if current != newest_revision():
                _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not tables_of(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def _upgrade(connection: Connection) -> None:
    # Nearly every start finds the newest schema, and loading this takes longer than all the rest.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _check_owner(home: Path, file: Path) -> None:
    """Raises where this process could not write the database, or, as root, would make one that the
    user whom the folder is of cannot write."""
    if file.exists() and not os.access(file, os.W_OK):
        raise StorageUnavailable(
            f"The database {file} cannot be written: it belongs to another user, or is read-only. "
            f"If another made it by mistake: chown -R USER {home}"
        )
    owner = home.stat().st_uid
    if not file.exists() and os.name == "posix" and os.geteuid() == 0 != owner:
        raise ConfigError(
            f"The data folder {home} belongs to user {owner}, who could not write what root makes "
            "in it. Run this as that user, with runuser -u or sudo -u."
        )


def unusable_url(error: Exception) -> ConfigError:
    """What one of ``URL_ERRORS`` means for whoever has set ``storage.url``."""
    if isinstance(error, ModuleNotFoundError):
        return ConfigError(
            f"Setting 'storage.url' needs the Python package {error.name}; for PostgreSQL: "
            "pip install 'localassist[postgres]'"
        )
    return ConfigError(f"Setting 'storage.url': {error}")


def in_portions(values: Iterable[T]) -> Iterator[list[T]]:
    """The values in lists that are short enough for the ``IN`` of one statement."""
    iterator = iter(values)
    while portion := list(islice(iterator, _MAX_VALUES)):
        yield portion


def is_alone(connection: Connection, work: str, *, waits: bool = False) -> bool:
    """Whether nobody else does this work in the database until the transaction ends; ``waits`` for
    it to be so. In a transaction that writes, SQLite makes it so for everything."""
    if connection.dialect.name != "postgresql":
        return True
    key = zlib.crc32(work.encode())
    if not waits:
        return bool(connection.scalar(select(func.pg_try_advisory_xact_lock(key))))
    connection.execute(select(func.pg_advisory_xact_lock(key)))
    return True


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Have ``callback`` called on the event loop once the transaction has been committed, and only
    then."""
    callbacks = session.info.setdefault(_AFTER_COMMIT, [])
    if callback not in callbacks:
        callbacks.append(callback)


def _transact(
    engine: Engine, transaction: Transaction[T], commit: bool, loop: asyncio.AbstractEventLoop
) -> T:
    try:
        with Session(engine, expire_on_commit=False) as session:
            result = transaction(session)
            if commit:
                session.commit()
                # From here: whoever waits for the transaction may have gone.
                for callback in session.info.get(_AFTER_COMMIT, ()):
                    loop.call_soon_threadsafe(callback)
            return result
    except DatabaseError as error:
        # IntegrityError is a DatabaseError too, but reaching this point with one is our own bug.
        raise _translated(error) from error


def _translated(error: DatabaseError) -> Exception:
    text = str(error.orig)
    if any(word in text for word in _CORRUPT):
        return StorageCorrupt(f"The database is damaged: {text}.")
    if isinstance(error, OperationalError):
        todo = " Another program holds it: end that one, or try again." if _LOCKED in text else ""
        return StorageUnavailable(f"The database cannot be used: {text}.{todo}")
    return error


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise StorageCorrupt("A stored value cannot be read: it is not JSON.") from error


def _engine(
    url: str,
    settings: StorageSettings,
    *,
    writes: Patience | None = None,
    synchronous: str | None = None,
) -> Engine:
    """A pool of connections; ``writes`` for the one that transactions of writers use."""
    size = settings.readers if writes is None else 1
    if not url.startswith("sqlite"):
        # What reads sees one moment, as it does on SQLite.
        level = "REPEATABLE READ" if writes is None else "READ COMMITTED"
        return create_engine(url, pool_size=size, pool_pre_ping=True, isolation_level=level)
    engine = create_engine(
        url,
        pool_size=size,
        connect_args={"timeout": settings.busy_timeout_seconds, "check_same_thread": False},
        json_deserializer=_from_json,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # The driver's own transaction handling starts transactions too late for a snapshot; we
        # issue BEGIN ourselves below.
        connection.isolation_level = None
        cursor = connection.cursor()
        # For a file that is new; one that was made without it takes it up when it is vacuumed. Said
        # again to one that has it, it would wait for those who write.
        if not cursor.execute("PRAGMA auto_vacuum").fetchone()[0]:
            cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA journal_size_limit={MOST_LOG_BYTES}")
        cursor.execute(f"PRAGMA synchronous={synchronous or settings.synchronous}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        # IMMEDIATE takes the write lock at once: a transaction that read first and then wrote
        # could otherwise fail in the middle when another process wrote in between.
        if writes is None:
            connection.exec_driver_sql("BEGIN")
        else:
            writes.begin(connection)

    return engine
