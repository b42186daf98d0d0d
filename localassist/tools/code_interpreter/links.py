"""Links to files that code has written, found in an answer while it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from localassist.tools.code_interpreter.base import DATA_FOLDER

SCHEME = f"sandbox:{DATA_FOLDER}/"
# What a path goes on with; a full stop that ends a sentence is no part of it.
_GOES_ON = re.compile(r"[._\-/%~]*[A-Za-z0-9]")
_PARTIAL_ESCAPE = re.compile(r"%[0-9A-Fa-f]?$")
_MOST_FOLLOWING = 3  # characters behind a path that are looked at


@dataclass(frozen=True, slots=True)
class FileLink:
    """One ``file_path``: ``text`` is the address as the answer has it, at code points ``start`` to
    ``end`` of the piece it came with."""

    text: str
    start: int
    end: int
    file_id: str


@dataclass(frozen=True, slots=True)
class Linked:
    """A piece of an answer. Every address in ``links`` stands whole in ``text``."""

    text: str
    links: tuple[FileLink, ...] = ()


def link_to(path: str) -> str:
    """A Markdown link that a ``LinkReader`` finds."""
    label = path.replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]")
    return f"[{label}]({SCHEME}{quote(path, safe='/')})"


class LinkReader:
    """Reads an answer as it comes and gives it back with its links to files.

    ``files`` are paths below ``/mnt/data`` with their file ids, and may grow while the answer is
    read. An address may be plain or percent-encoded, bare, the target of a Markdown link, or in
    angle brackets. One of no known file stays text.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._ahead = ""

    def feed(self, text: str) -> list[Linked]:
        """What can be shown now: whole addresses, and text that cannot be part of one."""
        self._ahead += text.encode("utf-8", "replace").decode()
        return self._read(is_end=False)

    def finish(self) -> list[Linked]:
        """The rest, once the answer is over."""
        return self._read(is_end=True)

    def _read(self, *, is_end: bool) -> list[Linked]:
        said: list[Linked] = []
        known = {path.encode("utf-8", "replace"): path for path in self._files}
        while self._ahead:
            start = self._ahead.find(SCHEME)
            if start < 0:
                held = 0 if is_end else _overlap(self._ahead)
                self._say(said, len(self._ahead) - held)
                break
            self._say(said, start)
            rest = self._ahead[len(SCHEME) :]
            length, path, is_open = _longest(rest, known)
            if is_open and not is_end:
                break
            if path is None:
                self._say(said, len(SCHEME))
                continue
            address = self._ahead[: len(SCHEME) + length]
            self._ahead = self._ahead[len(address) :]
            link = FileLink(address, 0, len(address), self._files[path])
            said.append(Linked(address, (link,)))
        return said

    def _say(self, said: list[Linked], count: int) -> None:
        if count:
            said.append(Linked(self._ahead[:count]))
            self._ahead = self._ahead[count:]


def _overlap(text: str) -> int:
    """How many characters at the end may be the beginning of an address."""
    longest = min(len(text), len(SCHEME) - 1)
    return next((n for n in range(longest, 0, -1) if SCHEME.startswith(text[-n:])), 0)


def _longest(rest: str, known: Mapping[bytes, str]) -> tuple[int, str | None, bool]:
    """The longest stretch that spells a known path and does not go on, its path, and whether more
    text may change that."""
    found: tuple[int, str | None] = (0, None)
    for length in range(len(rest) + 1):
        stretch = rest[:length]
        spelled = (stretch.encode(), unquote_to_bytes(stretch))
        path = next((known[name] for name in spelled if name in known), None)
        following = rest[length : length + _MOST_FOLLOWING]
        if path is not None and not _GOES_ON.match(following):
            found = (length, path)
            is_told = len(following) == _MOST_FOLLOWING or following[:1].isspace()
            if not is_told and not following.strip(".-/%~)>]*_`'\""):
                return *found, True
        whole = _PARTIAL_ESCAPE.sub("", stretch)
        begun = (spelled[0], unquote_to_bytes(whole))
        if not any(name.startswith(begin) for name in known for begin in begun):
            return *found, False
    return *found, True
