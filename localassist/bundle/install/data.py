"""What an upgrade must know about the data folder: whether its database will change, and a copy.

The database is changed by the first start of the new version; going back then needs the copy.
Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from localassist.errors import BundleError

DATABASE = "localassist.db"


def default_home(environ: dict[str, str]) -> Path:
    """Where localassist keeps its data when nobody says otherwise."""
    if environ.get("LOCALASSIST_HOME"):
        return Path(environ["LOCALASSIST_HOME"])
    data = environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path("~/.local/share").expanduser()) / "localassist"


def schema_of(database: Path) -> str | None:
    """The revision of the tables; None where there is no database, or none of localassist's."""
    if not database.is_file():
        return None
    try:
        with contextlib.closing(_open(database)) as connection:
            row = connection.execute("select version_num from alembic_version").fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row else None


def copy_before(database: Path, copy: Path) -> None:
    """A consistent copy, also while others write; there whole or not at all."""
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = copy.with_name(f".{copy.name}.new")
    new.unlink(missing_ok=True)
    try:
        with (
            contextlib.closing(_open(database)) as source,
            contextlib.closing(sqlite3.connect(new)) as target,
        ):
            source.backup(target)
        os.chmod(new, 0o600)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(new, copy)
    except (sqlite3.Error, OSError) as error:
        raise BundleError(
            f"The copy of {database} that an upgrade takes was not made: {error}."
        ) from error
    finally:
        new.unlink(missing_ok=True)


def _open(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
