"""Memory that no process shows is seen all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from localassist.sandbox.providers.unowned import NAME_BYTES, unowned_bytes
from localassist.sandbox.starting import Started
from tests.sandbox.kernels import a_kernel, said

pytestmark = pytest.mark.sandbox

MB = 1 << 20


@pytest_asyncio.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Started]:
    started = await a_kernel(tmp_path)
    yield started
    await started.close()


async def test_a_kernel_at_rest_has_next_to_nothing(kernel: Started) -> None:
    assert kernel.provisioner.unowned_bytes() < MB


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "/home/sandbox"])
async def test_files_in_memory(kernel: Started, folder: str) -> None:
    assert await said(kernel, f"open('{folder}/a', 'wb').write(bytes(9 << 20))") == str(9 * MB)
    assert 9 * MB <= kernel.provisioner.unowned_bytes() < 11 * MB


async def test_names_of_empty_files(kernel: Started) -> None:
    await said(kernel, "for n in range(3000): open(f'/tmp/{n}', 'w').close()")
    assert kernel.provisioner.unowned_bytes() >= 3000 * NAME_BYTES


async def test_what_waits_in_sockets(kernel: Started) -> None:
    code = """
import socket
pairs, waiting = [], 0
for _ in range(200):
    pairs.append(socket.socketpair())
    for end in pairs[-1]:
        end.setblocking(False)
        try:
            while True: waiting += end.send(bytes(65536))
        except BlockingIOError: pass
waiting"""
    waiting = int(await said(kernel, code))
    assert waiting > 50 * MB
    # Each end of a socket beyond the free ones counts with the most it could hold.
    assert kernel.provisioner.unowned_bytes() > waiting


async def test_a_kernel_that_is_gone(kernel: Started) -> None:
    pid = kernel.provisioner.root_pid()
    await kernel.close()
    assert pid is not None and unowned_bytes(pid) == 0
    assert kernel.provisioner.unowned_bytes() == 0
