"""Stores with files in them, for tests that look at rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import update

from localassist.schemas.vector_stores import StoreFileCreate
from localassist.storage import files, store_files, vector_stores
from localassist.storage.blobs import Blob
from localassist.storage.database import Database, Session
from localassist.storage.tables import StoreFileRow, VectorStoreRow

P = "proj_default"


def new_files(session: Session, count: int) -> list[str]:
    return [
        files.insert(
            session,
            P,
            filename=f"{number}.txt",
            purpose="assistants",
            blob=Blob(f"{number:064x}", 1),
            expires_after=None,
        ).id
        for number in range(count)
    ]


def new_store(session: Session, file_ids: list[str], **fields: Any) -> str:
    store_id = vector_stores.insert(session, P, embedder_id="e", **fields)
    attach(session, store_id, *file_ids)
    return store_id


def attach(session: Session, store_id: str, *file_ids: str, **fields: Any) -> None:
    entries = [
        StoreFileCreate.model_validate({"file_id": file_id, **fields}) for file_id in file_ids
    ]
    store_files.attach(session, P, store_id, entries)


async def filled(database: Database, count: int, **fields: Any) -> tuple[str, list[str]]:
    """A store and its files, all of them queued."""

    def make(session: Session) -> tuple[str, list[str]]:
        file_ids = new_files(session, count)
        return new_store(session, file_ids, **fields), file_ids

    return await database.write(make)


def end(session: Session, status: str, *file_ids: str) -> None:
    """Pretend that these files were ingested, wherever they are."""
    named = StoreFileRow.id.in_(file_ids)
    values = {"status": status, "usage_bytes": 100 if status == "completed" else 0}
    session.execute(update(StoreFileRow).where(named).values(**values, segment_key="s"))


def version(session: Session, store_id: str) -> int:
    return session.get_one(VectorStoreRow, _seq(session, store_id)).version


def _seq(session: Session, store_id: str) -> int:
    return vector_stores.find(session, P, store_id).seq


async def ask(database: Database, question: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """What a function of a repository says, in the tests' project."""
    return await database.read(lambda session: question(session, P, *args, **options))
