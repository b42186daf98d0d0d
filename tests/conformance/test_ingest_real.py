"""Documents of users, by the official SDK, with the real parsers and the real embedder."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai.types.vector_stores import VectorStoreFile

from localassist import LocalAssist
from localassist.settings import load_settings
from tests import documents
from tests.conformance.wire import check_every_answer

pytestmark = pytest.mark.model

PAGES = [
    "The Harbour Handbook. This page is a title page and says little about anything.",
    "Opening hours. The harbour office is open from seven in the morning until noon.",
    "Mooring fees. Boats shorter than eight metres pay eleven crowns for each night.",
    "Wildlife. Grey seals rest on the northern breakwater from October until April.",
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    # Which backend is faster is not the question here, and finding out takes a while.
    retrieval = {"embedder_backend": "torch"}
    settings = load_settings(tmp_path_factory.mktemp("home"), environ={}, retrieval=retrieval)
    with LocalAssist(settings=settings) as client:
        check_every_answer(client)
        yield client


def add(client: openai.OpenAI, store_id: str, name: str, content: bytes) -> VectorStoreFile:
    return client.vector_stores.files.upload_and_poll(
        vector_store_id=store_id, file=(name, content)
    )


def test_a_pdf_is_found_by_its_page(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="harbour")
    file = add(client, store.id, "handbook.pdf", documents.pdf(PAGES))
    assert file.status == "completed" and file.last_error is None and file.usage_bytes > 0
    for question, page in (
        ("When can I visit the office?", 2),
        ("What does it cost to moor a small boat overnight?", 3),
        ("Where do seals lie in winter?", 4),
    ):
        best = client.vector_stores.search(store.id, query=question).data[0]
        assert best.file_id == file.id and best.filename == "handbook.pdf"
        assert best.to_dict()["place"] == f"page {page}", question
    (content,) = client.vector_stores.files.content(file.id, vector_store_id=store.id).data
    assert content.text is not None and "eleven crowns" in content.text
    store = client.vector_stores.retrieve(store.id)
    assert store.status == "completed" and store.usage_bytes == file.usage_bytes


def test_bad_files_say_what_is_wrong_and_harm_no_others(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    good = add(client, store.id, "good.md", b"# Tea\n\nGreen tea is steeped for two minutes.")
    bad = {
        "locked.pdf": documents.encrypted_pdf(),
        "scanned.pdf": documents.pdf([" ", " "]),
        "cut.docx": documents.docx([("Title", "text")])[:400],
        "noise.txt": bytes(range(256)) * 40,
    }
    for name, content in bad.items():
        file = add(client, store.id, name, content)
        assert file.status == "failed" and file.last_error is not None, name
        assert file.last_error.code in ("invalid_file", "unsupported_file"), name
        assert "Traceback" not in file.last_error.message
    counts = client.vector_stores.retrieve(store.id).file_counts
    assert (counts.completed, counts.failed, counts.total) == (1, len(bad), 1 + len(bad))
    found = client.vector_stores.search(store.id, query="How long does green tea steep?")
    assert [each.file_id for each in found.data] == [good.id]


def test_a_deleted_file_is_not_found_from_then_on(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    texts = [f"Recipe {n}: bake the bread for {n} minutes." for n in range(20, 24)]
    files = [add(client, store.id, f"{n}.txt", text.encode()) for n, text in enumerate(texts)]
    client.files.delete(files[0].id)
    client.vector_stores.files.delete(files[1].id, vector_store_id=store.id)
    found = client.vector_stores.search(store.id, query="baking bread", max_num_results=50)
    assert {each.file_id for each in found.data} == {files[2].id, files[3].id}
    assert client.vector_stores.retrieve(store.id).file_counts.total == 2
