"""``localassist chat``: a conversation in the terminal, kept as a thread like any other.

Talks through the in-process client, so it does nothing a user's own program could not do. In a pipe
it reads one question, writes the bare answer and ends. With ``--tools`` the model may call the
user's functions, each call after a yes. With ``--docs`` it answers from the documents of a folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from localassist import clock
from localassist.cli import tool_calls
from localassist.cli.documents import folder_store, searching
from localassist.cli.output import EXIT_FAILURE, err_console, fail, is_interactive, report
from localassist.cli.sources import Sources

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist
    from localassist.client.functions import Tool
    from localassist.client.tool_runner import CallResult, FunctionCall
    from localassist.settings import Settings

_LAST_THREAD = "last_chat"
_HISTORY = "chat_history"
_EXIT_INTERRUPTED = 130
_READING = "Loading the model and reading …"
_SHORT_WAIT_SECONDS = 1.0
_ACTIVE = ("queued", "in_progress", "requires_action")
# On the thread, so that a resumed conversation keeps its assistant and with it its instructions.
_ASSISTANT_KEY = "assistant_id"


# Shows a call, and says whether to make it.
MayCall: TypeAlias = "Callable[[FunctionCall], bool]"


class RunFailed(Exception):
    """The run ended without a whole answer; the text says why."""


class Conversation:
    """A thread and the assistant that answers on it; a new one begins with the first question.

    ``options`` are the fields of a run the user has set; they also go into a new assistant.
    ``tools`` go into each run. ``store_id`` is a vector store that the assistant searches.
    """

    def __init__(
        self,
        client: LocalAssist,
        thread_id: str | None,
        default_model: str,
        tools: Sequence[Tool[..., Any]] = (),
        store_id: str | None = None,
        **options: Any,
    ) -> None:
        self._client = client
        self._searches = {} if store_id is None else searching(store_id)
        self._tools = tools
        self._options = {name: value for name, value in options.items() if value is not None}
        self.model: str = self._options.get("model", default_model)
        self._assistant_id: str | None = None
        self.thread_id = thread_id
        if thread_id is not None:
            thread = client.beta.threads.retrieve(thread_id)
            self._assistant_id = (thread.metadata or {}).get(_ASSISTANT_KEY)
            if self._assistant_id is not None and self._searches:
                client.beta.assistants.update(self._assistant_id, **self._searches)

    def ask(self, question: str) -> Generator[str | FunctionCall | CallResult]:
        """Send a message and yield the answer as it is generated, and each call before it is made
        and after. Raises RunFailed."""
        from localassist.client.tool_runner import Run, stream_tools

        thread_id, assistant_id = self._begin()
        threads = self._client.beta.threads
        threads.messages.create(thread_id, role="user", content=question)
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

    def loading(self) -> dict[str, float]:
        """The models that are being loaded, with the loaded part of each, 0 to 1."""
        from localassist.client.client import loading

        return loading(self._client)

    def _begin(self) -> tuple[str, str]:
        threads = self._client.beta.threads
        if self._assistant_id is None:
            options = {"model": self.model, **self._searches, **self._options}
            self._assistant_id = self._client.beta.assistants.create(name="Chat", **options).id
            metadata = {_ASSISTANT_KEY: self._assistant_id}
            if self.thread_id is None:
                self.thread_id = threads.create(metadata=metadata).id
            else:
                threads.update(self.thread_id, metadata=metadata)
        assert self.thread_id is not None
        return self.thread_id, self._assistant_id


def chat(
    context: typer.Context,
    thread_id: Annotated[
        str | None, typer.Argument(help="With --resume: the conversation to go on with.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the last conversation, or THREAD_ID.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Model to talk to.", show_default=False)] = None,
    system: Annotated[
        str | None, typer.Option(help="Instructions for the model.", show_default=False)
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="0 is repeatable, 2 is wild.", min=0, max=2, show_default=False),
    ] = None,
    tools: Annotated[
        Path | None,
        typer.Option(
            help="Python file with typed functions that the model may call.", show_default=False
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --tools: make every call without asking.")
    ] = False,
    docs: Annotated[
        Path | None,
        typer.Option(help="Folder whose documents are to answer.", show_default=False),
    ] = None,
) -> None:
    """Talk to the model. Ctrl-C stops an answer; Ctrl-D or /exit leaves."""
    from localassist.client.client import APIError, LocalAssist, explain

    settings: Settings = context.obj
    if resume:
        thread_id = thread_id or _last_thread(settings.home)
    elif thread_id is not None:
        fail(f"To go on with a conversation: localassist chat --resume {thread_id}")
    functions = _functions(tools, is_allowed=yes)
    question = None if sys.stdin.isatty() else _piped_question()
    options = {"model": model, "instructions": system, "temperature": temperature}
    may_call = _shown if yes else _asked
    try:
        with LocalAssist(settings=settings) as client:
            store_id = None if docs is None else folder_store(client, docs)
            conversation = Conversation(
                client, thread_id, _default_model(settings), functions, store_id, **options
            )
            try:
                if question is None:
                    _greet(conversation.model, functions)
                    _converse(conversation, settings.home / _HISTORY, may_call)
                else:
                    _answer_once(conversation, question, may_call)
            finally:
                _remember(conversation, settings.home)
    except APIError as exc:
        fail(explain(exc), EXIT_FAILURE)


def _functions(path: Path | None, *, is_allowed: bool) -> list[Tool[..., Any]]:
    """The tools of the user's file, once it is clear that there is somebody to ask."""
    if path is None:
        if is_allowed:
            fail("--yes is about calls; name the functions with --tools FILE.py.")
        return []
    if not (is_allowed or sys.stdin.isatty()):
        fail("In a pipe nobody can be asked about calls. Add --yes to allow all of them.")
    from localassist.cli.tool_file import load_tools

    return load_tools(path)


