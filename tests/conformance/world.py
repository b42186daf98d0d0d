"""Objects for requests to name: one of each kind, and new ones for requests that use theirs up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai

from localassist.engine.request import Generate
from tests.conformance.serving import call

WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
ALL_TOOLS = [{"type": "code_interpreter"}, {"type": "file_search"}, WEATHER_TOOL]

Ids = dict[str, str]


def reply(request: Generate) -> str:
    """What the model of a world says: where an answer has a form and no tool is there, an empty
    object, else a call, which is a text to those who declare no tools."""
    grammar = "" if request.constraint is None else str(request.constraint.grammar)
    return "{}" if grammar and "get_weather" not in grammar else call("Paris")


class World:
    """Makes its objects below the SDK: what is tested is what endpoints take."""

    def __init__(self, client: openai.OpenAI) -> None:
        self._client = client
        self.file = self.new_file()
        self.assistant = self.new_assistant()
        self.thread = self._made("/threads", {"messages": [{"role": "user", "content": "Hi"}]})
        self.message = self._made(
            f"/threads/{self.thread}/messages",
            {"role": "user", "content": "Hi", "file_ids": [self.file]},
        )
        self.run = self._made(f"/threads/{self.thread}/runs", {"assistant_id": self.assistant})
        self.wait_for(self.thread, self.run, "completed")
        steps = self._get(f"/threads/{self.thread}/runs/{self.run}/steps")["data"]
        self.step = steps[0]["id"]
        self.store = self._made("/vector_stores", {"file_ids": [self.file]})
        self.batch = self._made(
            f"/vector_stores/{self.store}/file_batches", {"file_ids": [self.file]}
        )
        self.chunked = self.new_upload()

    def ids(self, endpoint: str) -> Ids:
        """Path parameters for a request to the endpoint."""
        return self._FRESH[endpoint](self) if endpoint in self._FRESH else self._shared()

    def _shared(self) -> Ids:
        return {
            "assistant_id": self.assistant,
            "thread_id": self.thread,
            "message_id": self.message,
            "run_id": self.run,
            "step_id": self.step,
            "file_id": self.file,
            "vector_store_id": self.store,
            "batch_id": self.batch,
            "upload_id": self.chunked["upload_id"],
            "model": "gpt-4o",
        }

    def new_file(self) -> str:
        part = {"file": ("notes.txt", b"Paris is the capital of France.")}
        return str(self._post("/files", data={"purpose": "assistants"}, files=part)["id"])

    def new_assistant(self) -> str:
        body = {"model": "gpt-4o", "tools": [{"type": "file_search"}], "file_ids": [self.file]}
        return self._made("/assistants", body)

    def new_thread(self) -> str:
        return self._made("/threads", {})

    def new_message(self) -> Ids:
        thread = self.new_thread()
        made = self._made(f"/threads/{thread}/messages", {"role": "user", "content": "Hi"})
        return {"thread_id": thread, "message_id": made}

    def new_waiting_run(self) -> Ids:
        """A run that waits for the outputs of the call ``self.call_of`` it."""
        thread = self.new_thread()
        body = {"assistant_id": self.assistant, "tools": [WEATHER_TOOL]}
        run = self._made(f"/threads/{thread}/runs", body)
        self.wait_for(thread, run, "requires_action")
        return {"thread_id": thread, "run_id": run}

    def call_of(self, ids: Ids) -> str:
        """The id of the call that a run waits for."""
        run = self._get(f"/threads/{ids['thread_id']}/runs/{ids['run_id']}")
        (asked,) = run["required_action"]["submit_tool_outputs"]["tool_calls"]
        return str(asked["id"])

    def new_upload(self) -> Ids:
        """An upload of four bytes, all of them there."""
        described = {"filename": "a.txt", "purpose": "assistants", "mime_type": "text/plain"}
        upload = self._made("/uploads", {**described, "bytes": 4})
        part = self._post(f"/uploads/{upload}/parts", files={"data": ("upload", b"text")})
        return {"upload_id": upload, "part_id": str(part["id"])}

    def new_store_file(self) -> Ids:
        store = self._made("/vector_stores", {"file_ids": [self.file]})
        return {"vector_store_id": store, "file_id": self.file}

    def new_batch(self) -> Ids:
        store = self._made("/vector_stores", {})
        batch = self._made(f"/vector_stores/{store}/file_batches", {"file_ids": [self.file]})
        return {"vector_store_id": store, "batch_id": batch}

    def wait_for(self, thread: str, run: str, status: str) -> None:
        made = self._client.beta.threads.runs.poll(run, thread_id=thread)
        assert made.status == status, made.last_error

    def _made(self, path: str, body: dict[str, Any]) -> str:
        return str(self._post(path, json=body)["id"])

    def _get(self, path: str) -> dict[str, Any]:
        return self._send("GET", path)

    def _post(self, path: str, **options: Any) -> dict[str, Any]:
        return self._send("POST", path, **options)

    def _send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        url = str(self._client.base_url).rstrip("/") + path
        answer = self._client._client.request(method, url, **options)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def _file_of_assistant(self) -> Ids:
        return {"assistant_id": self.new_assistant(), "file_id": self.file}

    def _thread_of_run(self) -> Ids:
        return {"thread_id": self.new_thread()}

    # What requests to these endpoints change or take away.
    _FRESH: dict[str, Callable[[World], Ids]] = {
        "POST /assistants/{assistant_id}": lambda world: {"assistant_id": world.new_assistant()},
        "DELETE /assistants/{assistant_id}": lambda world: {"assistant_id": world.new_assistant()},
        "DELETE /assistants/{assistant_id}/files/{file_id}": _file_of_assistant,
        "DELETE /threads/{thread_id}": _thread_of_run,
        "DELETE /threads/{thread_id}/messages/{message_id}": new_message,
        "POST /threads/{thread_id}/messages": _thread_of_run,
        "POST /threads/{thread_id}/runs": _thread_of_run,
        "POST /threads/{thread_id}/runs/{run_id}/cancel": new_waiting_run,
        "POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs": new_waiting_run,
        "DELETE /files/{file_id}": lambda world: {"file_id": world.new_file()},
        "POST /uploads/{upload_id}/parts": new_upload,
        "POST /uploads/{upload_id}/complete": new_upload,
        "POST /uploads/{upload_id}/cancel": new_upload,
        "DELETE /vector_stores/{vector_store_id}": new_store_file,
        "DELETE /vector_stores/{vector_store_id}/files/{file_id}": new_store_file,
        "POST /vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel": new_batch,
    }
