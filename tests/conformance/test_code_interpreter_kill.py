"""The server is killed while code of a run is running: its successor runs the code again, and
nothing of the first kernel is left."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from localassist.client.transport import http
from tests.conformance.serving import Server
from tests.conformance.slow_server import ENVIRONMENT
from tests.conformance.test_code_interpreter import ANSWERED, CODE, RUNNING
from tests.conformance.test_kill import SCRIPT
from tests.conformance.test_streams import HEAD
from tests.conformance.wire import raw_stream, short

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]
AGAIN = [*HEAD, *RUNNING[:-1], "S.failed", *ANSWERED[len(HEAD) :]]
MOST_SECONDS = 60


def start(home: Path) -> Server:
    environ = {name: value for name, value in os.environ.items() if name == ENVIRONMENT}
    return Server(SCRIPT, str(home), "0.001", environ=environ)


def has_begun(event: Any) -> bool:
    if event.name != "thread.run.step.delta":
        return False
    (part,) = event.data["delta"]["step_details"]["tool_calls"]
    return any("begun" in one["logs"] for one in part["code_interpreter"].get("outputs", []))


def processes_of(home: Path) -> list[str]:
    """Command lines that name the data folder, the kernels' among them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(home) in line:
            found.append(line)
    return found


def test_code_of_a_killed_server_is_run_again(tmp_path: Path) -> None:
    server = start(tmp_path)
    try:
        with server.client() as client:
            assistant = client.beta.assistants.create(model="gpt-4o", tools=[CODE])
            asked: Any = [{"role": "user", "content": "Please wait."}]
            thread = client.beta.threads.create(messages=asked)
            path = f"/threads/{thread.id}/runs"
            body = {"assistant_id": assistant.id, "stream": True}
            seen: list[Any] = []
            with pytest.raises(http.TransportError):
                for event in raw_stream(client, "POST", path, json=body):
                    seen.append(event)
                    if has_begun(event):
                        server.kill()
        run_id = seen[0].data["id"]
        server = start(tmp_path)
        with server.client() as client:
            again = list(raw_stream(client, "GET", f"{path}/{run_id}/stream"))
            assert [event.data for event in again[: len(seen)]] == [event.data for event in seen]
            assert short(event.name for event in again) == AGAIN
            failed, done, _ = client.beta.threads.runs.steps.list(
                run_id, thread_id=thread.id, order="asc"
            )
            (first,) = failed.step_details.tool_calls  # type: ignore[union-attr]
            (second,) = done.step_details.tool_calls  # type: ignore[union-attr]
            assert [one.logs.strip() for one in first.code_interpreter.outputs] == ["begun"]  # type: ignore[union-attr]
            assert "waited" in second.code_interpreter.outputs[0].logs  # type: ignore[union-attr]
    finally:
        server.stop()
    until = time.monotonic() + MOST_SECONDS
    while processes_of(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    assert processes_of(tmp_path) == []
    sessions = tmp_path / "sandbox" / "sessions"
    assert [one for one in sessions.iterdir() if one.is_dir()] == []
