"""Keyset pagination over (created_at, seq): pages stay right while objects come and go.

A cursor is an object's id. A cursor that names a deleted object still works through its tombstone;
one that was never issued is 404.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, delete, select, tuple_

from localassist import clock
from localassist.errors import ResourceNotFound
from localassist.schemas.base import ListQuery, Page, WireModel
from localassist.storage.database import Session
from localassist.storage.tables import ObjectRow, StoreFileRow, TombstoneRow

Row = TypeVar("Row", bound=ObjectRow | StoreFileRow)
Wire = TypeVar("Wire", bound=WireModel)


def page(
    session: Session,
    table: type[Row],
    project: str,
    conditions: Sequence[ColumnElement[bool]],
    query: ListQuery,
    to_wire: Callable[[Row], Wire],
    *,
    parent_id: str | None,
    missing: str,
) -> Page[Wire]:
    """One page of ``page_rows``, as wire objects."""
    rows, has_more = page_rows(
        session, table, project, conditions, query, parent_id=parent_id, missing=missing
    )
    return Page.of([to_wire(row) for row in rows], has_more=has_more)


def page_rows(
    session: Session,
    table: type[Row],
    project: str,
    conditions: Sequence[ColumnElement[bool]],
    query: ListQuery,
    *,
    parent_id: str | None,
    missing: str,
    passing: Sequence[ColumnElement[bool]] = (),
    tombstone_id: Callable[[str], str] = str,
) -> tuple[list[Row], bool]:
    """One page of the project's rows in ``table`` that meet ``conditions``, in the query's order,
    and whether there are more.

    ``parent_id`` is what the list belongs to (a cursor of another parent is not found),
    ``missing`` the not-found wording with ``{id}`` in it. ``passing`` are further conditions that
    an object may cease to meet, such as a status: its id stays a cursor all the same.
    ``tombstone_id`` is the name under which a deleted object's sort key is kept.
    """
    scope = (table.project_id == project, *conditions)
    key = tuple_(table.created_at, table.seq)
    newest_first = query.order == "desc"
    statement = select(table).where(*scope, *passing)

    def position(cursor: str) -> tuple[int, int]:
        found = session.execute(
            select(table.created_at, table.seq).where(table.id == cursor, *scope)
        ).first() or _tombstone(session, project, tombstone_id(cursor), parent_id)
        if found is None:
            raise ResourceNotFound(missing.format(id=cursor))
        return found[0], found[1]

    # ``before`` alone walks backwards: the nearest items are fetched first, then turned around.
    backwards = query.before is not None and query.after is None
    if query.after is not None:
        at = position(query.after)
        statement = statement.where(key < at if newest_first else key > at)
    if query.before is not None:
        at = position(query.before)
        statement = statement.where(key > at if newest_first else key < at)
    descending = newest_first is not backwards
    ordering = (table.created_at, table.seq)
    statement = statement.order_by(*(c.desc() if descending else c.asc() for c in ordering))
    rows = list(session.scalars(statement.limit(query.limit + 1)))
    has_more = len(rows) > query.limit
    rows = rows[: query.limit]
    if backwards:
        rows.reverse()
    return rows, has_more


def next_created_at(
    session: Session, table: type[ObjectRow], *siblings: ColumnElement[bool]
) -> int:
    """When an object that is made now was made: not before the newest of its siblings, so that they
    stay in order when the clock is set back."""
    newest = select(table.created_at).where(*siblings).order_by(table.created_at.desc()).limit(1)
    return max(clock.now(), session.scalar(newest) or 0)


def bury(
    session: Session,
    row: ObjectRow | StoreFileRow,
    *,
    parent_id: str | None,
    tombstone_id: str | None = None,
) -> None:
    """Delete ``row`` and keep its sort key, under ``tombstone_id`` where its id is not its own."""
    keep_key(session, tombstone_id or row.id, row, parent_id=parent_id)
    session.execute(delete(type(row)).where(type(row).seq == row.seq))


def keep_key(
    session: Session, tombstone_id: str, row: ObjectRow | StoreFileRow, *, parent_id: str | None
) -> None:
    """Let ``tombstone_id`` be a cursor at the place of ``row`` in lists of ``parent_id``."""
    session.merge(
        TombstoneRow(
            id=tombstone_id,
            project_id=row.project_id,
            parent_id=parent_id,
            created_at=row.created_at,
            seq=row.seq,
            deleted_at=clock.now(),
        )
    )


def _tombstone(
    session: Session, project: str, cursor: str, parent_id: str | None
) -> tuple[int, int] | None:
    found = session.get(TombstoneRow, cursor)
    if found is None or (found.project_id, found.parent_id) != (project, parent_id):
        return None
    return found.created_at, found.seq
