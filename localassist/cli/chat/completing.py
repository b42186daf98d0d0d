"""What Tab offers in the chat: commands, and what their arguments may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from localassist.cli.chat.code import printable
from localassist.cli.chat.setup_commands import chat_models

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.document import Document

    from localassist.cli.chat.session import Session

_THREADS = 10


def completer(session: Session) -> Completer:
    """Completes lines that begin with a slash. What goes wrong meanwhile offers nothing."""
    from prompt_toolkit.completion import CompleteEvent, Completer

    class SlashCompleter(Completer):
        def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
            text = document.text_before_cursor
            if text.startswith("/") and "\n" not in text:
                yield from _completions(session, text)

    return SlashCompleter()


def _completions(session: Session, text: str) -> Iterator[Completion]:
    from prompt_toolkit.completion import Completion

    from localassist.cli.chat.commands import COMMANDS

    name, space, argument = text[1:].partition(" ")
    if not space:
        for one in COMMANDS.values():
            if one.name.startswith(name):
                meta = f"{one.arguments}  {one.help}".strip()
                yield Completion(f"/{one.name}", -len(text), display_meta=meta)
        return
    command = COMMANDS.get(name)
    if command is None:
        return
    if command.completes in ("files", "folders"):
        yield from _paths(argument, only_folders=command.completes == "folders")
        return
    for word, meta in _words(session, command.completes):
        if word.startswith(argument):
            yield Completion(word, -len(argument), display_meta=meta)


def _words(session: Session, kind: str) -> Iterator[tuple[str, str]]:
    """The arguments there are of this kind, each with what it is."""
    if kind == "switch":
        yield from (("on", ""), ("off", ""))
    elif kind == "models":
        yield from ((name, "") for name in chat_models(session.settings))
    elif kind == "attached":
        yield from ((one.path.name, "") for one in session.conversation.attached)
    elif kind == "threads":
        from localassist.client.client import APIError
        from localassist.client.threads import summaries

        try:
            for one in summaries(session.conversation.client, _THREADS):
                yield one.id, printable(one.title)
        except APIError:
            return


def _paths(argument: str, *, only_folders: bool) -> Iterator[Completion]:
    """Paths that begin with the last word of the argument."""
    from prompt_toolkit.completion import CompleteEvent, PathCompleter
    from prompt_toolkit.document import Document

    word = argument if only_folders else argument.rpartition(" ")[2]
    paths = PathCompleter(expanduser=True, only_directories=only_folders)
    yield from paths.get_completions(Document(word), CompleteEvent(completion_requested=True))
