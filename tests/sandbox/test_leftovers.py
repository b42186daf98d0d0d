"""Of a hundred kernels, and of a service that was killed while its kernels were busy: nothing."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.sandbox.sessions import Sessions
from tests.sandbox.kernels import alive, the_environment

pytestmark = [pytest.mark.sandbox, pytest.mark.slow, pytest.mark.timeout(300)]

KERNELS, AT_ONCE, BUSY = 100, 5, 3

SERVICE = """
import asyncio, json, sys
from pathlib import Path
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.sandbox.sessions import Sessions

CODE = "import subprocess; subprocess.Popen(['setsid', 'sleep', '99']); print(1)\\nwhile True: pass"

async def main(environment, home, kernels, at_once, busy):
    settings = SandboxSettings(environment=Path(environment), preload=(), warm_kernels=0)
    sessions = Sessions(settings, Path(home))
    limits = Limits.of(settings)
    seen = []

    async def one(key):
        async with sessions.lease(key, limits) as session:
            async for _ in session.kernel.execute("open('made', 'w').write('x')"):
                pass
            seen.extend(session.kernel.pids())
        await sessions.drop(key)

    for first in range(0, kernels, at_once):
        await asyncio.gather(*(one(str(n)) for n in range(first, first + at_once)))
    print(json.dumps(seen), flush=True)
    sys.stdin.readline()
    running = []
    for n in range(busy):
        session = await sessions.acquire(f"busy {n}", limits)
        outputs = session.kernel.execute(CODE)
        await anext(outputs)
        running.append((session, outputs, session.kernel.pids()))
    print(json.dumps([pid for *_, pids in running for pid in pids]), flush=True)
    await asyncio.sleep(600)

environment, home, *counts = sys.argv[1:]
asyncio.run(main(environment, home, *map(int, counts)))
"""


def test_nothing_is_left(tmp_path: Path) -> None:
    environment = the_environment().folder
    home = tmp_path / "home"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    counts = map(str, (KERNELS, AT_ONCE, BUSY))
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(environment), str(home), *counts],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert service.stdin is not None and service.stdout is not None
    with service:
        try:
            pids = json.loads(service.stdout.readline())
            assert len(pids) >= KERNELS
            assert alive(pids) == []
            assert folders(home) == list(temporary.iterdir()) == mounts(tmp_path) == []
            service.stdin.write(b"\n")
            service.stdin.flush()
            pids = json.loads(service.stdout.readline())
            assert len(alive(pids)) >= 2 * BUSY and len(folders(home)) == BUSY
        finally:
            service.kill()
    deadline = time.monotonic() + 20
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(pids) == []
    asyncio.run(use_once(SandboxSettings(environment=environment, preload=()), home))
    assert folders(home) == list(temporary.iterdir()) == mounts(tmp_path) == []


async def use_once(settings: SandboxSettings, home: Path) -> None:
    """What the next service does: its first kernel comes after what it has swept."""
    sessions = Sessions(settings, home)
    async with sessions.lease("next", Limits.of(settings)):
        assert len(folders(home)) <= 2  # its own, and one that may stand ready
    await sessions.close()


def folders(home: Path) -> list[str]:
    return [path.name for path in (home / "sandbox" / "sessions").iterdir() if path.is_dir()]


def mounts(below: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if str(below) in line]
