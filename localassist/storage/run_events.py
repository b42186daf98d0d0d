"""The append-only event log of a run, and the exact tokens behind its text deltas."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select

from localassist.schemas.events import MESSAGE_DELTA, RunEvent
from localassist.storage.database import Session
from localassist.storage.tables import RunEventRow, RunRow


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that has no number yet. ``token_ids`` only for text deltas."""

    name: str
    data: dict[str, Any]
    token_ids: tuple[int, ...] = ()


def append(session: Session, run: RunRow, events: Sequence[NewEvent]) -> list[RunEvent]:
    """Number the events after the run's last one and store them in this transaction."""
    first = run.last_event_seq + 1
    numbered = [RunEvent(first + n, event.name, event.data) for n, event in enumerate(events)]
    if not numbered:
        return []
    session.execute(
        insert(RunEventRow),
        [
            {
                "run_id": run.id,
                "seq": stored.seq,
                "name": event.name,
                "data": event.data,
                "token_ids": pack(event.token_ids) if event.token_ids else None,
            }
            for stored, event in zip(numbered, events, strict=True)
        ],
    )
    run.last_event_seq = numbered[-1].seq
    return numbered


def read(session: Session, run_id: str, after_seq: int) -> list[RunEvent]:
    """Events behind ``after_seq``, in order."""
    rows = session.execute(
        select(RunEventRow.seq, RunEventRow.name, RunEventRow.data)
        .where(RunEventRow.run_id == run_id, RunEventRow.seq > after_seq)
        .order_by(RunEventRow.seq)
    )
    return [RunEvent(seq, name, data) for seq, name, data in rows]


def streamed_text(session: Session, run_id: str, message_id: str) -> tuple[str, tuple[int, ...]]:
    """The text of a message so far and its tokens, from the deltas in the log."""
    rows = session.execute(
        select(RunEventRow.data, RunEventRow.token_ids)
        .where(RunEventRow.run_id == run_id, RunEventRow.name == MESSAGE_DELTA)
        .order_by(RunEventRow.seq)
    )
    text, tokens = [], array("I")
    for data, packed in rows:
        if data["id"] == message_id:
            text += [part["text"]["value"] for part in data["delta"]["content"] if "text" in part]
            tokens.extend(unpack(packed))
    return "".join(text), tuple(tokens)


def delete_logs(session: Session, ended_before: int) -> int:
    """Forget the logs of runs that ended before; returns how many events went."""
    old = select(RunRow.id).where(RunRow.ended_at < ended_before)
    count = session.scalar(
        select(func.count()).select_from(RunEventRow).where(RunEventRow.run_id.in_(old))
    )
    if count:
        session.execute(delete(RunEventRow).where(RunEventRow.run_id.in_(old)))
    return count or 0


def pack(token_ids: Sequence[int]) -> bytes:
    """Little-endian uint32, four bytes a token."""
    packed = array("I", token_ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(packed: bytes | None) -> tuple[int, ...]:
    """The inverse of ``pack``; nothing for None."""
    tokens = array("I")
    tokens.frombytes(packed or b"")
    if sys.byteorder == "big":
        tokens.byteswap()
    return tuple(tokens)
