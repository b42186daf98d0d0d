"""Objects that exist, for requests that would otherwise all end at an unknown id."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Protocol

import openai

from tests.conformance.conftest import WEATHER


class Known(Protocol):
    def id_of(self, name: str) -> str | None:
        """The id of an object that exists, for a parameter or field ``name``."""


class Objects:
    """One of each kind, made when it is first asked for."""

    def __init__(self, client: openai.OpenAI) -> None:
        self._client = client
        self._threads = client.beta.threads

    def id_of(self, name: str) -> str | None:
        if name == "model":
            return "gpt-4o"
        try:
            found = getattr(self, name.removesuffix("s"), None)
        except (openai.BadRequestError, openai.NotFoundError):
            return None  # what it would be made of has been deleted or is in use
        return found if isinstance(found, str) else None

    @cached_property
    def assistant_id(self) -> str:
        return self._client.beta.assistants.create(model="gpt-4o", tools=[WEATHER]).id  # type: ignore[list-item]

    @cached_property
    def thread_id(self) -> str:
        return self._threads.create(messages=[{"role": "user", "content": "Hello"}]).id

    @cached_property
    def message_id(self) -> str:
        return self._threads.messages.list(self.thread_id).data[0].id

    @cached_property
    def run_id(self) -> str:
        return self._threads.runs.create_and_poll(
            thread_id=self.thread_id, assistant_id=self.assistant_id, poll_interval_ms=10
        ).id

    @cached_property
    def step_id(self) -> str:
        return self._threads.runs.steps.list(self.run_id, thread_id=self.thread_id).data[0].id

    @cached_property
    def file_id(self) -> str:
        return self._client.files.create(file=("a.txt", b"Some words."), purpose="assistants").id

    @cached_property
    def vector_store_id(self) -> str:
        return self._client.vector_stores.create(file_ids=[self.file_id]).id

    @cached_property
    def batch_id(self) -> str:
        batches = self._client.vector_stores.file_batches
        return batches.create(self.vector_store_id, file_ids=[self.file_id]).id

    @cached_property
    def upload_id(self) -> str:
        upload: Any = self._client.uploads.create(
            bytes=4, filename="a.txt", mime_type="text/plain", purpose="assistants"
        )
        return str(upload.id)
