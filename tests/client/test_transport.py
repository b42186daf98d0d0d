import asyncio
import io
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from localassist.client.bridge import LoopThread
from localassist.client.transport import (
    AsyncInProcessTransport,
    InProcessTransport,
    _Exchange,
    http,
)

URL = "http://localassist"


class Trickle:
    """An endpoint that sends chunks only when the test lets it, and sees the reader leave."""

    def __init__(self) -> None:
        self.may_send = threading.Semaphore(0)
        self.sent = 0
        self.left = threading.Event()

    async def __call__(self, request: Request) -> Response:
        return StreamingResponse(self._chunks())

    async def _chunks(self):  # type: ignore[no-untyped-def]
        try:
            while True:
                await asyncio.to_thread(self.may_send.acquire, timeout=5)
                self.sent += 1
                yield f"chunk {self.sent}"
        finally:
            self.left.set()


async def echo(request: Request) -> Response:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return PlainTextResponse(str(size), headers={"x-query": request.url.query})


async def sleep(request: Request) -> Response:
    await asyncio.sleep(60)
    return Response()


async def flood(request: Request) -> Response:
    async def chunks():  # type: ignore[no-untyped-def]
        for _ in range(1000):
            request.app.state.produced += 1
            yield b"x" * 1000

    request.app.state.produced = 0
    return StreamingResponse(chunks())


async def crash(request: Request) -> Response:
    raise RuntimeError("bug")


@pytest.fixture
def trickle() -> Trickle:
    return Trickle()


@pytest.fixture
def app(trickle: Trickle) -> Starlette:
    endpoints: dict[str, Callable[..., object]] = {
        "/trickle": trickle,
        "/echo": echo,
        "/sleep": sleep,
        "/flood": flood,
        "/crash": crash,
    }

    async def dispatch(request: Request) -> Response:
        response = await endpoints[request.url.path](request)  # type: ignore[misc]
        assert isinstance(response, Response)
        return response

    return Starlette(routes=[Route("/{path}", dispatch, methods=["GET", "POST"])])


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    loop = LoopThread("transport-test")
    yield loop
    loop.close()


@pytest.fixture
def client(app: Starlette, loop: LoopThread) -> Iterator[http.Client]:
    transport = InProcessTransport(app, loop, lambda: None)
    with http.Client(transport=transport, base_url=URL, timeout=5) as client:
        yield client


def test_chunks_arrive_while_the_app_is_still_at_work(
    client: http.Client, trickle: Trickle
) -> None:
    with client.stream("GET", "/trickle") as response:
        chunks = response.iter_raw()
        for number in (1, 2, 3):
            trickle.may_send.release()
            assert next(chunks) == f"chunk {number}".encode()
            assert trickle.sent == number
    assert trickle.left.wait(30), "the app was not told that the reader left"
    trickle.may_send.release()


def test_a_stream_may_be_closed_on_the_loops_own_thread(
    client: http.Client, loop: LoopThread, trickle: Trickle
) -> None:
    """Where the garbage collector comes upon one that was forgotten."""
    with client.stream("GET", "/trickle") as response:

        async def collect() -> None:
            response.stream.close()  # type: ignore[union-attr]

        loop.call(collect(), timeout_seconds=30)
        assert trickle.left.wait(30)
    trickle.may_send.release()


def test_bodies_from_memory_and_from_files_arrive_whole(client: http.Client) -> None:
    data = b"y" * 1_000_000
    assert client.post("/echo?a=b", content=data).text == "1000000"
    assert client.post("/echo", content=iter([data, data])).text == "2000000"
    form = client.post("/echo", files={"file": ("a.bin", io.BytesIO(data))})
    assert int(form.text) > 1_000_000
    assert client.get("/echo?a=b%20c").headers["x-query"] == "a=b%20c"
    assert client.head("/echo").content == b""


def test_a_slow_reader_holds_back_its_own_answer_only(client: http.Client, app: Starlette) -> None:
    with client.stream("GET", "/flood") as response:
        chunks = response.iter_raw()
        next(chunks)
        assert client.post("/echo", content=b"abc").text == "3"
        assert app.state.produced < 100
        assert 1000 + sum(map(len, chunks)) == 1_000_000


def test_the_read_timeout_is_kept(client: http.Client) -> None:
    started = time.monotonic()
    with pytest.raises(http.ReadTimeout):
        client.get("/sleep", timeout=0.05)
    assert time.monotonic() - started < 30


def test_an_app_that_breaks_off_is_a_transport_error(loop: LoopThread) -> None:
    async def broken(scope: object, receive: object, send: object) -> None:
        raise RuntimeError("bug")

    transport = InProcessTransport(broken, loop, lambda: None)
    with http.Client(transport=transport) as client, pytest.raises(http.RemoteProtocolError):
        client.get(URL)


def test_closing_tells_once(app: Starlette, loop: LoopThread) -> None:
    closed: list[bool] = []
    transport = InProcessTransport(app, loop, lambda: closed.append(True))
    transport.close()
    transport.close()
    assert closed == [True]


def test_a_stream_may_outlive_its_loop(
    client: http.Client, trickle: Trickle, loop: LoopThread
) -> None:
    trickle.may_send.release()
    with client.stream("GET", "/trickle") as response:
        next(response.iter_raw())
        trickle.may_send.release(20)
        loop.close()


async def test_the_async_transport_streams_across_loops(
    app: Starlette, loop: LoopThread, trickle: Trickle
) -> None:
    async def chunked():  # type: ignore[no-untyped-def]
        for _ in range(3):
            yield b"abc"

    transport = AsyncInProcessTransport(app, loop, lambda: None)
    async with http.AsyncClient(transport=transport, base_url=URL, timeout=5) as client:
        assert (await client.post("/echo", content=b"abcd")).text == "4"
        assert (await client.post("/echo", content=chunked())).text == "9"
        async with client.stream("GET", "/trickle") as response:
            chunks = response.aiter_raw()
            for number in (1, 2):
                trickle.may_send.release()
                assert await anext(chunks) == f"chunk {number}".encode()
        with pytest.raises(http.ReadTimeout):
            await client.get("/sleep", timeout=0.05)
        trickle.may_send.release(20)
        assert await asyncio.to_thread(trickle.left.wait, 5)


async def test_closing_a_response_ends_a_wait_for_its_next_chunk() -> None:
    async def silent(scope, receive, send):  # type: ignore[no-untyped-def]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        await receive()

    exchange = _Exchange(silent, http.Request("GET", URL), _nothing)
    await exchange.start()
    reading = asyncio.create_task(exchange.next_chunk())
    await asyncio.sleep(0.01)
    await exchange.close()
    assert await asyncio.wait_for(reading, 5) is None


async def _nothing() -> None:
    return None
