"""Data folders with something of everything in them, and a client on a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist.engine import ScriptedEngine
from localassist.settings import Settings
from tests.conformance.serving import call, scripted_settings
from tests.server.serving import Stage, in_process

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
HANDBOOK = b"# Leave\n\nEmployees have thirty days of leave every year.\n"

Opened = Callable[..., AbstractContextManager[openai.OpenAI]]


@pytest.fixture
def opened() -> Opened:
    """A client on a data folder; ``engine`` answers."""

    @contextmanager
    def client(home: Path, engine: ScriptedEngine | None = None) -> Iterator[openai.OpenAI]:
        stage = Stage()
        stage.engine = engine or ScriptedEngine(default_reply="It is four.")
        with in_process(settings_of(home), stage) as opened:
            yield opened

    return client


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with something in it, to be copied."""
    home = tmp_path_factory.mktemp("filled") / "data"
    stage = Stage()
    stage.engine = ScriptedEngine(default_reply="It is four.")
    with in_process(settings_of(home), stage) as client:
        fill(client)
    return home


def settings_of(home: Path) -> Settings:
    return scripted_settings(home)


def fill(client: openai.OpenAI) -> dict[str, Any]:
    """An assistant with a store, and a thread with an answer; ids by what they are of."""
    file = client.files.create(file=("handbook.md", HANDBOOK), purpose="assistants")
    store = client.vector_stores.create(name="handbook", metadata={"team": "people"})
    client.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, attributes={"year": 2026}
    )
    assistant = client.beta.assistants.create(
        model="gpt-4o",
        name="Ada",
        instructions="Be brief.",
        tools=[WEATHER],  # type: ignore[list-item]
        tool_resources={"file_search": {"vector_store_ids": [store.id]}},
    )
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": "What is two and two?"}], metadata={"kind": "sum"}
    )
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    assert run.status == "completed", run.last_error
    return {
        "file": file.id,
        "store": store.id,
        "assistant": assistant.id,
        "thread": thread.id,
        "run": run.id,
    }


def ask_weather(client: openai.OpenAI, assistant_id: str, engine: ScriptedEngine) -> Any:
    """A run that called a function of the caller's and was answered."""
    engine.enqueue(call("Paris"), "Sunshine.")
    thread = client.beta.threads.create(
        messages=[{"role": "user", "content": "What is the weather in Paris?"}]
    )
    run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant_id)
    assert run.status == "requires_action" and run.required_action is not None
    calls = run.required_action.submit_tool_outputs.tool_calls
    outputs = [{"tool_call_id": one.id, "output": "sunny"} for one in calls]
    return client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id,
        thread_id=thread.id,
        tool_outputs=outputs,  # type: ignore[arg-type]
    )


def texts(client: openai.OpenAI, thread_id: str) -> list[tuple[str, str]]:
    """Everything said, oldest first."""
    page = client.beta.threads.messages.list(thread_id, order="asc")
    return [
        (m.role, "".join(part.text.value for part in m.content if part.type == "text"))
        for m in page
    ]
