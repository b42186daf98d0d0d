"""Disks that are full, read-only or locked: a clear error, nothing lost, and on it goes when the
fault is gone."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from localassist.client.transport import http
from localassist.errors import StorageUnavailable
from localassist.runtime import open_keys
from tests.conformance.serving import scripted_settings
from tests.conformance.slow_server import ANSWER
from tests.faults.children import Nursery
from tests.faults.invariants import violations
from tests.faults.stories import Api

QUICK = {"runs": {"lease_seconds": 1.0}, "storage": {"busy_timeout_seconds": 0.2}}
END_SECONDS = 60
Fault = Callable[[], Any]


@contextmanager
def served(nursery: Nursery, home: Path) -> Iterator[Api]:
    server = nursery.start("serve", home, QUICK)
    with Api(server.first_line(), "any") as api:
        yield api
    server.kill()


def refused(api: Api, method: str, path: str, **body: Any) -> None:
    """An error of the server that says nothing of its inside and may be tried again."""
    answer = api._http.request(method, path, **body)
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "localassist.db" not in answer.text and "disk" not in answer.text
    assert "retry-after" in answer.headers


def begin(api: Api) -> tuple[str, str]:
    """A thread with a question, and an assistant."""
    made = api.post("/assistants", model="gpt-4o")
    thread = api.post("/threads", messages=[{"role": "user", "content": "Tell me a story."}])
    return f"/threads/{thread['id']}", made["id"]


def answer_of(api: Api, thread: str, run: str) -> str:
    until = time.monotonic() + END_SECONDS
    while (found := api.send("GET", f"{thread}/runs/{run}"))["status"] != "completed":
        assert found["status"] in ("queued", "in_progress") and time.monotonic() < until, found
        time.sleep(0.05)
    (message,) = api.send("GET", f"{thread}/messages?run_id={run}")["data"]
    return str(message["content"][0]["text"]["value"])


def check_a_fault(api: Api, start: Fault, end: Fault) -> None:
    """What is asked during the fault is refused; a run that was under way ends well after it."""
    thread, assistant = begin(api)
    said = api.post("/threads", messages=[{"role": "user", "content": "Kept."}])
    run = api.post(f"{thread}/runs", assistant_id=assistant)["id"]
    start()
    refused(api, "POST", f"/threads/{said['id']}/messages", json={"role": "user", "content": "?"})
    refused(api, "POST", "/assistants", json={"model": "gpt-4o"})
    page = api.send("GET", f"/threads/{said['id']}/messages")  # reading goes on
    assert [one["content"][0]["text"]["value"] for one in page["data"]] == ["Kept."]
    time.sleep(0.5)
    end()
    assert answer_of(api, thread, run) == ANSWER
    api.post(f"{thread}/messages", role="user", content="And then?")
    page = api.send("GET", f"/threads/{said['id']}/messages")
    assert len(page["data"]) == 1


def test_a_full_disk(nursery: Nursery, disk: Callable[[str], Path]) -> None:
    home = disk("size=24m")
    ballast = home / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
            while True:
                file.write(bytes(4096))

    def upload() -> http.Response:
        files = {"file": ("large.txt", b"x" * 2_000_000)}
        return api._http.post("/files", files=files, data={"purpose": "assistants"})

    with served(nursery, home) as api:
        check_a_fault(api, fill, ballast.unlink)
        fill()
        assert upload().status_code == 500
        ballast.unlink()
        assert list((home / "blobs" / "incoming").iterdir()) == []
        assert upload().status_code == 200
    assert violations(home) == []


def test_a_database_that_another_process_has_locked(nursery: Nursery, tmp_path: Path) -> None:
    with served(nursery, tmp_path) as api:
        other = sqlite3.connect(tmp_path / "localassist.db", isolation_level=None)
        check_a_fault(
            api,
            lambda: other.execute("BEGIN IMMEDIATE"),
            lambda: other.execute("ROLLBACK"),
        )
        other.close()
    assert violations(tmp_path) == []


async def test_a_read_only_folder_is_refused_and_left_alone(disk: Callable[[str], Path]) -> None:
    home = disk("size=24m")
    settings = scripted_settings(home)
    async with open_keys(settings) as keys:
        await keys.create("first", "default")
    _remount(home, "ro")
    with pytest.raises(StorageUnavailable, match="readonly|read-only|unable to open"):
        async with open_keys(settings):
            pass
    _remount(home, "rw")
    async with open_keys(settings) as keys:
        assert [key.name for key in await keys.list()] == ["first"]


def _remount(folder: Path, mode: str) -> None:
    os.sync()
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)
