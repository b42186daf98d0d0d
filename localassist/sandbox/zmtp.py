"""ZeroMQ's wire protocol, as far as a client of Jupyter kernels needs it (ZMTP 3.0, mechanism NULL,
https://rfc.zeromq.org/spec/23/). Pure: bytes in, messages out.

The other side runs code that nobody has read and may send anything. libzmq cannot be used towards
it: it bounds single frames, but not the number of frames of a message, which it holds in memory
until the last one has come, and it gives a connection up for good after a frame that is too large.
Here a message that is too large is skipped while it comes in, and the next one is read.
"""

from __future__ import annotations

import struct

GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
"""Signature, version 3.0, mechanism, not a server, filler: 64 bytes."""

SUBSCRIBE_ALL = b"\x01"
"""The message of a SUB socket that asks for everything."""

FRAMES_AT_ONCE = 1000
"""What is read of what was fed before others get their turn."""

_MORE, _LONG, _COMMAND = 1, 2, 4


class ZmtpError(Exception):
    """The other side does not speak this protocol."""


def ready(socket_type: bytes, identity: bytes = b"") -> bytes:
    """The command that follows the greeting."""
    body = b"\x05READY"
    for name, value in ((b"Socket-Type", socket_type), (b"Identity", identity)):
        body += struct.pack("!B", len(name)) + name + struct.pack("!I", len(value)) + value
    return bytes((_COMMAND, len(body))) + body


def encode(frames: list[bytes]) -> bytes:
    """One message."""
    parts = []
    for position, frame in enumerate(frames):
        flags = _MORE if position < len(frames) - 1 else 0
        if len(frame) > 255:
            parts.append(struct.pack("!BQ", flags | _LONG, len(frame)))
        else:
            parts.append(bytes((flags, len(frame))))
        parts.append(frame)
    return b"".join(parts)


class Decoder:
    """What one peer sends. Holds at most ``max_bytes`` of a message beside what was fed last."""

    def __init__(self, max_bytes: int, max_frames: int) -> None:
        self.skipped = 0
        """Messages that were larger than allowed."""
        self.frames = 0
        """Frames and commands that were read or skipped."""
        self.is_ready = False
        """The peer has sent its greeting and a command: now it takes messages. One that libzmq gets
        before it has sent its own READY makes it close the connection."""
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self._data = bytearray()
        self.is_behind = False
        """More could be read of what was fed: feed it nothing and it goes on."""
        self._greeted = False
        self._frames: list[bytes] = []
        self._size = 0  # bytes of the frames
        self._too_large = False  # the message at hand; its frames are not kept
        self._to_skip = 0  # bytes of the frame at hand that are yet to come
        self._ends_message = False  # the frame that is skipped is its message's last

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The messages that are complete now. Raises ZmtpError."""
        if self._to_skip:
            skipped = min(self._to_skip, len(data))
            self._to_skip -= skipped
            if self._to_skip:
                return []
            self._end_skipped_frame()
            data = data[skipped:]
        self._data += data
        messages: list[list[bytes]] = []
        position = 0 if self._greeted else self._read_greeting()
        self.is_behind = self._greeted
        for _ in range(FRAMES_AT_ONCE if self._greeted else 0):
            end = self._read_frame(position, messages)
            if end is None:
                self.is_behind = False
                break
            position = end
        del self._data[:position]
        return messages

    def _read_greeting(self) -> int:
        if len(self._data) < len(GREETING):
            return 0
        data = self._data
        if data[0] != 0xFF or not data[9] & 1 or data[10] < 3 or data[12:17] != b"NULL\0":
            raise ZmtpError("not a ZMTP 3 peer without encryption")
        self._greeted = True
        return len(GREETING)

    def _read_frame(self, start: int, messages: list[list[bytes]]) -> int | None:
        """Where the frame that begins at ``start`` ends; None when more must come first."""
        data = self._data
        if len(data) < start + 2:
            return None
        flags = data[start]
        if flags & _LONG:
            if len(data) < start + 9:
                return None
            body, size = start + 9, int.from_bytes(data[start + 1 : start + 9], "big")
        else:
            body, size = start + 2, data[start + 1]
        is_command = bool(flags & _COMMAND)
        self._measure(size, is_command)
        if self._too_large:
            self._ends_message = not is_command and not flags & _MORE
            end = min(body + size, len(data))
            self._to_skip = body + size - end
            self.frames += 1
            if not self._to_skip:
                self._end_skipped_frame()
            return end
        if len(data) < body + size:
            return None
        self.frames += 1
        if is_command:
            self.is_ready = True
        else:
            self._frames.append(bytes(memoryview(data)[body : body + size]))
            self._size += size
            if not flags & _MORE:
                messages.append(self._frames)
                self._start_message()
        return body + size

    def _measure(self, size: int, is_command: bool) -> None:
        count = len(self._frames) + (not is_command)
        if not self._too_large and (
            self._size + size > self._max_bytes or count > self._max_frames
        ):
            self._too_large = True
            self._frames = []
            self.skipped += 1

    def _end_skipped_frame(self) -> None:
        if self._ends_message:
            self._start_message()

    def _start_message(self) -> None:
        self._frames = []
        self._size = 0
        self._too_large = False
        self._ends_message = False
