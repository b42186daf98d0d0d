"""Commands about what answers, and what it is given: files, documents, functions, instructions."""

from __future__ import annotations

import glob
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from localassist.cli.chat.attachments import Attachment, Unusable, attachment_for
from localassist.cli.chat.session import CommandError, Session, say
from localassist.cli.output import err_console, report
from localassist.errors import ModelNotFound

if TYPE_CHECKING:
    from localassist.registry import Catalog
    from localassist.settings import Settings


def attach(session: Session, argument: str) -> None:
    if not argument:
        _list_attached(session)
    for path in _paths(argument):
        try:
            found = attachment_for(path, runs_code=session.conversation.runs_code)
        except Unusable as error:
            report(str(error))
            continue
        attached = session.conversation.attached
        if any(one.path.resolve() == path.resolve() for one in attached):
            say(f"{path} is attached already.")
            continue
        attached.append(found)
        say(f"{path} goes with the next message: {_for_what(found)}.")


def detach(session: Session, argument: str) -> None:
    attached = session.conversation.attached
    if not argument:
        say(f"{_count(len(attached), 'file')} taken away." if attached else "Nothing is attached.")
        attached.clear()
        return
    for path in _paths(argument):
        same = [one for one in attached if one.path.resolve() == path.resolve()]
        same = same or [one for one in attached if one.path.name == str(path)]
        if not same:
            raise CommandError(f"{path} is not attached.")
        attached.remove(same[0])
        say(f"{same[0].path} does not go with the next message.")


def docs(session: Session, argument: str) -> None:
    from localassist.cli.documents import folder_store

    conversation = session.conversation
    if not argument:
        name = conversation.store_name
        say("There are no documents; /docs FOLDER." if name is None else f"Documents: {name}.")
        return
    folder = _single_path(argument)
    if folder.is_file():
        raise CommandError(f"{folder} is a file; /attach {folder} gives it to the next message.")
    store_id = folder_store(conversation.client, folder)
    conversation.search_in(store_id, folder.resolve().name)


def code(session: Session, argument: str) -> None:
    conversation = session.conversation
    if argument not in ("", "on", "off"):
        raise CommandError("It is /code on or /code off.")
    if argument:
        if argument == "on":
            check_code(session.settings, session.out)
        conversation.let_run_code(argument == "on")
        # What was attached may be of use to code now, or not any more.
        kept = []
        for one in conversation.attached:
            try:
                kept.append(attachment_for(one.path, runs_code=conversation.runs_code))
            except Unusable as error:
                report(str(error))
        conversation.attached[:] = kept
    if conversation.runs_code:
        say(f"The model may run Python. What that makes is saved in {session.out}.")
    else:
        say("The model may not run code.")


def tools(session: Session, argument: str) -> None:
    conversation = session.conversation
    if argument == "off":
        conversation.tools = []
    elif argument:
        from localassist.cli.chat.tool_file import load_tools

        conversation.tools = load_tools(_single_path(argument))
    names = ", ".join(tool.name for tool in conversation.tools)
    say(f"The model may call {names}." if names else "The model has no functions to call.")


def model(session: Session, argument: str) -> None:
    conversation, catalog = session.conversation, _catalog(session.settings)
    if argument:
        try:
            chosen = catalog.resolve(argument, "chat").id
        except ModelNotFound:
            raise CommandError(f"There is no chat model '{argument}'. /model lists them.") from None
        conversation.change(model=chosen)
        say(f"{chosen} answers from now on.")
        return
    default = catalog.default("chat").id
    for one in (one for one in catalog.list() if one.kind == "chat"):
        line = Text("* " if one.id == conversation.model else "  ")
        line.append(one.id, "bold" if one.id == conversation.model else "")
        line.append("  the default" if one.id == default else "", "dim")
        err_console.print(line, soft_wrap=True)


def system(session: Session, argument: str) -> None:
    conversation = session.conversation
    if argument:
        conversation.change(instructions=argument)
        say("These instructions hold from the next answer on.")
    elif conversation.instructions:
        err_console.print(Text(conversation.instructions))
    else:
        say("There are no instructions; /system TEXT.")


def check_code(settings: Settings, out: Path) -> None:
    """Raises CommandError and SandboxUnavailable where code cannot be run, or what it makes cannot
    be saved. A run would answer without code, and a small model makes up what code would have
    found."""
    from localassist.sandbox.choosing import choose

    if out.exists() and not out.is_dir():
        raise CommandError(f"{out} is not a folder.")
    choose(settings.sandbox, settings.home)


def chat_models(settings: Settings) -> list[str]:
    """The names of the models that can answer."""
    return [one.id for one in _catalog(settings).list() if one.kind == "chat"]


def _list_attached(session: Session) -> None:
    attached = session.conversation.attached
    if not attached:
        say("Nothing is attached; /attach FILE.")
    for one in attached:
        say(f"{one.path}: {_for_what(one)}")


def _for_what(attachment: Attachment) -> str:
    uses = {"file_search": "to be searched", "code_interpreter": "for code to read"}
    return " and ".join(uses[kind] for kind in attachment.tools)


def _paths(argument: str) -> list[Path]:
    """The files that are meant, as a shell would read them. Raises CommandError."""
    try:
        words = shlex.split(argument)
    except ValueError:  # an apostrophe in a name
        words = [argument]
    if len(words) > 1 and Path(os.path.expanduser(argument)).exists():
        words = [argument]  # spaces in a name, unquoted
    found: list[Path] = []
    for word in words:
        word = os.path.expanduser(word)
        matches = [] if os.path.exists(word) else sorted(glob.glob(word))
        found += map(Path, matches or [word])
    return found


def _single_path(argument: str) -> Path:
    paths = _paths(argument)
    if len(paths) != 1:
        raise CommandError(f"Name one, not {len(paths)}; spaces in a name need quotes.")
    return paths[0]


def _catalog(settings: Settings) -> Catalog:
    from localassist.registry import Catalog

    return Catalog(settings.home, settings.models)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
