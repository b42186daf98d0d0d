"""The code of a call, read out of the JSON arguments while a model writes them."""

from __future__ import annotations

import re

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}
_BEGINNING = re.compile(r'\s*\{\s*"code"\s*:\s*"')
# What a string is made of: plain characters, short escapes, and one or two units of UTF-16.
_PIECE = re.compile(
    r'[^"\\]+|\\[bfnrt"\\/]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}'
    r"|\\u[0-9a-fA-F]{4}"
)
_LEADING_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
# What may go on to be an escape.
_BEGUN = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?$|\\u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u\w{0,3})?)?$")


class CodeReader:
    """Reads ``{"code": "…"}`` as it comes, in pieces cut anywhere, and gives back the code.

    Surrogates without a partner become U+FFFD, so that the code can be sent and stored. Whatever
    stands behind the string is not read; arguments of another form hold no code.
    """

    def __init__(self) -> None:
        self._ahead = ""
        self._is_inside = False
        self.is_closed = False
        """The string has come to its end."""

    def feed(self, text: str) -> str:
        """The code that can be told now, possibly nothing."""
        if self.is_closed:
            return ""
        self._ahead += text
        if not self._is_inside:
            beginning = _BEGINNING.match(self._ahead)
            if beginning is None:
                return ""
            self._is_inside = True
            self._ahead = self._ahead[beginning.end() :]
        return self._read()

    def _read(self) -> str:
        read = []
        at = 0
        while at < len(self._ahead):
            if _LEADING_SURROGATE.match(self._ahead, at) and _BEGUN.match(self._ahead, at):
                break
            piece = _PIECE.match(self._ahead, at)
            if piece is None:
                self.is_closed = self._ahead[at] == '"' or not _BEGUN.match(self._ahead, at)
                break
            read.append(_meant(piece.group()))
            at = piece.end()
        self._ahead = "" if self.is_closed else self._ahead[at:]
        return "".join(read)


def _meant(piece: str) -> str:
    if piece[0] != "\\":
        return piece
    if piece[1] != "u":
        return _ESCAPES[piece[1]]
    units = bytes.fromhex(piece.replace("\\u", ""))
    return units.decode("utf-16-be", "replace")
