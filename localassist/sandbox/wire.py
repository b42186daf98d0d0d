"""Messages of the Jupyter protocol 5 (https://jupyter-client.readthedocs.io/en/stable/messaging.html)
to and from frames. Pure.

The signature shows that a message comes from whoever knows the connection file. Code in the kernel
can read it there, so that a signed message may still be forged: nothing that comes in is believed.
"""

from __future__ import annotations

import hmac
import json
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

DELIMITER = b"<IDS|MSG>"
_MAX_HEADER_BYTES = 64 * 1024
_LARGE_BYTES = 1024 * 1024
_MAX_VALUES = 50_000  # of a large message; each costs time and about a hundred bytes of memory


DISPLAYS = ("display_data", "execute_result", "update_display_data")
IMAGES = ("image/png", "image/jpeg")
_OPENING = re.compile(rb': ?"')
_TRIES = 10  # a name may also stand inside of a text
_DISPLAY_ID = re.compile(rb'"display_id": ?"([^"\\]+)"')
_LONGEST_ESCAPE = 12  # of characters that UTF-16 needs two units for
_STRINGS = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class Message:
    """What a kernel has sent. ``parent_id`` is the request that it belongs to; ``left_out`` is how
    many bytes of its text were not read."""

    message_type: str
    parent_id: str
    content: dict[str, Any]
    left_out: int = 0


class Unreadable(Exception):
    """Not a message of the protocol, forged, or made to be expensive to read."""


def request(
    message_type: str, content: dict[str, Any], session: str, key: bytes
) -> tuple[str, list[bytes]]:
    """A request's id and its frames."""
    message_id = uuid.uuid4().hex
    header = {
        "msg_id": message_id,
        "msg_type": message_type,
        "session": session,
        "username": "localassist",
        "date": datetime.now(timezone.utc).isoformat(),
        "version": "5.3",
    }
    parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
    return message_id, [DELIMITER, _signature(key, parts), *parts]


def is_large(frames: list[bytes]) -> bool:
    """Whether ``parse`` would take longer than an event loop should be kept: ``parse_large``."""
    return sum(map(len, frames)) > _LARGE_BYTES


def parent_of(frames: list[bytes]) -> str | None:
    """The request that a message says it belongs to, found before the rest is looked at."""
    try:
        parent = frames[frames.index(DELIMITER) + 3]
        return str(_object(parent, _MAX_HEADER_BYTES).get("msg_id"))
    except (IndexError, ValueError, Unreadable):
        return None


def parse(frames: list[bytes], key: bytes) -> Message:
    """Raises Unreadable."""
    message_type, parent_id, content = _checked(frames, key)
    _refuse_many_values(content)
    return Message(message_type, parent_id, _object(content, len(content)))


def parse_large(frames: list[bytes], key: bytes, text_bytes: int) -> Message:
    """For a thread. Of printed and displayed text only the beginning is looked at, of what is
    displayed with an image only the image: parsing keeps the interpreter, and all other threads
    wait. Raises Unreadable."""
    message_type, parent_id, content = _checked(frames, key)
    if message_type == "stream":
        text, left_out = _beginning(content, "text", text_bytes)
        name = "stderr" if b'"stderr"' in content[:100] else "stdout"
        return Message(message_type, parent_id, {"name": name, "text": text}, left_out)
    if message_type not in DISPLAYS:
        if message_type not in ("error", "execute_reply"):
            raise Unreadable("too large for what it is")
        _refuse_many_values(content)
        return Message(message_type, parent_id, _object(content, len(content)))
    for media_type in IMAGES:
        start = _start_of(content, media_type)
        if start is not None:
            end = content.find(b'"', start)
            encoded = content[start:end].replace(b"\\n", b"").decode("ascii", "replace")
            transient = _transient(content[-4096:])
            display = {"data": {media_type: encoded}, "transient": transient}
            return Message(message_type, parent_id, display)
    text, left_out = _beginning(content, "text/plain", text_bytes)
    return Message(message_type, parent_id, {"data": {"text/plain": text}}, left_out)


def _checked(frames: list[bytes], key: bytes) -> tuple[str, str, bytes]:
    """Type, parent and the content as it is."""
    try:
        start = frames.index(DELIMITER) + 1
        signature, header, parent, metadata, content = frames[start : start + 5]
    except ValueError:
        raise Unreadable("too few frames") from None
    if key and not hmac.compare_digest(
        _signature(key, [header, parent, metadata, content]), signature
    ):
        raise Unreadable("wrong signature")
    return (
        str(_object(header, _MAX_HEADER_BYTES).get("msg_type")),
        str(_object(parent, _MAX_HEADER_BYTES).get("msg_id")),
        content,
    )


def _start_of(content: bytes, name: str) -> int | None:
    """Where the first string with the name begins, inside its quotes."""
    quoted = f'"{name}"'.encode()
    at = 0
    for _ in range(_TRIES):
        at = content.find(quoted, at)
        if at < 0:
            return None
        at += len(quoted)
        opening = _OPENING.match(content, at)
        if opening is not None:
            return opening.end()
    return None


def _beginning(content: bytes, name: str, max_bytes: int) -> tuple[str, int]:
    """Of the first string with the name, and how many bytes there are beyond."""
    start = _start_of(content, name)
    if start is None:
        raise Unreadable("no text")
    piece = content[start : start + max_bytes]
    text = '"' + piece.decode("utf-8", "ignore")
    try:
        return str(_STRINGS.raw_decode(text)[0]), 0
    except ValueError:
        pass  # it does not end here
    for cut in range(min(len(text) - 1, _LONGEST_ESCAPE) + 1):
        try:
            beginning = _STRINGS.raw_decode(text[: len(text) - cut] + '"')[0]
        except ValueError:
            continue
        return str(beginning), len(content) - start - len(piece)
    raise Unreadable("not JSON")


def _transient(end: bytes) -> dict[str, str]:
    match = _DISPLAY_ID.search(end)
    return {"display_id": match[1].decode("ascii", "replace")} if match else {}


def _signature(key: bytes, parts: list[bytes]) -> bytes:
    digest = hmac.new(key, digestmod="sha256")
    for part in parts:
        digest.update(part)
    return digest.hexdigest().encode()


def _object(frame: bytes, max_bytes: int) -> dict[str, Any]:
    if len(frame) > max_bytes:
        raise Unreadable("a header that is too long")
    try:
        value = json.loads(frame)
    except (ValueError, RecursionError):
        raise Unreadable("not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("not a JSON object")
    return value


def _refuse_many_values(content: bytes) -> None:
    """A large message is a long text or image in a few strings. Millions of small values would
    keep the interpreter busy, which no thread can interrupt, and take a hundred times the memory.
    """
    if len(content) <= _LARGE_BYTES:
        return
    bare = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') > _MAX_VALUES:
        raise Unreadable("too many values")
    outside = b"".join(bare.split(b'"')[::2])
    if sum(map(outside.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise Unreadable("too many values")
