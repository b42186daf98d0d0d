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
