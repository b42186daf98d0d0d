"""Many callers change one vector store while its files are ingested and searched."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

CALLERS, ACTIONS = 4, 12
WAIT_SECONDS = 60


def upload(client: openai.OpenAI, number: int) -> str:
    data = f"Note {number} says that the answer is {number * 7}.".encode()
    return client.files.create(file=(f"{number}.txt", data), purpose="assistants").id


def act(client: openai.OpenAI, store_id: str, file_ids: list[str], draw: random.Random) -> None:
    """One random change. That something has gone meanwhile is an answer, too."""
    stores = client.vector_stores
    file_id = draw.choice(file_ids)

    def batch() -> None:
        made = stores.file_batches.create(store_id, file_ids=draw.sample(file_ids, 3))
        stores.file_batches.cancel(made.id, vector_store_id=store_id)

    actions: list[Callable[[], Any]] = [
        lambda: stores.files.create(store_id, file_id=file_id),
        lambda: stores.files.delete(file_id, vector_store_id=store_id),
        lambda: stores.files.update(file_id, vector_store_id=store_id, attributes={"n": 1}),
        lambda: stores.files.list(store_id, limit=2, after=file_id),
        lambda: stores.search(store_id, query="What is the answer of note 5?"),
        batch,
    ]
    try:
        draw.choice(actions)()
    except (openai.NotFoundError, openai.BadRequestError):
        pass


def test_a_store_in_many_hands(client: openai.OpenAI) -> None:
    stores = client.vector_stores
    store_id = stores.create().id
    file_ids = [upload(client, number) for number in range(10)]

    def call(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(ACTIONS):
            act(client, store_id, file_ids, draw)
        client.files.delete(file_ids[seed])

    with ThreadPoolExecutor(CALLERS) as threads:
        list(threads.map(call, range(CALLERS)))
    # Attached once more, the files that are left are all there, each one once.
    left = file_ids[CALLERS:]
    for file_id in left:
        stores.files.create(store_id, file_id=file_id)
    deadline = time.monotonic() + WAIT_SECONDS
    while stores.retrieve(store_id).status == "in_progress" and time.monotonic() < deadline:
        time.sleep(0.05)
    files = list(stores.files.list(store_id, limit=4))
    assert sorted(file.id for file in files) == sorted(left)
    assert {file.status for file in files} == {"completed"}
    store = stores.retrieve(store_id)
    assert store.file_counts.completed == store.file_counts.total == len(left)
    assert store.usage_bytes == sum(file.usage_bytes for file in files)
    found = stores.search(store_id, query="note says answer", max_num_results=50)
    assert {item.file_id for item in found} == set(left)
