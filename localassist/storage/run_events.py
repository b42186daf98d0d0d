"""The append-only event log of a run, and the exact tokens behind its text deltas."""

from __future__ import annotations

import logging
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from localassist.errors import StorageCorrupt
from localassist.schemas.events import MESSAGE_DELTA, STEP_DELTA, RunEvent
from localassist.storage.database import Session
from localassist.storage.tables import Base, RunEventRow, RunRow

_log = logging.getLogger(__name__)
_RUNS, _EVENTS = Base.metadata.tables["runs"], Base.metadata.tables["run_events"]
# Progress is stored dozens of times a second: statements are made once and need nothing of the ORM.
_INSERT = insert(_EVENTS)
_HELD = (
    select(_RUNS.c.id, _RUNS.c.last_event_seq)
    .where(_RUNS.c.lease_owner == bindparam("owner"))
    .where(_RUNS.c.id.in_(bindparam("runs", expanding=True)))
    .with_for_update()
)
_ADVANCE = (
    update(_RUNS).where(_RUNS.c.id == bindparam("run")).values(last_event_seq=bindparam("last"))
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that has no number yet. ``token_ids`` only for text deltas."""

    name: str
    data: dict[str, Any]
    token_ids: tuple[int, ...] = ()


def append(session: Session, run: RunRow, events: Sequence[NewEvent]) -> list[RunEvent]:
    """Number the events after the run's last one and store them in this transaction."""
    if not events:
        return []
    rows = _rows(run.id, run.last_event_seq + 1, events)
    session.execute(_INSERT, rows)
    run.last_event_seq = rows[-1]["seq"]
    return _numbered(rows)


def begin(session: Session, events: Mapping[str, NewEvent]) -> None:
    """Store the first event of runs that have none, by id; their ``last_event_seq`` is 0."""
    rows = [row for run_id, event in events.items() for row in _rows(run_id, 0, [event])]
    if rows:
        session.connection().execute(_INSERT, rows)


def append_progress(
    session: Session, owner: str, progress: Mapping[str, Sequence[NewEvent]]
) -> dict[str, list[RunEvent]]:
    """The same for several runs, by id, with three statements in all. Those whose lease ``owner``
    does not hold are left out. No run may be loaded in this session."""
    connection = session.connection()
    held = connection.execute(_HELD, {"owner": owner, "runs": list(progress)}).all()
    added = {run_id: _rows(run_id, last + 1, progress[run_id]) for run_id, last in held}
    added = {run_id: rows for run_id, rows in added.items() if rows}
    if added:
        connection.execute(_INSERT, [row for rows in added.values() for row in rows])
        ends = [{"run": run_id, "last": rows[-1]["seq"]} for run_id, rows in added.items()]
        connection.execute(_ADVANCE, ends)
    return {run_id: _numbered(added.get(run_id, [])) for run_id, _ in held}


def _rows(run_id: str, first_seq: int, events: Sequence[NewEvent]) -> list[dict[str, Any]]:
    return [
        {
            "run_id": run_id,
            "seq": seq,
            "name": event.name,
            "data": event.data,
            "token_ids": pack(event.token_ids) if event.token_ids else None,
        }
        for seq, event in enumerate(events, first_seq)
    ]


def _numbered(rows: Sequence[dict[str, Any]]) -> list[RunEvent]:
    return [RunEvent(row["seq"], row["name"], row["data"]) for row in rows]


def read(session: Session, run_id: str, after_seq: int) -> list[RunEvent]:
    """Events behind ``after_seq``, in order."""
    rows = session.execute(
        select(RunEventRow.seq, RunEventRow.name, RunEventRow.data)
        .where(RunEventRow.run_id == run_id, RunEventRow.seq > after_seq)
        .order_by(RunEventRow.seq)
    )
    return [RunEvent(seq, name, data) for seq, name, data in rows]


@dataclass(frozen=True, slots=True)
class StreamedText:
    """A message so far: its text, the tokens behind it, its annotations as the message shows them,
    and the files of the images before the text."""

    text: str
    token_ids: tuple[int, ...]
    annotations: tuple[dict[str, Any], ...]
    images: tuple[str, ...] = ()


def streamed_text(session: Session, run_id: str, message_id: str) -> StreamedText:
    """What a message shows so far, from the deltas in the log."""
    parts: list[dict[str, Any]] = []
    tokens = array("I")
    for data, packed in _deltas(session, run_id, MESSAGE_DELTA):
        if data["id"] == message_id:
            parts += data["delta"]["content"]
            tokens.extend(unpack(packed))
    texts = [part["text"] for part in parts if part["type"] == "text"]
    annotations = [_unindexed(one) for text in texts for one in text.get("annotations", ())]
    images = [part["image_file"]["file_id"] for part in parts if part["type"] == "image_file"]
    said = "".join(text["value"] for text in texts)
    return StreamedText(said, tuple(tokens), tuple(annotations), tuple(images))


def streamed_calls(session: Session, run_id: str, step_id: str) -> list[dict[str, Any]]:
    """The calls of a step so far, as a step shows them, from the deltas in the log."""
    calls: list[dict[str, Any]] = []
    for data, _ in _deltas(session, run_id, STEP_DELTA):
        if data["id"] != step_id:
            continue
        for part in data["delta"]["step_details"]["tool_calls"]:
            if "id" in part:
                # Its inner object is added to below, and the log's must stay as it is.
                calls.append({**_unindexed(part), part["type"]: dict(part[part["type"]])})
            else:
                _add_fragment(calls[part["index"]], part)
    return calls


def _deltas(
    session: Session, run_id: str, name: str
) -> Sequence[tuple[dict[str, Any], bytes | None]]:
    """The run's deltas of this kind with their tokens, in order; in a damaged log, those before the
    first that cannot be read: whatever happened to its log, a run must be able to go on or end."""
    place = (RunEventRow.run_id == run_id, RunEventRow.name == name)
    wanted = select(RunEventRow.data, RunEventRow.token_ids).where(*place)
    try:
        return [
            (data, packed) for data, packed in session.execute(wanted.order_by(RunEventRow.seq))
        ]
    except StorageCorrupt as error:
        _log.error("the log of %s is damaged: %s", run_id, error.message)
    numbers = session.scalars(select(RunEventRow.seq).where(*place).order_by(RunEventRow.seq))
    readable: list[tuple[dict[str, Any], bytes | None]] = []
    for seq in numbers.all():
        try:
            data, packed = session.execute(wanted.where(RunEventRow.seq == seq)).one()
        except StorageCorrupt:
            break
        readable.append((data, packed))
    return readable


def _add_fragment(call: dict[str, Any], part: dict[str, Any]) -> None:
    whole = call[call["type"]]
    for key, value in part[call["type"]].items():
        if isinstance(value, list):
            whole[key] = _with_outputs(whole[key], value)
        else:
            whole[key] += value


def _with_outputs(
    outputs: Sequence[dict[str, Any]], fragments: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Outputs of code come one by one, and only the newest can grow, which is a text."""
    grown = list(outputs)
    for fragment in fragments:
        output = _unindexed(fragment)
        if fragment["index"] < len(grown):
            output["logs"] = grown.pop()["logs"] + output["logs"]
        grown.append(output)
    return grown


def _unindexed(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of a delta's list as it stands in the finished list."""
    return {key: value for key, value in entry.items() if key != "index"}


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
