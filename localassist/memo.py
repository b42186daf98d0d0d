"""Answers that are computed once for everybody who asks the same."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """The most recently used answers, within a number and a size. Thread-safe.

    Who asks while an answer is being computed waits for that one; errors reach all who wait and are
    not remembered.
    """

    def __init__(self, *, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._pending: dict[Key, Future[Value]] = {}
        self._closed: Exception | None = None
        self._lock = threading.Lock()  # held for moments only

    def get(self, key: Key, size_bytes: int, compute: Callable[[], Value]) -> Value:
        """The answer to ``key``; ``size_bytes`` is what keeping it takes. Raises what ``compute``
        raises, and after ``close`` its error."""
        with self._lock:
            if self._closed is not None:
                raise self._closed.with_traceback(None)
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept[0]
            pending = self._pending.get(key)
            is_first = pending is None
            if pending is None:
                pending = self._pending[key] = Future()
        if is_first:
            self._fulfil(key, size_bytes, compute, pending)
        return pending.result()

    def close(self, error: Exception) -> None:
        """Forget everything; whoever asks from now on gets the error. Waits for what is being
        computed."""
        with self._lock:
            self._closed = error
            pending = list(self._pending.values())
        wait(pending)
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept)

    def _fulfil(
        self, key: Key, size_bytes: int, compute: Callable[[], Value], pending: Future[Value]
    ) -> None:
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                del self._pending[key]
            pending.set_exception(error)
            return
        with self._lock:
            del self._pending[key]
            self._kept[key] = value, size_bytes
            self._bytes += size_bytes
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                _, (_, freed) = self._kept.popitem(last=False)
                self._bytes -= freed
        pending.set_result(value)
