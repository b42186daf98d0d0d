"""A client that costs next to nothing, since it shares the cores with the servers it measures.

HTTP/1.1 over asyncio streams, one connection per request. Events are stamped as they arrive and
read later, outside the measured time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

_HEADERS = "Content-Type: application/json\r\nOpenAI-Beta: assistants=v2\r\nConnection: close\r\n"
_LIMIT = 2**20


@dataclass(frozen=True, slots=True)
class Streamed:
    """One streamed answer: seconds from sending the request, counts from the server's own usage."""

    first_token: float
    wall: float
    tokens: int
    cached_tokens: int
    prompt_tokens: int
    text: str


async def post(base_url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer of a request that succeeds."""
    async with asyncio.timeout(300):
        content = b"".join([part async for part in _body(base_url, path, body)])
    answer: dict[str, Any] = json.loads(content)
    return answer


async def stream_chat(base_url: str, body: dict[str, Any]) -> Streamed:
    """A chat completion. ``tokens`` is the number of chunks where the server sends no usage."""
    request = {**body, "stream": True, "stream_options": {"include_usage": True}}
    started = perf_counter()
    events = await _events(base_url, "/chat/completions", request)
    first, texts, usage = None, [], {}
    for at, _, data in events:
        usage = data.get("usage") or usage
        for choice in data.get("choices") or ():
            if text := choice["delta"].get("content"):
                first = first or at - started
                texts.append(text)
    return _streamed(first, events[-1][0] - started, texts, usage, "prompt_tokens_details")


async def stream_run(base_url: str, path: str, body: dict[str, Any]) -> Streamed:
    """A run of the Assistants API, until it has ended."""
    started = perf_counter()
    events = await _events(base_url, path, {**body, "stream": True})
    first, texts, usage = None, [], {}
    for at, name, data in events:
        if name == "thread.message.delta":
            first = first or at - started
            texts += [part["text"]["value"] for part in data["delta"]["content"]]
        elif name in ("thread.run.completed", "thread.run.incomplete"):
            usage = data["usage"]
    return _streamed(first, events[-1][0] - started, texts, usage, "prompt_token_details")


def _streamed(
    first: float | None, wall: float, texts: list[str], usage: dict[str, Any], details: str
) -> Streamed:
    if first is None:
        raise RuntimeError("the answer has no text")
    return Streamed(
        first_token=first,
        wall=wall,
        tokens=usage.get("completion_tokens", len(texts)),
        cached_tokens=(usage.get(details) or {}).get("cached_tokens", 0),
        prompt_tokens=usage.get("prompt_tokens", 0),
        text="".join(texts),
    )


async def _events(
    base_url: str, path: str, body: dict[str, Any]
) -> list[tuple[float, str, dict[str, Any]]]:
    stamped: list[tuple[float, bytes]] = []
    async with asyncio.timeout(300):
        async for part in _body(base_url, path, body):
            stamped.append((perf_counter(), part))
    found: list[tuple[float, str, dict[str, Any]]] = []
    rest = b""
    for at, part in stamped:
        *records, rest = (rest + part).replace(b"\r\n", b"\n").split(b"\n\n")
        for record in records:
            fields = dict(
                line.split(": ", 1) for line in record.decode().split("\n") if line[0] != ":"
            )
            if fields.get("data", "[DONE]") != "[DONE]":
                found.append((at, fields.get("event", ""), json.loads(fields["data"])))
    return found


async def _body(base_url: str, path: str, body: dict[str, Any]) -> AsyncIterator[bytes]:
    """The parts of the response's body as the server sent them."""
    url = urlsplit(base_url + path)
    content = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=_LIMIT)
    try:
        head = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n{_HEADERS}"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if answer.split(" ", 2)[1] != "200":
            raise RuntimeError(f"{path}: {answer} {(await reader.read(2000)).decode()}")
        if "transfer-encoding: chunked" not in answer.lower():
            yield await reader.read(-1)
            return
        while size := int(await reader.readline(), 16):
            yield (await reader.readexactly(size + 2))[:-2]
    finally:
        writer.close()
