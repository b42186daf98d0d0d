"""API keys and the projects they open. A key is known by its digest; the key is never stored."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import or_, select

from localassist import clock, ids
from localassist.errors import InvalidRequest, ResourceNotFound
from localassist.storage import projects
from localassist.storage.database import Session
from localassist.storage.tables import ApiKeyRow, ProjectRow


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its owner may see it. ``project`` is the project's name, ``ending`` the key's last
    characters, times are Unix seconds."""

    id: str
    name: str
    project: str
    ending: str
    created_at: int
    revoked_at: int | None = None


def insert(session: Session, name: str, project: str, sha256: str, ending: str) -> ApiKey:
    """Keep a new key for the project of this name, which is made where there is none. Raises
    InvalidRequest when a key has that name, also a revoked one: logs may speak of it."""
    if session.scalar(select(ApiKeyRow.id).where(ApiKeyRow.name == name)) is not None:
        raise InvalidRequest(f"A key '{name}' already exists. Choose another name.", param="name")
    row = ApiKeyRow(
        id=ids.new_id("api_key"),
        project_id=projects.find_or_make(session, project),
        name=name,
        sha256=sha256,
        ending=ending,
        created_at=clock.now(),
    )
    session.add(row)
    return _shown(row, project)


def all_keys(session: Session) -> list[ApiKey]:
    """In the order in which they were made, with those that were revoked."""
    found = select(ApiKeyRow, ProjectRow.name).join(
        ProjectRow, ProjectRow.id == ApiKeyRow.project_id
    )
    rows = session.execute(found.order_by(ApiKeyRow.created_at, ApiKeyRow.name))
    return [_shown(row, project) for row, project in rows]


def digests(session: Session) -> dict[str, str | None]:
    """Project ids by the SHA-256 of their keys; None for a key that was revoked."""
    rows = session.execute(select(ApiKeyRow.sha256, ApiKeyRow.project_id, ApiKeyRow.revoked_at))
    return {sha256: None if revoked else project for sha256, project, revoked in rows}


def revoke(session: Session, wanted: str) -> ApiKey:
    """Let a key, by id or name, open nothing any more. Raises ResourceNotFound, and InvalidRequest
    when it was revoked before."""
    named = select(ApiKeyRow).where(or_(ApiKeyRow.id == wanted, ApiKeyRow.name == wanted))
    row = session.scalar(named.with_for_update())
    if row is None:
        raise ResourceNotFound(f"There is no key '{wanted}'.")
    if row.revoked_at is not None:
        raise InvalidRequest(f"The key '{row.name}' is already revoked.")
    row.revoked_at = clock.now()
    project = session.get_one(ProjectRow, row.project_id)
    return _shown(row, project.name)


def _shown(row: ApiKeyRow, project: str) -> ApiKey:
    return ApiKey(row.id, row.name, project, row.ending, row.created_at, row.revoked_at)
