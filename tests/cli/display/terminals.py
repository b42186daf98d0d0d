"""A terminal in memory: what a person sees after everything that was written to it."""

from __future__ import annotations

import io
import threading

import pyte
from rich.console import Console


class Terminal(io.TextIOBase):
    """A screen with its scrollback, as the file of a console."""

    encoding = "utf-8"

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.screen = pyte.HistoryScreen(columns, rows, history=100_000, ratio=0.5)
        self.screen.set_mode(pyte.modes.LNM)
        self._stream = pyte.Stream(self.screen)
        self._lock = threading.Lock()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        with self._lock:
            self.written.append(text)
            self._stream.feed(text)
        return len(text)

    def isatty(self) -> bool:
        return True

    def console(self, **options: object) -> Console:
        """A console that knows nothing of this process's environment."""
        given = {"force_terminal": True, "color_system": "truecolor", "_environ": {}} | options
        return Console(file=self, **given)  # type: ignore[arg-type]

    def lines(self) -> list[str]:
        """Scrollback and screen, without the empty lines at the end."""
        width = self.screen.columns
        above = [
            "".join(line[column].data for column in range(width)).rstrip()
            for line in self.screen.history.top
        ]
        found = above + [line.rstrip() for line in self.screen.display]
        while found and not found[-1]:
            found.pop()
        return found
