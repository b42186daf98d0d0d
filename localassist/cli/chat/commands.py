"""What may be typed behind a slash, as data: names, arguments, help and the function of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeAlias

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from localassist.cli.chat import answer_commands as answers
from localassist.cli.chat import setup_commands as setup
from localassist.cli.chat import thread_commands as threads
from localassist.cli.chat.session import CommandError, Leave, Session
from localassist.cli.output import err_console

Completes: TypeAlias = Literal["", "files", "folders", "models", "threads", "switch", "attached"]


@dataclass(frozen=True, slots=True)
class Command:
    """``arguments`` as help shows them. ``run`` gets what stands behind the name, stripped; it may
    raise what ``Session`` knows to say. ``completes`` says what the arguments are."""

    name: str
    arguments: str
    help: str
    run: Callable[[Session, str], None]
    completes: Completes = ""


def run_command(session: Session, line: str) -> None:
    """Do what a line says that begins with a slash."""
    name, _, argument = line[1:].partition(" ")
    if "\n" in name:
        name, _, more = name.partition("\n")
        argument = f"{more} {argument}"
    command = COMMANDS.get(name)
    if command is None:
        near = _nearest(name)
        if near is None:  # a text, it seems: one slash is missing
            session.draft = line
        raise CommandError(
            f"{_unknown(name, near)} To send a line that begins with a slash, double it."
        )
    argument = argument.strip()
    if argument and not command.arguments:
        raise CommandError(f"/{name} takes no arguments.")
    command.run(session, argument)


def _nearest(name: str) -> str | None:
    """The command that was meant."""
    begun = [known for known in COMMANDS if name and known.startswith(name)]
    found = begun or get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    return found[0] if found else None


def _unknown(name: str, near: str | None) -> str:
    meant = "/help lists those there are." if near is None else f"Did you mean /{near}?"
    return f"There is no command /{name}. {meant}"


def _help(session: Session, argument: str) -> None:
    wanted = argument.lstrip("/")
    if wanted and wanted not in COMMANDS:
        raise CommandError(_unknown(wanted, _nearest(wanted)))
    chosen = [COMMANDS[wanted]] if wanted else list(COMMANDS.values())
    rows = [(f"/{one.name} {one.arguments}".strip(), one.help) for one in chosen]
    if not wanted:
        rows += _KEYS
    if err_console.width >= _WIDE:
        table = Table.grid(padding=(0, 2))
        for row in rows:
            table.add_row(Text(row[0], "bold"), Text(row[1]))
        err_console.print(table)
        return
    for typed, does in rows:  # one below the other
        err_console.print(Text(typed, "bold"))
        err_console.print(Padding(Text(does), (0, 0, 0, 2)))


def _leave(session: Session, argument: str) -> None:
    raise Leave


_WIDE = 72
_KEYS = [
    ("Alt-Enter, Ctrl-J", "A new line; so does Enter behind a \\."),
    ("Ctrl-X Ctrl-E", "Go on writing in $EDITOR."),
    ("Ctrl-C", "Stop an answer; at the prompt, clear the line."),
    ("Ctrl-D", "Leave."),
    ("//text", "Send a line that begins with a slash."),
]
_ALL = (
    Command(
        "attach",
        "[FILE…]",
        "Let files go with the next message; without one, list them.",
        setup.attach,
        "files",
    ),
    Command("detach", "[FILE…]", "Take attached files away again.", setup.detach, "attached"),
    Command("docs", "[FOLDER]", "Answer from the documents of a folder.", setup.docs, "folders"),
    Command("code", "[on|off]", "Let the model run Python in a sandbox.", setup.code, "switch"),
    Command(
        "tools",
        "[FILE|off]",
        "Let the model call the functions of a Python file.",
        setup.tools,
        "files",
    ),
    Command(
        "model",
        "[NAME]",
        "See the models, or switch from the next answer on.",
        setup.model,
        "models",
    ),
    Command("system", "[TEXT]", "See or set the instructions.", setup.system),
    Command("threads", "[COUNT]", "List recent conversations.", threads.list_threads),
    Command(
        "resume",
        "[NUMBER|ID]",
        "Go on with a conversation; without one, the one before.",
        threads.resume,
        "threads",
    ),
    Command("new", "", "Begin a new conversation.", threads.new),
    Command("fork", "", "Go on in a copy of this conversation.", threads.fork),
    Command("title", "[TEXT]", "See or set the title of this conversation.", threads.title),
    Command("retry", "[TEMPERATURE]", "Drop the last answer and answer again.", answers.retry),
    Command("edit", "", "Change the last question and ask it in a copy.", answers.edit),
    Command(
        "sources",
        "[NUMBER]",
        "Show what the last answer cites, or one of its passages whole.",
        answers.sources,
    ),
    Command("steps", "", "Show what the last run did, and how long it took.", answers.steps),
    Command("save", "[FILE]", "Write the conversation to FILE.md or FILE.json.", threads.save),
    Command("help", "[COMMAND]", "This list.", _help),
    Command("exit", "", "Leave.", _leave),
)
COMMANDS = {command.name: command for command in _ALL}
