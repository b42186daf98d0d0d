"""Clients that ask for a stream and never read it: what they cost, and whom."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from localassist.server.config import ServerSettings
from localassist.server.middleware import ErrorBoundary, RequestContext
from localassist.server.protocol import HttpProtocol
from localassist.server.serve import listen
from localassist.server.sse import EventStream, record

RECORD = record("x" * 2**16)
# Several times what the operating system's buffers take on both sides together.
RECORDS = 1000
STALLED = 3


class Streams:
    """An app whose every answer is the same long stream."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.ended = 0
        self.are_over = asyncio.Event()

    async def records(self, place: int) -> AsyncGenerator[bytes, None]:
        try:
            for _ in range(RECORDS):
                self.taken[place] += 1
                yield RECORD
        finally:
            self.ended += 1
            if self.ended == STALLED + 1:
                self.are_over.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.taken.append(0)
        records = self.records(len(self.taken) - 1)
        await EventStream(records, is_named=False, keepalive_seconds=0.05)(scope, receive, send)


async def test_who_does_not_read_is_not_written_to_and_holds_up_nobody() -> None:
    app = Streams()
    wrapped = RequestContext(ErrorBoundary(app))
    config = uvicorn.Config(wrapped, http=HttpProtocol, lifespan="off", log_config=None, ws="none")
    state, loop = ServerState(), asyncio.get_running_loop()
    protocols: list[HttpProtocol] = []

    def connect() -> HttpProtocol:
        protocols.append(HttpProtocol(config=config, server_state=state, app_state={}))
        return protocols[-1]

    with listen(ServerSettings(port=0)) as listener:
        serving = await loop.create_server(connect, sock=listener)
        address = listener.getsockname()
        stalled = [socket.create_connection(address) for _ in range(STALLED)]
        for connection in stalled:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = 0
        while piece := await asyncio.wait_for(reader.read(2**20), 30):
            received += len(piece)
        writer.close()
        assert received > RECORDS * len(RECORD)
        # Of the others no more was made than fits into buffers, keep-alives included.
        assert sorted(app.taken)[-1] == RECORDS and sorted(app.taken)[-2] < RECORDS / 2
        waiting = [each.transport.get_write_buffer_size() for each in protocols]
        assert max(waiting) <= 2**16 + 2 * len(RECORD)
        # And all of it goes with them.
        for connection in stalled:
            connection.close()
        await asyncio.wait_for(app.are_over.wait(), 30)
        serving.close()
        await serving.wait_closed()
