"""Two callers with keys of two projects: neither sees, uses or guesses what the other has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist.client.threads import list_threads
from localassist.engine import ScriptedEngine
from localassist.runtime import open_keys
from localassist.settings import Settings
from tests.conformance.serving import MODEL, scripted_settings
from tests.server.serving import Stage, on_socket

# The SDK calls the whole surface deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


async def make_key(settings: Settings, name: str, project: str) -> str:
    async with open_keys(settings) as keys:
        return (await keys.create(name, project))[1]


@pytest.fixture(scope="module")
def callers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[openai.OpenAI, openai.OpenAI]]:
    stage = Stage()
    stage.engine = ScriptedEngine(model_id=MODEL, default_reply="It is a secret.")
    settings = scripted_settings(tmp_path_factory.mktemp("home"))
    ours = asyncio.run(make_key(settings, "anna", "team-a"))
    theirs = asyncio.run(make_key(settings, "ben", "team-b"))
    with on_socket(settings, stage) as client:
        yield (
            client.with_options(api_key=ours, max_retries=0),
            client.with_options(api_key=theirs, max_retries=0),
        )


class Objects:
    """One object of each kind."""

    def __init__(self, client: openai.OpenAI) -> None:
        beta = client.beta
        self.file = client.files.create(file=("a.txt", b"Anna's secret."), purpose="assistants").id
        self.assistant = beta.assistants.create(model="gpt-4o", name="Anna's").id
        self.thread = beta.threads.create(messages=[{"role": "user", "content": "Secret?"}]).id
        self.message = beta.threads.messages.list(self.thread).data[0].id
        run = beta.threads.runs.create_and_poll(
            thread_id=self.thread, assistant_id=self.assistant, poll_interval_ms=20
        )
        self.run = run.id
        self.step = beta.threads.runs.steps.list(run.id, thread_id=self.thread).data[0].id
        self.store = client.vector_stores.create(name="Anna's", file_ids=[self.file]).id
        batch = client.vector_stores.file_batches.create(self.store, file_ids=[self.file])
        self.batch = batch.id
        self.upload = client.uploads.create(
            bytes=3, filename="b.txt", mime_type="text/plain", purpose="assistants"
        ).id


@pytest.fixture(scope="module")
def anna(callers: tuple[openai.OpenAI, openai.OpenAI]) -> Objects:
    return Objects(callers[0])


Attempt = Callable[[openai.OpenAI, Objects], Any]

ATTEMPTS: dict[str, Attempt] = {
    "see an assistant": lambda c, o: c.beta.assistants.retrieve(o.assistant),
    "change an assistant": lambda c, o: c.beta.assistants.update(o.assistant, name="Ben's"),
    "delete an assistant": lambda c, o: c.beta.assistants.delete(o.assistant),
    "see a thread": lambda c, o: c.beta.threads.retrieve(o.thread),
    "change a thread": lambda c, o: c.beta.threads.update(o.thread, metadata={"a": "b"}),
    "delete a thread": lambda c, o: c.beta.threads.delete(o.thread),
    "write on a thread": lambda c, o: c.beta.threads.messages.create(
        o.thread, role="user", content="Hi"
    ),
    "read a thread": lambda c, o: c.beta.threads.messages.list(o.thread),
    "see a message": lambda c, o: c.beta.threads.messages.retrieve(o.message, thread_id=o.thread),
    "delete a message": lambda c, o: c.beta.threads.messages.delete(o.message, thread_id=o.thread),
    "list runs": lambda c, o: c.beta.threads.runs.list(o.thread),
    "see a run": lambda c, o: c.beta.threads.runs.retrieve(o.run, thread_id=o.thread),
    "cancel a run": lambda c, o: c.beta.threads.runs.cancel(o.run, thread_id=o.thread),
    "see a step": lambda c, o: c.beta.threads.runs.steps.retrieve(
        o.step, thread_id=o.thread, run_id=o.run
    ),
    "list steps": lambda c, o: c.beta.threads.runs.steps.list(o.run, thread_id=o.thread),
    "follow a run": lambda c, o: c.get(f"/threads/{o.thread}/runs/{o.run}/stream", cast_to=object),
    "see a file": lambda c, o: c.files.retrieve(o.file),
    "read a file": lambda c, o: c.files.content(o.file),
    "delete a file": lambda c, o: c.files.delete(o.file),
    "see a store": lambda c, o: c.vector_stores.retrieve(o.store),
    "search a store": lambda c, o: c.vector_stores.search(o.store, query="secret"),
    "change a store": lambda c, o: c.vector_stores.update(o.store, name="Ben's"),
    "delete a store": lambda c, o: c.vector_stores.delete(o.store),
    "list a store's files": lambda c, o: c.vector_stores.files.list(o.store),
    "read a store's file": lambda c, o: c.vector_stores.files.content(
        o.file, vector_store_id=o.store
    ),
    "take a file from a store": lambda c, o: c.vector_stores.files.delete(
        o.file, vector_store_id=o.store
    ),
    "see a batch": lambda c, o: c.vector_stores.file_batches.retrieve(
        o.batch, vector_store_id=o.store
    ),
    "add to an upload": lambda c, o: c.uploads.parts.create(o.upload, data=b"abc"),
    "cancel an upload": lambda c, o: c.uploads.cancel(o.upload),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_what_is_another_projects_is_not_there(
    callers: tuple[openai.OpenAI, openai.OpenAI], anna: Objects, attempt: Attempt
) -> None:
    with pytest.raises(openai.NotFoundError):
        attempt(callers[1], anna)


USES: dict[str, Attempt] = {
    "its assistant": lambda c, o: c.beta.threads.create_and_run(assistant_id=o.assistant),
    "its file in a store": lambda c, o: c.vector_stores.create(file_ids=[o.file]),
    "its file in a message": lambda c, o: c.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": "Read.",
                "attachments": [{"file_id": o.file, "tools": [{"type": "file_search"}]}],
            }
        ]
    ),
    "its file for code": lambda c, o: c.beta.threads.create(
        tool_resources={"code_interpreter": {"file_ids": [o.file]}}
    ),
    "its store": lambda c, o: c.beta.assistants.create(
        model="gpt-4o",
        tools=[{"type": "file_search"}],
        tool_resources={"file_search": {"vector_store_ids": [o.store]}},
    ),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_what_is_another_projects_cannot_be_used(
    callers: tuple[openai.OpenAI, openai.OpenAI], anna: Objects, use: Attempt
) -> None:
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)) as caught:
        use(callers[1], anna)
    assert "Anna" not in str(caught.value)


def test_lists_hold_only_ones_own(
    callers: tuple[openai.OpenAI, openai.OpenAI], anna: Objects
) -> None:
    ours, theirs = callers
    assert anna.file in {file.id for file in ours.files.list()}
    assert anna.thread in {thread.id for thread in list_threads(ours)}
    every: list[Any] = [theirs.files, theirs.beta.assistants, theirs.vector_stores]
    for found in (*(lists.list() for lists in every), list_threads(theirs)):
        assert not {one.id for one in found} & set(vars(anna).values())


def test_the_owner_still_has_everything(
    callers: tuple[openai.OpenAI, openai.OpenAI], anna: Objects, tmp_path: Path
) -> None:
    client = callers[0]
    assert client.files.content(anna.file).read() == b"Anna's secret."
    assert client.beta.assistants.retrieve(anna.assistant).name == "Anna's"
    run = client.beta.threads.runs.retrieve(anna.run, thread_id=anna.thread)
    assert run.status == "completed"
    assert client.vector_stores.retrieve(anna.store).name == "Anna's"


def test_without_a_key_nobody_comes_in(callers: tuple[openai.OpenAI, openai.OpenAI]) -> None:
    for key in ("sk-local-" + "a" * 32, "any"):
        with pytest.raises(openai.AuthenticationError):
            callers[0].with_options(api_key=key).beta.assistants.list()
