"""Names of files: as code finds them, and as its files are shown. Touches no disk."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from pathlib import PurePosixPath

MAX_NAME_BYTES = 200
"""What is kept of a name: file systems take 255 bytes, and a number or a suffix must still fit."""

_FALLBACK = "file"
_NO_TEXT = re.compile("[\ud800-\udfff]")


def readable(text: str) -> str:
    """A name as Python has it from a file system, as text that UTF-8 can hold: bytes that are no
    text become ``�``."""
    return _NO_TEXT.sub("�", text)


def safe_name(filename: str) -> str:
    """A single name without folders and control characters, that does not begin with a dot (such
    files are not looked at) and fits any file system; its extension stays."""
    name = readable(filename).replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = "".join("_" if unicodedata.category(char)[0] == "C" else char for char in name)
    name = name.strip().lstrip(".")
    return _shortened(name) or _FALLBACK


def free_name(name: str, taken: Container[str]) -> str:
    """``name``, or ``name (2)``, ``name (3)`` and so on before its extension."""
    found, number = name, 1
    path = PurePosixPath(name)
    while found in taken:
        number += 1
        found = f"{path.stem} ({number}){path.suffix}"
    return found


def _shortened(name: str) -> str:
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > 20:
        suffix = ""
    room = MAX_NAME_BYTES - len(suffix.encode())
    return name.encode()[:room].decode("utf-8", "ignore") + suffix
