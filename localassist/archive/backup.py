"""A live data folder into one file, consistent and checked.

The database is copied as it is at one moment, beside servers that go on working. Contents and
segments are held before and after that moment, so that exactly what its rows name is copied, even
when it is deleted meanwhile. Indexes are left out: they are made anew from segments.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from localassist import __version__, clock
from localassist.archive.backup_file import (
    DATA,
    DATABASE,
    VERSION,
    BackupWriter,
    Head,
    Progress,
)
from localassist.archive.held import Held, HeldFile
from localassist.archive.restore import verify
from localassist.archive.workspace import check_room, workspace
from localassist.disk import sync_folder
from localassist.errors import ConfigError, StorageCorrupt
from localassist.storage.revisions import is_known_revision
from localassist.storage.snapshot import DatabaseContent, content_of, copy_database

_ATTEMPTS = 3
# A tar's own bytes for each of its files, and some room to spare.
_BYTES_PER_FILE = 2048


@dataclass(frozen=True, slots=True)
class BackupMade:
    """``left_out`` are weights that the backup does not hold, ``lost_segments`` how many segments
    will be made anew, ``damaged`` contents whose bytes are not those of their name."""

    path: Path
    head: Head
    size_bytes: int
    seconds: float
    left_out: tuple[str, ...]
    lost_segments: int
    damaged: tuple[str, ...]


def create_backup(
    home: Path,
    target: Path,
    *,
    database_url: str | None = None,
    without_database: bool = False,
    with_weights: bool = False,
    compress: bool = False,
    on_progress: Progress = lambda *_: None,
) -> BackupMade:
    """Write a backup of the data folder to ``target``, a file that must not exist or a folder, in
    which it gets a name with the time. It appears there once it is complete and has been read back.

    Raises ConfigError, StorageUnavailable (no room, a folder that cannot be written) and
    StorageCorrupt; then nothing is left behind.
    """
    begun = time.monotonic()
    _check_source(home, database_url, without_database)
    if target.is_dir():
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        target = target / f"localassist-{stamp}.tar{'.gz' if compress else ''}"
    if target.exists():
        raise ConfigError(f"{target} exists; choose another name.")
    if target.resolve().is_relative_to(home.resolve()):
        raise ConfigError(f"Choose a place outside of the data folder {home}.")
    compress = compress or target.name.endswith((".gz", ".tgz"))
    with workspace(home) as hold, workspace(target.parent) as desk:
        held = Held(home, hold)
        copy = desk / "database"
        content = None
        if not without_database:
            content = _held_moment(home, copy, held, on_progress)
        else:
            held.hold_blobs(path.name for path in (home / "blobs").glob("??/*"))
            held.hold_segments(path.name for path in (home / "segments").glob("??/*"))
        lost = 0 if content is None else held.hold_segments(sorted(content.segments))
        left_out = held.hold_others(with_weights=with_weights)
        head = _head(home, copy, held, content)
        check_room(target.parent, head.bytes + head.files * _BYTES_PER_FILE)
        made = desk / "backup"
        damaged = _write(made, head, copy, held.files, compress, on_progress)
        verify(made, on_progress)
        size_bytes = made.stat().st_size
        _publish(made, target)
    seconds = time.monotonic() - begun
    return BackupMade(target, head, size_bytes, seconds, tuple(left_out), lost, tuple(damaged))


def _check_source(home: Path, database_url: str | None, without_database: bool) -> None:
    if not home.is_dir():
        raise ConfigError(f"There is no data folder {home}.")
    if without_database:
        return
    if database_url is not None:
        raise ConfigError(
            "storage.url names a database outside of the data folder, which its own tools back up "
            "(pg_dump for PostgreSQL). Do that first, then back up the rest of the folder with "
            "--without-database."
        )
    if not (home / "localassist.db").is_file():
        raise ConfigError(f"{home} has no database: nothing has been stored in it yet.")


def _held_moment(home: Path, copy: Path, held: Held, progress: Progress) -> DatabaseContent:
    """Copy the database, and hold every content that the copy names. What a row names may be
    deleted with its row while the copy is made: then a newer copy does not name it any more."""

    def report(done: int, total: int) -> None:
        progress("copying the database", done, total)

    database = home / "localassist.db"
    before = content_of(database)
    if not is_known_revision(before.revision):
        raise StorageCorrupt(
            f"The data folder has schema {before.revision} of a newer localassist: upgrade it."
        )
    held.hold_blobs(before.blobs)
    for _ in range(_ATTEMPTS):
        copy.unlink(missing_ok=True)
        check_room(copy.parent.parent, database.stat().st_size)
        copy_database(database, copy, report)
        content = content_of(copy)
        if not held.hold_blobs(content.blobs):
            break
    wanted = {_blob_name(sha256) for sha256 in content.blobs}
    for name in [name for name in held.files if name.startswith("blobs/")]:
        if name not in wanted:
            del held.files[name]
    return content


def _head(home: Path, copy: Path, held: Held, content: DatabaseContent | None) -> Head:
    sizes = [file.size_bytes for file in held.files.values()]
    missing: list[str] = []
    if content is not None:
        sizes.append(copy.stat().st_size)
        missing = sorted(sha for sha in content.blobs if _blob_name(sha) not in held.files)
    return Head(
        format="localassist-backup",
        version=VERSION,
        localassist=__version__,
        created_at=clock.now(),
        home=str(home),
        schema_revision=None if content is None else content.revision,
        files=len(sizes),
        bytes=sum(sizes),
        counts={} if content is None else dict(content.counts),
        missing=missing,
    )


def _write(
    made: Path,
    head: Head,
    copy: Path,
    files: dict[str, HeldFile],
    compress: bool,
    progress: Progress,
) -> list[str]:
    """Write the tar; the contents that are damaged already where they come from."""
    done = 0
    damaged = []

    def count(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        progress("writing", done, head.bytes)

    with made.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)  # settings may hold keys
        writer = BackupWriter(file, compress=compress)
        writer.head(head)
        if copy.exists():
            writer.add(DATABASE, copy, copy.stat().st_size, count)
        for held in files.values():
            sha256 = writer.add(DATA + held.name, held.path, held.size_bytes, count)
            if held.name.startswith("blobs/") and not held.name.endswith(sha256):
                damaged.append(held.name.rpartition("/")[2])
        writer.finish()
        file.flush()
        os.fsync(file.fileno())
    return damaged


def _publish(made: Path, target: Path) -> None:
    # A link fails where a rename would replace what somebody has put there meanwhile.
    try:
        os.link(made, target)
    except FileExistsError as error:
        raise ConfigError(f"{target} exists; choose another name.") from error
    except OSError:
        made.rename(target)
    sync_folder(target.parent)


def _blob_name(sha256: str) -> str:
    return f"blobs/{sha256[:2]}/{sha256}"
