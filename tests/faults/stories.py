"""What clients do while their server is killed, and what they were told of it.

A story uses one write path again and again. Every object has a *view*, a value that a GET shows;
from the moment a change is sent the old and the new value are allowed, from its answer on the new
one only. So whatever was acknowledged must be there, and what was not is there whole or not at all.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

from localassist.client.transport import http
from tests.conformance.conftest import WEATHER
from tests.conformance.slow_server import ANSWER

HEADERS = {"OpenAI-Beta": "assistants=v2"}
GONE = None
_numbers = itertools.count()
View = Callable[[Any], Any]


class Refused(AssertionError):
    """The server has answered with an error."""


class Api:
    """Requests to one server."""

    def __init__(self, url: str, key: str) -> None:
        headers = {**HEADERS, "Authorization": f"Bearer {key}"}
        self._http = http.Client(base_url=url, headers=headers, timeout=30)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def send(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, path, **body)
        if answer.status_code != 200:
            raise Refused(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        return self.send("POST", path, json=body)

    def look(self, path: str, view: View) -> Any:
        answer = self._http.get(path)
        if answer.status_code == 404:
            return GONE
        if answer.status_code != 200:
            raise Refused(f"GET {path}: {answer.status_code} {answer.text}")
        is_json = answer.headers["content-type"].startswith("application/json")
        return view(answer.json() if is_json else answer.content)

    def events(self, path: str, **body: Any) -> Iterator[tuple[str, Any]]:
        """Names and data of a stream's events; ends early when the server dies."""
        with suppress(http.TransportError), self._http.stream("POST", path, json=body) as answer:
            name = ""
            for line in answer.iter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "data" and value != "[DONE]":
                    yield name, json.loads(value)


@dataclass
class Told:
    """What must be found: for each path the allowed values of its view."""

    allowed: dict[str, tuple[View, list[Any]]] = field(default_factory=dict)
    runs: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)
    """Paths of runs that were acknowledged, with the events that a stream told."""

    def made(self, path: str, view: View, value: Any) -> None:
        self.allowed[path] = view, [value]

    @contextmanager
    def change(self, path: str, value: Any) -> Iterator[None]:
        view, values = self.allowed[path]
        self.allowed[path] = view, [*values, value]
        yield
        self.allowed[path] = view, [value]

    def check(self, api: Api) -> None:
        for path, (view, values) in self.allowed.items():
            found = api.look(path, view)
            assert found in values, f"{path} shows {found!r} instead of one of {values!r}"


@dataclass
class Story:
    """Repeats ``once`` until its server is gone."""

    api: Api
    luck: random.Random
    told: Told
    scene: dict[str, str]
    all: ClassVar[list[type[Story]]] = []

    def __init_subclass__(cls) -> None:
        Story.all.append(cls)

    def go_on(self) -> None:
        with suppress(http.TransportError):
            while True:
                self.once()

    def once(self) -> None:
        raise NotImplementedError

    def file(self, text: str) -> str:
        files = {"file": (f"{next(_numbers)}.txt", text.encode())}
        made = self.api.send("POST", "/files", files=files, data={"purpose": "assistants"})
        self.told.made(f"/files/{made['id']}/content", bytes.decode, text)
        return str(made["id"])

    def delete_file(self, file_id: str) -> None:
        with self.told.change(f"/files/{file_id}/content", GONE):
            self.api.send("DELETE", f"/files/{file_id}")


class Assistants(Story):
    def once(self) -> None:
        made = self.api.post("/assistants", model="gpt-4o", name="0", metadata={"n": "0"})
        path = f"/assistants/{made['id']}"
        self.told.made(path, lambda found: (found["name"], found["metadata"]["n"]), ("0", "0"))
        for n in "123":
            with self.told.change(path, (n, n)):
                self.api.post(path, name=n, metadata={"n": n})
        if self.luck.random() < 0.5:
            with self.told.change(path, GONE):
                self.api.send("DELETE", path)


class Conversations(Story):
    """Threads and messages."""

    def once(self) -> None:
        said = ["0"]
        thread = self.api.post("/threads", messages=[{"role": "user", "content": "0"}])
        path = f"/threads/{thread['id']}"
        page = f"{path}/messages?order=asc&limit=100"
        self.told.made(page, _texts, [*said])
        self.told.made(path, lambda found: found["metadata"], {})
        for number in range(1, 6):
            with self.told.change(page, [*said, str(number)]):
                message = self.api.post(f"{path}/messages", role="user", content=str(number))
            said.append(str(number))
        with self.told.change(page, said[:-1]):
            self.api.send("DELETE", f"{path}/messages/{message['id']}")
        with self.told.change(path, {"is": "changed"}):
            self.api.post(path, metadata={"is": "changed"})
        if self.luck.random() < 0.3:
            with self.told.change(path, GONE), self.told.change(page, GONE):
                self.api.send("DELETE", path)


class Files(Story):
    def once(self) -> None:
        text = f"content {next(_numbers)} " * self.luck.choice((1, 10_000))
        first, second = self.file(text), self.file(text)
        self.delete_file(self.luck.choice((first, second)))


