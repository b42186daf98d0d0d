"""A conversation of the terminal: a thread like any other, asked through the official SDK.

Nothing is made before the first question. An assistant that was made for this thread is changed as
the user wishes; any other, a saved one or that of a conversation this one is a copy of, is copied
first. Knows nothing of terminals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from localassist.cli.chat.attachments import (
    Attachment,
    Unusable,
    discard,
    upload,
    wait_until_read,
)

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist
    from localassist.client.functions import Tool
    from localassist.client.threads import Assistant, Message
    from localassist.client.tool_runner import CallResult, CodePiece, FunctionCall

    Item = str | CodePiece | FunctionCall | CallResult

_ACTIVE = ("queued", "in_progress", "requires_action")
# On the thread, so that a resumed conversation keeps its assistant and with it its instructions.
ASSISTANT_KEY = "assistant_id"
_COPIED = ("model", "instructions", "temperature", "top_p", "response_format", "reasoning_effort")
FILE_SEARCH, CODE = "file_search", "code_interpreter"


class RunFailed(Exception):
    """The run ended without a whole answer; the text says why."""


class NothingToRepeat(Exception):
    """There is no question yet; the text says so."""


class NotAThread(Exception):
    """This can be the id of no thread; the text says so."""


class Conversation:
    """A thread and the assistant that answers on it; a new one begins with the first question.

    ``tools`` are functions of this program, which go into each run. ``on_question`` is told the
    thread's id before something is asked on it. What the SDK raises passes through.
    """

    def __init__(
        self,
        client: LocalAssist,
        default_model: str,
        tools: Sequence[Tool[..., Any]] = (),
        on_question: Callable[[str], None] = lambda thread_id: None,
    ) -> None:
        self.client = client
        self.tools = list(tools)
        self._on_question = on_question
        self.thread_id: str | None = None
        self.run_id: str | None = None
        self.model = default_model
        self.instructions: str | None = None
        self.runs_code = self.searches = False
        self.store_id: str | None = None
        self.store_name: str | None = None
        self.assistant_name: str | None = None
        self.attached: list[Attachment] = []
        self.carried: list[Any] = []
        """Attachments of a question that is asked anew; they go with the next message, too."""
        self.unsent: str | None = None
        """A question that did not reach the thread."""
        self.reading: tuple[str, float, int] | None = None
        """How far its files are while an answer waits for them, as ``client.documents.Progress``
        has it."""
        self._assistant: Assistant | None = None
        self._wanted: dict[str, Any] = {}

    # --- what answers --------------------------------------------------------------------------

    def use(self, assistant: Assistant) -> None:
        """Let this assistant answer, as it is."""
        from localassist.client.assistants import THREAD_KEY

        self._assistant, self._wanted = assistant, {}
        kinds = [tool.type for tool in assistant.tools]
        is_own = (assistant.metadata or {}).get(THREAD_KEY) is not None
        self.assistant_name = None if is_own else assistant.name
        self.model, self.instructions = assistant.model, assistant.instructions
        self.runs_code, self.searches = CODE in kinds, FILE_SEARCH in kinds
        search = assistant.tool_resources and assistant.tool_resources.file_search
        self.store_id = self.store_name = None
        if search and search.vector_store_ids:
            self.store_id = search.vector_store_ids[0]
            self.store_name = self._name_of_store(self.store_id)

    def change(self, **fields: Any) -> None:
        """Change fields of the assistant from the next answer on; None leaves one as it is."""
        given = {name: value for name, value in fields.items() if value is not None}
        self._wanted |= given
        self.model = given.get("model", self.model)
        self.instructions = given.get("instructions", self.instructions)

    def let_run_code(self, is_allowed: bool) -> None:
        self.runs_code = is_allowed
        self._change_tools()

    def search_in(self, store_id: str, name: str) -> None:
        """Answer from the documents of this store, in place of another one."""
        self.store_id, self.store_name, self.searches = store_id, name, True
        self.change(tool_resources={FILE_SEARCH: {"vector_store_ids": [store_id]}})
        self._change_tools()

    def attach(self, attachment: Attachment) -> None:
        """Let the file go with the next message."""
        self.attached.append(attachment)

    # --- questions and answers -----------------------------------------------------------------

    def ask(self, question: str) -> Generator[Item]:
        """Send a message and yield the answer as it is generated, code that is run for it, and each
        call before it is made and after. Files are read first; where one cannot be, nothing is
        sent and it is attached no more. Raises RunFailed and Unusable."""
        from localassist.client.client import APIError

        self.unsent = question
        searches = any(FILE_SEARCH in one.tools for one in self.attached)
        if searches and not self.searches:
            self.searches = True
            self._change_tools()
        thread_id, assistant_id = self._settle()
        files = upload(self.client, self.attached)
        messages = self.client.beta.threads.messages
        sent: Message | None = None
        try:
            sent = messages.create(
                thread_id,
                role="user",
                content=question,
                attachments=[*files, *self.carried] or None,
            )
            wait_until_read(self.client, thread_id, self.attached, files, self._tell_reading)
        except BaseException as error:
            if isinstance(error, Unusable):
                self.attached = [one for one in self.attached if one.path not in error.paths]
            if sent is not None:
                with suppress(APIError):  # what failed before is what is to be told
                    messages.delete(sent.id, thread_id=thread_id)
            discard(self.client, files)
            raise
        finally:
            self.reading = None
        self.attached, self.carried, self.unsent = [], [], None
        yield from self._run(thread_id, assistant_id)

    def again(self, temperature: float | None = None) -> Generator[Item]:
        """Drop the last answer and answer its question again. Where no text comes of that, the
        former answer's text is put back. Raises NothingToRepeat and RunFailed."""
        from localassist.client.threads import text_of

        question, answer = self.last_exchange()
        if question is None or self.thread_id is None:
            raise NothingToRepeat("There is no question yet.")
        thread_id, assistant_id = self._settle()
        messages = self.client.beta.threads.messages
        former = "\n\n".join(filter(None, map(text_of, answer)))
        for message in answer:
            messages.delete(message.id, thread_id=thread_id)
        options = {} if temperature is None else {"temperature": temperature}
        has_text = False
        try:
            for item in self._run(thread_id, assistant_id, **options):
                has_text = has_text or isinstance(item, str)
                yield item
        except BaseException:
            if former and not has_text:
                self.cancel()
                messages.create(thread_id, role="assistant", content=former)
            raise

    def cancel(self) -> None:
        """Stop the answer being generated, if there is one; its text so far stays."""
        if self.thread_id is None:
            return
        runs = self.client.beta.threads.runs
        for run in runs.list(self.thread_id, limit=1).data:
            if run.status in _ACTIVE:
                runs.cancel(run.id, thread_id=self.thread_id)
            # The thread takes no message before the run has really ended.
            runs.poll(run.id, thread_id=self.thread_id)

    def last_exchange(self) -> tuple[Message | None, list[Message]]:
        """The last question, None where there is none, and the messages of its answer in order."""
        answer: list[Message] = []
        if self.thread_id is not None:
            for message in self.client.beta.threads.messages.list(self.thread_id, limit=100):
                if message.role == "user":
                    return message, answer[::-1]
                answer.append(message)
        return None, answer[::-1]

    def answer_of_run(self) -> list[Message]:
        """The messages that the last run has written, in order."""
        if self.run_id is None or self.thread_id is None:
            return []
        messages = self.client.beta.threads.messages
        return list(messages.list(self.thread_id, run_id=self.run_id, order="asc", limit=100))

    # --- threads -------------------------------------------------------------------------------

    def resume(self, thread_id: str) -> None:
        """Go on with a thread and the assistant that answered on it, as far as it is there. Raises
        NotAThread."""
        from localassist.client.client import NotFoundError

        if not re.fullmatch(r"[\w-]+", thread_id):  # it becomes part of an address
            raise NotAThread(f"'{thread_id}' is no id of a conversation.")
        thread = self.client.beta.threads.retrieve(thread_id)
        self.thread_id, self.run_id, self._assistant = thread.id, None, None
        assistant_id = (thread.metadata or {}).get(ASSISTANT_KEY)
        with suppress(NotFoundError):
            if assistant_id is not None:
                self.use(self.client.beta.assistants.retrieve(assistant_id))

    def leave(self) -> None:
        """Begin a new thread with the next question; what answers stays the same."""
        self.thread_id = self.run_id = None

    def fork(self, before: str | None = None) -> str:
        """Go on in a copy of the thread, up to but not including the message ``before``; returns
        the id of the thread that was left."""
        from localassist.client.threads import copy_thread

        assert self.thread_id is not None
        left = self.thread_id
        self.thread_id = copy_thread(self.client, left, before=before).id
        self.run_id = None
        return left

    def entitle(self, title: str) -> None:
        """Give the thread a title. There must be one."""
        from localassist.client.threads import TITLE

        assert self.thread_id is not None
        self.client.beta.threads.update(self.thread_id, metadata={TITLE: title})

    # --- within --------------------------------------------------------------------------------

    def _run(self, thread_id: str, assistant_id: str, **options: Any) -> Generator[Item]:
        from localassist.client.tool_runner import Run, stream_tools

        items = stream_tools(
            self.client,
            thread_id=thread_id,
            assistant_id=assistant_id,
            tools=self.tools,
            **options,
        )
        with closing(items):
            for item in items:
                if isinstance(item, Run):
                    self.run_id = item.id
                    _check_end(item)
                else:
                    yield item

    def _tell_reading(self, what: str, done: float, total: int) -> None:
        self.reading = what, done, total

    def _settle(self) -> tuple[str, str]:
        """The ids of thread and assistant, made and changed as has been asked for."""
        from localassist.client.assistants import THREAD_KEY

        beta = self.client.beta
        if self.thread_id is None:
            made = beta.threads.create()
            self.thread_id, known = made.id, None
        else:
            known = (beta.threads.retrieve(self.thread_id).metadata or {}).get(ASSISTANT_KEY)
        assistant = self._assistant
        if assistant is None:
            assistant = self._made({"model": self.model}, "Chat")
        elif self._wanted and (assistant.metadata or {}).get(THREAD_KEY) == self.thread_id:
            assistant = beta.assistants.update(assistant.id, **self._wanted)
        elif self._wanted:
            assistant = self._made(_fields_of(assistant), assistant.name or "Chat")
        self._assistant, self._wanted = assistant, {}
        if known != assistant.id:
            beta.threads.update(self.thread_id, metadata={ASSISTANT_KEY: assistant.id})
        self._on_question(self.thread_id)
        return self.thread_id, assistant.id

    def _made(self, fields: dict[str, Any], name: str) -> Assistant:
        from localassist.client.assistants import THREAD_KEY

        assert self.thread_id is not None
        fields |= self._wanted
        return self.client.beta.assistants.create(
            name=name, metadata={THREAD_KEY: self.thread_id}, **fields
        )

    def _change_tools(self) -> None:
        known = [] if self._assistant is None else self._assistant.tools
        kept = [one.to_dict() for one in known if one.type not in (FILE_SEARCH, CODE)]
        search = [one.to_dict() for one in known if one.type == FILE_SEARCH]
        if self.searches:
            kept += search or [{"type": FILE_SEARCH}]
        if self.runs_code:
            kept.append({"type": CODE})
        self.change(tools=kept)

    def _name_of_store(self, store_id: str) -> str:
        from localassist.client.client import NotFoundError

        try:
            return self.client.vector_stores.retrieve(store_id).name or store_id
        except NotFoundError:
            return store_id


def _fields_of(assistant: Assistant) -> dict[str, Any]:
    """What makes another assistant answer like this one."""
    told = assistant.to_dict()
    # 1 and "auto" also stand for values that were left open.
    fields = {name: told[name] for name in _COPIED if told.get(name) not in (None, 1, "auto")}
    fields["tools"] = told.get("tools", [])
    resources = {kind: value for kind, value in (told.get("tool_resources") or {}).items() if value}  # type: ignore[attr-defined]
    return fields | ({"tool_resources": resources} if resources else {})


def _check_end(run: Any) -> None:
    if run.status == "failed":
        raise RunFailed(f"The run failed: {run.last_error.message}")
    if run.status == "incomplete":
        raise RunFailed(f"The answer is incomplete: {run.incomplete_details.reason}.")
    if run.status == "expired":
        raise RunFailed("The run expired.")
