"""The server is killed while it ingests, and its successor ends what it began: every file is
searchable in the end, and none of it twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from openai.types import VectorStore

from localassist.retrieval.segments import SegmentStore
from localassist.retrieval.store_index import StoreIndex
from tests.conformance.serving import Server, serve
from tests.conformance.test_kill import scripted_server
from tests.conformance.wire import check_every_answer

WORDS = "anchor basil copper dune ember fjord glacier harbour iris jasper".split()


def text(number: int) -> bytes:
    """A file of some 20 units, which alone knows its number."""
    luck = random.Random(number)
    lines = [
        f"The {luck.choice(WORDS)} of the {luck.choice(WORDS)} is told of in line {line} of the "
        f"book of tale{number:04}, which has many more lines about a {luck.choice(WORDS)}."
        for line in range(60)
    ]
    return "\n\n".join(lines).encode()


@contextmanager
def client_of(server: Server) -> Iterator[openai.OpenAI]:
    with server.client() as client:
        check_every_answer(client)
        yield client


def start_ingest(server: Server, count: int) -> tuple[str, dict[str, int]]:
    """The store, and the number that each file knows, by file id."""
    with client_of(server) as client:
        numbers = {}
        for number in range(count):
            content = (f"tale{number}.txt", text(number))
            numbers[client.files.create(file=content, purpose="assistants").id] = number
        store = client.vector_stores.create(name="tales")
        ids = list(numbers)
        client.vector_stores.file_batches.create(store.id, file_ids=ids[: count // 2])
        for file_id in ids[count // 2 :]:
            client.vector_stores.files.create(vector_store_id=store.id, file_id=file_id)
        return store.id, numbers


def wait(client: openai.OpenAI, store_id: str, seconds: float) -> VectorStore:
    until = time.monotonic() + seconds
    while True:
        store = client.vector_stores.retrieve(store_id)
        if store.file_counts.in_progress == 0 or time.monotonic() > until:
            return store
        time.sleep(0.1)


def check_everything(
    server: Server, home: Path, store_id: str, numbers: dict[str, int], seconds: float
) -> None:
    with client_of(server) as client:
        store = wait(client, store_id, seconds)
        counts = store.file_counts
        assert (counts.completed, counts.total) == (len(numbers), len(numbers)), counts
        listed = list(client.vector_stores.files.list(store_id, limit=100))
        assert sorted(file.id for file in listed) == sorted(numbers)
        assert store.usage_bytes == sum(file.usage_bytes for file in listed)
        for file_id, number in list(numbers.items())[:: max(1, len(numbers) // 10)]:
            found = client.vector_stores.search(store_id, query=f"tale{number:04}").data
            assert found[0].file_id == file_id
            chunks = [(each.file_id, each.content[0].text) for each in found]
            assert len(chunks) == len(set(chunks))
    server.kill()
    check_index(home, store_id, numbers)


def check_index(home: Path, store_id: str, numbers: dict[str, int]) -> None:
    """Every unit of every file is in the index, once."""
    segments = SegmentStore(home / "segments")
    stored = [segment for key in segments.keys() if (segment := segments.get(key)) is not None]
    assert len(stored) == len(numbers)
    units = {
        number: len(segment)
        for segment in stored
        for number in numbers.values()
        if f"tale{number:04}" in segment.unit_text(0)
    }
    index = StoreIndex.open(home / "stores" / store_id, stored[0].vectors.shape[1])
    try:
        assert index.file_ids() == set(numbers)
        assert dict(index.lexical.units) == {
            file_id: units[number] for file_id, number in numbers.items()
        }
    finally:
        index.close()


def survive(
    start: Callable[[Path], Server],
    home: Path,
    *,
    files: int,
    deaths: int,
    pauses: tuple[float, float],
    seconds: float,
) -> None:
    """Kill the server again and again while it ingests; then everything is there once."""
    server = start(home)
    try:
        store_id, numbers = start_ingest(server, files)
        luck = random.Random(files)
        for _ in range(deaths):
            time.sleep(luck.uniform(*pauses))
            server.kill()
            server = start(home)
        check_everything(server, home, store_id, numbers, seconds)
    finally:
        server.kill()


def test_a_killed_ingest_is_ended_by_the_next_process(tmp_path: Path) -> None:
    survive(scripted_server, tmp_path, files=30, deaths=3, pauses=(0, 0.6), seconds=60)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(1200)
def test_200_files_survive_ten_deaths(tmp_path: Path) -> None:
    survive(serve, tmp_path, files=200, deaths=10, pauses=(0.2, 6), seconds=900)
