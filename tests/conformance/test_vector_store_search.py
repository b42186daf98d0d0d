"""Files into vector stores and out of them again, through the official client."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.conformance.wire import raw

TEXTS = {
    "harbour.md": "# Harbour\n\nThe ferry to the island leaves at nine from the northern pier.",
    "bakery.txt": "The bakery sells rye bread and opens at six in the morning.",
    "museum.txt": "The museum shows clocks. Its curator repairs pendulum clocks on Mondays.",
}


def upload(client: openai.OpenAI, name: str, text: str) -> str:
    return client.files.create(file=(name, text.encode()), purpose="assistants").id


@pytest.fixture
def store_id(client: openai.OpenAI) -> Iterator[str]:
    """A store of three files with attributes, ready for search."""
    made = client.vector_stores.create(name="town").id
    own: Any = [
        {"file_id": upload(client, name, text), "attributes": {"number": number, "name": name}}
        for number, (name, text) in enumerate(TEXTS.items())
    ]
    batch = client.vector_stores.file_batches.create_and_poll(made, files=own)
    assert (batch.status, batch.file_counts.completed) == ("completed", 3)
    yield made
    client.vector_stores.delete(made)


def names(page: Any) -> list[str]:
    return [item.filename for item in page]


def test_a_store_that_is_ready(client: openai.OpenAI, store_id: str) -> None:
    store = client.vector_stores.retrieve(store_id)
    counts = store.file_counts
    assert (store.status, counts.completed, counts.total) == ("completed", 3, 3)
    files = list(client.vector_stores.files.list(store_id, filter="completed"))
    assert len(files) == 3 and all(file.usage_bytes > 0 for file in files)
    assert store.usage_bytes == sum(file.usage_bytes for file in files)
    assert not client.vector_stores.files.list(store_id, filter="in_progress").data


def test_the_text_of_a_file(client: openai.OpenAI, store_id: str) -> None:
    for file in client.vector_stores.files.list(store_id):
        (part,) = client.vector_stores.files.content(file.id, vector_store_id=store_id)
        name = client.files.retrieve(file.id).filename
        assert (part.type, part.text) == ("text", TEXTS[name])


def test_a_search(client: openai.OpenAI, store_id: str) -> None:
    page = client.vector_stores.search(store_id, query="Who repairs the pendulum clocks?")
    best = page.data[0]
    assert (best.filename, best.content[0].text) == ("museum.txt", TEXTS["museum.txt"])
    assert best.attributes == {"number": 2, "name": "museum.txt"}
    scores = [item.score for item in page]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores)
    assert page.search_query == ["Who repairs the pendulum clocks?"]  # type: ignore[attr-defined]
    (only,) = client.vector_stores.search(store_id, query="clocks", max_num_results=1)
    assert only.filename == "museum.txt"
    options: Any = {"ranker": "none", "score_threshold": 1.0}
    assert not client.vector_stores.search(store_id, query="?", ranking_options=options).data


def test_several_queries_are_one_search(client: openai.OpenAI, store_id: str) -> None:
    queries = ["rye bread", "ferry to the island"]
    page = client.vector_stores.search(store_id, query=queries, rewrite_query=True)
    assert set(names(page)[:2]) == {"bakery.txt", "harbour.md"}


FILTERS: list[tuple[Any, set[str]]] = [
    ({"type": "eq", "key": "name", "value": "bakery.txt"}, {"bakery.txt"}),
    ({"type": "gte", "key": "number", "value": 1}, {"bakery.txt", "museum.txt"}),
    ({"type": "in", "key": "number", "value": [0, 2]}, {"harbour.md", "museum.txt"}),
    ({"type": "eq", "key": "colour", "value": "red"}, set()),
    ({"type": "ne", "key": "colour", "value": "red"}, set(TEXTS)),
    (
        {
            "type": "or",
            "filters": [
                {"type": "lt", "key": "number", "value": 1},
                {
                    "type": "and",
                    "filters": [
                        {"type": "gt", "key": "number", "value": 0},
                        {"type": "nin", "key": "name", "value": ["museum.txt"]},
                    ],
                },
            ],
        },
        {"harbour.md", "bakery.txt"},
    ),
]


def test_filters(client: openai.OpenAI, store_id: str) -> None:
    for wanted, found in FILTERS:
        page = client.vector_stores.search(store_id, query="bread, ferry, clocks", filters=wanted)
        assert set(names(page)) == found, wanted


def test_attributes_count_from_the_next_search_on(client: openai.OpenAI, store_id: str) -> None:
    (file,) = (f for f in client.vector_stores.files.list(store_id) if f.attributes["number"] == 1)  # type: ignore[index]
    client.vector_stores.files.update(file.id, vector_store_id=store_id, attributes={"number": 40})
    late: Any = {"type": "gt", "key": "number", "value": 30}
    (found,) = client.vector_stores.search(store_id, query="bread", filters=late)
    assert (found.file_id, found.attributes) == (file.id, {"number": 40})


@pytest.mark.parametrize("how", ["from the store", "altogether"])
def test_what_is_deleted_is_not_found(client: openai.OpenAI, store_id: str, how: str) -> None:
    gone = client.vector_stores.search(store_id, query="rye bread").data[0]
    assert gone.filename == "bakery.txt"
    if how == "altogether":
        client.files.delete(gone.file_id)
    else:
        client.vector_stores.files.delete(gone.file_id, vector_store_id=store_id)
    assert "bakery.txt" not in names(client.vector_stores.search(store_id, query="rye bread"))


def test_another_strategy_returns_other_chunks(client: openai.OpenAI) -> None:
    text = "\n\n".join(
        f"Section {number}. " + f"Word{number} is said here and there. " * 12
        for number in range(30)
    )
    store_id, file_id = client.vector_stores.create().id, upload(client, "long.txt", text)
    files = client.vector_stores.files
    lengths = {}
    for size in (1000, 100):
        static = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": 0}
        file = files.create_and_poll(
            file_id,
            vector_store_id=store_id,
            chunking_strategy={"type": "static", "static": static},  # type: ignore[typeddict-item]
        )
        assert file.status == "completed"
        best = client.vector_stores.search(store_id, query="Word17").data[0].content[0].text
        assert "Word17" in best and best in text
        lengths[size] = len(best)
    assert lengths[100] < lengths[1000] / 4


def test_a_file_that_cannot_be_read(client: openai.OpenAI, store_id: str) -> None:
    broken = client.files.create(file=("broken.docx", b"PK\3\4 no archive"), purpose="assistants")
    file = client.vector_stores.files.create_and_poll(broken.id, vector_store_id=store_id)
    assert file.status == "failed" and file.last_error is not None
    assert file.last_error.code == "invalid_file" and file.last_error.message
    assert not client.vector_stores.files.content(file.id, vector_store_id=store_id).data
    store = client.vector_stores.retrieve(store_id)
    assert (store.status, store.file_counts.failed, store.file_counts.total) == ("completed", 1, 4)
    assert client.vector_stores.search(store_id, query="rye bread").data


def test_the_helpers_that_upload(client: openai.OpenAI) -> None:
    store_id = client.vector_stores.create().id
    one = client.vector_stores.files.upload_and_poll(
        vector_store_id=store_id, file=("one.txt", b"The lighthouse is red.")
    )
    assert one.status == "completed"
    streams: Any = [(name, io.BytesIO(text.encode())) for name, text in TEXTS.items()]
    batch = client.vector_stores.file_batches.upload_and_poll(store_id, files=streams)
    assert batch.file_counts.completed == 3
    found = client.vector_stores.search(store_id, query="What colour is the lighthouse?")
    assert found.data[0].file_id == one.id


def test_a_search_explained(client: openai.OpenAI, store_id: str) -> None:
    body = {"query": "pendulum clock", "max_num_results": 2}
    path = f"/vector_stores/{store_id}/search/explain"
    explanation = raw(client, "POST", path, json=body).json()
    assert explanation["object"] == "vector_store.search.explanation"
    assert explanation["search_query"] == ["pendulum clock"]
    best = explanation["data"][0]
    assert (best["filename"], best["attributes"]["number"]) == ("museum.txt", 2)
    span = best["span"]
    assert TEXTS["museum.txt"][span["start"] : span["end"]] == best["text"]
    assert best["near"]["start"] <= span["start"] and span["end"] <= best["wide"]["end"]
    words = {best["text"][each["start"] : each["end"]] for each in best["highlights"]}
    assert words == {"clocks", "pendulum"}
    assert set(best["scores"]) == {
        f"{kind}{window}" for kind in ("dense", "lexical") for window in ("", "_near", "_wide")
    }
    assert best["scores"]["lexical"] > 0 and 0 < best["score"] <= 1
    assert len(explanation["data"]) == 2
