"""What a server says in its log of requests and runs, and what it never says."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from localassist.engine import ScriptedEngine
from localassist.errors import GenerationFailed
from localassist.observability import logs
from localassist.observability.config import LoggingSettings
from tests.conformance.serving import MODEL, scripted_settings
from tests.logging_state import loggers_put_back
from tests.server.serving import Stage, on_socket

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
SECRET = "sk-very-secret-key-0123456789"


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    with loggers_put_back():
        logs.configure(LoggingSettings(level="debug", format="json", requests=True), stream)
        yield stream


def test_a_failed_run_is_found_by_its_request_and_its_id(
    localassist_home: Path, said: io.StringIO
) -> None:
    stage = Stage()
    stage.engine = ScriptedEngine(GenerationFailed("The engine broke."), model_id=MODEL)
    settings = scripted_settings(localassist_home).model_copy(deep=True)
    with on_socket(settings, stage) as anyone:
        client = anyone.with_options(api_key=SECRET, max_retries=0)
        assistant = client.beta.assistants.create(model="gpt-4o", instructions="Private words.")
        asked = {"role": "user", "content": "A private question."}
        thread = client.beta.threads.create(messages=[asked])
        created = client.beta.threads.runs.with_raw_response.create(
            thread_id=thread.id, assistant_id=assistant.id
        )
        run = client.beta.threads.runs.poll(created.parse().id, thread_id=thread.id)
        assert run.status == "failed"
        with pytest.raises(openai.NotFoundError):
            client.beta.threads.retrieve("thread_nowhere", extra_query={"q": "private"})
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    (failed,) = [line for line in lines if line.get("run_id") == run.id]
    assert failed["thread_id"] == thread.id and "The engine broke." in failed["message"]
    assert failed["request_id"] == created.headers["x-request-id"]
    requests = {line["message"]: line["status"] for line in lines if "ms" in line}
    assert requests["POST /v1/assistants"] == 200
    assert requests["GET /v1/threads/thread_nowhere"] == 404
    text = said.getvalue().lower()
    assert SECRET not in text and "private" not in text


def test_what_the_server_underneath_says_is_in_the_log(
    localassist_home: Path, said: io.StringIO
) -> None:
    """Its lines have a form of their own otherwise, or none."""
    with on_socket(scripted_settings(localassist_home), Stage()) as client:
        port = client.base_url.port
        assert port is not None
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"\x00\x01\r\n\r\n")
            assert b" 400 " in connection.recv(4096)
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    (refused,) = [line for line in lines if line["level"] == "warning"]
    assert refused["logger"] == "uvicorn.error" and "Invalid HTTP" in refused["message"]
