"""One request to an ASGI app, with every message it sends kept apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass
class Exchange:
    """What the app has sent so far."""

    sent: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def chunks(self) -> list[bytes]:
        return [message["body"] for message in self.sent[1:] if message.get("body")]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


async def request(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    chunks: tuple[bytes, ...] = (),
    gone: asyncio.Event | None = None,
) -> Exchange:
    """Send a request. Setting ``gone`` disconnects the client; without it, it stays."""
    exchange = Exchange()
    body = _messages(chunks, gone or asyncio.Event())

    async def receive() -> Message:
        return await anext(body)

    async def send(message: Message) -> None:
        exchange.sent.append(message)

    await app(_scope(method, path, headers or {}), receive, send)
    return exchange


async def _messages(chunks: tuple[bytes, ...], gone: asyncio.Event) -> AsyncIterator[Message]:
    for chunk in chunks:
        yield {"type": "http.request", "body": chunk, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}
    await gone.wait()
    yield {"type": "http.disconnect"}


def _scope(method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "state": {},
    }
