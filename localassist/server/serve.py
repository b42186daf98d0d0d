"""Serve a runtime on a socket until a signal ends it.

Refuses, before anything is served, to let a whole network in without an API key.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from localassist.errors import ConfigError
from localassist.observability.tracing import exported
from localassist.offline import is_loopback
from localassist.runs.shutdown import Shutdown
from localassist.runtime import open_keys, open_runtime
from localassist.server import notify
from localassist.server.app import create_app
from localassist.server.config import ServerSettings
from localassist.server.protocol import with_body_seconds

if TYPE_CHECKING:
    from localassist.settings import Settings

Stopping = tuple[Shutdown, float]
"""What ends the work, and the seconds that it may take."""

_BACKLOG = 2048
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# How long the engine's thread may have to wait for the interpreter while requests are worked on.
# Python's own 5 ms are a tenth of a step of a small model.
_SWITCH_SECONDS = 0.0005


def run_server(
    settings: Settings,
    on_ready: Callable[[str, bool], None],
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Serve until SIGINT or SIGTERM; ``on_ready`` is told the base URL, and whether callers need a
    key, once requests are taken. ``say`` gets what happens after the signal, in a few words.

    The first signal lets what is under way finish, for ``server.shutdown_seconds``; the second
    parks it at once; the third waits for no connection.

    Raises ConfigError when the address must not or cannot be listened on.
    """
    is_guarded = bool(settings.server.api_keys) or asyncio.run(_has_keys(settings))
    check_exposure(settings.server, is_guarded=is_guarded)
    with listen(settings.server) as listener:
        with exported(settings.tracing):
            _run(_serve(settings, listener, lambda url: on_ready(url, is_guarded), say))


async def _has_keys(settings: Settings) -> bool:
    async with open_keys(settings) as keys:
        return await keys.are_asked_for()


def _run(serving: Coroutine[Any, Any, None]) -> None:
    """On uvloop where it exists: sending costs less on it than on the library's own loop."""
    if sys.platform == "win32":
        asyncio.run(serving)
    else:
        import uvloop

        uvloop.run(serving)


def check_exposure(settings: ServerSettings, *, is_guarded: bool) -> None:
    """Raise ConfigError when other machines could use the server without a key."""
    is_allowed = is_guarded or settings.allow_unauthenticated_network
    if not is_allowed and not is_loopback(settings.host):
        raise ConfigError(
            f"{settings.host} can be reached by other machines, and there is no API key. Make one "
            "with: localassist keys create NAME. Or give one with --api-key, or serve it anyway "
            "with --allow-unauthenticated-network."
        )


class _Server(uvicorn.Server):
    """Stops on a signal, once what is under way has come to rest, and does not raise the signal
    again: the runtime is still to be closed."""

    def __init__(
        self,
        config: uvicorn.Config,
        stopping: Stopping,
        on_ready: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._on_ready = on_ready
        self._say = say
        self._drain: asyncio.Task[None] | None = None
        self._urgent = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # From here on requests are answered and signals heard.
        self._on_ready()
        notify.notify(notify.READY)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drain is None:
            self._drain = asyncio.get_running_loop().create_task(self._wind_down())
        elif not self._urgent.is_set():
            self._urgent.set()
        else:
            self.force_exit = True

    async def _wind_down(self) -> None:
        """Requests are answered as long as this takes; afterwards connections are closed."""
        notify.notify(notify.STOPPING)
        shutdown, seconds = self._stopping
        try:
            if shutdown.under_way and seconds > 0:
                self._say(
                    f"Stopping: what is under way ({shutdown.under_way}) may finish within "
                    f"{seconds:g} seconds. Press Ctrl-C to park it now."
                )
            parked = await shutdown.drain(seconds, self._urgent)
            if parked:
                what = "1 run is" if parked == 1 else f"{parked} runs are"
                self._say(f"{what} parked: the next start goes on with what was said so far.")
        finally:
            self.should_exit = True


async def _serve(
    settings: Settings,
    listener: socket.socket,
    on_ready: Callable[[str], None],
    say: Callable[[str], None],
) -> None:
    async with open_runtime(settings) as runtime:
        config = uvicorn.Config(
            create_app(runtime, settings.server),
            log_config=None,
            access_log=False,
            lifespan="off",
            http=with_body_seconds(settings.server.body_seconds),
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=settings.server.shutdown_grace_seconds,
        )
        url = base_url(settings.server.host, listener.getsockname()[1])
        stopping = runtime.shutdown, settings.server.shutdown_seconds
        server = _Server(config, stopping, lambda: on_ready(url), say)
        _settle()
        runtime.models.prepare_default()
        await server.serve(sockets=[listener])


def _settle() -> None:
    """Tune the interpreter for a long life; only for a process that does nothing but serve."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    # What the imports made stays. A collection that walks through it all stops every stream for a
    # tenth of a second and more.
    gc.freeze()


def base_url(host: str, port: int) -> str:
    """What a client on this machine puts into ``OPENAI_BASE_URL``."""
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def listen(settings: ServerSettings) -> socket.socket:
    """The listening socket, so that a port in use is reported before a model is loaded."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sends small packets at once only on sockets that are TCP by name; otherwise a client
    # that keeps its connection open waits 40 ms for the second half of each answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        # Two servers may both bind; only one of them may listen.
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise ConfigError(
            f"Cannot listen on {settings.host}:{settings.port}: {exc.strerror or exc}."
        ) from exc
    return listener
