"""A conversation of the terminal: a thread like any other, asked through the official SDK."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localassist.cli import code as code_view
from localassist.cli.sources import Sources

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist
    from localassist.client.functions import Tool
    from localassist.client.tool_runner import CallResult, CodePiece, FunctionCall

_ACTIVE = ("queued", "in_progress", "requires_action")
# On the thread, so that a resumed conversation keeps its assistant and with it its instructions.
_ASSISTANT_KEY = "assistant_id"


class RunFailed(Exception):
    """The run ended without a whole answer; the text says why."""


class Conversation:
    """A thread and the assistant that answers on it; a new one begins with the first question.

    ``options`` are the fields of a run the user has set; they also go into a new assistant.
    ``tools`` go into each run. ``built_in`` are the fields of an assistant that name its own tools.
    ``files`` go with the first message, for code to read.
    """

    def __init__(
        self,
        client: LocalAssist,
        thread_id: str | None,
        default_model: str,
        tools: Sequence[Tool[..., Any]] = (),
        built_in: Mapping[str, Any] | None = None,
        files: Sequence[Path] = (),
        **options: Any,
    ) -> None:
        self._client = client
        self._built_in = dict(built_in or {})
        self._files = list(files)
        self._tools = tools
        self._run_id: str | None = None
        self._options = {name: value for name, value in options.items() if value is not None}
        self.model: str = self._options.get("model", default_model)
        self._assistant_id: str | None = None
        self.thread_id = thread_id
        if thread_id is not None:
            thread = client.beta.threads.retrieve(thread_id)
            self._assistant_id = (thread.metadata or {}).get(_ASSISTANT_KEY)
            if self._assistant_id is not None and self._built_in:
                client.beta.assistants.update(self._assistant_id, **self._built_in)

    def ask(self, question: str) -> Generator[str | CodePiece | FunctionCall | CallResult]:
        """Send a message and yield the answer as it is generated, code that is run for it, and each
        call before it is made and after. Raises RunFailed."""
        from localassist.client.tool_runner import Run, stream_tools

        thread_id, assistant_id = self._begin()
        threads = self._client.beta.threads
        attached = code_view.attachments(self._client, self._files)
        threads.messages.create(
            thread_id, role="user", content=question, attachments=attached or None
        )
        self._files = []
        items = stream_tools(
            self._client,
            thread_id=thread_id,
            assistant_id=assistant_id,
            tools=self._tools,
            **self._options,
        )
        with closing(items):
            for item in items:
                if isinstance(item, Run):
                    self._run_id = item.id
                    _check_end(item)
                else:
                    yield item

    def cancel(self) -> None:
        """Stop the answer being generated, if there is one; its text so far stays."""
        if self.thread_id is None:
            return
        runs = self._client.beta.threads.runs
        for run in runs.list(self.thread_id, limit=1).data:
            if run.status in _ACTIVE:
                runs.cancel(run.id, thread_id=self.thread_id)
            # The thread takes no message before the run has really ended.
            runs.poll(run.id, thread_id=self.thread_id)

    def show_sources(self, sources: Sources) -> None:
        """Say what the citations of the last answer stand for."""
        assert self.thread_id is not None
        sources.show(self._client, self.thread_id)

    def save_made(self, folder: Path) -> None:
        """Save what the last answer shows and links."""
        if self._run_id is not None and self.thread_id is not None:
            code_view.save_made(self._client, self.thread_id, self._run_id, folder)

    def loading(self) -> dict[str, float]:
        """The models that are being loaded, with the loaded part of each, 0 to 1."""
        from localassist.client.client import loading

        return loading(self._client)

    def _begin(self) -> tuple[str, str]:
        threads = self._client.beta.threads
        if self._assistant_id is None:
            options = {"model": self.model, **self._built_in, **self._options}
            self._assistant_id = self._client.beta.assistants.create(name="Chat", **options).id
            metadata = {_ASSISTANT_KEY: self._assistant_id}
            if self.thread_id is None:
                self.thread_id = threads.create(metadata=metadata).id
            else:
                threads.update(self.thread_id, metadata=metadata)
        assert self.thread_id is not None
        return self.thread_id, self._assistant_id


def _check_end(run: Any) -> None:
    if run.status == "failed":
        raise RunFailed(f"The run failed: {run.last_error.message}")
    if run.status == "incomplete":
        raise RunFailed(f"The answer is incomplete: {run.incomplete_details.reason}.")
    if run.status == "expired":
        raise RunFailed("The run expired.")
