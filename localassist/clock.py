"""The only clock: whole UTC seconds for the wire, a monotonic one for durations."""

from __future__ import annotations

import time


def now() -> int:
    """Seconds since the epoch, UTC, whole."""
    return int(time.time())


def monotonic() -> float:
    """Seconds from an arbitrary start that never go back; for durations."""
    return time.monotonic()
