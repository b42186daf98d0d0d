"""Where localassist is installed: a folder per version, and one link that says which is in use.

``versions/<version>-<id>-py<python>`` is a virtual environment; it is complete once its stamp is
there, and nothing leads to it before. ``current`` is switched in one step. Standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localassist.disk import replacing, sync_folder
from localassist.errors import BundleError

STAMP = "installed.json"
DATA_FOLDER = "data-folder"
"""Holds the data folder that was given at installation, for the next one and for the program."""

_PROGRAM = """#!/bin/sh
# Made by install.sh: the version of localassist that is in use.
{home}exec {prefix}/current/bin/localassist "$@"
"""


class Prefix:
    """One folder of installed versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.versions = folder / "versions"
        self.current = folder / "current"
        self.program = folder / "bin" / "localassist"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder, and keeps other installations out of it. The lock ends with the
        process."""
        self.versions.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BundleError(f"Another installation into {self.folder} is running.") from error
            yield
        finally:
            os.close(descriptor)

    def in_use(self) -> Path | None:
        """The version that ``current`` leads to."""
        try:
            folder = (self.folder / os.readlink(self.current)).resolve()
        except OSError:
            return None
        return folder if is_complete(folder) else None

    def unfinished(self) -> list[Path]:
        """What an interrupted installation left."""
        folders = (folder for folder in self.versions.iterdir() if folder.is_dir())
        return [folder for folder in folders if not is_complete(folder)]

    def switch_to(self, version: Path) -> None:
        """Make a complete version the one in use, in one step."""
        target = os.path.join("versions", version.name)
        new = self.folder / f".current-{os.getpid()}"
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        os.replace(new, self.current)
        sync_folder(self.folder)

    def remove_all_but(self, *kept: Path | None) -> list[str]:
        """Remove versions that are neither in use nor to go back to; their names."""
        names = {version.name for version in kept if version is not None}
        removed = [folder for folder in self.versions.iterdir() if folder.name not in names]
        for folder in removed:
            remove_version(folder)
        return [folder.name for folder in removed]

    def data_folder(self) -> Path | None:
        """The one that was given at an earlier installation."""
        try:
            text = (self.folder / DATA_FOLDER).read_text(encoding="utf-8").strip()
        except OSError:
            return None
        return Path(text) if text else None

    def write_program(self, home: Path | None) -> None:
        """``bin/localassist``: starts the version in use, with the data folder if one was given."""
        if home is not None:
            write_whole(self.folder / DATA_FOLDER, f"{home}\n")
        given = f': "${{LOCALASSIST_HOME:={shlex.quote(str(home))}}}"\nexport LOCALASSIST_HOME\n'
        text = _PROGRAM.format(
            prefix=shlex.quote(str(self.folder)), home="" if home is None else given
        )
        self.program.parent.mkdir(exist_ok=True)
        write_whole(self.program, text, mode=0o755)


def is_complete(version: Path) -> bool:
    return (version / STAMP).is_file()


def has_kernel(version: Path) -> bool:
    """Whether the code interpreter's environment is there: it may have been left out at first."""
    return (version / "share" / "localassist" / "kernel").is_dir()


def remove_version(version: Path) -> None:
    """Remove it, its stamp first: what is left of an interrupted removal is not complete."""
    (version / STAMP).unlink(missing_ok=True)
    shutil.rmtree(version)


def write_stamp(version: Path, **facts: object) -> None:
    """Declare a version complete."""
    text = json.dumps({"installed_at": int(time.time()), **facts}, indent=1)
    write_whole(version / STAMP, text + "\n")


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a small file so that it is there whole or not at all, and on the disk."""
    with replacing(path, mode) as file:
        file.write(text.encode())
    sync_folder(path.parent)
