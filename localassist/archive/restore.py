"""A backup read back: checked only, or into a new data folder that appears when it is complete."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localassist.archive.backup_file import (
    DATA,
    DATABASE,
    BackupReader,
    Head,
    Manifest,
    Progress,
    opened_backup,
)
from localassist.archive.workspace import PREFIX, check_room, workspace
from localassist.disk import sync_folder
from localassist.errors import ConfigError, StorageCorrupt
from localassist.registry.manifest import FileSource, read_manifest, to_toml
from localassist.storage.process_lock import working_lock
from localassist.storage.revisions import is_known_revision
from localassist.storage.snapshot import check_database, content_of

_BYTES_PER_FILE = 4096


@dataclass(frozen=True, slots=True)
class Restored:
    """``kept`` is where the folder lies that was there before, ``weights_missing`` the models whose
    weights the backup does not hold, ``damaged`` contents whose bytes are not those of their name:
    they were damaged before they came into the backup."""

    head: Head
    home: Path
    kept: Path | None
    weights_missing: tuple[str, ...]
    damaged: tuple[str, ...]


def verify(path: Path, on_progress: Progress = lambda *_: None) -> Head:
    """Read all of a backup: every file's SHA-256, the database's integrity and counts, and that the
    contents are there that its rows name. Raises ConfigError when it is no backup of this release,
    StorageCorrupt naming what is damaged, StorageUnavailable without room for its database."""
    with workspace(path.absolute().parent) as desk, opened_backup(path) as reader:
        _check_readable(reader)
        manifest = reader.parts(desk, lambda name: name == DATABASE, on_progress)
        _check_content(reader.head, manifest, desk / DATABASE)
        return reader.head


def restore(
    path: Path, home: Path, *, replace: bool = False, on_progress: Progress = lambda *_: None
) -> Restored:
    """Make the data folder ``home`` from a backup. With ``replace`` a data folder that is there is
    kept beside it under another name. The new one appears with one rename, when all of it has been
    checked; until then nothing has changed. Raises as ``verify`` does."""
    _check_free(home, replace)
    with workspace(home.absolute().parent) as desk, opened_backup(path) as reader:
        head = reader.head
        _check_readable(reader)
        check_room(desk.parent, head.bytes + head.files * _BYTES_PER_FILE)
        manifest = reader.parts(desk, lambda name: True, on_progress)
        made = desk / DATA
        made.mkdir(mode=0o700, exist_ok=True)
        _check_content(head, manifest, desk / DATABASE)
        missing = _move_manifests(made, Path(head.home), home.absolute())
        _sync(made, manifest)
        kept = _take_place(made, home, replace)
    return Restored(head, home, kept, tuple(missing), _damaged(manifest))


def _check_readable(reader: BackupReader) -> None:
    if not is_known_revision(reader.head.schema_revision):
        raise ConfigError(
            f"The backup was made by localassist {reader.head.localassist}, whose database this "
            "release cannot read: upgrade localassist first."
        )


def _check_content(head: Head, manifest: Manifest, database: Path) -> None:
    if DATABASE not in manifest.files:
        if head.counts:
            raise StorageCorrupt("The backup is damaged: its database is missing.")
        return
    check_database(database)
    content = content_of(database)
    if dict(content.counts) != head.counts:
        raise StorageCorrupt("The backup is damaged: its database has other rows than it says.")
    for sha256 in content.blobs:
        name = f"{DATA}blobs/{sha256[:2]}/{sha256}"
        if name not in manifest.files and sha256 not in head.missing:
            raise StorageCorrupt(f"The backup is damaged: the content {sha256[:12]} is missing.")


def _damaged(manifest: Manifest) -> tuple[str, ...]:
    """Contents are named by their SHA-256."""
    blobs = {
        name.rpartition("/")[2]: part.sha256
        for name, part in manifest.files.items()
        if name.startswith(f"{DATA}blobs/")
    }
    return tuple(sorted(name for name, sha256 in blobs.items() if name != sha256))


def _check_free(home: Path, replace: bool) -> None:
    if not home.exists() and not home.is_symlink():
        return
    if not home.is_dir() or home.is_symlink():
        raise ConfigError(f"{home} is not a folder.")
    entries = [entry.name for entry in home.iterdir() if not entry.name.startswith(PREFIX)]
    if not entries:
        return
    if not replace:
        raise ConfigError(
            f"{home} is not empty. Restore into a new folder, or say --replace, which keeps what "
            "is there beside it."
        )
    if not any((home / name).exists() for name in ("localassist.db", "localassist.toml", "blobs")):
        raise ConfigError(f"{home} is no data folder of localassist; it is not replaced.")
    with _unused(home):
        pass


@contextmanager
def _unused(home: Path) -> Iterator[None]:
    """Hold what every process that works on a data folder wants to hold. Raises ConfigError when
    one works on it."""
    if not (home / "stores").exists():
        yield
        return
    lock = working_lock(home)
    if not lock.acquire():
        raise ConfigError(f"A server works on {home}: stop it first.")
    try:
        yield
    finally:
        lock.release()


def _move_manifests(made: Path, old_home: Path, home: Path) -> list[str]:
    """Let models whose weights are kept in the data folder find them where it lies now; the ids of
    those whose weights are not there."""
    missing = []
    for path in sorted((made / "models").glob("*.toml")):
        try:
            manifest = read_manifest(path)
        except ConfigError:
            continue  # as it was; whoever uses it is told
        if not isinstance(manifest.source, FileSource):
            continue
        weights = manifest.source.path
        if weights.is_relative_to(old_home):
            inside = weights.relative_to(old_home)
            if not (made / inside).is_file():
                missing.append(manifest.id)
            moved = manifest.model_copy(update={"source": FileSource(path=home / inside)})
            path.write_text(to_toml(moved), encoding="utf-8")
        elif not weights.is_file():
            missing.append(manifest.id)
    return missing


def _sync(made: Path, manifest: Manifest) -> None:
    for name in manifest.files:
        descriptor = os.open(made / name.removeprefix(DATA), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take_place(made: Path, home: Path, replace: bool) -> Path | None:
    """Rename the finished folder; what was there gets another name first, and its old one back
    when that fails."""
    made.chmod(0o700)
    kept = None
    if home.exists() and any(home.iterdir()):
        _check_free(home, replace)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        kept = home.with_name(f"{home.name}.before-restore-{stamp}")
        with _unused(home):
            home.rename(kept)
    try:
        made.rename(home)
    except OSError:
        if kept is not None:
            kept.rename(home)
        raise
    sync_folder(home.absolute().parent)
    return kept
