"""A fixture that writes tiny GGUF files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.registry.gguf_files import gguf

WriteGguf = Callable[..., Path]


@pytest.fixture
def write_gguf(tmp_path: Path) -> WriteGguf:
    """Write ``gguf(**changes)`` to a file of the test's folder."""

    def write(name: str = "tiny.gguf", **changes: Any) -> Path:
        path = tmp_path / name
        path.write_bytes(gguf(**changes))
        return path

    return write
