"""A server on a socket with a scripted model, and clients that believe nothing."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
import requests

from localassist.engine import ScriptedEngine
from tests.conformance.serving import MODEL, on_socket, scripted_settings
from tests.generated.objects import Objects
from tests.server.serving import Stage


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    stage = Stage()
    stage.engine = ScriptedEngine(model_id=MODEL, default_reply="Fine.")
    with on_socket(scripted_settings(tmp_path_factory.mktemp("home")), stage) as client:
        yield client.with_options(max_retries=0)


@pytest.fixture(scope="module")
def base_url(client: openai.OpenAI) -> str:
    return str(client.base_url).rstrip("/")


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def objects(client: openai.OpenAI) -> Objects:
    return Objects(client)
