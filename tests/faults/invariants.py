"""What must hold in a data folder whenever no process has it open, whatever happened before."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from localassist.retrieval.segments import SegmentStore
from localassist.runs.state import ACTIVE, TERMINAL

DAY_SECONDS = 24 * 3600
Rows = list[sqlite3.Row]


def violations(home: Path) -> list[str]:
    """Everything that does not hold, in words."""
    with closing(sqlite3.connect(home / "localassist.db")) as database:
        database.row_factory = sqlite3.Row

        def rows(statement: str) -> Rows:
            return database.execute(statement).fetchall()

        return [
            *(f"integrity: {row[0]}" for row in rows("PRAGMA integrity_check") if row[0] != "ok"),
            *(f"foreign key of {row[0]}" for row in rows("PRAGMA foreign_key_check")),
            *_logs(rows("SELECT * FROM runs"), rows("SELECT * FROM run_events ORDER BY seq")),
            *_open_parts(rows),
            *_messages(rows),
            *_blobs(home, rows),
            *_stores(home, rows),
        ]


def _logs(runs: Rows, events: Rows) -> Iterator[str]:
    """Logs have no gaps, and end with what the run's row says."""
    log: dict[str, list[sqlite3.Row]] = {}
    for event in events:
        log.setdefault(event["run_id"], []).append(event)
    for run in runs:
        found = log.get(run["id"], [])
        if [event["seq"] for event in found] != list(range(run["last_event_seq"] + 1)):
            yield f"{run['id']}: the log has gaps, or another length than the run says"
            continue
        names = [event["name"] for event in found]
        ends = [name for name in names if name.removeprefix("thread.run.") in TERMINAL]
        if run["status"] in TERMINAL and (ends, names[-1]) != (ends[-1:], ends[-1]):
            yield f"{run['id']}: its end is not the last event, or not the only one: {names[-3:]}"
        if ends and ends != [f"thread.run.{run['status']}"]:
            yield f"{run['id']} is {run['status']}, and its log says {ends}"
        statuses = [
            name.removeprefix("thread.run.")
            for name in names
            if name.removeprefix("thread.run.") in TERMINAL | ACTIVE
        ]
        if statuses[-1:] != [run["status"]]:
            yield f"{run['id']} is {run['status']}, and its log stops at {statuses[-1:]}"


def _open_parts(rows: Any) -> Iterator[str]:
    """Nothing of a run that has ended is open, and no lease is held for it."""
    over = "SELECT id FROM runs WHERE ended_at IS NOT NULL"
    for table, name in (("messages", "message"), ("run_steps", "step")):
        for row in rows(
            f"SELECT id FROM {table} WHERE status = 'in_progress' AND run_id IN ({over})"
        ):
            yield f"the {name} {row['id']} is open though its run has ended"
    for row in rows("SELECT id, status, lease_owner, ended_at FROM runs"):
        if (row["status"] in TERMINAL) != (row["ended_at"] is not None):
            yield f"{row['id']} is {row['status']} and ended at {row['ended_at']}"
        if row["status"] in {*TERMINAL, "requires_action"} and row["lease_owner"] is not None:
            yield f"{row['id']} is {row['status']} and still held by {row['lease_owner']}"
    crowded = "SELECT thread_id FROM runs WHERE ended_at IS NULL GROUP BY 1 HAVING count(*) > 1"
    for row in rows(crowded):
        yield f"{row['thread_id']} has more than one active run"


def _messages(rows: Any) -> Iterator[str]:
    """A finished answer is what its log told, and what the model will be told it said."""
    told: dict[str, str] = {}
    for event in rows(
        "SELECT data FROM run_events WHERE name = 'thread.message.delta' ORDER BY run_id, seq"
    ):
        data = json.loads(event["data"])
        for part in data["delta"]["content"]:
            said = part.get("text", {}).get("value", "")
            told[data["id"]] = told.get(data["id"], "") + said
    items = {row["message_id"]: row["text"] for row in rows("SELECT message_id, text FROM items")}
    for row in rows("SELECT id, role, status, content FROM messages"):
        if row["status"] == "in_progress":
            continue
        text = "".join(part.get("text", {}).get("value", "") for part in json.loads(row["content"]))
        if row["id"] not in items and text:
            yield f"{row['id']} is not in the context of its thread"
        if row["role"] == "assistant" and text != told.get(row["id"], ""):
            yield f"{row['id']} says something else than its log"


def _blobs(home: Path, rows: Any) -> Iterator[str]:
    """Every row has its content, and contents without a row are young."""
    named = {row[0]: row[1] for row in rows("SELECT sha256, bytes FROM files")}
    named |= {row[0]: row[1] for row in rows("SELECT sha256, bytes FROM upload_parts")}
    for sha256, size in named.items():
        path = home / "blobs" / sha256[:2] / sha256
        if not path.exists():
            yield f"the content {sha256} is missing"
            continue
        content = path.read_bytes()
        if (len(content), hashlib.sha256(content).hexdigest()) != (size, sha256):
            yield f"the content {sha256} is damaged"
    for path in (home / "blobs").glob("*/*"):
        if path.name not in named and time.time() - path.stat().st_mtime > DAY_SECONDS:
            yield f"{path.relative_to(home)} belongs to nothing, and is older than a day"


def _stores(home: Path, rows: Any) -> Iterator[str]:
    """Files that can be searched have a segment that can be read."""
    segments = SegmentStore(home / "segments")
    for row in rows("SELECT * FROM vector_store_files WHERE status = 'completed'"):
        if row["segment_key"] is None or segments.get(row["segment_key"]) is None:
            yield f"{row['file_id']} is searchable in {row['store_id']} and has no segment"
