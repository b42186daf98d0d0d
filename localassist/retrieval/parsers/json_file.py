"""JSON as lines of ``path: value``, one record after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localassist.retrieval.parsers.base import TextWriter, one_line
from localassist.retrieval.parsers.encoding import read_text

# Lists of values that fit on a line stay on one.
_SHORT_LIST = 200


def parse(path: Path, out: TextWriter) -> None:
    """What is not valid JSON (comments, trailing commas, a part of a file) is kept as text."""
    text = read_text(path, out.max_characters)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        out.add(text)
        return
    _write(value, out)


def parse_lines(path: Path, out: TextWriter) -> None:
    """A record a line; lines that are not valid stay as they are."""
    for line in read_text(path, out.max_characters).splitlines():
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            out.paragraph(line)
            continue
        _write_record(value, out)


def _write(value: Any, out: TextWriter) -> None:
    if isinstance(value, list):
        for record in value:
            _write_record(record, out)
    elif isinstance(value, dict):
        for key, inner in value.items():
            out.place(heading=one_line(str(key)))
            for line in lines_of(inner, str(key)):
                out.line(line)
    else:
        out.line(_shown(value))


def _write_record(value: Any, out: TextWriter) -> None:
    for line in lines_of(value, ""):
        out.line(line)
    out.add("\n")


def lines_of(value: Any, path: str) -> Iterator[str]:
    """Leaves with the keys that lead to them, ``town.name: Bern``; objects of a list are blocks
    with a blank line after each. Not recursive: a file decides how deep it goes."""
    waiting: list[tuple[Any, str]] = [(value, path)]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, dict) and value:
            inner = [(v, f"{path}.{k}" if path else str(k)) for k, v in value.items()]
            waiting.extend(reversed(inner))
        elif isinstance(value, list) and value and not (short := _short_list(value)):
            blocks: list[tuple[Any, str]] = []
            for item in value:
                blocks.append((item, path))
                if isinstance(item, dict):
                    blocks.append((_BLANK, ""))
            waiting.extend(reversed(blocks))
        elif value is _BLANK:
            yield ""
        else:
            shown = short if isinstance(value, list) and value else _shown(value)
            yield f"{path}: {shown}" if path else shown


_BLANK = object()


def _short_list(value: list[Any]) -> str:
    """``a, b, c`` for a list of a few plain values, else empty."""
    if any(isinstance(item, dict | list) for item in value):
        return ""
    line = ", ".join(_shown(item) for item in value)
    return line if len(line) <= _SHORT_LIST else ""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
