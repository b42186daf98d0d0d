"""``localassist chat``: a conversation in the terminal, kept as a thread like any other.

Talks through the in-process client, so it does nothing a user's own program could not do. In a pipe
it reads one question, writes the bare answer and ends. With ``--tools`` the model may call the
user's functions, each call after a yes. With ``--docs`` it answers from the documents of a folder.
With ``--code`` it may run code on this machine, in a sandbox; what that makes is saved.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.text import Text

from localassist import clock
from localassist.cli import code as code_view
from localassist.cli import tool_calls
from localassist.cli.conversation import Conversation, RunFailed
from localassist.cli.documents import folder_store, searching
from localassist.cli.output import (
    EXIT_FAILURE,
    err_console,
    fail,
    is_interactive,
    report,
    say_aside,
)
from localassist.cli.sources import Sources

if TYPE_CHECKING:
    from localassist.client.functions import Tool
    from localassist.client.tool_runner import FunctionCall
    from localassist.settings import Settings

_LAST_THREAD = "last_chat"
_HISTORY = "chat_history"
_EXIT_INTERRUPTED = 130
_READING = "Loading the model and reading …"
_WORKING = "Working …"
_SHORT_WAIT_SECONDS = 1.0


# Shows a call, and says whether to make it.
MayCall: TypeAlias = "Callable[[FunctionCall], bool]"


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
    code: Annotated[
        bool, typer.Option("--code", help="Let the model run Python in a sandbox.")
    ] = False,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="With --code: a file for it to read; may be repeated."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="With --code: where images and files are saved.")
    ] = Path("outputs"),
) -> None:
    """Talk to the model. Ctrl-C stops an answer; Ctrl-D or /exit leaves."""
    from localassist.client.client import APIError, LocalAssist, explain

    settings: Settings = context.obj
    if resume:
        thread_id = thread_id or _last_thread(settings.home)
    elif thread_id is not None:
        fail(f"To go on with a conversation: localassist chat --resume {thread_id}")
    functions = _functions(tools, is_allowed=yes)
    files = _files(file or [], is_wanted=code)
    if code:
        _check_code(settings, out)
    question = None if sys.stdin.isatty() else _piped_question()
    options = {"model": model, "instructions": system, "temperature": temperature}
    may_call = _shown if yes else _asked
    try:
        with LocalAssist(settings=settings) as client:
            store_id = None if docs is None else folder_store(client, docs)
            conversation = Conversation(
                client,
                thread_id,
                _default_model(settings),
                functions,
                _built_in(store_id, runs_code=code),
                files,
                **options,
            )
            try:
                if question is None:
                    _greet(conversation.model, functions, out if code else None)
                    _converse(conversation, settings.home / _HISTORY, may_call, out)
                else:
                    _answer_once(conversation, question, may_call, out)
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


def _files(paths: Sequence[Path], *, is_wanted: bool) -> list[Path]:
    """The files for code to read; ends the command when one is not there."""
    if paths and not is_wanted:
        fail("--file is for code to read; add --code. To ask documents: --docs FOLDER.")
    for reason in filter(None, map(code_view.why_unusable, paths)):
        fail(reason)
    return list(paths)


def _check_code(settings: Settings, out: Path) -> None:
    """Ends the command where code cannot be run, or what it makes cannot be saved. A run would
    answer without code, and a small model makes up what code would have found."""
    from localassist.errors import SandboxUnavailable
    from localassist.sandbox.choosing import choose

    if out.exists() and not out.is_dir():
        fail(f"{out} is not a folder.")
    try:
        choose(settings.sandbox, settings.home)
    except SandboxUnavailable as error:
        fail(error.message)


def _built_in(store_id: str | None, *, runs_code: bool) -> dict[str, Any]:
    """The fields of an assistant that name its own tools; empty without any."""
    fields = {} if store_id is None else searching(store_id)
    if runs_code:
        fields["tools"] = [*fields.get("tools", []), {"type": "code_interpreter"}]
    return fields


def _answer_once(conversation: Conversation, question: str, may_call: MayCall, out: Path) -> None:
    try:
        _print_answer(conversation, question, may_call, out)
    except RunFailed as exc:
        fail(str(exc), EXIT_FAILURE)
    except KeyboardInterrupt:
        conversation.cancel()
        raise typer.Exit(_EXIT_INTERRUPTED) from None


def _converse(conversation: Conversation, history: Path, may_call: MayCall, out: Path) -> None:
    """Question and answer in turns, until the user leaves."""
    for question in _questions(history):
        try:
            _print_answer(conversation, question, may_call, out)
        except RunFailed as exc:
            report(str(exc))
        except KeyboardInterrupt:
            print(flush=True)
            conversation.cancel()
    if conversation.thread_id is not None:
        goodbye = f"To go on: localassist chat --resume {conversation.thread_id}"
        err_console.print(goodbye, style="dim", soft_wrap=True)


def _greet(model: str, tools: Sequence[Tool[..., Any]], out: Path | None) -> None:
    """``out`` is where what code makes is saved, where code may be run."""
    able = f" It may call {', '.join(tool.name for tool in tools)}." if tools else ""
    able += f" It may run Python; what that makes is saved in {out}." if out is not None else ""
    hint = "Ctrl-C stops an answer, Ctrl-D leaves."
    say_aside(Text(f"Talking to {model}.{able} {hint}", style="dim"))


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


def _print_answer(conversation: Conversation, question: str, may_call: MayCall, out: Path) -> None:
    """Print the answer as it comes, and what is called and run on the way."""
    from localassist.client.tool_runner import CallResult, CodePiece

    waits_for: str | LoadLine | None = LoadLine(conversation)
    is_line_open = False
    sources, view = Sources(), code_view.CodeView()
    with closing(conversation.ask(question)) as items:
        while True:
            # The first answer waits for the model to be loaded, the first code for a kernel.
            with _spinner(waits_for):
                item = next(items, None)
            if item is None:
                break
            waits_for = LoadLine(conversation) if isinstance(item, CallResult) else None
            if not isinstance(item, CodePiece):
                view.close()
            if isinstance(item, str):
                print(sources.numbered(item), end="", flush=True)
                is_line_open = True
                continue
            if is_line_open:
                print(flush=True)
                is_line_open = False
            if isinstance(item, CodePiece):
                view.show(item)
                waits_for = None if view.is_line_open else _WORKING
            elif isinstance(item, CallResult):
                tool_calls.show_result(item)
            elif not may_call(item):
                item.refuse()
    view.close()
    print(flush=True)
    conversation.show_sources(sources)
    conversation.save_made(out)


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


def _spinner(says: str | LoadLine | None) -> Any:
    is_watched = is_interactive() and err_console.is_terminal
    return err_console.status(says) if is_watched and says is not None else nullcontext()


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
