"""Text from a terminal's point of view into text for a reader: no colours, no control characters,
of a line that was written over only its last state. Pure.

What comes in was made by unknown code and may be anything that fits into a string.
"""

from __future__ import annotations

import re

# Each alternative stops at the next escape character, so that no text takes quadratic time.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC, DCS, SOS, PM, APC: titles, links
    r"|\x1b[ -/]*[0-~]"  # two characters
)
_UNFINISHED_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[ -/]*)\Z")
_MAX_UNFINISHED = 32
_MAX_HELD = 8192
# All control characters but newline and tab; halves of surrogate pairs, which UTF-8 cannot hold.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def without_controls(text: str) -> str:
    """Colours and control characters left out; ``\\r\\n`` is a newline."""
    text = text.replace("\r\n", "\n")
    return _CONTROLS.sub("", _ESCAPES.sub("", text) if "\x1b" in text else text)


def shortened(text: str, characters: int) -> str:
    """At most about so many characters: the beginning and the end, in whole lines where lines are
    short, and between them a line that says how much is missing."""
    if len(text) <= characters:
        return text
    half = characters // 2
    head, tail = text[:half], text[-half:]
    if "\n" in head[half // 2 :]:
        head = head[: head.rindex("\n")]
    if "\n" in tail[: half // 2]:
        tail = tail[tail.index("\n") + 1 :]
    missing = len(text) - len(head) - len(tail)
    return f"{head}\n[… {missing:,} characters left out …]\n{tail}"


class PlainText:
    """One stream of text that comes in pieces. A progress bar writes its line again and again,
    behind a carriage return: such a line is held back until it ends."""

    def __init__(self) -> None:
        self._held = ""
        self._mid_line = False

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        text = (self._held + piece).replace("\r\n", "\n")
        if self._mid_line and text.startswith("\r"):
            text = "\n" + text  # the line was shown already and cannot be taken back
        head, newline, line = text.rpartition("\n")
        if "\r" in line:
            line, self._held = "", _last_state(line)
        else:
            unfinished = _UNFINISHED_ESCAPE.search(line[-_MAX_UNFINISHED:])
            self._held = unfinished.group() if unfinished else ""
            line = line[: len(line) - len(self._held)]
        shown = without_controls(_last_states(head) + newline + line)
        if len(self._held) > _MAX_HELD:
            shown += self.flush()
        if shown:
            self._mid_line = not shown.endswith("\n")
        return shown

    def flush(self) -> str:
        """What was held back; nothing more comes."""
        held, self._held = self._held, ""
        return without_controls(_last_states(held))


def _last_states(text: str) -> str:
    if "\r" not in text:
        return text
    return "\n".join(_last_state(line).strip("\r") for line in text.split("\n"))


def _last_state(line: str) -> str:
    """The line from its last carriage return on that is followed by anything."""
    body = line.rstrip("\r")
    start = body.rfind("\r")
    return line if start < 0 else line[start:]
