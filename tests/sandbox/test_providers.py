"""What every provider owes a kernel, asked of each that works on this machine."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.providers import PROVIDERS, Provider
from localassist.sandbox.providers.container import NAME_PREFIX, Container
from localassist.sandbox.starting import Started, start
from localassist.sandbox.verdict import Verdict
from tests.sandbox.kernels import a_box, alive, ask, said, the_environment

pytestmark = pytest.mark.sandbox

# What engines start by default does not fit every layout of cgroups; either is enough.
RUNTIMES = (None, "runc", "crun")
DENIED = "PermissionError: [Errno 13] Permission denied: '/etc/passwd'"
ORPHAN = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execlp("sleep", "sleep", "600")
    os._exit(0)
"""
LIMITS: dict[str, Any] = {"memory_mb": 512, "processes": 40}


@functools.cache
def works(name: str) -> tuple[Provider, Verdict]:
    is_container = issubclass(PROVIDERS[name], Container)
    for runtime in RUNTIMES if is_container else (None,):
        settings = SandboxSettings(provider=name, container_runtime=runtime, **LIMITS)
        provider = PROVIDERS[name](settings)
        verdict = provider.probe(the_environment())
        if verdict.ok:
            break
    return provider, verdict


@pytest.fixture(params=sorted(PROVIDERS))
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    found, verdict = works(request.param)
    assert verdict.reasons or verdict.level == "strong"
    if not verdict.ok:
        pytest.skip(" ".join(verdict.reasons))
    yield found
    if isinstance(found, Container):
        assert containers(found) == ""


@pytest_asyncio.fixture
async def kernel(tmp_path: Path, provider: Provider) -> AsyncIterator[Started]:
    started = await start(provider, a_box(tmp_path, provider), provider.settings)
    yield started
    await started.close()


def containers(provider: Container) -> str:
    """Names of those that are left. An engine removes them shortly after their end."""
    deadline = time.monotonic() + 20
    while True:
        asked = ["ps", "--all", f"--filter=name={NAME_PREFIX}", "--format={{.Names}}"]
        found = provider.engine.run(asked).stdout.decode().strip()
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


async def test_code_runs_in_its_folder_and_can_be_interrupted(
    kernel: Started, provider: Provider, tmp_path: Path
) -> None:
    assert await said(kernel, "x = 41") == ""
    assert await said(kernel, "x + 1") == "42"
    (tmp_path / "data" / "given.txt").write_text("given")
    assert await said(kernel, "open('given.txt').read()") == "'given'"
    await said(kernel, "open('made.txt', 'w').write('made')")
    made = tmp_path / "data" / "made.txt"
    assert made.read_text() == "made"
    owner = provider.owner_uid()
    assert made.stat().st_uid == (os.getuid() if owner is None else owner) != 0
    endless = asyncio.create_task(said(kernel, "import time\nwhile True: time.sleep(0.05)"))
    while await asyncio.wait([endless], timeout=0.5) == (set(), {endless}):
        await kernel.provisioner.send_signal(signal.SIGINT)
    assert endless.result().startswith("KeyboardInterrupt")
    assert await said(kernel, "x") == "41"


async def test_what_the_level_promises(kernel: Started, provider: Provider) -> None:
    grown = "len(bytearray(700 << 20))"
    assert (await said(kernel, grown)).startswith("MemoryError")
    dial = "import socket; socket.create_connection(('127.0.0.1', 9), 2)"
    assert await said(kernel, "open('/etc/passwd').read().count('root') > 0") in (
        ("True",) if provider.level == "none" else ("False", DENIED)
    )
    if provider.level != "none":
        assert "Errno 97" in await said(kernel, dial)
        assert (await said(kernel, "open('/usr/planted', 'w')")).startswith(("OSError", "Perm"))
        # The service is not among what can be signalled.
        outcome = await said(kernel, f"import os; os.kill({os.getpid()}, 0)")
        assert outcome.startswith(("ProcessLookupError", "PermissionError"))