class Uploads(Story):
    def once(self) -> None:
        parts = [f"{next(_numbers)} ".encode() * 1000 for _ in range(2)]
        size = sum(map(len, parts))
        upload = self.api.post(
            "/uploads", filename="u.txt", purpose="assistants", bytes=size, mime_type="text/plain"
        )
        path = f"/uploads/{upload['id']}"
        ids = [
            self.api.send("POST", f"{path}/parts", files={"data": ("p", part)})["id"]
            for part in parts
        ]
        if self.luck.random() < 0.3:
            self.api.send("POST", f"{path}/cancel")
        else:
            done = self.api.post(f"{path}/complete", part_ids=ids)
            text = b"".join(parts).decode()
            self.told.made(f"/files/{done['file']['id']}/content", bytes.decode, text)


class Stores(Story):
    """Vector stores, their files and batches, and files that are deleted from under them."""

    def once(self) -> None:
        files = [self.file(f"The tale of lighthouse {next(_numbers)}.") for _ in range(4)]
        store = self.api.post("/vector_stores", name="s", file_ids=files[:1])
        path = f"/vector_stores/{store['id']}"
        listed, held = f"{path}/files?limit=100", set(files[:1])
        self.told.made(listed, lambda found: {file["id"] for file in found["data"]}, {*held})
        with self.told.change(listed, held | {files[1]}):
            self.api.post(f"{path}/files", file_id=files[1])
        held.add(files[1])
        with self.told.change(listed, held | {*files[2:]}):
            batch = self.api.post(f"{path}/file_batches", file_ids=files[2:])
        held |= {*files[2:]}
        if self.luck.random() < 0.3:
            self.api.send("POST", f"{path}/file_batches/{batch['id']}/cancel")
        with self.told.change(listed, held - {files[0]}):
            self.api.send("DELETE", f"{path}/files/{files[0]}")
        held.remove(files[0])
        with self.told.change(listed, held - {files[1]}):
            self.delete_file(files[1])
        if self.luck.random() < 0.3:
            with self.told.change(listed, GONE):
                self.api.send("DELETE", path)


class Runs(Story):
    """Runs that are polled: with functions, searches, and cancelled ones."""

    question = "Tell me a story."

    def begin(self) -> str:
        messages = [{"role": "user", "content": self.question}]
        return f"/threads/{self.api.post('/threads', messages=messages)['id']}"

    def run(self, path: str) -> str:
        made = self.api.post(f"{path}/runs", assistant_id=self.scene["assistant"])
        run = f"{path}/runs/{made['id']}"
        self.told.runs[run] = []
        return run

    def rest(self, run: str) -> Any:
        while True:
            found = self.api.send("GET", run)
            if found["status"] not in ("queued", "in_progress", "cancelling"):
                return found

    def once(self) -> None:
        run = self.run(self.begin())
        if self.luck.random() < 0.2:
            with suppress(Refused):  # it may have ended
                self.api.send("POST", f"{run}/cancel")
        self.rest(run)


class StreamedRuns(Runs):
    def once(self) -> None:
        path = self.begin()
        run, assistant = None, self.scene["assistant"]
        for event in self.api.events(f"{path}/runs", assistant_id=assistant, stream=True):
            if run is None:
                run = f"{path}/runs/{event[1]['id']}"
            self.told.runs.setdefault(run, []).append(event)
        self.api.send("GET", path)  # is the server still there?


class RunsWithFunctions(Runs):
    question = "How is the weather?"

    def once(self) -> None:
        run = self.run(self.begin())
        found = self.rest(run)
        calls = found["required_action"]["submit_tool_outputs"]["tool_calls"]
        outputs = [{"tool_call_id": call["id"], "output": "sunshine"} for call in calls]
        self.api.post(f"{run}/submit_tool_outputs", tool_outputs=outputs)
        self.rest(run)


class RunsThatSearch(Runs):
    question = "Please search."

    def once(self) -> None:
        self.rest(self.run(self.begin()))


class RunsOfCode(Runs):
    question = "Please compute."

    def once(self) -> None:
        self.rest(self.run(self.begin()))


def set_up(api: Api, *, has_kernels: bool) -> dict[str, str]:
    """What all stories need: an assistant with every tool."""
    files = {"file": ("museum.txt", b"The lighthouse museum opens at nine.")}
    file = api.send("POST", "/files", files=files, data={"purpose": "assistants"})
    store = api.post("/vector_stores", file_ids=[file["id"]])
    tools: list[dict[str, Any]] = [WEATHER, {"type": "file_search"}]
    tools += [{"type": "code_interpreter"}] * has_kernels
    resources = {"file_search": {"vector_store_ids": [store["id"]]}}
    made = api.post("/assistants", model="gpt-4o", tools=tools, tool_resources=resources)
    return {"assistant": made["id"], "store": store["id"]}


def check_run(api: Api, path: str, told: list[tuple[str, Any]]) -> str:
    """An acknowledged run has ended or waits, its answer is whole, and its log begins with what a
    stream told. Returns its status."""
    run = api.send("GET", path)
    assert run["status"] in ("completed", "cancelled", "requires_action"), run
    if run["status"] == "completed":
        thread = f"/threads/{run['thread_id']}/messages?run_id={run['id']}"
        (said,) = api.look(thread, _texts)
        assert said == ANSWER
    if told:
        log = _log(api, path)
        assert log[: len(told)] == told
    return str(run["status"])


def _log(api: Api, path: str) -> list[tuple[str, Any]]:
    answer = api._http.get(f"{path}/stream")
    found, name = [], ""
    for line in answer.text.splitlines():
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data" and value != "[DONE]":
            found.append((name, json.loads(value)))
    return found


def _texts(page: Any) -> list[str]:
    return [part["text"]["value"] for one in page["data"] for part in one["content"]]
