"""A server that is told to stop, as its clients and its service manager see it."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist.server import notify
from tests.conformance.serving import MODEL, Server
from tests.conformance.slow_server import ANSWER

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
SCRIPT = str(Path(__file__).with_name("stopping_server.py"))
SLOW, QUICK = 0.02, 0.0


class Manager:
    """A service manager that listens."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(60)

    def told(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.close()


Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers on one data folder, without a delay with the real model; none is left
    behind."""
    started: list[Server] = []

    def begin(delay_seconds: float | None, **environ: str) -> Server:
        command = [SCRIPT, str(tmp_path), str(delay_seconds)]
        if delay_seconds is None:
            command = ["-m", "localassist", "--home", str(tmp_path), "serve", "--port", "0"]
        started.append(Server(*command, environ=environ))
        return started[-1]

    yield begin
    for server in started:
        server.kill()


def begin(client: openai.OpenAI) -> tuple[Any, Any]:
    """A streamed run that has said its first words: the stream, and its run."""
    assistant = client.beta.assistants.create(model=MODEL)
    thread = client.beta.threads.create(messages=[{"role": "user", "content": "Hi"}])
    stream = client.beta.threads.runs.create(
        thread_id=thread.id, assistant_id=assistant.id, stream=True
    )
    run: Any = None
    for event in stream:
        if event.event == "thread.run.created":
            run = event.data
        if event.event == "thread.message.delta":
            return stream, run
    raise AssertionError("the run ended without text")


def health(server: Server) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(server.url.replace("/v1", "/health")) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def said(server: Server) -> str:
    """All that it has printed, once it has ended by itself."""
    assert server.process.stdout is not None
    text = server.process.stdout.read()
    assert server.process.wait(60) == 0
    return text


def test_a_run_finishes_before_the_server_stops(start: Start, manager: Manager) -> None:
    server = start(SLOW, NOTIFY_SOCKET=manager.address)
    with server.client() as client:
        assert manager.told() == notify.READY
        stream, run = begin(client)
        server.process.send_signal(signal.SIGTERM)
        assert manager.told() == notify.STOPPING
        status, told = health(server)
        assert (status, told["status"], told["under_way"]) == (503, "draining", 1)
        with pytest.raises(openai.InternalServerError, match="takes no new work") as refused:
            begin(client)
        assert refused.value.status_code == 503
        assert int(refused.value.response.headers["retry-after"]) >= 1
        assert [event.event for event in stream][-1] == "thread.run.completed"
    assert "may finish within 20 seconds" in said(server)
    successor = start(SLOW)
    with successor.client() as client:
        found = client.beta.threads.runs.retrieve(run.id, thread_id=run.thread_id)
        assert found.status == "completed"


def test_a_second_signal_parks_the_run(start: Start) -> None:
    server = start(10 * SLOW)
    with server.client() as client:
        stream, run = begin(client)
        server.process.send_signal(signal.SIGINT)
        while health(server)[0] == 200:  # the first one has not arrived
            time.sleep(0.01)
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(openai.APIError, match="goes on when the service is back"):
            list(stream)
    assert "1 run is parked" in said(server)
    successor = start(QUICK)
    with successor.client() as client:
        found = client.beta.threads.runs.poll(run.id, thread_id=run.thread_id)
        assert found.status == "completed"
        messages = client.beta.threads.messages.list(run.thread_id, order="desc")
        assert messages.data[0].content[0].text.value == ANSWER


def test_a_server_without_work_stops_at_once(start: Start) -> None:
    server = start(QUICK)
    server.process.send_signal(signal.SIGINT)
    assert said(server) == ""


def test_a_manager_is_told_by_path_or_abstract_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: Manager
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.notify(notify.READY)  # nobody listens
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify.notify(notify.READY)
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    notify.notify(notify.READY, "STATUS=Serving.")
    assert manager.told() == "READY=1\nSTATUS=Serving."
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hidden:
        hidden.bind("\0" + tmp_path.name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + tmp_path.name)
        notify.notify(notify.STOPPING)
        assert hidden.recv(4096).decode() == notify.STOPPING


@pytest.mark.model
def test_the_real_model_goes_on_where_it_was_parked(start: Start) -> None:
    environ = {"LOCALASSIST_SERVER__SHUTDOWN_SECONDS": "0.1"}
    server = start(None, **environ)
    seen = ""
    with server.client() as client:
        assistant = client.beta.assistants.create(model="gpt-4o", temperature=0)
        asked: Any = {"role": "user", "content": "Tell me a long story about a lighthouse."}
        thread = client.beta.threads.create(messages=[asked])
        stream = client.beta.threads.runs.create(
            thread_id=thread.id, assistant_id=assistant.id, stream=True, max_completion_tokens=256
        )
        with pytest.raises(openai.APIError, match="goes on when the service is back"):
            for event in stream:
                if event.event == "thread.message.delta":
                    if not seen:
                        server.process.send_signal(signal.SIGTERM)
                    seen += event.data.delta.content[0].text.value
    said(server)
    with start(None, **environ).client() as client:
        (run,) = client.beta.threads.runs.list(thread.id).data
        run = client.beta.threads.runs.poll(run.id, thread_id=thread.id)
        assert run.status in ("completed", "incomplete") and run.usage is not None
        answer, _ = client.beta.threads.messages.list(thread.id, order="desc").data
        text = answer.content[0].text.value
        assert seen and text.startswith(seen) and len(text) > len(seen)
