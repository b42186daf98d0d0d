"""What is typed while an answer comes: kept for the next prompt as it was typed, and not shown in
the middle of the answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class TypedAhead:
    """Between ``with`` and its end the terminal shows no keys and hands Enter on as Enter, which it
    would turn into the Ctrl-J of a new line. Ctrl-C works. Nothing happens where there is no
    terminal."""

    def __init__(self) -> None:
        self._before: list[Any] | None = None

    def __enter__(self) -> TypedAhead:
        with suppress(ImportError, OSError, ValueError):  # no such system, no terminal, no file
            import termios

            with suppress(termios.error):
                self._before = termios.tcgetattr(sys.stdin.fileno())
        self._keep()
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The terminal as programs expect it that ask something themselves; only Ctrl-C is not
        shown in front of what is said about it."""
        self._restore()
        self._hide_controls()
        try:
            yield
        finally:
            self._keep()

    def _keep(self) -> None:
        if self._before is None:
            return
        import termios

        changed: list[Any] = [
            list(part) if isinstance(part, list) else part for part in self._before
        ]
        changed[0] &= ~termios.ICRNL
        changed[3] &= ~(termios.ECHO | termios.ICANON)
        changed[3] |= termios.NOFLSH  # Ctrl-C keeps what is typed
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, changed)

    def _hide_controls(self) -> None:
        if self._before is None:
            return
        import termios

        changed: list[Any] = [*self._before]
        changed[3] &= ~termios.ECHOCTL
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, changed)

    def _restore(self) -> None:
        if self._before is None:
            return
        import termios

        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._before)
