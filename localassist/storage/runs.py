"""Runs: rows in, wire objects out, and the leases by which processes share the work.

Only ``runs.recorder`` changes a run's status; this module stores and finds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, bindparam, exists, func, or_, select, update

from localassist import ids
from localassist.errors import LeaseLost, ResourceNotFound
from localassist.schemas.base import ListQuery, Page, merge_metadata
from localassist.schemas.runs import Run
from localassist.storage.database import Session
from localassist.storage.pagination import next_created_at, page
from localassist.storage.tables import AssistantRow, RunRow, ThreadRow

MISSING = "No run found with id '{id}'."
_OWNED = (
    select(RunRow)
    .where(RunRow.id == bindparam("run"), RunRow.lease_owner == bindparam("owner"))
    .with_for_update()
)
CLAIMABLE_STATUSES = ("queued", "in_progress", "cancelling")


def insert(session: Session, project: str, thread_id: str, fields: dict[str, Any]) -> RunRow:
    """Store a queued run. ``fields``: assistant_id, request, metadata, expires_at, timeline.

    The caller holds the thread's lock; the unique index on active runs stands behind it.
    """
    row = RunRow(
        id=ids.new_id("run"),
        project_id=project,
        thread_id=thread_id,
        created_at=next_created_at(session, RunRow, RunRow.thread_id == thread_id),
        assistant_id=fields["assistant_id"],
        status="queued",
        expires_at=fields["expires_at"],
        request=fields["request"],
        metadata_=fields.get("metadata") or {},
        last_event_seq=-1,
        interruptions=0,
        timeline=fields["timeline"],
    )
    session.add(row)
    session.flush()
    return row


def row(
    session: Session, project: str, thread_id: str, run_id: str, *, for_update: bool = False
) -> RunRow:
    """Raises ResourceNotFound, also for a run of another thread. ``for_update`` holds the row for
    the rest of the transaction, where the database locks rows at all."""
    statement = select(RunRow).where(
        RunRow.id == run_id, RunRow.thread_id == thread_id, RunRow.project_id == project
    )
    found = session.scalar(statement.with_for_update() if for_update else statement)
    if found is None:
        raise ResourceNotFound(MISSING.format(id=run_id))
    return found


def owned_row(session: Session, run_id: str, owner: str) -> RunRow:
    """The run for a worker that holds its lease. Raises LeaseLost when it does not any more."""
    found = session.scalar(_OWNED, {"run": run_id, "owner": owner})
    if found is None:
        raise LeaseLost(f"The lease of {run_id} is gone.")
    return found


def get(session: Session, project: str, thread_id: str, run_id: str) -> Run:
    """Raises ResourceNotFound."""
    return to_wire(row(session, project, thread_id, run_id))


def update_metadata(
    session: Session, project: str, thread_id: str, run_id: str, metadata: dict[str, str] | None
) -> Run:
    """Merge ``metadata`` in any state of the run."""
    found = row(session, project, thread_id, run_id, for_update=True)
    found.metadata_ = merge_metadata(found.metadata_, metadata)
    session.flush()
    return to_wire(found)


def list_page(session: Session, project: str, thread_id: str, query: ListQuery) -> Page[Run]:
    wanted = [RunRow.thread_id == thread_id]
    return page(
        session, RunRow, project, wanted, query, to_wire, parent_id=thread_id, missing=MISSING
    )


def newest(session: Session, thread_id: str | None, limit: int) -> list[RunRow]:
    """Of all projects, or of one thread; newest first. For operators."""
    wanted = () if thread_id is None else (RunRow.thread_id == thread_id,)
    statement = select(RunRow).where(*wanted).order_by(RunRow.seq.desc()).limit(limit)
    return list(session.scalars(statement))


def any_row(session: Session, run_id: str) -> RunRow:
    """A run of any project, for operators. Raises ResourceNotFound."""
    found = session.scalar(select(RunRow).where(RunRow.id == run_id))
    if found is None:
        raise ResourceNotFound(MISSING.format(id=run_id))
    return found


def code_file_ids(
    session: Session, project: str, assistant_id: str, thread_id: str, own: Mapping[str, Any]
) -> list[str]:
    """The files that code of a run with these tool resources of its own finds, each once: those,
    else its assistant's, and its thread's."""
    owners: list[tuple[type[AssistantRow] | type[ThreadRow], str]] = [(ThreadRow, thread_id)]
    if "code_interpreter" not in own:
        owners.insert(0, (AssistantRow, assistant_id))
    named = [own]
    for table, owner_id in owners:
        named += session.scalars(
            select(table.tool_resources).where(table.id == owner_id, table.project_id == project)
        )
    lists = [(resources.get("code_interpreter") or {}).get("file_ids") or [] for resources in named]
    return list(dict.fromkeys(file_id for file_ids in lists for file_id in file_ids))


def claim(
    session: Session,
    owner: str,
    *,
    now: float,
    until: float,
    limit: int,
    besides: Collection[str] = (),
) -> list[RunRow]:
    """Take the lease of up to ``limit`` runs that wait or whose worker is gone, oldest first.

    ``besides`` are runs that the owner is still working on, whatever their leases say.
    """
    rows = list(
        session.scalars(
            select(RunRow)
            .where(*_claimable(now, besides))
            .order_by(RunRow.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )
    for found in rows:
        found.lease_owner, found.lease_expires_at = owner, until
        found.interruptions += found.status == "in_progress"
    return rows


def take(session: Session, run_id: str, owner: str, *, until: float) -> RunRow:
    """Take the lease of a run that this transaction has queued."""
    found = session.scalars(select(RunRow).where(RunRow.id == run_id)).one()
    found.lease_owner, found.lease_expires_at = owner, until
    return found


def has_claimable(session: Session, now: float, besides: Collection[str] = ()) -> bool:
    """Whether ``claim`` would find anything; needs no lock."""
    return bool(session.scalar(select(exists().where(*_claimable(now, besides)))))


def _claimable(now: float, besides: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return (
        RunRow.status.in_(CLAIMABLE_STATUSES),
        RunRow.id.not_in(besides),
        or_(RunRow.lease_owner.is_(None), RunRow.lease_expires_at < now),
    )


def renew(
    session: Session,
    owner: str,
    run_ids: list[str],
    *,
    until: float,
    timelines: Mapping[str, dict[str, Any]] | None = None,
) -> dict[str, str]:
    """Extend the owner's leases of these runs, and note what they are doing, where that is new;
    returns the status of each it still holds."""
    mine = (RunRow.lease_owner == owner, RunRow.id.in_(run_ids))
    session.execute(update(RunRow).where(*mine).values(lease_expires_at=until))
    for run_id, record in (timelines or {}).items():
        one = (RunRow.lease_owner == owner, RunRow.id == run_id)
        session.execute(update(RunRow).where(*one).values(timeline=record))
    found = session.execute(select(RunRow.id, RunRow.status).where(*mine))
    return {run_id: status for run_id, status in found}


def release(session: Session, owner: str, run_ids: list[str]) -> None:
    """Give leases back in order, so that any process may go on with these runs at once; taking
    them up again then does not count as an interruption."""
    session.execute(
        update(RunRow)
        .where(RunRow.lease_owner == owner, RunRow.id.in_(run_ids))
        .values(lease_owner=None, lease_expires_at=None, interruptions=-1)
    )


def waiting(session: Session) -> int:
    """How many runs no worker has taken up yet."""
    count = select(func.count()).select_from(RunRow).where(RunRow.status == "queued")
    return session.scalar(count) or 0


def lease_owners(session: Session) -> list[str]:
    """Owners of all leases, for finding those of processes that no longer live."""
    found = session.scalars(
        select(RunRow.lease_owner).where(RunRow.lease_owner.is_not(None)).distinct()
    )
    return [owner for owner in found if owner is not None]


def release_all(session: Session, owner: str) -> None:
    """Free every lease of an owner that is known to be dead."""
    session.execute(
        update(RunRow)
        .where(RunRow.lease_owner == owner)
        .values(lease_owner=None, lease_expires_at=None)
    )


def expired(session: Session, now: int) -> list[RunRow]:
    """Runs that waited for tool outputs beyond their ``expires_at``."""
    return list(
        session.scalars(
            select(RunRow).where(RunRow.status == "requires_action", RunRow.expires_at <= now)
        )
    )


def to_wire(found: RunRow) -> Run:
    request = found.request
    reason = found.incomplete_reason
    return Run.model_validate(
        {
            "id": found.id,
            "created_at": found.created_at,
            "thread_id": found.thread_id,
            "assistant_id": found.assistant_id,
            "status": found.status,
            "required_action": found.required_action,
            "last_error": found.last_error,
            "expires_at": found.expires_at,
            "started_at": found.started_at,
            "cancelled_at": found.cancelled_at,
            "failed_at": found.failed_at,
            "completed_at": found.completed_at,
            "incomplete_details": None if reason is None else {"reason": reason},
            "model": request["model"],
            "instructions": request["instructions"],
            "tools": request["tools"],
            "tool_resources": request["tool_resources"],
            "file_ids": request["file_ids"],
            "metadata": found.metadata_,
            "usage": found.usage,
            "temperature": 1.0 if request["temperature"] is None else request["temperature"],
            "top_p": 1.0 if request["top_p"] is None else request["top_p"],
            "max_prompt_tokens": request["max_prompt_tokens"],
            "max_completion_tokens": request["max_completion_tokens"],
            "truncation_strategy": request["truncation_strategy"],
            "tool_choice": request["tool_choice"],
            "parallel_tool_calls": request["parallel_tool_calls"],
            "response_format": request["response_format"],
            "reasoning_effort": request["reasoning_effort"],
            "context_truncation": found.context_truncation,
        }
    )
