"""Exports and what comes of them in another data folder; dumps of the hosted API."""

from __future__ import annotations

import asyncio
import json
import zipfile
from pathlib import Path

import openai
import pytest

from localassist.archive.archive import Imported
from localassist.engine import ScriptedEngine
from localassist.errors import ResourceNotFound
from localassist.runtime import open_archive
from tests.archive import hosted
from tests.archive.conftest import (
    HANDBOOK,
    Opened,
    ask_weather,
    fill,
    texts,
)
from tests.archive.moving import everything, export, ingested, load

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


def test_an_export_comes_back_as_it_was(tmp_path: Path, opened: Opened) -> None:
    engine = ScriptedEngine(default_reply="It is four.")
    with opened(tmp_path / "data", engine) as client:
        ids = fill(client)
        asked = ask_weather(client, ids["assistant"], engine)
        threads = [ids["thread"], asked.thread_id]
        before = everything(client, threads)
        exported = export(tmp_path / "data", tmp_path / "all.zip")
    assert exported.manifest.counts["thread.message"] == 4 and not exported.lost
    done = load(tmp_path / "new", tmp_path / "all.zip")
    assert not done.problems and not done.unknown_fields and not done.others
    assert done.tally["threads"] == {"new": 2} and done.waiting == 1
    with opened(tmp_path / "new") as client:
        ingested(client, ids["store"])
        assert everything(client, threads) == before
        assert client.files.content(ids["file"]).read() == HANDBOOK
        assert client.vector_stores.search(ids["store"], query="days of leave").data


def test_the_call_of_a_function_stays_in_the_context(tmp_path: Path, opened: Opened) -> None:
    engine = ScriptedEngine(default_reply="It is four.")
    with opened(tmp_path / "data", engine) as client:
        ids = fill(client)
        asked = ask_weather(client, ids["assistant"], engine)
    export(tmp_path / "data", tmp_path / "all.zip")
    load(tmp_path / "new", tmp_path / "all.zip")
    prompts = []
    for name in ("data", "new"):
        engine = ScriptedEngine(default_reply="You are welcome.")
        with opened(tmp_path / name, engine) as client:
            client.beta.threads.messages.create(asked.thread_id, role="user", content="Thanks.")
            run = client.beta.threads.runs.create_and_poll(
                thread_id=asked.thread_id, assistant_id=ids["assistant"]
            )
            assert run.status == "completed", run.last_error
            prompts.append(engine.detokenize(engine.requests[-1].prompt))
    assert prompts[0] == prompts[1]
    assert prompts[0].index("get_weather") < prompts[0].rindex("sunny")
    assert prompts[0].rindex("sunny") < prompts[0].rindex("Sunshine.")


def test_a_selection_brings_what_it_names(tmp_path: Path, opened: Opened) -> None:
    with opened(tmp_path / "data") as client:
        ids = fill(client)
        client.files.create(file=("other.txt", b"Something else."), purpose="assistants")
    made = export(tmp_path / "data", tmp_path / "one.zip", assistant_ids=[ids["assistant"]])
    assert made.manifest.counts == {
        "assistant": 1,
        "vector_store": 1,
        "vector_store.file": 1,
        "file": 1,
    }
    with pytest.raises(ResourceNotFound):
        export(tmp_path / "data", tmp_path / "two.zip", thread_ids=["thread_none"])
    made = export(
        tmp_path / "data", tmp_path / "two.zip", thread_ids=[ids["thread"]], with_contents=False
    )
    assert made.manifest.counts["thread.message"] == 2
    assert not [name for name in made.manifest.parts if name.startswith("contents")]


