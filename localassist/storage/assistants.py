"""Assistants: rows in, wire objects out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from localassist import clock, ids
from localassist.errors import ResourceNotFound
from localassist.schemas.assistants import Assistant
from localassist.schemas.base import ListQuery, Page, merge_metadata
from localassist.storage.database import Session
from localassist.storage.pagination import bury, page
from localassist.storage.tables import AssistantRow

MISSING = "No assistant found with id '{id}'."


def insert(session: Session, project: str, fields: dict[str, Any]) -> Assistant:
    """Store a new assistant; ``fields`` are its columns by wire name."""
    row = AssistantRow(id=ids.new_id("assistant"), project_id=project, created_at=clock.now())
    _assign(row, fields)
    session.add(row)
    session.flush()
    return _to_wire(row)


def get(
    session: Session, project: str, assistant_id: str, *, for_update: bool = False
) -> Assistant:
    """Raises ResourceNotFound. ``for_update`` holds the assistant for the rest of this transaction,
    for a change that depends on what is found."""
    return _to_wire(_row(session, project, assistant_id, for_update=for_update))


def update(session: Session, project: str, assistant_id: str, fields: dict[str, Any]) -> Assistant:
    """Change the given fields; metadata is merged, tool resources are replaced key by key (None
    clears them), everything else is replaced."""
    row = _row(session, project, assistant_id, for_update=True)
    _assign(row, fields)
    session.flush()
    return _to_wire(row)


def delete(session: Session, project: str, assistant_id: str) -> None:
    """Raises ResourceNotFound. Threads and runs that used the assistant stay."""
    bury(session, _row(session, project, assistant_id), parent_id=None)


def list_page(session: Session, project: str, query: ListQuery) -> Page[Assistant]:
    return page(
        session, AssistantRow, project, [], query, _to_wire, parent_id=None, missing=MISSING
    )


def _row(
    session: Session, project: str, assistant_id: str, *, for_update: bool = False
) -> AssistantRow:
    statement = select(AssistantRow).where(
        AssistantRow.id == assistant_id, AssistantRow.project_id == project
    )
    row = session.scalar(statement.with_for_update() if for_update else statement)
    if row is None:
        raise ResourceNotFound(MISSING.format(id=assistant_id))
    return row


def _assign(row: AssistantRow, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if name == "metadata":
            row.metadata_ = merge_metadata(row.metadata_ or {}, value)
        elif name == "tool_resources":
            row.tool_resources = {} if value is None else {**(row.tool_resources or {}), **value}
        else:
            setattr(row, name, value)


def _to_wire(row: AssistantRow) -> Assistant:
    return Assistant.model_validate(
        {
            "id": row.id,
            "created_at": row.created_at,
            "name": row.name,
            "description": row.description,
            "model": row.model,
            "instructions": row.instructions,
            "tools": row.tools,
            "tool_resources": row.tool_resources,
            "metadata": row.metadata_,
            "temperature": 1.0 if row.temperature is None else row.temperature,
            "top_p": 1.0 if row.top_p is None else row.top_p,
            "response_format": "auto" if row.response_format is None else row.response_format,
            "reasoning_effort": row.reasoning_effort,
            "file_ids": row.file_ids,
        }
    )


@dataclass(frozen=True, slots=True)
class StoredAssistant:
    """An assistant with its sampling values as they were given: None where it left them open, which
    the wire object shows as 1."""

    wire: Assistant
    temperature: float | None
    top_p: float | None


def stored(session: Session, project: str, assistant_id: str) -> StoredAssistant:
    """Raises ResourceNotFound."""
    row = _row(session, project, assistant_id)
    return StoredAssistant(_to_wire(row), row.temperature, row.top_p)
