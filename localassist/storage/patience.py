"""How long writers wait for another process that holds an SQLite database: in all, not in turn.

Writes of a process stand in one queue. If each began to wait only at its head, the tenth would fail
after ten times the limit; here all that were asked for meanwhile have waited together.
"""

from __future__ import annotations

from threading import Lock
from typing import Any

from localassist import clock

_LEAST_SECONDS = 0.05  # the other process may have let go just now
_HAS = "busy_timeout_ms"


class Patience:
    """Of all writers of one process. Only one of them begins at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds
        self._lock = Lock()
        self._waited = 0.0
        self._waits_since: float | None = None

    def waited(self) -> float:
        """Seconds for which writers have waited until now, one after the other."""
        with self._lock:
            since = self._waits_since
            return self._waited + (0.0 if since is None else clock.monotonic() - since)

    def spend(self, asked_at: float) -> None:
        """The transaction that begins next was asked for when ``waited`` said ``asked_at``."""
        self._left = max(_LEAST_SECONDS, self._seconds - (self.waited() - asked_at))

    def begin(self, connection: Any) -> None:
        """Take the write lock, or raise OperationalError when there is no patience left."""
        timeout_ms = round(self._left * 1000)
        if connection.info.get(_HAS) != timeout_ms:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {timeout_ms}")
            connection.info[_HAS] = timeout_ms
        began = clock.monotonic()
        with self._lock:
            self._waits_since = began
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        finally:
            with self._lock:
                self._waits_since = None
                self._waited += clock.monotonic() - began
