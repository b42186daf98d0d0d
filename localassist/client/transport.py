"""The SDK's HTTP transport without HTTP: requests go straight into the ASGI app.

Each chunk the app sends can be read at once; the transports that ship with the HTTP libraries
collect the whole body first, which turns a stream of events into a single late lump. The app runs
on the runtime's loop thread; a slow reader holds back only its own answer.

Current SDK majors are built on ``httpx2``, older ones on ``httpx``. Both have the interface used
here, and the module to use is the one the installed SDK itself uses.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, MutableMapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import openai

from localassist.client.bridge import LoopThread

if TYPE_CHECKING:
    import httpx2 as http
else:
    modules = (base.__module__.partition(".")[0] for base in openai.DefaultHttpxClient.__mro__)
    http = import_module(next(name for name in modules if name in ("httpx2", "httpx")))

__all__ = ["BASE_URL", "App", "AsyncInProcessTransport", "InProcessTransport", "http"]

T = TypeVar("T")
Message = MutableMapping[str, Any]
App = Callable[..., Awaitable[None]]
NextChunk = Callable[[], Awaitable[bytes | None]]

BASE_URL = "http://localassist/v1"
_CHUNKS_AHEAD = 16


class InProcessTransport(http.BaseTransport):
    """For ``openai.OpenAI``: blocks the calling thread, never the loop."""

    def __init__(self, app: App, loop: LoopThread, on_close: Callable[[], None]) -> None:
        self._app = app
        self._loop = loop
        self._on_close: Callable[[], None] | None = on_close

    def handle_request(self, request: http.Request) -> http.Response:
        assert isinstance(request.stream, http.SyncByteStream)
        body = iter(request.stream)

        async def read_file() -> bytes | None:
            # The caller's file may block: not on the loop.
            return await asyncio.to_thread(next, body, None)

        exchange = _Exchange(self._app, request, _from_memory(request) or read_file)
        try:
            status, headers = self._wait(exchange.start(), request)
        except BaseException:
            self._loop.submit(exchange.close())
            raise
        stream = _SyncBody(lambda: self._wait(exchange.next_chunk(), request), exchange, self._loop)
        return http.Response(status, headers=headers, stream=stream, request=request)

    def close(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def _wait(self, coroutine: Coroutine[Any, Any, T], request: http.Request) -> T:
        try:
            return self._loop.call(coroutine, _read_timeout(request))
        except concurrent.futures.TimeoutError as exc:
            raise http.ReadTimeout("No answer in time.", request=request) from exc


class AsyncInProcessTransport(http.AsyncBaseTransport):
    """For ``openai.AsyncOpenAI``: the caller's loop awaits what happens on the runtime's loop."""

    def __init__(self, app: App, loop: LoopThread, on_close: Callable[[], None]) -> None:
        self._app = app
        self._loop = loop
        self._on_close: Callable[[], None] | None = on_close

    async def handle_async_request(self, request: http.Request) -> http.Response:
        assert isinstance(request.stream, http.AsyncByteStream)
        body = aiter(request.stream)
        callers_loop = asyncio.get_running_loop()

        async def read_here() -> bytes | None:
            return await anext(body, None)

        async def read_there() -> bytes | None:
            future = asyncio.run_coroutine_threadsafe(read_here(), callers_loop)
            return await asyncio.wrap_future(future)

        exchange = _Exchange(self._app, request, _from_memory(request) or read_there)
        try:
            status, headers = await self._wait(exchange.start(), request)
        except BaseException:
            self._loop.submit(exchange.close())
            raise
        stream = _AsyncBody(
            lambda: self._wait(exchange.next_chunk(), request), exchange, self._loop
        )
        return http.Response(status, headers=headers, stream=stream, request=request)

    async def aclose(self) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            await asyncio.to_thread(on_close)

    async def _wait(self, coroutine: Coroutine[Any, Any, T], request: http.Request) -> T:
        future = asyncio.wrap_future(self._loop.submit(coroutine))
        try:
            return await asyncio.wait_for(future, _read_timeout(request))
        except asyncio.TimeoutError as exc:
            raise http.ReadTimeout("No answer in time.", request=request) from exc


class _Exchange:
    """One request on its way through the app. Every method runs on the runtime's loop."""

    def __init__(self, app: App, request: http.Request, next_chunk: NextChunk) -> None:
        self._app = app
        self._scope = _scope(request)
        self._is_head = request.method == "HEAD"
        self._next_chunk = next_chunk
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue(_CHUNKS_AHEAD)
        self._gone = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_body_read = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Run the app until it has decided on a status."""
        self._task = asyncio.create_task(self._serve())
        message = await self._take()
        if message is None:
            raise http.RemoteProtocolError("The application ended without an answer.")
        return message["status"], list(message["headers"])

    async def next_chunk(self) -> bytes | None:
        """The next piece of the body, None after the last."""
        while (message := await self._take()) is not None:
            if message.get("body") and not self._is_head:
                return bytes(message["body"])
        return None

    async def close(self) -> None:
        """The reader has gone away. The app is told, as by a closed connection, not cancelled."""
        self._gone.set()
        while not self._sent.empty():
            self._sent.get_nowait()
        # Another thread may be waiting for what will not come.
        self._sent.put_nowait(None)

    async def _serve(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception as exc:
            # Kept for the reader. Without one it would only keep the app's frames alive.
            self._failure = None if self._gone.is_set() else exc
        finally:
            if not self._gone.is_set():
                await self._sent.put(None)

    async def _take(self) -> Message | None:
        message = await self._sent.get()
        if message is None and self._failure is not None:
            raise http.RemoteProtocolError("The application broke off.") from self._failure
        return message

    async def _receive(self) -> Message:
        if self._is_body_read:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        chunk = await self._next_chunk()
        self._is_body_read = chunk is None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            raise OSError("The client has gone away.")
        await self._sent.put(message)


class _SyncBody(http.SyncByteStream):
    def __init__(
        self, read: Callable[[], bytes | None], exchange: _Exchange, loop: LoopThread
    ) -> None:
        self._read = read
        self._exchange = exchange
        self._loop = loop

    def __iter__(self) -> Iterator[bytes]:
        while (chunk := self._read()) is not None:
            yield chunk

    def close(self) -> None:
        """Does not wait: the garbage collector calls it in any thread, also in one of those that
        the loop waits for."""
        with suppress(RuntimeError):  # The client was closed before its stream.
            self._loop.submit(self._exchange.close())


class _AsyncBody(http.AsyncByteStream):
    def __init__(self, read: NextChunk, exchange: _Exchange, loop: LoopThread) -> None:
        self._read = read
        self._exchange = exchange
        self._loop = loop

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._read()) is not None:
            yield chunk

    async def aclose(self) -> None:
        with suppress(RuntimeError):
            await asyncio.wrap_future(self._loop.submit(self._exchange.close()))


def _scope(request: http.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": None,
        "root_path": "",
    }


def _from_memory(request: http.Request) -> NextChunk | None:
    """A reader for a body that is already there, as every JSON body is; None for files."""
    if not isinstance(request.stream, http.ByteStream):
        return None
    chunks = iter(request.stream)

    async def read() -> bytes | None:
        return next(chunks, None)

    return read


def _read_timeout(request: http.Request) -> float | None:
    timeout: float | None = request.extensions.get("timeout", {}).get("read")
    return timeout
