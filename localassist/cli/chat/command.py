"""``localassist chat``: a conversation in the terminal, kept as a thread like any other.

In a pipe it reads one question, writes the bare answer and ends. With ``--tools`` the model may
call the user's functions, each call after a yes. With ``--docs`` it answers from the documents of a
folder. With ``--code`` it may run code on this machine, in a sandbox; what that makes is saved.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from localassist.cli.chat import options, thread_commands
from localassist.cli.chat.answers import MayCall, asked, show_answer, shown
from localassist.cli.chat.attachments import Attachment, Unusable, why_unusable
from localassist.cli.chat.conversation import CODE, Conversation, NotAThread, RunFailed
from localassist.cli.chat.session import CommandError, Leave, Session
from localassist.cli.chat.setup_commands import check_code
from localassist.cli.chat.typed_ahead import TypedAhead
from localassist.cli.completion import thread_ids
from localassist.cli.documents import folder_store
from localassist.cli.output import EXIT_FAILURE, EXIT_INTERRUPTED, err_console, fail, say_aside
from localassist.errors import SandboxUnavailable

if TYPE_CHECKING:
    from localassist.client.client import LocalAssist
    from localassist.client.functions import Tool
    from localassist.settings import Settings

_LAST_THREAD = "last_chat"


def chat(
    context: typer.Context,
    thread_id: Annotated[
        str | None,
        typer.Argument(
            help="With --resume: the conversation to go on with.", autocompletion=thread_ids
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the last conversation, or THREAD_ID.")
    ] = False,
    assistant: options.Assistant = None,
    model: options.Model = None,
    system: options.System = None,
    temperature: options.Temperature = None,
    tools: Annotated[
        Path | None,
        typer.Option(
            help="Python file with typed functions that the model may call.", show_default=False
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --tools: make every call without asking.")
    ] = False,
    docs: options.Docs = None,
    code: options.Code = False,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="With --code: a file for it to read; may be repeated."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="With --code: where images and files are saved.")
    ] = Path("outputs"),
) -> None:
    """Talk to the model; /help lists what may be typed. Ctrl-C stops an answer, Ctrl-D leaves."""
    from localassist.client.assistants import NoSuchAssistant
    from localassist.client.client import APIError, LocalAssist, explain

    settings: Settings = context.obj
    context.with_resource(failures_said_once())
    is_last = resume and thread_id is None
    if resume:
        thread_id = thread_id or _last_thread(settings.home)
    elif thread_id is not None:
        fail(f"To go on with a conversation: localassist chat --resume {thread_id}")
    functions = _functions(tools, is_allowed=yes)
    files = _files(file or [], is_wanted=code)
    if code:
        ensure_code(settings, out)
    question = None if sys.stdin.isatty() else _piped_question()
    may_call = shown if yes else asked
    fields = {"model": model, "instructions": system, "temperature": temperature}
    try:
        with TypedAhead() as keys, LocalAssist(settings=settings) as client:
            remember = partial(_remember, settings.home)
            conversation = Conversation(client, default_model(settings), functions, remember)
            if thread_id is not None:
                _resume(conversation, thread_id, is_last=is_last)
            set_up(conversation, assistant, docs, runs_code=code, fields=fields)
            conversation.attached += files
            try:
                if question is None:
                    _converse(Session(settings, conversation, may_call, out, keys))
                else:
                    answer_once(conversation, question, may_call, out)
            finally:
                if conversation.thread_id is not None:
                    remember(conversation.thread_id)
    except (NoSuchAssistant, NotAThread) as error:
        fail(str(error), EXIT_FAILURE)
    except APIError as error:
        fail(explain(error), EXIT_FAILURE)


@contextmanager
def failures_said_once() -> Iterator[None]:
    """A run of the chat's own that fails is said where its answer would be; no log says it too."""
    log = logging.getLogger("localassist.runs.loop")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def set_up(
    conversation: Conversation,
    assistant: str | None,
    docs: Path | None,
    *,
    runs_code: bool,
    fields: dict[str, Any],
) -> None:
    """What the command line says of the conversation. Raises NoSuchAssistant."""
    from localassist.client.assistants import find_assistant

    client: LocalAssist = conversation.client
    if assistant is not None:
        conversation.use(find_assistant(client, assistant))
    if docs is not None:
        conversation.search_in(folder_store(client, docs), docs.resolve().name)
    if runs_code and not conversation.runs_code:
        conversation.let_run_code(True)
    conversation.change(**fields)