def test_a_hosted_dump_is_imported_and_goes_on(tmp_path: Path, opened: Opened) -> None:
    dump = hosted.write(tmp_path / "dump")
    home = tmp_path / "data"
    dry = load(home, dump, is_dry=True)
    done = load(home, dump)
    assert not done.problems and dry.tally == done.tally and dry.notes == done.notes
    assert done.tally["messages"] == {"new": 4} and done.tally["files"] == {"new": 2}
    assert "assistant.owner" in done.unknown_fields
    assert any("Files without their content: 1." in note for note in done.notes)
    assert any("1 threads are made" in note for note in done.notes)
    engine = ScriptedEngine(default_reply="You are welcome.")
    with opened(home, engine) as client:
        beta = client.beta
        assert beta.assistants.retrieve(hosted.ASSISTANT).name == "Ada"
        said = texts(client, hosted.THREAD)
        assert [role for role, _ in said] == ["user", "assistant", "user"]
        newest = beta.threads.messages.list(hosted.THREAD).data[1].content[0]
        assert newest.type == "text" and newest.text.annotations[0].type == "file_citation"
        assert beta.threads.retrieve(hosted.OTHER).created_at == hosted.AT + 6
        steps = beta.threads.runs.steps.list("run_hosted1", thread_id=hosted.THREAD, order="asc")
        assert [s.step_details.type for s in steps] == [
            "tool_calls",
            "tool_calls",
            "message_creation",
        ]
        lost = client.files.retrieve(hosted.LOST)
        assert lost.status == "error" and lost.filename == "old.pdf"
        with pytest.raises(openai.NotFoundError, match="was not there"):
            client.files.content(hosted.LOST)
        ingested(client, hosted.STORE)
        store = client.vector_stores.retrieve(hosted.STORE)
        assert (store.status, store.file_counts.completed, store.file_counts.failed) == (
            "completed",
            1,
            1,
        )
        found = client.vector_stores.search(
            hosted.STORE, query="leave", filters={"type": "eq", "key": "year", "value": 2024}
        )
        assert found.data and found.data[0].file_id == hosted.FILE
        run = beta.threads.runs.create_and_poll(
            thread_id=hosted.THREAD, assistant_id=hosted.ASSISTANT
        )
        assert run.status == "completed", run.last_error
        assert texts(client, hosted.THREAD)[-1] == ("assistant", "You are welcome.")
    prompt = engine.detokenize(engine.requests[-1].prompt)
    order = [prompt.rindex(word) for word in ("in Paris?", "sunny", "Sunny days", "Thanks.")]
    assert order == sorted(order)


def version_1(folder: Path) -> Path:
    folder.mkdir()
    assistant = hosted.assistant(
        tools=[{"type": "retrieval"}, {"type": "code_interpreter"}], file_ids=[hosted.FILE]
    )
    del assistant["tool_resources"], assistant["response_format"]
    asked = hosted.message(1, "user", "What is leave?", file_ids=[hosted.FILE])
    del asked["attachments"]
    step = hosted.step(
        1,
        {
            "type": "tool_calls",
            "tool_calls": [{"id": "call_1", "type": "retrieval", "retrieval": {}}],
        },
    )
    run = hosted.run(tools=[{"type": "retrieval"}], file_ids=[hosted.FILE])
    objects = [assistant, asked, run, step, hosted.file(hosted.FILE, "handbook.md", 0)]
    (folder / "all.json").write_text(json.dumps(objects))
    (folder / f"{hosted.FILE}_handbook.md").write_bytes(hosted.TEXT)
    return folder


def test_version_1_becomes_what_the_tools_of_today_read(tmp_path: Path, opened: Opened) -> None:
    done = load(tmp_path / "data", version_1(tmp_path / "dump"))
    assert not done.problems
    with opened(tmp_path / "data") as client:
        assistant = client.beta.assistants.retrieve(hosted.ASSISTANT)
        assert [tool.type for tool in assistant.tools] == ["file_search", "code_interpreter"]
        resources = assistant.tool_resources
        assert resources is not None and resources.code_interpreter is not None
        assert resources.code_interpreter.file_ids == [hosted.FILE]
        assert resources.file_search is not None and resources.file_search.vector_store_ids
        (store_id,) = resources.file_search.vector_store_ids
        ingested(client, store_id)
        assert client.vector_stores.search(store_id, query="leave").data
        thread = client.beta.threads.retrieve(hosted.THREAD)
        assert thread.tool_resources is not None
        assert thread.tool_resources.file_search is not None


@pytest.mark.model
@pytest.mark.slow
def test_a_hosted_dump_goes_on_with_the_embedded_model(tmp_path: Path) -> None:
    from localassist import LocalAssist
    from localassist.settings import load_settings

    dump = hosted.write(tmp_path / "dump")
    retrieval = {"embedder_backend": "torch"}
    settings = load_settings(
        tmp_path / "data", environ={}, retrieval=retrieval, engine={"tuning_seconds": 0}
    )

    async def run() -> Imported:
        async with open_archive(settings) as archive:
            return await archive.load(dump, "default")

    assert not asyncio.run(run()).problems
    with LocalAssist(settings=settings) as client:
        ingested(client, hosted.STORE)
        question = "How many days of leave do employees have?"
        client.beta.threads.messages.create(hosted.THREAD, role="user", content=question)
        ended = client.beta.threads.runs.create_and_poll(
            thread_id=hosted.THREAD, assistant_id=hosted.ASSISTANT
        )
        assert ended.status in ("completed", "requires_action"), ended.last_error
        if ended.status == "completed":
            assert "thirty days" in texts(client, hosted.THREAD)[-1][1]


