"""What tests of the snapshot store share."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from localassist.engine.snapshots import PENDING, SnapshotStore

FINGERPRINT = "a" * 64
MB = 2**20

OpenStore = Callable[..., SnapshotStore]


def content(seed: int, size: int = 1000) -> memoryview:
    return memoryview(random.Random(seed).randbytes(size))


def fetch(store: SnapshotStore, key: bytes) -> bytes | None:
    """Ask until there is an answer."""
    deadline = time.monotonic() + 20
    while (data := store.fetch(key)) is PENDING:
        assert time.monotonic() < deadline, "the snapshot never arrives"
        time.sleep(0.001)
    assert data is not PENDING
    return None if data is None else bytes(data)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
