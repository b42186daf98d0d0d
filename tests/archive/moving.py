"""Exports and imports, whole, for tests that look at what comes of them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import openai

from localassist.archive.archive import Imported
from localassist.archive.export import Exported, Selection
from localassist.runtime import open_archive
from tests.archive.conftest import settings_of


def export(home: Path, target: Path, **selection: Any) -> Exported:
    async def run() -> Exported:
        async with open_archive(settings_of(home)) as archive:
            return await archive.export("default", target, Selection(**selection))

    return asyncio.run(run())


def load(home: Path, source: Path, project: str = "default", **options: Any) -> Imported:
    async def run() -> Imported:
        async with open_archive(settings_of(home)) as archive:
            return await archive.load(source, project, **options)

    return asyncio.run(run())


def ingested(client: openai.OpenAI, store_id: str) -> None:
    until = time.monotonic() + 60
    while client.vector_stores.retrieve(store_id).file_counts.in_progress:
        assert time.monotonic() < until
        time.sleep(0.05)


def everything(client: openai.OpenAI, thread_ids: list[str]) -> dict[str, Any]:
    """All objects as the API shows them, but for what is measured anew."""
    beta = client.beta
    found: dict[str, Any] = {
        "assistants": [a.to_dict() for a in beta.assistants.list(order="asc")],
        "files": [f.to_dict() for f in client.files.list(order="asc")],
        "threads": [beta.threads.retrieve(i).to_dict() for i in thread_ids],
        "messages": [m.to_dict() for i in thread_ids for m in beta.threads.messages.list(i)],
        "runs": [r.to_dict() for i in thread_ids for r in beta.threads.runs.list(i)],
    }
    found["steps"] = [
        s.to_dict()
        for r in found["runs"]
        for s in beta.threads.runs.steps.list(r["id"], thread_id=r["thread_id"])
    ]
    stores = client.vector_stores.list(order="asc")
    found["stores"] = [{**s.to_dict(), "last_active_at": 0} for s in stores]
    found["store files"] = [
        f.to_dict() for s in stores for f in client.vector_stores.files.list(s.id)
    ]
    return found
