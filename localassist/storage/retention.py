"""What has outlived its use: found, counted, removed a portion at a time.

Knows the rows and nothing of settings: every function gets the moment before which things are old.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, cast, delete, exists, func, select, update
from sqlalchemy.orm import InstrumentedAttribute

from localassist.storage import files
from localassist.storage.database import Session, in_portions
from localassist.storage.pagination import bury
from localassist.storage.tables import (
    ACTIVE_STATUSES,
    AssistantRow,
    CodeFileRow,
    FileRow,
    ItemRow,
    MessageRow,
    RunEventRow,
    RunRow,
    RunStepRow,
    StoreFileRow,
    ThreadRow,
    TombstoneRow,
)

FILE_PURPOSES = ("assistants", "assistants_output")
# Ids of ours begin with "file-"; imported ones may go on otherwise. Other words do no harm.
_FILE_ID = re.compile(r"file[A-Za-z0-9_-]+")
_ROWS_AT_ONCE = 1000
_Column = InstrumentedAttribute[Any]
# Few rows, which change in place.
_HOLDERS: tuple[_Column, ...] = (
    AssistantRow.file_ids,
    AssistantRow.tool_resources,
    ThreadRow.tool_resources,
)
# Many rows, in the order in which they were made.
_WRITTEN: tuple[tuple[_Column, tuple[_Column, ...]], ...] = (
    (MessageRow.seq, (MessageRow.file_ids, MessageRow.attachments, MessageRow.content)),
    (RunStepRow.seq, (RunStepRow.step_details,)),
    (RunRow.seq, (RunRow.request,)),
)


@dataclass(frozen=True, slots=True)
class Share:
    """How many there are, and about how many bytes they take."""

    count: int
    bytes: int


# --- threads ------------------------------------------------------------------------------------


def unused_threads(session: Session, before: int) -> Share:
    """Threads without a message or run since, and without a run that is not at its end."""
    found = select(ThreadRow.id).where(*_unused(before)).subquery()
    count = session.scalar(select(func.count()).select_from(found)) or 0
    ids = select(found.c.id)
    runs = select(RunRow.id).where(RunRow.thread_id.in_(ids))
    sizes = (
        (MessageRow.content, MessageRow.thread_id.in_(ids)),
        (ItemRow.text, ItemRow.thread_id.in_(ids)),
        (ItemRow.token_ids, ItemRow.thread_id.in_(ids)),
        (RunStepRow.step_details, RunStepRow.thread_id.in_(ids)),
        (RunRow.request, RunRow.thread_id.in_(ids)),
        (RunEventRow.data, RunEventRow.run_id.in_(runs)),
    )
    return Share(count, sum(_size(session, column, wanted) for column, wanted in sizes))


def delete_unused_threads(session: Session, before: int, limit: int) -> list[str]:
    """Delete up to so many of them, with what belongs to them; returns their ids."""
    rows = session.scalars(
        select(ThreadRow)
        .where(*_unused(before))
        .order_by(ThreadRow.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        bury(session, row, parent_id=None)
    return [row.id for row in rows]


def _unused(before: int) -> tuple[ColumnElement[bool], ...]:
    said = exists().where(MessageRow.thread_id == ThreadRow.id, MessageRow.created_at >= before)
    worked = exists().where(
        RunRow.thread_id == ThreadRow.id,
        (RunRow.created_at >= before)
        | (RunRow.ended_at >= before)
        | RunRow.status.in_(ACTIVE_STATUSES),
    )
    return ThreadRow.created_at < before, ~said, ~worked


# --- files --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """The files that something names, as of a moment: ``ends`` are the last rows looked at."""

    file_ids: frozenset[str]
    ends: tuple[int, ...]


def named_files(session: Session) -> Named:
    """Reads every message once; hold no write transaction meanwhile."""
    ends = tuple(session.scalar(select(func.max(seq))) or 0 for seq, _ in _WRITTEN)
    return Named(frozenset(_in_place(session)) | _written_after(session, [0] * len(ends)), ends)


def note_unused_files(session: Session, named: Named, now: int) -> None:
    """Write down since when nothing names a file, or that something does again."""
    known = session.execute(
        select(FileRow.id, FileRow.unused_since).where(FileRow.purpose.in_(FILE_PURPOSES))
    ).all()
    fresh = [one for one, since in known if since is None and one not in named.file_ids]
    again = [one for one, since in known if since is not None and one in named.file_ids]
    for file_ids, since in ((fresh, now), (again, None)):
        for portion in in_portions(file_ids):
            named_here = FileRow.id.in_(portion)
            session.execute(update(FileRow).where(named_here).values(unused_since=since))


def unused_files(session: Session, named: Named, before: int) -> list[tuple[str, str, int]]:
    """Project, id and size of files that were already unused then, and are still."""
    found = session.execute(
        select(FileRow.project_id, FileRow.id, FileRow.bytes)
        .where(FileRow.purpose.in_(FILE_PURPOSES), FileRow.unused_since <= before)
        .order_by(FileRow.seq)
    )
    return [(project, one, size) for project, one, size in found if one not in named.file_ids]


def delete_unused_files(
    session: Session, file_ids: Collection[tuple[str, str]], named: Named
) -> list[str]:
    """Delete those (project, id) that nothing has begun to name since; returns which went."""
    since = _in_place(session) | _written_after(session, named.ends)
    gone = []
    for project, file_id in file_ids:
        is_there = exists().where(FileRow.id == file_id, FileRow.unused_since.is_not(None))
        if file_id not in since and session.scalar(select(is_there)):
            files.delete(session, project, file_id)
            gone.append(file_id)
    return gone


def _in_place(session: Session) -> set[str]:
    held = set(session.scalars(select(StoreFileRow.id).distinct()))
    held |= set(session.scalars(select(CodeFileRow.file_id).distinct()))
    for column in _HOLDERS:
        held.update(_ids_in(session, column))
    return held


def _written_after(session: Session, ends: Collection[int]) -> set[str]:
    held: set[str] = set()
    for (seq, columns), end in zip(_WRITTEN, ends, strict=True):
        for column in columns:
            held.update(_ids_in(session, column, seq > end))
    return held


def _ids_in(session: Session, column: _Column, *wanted: ColumnElement[bool]) -> Iterator[str]:
    text = cast(column, String)
    statement = select(text).where(text.contains("file"), *wanted)
    for said in session.scalars(statement.execution_options(yield_per=_ROWS_AT_ONCE)):
        yield from _FILE_ID.findall(said)


# --- runs and cursors ---------------------------------------------------------------------------


def old_timelines(session: Session, before: int) -> Share:
    wanted = (RunRow.ended_at < before, RunRow.timeline.is_not(None))
    return _share(session, RunRow.id, RunRow.timeline, *wanted)


def drop_timelines(session: Session, before: int, limit: int) -> int:
    """Forget up to so many; returns how many."""
    old = select(RunRow.id).where(RunRow.ended_at < before, RunRow.timeline.is_not(None))
    run_ids = session.scalars(old.limit(limit)).all()
    session.execute(update(RunRow).where(RunRow.id.in_(run_ids)).values(timeline=None))
    return len(run_ids)


def old_logs(session: Session, before: int) -> Share:
    """Events of runs that ended before."""
    wanted = RunEventRow.run_id.in_(select(RunRow.id).where(RunRow.ended_at < before))
    return _share(session, RunEventRow.seq, RunEventRow.data, wanted)


def old_cursors(session: Session, before: int) -> Share:
    return _share(session, TombstoneRow.id, TombstoneRow.id, TombstoneRow.deleted_at < before)


def drop_cursors(session: Session, before: int, limit: int) -> int:
    """Forget up to so many; returns how many."""
    old = select(TombstoneRow.id).where(TombstoneRow.deleted_at < before).limit(limit)
    ids = session.scalars(old).all()
    session.execute(delete(TombstoneRow).where(TombstoneRow.id.in_(ids)))
    return len(ids)


def _share(session: Session, key: _Column, column: _Column, *wanted: ColumnElement[bool]) -> Share:
    count = session.scalar(select(func.count(key)).where(*wanted)) or 0
    return Share(count, _size(session, column, *wanted))


def _size(session: Session, column: _Column, *wanted: ColumnElement[bool]) -> int:
    """The bytes of texts, or of what is binary already."""
    is_binary = column is ItemRow.token_ids
    content = column if is_binary else cast(column, String)
    return int(session.scalar(select(func.sum(func.length(content))).where(*wanted)) or 0)
