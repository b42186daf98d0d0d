"""The official client over both ways to the API: the same tests, the same code.

``client`` has a scripted model behind it and is exact and fast; ``real_client`` has the embedded
one. Every JSON answer either of them gets is validated with the SDK's types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist import LocalAssist
from localassist.engine import ScriptedEngine
from localassist.settings import Settings, load_settings
from tests.conformance.serving import MODEL, Server, in_process, on_socket, scripted_settings, serve
from tests.conformance.wire import check_every_answer
from tests.runs.conftest import WEATHER as WEATHER
from tests.server.serving import Stage

ANSWER = "It is a fine day, and this sentence arrives in several pieces."
Transport = Callable[[Settings, Stage], AbstractContextManager[openai.OpenAI]]
_TRANSPORTS: dict[str, Transport] = {"in_process": in_process, "socket": on_socket}


@pytest.fixture(scope="session")
def stage() -> Stage:
    return Stage()


@pytest.fixture(scope="session", params=_TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    return _TRANSPORTS[request.param]


@pytest.fixture(scope="session")
def _shared_client(
    transport: Transport, tmp_path_factory: pytest.TempPathFactory, stage: Stage
) -> Iterator[openai.OpenAI]:
    with transport(scripted_settings(tmp_path_factory.mktemp("home")), stage) as client:
        check_every_answer(client)
        yield client


@pytest.fixture
def client(_shared_client: openai.OpenAI, engine: ScriptedEngine) -> openai.OpenAI:
    """One server per transport for all tests: they make their own objects."""
    return _shared_client


@pytest.fixture
def use_engine(stage: Stage) -> Callable[..., ScriptedEngine]:
    """Puts a new engine behind every model name: replies, then ``ANSWER`` for ever."""

    def use(*replies: Any, **options: Any) -> ScriptedEngine:
        options = {"model_id": MODEL, "default_reply": ANSWER, **options}
        stage.engine = ScriptedEngine(*replies, **options)
        return stage.engine

    return use


@pytest.fixture
def engine(use_engine: Callable[..., ScriptedEngine]) -> ScriptedEngine:
    return use_engine()


@dataclass
class Talk:
    """An assistant and a thread with one question on it."""

    client: openai.OpenAI
    assistant_id: str
    thread_id: str

    @property
    def ids(self) -> dict[str, str]:
        return {"thread_id": self.thread_id, "assistant_id": self.assistant_id}

    def say(self, text: str) -> None:
        self.client.beta.threads.messages.create(self.thread_id, role="user", content=text)

    def texts(self) -> list[str]:
        """Everything said, oldest first."""
        page = self.client.beta.threads.messages.list(self.thread_id, order="asc")
        return ["".join(part.text.value for part in m.content) for m in page]  # type: ignore[union-attr]


def begin(client: openai.OpenAI, question: str = "How is the day?", **assistant: Any) -> Talk:
    made = client.beta.assistants.create(model="gpt-4o", **assistant)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": question}])
    return Talk(client, made.id, thread.id)


@pytest.fixture
def talk(client: openai.OpenAI) -> Talk:
    return begin(client)


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``localassist serve`` with the embedded model."""
    server = serve(tmp_path_factory.mktemp("served"))
    yield server
    server.stop()


@pytest.fixture(scope="session", params=["in_process", "socket"])
def real_client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[openai.OpenAI]:
    """The embedded model over both transports."""
    if request.param == "socket":
        client = request.getfixturevalue("real_server").client()
    else:
        home: Path = tmp_path_factory.mktemp("home")
        client = LocalAssist(settings=load_settings(home, environ={}))
    check_every_answer(client)
    with client:
        yield client
