"""Values of JSON out of files, one at a time: a document to a file, or one to each line.

A file of lines is read as a stream, whatever its size. Anything else has to be in memory as a
whole, so that it is limited, and it says so before that memory is spent.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from localassist.archive.sources import Part, Source
from localassist.disk import size

JSON, LINES = (".json",), (".jsonl", ".ndjson")
MOST_BYTES = 128 * 2**20
"""Of a document. Read, it takes four to five times as much in memory."""
_MOST_CONTAINERS = 4_000_000
PRINTED = (
    "is how Python prints objects, which cannot be read back: save it again with "
    "model_dump_json() or json.dumps()."
)
_PRINTED = re.compile(r"\s*(?:[\[(]\s*)*(?:\{\s*'|[A-Za-z_.]+(?:\[[\w.]+\])?\(\w+=)")
Refuse = Callable[[str, str], None]


class Document(NamedTuple):
    """``line`` is None for the only document of a file."""

    value: Any
    place: str
    line: int | None


def is_json(name: str) -> bool:
    return name.lower().endswith(JSON + LINES)


def is_printed(text: str) -> bool:
    """Whether it begins as Python's own way to show objects, ``Message(id='…')`` or
    ``{'id': '…'}``, does."""
    return _PRINTED.match(text) is not None


def documents(
    source: Source, part: Part, refuse: Refuse, told: Callable[[int], None] = lambda _: None
) -> Iterator[Document]:
    """What a file holds; ``refuse`` is given the place of what cannot be read and why, ``told`` how
    many bytes are read."""
    pieces = _decoded(source, part, told)
    try:
        if part.name.lower().endswith(LINES):
            yield from _lines(pieces, part.name, refuse)
            return
        head = next(pieces, "")
        if part.size_bytes > MOST_BYTES and not _is_lines(head):
            refuse(part.name, f"has {size(part.size_bytes)} in one document{_LIMIT}")
            return
        text = head if part.size_bytes > MOST_BYTES else "".join([head, *pieces])
        if _is_lines(text):
            yield from _lines(chain((text,), pieces), part.name, refuse)
            return
        value = _parsed(text, part.name, refuse)
        if value is not None:
            yield Document(value, part.name, None)
    except UnicodeDecodeError as error:
        refuse(part.name, f"is not text in UTF-8, UTF-16 or UTF-32 (byte {error.start}).")


_LIMIT = (
    f", of at most {size(MOST_BYTES)}. Save it as JSON lines, one object on each line, or in "
    "several files."
)


def _decoded(source: Source, part: Part, told: Callable[[int], None]) -> Iterator[str]:
    """The text of a part, without the mark at its beginning."""
    decoder: codecs.IncrementalDecoder | None = None
    done = 0
    for chunk in source.chunks(part):
        if decoder is None:
            decoder = codecs.getincrementaldecoder(json.detect_encoding(chunk))()
        waiting = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            error.start += done - waiting
            raise
        yield text.removeprefix("\ufeff") if done == 0 else text
        done += len(chunk)
        told(done)
    if decoder is not None:
        yield decoder.decode(b"", final=True)


def _is_lines(text: str) -> bool:
    """Whether a file that is called JSON has an object on each line."""
    head = text.lstrip().partition("\n")
    return bool(head[2].strip()) and _is_object(head[0]) and head[2].lstrip().startswith("{")


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _lines(pieces: Iterable[str], name: str, refuse: Refuse) -> Iterator[Document]:
    rest: list[str] = []
    length, number = 0, 1
    for piece in chain(pieces, ("\n",)):
        first, *others = piece.split("\n")
        rest.append(first)
        length += len(first)
        if length > MOST_BYTES:
            refuse(f"{name} line {number}", f"is too long{_LIMIT}")
            return
        for following in others:
            line = "".join(rest)
            if line.strip():
                value = _parsed(line, f"{name} line {number}", refuse)
                if value is not None:
                    yield Document(value, f"{name} line {number}", number)
            rest, length = [following], len(following)
            number += 1


def _parsed(text: str, place: str, refuse: Refuse) -> Any:
    if text.count("{") + text.count("[") > _MOST_CONTAINERS:
        refuse(place, f"has more than {_MOST_CONTAINERS:,} objects and lists in one document.")
        return None
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        if is_printed(text):
            refuse(place, PRINTED)
            return None
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else error.colno
        at = where if isinstance(where, str) else f"column {where}"
        is_cut = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated")
        refuse(place, f"is no JSON{': it is cut short' if is_cut else ''} ({at}).")
    except RecursionError:
        refuse(place, "is nested too deeply.")
    except ValueError as error:
        refuse(place, f"is no JSON: {error}.")
    return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
