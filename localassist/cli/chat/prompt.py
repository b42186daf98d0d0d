"""The line a person types in: history, several lines, completion, and what is in force below it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from localassist.cli.chat.code import printable

if TYPE_CHECKING:
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings

    from localassist.cli.chat.session import Session

_SHORT_ID = 14  # characters of a thread's id that tell it from others
_HISTORY = "chat_history"
_MENU_LINES = 5


def lines(session: Session, once_shown: Callable[[], None]) -> Iterator[str]:
    """What the user types, until Ctrl-D; Ctrl-C drops a half-typed line. ``once_shown`` is called
    when the first line can be typed."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.output import create_output
    from prompt_toolkit.utils import is_dumb_terminal

    from localassist.cli.chat.completing import completer

    # The prompt belongs to the terminal, also when the answers go into a file.
    prompt: PromptSession[str] = PromptSession(
        history=_history(session.settings.home / _HISTORY),
        output=None if is_dumb_terminal() else create_output(always_prefer_tty=True),
        multiline=True,
        prompt_continuation="… ",
        key_bindings=_keys(),
        completer=completer(session),
        complete_while_typing=False,
        complete_in_thread=True,
        reserve_space_for_menu=_MENU_LINES,
        enable_open_in_editor=True,
        tempfile_suffix=".md",
        bottom_toolbar=lambda: status(session, _columns()),
    )
    pre_run: Callable[[], None] | None = once_shown
    while True:
        draft, session.draft = session.draft, ""
        try:
            line = prompt.prompt("> ", default=draft, pre_run=pre_run).strip()
        except EOFError:
            return
        except KeyboardInterrupt:
            session.forget_edit()
            continue
        finally:
            pre_run = None
        if line:
            yield line


def status(session: Session, columns: int) -> str:
    """What is in force, as far as there is room: model, conversation, files, documents, code."""
    talk = session.conversation
    parts = [talk.assistant_name or talk.model]
    if talk.attached or talk.carried:
        names = [one.path.name for one in talk.attached]
        names += [f"{len(talk.carried)} as before"] if talk.carried else []
        parts.append(f"with {', '.join(names)}")
    if session.forks_before is not None:
        parts.append("editing")
    if talk.store_name is not None:
        parts.append(f"docs {talk.store_name}")
    if talk.runs_code:
        parts.append("code")
    parts.append("new" if talk.thread_id is None else talk.thread_id[:_SHORT_ID])
    text = printable(" · ".join(parts))
    return text if cell_len(text) <= columns else set_cell_size(text, columns - 1) + "…"


def _columns() -> int:
    from prompt_toolkit.application import get_app

    return get_app().output.get_size().columns


def _history(path: Path) -> History:
    """What was typed before, kept in a file where that can be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def _keys() -> KeyBindings:
    """Enter sends, unless the line ends in a backslash; Alt-Enter and Ctrl-J begin a new line."""
    from prompt_toolkit.filters import is_searching
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter", filter=~is_searching)
    def _send(event: Any) -> None:
        buffer = event.current_buffer
        if buffer.document.is_cursor_at_the_end and buffer.text.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("c-j", filter=~is_searching)
    @keys.add("escape", "enter")
    def _new_line(event: Any) -> None:
        event.current_buffer.insert_text("\n")

    return keys