def test_importing_again_skips_or_replaces(tmp_path: Path, opened: Opened) -> None:
    dump = hosted.write(tmp_path / "dump")
    home = tmp_path / "data"
    load(home, dump)
    again = load(home, dump)
    assert again.problems and "asst_hosted1 is there already" in " ".join(again.problems)
    assert any(said.startswith("assistants.json: data[0]: ") for said in again.problems)
    skipped = load(home, dump, policy="skip")
    assert not skipped.problems and skipped.tally["threads"] == {"skipped": 2}
    replaced = load(home, dump, policy="replace")
    assert not replaced.problems and replaced.tally["threads"] == {"replaced": 2}
    other = load(home, dump, project="another", policy="replace")
    assert "belongs to another project" in " ".join(other.problems)
    with opened(home) as client:
        assert len(texts(client, hosted.THREAD)) == 3
        ingested(client, hosted.STORE)
        assert client.vector_stores.search(hosted.STORE, query="leave").data


def test_contents_that_come_later_fill_in_what_was_lost(tmp_path: Path, opened: Opened) -> None:
    dump = hosted.write(tmp_path / "dump")
    load(tmp_path / "data", dump)
    (dump / f"{hosted.LOST}.pdf").write_bytes(b"not really a PDF")
    done = load(tmp_path / "data", dump, policy="skip")
    assert done.tally["files"] == {"replaced": 1, "skipped": 1}
    with opened(tmp_path / "data") as client:
        assert client.files.retrieve(hosted.LOST).status == "processed"
        assert client.files.content(hosted.LOST).read() == b"not really a PDF"


def test_what_is_wrong_is_said_by_place_and_nothing_is_written(
    tmp_path: Path, opened: Opened
) -> None:
    dump = hosted.write(tmp_path / "dump")
    messages = [
        hosted.message(10, "user", "Fine."),
        {**hosted.message(11, "user", "x"), "role": "wizard"},
        {**hosted.message(12, "user", "x"), "content": "text"},
        {**hosted.message(13, "user", "x"), "id": "../../evil"},
        {**hosted.message(14, "user", "x"), "created_at": "yesterday"},
        {**hosted.message(15, "user", "nul\0")},
        {**hosted.message(3, "user", "another")},
    ]
    lines = [json.dumps(each) for each in messages] + ['{"id": "msg_cut", "obj']
    (dump / "bad.jsonl").write_text("\n".join(lines))
    (dump / "latin.json").write_bytes('{"object": "thread", "id": "thread_ü"}'.encode("latin-1"))
    done = load(tmp_path / "data", dump)
    said = "\n".join(done.problems)
    for number in (2, 3, 4, 5, 6, 8):
        assert f"bad.jsonl line {number}: " in said, said
    assert "bad.jsonl line 1:" not in said and "latin.json: is not text" in said
    assert "msg_hosted3 is also in" in said and "cut short" in said
    with opened(tmp_path / "data") as client:
        assert not client.beta.assistants.list().data and not client.files.list().data
    assert not list((tmp_path / "data" / "blobs").glob("??/*"))
    done = load(tmp_path / "data", dump, skip_invalid=True)
    assert not done.problems and len(done.left_out) == 8
    with opened(tmp_path / "data") as client:
        assert ("user", "Fine.") in texts(client, hosted.THREAD)


def test_names_in_an_archive_lead_nowhere(tmp_path: Path, opened: Opened) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        bad.writestr("../../evil.json", json.dumps(hosted.page(hosted.assistant())))
        bad.writestr("/etc/evil.txt", "evil")
    done = load(tmp_path / "data", tmp_path / "bad.zip")
    assert not done.problems and done.tally["assistants"] == {"new": 1}
    assert not list(tmp_path.rglob("evil*"))


def test_runs_that_had_not_ended_are_over(tmp_path: Path, opened: Opened) -> None:
    waiting = hosted.run(status="in_progress", completed_at=None)
    objects = [
        hosted.message(1, "user", "Hello."),
        {**hosted.answer(2, "Hel"), "status": "in_progress"},
        waiting,
        hosted.step(
            1,
            {"type": "message_creation", "message_creation": {"message_id": "msg_hosted2"}},
            status="in_progress",
            completed_at=None,
        ),
        hosted.assistant(tools=[], tool_resources={}),
    ]
    (tmp_path / "dump.json").write_text(json.dumps(objects))
    assert not load(tmp_path / "data", tmp_path / "dump.json").problems
    with opened(tmp_path / "data") as client:
        run = client.beta.threads.runs.retrieve("run_hosted1", thread_id=hosted.THREAD)
        assert run.status == "cancelled"
        client.beta.threads.messages.create(hosted.THREAD, role="user", content="Again.")
        ended = client.beta.threads.runs.create_and_poll(
            thread_id=hosted.THREAD, assistant_id=hosted.ASSISTANT
        )
        assert ended.status == "completed", ended.last_error
