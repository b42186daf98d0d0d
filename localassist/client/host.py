"""Open runtimes inside this process, one per distinct settings, shared by the clients using them.

Two clients on one home see the same engine and the same threads. What is still open when the
interpreter exits is closed then.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from localassist.client.bridge import LoopThread
from localassist.client.transport import App
from localassist.runtime import open_runtime
from localassist.server.app import create_app

if TYPE_CHECKING:
    from localassist.runtime import Runtime
    from localassist.settings import Settings

_hosts: list[RuntimeHost] = []
_hosts_lock = threading.Lock()


class RuntimeHost:
    """A runtime and its app on a loop thread. ``acquire`` opens, the last ``release`` closes it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.users = 0
        self.loop = LoopThread("localassist")
        self._stop = asyncio.Event()
        self._runtime: Runtime | None = None
        ready: Future[App] = Future()
        self._open = self.loop.submit(self._run(ready))
        # A failed start ends the coroutine without making it ready.
        self._open.add_done_callback(lambda done: _pass_failure(done, ready))
        try:
            self.app = ready.result()
        except BaseException:
            self._open.cancel()
            self.loop.close()
            raise

    def prepare(self, model: str) -> None:
        """Begin to load a model. What fails is told to whoever uses it."""
        runtime = self._runtime
        assert runtime is not None, "it is open as soon as there is a host"

        async def begin() -> None:
            runtime.models.prepare(model)

        self.loop.submit(begin())

    def close(self) -> None:
        """Close the runtime in order, then its loop."""
        self.loop.call(_set(self._stop))
        try:
            self._open.result()
        finally:
            self.loop.close()

    async def _run(self, ready: Future[App]) -> None:
        """Hold the runtime open, entering and leaving it in one task."""
        async with open_runtime(self.settings) as runtime:
            self._runtime = runtime
            # Nobody can reach this app from outside the process: no key to ask for.
            ready.set_result(create_app(runtime, self.settings.server, asks_for_keys=False))
            await self._stop.wait()


def acquire(settings: Settings) -> RuntimeHost:
    """The open host for these settings, opened first when there is none."""
    with _hosts_lock:
        host = next((host for host in _hosts if host.settings == settings), None)
        if host is None:
            host = RuntimeHost(settings)
            _hosts.append(host)
        host.users += 1
        return host


def release(host: RuntimeHost) -> None:
    """One user less; the last one closes the host."""
    with _hosts_lock:
        host.users -= 1
        if host.users == 0 and host in _hosts:
            _hosts.remove(host)
            host.close()


def prepare(settings: Settings, model: str) -> None:
    """Begin to load a model where a runtime with these settings is open; not, where none is."""
    with _hosts_lock:
        for host in _hosts:
            if host.settings == settings:
                host.prepare(model)


def _close_all() -> None:
    with _hosts_lock:
        while _hosts:
            _hosts.pop().close()


# A closing runtime still works in threads, which thread pools refuse by the time ``atexit`` runs.
# They refuse from a hook of their own on; hooks run last in first out, and ours comes later.
importlib.import_module("concurrent.futures.thread")
getattr(threading, "_register_atexit", atexit.register)(_close_all)


async def _set(event: asyncio.Event) -> None:
    event.set()


def _pass_failure(done: Future[None], ready: Future[App]) -> None:
    if not ready.done():
        failure = None if done.cancelled() else done.exception()
        ready.set_exception(failure or RuntimeError("The runtime did not start."))
