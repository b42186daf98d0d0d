"""Projects by the names that operators know them by."""

from __future__ import annotations

from sqlalchemy import select

from localassist import clock, ids
from localassist.storage.database import Session
from localassist.storage.tables import ProjectRow


def find(session: Session, name: str) -> str | None:
    """The id of the project of this name; None without one."""
    return session.scalar(select(ProjectRow.id).where(ProjectRow.name == name))


def names(session: Session) -> list[str]:
    """Of all projects."""
    return sorted(session.scalars(select(ProjectRow.name)))


def find_or_make(session: Session, name: str) -> str:
    """The id of the project of this name, which is made where there is none."""
    found = find(session, name)
    if found is not None:
        return found
    row = ProjectRow(id=ids.new_id("project"), name=name, created_at=clock.now())
    session.add(row)
    session.flush()
    return row.id
