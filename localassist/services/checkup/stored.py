"""What is in the database and beside it: whole, of this release, and in agreement?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from localassist import clock
from localassist.errors import LocalAssistError, StorageCorrupt
from localassist.services.checkup.finding import Configuration, Finding, size
from localassist.storage.inspection import Inspection, database_file, inspect
from localassist.storage.process_lock import working_lock

T = TypeVar("T")
_CHECK_SECONDS = 5.0
_LARGE_LOG_BYTES = 512 * 2**20
_FRESH_SECONDS = 3600  # a younger content may be about to be recorded
_SLACK_SECONDS = 120
_EARLIEST = 1735689600  # 2025 began: no clock that stands before it is right
_NAMES = 3
_RESTORE = "Restore a backup: localassist backup restore FILE --replace"


def asked(settings: Configuration, question: Callable[[Inspection], T]) -> T | None:
    """What the database says; None where there is none, or none that can be read, which
    ``database`` reports."""
    try:
        with inspect(settings.home, settings.storage) as found:
            return None if found is None else question(found)
    except LocalAssistError:
        return None


def database(settings: Configuration) -> Iterator[Finding]:
    name = "database"
    file, rest = database_file(settings.home, settings.storage), ""
    try:
        with inspect(settings.home, settings.storage) as found:
            if found is None:
                yield Finding(name, "unused", ("There is none yet; the first use makes it.",))
                return
            damage = found.damage(_CHECK_SECONDS)
    except TimeoutError:
        damage, rest = None, f" Only the first {_CHECK_SECONDS:g} seconds of it were checked."
    except StorageCorrupt as error:
        yield Finding(name, "failed", (error.message,), _RESTORE)
        return
    if damage is not None:
        yield Finding(name, "failed", (f"It is damaged: {damage}.",), _RESTORE)
        return
    if file is None:
        yield Finding(name, "ok", ("It is on a server, which answers.",))
        return
    log = file.with_name(f"{file.name}-wal")
    log_bytes = log.stat().st_size if log.exists() else 0
    sizes = f"{size(file.stat().st_size)}, and {size(log_bytes)} in its log."
    if log_bytes > _LARGE_LOG_BYTES:
        says = "Its log has grown large: somebody has been reading one state of it for long."
        fix = "Stop whatever else reads the database, then stop and start the service."
        yield Finding(name, "warning", (says, sizes), fix)
    else:
        yield Finding(name, "ok", (f"{'Readable' if rest else 'Whole'}.{rest} {sizes}",))


def schema(settings: Configuration) -> Iterator[Finding]:
    name = "schema"
    known = asked(settings, Inspection.schema)
    if known is None:
        return
    if not known.is_known:
        says = f"The data folder has schema {known.revision} of a newer localassist."
        yield Finding(name, "failed", (says,), "pip install --upgrade localassist")
    elif known.migrations:
        says = (
            f"{known.migrations} of this release's changes are still to come; the next start makes "
            "them."
        )
        fix = "Before that, keep a copy: localassist backup create"
        yield Finding(name, "warning", (says,), fix)
    else:
        yield Finding(name, "ok", (f"{known.revision}, that of this release.",))


def contents(settings: Configuration) -> Iterator[Finding]:
    """Rows and files of their contents, one against the other."""
    recorded = asked(settings, Inspection.contents)
    if recorded is None:
        return
    blobs = settings.home / "blobs"
    missing, other = _against(recorded, blobs)
    if missing or other:
        says = [f"{len(missing)} of {len(recorded)} contents of files are missing."] * bool(missing)
        says += [f"{len(other)} do not have their recorded size."] * bool(other)
        bad = ", ".join(sha256[:12] for sha256 in [*missing, *other][:_NAMES])
        yield Finding("contents", "failed", (*says, f"The first: {bad}."), _RESTORE)
        return
    loose = _without_row(recorded, blobs)
    says_loose = f"{loose} more belong to no file; the service removes them." if loose else ""
    yield Finding("contents", "ok", (f"{len(recorded)} contents of files, all there.", says_loose))


def _against(recorded: Mapping[str, int], blobs: Path) -> tuple[list[str], list[str]]:
    """Those that are not there, and those of another size."""
    missing, other = [], []
    for sha256, size_bytes in recorded.items():
        try:
            found_bytes = (blobs / sha256[:2] / sha256).stat().st_size
        except FileNotFoundError:
            missing.append(sha256)
        else:
            if found_bytes != size_bytes:
                other.append(sha256)
    return missing, other


def _without_row(recorded: Mapping[str, int], blobs: Path) -> int:
    limit = time.time() - _FRESH_SECONDS
    loose = (path for path in blobs.glob("??/*") if path.name not in recorded)
    return sum(path.stat().st_mtime < limit for path in loose)


def work(settings: Configuration) -> Iterator[Finding]:
    """What is under way, and whether anybody is there to do it."""
    runs = asked(settings, Inspection.runs)
    if runs is None:
        return
    waiting = runs.pop("requires_action", 0)
    unfinished = sum(runs.values())
    under_way = f"{unfinished} run{' is' if unfinished == 1 else 's are'} under way"
    says = under_way if unfinished else "No run is under way"
    says += f", {waiting} waiting for the outputs of functions." if waiting else "."
    if working_lock(settings.home).is_held():
        yield Finding("work", "ok", ("A service works on this data folder.", says))
    elif unfinished:
        left = f"Nobody works on this data folder, and {under_way}."
        fix = "Start the service; it goes on with them: localassist serve"
        yield Finding("work", "warning", (left,), fix)
    else:
        yield Finding("work", "ok", ("Nobody works on this data folder.", says))


def clock_of_rows(settings: Configuration) -> Iterator[Finding]:
    now = clock.now()
    shown = f"{_utc(now)} UTC; time zones play no part."
    fix = "Set the clock: timedatectl set-ntp true, or timedatectl set-time"
    if now < _EARLIEST:
        yield Finding("clock", "failed", (f"The clock stands in the past: {shown}",), fix)
        return
    newest = asked(settings, Inspection.newest)
    if newest is not None and newest > now + _SLACK_SECONDS:
        says = f"The clock was set back: something here was made at {_utc(newest)} UTC."
        yield Finding("clock", "warning", (says, f"Now it is {shown}"), fix)
    elif not time.get_clock_info("monotonic").monotonic:
        says = "The system has no clock that only goes forward; durations may be wrong."
        yield Finding("clock", "warning", (says, shown))
    else:
        yield Finding("clock", "ok", (shown,))


def _utc(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S}"
