"""Room that is free inside of an SQLite file, and its way back to the disk.

What is deleted leaves pages that the file keeps for what is written next. PostgreSQL sees to its
own.
"""

from __future__ import annotations

import os
import sqlite3

from localassist.errors import StorageUnavailable
from localassist.storage.database import MOST_LOG_BYTES, Session


def free_bytes(session: Session) -> int:
    """What could be given back. None of a file that was made without ``auto_vacuum``, until it has
    been vacuumed once."""
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        return 0

    def pragma(name: str) -> int:
        return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

    return pragma("freelist_count") * pragma("page_size") if pragma("auto_vacuum") else 0


def give_back(session: Session, pages: int) -> None:
    """Move what is stored at the end of the file into free pages and cut so many off. Raises
    StorageUnavailable."""
    # The driver's own cursor, a page each: it takes one step of a statement that returns no rows.
    cursor = session.connection().connection.cursor()
    try:
        for _ in range(pages):
            cursor.execute("PRAGMA incremental_vacuum(1)")
    except sqlite3.Error as error:
        raise StorageUnavailable(f"The database cannot be made smaller: {error}.") from error
    finally:
        cursor.close()


def is_held(session: Session) -> bool:
    """Whether the file cannot become smaller now: somebody reads for long, such as a backup, and
    what is moved meanwhile takes room in the log beside it instead."""
    _, _, file = session.connection().exec_driver_sql("PRAGMA database_list").first() or ("",) * 3
    try:
        return os.stat(f"{file}-wal").st_size > MOST_LOG_BYTES
    except FileNotFoundError:
        return False
