"""Files of the largest size that is taken: the server never holds one in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from localassist.schemas.uploads import MAX_PART_BYTES
from localassist.services.files import MAX_FILE_BYTES
from tests.conformance.serving import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]
SCRIPT = str(Path(__file__).with_name("slow_server.py"))
MIB = 2**20


class Memory:
    """How much more memory a process has held at a time than when the watch began."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)
        (self._folder / "clear_refs").write_text("5")  # the peak is counted anew
        self._before = self._read("VmRSS")

    def growth_bytes(self) -> int:
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        (line,) = (
            line
            for line in (self._folder / "status").read_text().splitlines()
            if line.startswith(f"{name}:")
        )
        return int(line.split()[1]) * 1024


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(SCRIPT, str(tmp_path / "served"), "0")
    yield started
    started.kill()


def sparse(path: Path, size_bytes: int) -> Path:
    """A file of zeros that takes no space."""
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return path


def post(client: openai.OpenAI, path: Path) -> Any:
    """Sent in pieces: the official client would hold it in memory itself."""
    url = f"{client.base_url}files"
    with path.open("rb") as file:
        return client._client.post(
            url, files={"file": (path.name, file)}, data={"purpose": "assistants"}, timeout=600
        )


def test_the_largest_file_passes_through(server: Server, tmp_path: Path) -> None:
    client = server.client()
    client.files.list()
    memory = Memory(server.process.pid)
    answer = post(client, sparse(tmp_path / "big.txt", MAX_FILE_BYTES))
    assert answer.status_code == 200 and answer.json()["bytes"] == MAX_FILE_BYTES
    with client.files.with_streaming_response.content(answer.json()["id"]) as content:
        assert sum(map(len, content.iter_bytes(MIB))) == MAX_FILE_BYTES
    assert memory.growth_bytes() < 48 * MIB
    refused = post(client, sparse(tmp_path / "bigger.txt", MAX_FILE_BYTES + 1))
    assert refused.status_code == 413


def test_a_file_of_parts_is_put_together_on_disk(server: Server) -> None:
    client = server.client()
    parts = 6
    upload = client.uploads.create(
        bytes=parts * MAX_PART_BYTES,
        filename="big.txt",
        mime_type="text/plain",
        purpose="assistants",
    )
    data = bytes(MAX_PART_BYTES)
    memory = Memory(server.process.pid)
    part_ids = [client.uploads.parts.create(upload.id, data=data).id for _ in range(parts)]
    done = client.uploads.complete(upload.id, part_ids=part_ids, timeout=600)
    assert done.file is not None and done.file.bytes == parts * MAX_PART_BYTES
    assert memory.growth_bytes() < 48 * MIB
