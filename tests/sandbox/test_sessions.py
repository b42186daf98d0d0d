"""Which kernel a key gets, and when kernels end; with kernels that are only pretended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from localassist.errors import KernelStartFailed, SandboxUnavailable, ShuttingDown
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.launcher import Launched
from localassist.sandbox.limits import Limits
from localassist.sandbox.outputs import CellOutput
from localassist.sandbox.session_folders import SessionFolders
from localassist.sandbox.sessions import Sessions

LIMITS = Limits.of(SandboxSettings())


class PretendedKernel:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.has_run = False
        self.because: str | None = None

    async def execute(self, code: str) -> AsyncGenerator[CellOutput, None]:
        self.has_run = True
        for output in ():
            yield output

    def allow(self, disk_bytes: int, files: int) -> None: ...

    def ended_because(self) -> str | None:
        return self.because

    async def check(self) -> bool:
        await asyncio.sleep(0)
        return self.because is None

    async def close(self, because: str = "it was closed") -> None:
        await asyncio.sleep(0)
        self.because = self.because or because


@dataclass
class PretendedLauncher:
    """Counts, and holds starts back while ``gate`` is shut."""

    folders: SessionFolders
    fails: list[Exception] = field(default_factory=list)
    kernels: list[PretendedKernel] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    swept: int = 0

    async def launch(self, limits: Limits) -> Launched:
        await self.gate.wait()
        if self.fails:
            raise self.fails.pop(0)
        self.kernels.append(PretendedKernel(limits))
        return Launched(self.kernels[-1], self.folders.create(None))

    async def sweep(self) -> None:
        self.swept += 1

    @property
    def alive(self) -> int:
        return sum(kernel.because is None for kernel in self.kernels)


@dataclass
class Place:
    sessions: Sessions
    launcher: PretendedLauncher
    time: list[float]
    folder: Path

    async def use(self, key: str, limits: Limits = LIMITS) -> tuple[PretendedKernel, str | None]:
        async with self.sessions.lease(key, limits) as session:
            notice = session.notice
            _ = [output async for output in session.kernel.execute("")]
            assert session.notice is None and not session.is_new
            assert isinstance(session.kernel, PretendedKernel)
            return session.kernel, notice

    def folders(self) -> int:
        return sum(path.is_dir() for path in self.folder.iterdir())


@pytest.fixture
async def make(tmp_path: Path) -> AsyncGenerator[Callable[..., Place], None]:
    places: list[Place] = []

    def place(**settings: Any) -> Place:
        launcher = PretendedLauncher(SessionFolders(tmp_path))
        launcher.gate.set()
        time = [0.0]
        sessions = Sessions(
            SandboxSettings(**{"warm_kernels": 0, **settings}),
            tmp_path,
            launcher=launcher,
            monotonic=lambda: time[0],
        )
        places.append(Place(sessions, launcher, time, tmp_path / "sandbox" / "sessions"))
        return places[-1]

    yield place
    for one in places:
        await one.sessions.close()
        assert one.launcher.alive == 0
        assert one.sessions.counts()["kernels"] == 0
        assert not one.folder.exists() or one.folders() == 0


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0.002)


Make = Callable[..., Place]


async def test_a_key_keeps_its_kernel(make: Make) -> None:
    place = make()
    first, notice = await place.use("a")
    assert (await place.use("a"))[0] is first and notice is None
    other, _ = await place.use("b")
    assert other is not first
    assert place.sessions.counts() == {
        "kernels": 2,
        "busy": 0,
        "idle": 2,
        "warm": 0,
        "started": 2,
        "evicted": 0,
        "expired": 0,
        "died": 0,
    }
    assert place.launcher.swept == 1


async def test_one_lease_of_a_key_at_a_time(make: Make) -> None:
    place = make()
    async with place.sessions.lease("a", LIMITS) as session:
        second = asyncio.create_task(place.use("a"))
        third = asyncio.create_task(place.use("a"))
        await settled()
        assert not second.done() and place.sessions.counts()["busy"] == 1
        third.cancel()
    assert (await second)[0] is session.kernel
    assert place.sessions.counts()["busy"] == 0


async def test_the_one_idle_longest_makes_room(make: Make) -> None:
    place = make(max_kernels=2)
    kernels = {}
    for key in "abac":
        place.time[0] += 1
        kernels[key], _ = await place.use(key)
    assert kernels["b"].because == "other code needed its place"
    assert kernels["a"].because is None and place.launcher.alive == 2
    _, notice = await place.use("b")
    assert notice == (
        "The kernel was started anew, because other code needed its place; variables are lost."
    )
    assert (await place.use("b"))[1] is None
    assert place.sessions.counts()["evicted"] == 2


async def test_who_comes_first_gets_the_next_place(make: Make) -> None:
    place = make(max_kernels=1)
    order = []

    async def use(key: str) -> None:
        await place.use(key)
        order.append(key)

    async with place.sessions.lease("held", LIMITS):
        waiting = []
        for key in "abcd":
            waiting.append(asyncio.create_task(use(key)))
            await settled()
        assert order == [] and place.launcher.alive == 1
        waiting[1].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert order == ["a", "c", "d"]
    assert place.launcher.alive == 1


async def test_never_more_than_allowed(make: Make) -> None:
    place = make(max_kernels=3, warm_kernels=2)
    most = 0

    async def use(number: int) -> None:
        nonlocal most
        async with place.sessions.lease(f"key {number % 7}", LIMITS):
            most = max(most, place.launcher.alive)
            await asyncio.sleep(0.001 * (number % 3))
        await place.sessions.tend()

    await asyncio.gather(*(use(number) for number in range(60)))
    assert most <= 3 and place.launcher.alive <= 3


async def test_quiet_kernels_end(make: Make) -> None:
    place = make(idle_seconds=60)
    kernel, _ = await place.use("a")
    async with place.sessions.lease("busy", LIMITS):
        place.time[0] += 61
        await place.sessions.tend()
        assert kernel.because == "it was not used for 1 minutes"
        assert place.sessions.counts()["busy"] == 1
    _, notice = await place.use("a")
    assert notice is not None and "not used for 1 minutes" in notice
    assert place.sessions.counts()["expired"] == 1


async def test_a_dead_kernel_is_replaced_and_its_key_told(make: Make) -> None:
    place = make()
    kernel, _ = await place.use("a")
    kernel.because = "it crashed (segmentation fault)"
    fresh, notice = await place.use("a")
    assert fresh is not kernel and notice is not None and "segmentation fault" in notice
    fresh.because = "it aborted"
    await place.sessions.tend()
    assert place.sessions.counts()["died"] == 2 and place.folders() == 0
    async with place.sessions.lease("a", LIMITS) as session:
        assert session.notice is not None  # a lease that runs nothing does not use it up
    assert (await place.use("a"))[1] is not None


async def test_a_start_that_fails_leaves_nothing(make: Make) -> None:
    place = make(max_kernels=1)
    kernel, _ = await place.use("a")
    kernel.because = "it aborted"
    place.launcher.fails = [KernelStartFailed("no"), SandboxUnavailable("never")]
    for error in (KernelStartFailed, SandboxUnavailable):
        with pytest.raises(error):
            await place.use("a")
    assert place.folders() == 0
    _, notice = await place.use("a")
    assert notice is not None and "it aborted" in notice


async def test_a_cancelled_start_gives_its_place_back(make: Make) -> None:
    place = make(max_kernels=1)
    place.launcher.gate.clear()
    first = asyncio.create_task(place.use("a"))
    await settled()
    second = asyncio.create_task(place.use("b"))
    await settled()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    place.launcher.gate.set()
    await second
    assert place.launcher.alive == 1


async def test_a_deleted_key_ends_its_kernel_even_in_use(make: Make) -> None:
    place = make()
    kernel, _ = await place.use("a")
    await place.sessions.drop("a")
    await place.sessions.drop("unknown")
    assert kernel.because == "what it belonged to was deleted" and place.folders() == 0
    async with place.sessions.lease("b", LIMITS) as session:
        await place.sessions.drop("b")
        assert session.kernel.ended_because() is not None
    place.launcher.gate.clear()
    starting = asyncio.create_task(place.use("c"))
    await settled()
    await place.sessions.drop("c")
    place.launcher.gate.set()
    await starting
    assert place.launcher.alive == 0
    assert (await place.use("a"))[1] is None


async def test_warm_kernels_are_handed_out(make: Make) -> None:
    place = make(warm_kernels=1)
    assert place.sessions.counts()["warm"] == 0
    await place.use("a")
    await place.sessions.tend()
    await settled()
    assert place.sessions.counts()["warm"] == 1
    warm = place.launcher.kernels[-1]
    assert (await place.use("b"))[0] is warm
    await place.sessions.tend()
    await settled()
    lower = LIMITS.lowered({"cell_seconds": 5})
    kernel, _ = await place.use("c", lower)
    assert kernel is place.launcher.kernels[2] and kernel.limits == lower
    await place.sessions.tend()
    await settled()
    assert (await place.use("d", LIMITS.lowered({"memory_mb": 300})))[0].limits.memory_mb == 300
    assert place.sessions.counts()["warm"] == 1  # that one was made for the limit
    place.launcher.kernels[3].because = "it aborted"
    assert (await place.use("e"))[0].because is None


async def test_warm_kernels_make_room(make: Make) -> None:
    place = make(warm_kernels=2, max_kernels=2)
    await place.use("a")
    await place.sessions.tend()
    await settled()
    assert place.launcher.alive == 2
    async with place.sessions.lease("a", LIMITS):
        await place.use("b", LIMITS.lowered({"memory_mb": 300}))
    assert place.sessions.counts()["evicted"] == 0 and place.launcher.alive == 2


async def test_failing_warm_starts_are_tried_less_and_less(make: Make) -> None:
    place = make(warm_kernels=1)
    await place.use("a")
    place.launcher.fails = [KernelStartFailed("no")] * 100
    tries = []
    for second in range(130):
        place.time[0] = float(second)
        left = len(place.launcher.fails)
        await place.sessions.tend()
        await asyncio.sleep(0.002)
        if len(place.launcher.fails) < left:
            tries.append(second)
    assert tries == [0, 1, 3, 7, 15, 31, 63, 127]


async def test_nothing_begins_after_the_end(make: Make) -> None:
    place = make(max_kernels=2)
    await place.use("idle")
    place.launcher.gate.clear()
    starting = asyncio.create_task(place.use("starting"))
    await settled()
    waiting = asyncio.create_task(place.use("waiting", LIMITS))
    await settled()
    closing = asyncio.create_task(place.sessions.close())
    await settled()
    place.launcher.gate.set()
    await closing
    for task in (starting, waiting):
        with pytest.raises(ShuttingDown):
            await task
    with pytest.raises(ShuttingDown):
        await place.use("later")
    assert place.launcher.alive == 0 and place.folders() == 0
