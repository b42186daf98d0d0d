"""What can be searched: the completed files of vector stores, with what a search needs of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from localassist.storage import store_files, vector_stores
from localassist.storage.database import Session
from localassist.storage.store_files import Member


@dataclass(frozen=True, slots=True)
class Membership:
    """The searchable files of one store, by file id, in the order they were attached."""

    store_id: str
    version: int
    embedder_id: str
    files: Mapping[str, Member]


def look(
    session: Session, project: str, store_ids: Sequence[str], known: Mapping[str, Membership]
) -> list[Membership]:
    """The stores that are there and have not expired, each once, in the order given; one that has
    not changed since ``known`` is taken from there."""
    rows = {row.id: row for row in vector_stores.rows_of(session, project, store_ids)}
    found = []
    for store_id in dict.fromkeys(store_ids):
        row = rows.get(store_id)
        if row is None or vector_stores.is_expired(row):
            continue
        old = known.get(store_id)
        if old is not None and old.version == row.version:
            found.append(old)
        else:
            files = {member.file_id: member for member in store_files.members(session, store_id)}
            found.append(Membership(store_id, row.version, row.embedder_id, files))
    return found


def segment_key(session: Session, project: str, store_id: str, file_id: str) -> str | None:
    """The content of a file in a store; None unless it is completed. Raises ResourceNotFound."""
    row = store_files.find(session, project, store_id, file_id)
    return row.segment_key if row.status == "completed" else None
