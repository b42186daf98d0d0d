"""The bottom of a terminal, where a few lines are drawn again and again until they are final.

The cursor always rests at the beginning of the line below them: whatever ends the program, and
whatever the terminal echoes meanwhile, the next output begins on a line of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment

# Terminals that know the first show each drawing at once; the others ignore it.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
# Lines that the terminal takes for wider than this program does must not become two.
_NO_WRAP, _WRAP = "\x1b[?7l", "\x1b[?7h"


class Screen:
    """What is final goes up into the scrollback, what is not stays below it."""

    def __init__(self, console: Console, *, reflows: bool) -> None:
        self._console = console
        self._reflows = reflows
        self._shown: list[list[Segment]] = []
        self._shown_width = console.width

    def draw(self, final: Sequence[RenderableType], live: Sequence[RenderableType]) -> None:
        """Replace the live lines of before. Of more live lines than fit, the last are shown."""
        width, height = self._console.size
        lines = self._live_lines(live, width)[-max(1, height - 2) :]
        if not final and lines == self._shown and width == self._shown_width:
            return
        above = self._rows_shown(width)
        erase = f"\r\x1b[{above}A\x1b[J" if above else ""
        self._write(f"{_BEGIN}{erase}{self._printed(final)}{self._drawn(lines)}{_END}")
        self._shown, self._shown_width = lines, width

    def _rows_shown(self, width: int) -> int:
        """Rows of the terminal that the live lines take, now that it is this wide."""
        if width >= self._shown_width or not self._reflows:
            return len(self._shown)
        lengths = map(Segment.get_line_length, self._shown)
        return sum(max(1, -(-length // width)) for length in lengths)

    def _live_lines(self, live: Sequence[RenderableType], width: int) -> list[list[Segment]]:
        if not live:
            return []
        segments = self._console.render(Group(*live))
        lines = Segment.split_and_crop_lines(segments, width, pad=False, include_new_lines=False)
        return [list(line) for line in lines]

    def _printed(self, final: Sequence[RenderableType]) -> str:
        if not final:
            return ""
        with self._console.capture() as capture:
            # Not cropped: long lines of code are left for the terminal to wrap.
            self._console.print(Group(*final), crop=False, end="")
        return capture.get()

    def _drawn(self, lines: Sequence[Sequence[Segment]]) -> str:
        if not lines:
            return ""
        with self._console.capture() as capture:
            self._console.print(_Lines(lines), crop=False)
        return f"{_NO_WRAP}{capture.get()}{_WRAP}"

    def _write(self, text: str) -> None:
        file = self._console.file
        encoding = getattr(file, "encoding", None) or "utf-8"
        file.write(text.encode(encoding, "replace").decode(encoding))
        file.flush()


class _Lines:
    def __init__(self, lines: Sequence[Sequence[Segment]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield from line
            yield Segment.line()


def reflows(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the terminal wraps lines anew when it is made narrower. Most do; these cut them."""
    is_plain = environment.get("TERM", "").split("-")[0] in ("linux", "screen", "vt100", "vt220")
    return not ("XTERM_VERSION" in environment or (is_plain and "TMUX" not in environment))
