"""What removes old things, over a data folder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from localassist.services.files import Files
from localassist.services.retention import Retention
from localassist.settings import Settings
from localassist.storage.database import Database


def retention_of(
    settings: Settings,
    database: Database,
    files: Files,
    on_threads: Callable[[list[str]], Awaitable[None]],
) -> Retention:
    return Retention(
        database,
        settings.retention,
        log_seconds=settings.runs.log_retention_seconds,
        snapshots=settings.home / "cache" / "conversations",
        on_threads=on_threads,
        on_files=files.sweep,
    )
