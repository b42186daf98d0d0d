import asyncio
import json
from collections.abc import AsyncGenerator

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from localassist.errors import GenerationFailed, InvalidRequest
from localassist.server.encoding import to_json
from localassist.server.middleware import ErrorBoundary, RequestContext
from localassist.server.sse import KEEP_ALIVE, EventStream, record
from tests.server.asgi import request


def app_for(
    events: AsyncGenerator[bytes, None], *, is_named: bool = True, keepalive: float = 60.0
) -> ASGIApp:
    stream = EventStream(events, is_named=is_named, keepalive_seconds=keepalive)
    return RequestContext(ErrorBoundary(stream))


async def two_events() -> AsyncGenerator[bytes, None]:
    yield record('{"n":1}', "first")
    yield record('{"n":2}', "second", 7)


def test_records_are_framed_to_the_byte() -> None:
    assert record('{"a":1}', "x") == b'event: x\ndata: {"a":1}\n\n'
    assert record('{"a":1}') == b'data: {"a":1}\n\n'
    assert record("[]", "x", 3) == b"id: 3\nevent: x\ndata: []\n\n"


@pytest.mark.parametrize("separator", ["\n", "\r", "\u2028", "\u2029", "\x85", "\x0b"])
def test_no_text_can_break_a_record(separator: str) -> None:
    lines = record(to_json({"text": f"a{separator}b"}), "x").decode().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[1].removeprefix("data: ")) == {"text": f"a{separator}b"}


async def test_a_named_stream_ends_with_done() -> None:
    answer = await request(app_for(two_events()), "GET", "/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.body == (
        b'event: first\ndata: {"n":1}\n\n'
        b'id: 7\nevent: second\ndata: {"n":2}\n\n'
        b"event: done\ndata: [DONE]\n\n"
    )
    assert answer.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_a_data_only_stream_has_no_event_lines() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield record("{}")

    answer = await request(app_for(events(), is_named=False), "GET", "/")
    assert answer.body == b"data: {}\n\ndata: [DONE]\n\n"


async def test_silence_is_filled_with_comments_and_events_come_through() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(0.12)
        yield record("1", "x")
        await asyncio.sleep(0.12)

    answer = await request(app_for(events(), keepalive=0.05), "GET", "/")
    comments = [chunk for chunk in answer.chunks if chunk == KEEP_ALIVE]
    rest = [chunk for chunk in answer.chunks if chunk != KEEP_ALIVE]
    assert 2 <= len(comments) <= 5
    assert rest == [b"event: x\ndata: 1\n\n", b"event: done\ndata: [DONE]\n\n"]
    assert answer.chunks[0] == KEEP_ALIVE


async def test_a_failure_before_the_first_event_is_an_ordinary_error() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        raise InvalidRequest("no", param="p")
        yield record("never")

    answer = await request(app_for(events()), "GET", "/")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert json.loads(answer.body)["error"]["param"] == "p"


@pytest.mark.parametrize(
    ("is_named", "start"), [(True, b"event: error\ndata: "), (False, b"data: ")]
)
async def test_a_failure_later_is_an_error_event_and_the_end(is_named: bool, start: bytes) -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield record("{}")
        raise GenerationFailed("The engine broke.")

    answer = await request(app_for(events(), is_named=is_named), "GET", "/")
    assert answer.chunks[-1].startswith(start)
    assert json.loads(answer.chunks[-1].removeprefix(start)) == {
        "error": {
            "message": "The engine broke.",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    }
    assert b"[DONE]" not in answer.body
    assert answer.sent[-1]["more_body"] is False


async def test_a_bug_in_the_middle_gives_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield record("{}")
        raise RuntimeError("secret")

    answer = await request(app_for(events()), "GET", "/")
    assert b"secret" not in answer.body
    assert answer.headers["x-request-id"] in answer.chunks[-1].decode()
    assert len([record for record in caplog.records if record.exc_info]) == 1


async def test_a_client_that_leaves_ends_its_stream_at_once() -> None:
    gone = asyncio.Event()
    is_closed = False

    async def events() -> AsyncGenerator[bytes, None]:
        nonlocal is_closed
        try:
            yield record("1")
            gone.set()
            await asyncio.sleep(60)
        finally:
            is_closed = True

    answer = await asyncio.wait_for(request(app_for(events()), "GET", "/", gone=gone), 5)
    assert answer.chunks == [b"data: 1\n\n"]
    assert is_closed


async def test_a_slow_reader_does_not_hold_up_another() -> None:
    released = asyncio.Event()

    async def slow_client(app: ASGIApp) -> None:
        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            await released.wait()

        scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {}}
        await app(scope, receive, send)

    slow = asyncio.create_task(slow_client(app_for(two_events())))
    answer = await asyncio.wait_for(request(app_for(two_events()), "GET", "/"), 5)
    assert answer.body.endswith(b"[DONE]\n\n")
    released.set()
    await slow


async def test_a_closed_socket_is_the_end_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        raise OSError("gone")

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app_for(two_events())(scope, receive, send)

    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {}}
    await call(scope, receive, send)
    assert not caplog.records


async def test_a_reader_that_leaves_closes_what_it_read() -> None:
    """At once, wherever the stream stands: also while a record is being sent."""
    closed: list[bool] = []
    gone, sending = asyncio.Event(), asyncio.Event()

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield record("{}")
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            sending.set()
            await asyncio.sleep(60)

    stream = EventStream(events(), is_named=True, keepalive_seconds=60)
    serving = asyncio.create_task(stream({"type": "http"}, receive, send))
    await asyncio.wait_for(sending.wait(), 5)
    gone.set()
    await asyncio.wait_for(serving, 5)
    assert closed == [True]
