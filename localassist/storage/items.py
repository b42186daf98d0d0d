"""A thread's items: everything the model saw and said, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from localassist.core import GeneratedText
from localassist.storage.database import Session
from localassist.storage.run_events import pack, unpack
from localassist.storage.tables import ItemRow, MessageRow


@dataclass(frozen=True, slots=True)
class Item:
    """One item as the context builder reads it.

    kind ``message``: role and content parts of the message. ``calls``: payload
    ``{"calls": [{id, name, arguments}]}``. ``output``: payload ``{call_id, name, output}``. Calls
    and outputs of tools of ours name the tool under ``built_in``, and such outputs have what came
    of it in place of ``output``.
    """

    seq: int
    kind: str
    run_id: str | None
    message_id: str | None
    role: str | None
    content: list[dict[str, Any]]
    generated: GeneratedText | None
    payload: dict[str, Any]


def append(
    session: Session,
    thread_id: str,
    kind: str,
    *,
    run_id: str | None = None,
    message_id: str | None = None,
    generated: GeneratedText | None = None,
    payload: dict[str, Any] | None = None,
) -> None:
    session.add(
        ItemRow(
            thread_id=thread_id,
            run_id=run_id,
            message_id=message_id,
            kind=kind,
            text=None if generated is None else generated.text,
            token_ids=None if generated is None else pack(generated.token_ids),
            model_id=None if generated is None else generated.model_id,
            payload=payload,
        )
    )


def of_thread(session: Session, thread_id: str) -> list[Item]:
    """All items of the thread, oldest first. A message that is still open is not among them."""
    rows = session.execute(
        select(ItemRow, MessageRow.role, MessageRow.content)
        .outerjoin(MessageRow, MessageRow.id == ItemRow.message_id)
        .where(ItemRow.thread_id == thread_id)
        .order_by(ItemRow.seq)
    )
    return [_item(row, role, content) for row, role, content in rows]


def _item(row: ItemRow, role: str | None, content: list[dict[str, Any]] | None) -> Item:
    generated = None
    if row.text is not None:
        generated = GeneratedText(row.text, unpack(row.token_ids), row.model_id or "")
    return Item(
        row.seq,
        row.kind,
        row.run_id,
        row.message_id,
        role,
        content or [],
        generated,
        row.payload or {},
    )
