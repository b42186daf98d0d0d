"""Room that is free inside of an SQLite file, and its way back to the disk.

What is deleted leaves pages that the file keeps for what is written next. PostgreSQL sees to its
own.
"""

from __future__ import annotations

from localassist.storage.database import Session


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
    """Move what is stored at the end of the file into free pages and cut so many off."""
    # The driver's own cursor, a page each: it takes one step of a statement that returns no rows.
    cursor = session.connection().connection.cursor()
    for _ in range(pages):
        cursor.execute("PRAGMA incremental_vacuum(1)")
    cursor.close()
