"""One event loop on a thread of its own, so that synchronous callers can use asynchronous code.

The only place where colours meet: nothing else in the package blocks on a coroutine. Knows nothing
of what it runs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """A running event loop. ``submit`` may be used from any thread and from a finalizer, ``call``
    from any thread but the loop's own."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        # The garbage collector may close a forgotten stream, and with that submit, in a submit.
        self._lock = threading.RLock()
        self._is_closed = False
        # A daemon: a program that forgets to close must still be able to end.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine on the loop; the future belongs to the caller's thread.

        Raises RuntimeError once the loop is closed.
        """
        with self._lock:
            if not self._is_closed:
                return asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        coroutine.close()
        raise RuntimeError("This client is closed.")

    def call(self, coroutine: Coroutine[Any, Any, T], timeout_seconds: float | None = None) -> T:
        """Run a coroutine to its end and return its result.

        When the wait is given up (TimeoutError, KeyboardInterrupt) the coroutine is cancelled.
        """
        future = self.submit(coroutine)
        try:
            return future.result(timeout_seconds)
        except FutureTimeoutError as exc:  # a class of its own before Python 3.11
            future.cancel()
            raise TimeoutError from exc
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what is still running, then end the loop and its thread. May be called twice."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._cancel_rest()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()

    def _cancel_rest(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
