"""Arrangements in which people have saved what the hosted API gave them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import openai
import pytest

from localassist.archive.gathering import gather
from localassist.archive.sources import opened_source
from localassist.archive.staging import opened_staging
from tests.archive import hosted
from tests.archive.conftest import Opened, fill, texts
from tests.archive.moving import load

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


def said(number: int, second: int) -> dict[str, Any]:
    role = "user" if number % 2 else "assistant"
    return {**hosted.message(number, role, f"{number}"), "created_at": hosted.AT + second}


def write_pages(folder: Path, *, last_has_more: bool) -> Path:
    """Pages of two, newest first, of which all but the newest messages are of one second."""
    folder.mkdir()
    for page in range(12):
        newest = 24 - 2 * page
        messages = [said(newest, 1 if newest == 24 else 0), said(newest - 1, 0)]
        has_more = page < 11 or last_has_more
        (folder / f"messages_page{page + 1}.json").write_text(
            json.dumps({**hosted.page(*messages), "has_more": has_more}, indent=1)
        )
    return folder


def test_one_file_to_a_page(tmp_path: Path, opened: Opened) -> None:
    done = load(tmp_path / "data", write_pages(tmp_path / "dump", last_has_more=False))
    assert not done.problems and not [note for note in done.notes if "has_more" in note]
    with opened(tmp_path / "data") as client:
        found = texts(client, hosted.THREAD)
    assert [text for _, text in found] == [f"{number}" for number in range(1, 25)]


def test_a_page_behind_which_nothing_was_saved_is_named(tmp_path: Path) -> None:
    done = load(tmp_path / "data", write_pages(tmp_path / "dump", last_has_more=True))
    (note,) = [note for note in done.notes if "has_more" in note]
    assert "messages_page12.json (thread.messages of thread_hosted1)." in note


def test_one_document_keyed_by_threads(tmp_path: Path, opened: Opened) -> None:
    thread = {
        "id": hosted.OTHER,
        "object": "thread",
        "created_at": hosted.AT,
        "metadata": {"a": "b"},
    }
    other = [{**said(3, 1), "thread_id": hosted.OTHER, "id": "msg_o1"}]
    saved = {
        hosted.THREAD: {"messages": hosted.page(said(2, 0), said(1, 0)), "saved_at": "2026-08-01"},
        hosted.OTHER: {**thread, "messages": other, "runs": hosted.page()},
        "thread_empty": [],
    }
    (tmp_path / "threads.json").write_text(json.dumps(saved))
    done = load(tmp_path / "data", tmp_path / "threads.json")
    assert not done.problems and done.tally["threads"] == {"new": 2}
    assert done.unknown_fields == {}
    with opened(tmp_path / "data") as client:
        assert texts(client, hosted.THREAD) == [("user", "1"), ("assistant", "2")]
        assert client.beta.threads.retrieve(hosted.OTHER).metadata == {"a": "b"}


def of_the_sdk(client: openai.OpenAI, ids: dict[str, Any]) -> dict[str, str]:
    """What programs write with the methods of the SDK's objects, by name of the file."""
    beta, thread = client.beta, ids["thread"]
    messages = beta.threads.messages.list(thread)
    runs = beta.threads.runs.list(thread)
    return {
        "messages.jsonl": "\n".join(each.model_dump_json() for each in messages),
        "thread.json": beta.threads.retrieve(thread).to_json(),
        "runs.json": runs.model_dump_json(indent=2),
        "steps.jsonl": "".join(
            beta.threads.runs.steps.list(run.id, thread_id=thread).to_json(indent=None) + "\n"
            for run in runs
        ),
        "assistants.json": json.dumps([each.model_dump() for each in beta.assistants.list()]),
    }


def test_what_the_sdk_has_dumped(tmp_path: Path, opened: Opened) -> None:
    with opened(tmp_path / "data") as client:
        ids = fill(client)
        before = texts(client, ids["thread"])
        (tmp_path / "dump").mkdir()
        for name, text in of_the_sdk(client, ids).items():
            (tmp_path / "dump" / name).write_text(text)
    done = load(tmp_path / "new", tmp_path / "dump")
    assert not done.problems and not done.unknown_fields
    assert done.tally["messages"] == {"new": 2} and done.tally["runs"] == {"new": 1}
    with opened(tmp_path / "new") as client:
        assert texts(client, ids["thread"]) == before
        assert client.beta.threads.runs.steps.list(ids["run"], thread_id=ids["thread"]).data


@pytest.mark.parametrize("name", ["messages.json", "messages.jsonl", "messages.txt", "log"])
def test_what_python_has_printed_is_refused_in_words(
    tmp_path: Path, opened: Opened, name: str
) -> None:
    with opened(tmp_path / "data") as client:
        ids = fill(client)
        page = client.beta.threads.messages.list(ids["thread"])
        shown = [str(page), str(page.data), repr(page.data[0]), str(page.data[0].model_dump())]
    for number, text in enumerate(shown):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / name).write_text(f"{text}\n{text}\n")
        done = load(tmp_path / "new", tmp_path / f"{number}", is_dry=True)
        assert done.problems, text
        assert all("how Python prints objects" in problem for problem in done.problems)
        assert done.problems[0].startswith(name)


def peak_bytes(path: Path) -> int:
    tracemalloc.start()
    try:
        with (
            TemporaryDirectory() as folder,
            opened_source(path) as source,
            opened_staging(Path(folder)) as staging,
        ):
            reading, gathered = gather(source, staging)
            assert not reading.problems
            for thread_id in gathered.threads:
                gathered.talk(thread_id, ())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_messages(tmp_path: Path) -> None:
    sizes = []
    for threads in (50, 200):
        path = tmp_path / f"{threads}.jsonl"
        with path.open("w") as file:
            for number in range(threads * 20):
                message = hosted.message(number, "user", "word " * 1000)
                message["thread_id"] = f"thread_{number % threads}"
                file.write(f"{json.dumps(message)}\n")
        sizes.append(peak_bytes(path))
    assert sizes[1] < 1.3 * sizes[0], sizes
