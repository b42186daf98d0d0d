"""One socket of a kernel: ZMTP over a unix or TCP socket, read in bounded portions.

Nothing is read ahead of what is asked for, beyond the buffers of the socket and of its reader: a
kernel that sends more than anybody reads is made to wait or drops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from localassist.sandbox import zmtp

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
MAX_FRAMES = 64
_PORTION_BYTES = 128 * 1024
FRAME_BYTES = 512
"""What a frame counts for beside its bytes: an empty one takes two, and time to be read."""

Address = str | tuple[str, int]
"""A unix socket's path, or host and port."""


class ConnectionLost(Exception):
    """The kernel closed its socket, does not listen, or does not speak the protocol."""


class Connection:
    """Cancelling ``receive`` loses nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._bytes = 0
        self._decoder = zmtp.Decoder(MAX_MESSAGE_BYTES, MAX_FRAMES)

    @classmethod
    async def open(cls, address: Address, socket_type: bytes) -> Connection:
        """Returns when the kernel has answered, which it may never do. Raises ConnectionLost."""
        try:
            if isinstance(address, str):
                streams = await asyncio.open_unix_connection(address, limit=_PORTION_BYTES)
            else:
                streams = await asyncio.open_connection(*address, limit=_PORTION_BYTES)
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        connection = cls(*streams)
        connection._writer.write(zmtp.GREETING + zmtp.ready(socket_type))
        try:
            while not connection._decoder.is_ready:
                await connection.receive()
            if socket_type == b"SUB":
                await connection.send([zmtp.SUBSCRIBE_ALL])
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def skipped(self) -> int:
        """Messages that were too large."""
        return self._decoder.skipped

    @property
    def received_bytes(self) -> int:
        """All that came in, with something for each frame."""
        return self._bytes + FRAME_BYTES * self._decoder.frames

    async def receive(self) -> list[list[bytes]]:
        """Messages as frames; empty when a part of one has come. Raises ConnectionLost."""
        if self._decoder.is_behind:
            await asyncio.sleep(0)
            return self._decoder.feed(b"")
        try:
            data = await self._reader.read(_PORTION_BYTES)
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        if not data:
            raise ConnectionLost("closed by the kernel")
        self._bytes += len(data)
        try:
            return self._decoder.feed(data)
        except zmtp.ZmtpError as error:
            raise ConnectionLost(str(error)) from error

    async def send(self, frames: Sequence[bytes]) -> None:
        """Raises ConnectionLost. Returns when the system has taken most of it."""
        try:
            self._writer.write(zmtp.encode(list(frames)))
            await self._writer.drain()
        except OSError as error:
            raise ConnectionLost(str(error)) from error

    def close(self) -> None:
        transport = self._writer.transport
        if not transport.is_closing():
            transport.abort()