def _answer_once(conversation: Conversation, question: str, may_call: MayCall) -> None:
    try:
        _print_answer(conversation, question, may_call)
    except RunFailed as exc:
        fail(str(exc), EXIT_FAILURE)
    except KeyboardInterrupt:
        conversation.cancel()
        raise typer.Exit(_EXIT_INTERRUPTED) from None


def _converse(conversation: Conversation, history: Path, may_call: MayCall) -> None:
    """Question and answer in turns, until the user leaves."""
    for question in _questions(history):
        try:
            _print_answer(conversation, question, may_call)
        except RunFailed as exc:
            report(str(exc))
        except KeyboardInterrupt:
            print(flush=True)
            conversation.cancel()
    if conversation.thread_id is not None:
        goodbye = f"To go on: localassist chat --resume {conversation.thread_id}"
        err_console.print(goodbye, style="dim", soft_wrap=True)


def _greet(model: str, tools: Sequence[Tool[..., Any]]) -> None:
    able = f" It may call {', '.join(tool.name for tool in tools)}." if tools else ""
    hint = "Ctrl-C stops an answer, Ctrl-D leaves."
    err_console.print(f"Talking to {model}.{able} {hint}", style="dim", soft_wrap=True)


def _questions(history: Path) -> Iterator[str]:
    """What the user types, until /exit or Ctrl-D; Ctrl-C drops a half-typed line."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.output import create_output

    # The prompt belongs to the terminal, also when the answers go into a file.
    output = create_output(always_prefer_tty=True)
    session: PromptSession[str] = PromptSession(history=FileHistory(str(history)), output=output)
    while True:
        try:
            question = session.prompt("> ").strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            continue
        if question == "/exit":
            return
        if question:
            yield question


def _print_answer(conversation: Conversation, question: str, may_call: MayCall) -> None:
    """Print the answer as it comes, and what is called on the way."""
    from localassist.client.tool_runner import CallResult

    is_waiting, is_line_open = True, False
    sources = Sources()
    with closing(conversation.ask(question)) as items:
        while True:
            # The first answer waits for the model to be loaded, which may take a while.
            with _spinner(conversation) if is_waiting else nullcontext():
                item = next(items, None)
            if item is None:
                break
            is_waiting = isinstance(item, CallResult)
            if isinstance(item, str):
                print(sources.numbered(item), end="", flush=True)
                is_line_open = True
                continue
            if is_line_open:
                print(flush=True)
                is_line_open = False
            if isinstance(item, CallResult):
                tool_calls.show_result(item)
            elif not may_call(item):
                item.refuse()
    print(flush=True)
    conversation.show_sources(sources)


def _shown(call: FunctionCall) -> bool:
    tool_calls.show_call(call)
    return True


def _asked(call: FunctionCall) -> bool:
    return tool_calls.ask(call, is_whole=tool_calls.show_call(call))


class LoadLine:
    """What a spinner says beside a wait for an answer; looked up again each time it is drawn."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._started = clock.monotonic()

    def __rich__(self) -> str:
        if clock.monotonic() - self._started < _SHORT_WAIT_SECONDS:
            return _READING
        try:
            models = self._conversation.loading()
        except Exception:  # on the way out there is nobody left to ask, and nothing to say
            return _READING
        parts = [f"{model} {part:.0%}" for model, part in models.items()]
        return f"Loading {', '.join(parts)} …" if parts else _READING


def _spinner(conversation: Conversation) -> Any:
    is_watched = is_interactive() and err_console.is_terminal
    return err_console.status(LoadLine(conversation)) if is_watched else nullcontext()


def _check_end(run: Any) -> None:
    if run.status == "failed":
        raise RunFailed(f"The run failed: {run.last_error.message}")
    if run.status == "incomplete":
        raise RunFailed(f"The answer is incomplete: {run.incomplete_details.reason}.")
    if run.status == "expired":
        raise RunFailed("The run expired.")


def _piped_question() -> str:
    question = sys.stdin.read().strip()
    return question or fail("There is no question on standard input.")


def _remember(conversation: Conversation, home: Path) -> None:
    if conversation.thread_id is not None:
        (home / _LAST_THREAD).write_text(conversation.thread_id, encoding="ascii")


def _default_model(settings: Settings) -> str:
    from localassist.registry.catalog import Catalog

    return Catalog(settings.home, settings.models).default("chat").id


def _last_thread(home: Path) -> str:
    with suppress(FileNotFoundError):
        return (home / _LAST_THREAD).read_text().strip()
    fail("There is no conversation to go on with yet.")