async def test_landlock_keeps_what_it_cannot_name(
    kernel: Started, provider: Provider, tmp_path: Path
) -> None:
    """Files that are not opened, and what belongs to other processes of the same user."""
    if provider.name != "landlock":
        pytest.skip("namespaces do that")
    await said(kernel, "import os, shutil; open('mine', 'w').close()")
    mine = tmp_path / "data" / "mine"
    before = mine.stat()
    code = "os.chmod('mine', 0o777); os.utime('mine', (1, 1)); shutil.copy2('mine', 'copy')"
    assert await said(kernel, code) == "'copy'"
    after = mine.stat()
    assert (before.st_mode, before.st_mtime) == (after.st_mode, after.st_mtime)
    for change in ("os.sched_setaffinity({}, {{0}})", "os.setpriority(os.PRIO_PROCESS, {}, 19)"):
        assert (await said(kernel, change.format(os.getpid()))).startswith("PermissionError")


async def test_the_number_of_processes(kernel: Started, provider: Provider) -> None:
    if provider.level != "strong":
        pytest.skip("the watchdog counts them")
    many = """
import subprocess
started = []
try:
    for _ in range(100): started.append(subprocess.Popen(["sleep", "60"]))
except BlockingIOError:
    print("refused")
for process in started: process.kill(); process.wait()
"""
    assert await said(kernel, many) == "refused"
    assert await said(kernel, "1 + 1") == "2"


async def test_nothing_is_left_of_a_closed_kernel(tmp_path: Path, provider: Provider) -> None:
    kernel = await start(provider, a_box(tmp_path, provider), provider.settings)
    await said(kernel, "import subprocess; subprocess.Popen(['setsid', 'sleep', '600'])")
    await said(kernel, ORPHAN)
    pids = kernel.provisioner.pids()
    assert len(pids) >= 4
    await kernel.close()
    assert alive(pids) == []


SERVICE = """
import asyncio, sys, time
from pathlib import Path
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.sandbox.providers import PROVIDERS, Box
from localassist.sandbox.starting import start

async def main(name, runtime, folder, data, environment, base):
    settings = SandboxSettings(provider=name, container_runtime=runtime or None)
    box = Box(Path(folder), Path(data), Path(environment), Path(base), Limits.of(settings))
    kernel = await start(PROVIDERS[name](settings), box, settings)
    code = "import subprocess; subprocess.Popen(['setsid', 'sleep', '600'])\\nwhile True: pass"
    _, frames = kernel.channels.request("execute_request", {"code": code})
    await kernel.channels.shell.send(frames)
    while len(kernel.provisioner.pids()) < 3: await asyncio.sleep(0.05)
    print(*kernel.provisioner.pids(), flush=True)
    await asyncio.sleep(600)

asyncio.run(main(*sys.argv[1:]))
"""


def test_nothing_outlives_a_killed_service(tmp_path: Path, provider: Provider) -> None:
    box = a_box(tmp_path, provider)
    settings = provider.settings
    told = (settings.provider, settings.container_runtime or "", box.folder, box.data)
    service = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SERVICE,
            *map(str, told),
            str(box.environment),
            str(box.python_base),
        ],
        stdout=subprocess.PIPE,
    )
    with service:
        assert service.stdout is not None
        try:
            pids = [int(pid) for pid in service.stdout.readline().split()]
        finally:
            service.send_signal(signal.SIGKILL)
        assert len(pids) >= 3
        deadline = time.monotonic() + 20
        while alive(pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert alive(pids) == []


async def test_a_kernel_that_ends_itself_is_seen(kernel: Started) -> None:
    await ask(kernel, "import os; os._exit(3)")
    assert await asyncio.wait_for(kernel.provisioner.wait(), 20) != 0
    assert kernel.provisioner.pids() == []
