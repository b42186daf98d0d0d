"""Folders into vector stores, over the official client and a real ingest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist.client.documents import Failure, LocalFile, add_files, find_files, read_files
from localassist.settings import load_settings
from tests import documents
from tests.server.serving import Stage, in_process


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    with in_process(load_settings(), Stage()) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "tea.txt").write_text("Green tea wants water of eighty degrees.")
    (folder / "deep" / "coffee.md").write_text("# Coffee\n\nCoffee wants ninety-four degrees.")
    (folder / ".secret.txt").write_text("hidden")
    return folder


def names(client: openai.OpenAI, store_id: str) -> set[str]:
    entries = client.vector_stores.files.list(store_id)
    return {str((entry.attributes or {})["path"]) for entry in entries}


def found(client: openai.OpenAI, store_id: str, question: str) -> str:
    return client.vector_stores.search(store_id, query=question).data[0].content[0].text


def test_a_folder_stands_for_what_is_in_it(folder: Path) -> None:
    found = find_files([folder, folder / "tea.txt"])
    assert [file.name for file in found] == ["deep/coffee.md", "tea.txt"]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no file or folder .*absent"):
        find_files([tmp_path / "absent"])


def test_a_second_time_uploads_only_what_has_changed(client: openai.OpenAI, folder: Path) -> None:
    store_id = client.vector_stores.create(name="drinks").id
    first = add_files(client, store_id, find_files([folder]))
    assert (first.added, first.unchanged, first.failures) == (2, 0, ())
    (folder / "tea.txt").write_text("Green tea wants water of seventy degrees.")
    (folder / "milk.txt").write_text("Milk is kept cold.")
    second = add_files(client, store_id, find_files([folder]))
    assert (second.added, second.unchanged, second.removed) == (2, 1, 0)
    assert names(client, store_id) == {"deep/coffee.md", "tea.txt", "milk.txt"}
    assert "seventy" in found(client, store_id, "How hot is water for green tea?")
    assert len(client.files.list().data) == 3


def test_a_folder_in_step_loses_what_is_gone(client: openai.OpenAI, folder: Path) -> None:
    store_id = client.vector_stores.create(name="drinks").id
    add_files(client, store_id, find_files([folder]))
    (folder / "tea.txt").unlink()
    again = add_files(client, store_id, find_files([folder]), is_whole=True)
    assert (again.added, again.unchanged, again.removed) == (0, 1, 1)
    assert names(client, store_id) == {"deep/coffee.md"}


def test_files_that_fail_are_named_and_leave_nothing_behind(
    client: openai.OpenAI, folder: Path
) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "locked.pdf").write_bytes(documents.encrypted_pdf())
    (folder / "empty.txt").write_bytes(b"")
    store_id = client.vector_stores.create(name="drinks").id
    added = add_files(client, store_id, find_files([folder]))
    assert added.added == 2
    reasons = {failure.name: failure.reason for failure in added.failures}
    assert reasons.keys() == {"broken.pdf", "photo.png", "locked.pdf", "empty.txt"}
    assert "damaged" in reasons["broken.pdf"] and "password" in reasons["locked.pdf"]
    assert ".png" in reasons["photo.png"] and "empty" in reasons["empty.txt"].lower()
    assert names(client, store_id) == {"tea.txt", "deep/coffee.md"}
    assert len(client.files.list().data) == 2


def test_a_newer_self_that_fails_leaves_the_older(client: openai.OpenAI, folder: Path) -> None:
    store_id = client.vector_stores.create(name="drinks").id
    pdf = folder / "plan.pdf"
    pdf.write_bytes(documents.pdf(["The plan is to boil water."]))
    add_files(client, store_id, [LocalFile(pdf, "plan.pdf")])
    pdf.write_bytes(b"%PDF-1.7 cut off")
    again = add_files(client, store_id, [LocalFile(pdf, "plan.pdf")])
    assert [failure.name for failure in again.failures] == ["plan.pdf"]
    assert "boil" in found(client, store_id, "What is the plan?")


def test_progress_reaches_the_end(client: openai.OpenAI, folder: Path) -> None:
    store_id = client.vector_stores.create(name="drinks").id
    seen: list[tuple[str, float, int]] = []
    add_files(
        client,
        store_id,
        find_files([folder]),
        on_progress=lambda what, done, total: seen.append((what, done, total)),
    )
    assert ("uploading", 2, 2) in seen and seen[-1] == ("reading", 2, 2)


def test_progress_counts_parts_of_files_and_says_what_it_waits_for(
    client: openai.OpenAI, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_id = client.vector_stores.create(name="drinks").id
    looks = iter([True, False])

    def health(client: openai.OpenAI) -> dict[str, Any]:
        file_id = client.files.list().data[0].id
        part = {"file_id": file_id, "units": 1, "total_units": 4}
        is_opening = next(looks, False)
        return {"embedders_loading": ["m"] * is_opening, "ingest": [part]}

    monkeypatch.setattr("localassist.client.documents.health", health)
    seen: list[tuple[str, float]] = []
    add_files(
        client,
        store_id,
        find_files([folder]),
        on_progress=lambda what, done, total: seen.append((what, done)),
    )
    waited = [(what, done) for what, done in seen if what != "uploading"]
    assert waited[0] == ("opening", 0.25)
    assert [done for _, done in waited] == sorted(done for _, done in waited)
    assert waited[-1] == ("reading", 2)


def test_what_an_interrupted_call_left_is_not_uploaded_again(
    client: openai.OpenAI, folder: Path
) -> None:
    store_id = client.vector_stores.create(name="drinks").id

    def interrupt(what: str, done: float, total: int) -> None:
        if what != "uploading":
            raise KeyboardInterrupt

    for _ in range(2):  # the second call waits for what the first has begun
        with pytest.raises(KeyboardInterrupt):
            add_files(client, store_id, find_files([folder]), on_progress=interrupt)
        (folder / "milk.txt").write_text("Milk is kept cold.")
    again = add_files(client, store_id, find_files([folder]))
    assert again.added + again.unchanged == 3 and not again.failures
    assert names(client, store_id) == {"deep/coffee.md", "tea.txt", "milk.txt"}
    assert len(client.files.list().data) == len(client.vector_stores.files.list(store_id).data) == 3


def test_an_interrupted_upload_leaves_no_files(client: openai.OpenAI, folder: Path) -> None:
    store_id = client.vector_stores.create(name="drinks").id

    def interrupt(what: str, done: float, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_files(client, store_id, find_files([folder]), on_progress=interrupt)
    assert client.files.list().data == []


def test_a_file_that_is_twice_in_the_store_is_once_afterwards(
    client: openai.OpenAI, folder: Path
) -> None:
    store_id = client.vector_stores.create(name="drinks").id
    add_files(client, store_id, find_files([folder]))
    entry = next(iter(client.vector_stores.files.list(store_id)))
    name = str((entry.attributes or {})["path"])
    twin = client.files.create(file=folder / name, purpose="assistants")
    client.vector_stores.files.create(store_id, file_id=twin.id, attributes=entry.attributes)
    assert add_files(client, store_id, find_files([folder])).unchanged == 2
    assert len(client.vector_stores.files.list(store_id).data) == 2
    assert len(client.files.list().data) == 2


def test_what_failed_before_is_tried_again_and_leaves(client: openai.OpenAI, folder: Path) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    store_id = client.vector_stores.create(name="drinks").id
    made = client.files.create(file=folder / "broken.pdf", purpose="assistants")
    client.vector_stores.files.create_and_poll(
        made.id, vector_store_id=store_id, attributes={"path": "broken.pdf"}
    )
    added = add_files(client, store_id, find_files([folder]))
    assert [failure.name for failure in added.failures] == ["broken.pdf"]
    assert names(client, store_id) == {"tea.txt", "deep/coffee.md"}
    assert len(client.files.list().data) == 2


def test_a_file_that_cannot_be_searched_leaves_the_store_and_stays_for_code(
    client: openai.OpenAI,
) -> None:
    file_id = client.files.create(file=("a.pdf", b"%PDF-1.4 and no more"), purpose="assistants").id
    tools: Any = [{"type": "file_search"}, {"type": "code_interpreter"}]
    attached: Any = [{"file_id": file_id, "tools": tools}]
    message: Any = {"role": "user", "content": "What is in it?", "attachments": attached}
    told = client.beta.threads.create(messages=[message]).tool_resources
    assert told and told.file_search and told.file_search.vector_store_ids
    (store_id,) = told.file_search.vector_store_ids
    (failure,) = read_files(client, store_id, {file_id: "a.pdf"}, lambda what, done, total: None)
    assert failure == Failure("a.pdf", failure.reason) and "The PDF is damaged" in failure.reason
    assert not list(client.vector_stores.files.list(store_id))
    assert client.files.content(file_id).read() == b"%PDF-1.4 and no more"
