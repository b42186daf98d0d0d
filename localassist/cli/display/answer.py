"""An answer in the terminal, as it comes."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console, RenderableType

from localassist.cli.display.clean import cleaned

_LEAST_SECONDS = 0.05  # from one drawing to the next
_MOST_SECONDS = 2.0
_REST = 4  # times what a drawing took is rested before the next one


def markdown(text: str) -> RenderableType:
    """A whole text as ``AnswerView`` shows it once it is finished."""
    from localassist.cli.display.render import whole

    return whole(cleaned(text))


class AnswerView:
    """Shows an answer while it is written: Markdown in a terminal, the bare text elsewhere.

    ``text`` takes pieces of any size and returns at once. ``close`` shows what is left and ends the
    line; anything else may be printed then, and a later ``text`` begins anew. On the way out of the
    ``with`` block, also by Ctrl-C, the text so far stays. What keeps the output from being written
    (OSError) is raised by the next call of either.
    """

    def __init__(self, console: Console) -> None:
        is_drawn = console.is_terminal and not console.is_dumb_terminal
        self._writer: _Drawn | _Bare = _Drawn(console) if is_drawn else _Bare(console)

    def __enter__(self) -> AnswerView:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def text(self, piece: str) -> None:
        self._writer.write(cleaned(piece))

    def close(self) -> None:
        """Nothing is left open: the cursor stands at the beginning of a line."""
        self._writer.close()


class _Bare:
    """The text as it is, for programs, files and terminals that cannot move their cursor."""

    def __init__(self, console: Console) -> None:
        self._file = console.file
        self._ends_line = True

    def write(self, piece: str) -> None:
        if piece:
            self._file.write(piece)
            self._file.flush()
            self._ends_line = piece.endswith("\n")

    def close(self) -> None:
        if not self._ends_line:
            self.write("\n")


class _Drawn:
    """Markdown, drawn by a thread of its own: Ctrl-C, which Python raises in the main thread, never
    comes in the middle of a drawing, and a terminal that is slow does not slow down the answer."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._changed = threading.Condition()
        self._pieces: list[str] = []
        self._is_closing = False
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def write(self, piece: str) -> None:
        self._raise_error()
        with self._changed:
            self._pieces.append(piece)
            self._changed.notify()
        if self._thread is None and piece:
            self._is_closing = False
            self._thread = threading.Thread(target=self._draw, name="answer", daemon=True)
            self._thread.start()

    def close(self) -> None:
        thread = self._thread
        if thread is not None:
            with self._changed:
                self._is_closing = True
                self._changed.notify()
            thread.join()
            self._thread = None
        self._raise_error()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _draw(self) -> None:
        try:
            self._draw_until_closed()
        except BaseException as error:  # told to whoever writes next
            self._error = error

    def _draw_until_closed(self) -> None:
        from localassist.cli.display.blocks import Blocks
        from localassist.cli.display.render import separated
        from localassist.cli.display.screen import Screen, reflows

        blocks, screen = Blocks(), Screen(self._console, reflows=reflows())
        is_first = True
        rest = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, timeout=rest)
                self._changed.wait_for(lambda: self._pieces or self._is_closing)
                pieces, self._pieces = self._pieces, []
                is_closing = self._is_closing
            started = time.monotonic()
            blocks.add("".join(pieces))
            final = blocks.end() if is_closing else blocks.finished()
            live = [] if is_closing else blocks.open()
            was_first = is_first
            is_first = is_first and not final
            screen.draw(
                list(separated(final, is_first=was_first)),
                list(separated(live, is_first=is_first)),
            )
            if is_closing:
                return
            rest = min(max(_LEAST_SECONDS, _REST * (time.monotonic() - started)), _MOST_SECONDS)
