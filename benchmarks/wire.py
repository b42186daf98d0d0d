"""A client that costs next to nothing, since it shares the cores with the servers it measures.

HTTP/1.1 over asyncio streams, one connection per request. Events are stamped as they arrive and
read later, outside the measured time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

_HEADERS = "Content-Type: application/json\r\nOpenAI-Beta: assistants=v2\r\nConnection: close\r\n"
_LIMIT = 2**20
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Streamed:
    """One streamed answer: seconds from sending the request, counts from the server's own usage.

    ``arrivals`` are the seconds of every event that brought text.
    """

    arrivals: list[float]
    wall: float
    tokens: int
    cached_tokens: int
    prompt_tokens: int
    text: str

    @property
    def first_token(self) -> float:
        return self.arrivals[0]

    @property
    def decode_rate(self) -> float:
        """Tokens a second behind the first."""
        return (self.tokens - 1) / (self.arrivals[-1] - self.arrivals[0])


@dataclass(slots=True)
class Recording:
    """What a server sent and when; ``started`` is when it was asked. ``arrived`` can be acquired
    once for each part."""

    started: float = field(default_factory=perf_counter)
    parts: list[tuple[float, bytes]] = field(default_factory=list)
    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))


class Refused(RuntimeError):
    """The server has answered with an error."""


async def post(base_url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer of a request. Raises Refused."""
    return await ask(base_url, "POST", path, body)


async def ask(
    base_url: str, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The same with any method."""
    recording = Recording()
    await _record(base_url, path, body, recording, method)
    answer: dict[str, Any] = json.loads(b"".join(part for _, part in recording.parts))
    return answer


async def stream_chat(base_url: str, body: dict[str, Any]) -> Streamed:
    """A chat completion. ``tokens`` is the number of events where the server sends no usage."""
    recording = Recording()
    await record_chat(base_url, body, recording)
    return chat_of(recording)


async def record_chat(base_url: str, body: dict[str, Any], recording: Recording) -> None:
    """Ask and write down what comes. What came until a cancellation stays in the recording."""
    request = {**body, "stream": True, "stream_options": {"include_usage": True}}
    await _record(base_url, "/chat/completions", request, recording)


def chat_of(recording: Recording) -> Streamed:
    """The chat completion that was recorded."""
    arrivals: list[float] = []
    texts: list[str] = []
    usage: dict[str, Any] = {}
    wall = 0.0
    for at, _, data in _events(recording):
        wall = at
        usage = data.get("usage") or usage
        for choice in data.get("choices") or ():
            if text := (choice.get("delta") or {}).get("content"):
                arrivals.append(at)
                texts.append(text)
    return _streamed(arrivals, wall, texts, usage, "prompt_tokens_details")


def text_times(recording: Recording) -> list[float]:
    """Seconds from the request to every event that brought text; also of an unfinished answer."""
    return [
        at
        for at, _, data in _events(recording)
        if any((choice.get("delta") or {}).get("content") for choice in data.get("choices") or ())
    ]


async def stream_run(base_url: str, path: str, body: dict[str, Any]) -> Streamed:
    """A run of the Assistants API, until it has ended."""
    recording = Recording()
    await _record(base_url, path, {**body, "stream": True}, recording)
    arrivals: list[float] = []
    texts: list[str] = []
    usage: dict[str, Any] = {}
    wall = 0.0
    for at, name, data in _events(recording):
        wall = at
        if name == "thread.message.delta":
            arrivals.append(at)
            texts += [part["text"]["value"] for part in data["delta"]["content"]]
        elif name in ("thread.run.completed", "thread.run.incomplete"):
            usage = data["usage"]
    return _streamed(arrivals, wall, texts, usage, "prompt_token_details")


def _streamed(
    arrivals: list[float], wall: float, texts: list[str], usage: dict[str, Any], details: str
) -> Streamed:
    if not arrivals:
        raise RuntimeError("the answer has no text")
    return Streamed(
        arrivals=arrivals,
        wall=wall,
        tokens=usage.get("completion_tokens", len(texts)),
        cached_tokens=(usage.get(details) or {}).get("cached_tokens", 0),
        prompt_tokens=usage.get("prompt_tokens", 0),
        text="".join(texts),
    )


async def _record(
    base_url: str,
    path: str,
    body: dict[str, Any] | None,
    recording: Recording,
    method: str = "POST",
) -> None:
    async def write_down() -> None:
        async for part in _body(base_url, method, path, body):
            recording.parts.append((perf_counter(), part))
            recording.arrived.release()

    await asyncio.wait_for(write_down(), _PATIENCE_SECONDS)


def _events(recording: Recording) -> list[tuple[float, str, dict[str, Any]]]:
    """Seconds since the request, name and data of every event but the closing one."""
    found: list[tuple[float, str, dict[str, Any]]] = []
    rest = b""
    for at, part in recording.parts:
        *records, rest = (rest + part).replace(b"\r\n", b"\n").split(b"\n\n")
        for record in records:
            fields = dict(
                line.split(": ", 1)
                for line in record.decode().split("\n")
                if line and line[0] != ":"
            )
            if fields.get("data", "[DONE]") != "[DONE]":
                event = json.loads(fields["data"])
                found.append((at - recording.started, fields.get("event", ""), event))
    return found


async def _body(
    base_url: str, method: str, path: str, body: dict[str, Any] | None
) -> AsyncIterator[bytes]:
    """The parts of the response's body as the server sent them."""
    url = urlsplit(base_url + path)
    content = b"" if body is None else json.dumps(body).encode()
    target = f"{url.path}?{url.query}" if url.query else url.path
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=_LIMIT)
    try:
        head = f"{method} {target} HTTP/1.1\r\nHost: {url.netloc}\r\n{_HEADERS}"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if answer.split(" ", 2)[1] != "200":
            raise Refused(f"{path}: {answer} {(await reader.read(2000)).decode()}")
        if "transfer-encoding: chunked" not in answer.lower():
            yield await reader.read(-1)
            return
        while size := int(await reader.readline(), 16):
            yield (await reader.readexactly(size + 2))[:-2]
    finally:
        writer.close()
