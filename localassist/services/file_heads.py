"""The beginning of a text file, so that a model sees what its code will read."""

from __future__ import annotations

import codecs
from pathlib import Path, PurePath

MAX_LINES = 20
MAX_BYTES = 4096
_TEXTS = frozenset(
    "bib c cfg conf cpp cs css csv dat go h html ini java js json jsonl log md ndjson php py r rb "
    "rst rtf sh sql srt tab tex toml ts tsv txt xml yaml yml".split()
)
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def is_text(name: str) -> bool:
    """Whether a file of this name is a text, by its extension."""
    return PurePath(name).suffix.lower().removeprefix(".") in _TEXTS


def head_of(path: Path) -> str | None:
    """Up to 20 lines and 4 kB from the beginning of a file, whole lines unless the first is longer;
    None for what is no text. Blocks. Raises OSError."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    text = _decoded(data[:MAX_BYTES], is_whole=len(data) <= MAX_BYTES)
    if text is None:
        return None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    is_cut = len(data) > MAX_BYTES
    if is_cut and len(lines) > 1:
        del lines[-1]
    return "\n".join(lines[:MAX_LINES]).rstrip("\n")


def _decoded(data: bytes, *, is_whole: bool) -> str | None:
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data, final=is_whole)
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    is_binary = any(char < " " and char not in "\t\n\r\f\v\x1b" for char in text)
    return None if is_binary else text
