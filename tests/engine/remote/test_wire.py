"""Servers that are away, busy, slow, or talk nonsense: each is one error that says what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from localassist.engine.remote.wire import RequestRefused, Wire
from localassist.errors import (
    CapacityError,
    ContextLengthExceeded,
    GenerationFailed,
    LocalAssistError,
)
from tests.engine.remote.serving import address, events, raw_server, response

STREAM = "text/event-stream"


def sending(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


async def streamed(url: str, **options: Any) -> list[dict[str, Any]]:
    wire = Wire(address(url, **options))
    try:
        return [event async for event in wire.stream("/completion", {})]
    finally:
        wire.close()


def error(status: int, message: str) -> bytes:
    return response(status, b'{"error": {"message": "%s"}}' % message.encode())


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (error(401, "no"), GenerationFailed, "refuses the API key"),
        (error(403, "no"), GenerationFailed, "refuses the API key"),
        (error(404, "no such"), GenerationFailed, "does not know the model.*no such"),
        (error(400, "exceeds the available context size"), ContextLengthExceeded, "too long"),
        (error(400, "maximum context length is 5"), ContextLengthExceeded, "too long"),
        (error(400, "bad grammar"), RequestRefused, "refuses the request.*bad grammar"),
        (error(422, "bad field"), RequestRefused, "bad field"),
        (error(429, "queue"), CapacityError, "busy"),
        (error(503, "Loading model"), CapacityError, "Loading model"),
        (error(500, "out of memory"), GenerationFailed, "failed.*out of memory"),
        (response(500, b"<html>"), GenerationFailed, "HTTP 500"),
        (response(307, b""), GenerationFailed, "redirects"),
        (response(200, b"<html>", "text/html"), GenerationFailed, "Is another program"),
        (response(200, b"{}"), GenerationFailed, "no stream of events"),
        (response(200, b"data: {bad\n\n", STREAM), GenerationFailed, "no JSON"),
        (response(200, b"data: 3\n\n", STREAM), GenerationFailed, "an event that is no object"),
        (response(200, b"data: " + b"[" * 10**5 + b"\n", STREAM), GenerationFailed, "no JSON"),
        (
            response(200, events({"error": {"message": "broke", "code": 500}}), STREAM),
            GenerationFailed,
            "broke",
        ),
        (
            response(200, b'error: {"message": "context size", "code": 400}\n\n', STREAM),
            ContextLengthExceeded,
            "too long",
        ),
        (response(200, events({"a": 1}), STREAM, short=3), GenerationFailed, "broke off"),
        (b"", GenerationFailed, "broke off"),
        (b"SSH-2.0-OpenSSH\r\n", GenerationFailed, "broke off"),
    ],
)
async def test_a_bad_answer_has_its_error(
    answer: bytes, kind: type[LocalAssistError], said: str
) -> None:
    with raw_server(sending(answer)) as url:
        with pytest.raises(kind, match=said) as caught:
            await streamed(url)
    assert type(caught.value) is kind


async def test_events_are_split_at_line_feeds_only() -> None:
    data = 'data: {"text": "\u2028\x85"}\r\n\r\n: ping\n\ndata: [DONE]\n\n'
    with raw_server(sending(response(200, data.encode(), STREAM))) as url:
        assert await streamed(url) == [{"text": "\u2028\x85"}]


async def test_a_line_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localassist.engine.remote.wire._LONGEST_LINE_BYTES", 1000)
    with raw_server(sending(response(200, b"data: " + b"x" * 5000, STREAM))) as url:
        with pytest.raises(GenerationFailed, match="a line without end"):
            await streamed(url)


async def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    wire = Wire(address(f"http://127.0.0.1:{port}"))
    with pytest.raises(GenerationFailed, match="does not answer. Start it"):
        wire.get("/v1/models")
    assert wire.is_cut
    wire.close()


async def test_a_server_that_says_nothing() -> None:
    def wait(connection: socket.socket) -> None:
        connection.recv(1)

    with raw_server(wait) as url:
        with pytest.raises(GenerationFailed, match=r"nothing for 0\.2 seconds.*silence_seconds"):
            await streamed(url, silence_seconds=0.2)


async def test_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with raw_server(sending(response(200, b'{"ok": true}'))) as url:
        wire = Wire(address(url))
        assert wire.get("/") == {"ok": True}
        wire.close()
