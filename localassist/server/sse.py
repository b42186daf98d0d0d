"""Server-sent events: how they are framed, kept alive and ended. Knows nothing of runs.

A stream sends no status before its first event (or the first keep-alive), so that a request that
fails at once is answered as an ordinary JSON error. After that a failure is an ``error`` event. A
client that goes away ends its own stream only; what that means for the work behind the events is
decided by whoever produces them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from localassist import clock
from localassist.schemas.events import DONE, DONE_DATA, ERROR
from localassist.server.deps import wait_for_disconnect
from localassist.server.encoding import to_json
from localassist.server.errors import envelope, log_if_ours, request_id_of

KEEP_ALIVE = b": keep-alive\n\n"
_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # Asks buffering reverse proxies to pass every event on at once.
    (b"x-accel-buffering", b"no"),
)


def record(data: str, event: str | None = None, number: int | None = None) -> bytes:
    """One record, blank line included. ``data`` is text without line breaks; without ``event`` the
    record is data-only; ``number`` becomes its id."""
    position = "" if number is None else f"id: {number}\n"
    name = "" if event is None else f"event: {event}\n"
    return f"{position}{name}data: {data}\n\n".encode()


class EventStream(Response):
    """A response whose body is the records of a generator, then ``[DONE]``. However it ends, the
    generator is closed. Records that are ready at the same time are best yielded joined: each item
    is sent by itself.

    With ``is_named`` every record has an ``event:`` line, the closing one and an error's included
    (runs); without it records are data-only (chat completions).
    """

    def __init__(
        self,
        records: AsyncGenerator[bytes, None],
        *,
        is_named: bool,
        keepalive_seconds: float,
    ) -> None:
        self.status_code = 200
        self.background = None
        self._records = records
        self._is_named = is_named
        self._keepalive_seconds = keepalive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(send)
        writing = asyncio.create_task(self._write(body, scope))
        beating = asyncio.create_task(_keep_alive(body, self._keepalive_seconds))
        leaving = asyncio.create_task(wait_for_disconnect(receive))
        tasks = (writing, beating, leaving)
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not writing.cancelled():
            writing.result()

    async def _write(self, body: _Body, scope: Scope) -> None:
        """All records in order, in one task: iterators may hold locks and timeouts across items."""
        try:
            async with aclosing(self._records):
                async for records in self._records:
                    await body.write(records)
            await body.write(self._record(DONE, DONE_DATA))
        except OSError:
            return  # The peer closed while we wrote: its stream is over, nothing else is.
        except Exception as exc:
            if not body.is_started:
                raise
            log_if_ours(exc, scope)
            error = to_json(envelope(exc, request_id_of(scope)).dump())
            await body.write(self._record(ERROR, error))
        await body.end()

    def _record(self, event: str, data: str) -> bytes:
        return record(data, event if self._is_named else None)


class _Body:
    """The sending half of one response: starts itself, keeps whole records apart."""

    def __init__(self, send: Send) -> None:
        self.is_started = False
        self.last_write = clock.monotonic()
        self._send = send
        self._lock = asyncio.Lock()

    async def write(self, records: bytes) -> None:
        async with self._lock:
            if not self.is_started:
                self.is_started = True
                headers = [*_HEADERS]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": records, "more_body": True})
            self.last_write = clock.monotonic()

    async def end(self) -> None:
        async with self._lock:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _keep_alive(body: _Body, seconds: float) -> None:
    while True:
        silence = clock.monotonic() - body.last_write
        if silence >= seconds:
            await body.write(KEEP_ALIVE)
            silence = 0.0
        await asyncio.sleep(seconds - silence)
