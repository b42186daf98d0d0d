"""Legacy Word documents, Word 97 to 2003: the text of the main document and its notes.

After [MS-DOC]: the file information block names the table of pieces; each piece is a stretch of
the text in UTF-16 or, compressed, with one byte a character.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.archive import DAMAGED
from localassist.retrieval.parsers.base import TextWriter, squeezed

_WORD = 0xA5EC
_WORD_97 = 101
_ENCRYPTED, _SECOND_TABLE = 0x0100, 0x0200
_COMPRESSED = 1 << 30
# Of a field only its result is shown, not its code.
_FIELD_CODE = re.compile("\x13[^\x13\x14\x15]*\x14([^\x13\x14\x15]*)\x15|\x13[^\x13\x14\x15]*\x15")
_DEEPEST_FIELD = 20
_SIGNS = str.maketrans({"\r": "\n", "\x0b": "\n", "\x0c": "\n", "\x1e": "-", "\x1f": None})


def parse(path: Path, out: TextWriter) -> None:
    import olefile

    try:
        with olefile.OleFileIO(path) as compound:
            main = compound.openstream("WordDocument").read()
            text, lengths = _text(main, compound)
    except (OSError, IndexError, struct.error) as error:
        raise UnreadableFile(DAMAGED) from error
    at = 0
    for is_shown, length in lengths:
        if is_shown:
            out.paragraph(_readable(text[at : at + length]))
        at += length


def _text(main: bytes, compound: object) -> tuple[str, list[tuple[bool, int]]]:
    """All characters, and which stretches of them are shown: text, footnotes, endnotes, text
    boxes, but not headers and comments."""
    mark, version = struct.unpack_from("<HH", main)
    (flags,) = struct.unpack_from("<H", main, 0x0A)
    if mark != _WORD or version < _WORD_97:
        raise UnreadableFile(
            "The document is of a Word version before 97. Save it as .docx and add that file."
        )
    if flags & _ENCRYPTED:
        raise UnreadableFile(
            "The document is encrypted. Save it without a password and add it again."
        )
    stream = "1Table" if flags & _SECOND_TABLE else "0Table"
    table = compound.openstream(stream).read()  # type: ignore[attr-defined]
    start, length = struct.unpack_from("<2I", main, 0x1A2)
    text = "".join(_pieces(main, _piece_table(table[start : start + length])))
    counts = struct.unpack_from("<7I", main, 0x4C)
    shown = (True, True, False, False, False, True, True)
    return text, list(zip(shown, counts, strict=True))


def _piece_table(clx: bytes) -> bytes:
    """The pieces' part of the structure that also has formats (of kind 1) before it."""
    at = 0
    while at < len(clx) and clx[at] == 1:
        at += 3 + int.from_bytes(clx[at + 1 : at + 3], "little")
    if at >= len(clx) or clx[at] != 2:
        raise UnreadableFile(DAMAGED)
    (size,) = struct.unpack_from("<I", clx, at + 1)
    return clx[at + 5 : at + 5 + size]


def _pieces(main: bytes, table: bytes) -> list[str]:
    count = (len(table) - 4) // 12
    bounds = struct.unpack_from(f"<{count + 1}I", table)
    found = []
    for number in range(count):
        (place,) = struct.unpack_from("<I", table, 4 * (count + 1) + 8 * number + 2)
        length = max(0, bounds[number + 1] - bounds[number])
        if place & _COMPRESSED:
            start = (place & ~_COMPRESSED) // 2
            found.append(main[start : start + length].decode("cp1252", "replace"))
        else:
            found.append(main[place : place + 2 * length].decode("utf-16-le", "replace"))
    return found


def _readable(text: str) -> str:
    """Paragraph marks, cells, fields as plain text."""
    for _ in range(_DEEPEST_FIELD):
        shorter = _FIELD_CODE.sub(lambda match: match[1] or "", text)
        if shorter == text:
            break
        text = shorter
    text = text.replace("\x07\x07", "\n").replace("\x07", " | ").replace("\r", "\r\r")
    return squeezed(text.translate(_SIGNS))
