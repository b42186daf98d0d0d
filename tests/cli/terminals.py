"""A person at a real terminal: keys go in, and what stands on the screen is looked at."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pyte

from tests.conformance.serving import MODEL, ROOT, clean_environ

PATIENCE_SECONDS = 30
CTRL_C, CTRL_D, ALT_ENTER, TAB = "\x03", "\x04", "\x1b\r", "\t"


class Terminal:
    """A program in a pty of its own. ``text`` is its screen with what has scrolled away."""

    def __init__(self, command: list[str], columns: int, lines: int, **environ: str) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=5000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        kept = {"TERM": "xterm-256color", "LOCALASSIST_MODELS__DEFAULT_CHAT": MODEL}
        dropped = ("NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR")
        base = {name: value for name, value in clean_environ().items() if name not in dropped}
        self.process = pexpect.spawn(
            command[0],
            command[1:],
            env=base | kept | environ,
            dimensions=(lines, columns),
            timeout=PATIENCE_SECONDS,
            cwd=ROOT,
        )

    def type(self, keys: str) -> None:
        self.process.send(keys)

    def wait_for(self, text: str) -> None:
        """Until these words stand on the screen, wherever lines are broken."""
        while text not in " ".join(self.text.split()):
            try:
                self._read()
            except (pexpect.TIMEOUT, pexpect.EOF):
                raise AssertionError(f"no {text!r} in:\n{self.text}") from None

    def wait_for_prompt(self) -> None:
        """Until a new line may be typed."""
        while not self.last_line.startswith(">"):
            self._read()

    def end(self) -> int:
        """Read what is left, and the exit code."""
        try:
            while True:
                self._read()
        except pexpect.EOF:
            pass
        self.process.close()
        return int(self.process.exitstatus if self.process.exitstatus is not None else -1)

    @property
    def text(self) -> str:
        gone = ["".join(line[x].data for x in range(self.screen.columns)) for line in self._gone()]
        return "\n".join(line.rstrip() for line in [*gone, *self.screen.display]).rstrip()

    @property
    def last_line(self) -> str:
        """The line of the cursor."""
        return str(self.screen.display[self.screen.cursor.y]).rstrip()

    def _gone(self):  # type: ignore[no-untyped-def]
        return self.screen.history.top

    def _read(self) -> None:
        piece = self.process.read_nonblocking(65536, PATIENCE_SECONDS)
        self.raw += piece
        # The program asks where the cursor is, as prompt_toolkit does.
        if b"\x1b[6n" in piece:
            at = self.screen.cursor
            self.process.send(f"\x1b[{at.y + 1};{at.x + 1}R")
        self._stream.feed(piece)


@contextmanager
def scripted_terminal(
    home: Path,
    *replies: str,
    arguments: tuple[str, ...] = ("chat",),
    delay: float = 0.0,
    columns: int = 80,
    lines: int = 24,
    **environ: str,
) -> Iterator[Terminal]:
    """``localassist`` with a scripted model, in a terminal."""
    script = home / "replies.json"
    home.mkdir(parents=True, exist_ok=True)
    script.write_text(json.dumps({"replies": replies, "delay": delay}))
    command = [sys.executable, "-m", "tests.cli.scripted_main", str(home), str(script)]
    terminal = Terminal([*command, *arguments], columns, lines, **environ)
    try:
        yield terminal
    finally:
        if terminal.process.isalive():
            terminal.process.kill(9)
        terminal.process.close(force=True)
