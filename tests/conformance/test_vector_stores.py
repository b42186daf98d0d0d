"""Vector stores, their files and batches as objects: what can be done with them, and how it is
refused. What is found in them is tested in ``test_vector_store_search``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from localassist import clock
from tests.conformance.wire import raw

DAY = 86_400
SMALL: Any = {
    "type": "static",
    "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100},
}


def upload(client: openai.OpenAI, name: str = "notes.txt") -> str:
    data = f"These are the words of {name}.".encode()
    return client.files.create(file=(name, data), purpose="assistants").id


def refused(error: pytest.ExceptionInfo[openai.APIStatusError]) -> tuple[str, Any, Any]:
    body: Any = error.value.body
    assert body["type"] == "invalid_request_error"
    return body["message"], body["param"], body["code"]


def ids(page: Any) -> list[str]:
    return [item.id for item in page]


def test_a_store_from_its_creation_to_its_end(client: openai.OpenAI) -> None:
    stores = client.vector_stores
    made = stores.create(metadata={"a": "1"}, description="what it is for")
    assert (made.name, made.status, made.usage_bytes) == ("", "completed", 0)
    assert made.file_counts.total == 0 and made.last_active_at == made.created_at
    assert (made.expires_after, made.expires_at) == (None, None)
    policy: Any = {"anchor": "last_active_at", "days": 3}
    changed = stores.update(made.id, name="books", metadata={"b": "2"}, expires_after=policy)
    assert (changed.name, changed.metadata) == ("books", {"a": "1", "b": "2"})
    assert changed.expires_at == changed.last_active_at + 3 * DAY  # type: ignore[operator]
    assert stores.update(made.id, expires_after=None).expires_at is None
    assert stores.list(limit=1).data == [stores.retrieve(made.id)]
    file_id = upload(client)
    stores.files.create(made.id, file_id=file_id)
    assert stores.delete(made.id).to_dict() == {
        "id": made.id,
        "object": "vector_store.deleted",
        "deleted": True,
    }
    assert client.files.retrieve(file_id).id == file_id
    with pytest.raises(openai.NotFoundError) as error:
        stores.retrieve(made.id)
    assert refused(error) == (f"No vector store found with id '{made.id}'.", None, None)


def test_pages_of_stores(client: openai.OpenAI) -> None:
    made = [client.vector_stores.create().id for _ in range(3)]
    assert ids(client.vector_stores.list(limit=3).data) == made[::-1]
    client.vector_stores.delete(made[1])
    assert ids(client.vector_stores.list(after=made[1], limit=1).data) == [made[0]]
    assert ids(client.vector_stores.list(before=made[1], limit=1).data) == [made[2]]
    page = client.vector_stores.list(order="asc", after=made[0], limit=1)
    assert ids(page.data) == [made[2]] and not page.has_more


def test_files_that_a_store_begins_with(client: openai.OpenAI) -> None:
    a, b = upload(client), upload(client)
    store = client.vector_stores.create(file_ids=[a, b, a], chunking_strategy=SMALL)
    assert store.file_counts.total == 2
    found = client.vector_stores.files.list(store.id, order="asc").data
    assert ids(found) == [a, b]
    assert all(file.chunking_strategy.to_dict() == SMALL for file in found)  # type: ignore[union-attr]


def test_a_file_in_a_store(client: openai.OpenAI) -> None:
    store_id, file_id = client.vector_stores.create().id, upload(client)
    files = client.vector_stores.files
    made = files.create(store_id, file_id=file_id, attributes={"year": 1999, "in": True, "x": "y"})
    assert (made.id, made.vector_store_id, made.last_error) == (file_id, store_id, None)
    assert made.attributes == {"year": 1999, "in": True, "x": "y"}
    auto = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}
    assert made.chunking_strategy.to_dict() == {"type": "static", "static": auto}  # type: ignore[union-attr]
    changed = files.update(file_id, vector_store_id=store_id, attributes={"z": 1.5})
    assert changed.attributes == {"z": 1.5}
    assert files.update(file_id, vector_store_id=store_id, attributes=None).attributes == {}
    again = files.create(store_id, file_id=file_id, chunking_strategy=SMALL)
    assert (again.id, again.created_at) == (file_id, made.created_at)
    assert client.vector_stores.retrieve(store_id).file_counts.total == 1
    assert files.delete(file_id, vector_store_id=store_id).to_dict() == {
        "id": file_id,
        "object": "vector_store.file.deleted",
        "deleted": True,
    }
    assert client.vector_stores.retrieve(store_id).file_counts.total == 0
    with pytest.raises(openai.NotFoundError) as error:
        files.retrieve(file_id, vector_store_id=store_id)
    text = f"No file found with id '{file_id}' in vector store '{store_id}'."
    assert refused(error) == (text, None, None)


def test_deleting_a_file_takes_it_out_of_every_store(client: openai.OpenAI) -> None:
    kept, gone = upload(client), upload(client)
    stores = [client.vector_stores.create(file_ids=[gone, kept]).id for _ in range(2)]
    batch = client.vector_stores.file_batches.create(stores[0], file_ids=[gone, kept])
    client.files.delete(gone)
    for store_id in stores:
        assert ids(client.vector_stores.files.list(store_id)) == [kept]
        assert client.vector_stores.retrieve(store_id).file_counts.total == 1
    seen = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=stores[0])
    assert seen.file_counts.total == 1


def test_deleting_while_paging(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(file_ids=[upload(client) for _ in range(5)])
    files = client.vector_stores.files
    seen = []
    for file in files.list(store.id, limit=2):
        seen.append(file.id)
        files.delete(file.id, vector_store_id=store.id)
    assert len(set(seen)) == 5 and not files.list(store.id).data


def test_a_batch(client: openai.OpenAI) -> None:
    store_id = client.vector_stores.create().id
    batches = client.vector_stores.file_batches
    a, b, c = (upload(client) for _ in range(3))
    made = batches.create(
        store_id, file_ids=[a, b], attributes={"part": 1}, chunking_strategy=SMALL
    )
    assert (made.vector_store_id, made.file_counts.total) == (store_id, 2)
    own: Any = [{"file_id": c, "attributes": {"part": 2}}]
    other = batches.create(store_id, files=own)
    assert ids(batches.list_files(made.id, vector_store_id=store_id, order="asc")) == [a, b]
    (file,) = batches.list_files(other.id, vector_store_id=store_id).data
    assert (file.id, file.attributes) == (c, {"part": 2})
    assert batches.retrieve(made.id, vector_store_id=store_id).id == made.id
    # Not what the SDK's type says, but what the hosted API sends.
    assert made.object == "vector_store.file_batch"  # type: ignore[comparison-overlap]
    assert batches.cancel(made.id, vector_store_id=store_id).id == made.id
    for path in (
        f"/vector_stores/{store_id}/file_batches/{made.id}",
        f"/vector_stores/{store_id}/files/{a}",
    ):
        assert int(raw(client, "GET", path).headers["openai-poll-after-ms"]) > 0
    with pytest.raises(openai.NotFoundError) as error:
        batches.retrieve("vsfb_x", vector_store_id=store_id)
    assert refused(error) == ("No file batch found with id 'vsfb_x'.", None, None)


Request = Callable[[openai.OpenAI, str], object]
NO_FILE = "No such File object: file-x"
MISSING: dict[str, tuple[Request, str, str | None]] = {
    "store": (
        lambda client, _: client.vector_stores.files.create("vs_x", file_id="file-x"),
        "No vector store found with id 'vs_x'.",
        None,
    ),
    "file to attach": (
        lambda client, store_id: client.vector_stores.files.create(store_id, file_id="file-x"),
        NO_FILE,
        "file_id",
    ),
    "file of a new store": (
        lambda client, _: client.vector_stores.create(file_ids=["file-x"]),
        NO_FILE,
        "file_ids",
    ),
    "file of a batch": (
        lambda client, store_id: client.vector_stores.file_batches.create(
            store_id, files=[{"file_id": "file-x"}]
        ),
        NO_FILE,
        "files",
    ),
    "cursor": (
        lambda client, _: client.vector_stores.list(after="vs_x"),
        "No vector store found with id 'vs_x'.",
        None,
    ),
    "search": (
        lambda client, _: client.vector_stores.search("vs_x", query="?"),
        "No vector store found with id 'vs_x'.",
        None,
    ),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_is_not_there(client: openai.OpenAI, case: str) -> None:
    request, message, param = MISSING[case]
    store_id = client.vector_stores.create().id
    with pytest.raises(openai.NotFoundError) as error:
        request(client, store_id)
    assert refused(error) == (message, param, None)


WRONG: dict[str, tuple[Request, str | None, str]] = {
    "id": (lambda client, _: client.vector_stores.retrieve("thread_x"), "vector_store_id", "value"),
    "batch id": (
        lambda client, store_id: client.vector_stores.file_batches.retrieve(
            "batch_x", vector_store_id=store_id
        ),
        "batch_id",
        "value",
    ),
    "filter": (
        lambda client, store_id: client.vector_stores.files.list(store_id, filter="done"),  # type: ignore[arg-type]
        "filter",
        "value",
    ),
    "days": (
        lambda client, _: client.vector_stores.create(
            expires_after={"anchor": "last_active_at", "days": 366}
        ),
        "expires_after.days",
        "",
    ),
    "both ways": (
        lambda client, store_id: client.vector_stores.file_batches.create(
            store_id, file_ids=["file-a"], files=[{"file_id": "file-b"}]
        ),
        "file_ids",
        "value",
    ),
    "overlap": (
        lambda client, store_id: client.vector_stores.files.create(
            store_id,
            file_id="file-x",
            chunking_strategy={
                "type": "static",
                "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51},
            },
        ),
        "chunking_strategy.static.chunk_overlap_tokens",
        "value",
    ),
    "attribute": (
        lambda client, store_id: client.vector_stores.files.create(
            store_id,
            file_id="file-x",
            attributes={"a": ["b"]},  # type: ignore[dict-item]
        ),
        "attributes.a",
        "type",
    ),
    "operator": (
        lambda client, store_id: client.vector_stores.search(
            store_id,
            query="?",
            filters={"type": "and", "filters": [{"type": "like", "key": "a", "value": "b"}]},  # type: ignore[typeddict-item]
        ),
        "filters.filters[0].type",
        "value",
    ),
    "results": (
        lambda client, store_id: client.vector_stores.search(
            store_id, query="?", max_num_results=51
        ),
        "max_num_results",
        "",
    ),
    "no query": (
        lambda client, store_id: client.vector_stores.search(store_id, query=[]),
        "query",
        "",
    ),
}
CODES = {"value": "invalid_value", "type": "invalid_type"}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong(client: openai.OpenAI, case: str) -> None:
    request, param, code = WRONG[case]
    store_id = client.vector_stores.create().id
    with pytest.raises(openai.BadRequestError) as error:
        request(client, store_id)
    assert refused(error)[1] == param
    if code:
        assert refused(error)[2] == CODES[code]


def test_files_that_nothing_can_search(client: openai.OpenAI) -> None:
    store_id, good = client.vector_stores.create().id, upload(client)
    film, song = upload(client, "film.MP4"), upload(client, "song.mp3")
    text = (
        "Files with extensions [{}] are not supported for retrieval. See "
        "https://platform.openai.com/docs/assistants/tools/file-search/supported-files"
    )
    with pytest.raises(openai.BadRequestError) as error:
        client.vector_stores.files.create(store_id, file_id=film)
    assert refused(error) == (text.format(".mp4"), "file_id", "unsupported_file")
    with pytest.raises(openai.BadRequestError) as error:
        client.vector_stores.file_batches.create(store_id, file_ids=[good, film, song])
    assert refused(error) == (text.format(".mp4, .mp3"), "file_ids", "unsupported_file")
    assert client.vector_stores.retrieve(store_id).file_counts.total == 0


def test_an_expired_store(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    stores, file_id = client.vector_stores, upload(client)
    policy: Any = {"anchor": "last_active_at", "days": 1}
    store_id = stores.create(expires_after=policy, file_ids=[file_id]).id
    late = clock.now() + DAY + 60
    monkeypatch.setattr(clock, "now", lambda: late)
    assert stores.retrieve(store_id).status == "expired"
    assert ids(stores.files.list(store_id)) == [file_id]
    for request in (
        lambda: stores.search(store_id, query="?"),
        lambda: stores.update(store_id, name="x"),
        lambda: stores.files.create(store_id, file_id=file_id),
        lambda: stores.files.update(file_id, vector_store_id=store_id, attributes={}),
        lambda: stores.files.delete(file_id, vector_store_id=store_id),
        lambda: stores.files.content(file_id, vector_store_id=store_id),
        lambda: stores.file_batches.create(store_id, file_ids=[file_id]),
    ):
        with pytest.raises(openai.BadRequestError) as error:
            request()
        assert refused(error) == (f"Vector store '{store_id}' has expired", None, None)
    assert stores.delete(store_id).deleted
