"""An answer in front of a person: its text as it comes, what is called and run on the way, and what
it leaves."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console
from rich.text import Text

from localassist import clock
from localassist.cli.chat import tool_calls
from localassist.cli.chat.attachments import is_image
from localassist.cli.chat.code import CodeView, save_made
from localassist.cli.chat.conversation import Conversation
from localassist.cli.chat.sources import say_sources
from localassist.cli.documents import READING
from localassist.cli.output import console, err_console, is_interactive, say_aside

if TYPE_CHECKING:
    from localassist.client.tool_runner import FunctionCall

_READING = "Loading the model and reading …"
_WORKING = "Working …"
_SHORT_WAIT_SECONDS = 1.0

# Shows a call, and says whether to make it.
MayCall: TypeAlias = "Callable[[FunctionCall], bool]"


def shown(call: FunctionCall) -> bool:
    """Make every call."""
    tool_calls.show_call(call)
    return True


def asked(call: FunctionCall) -> bool:
    """Make the calls that the user agrees to."""
    return tool_calls.ask(call, is_whole=tool_calls.show_call(call))


def show_answer(
    conversation: Conversation,
    items: Generator[Any],
    may_call: MayCall,
    out: Path,
    *,
    is_plain: bool = False,
) -> None:
    """Show an answer while it is made, then its sources, and save in ``out`` what it shows and
    links. ``is_plain``: it is no Markdown. Raises what ``items`` raises."""
    from localassist.cli.display import AnswerView
    from localassist.client.passages import Numbers
    from localassist.client.tool_runner import CallResult, CodePiece

    waits_for: str | LoadLine | None = LoadLine(conversation)
    numbers, text = Numbers(), ""
    code = CodeView()
    with AnswerView(Console(force_terminal=False) if is_plain else console) as view, closing(items):
        while True:
            # The first answer waits for the model to be loaded, the first code for a kernel.
            with _spinner(waits_for):
                item = next(items, None)
            if item is None:
                break
            waits_for = LoadLine(conversation) if isinstance(item, CallResult) else None
            if not isinstance(item, CodePiece):
                code.close()
            if isinstance(item, str):
                text += item
                view.text(numbers.replace(item))
                continue
            view.close()
            if isinstance(item, CodePiece):
                code.show(item)
                waits_for = None if code.is_line_open else _WORKING
            elif isinstance(item, CallResult):
                tool_calls.show_result(item)
            elif not may_call(item):
                item.refuse()
        code.close()
    if numbers:
        _say_sources(conversation, text)
    _show_made(conversation, out)


def _say_sources(conversation: Conversation, text: str) -> None:
    from localassist.client.passages import cited

    say_sources(cited(conversation.client, conversation.answer_of_run()), text)


def save_answer_files(conversation: Conversation, out: Path) -> list[Path]:
    """Save what the last answer shows and links."""
    if conversation.run_id is None or conversation.thread_id is None:
        return []
    return save_made(conversation.client, conversation.thread_id, conversation.run_id, out)


def _show_made(conversation: Conversation, out: Path) -> None:
    from localassist.cli.display import show_image

    for path in save_answer_files(conversation, out):
        if is_image(path) and err_console.is_terminal:
            show_image(err_console, path, "Saved")
        else:
            say_aside(Text(f"Saved {path}", style="dim"))


class LoadLine:
    """What a spinner says beside a wait for an answer; looked up again each time it is drawn."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._started = clock.monotonic()

    def __rich__(self) -> str:
        from localassist.client.client import loading

        reading = self._conversation.reading
        if reading is not None:
            what, done, total = reading
            return f"{READING[what]} {done / total:.0%} …" if done else f"{READING[what]} …"
        waited = clock.monotonic() - self._started
        if waited < _SHORT_WAIT_SECONDS:
            return _READING
        try:
            models = loading(self._conversation.client)
        except Exception:  # on the way out there is nobody left to ask, and nothing to say
            return _READING
        parts = [f"{model} {part:.0%}" for model, part in models.items()]
        return f"Loading {', '.join(parts)} …" if parts else f"{_READING} {waited:.0f} s"


def _spinner(says: str | LoadLine | None) -> Any:
    is_watched = is_interactive() and err_console.is_terminal and not err_console.is_dumb_terminal
    return err_console.status(says) if is_watched and says is not None else nullcontext()
