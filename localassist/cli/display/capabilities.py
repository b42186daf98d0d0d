"""What the terminal can show of an image. When in doubt it gets coloured characters, which every
terminal takes; a sequence that one does not know could come out as pages of letters."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from rich.console import Console

_REPLY_SECONDS = 0.3
_SIXELS = "4"  # among the attributes of a terminal
_FIRST_KONSOLE = 220_400  # the version since which Konsole knows kitty's protocol


def image_way(console: Console, environment: Mapping[str, str] = os.environ) -> str | None:
    """``kitty``, ``iterm2``, ``sixel``, ``blocks`` for coloured characters, or None."""
    if not console.is_terminal or console.is_dumb_terminal or console.no_color:
        return None
    way = _known(environment)
    if way == "ask":
        way = "sixel" if _SIXELS in attributes(console) else "blocks"
    # Terminals with graphics may be called by names of others that have few colours.
    has_colours = console.color_system in ("256", "truecolor")
    return way if way != "blocks" or has_colours else None


def _known(environment: Mapping[str, str]) -> str:
    """What names in the environment tell; ``ask`` for terminals that can be asked."""
    term = environment.get("TERM", "")
    program = environment.get("TERM_PROGRAM", environment.get("LC_TERMINAL", ""))
    if "TMUX" in environment or "STY" in environment or term.startswith(("screen", "tmux")):
        return "blocks"  # what lies between would have to pass it on
    if term in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if term.startswith(("foot", "mlterm", "contour")):
        return "sixel"
    if program in ("iTerm.app", "iTerm2", "WezTerm"):
        return "iterm2"
    if "XTERM_VERSION" in environment or "WT_SESSION" in environment or program == "vscode":
        return "ask"
    version = environment.get("KONSOLE_VERSION", "")
    if version.isdecimal() and int(version) >= _FIRST_KONSOLE:
        return "kitty"
    return "blocks"


def attributes(console: Console) -> list[str]:
    """What the terminal answers when asked what it is (DA1); empty when it does not in time, or
    nobody could read the answer."""
    if not (sys.stdin.isatty() and console.file.isatty()):
        return []
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(keyboard)
        if os.tcgetpgrp(keyboard) != os.getpgrp():
            return []  # in the background; reading would stop the program
    except OSError:
        return []
    try:
        tty.setcbreak(keyboard)
        console.file.write("\x1b[c")
        console.file.flush()
        reply = _reply(keyboard)
    finally:
        with suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSAFLUSH, before)
    found = re.search(rb"\x1b\[\?([\d;]+)c", reply)
    return found[1].decode("ascii").split(";") if found else []


def _reply(keyboard: int) -> bytes:
    reply, until = b"", time.monotonic() + _REPLY_SECONDS
    while not reply.endswith(b"c"):
        left = until - time.monotonic()
        if left <= 0 or not select.select([keyboard], [], [], left)[0]:
            break
        reply += os.read(keyboard, 64)
    return reply


def cell_pixels(console: Console) -> tuple[int, int]:
    """Width and height of a character, 8 by 16 where the terminal does not tell."""
    import fcntl
    import struct
    import termios

    with suppress(OSError, ValueError):
        size = fcntl.ioctl(console.file.fileno(), termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", size)
        if rows and columns and width >= 4 * columns and height >= 4 * rows:
            return width // columns, height // rows
    return 8, 16
