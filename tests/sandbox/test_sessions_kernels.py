"""Sessions with kernels under isolation: state, many at once, and nothing that is left."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from localassist.errors import KernelStartFailed, SandboxUnavailable
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.kernel import Kernel
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import Logs
from localassist.sandbox.process_usage import started_at
from localassist.sandbox.session import Session
from localassist.sandbox.session_folders import SessionFolder
from localassist.sandbox.sessions import Sessions
from tests.sandbox.kernels import alive, the_environment

pytestmark = pytest.mark.sandbox


def settings(**changes: object) -> SandboxSettings:
    known = {"environment": the_environment().folder, "preload": (), "warm_kernels": 0}
    return SandboxSettings.model_validate({**known, **changes})


async def printed(session: Session, code: str) -> str:
    outputs = [output async for output in session.kernel.execute(code)]
    return "".join(output.text for output in outputs if isinstance(output, Logs))


def pids(session: Session) -> list[int]:
    assert isinstance(session.kernel, Kernel)
    return session.kernel.pids()


async def test_state_is_kept_for_a_key_and_not_for_others(tmp_path: Path) -> None:
    sessions = Sessions(settings(), tmp_path)
    limits = Limits.of(settings())
    try:
        async with sessions.lease("a", limits) as session:
            assert await printed(session, "x = 41; open('kept', 'w').close()") == ""
            assert (session.data / "kept").exists()
            data = session.data
        async with sessions.lease("a", limits) as session:
            assert await printed(session, "x + 1") == "42\n"
        async with sessions.lease("b", limits) as session:
            assert "NameError" in await printed(session, "x")
            assert await printed(session, "import os; os.listdir()") == "[]\n"
            await printed(session, "os._exit(3)")
        async with sessions.lease("b", limits) as session:
            assert session.notice is not None and "with status 3" in session.notice
        await sessions.drop("a")
        assert not data.exists()
    finally:
        await sessions.close()
    assert [path.name for path in (tmp_path / "sandbox" / "sessions").iterdir()] == ["lock"]


async def test_many_kernels_at_once_and_nothing_is_left(tmp_path: Path) -> None:
    many = settings(max_kernels=20)
    sessions = Sessions(many, tmp_path)
    seen: list[int] = []

    async def use(number: int) -> str:
        async with sessions.lease(str(number), Limits.of(many)) as session:
            text = await printed(session, f"import time; time.sleep(0.2); {number} * 2")
            seen.extend(pids(session))
            return text

    try:
        answers = await asyncio.gather(*(use(number) for number in range(20)))
        assert answers == [f"{number * 2}\n" for number in range(20)]
        assert sessions.counts()["kernels"] == 20
    finally:
        await sessions.close()
    assert [pid for pid in seen if started_at(pid) is not None] == []
    assert [path.name for path in (tmp_path / "sandbox" / "sessions").iterdir()] == ["lock"]


async def test_a_kernel_that_does_not_start(tmp_path: Path) -> None:
    broken = settings(preload=("no_such_module",))
    sessions = Sessions(broken, tmp_path)
    try:
        with pytest.raises(KernelStartFailed, match="no_such_module"):
            await sessions.acquire("a", Limits.of(broken))
    finally:
        await sessions.close()
    assert [path.name for path in (tmp_path / "sandbox" / "sessions").iterdir()] == ["lock"]


SERVICE = """
import asyncio, sys
from pathlib import Path
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.limits import Limits
from localassist.sandbox.sessions import Sessions

async def main():
    settings = SandboxSettings(environment=Path(sys.argv[2]), preload=(), warm_kernels=0)
    sessions = Sessions(settings, Path(sys.argv[1]))
    busy = await sessions.acquire("a", Limits.of(settings))
    idle = await sessions.acquire("b", Limits.of(settings))
    print(*busy.kernel.pids(), *idle.kernel.pids(), flush=True)
    code = "import subprocess\\nsubprocess.Popen(['sleep', '600'])\\nwhile True: pass"
    async for _ in busy.kernel.execute(code):
        pass

asyncio.run(main())
"""


def test_a_killed_service_takes_its_kernels_along(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVICE, str(tmp_path), str(the_environment().folder)]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout is not None
        kernels = [int(pid) for pid in service.stdout.readline().split()]
        assert len(kernels) >= 4
        time.sleep(0.5)
    finally:
        os.kill(service.pid, signal.SIGKILL)
        service.communicate()
    deadline = time.monotonic() + 20
    while any(started_at(pid) is not None for pid in kernels) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in kernels if started_at(pid) is not None] == []
    assert len(list((tmp_path / "sandbox" / "sessions").iterdir())) == 3

    async def next_service() -> None:
        sessions = Sessions(settings(), tmp_path)
        async with sessions.lease("c", Limits.of(settings())):
            assert len(list((tmp_path / "sandbox" / "sessions").iterdir())) == 2
        await sessions.close()

    asyncio.run(next_service())
    assert [path.name for path in (tmp_path / "sandbox" / "sessions").iterdir()] == ["lock"]


async def test_a_kernel_that_cannot_be_recorded_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk must not leave kernels behind that nobody knows of."""
    recorded: list[int] = []

    def full(folder: SessionFolder, pids: Iterable[int]) -> None:
        recorded.extend(pids)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SessionFolder, "record", full)
    sessions = Sessions(settings(), tmp_path)
    try:
        with pytest.raises(SandboxUnavailable, match="No space left"):
            await sessions.acquire("a", Limits.of(settings()))
        assert recorded and alive(recorded) == []
        assert folders(tmp_path) == []
    finally:
        await sessions.close()


async def test_a_kernel_that_nobody_waits_for_any_more_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[int] = []
    begun, going_on = threading.Event(), threading.Event()

    def slow(folder: SessionFolder, pids: Iterable[int]) -> None:
        recorded.extend(pids)
        begun.set()
        going_on.wait(20)

    monkeypatch.setattr(SessionFolder, "record", slow)
    sessions = Sessions(settings(), tmp_path)
    try:
        waiting = asyncio.create_task(sessions.acquire("a", Limits.of(settings())))
        assert await asyncio.to_thread(begun.wait, 60)
        waiting.cancel()
        going_on.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert alive(recorded) == []
        assert folders(tmp_path) == []
    finally:
        await sessions.close()


def folders(home: Path) -> list[Path]:
    return [path for path in (home / "sandbox" / "sessions").iterdir() if path.is_dir()]