def answer_once(
    conversation: Conversation,
    question: str,
    may_call: MayCall,
    out: Path,
    *,
    is_plain: bool = False,
) -> None:
    """Show one answer; ends the command when it does not come whole."""
    try:
        show_answer(conversation, conversation.ask(question), may_call, out, is_plain=is_plain)
    except (RunFailed, Unusable) as exc:
        fail(str(exc), EXIT_FAILURE)
    except KeyboardInterrupt:
        conversation.cancel()
        fail("Stopped.", EXIT_INTERRUPTED)


def ensure_code(settings: Settings, out: Path) -> None:
    """Ends the command where code cannot be run, or what it makes cannot be saved."""
    try:
        check_code(settings, out)
    except CommandError as error:
        fail(str(error))
    except SandboxUnavailable as error:
        fail(error.message)


def default_model(settings: Settings) -> str:
    from localassist.registry.catalog import Catalog

    return Catalog(settings.home, settings.models).default("chat").id


def _functions(path: Path | None, *, is_allowed: bool) -> list[Tool[..., Any]]:
    """The tools of the user's file, once it is clear that there is somebody to ask."""
    if path is None:
        if is_allowed:
            fail("--yes is about calls; name the functions with --tools FILE.py.")
        return []
    if not (is_allowed or sys.stdin.isatty()):
        fail("In a pipe nobody can be asked about calls. Add --yes to allow all of them.")
    from localassist.cli.chat.tool_file import load_tools

    return load_tools(path)


def _files(paths: list[Path], *, is_wanted: bool) -> list[Attachment]:
    """The files for code to read; ends the command when one is not there."""
    if paths and not is_wanted:
        fail("--file is for code to read; add --code. To ask documents: --docs FOLDER.")
    for reason in filter(None, map(why_unusable, paths)):
        fail(reason)
    return [Attachment(path, (CODE,)) for path in paths]


def _converse(session: Session) -> None:
    """Question and answer in turns, until the user leaves."""
    from localassist.cli.chat.prompt import lines
    from localassist.client.client import make_ready

    talk = session.conversation
    _greet(talk, session.out)
    if session.conversation.thread_id is not None:
        thread_commands.show_last_exchange(session)
    with suppress(Leave):
        for line in lines(session, lambda: make_ready(talk.client, session.settings, talk.model)):
            session.take(line)
    if session.conversation.thread_id is not None:
        goodbye = f"To go on: localassist chat --resume {session.conversation.thread_id}"
        err_console.print(goodbye, style="dim", soft_wrap=True)


def _greet(conversation: Conversation, out: Path) -> None:
    who = conversation.model
    if conversation.assistant_name is not None:
        who = f"{conversation.assistant_name} ({who})"
    names = ", ".join(tool.name for tool in conversation.tools)
    able = f" It may call {names}." if names else ""
    if conversation.runs_code:
        able += f" It may run Python; what that makes is saved in {out}."
    hint = "/help for help, Ctrl-C stops an answer, Ctrl-D leaves."
    say_aside(Text(f"Talking to {who}.{able} {hint}", style="dim"))


def piped_text() -> str:
    """What is on standard input; ends the command when that is no text."""
    try:
        text = sys.stdin.read()
        text.encode("utf-8")
    except UnicodeError:
        fail("What is on standard input is no text in UTF-8.")
    if "\0" in text:
        fail("What is on standard input is no text; it has NUL characters.")
    return text.strip()


def _piped_question() -> str:
    return piped_text() or fail("There is no question on standard input.")


def _remember(home: Path, thread_id: str) -> None:
    (home / _LAST_THREAD).write_text(thread_id, encoding="ascii")


def _resume(conversation: Conversation, thread_id: str, *, is_last: bool) -> None:
    from localassist.client.client import NotFoundError

    try:
        conversation.resume(thread_id)
    except NotFoundError:
        if not is_last:
            raise
        begin = "To begin another one: localassist chat"
        fail(f"The last conversation has been deleted. {begin}", EXIT_FAILURE)


def _last_thread(home: Path) -> str:
    with suppress(FileNotFoundError):
        if known := (home / _LAST_THREAD).read_text().strip():
            return known
    fail("There is no conversation to go on with yet.")
