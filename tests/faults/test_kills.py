"""A server is killed at random moments of every write path, again and again.

Each round many clients write, their server dies, sometimes its successor as well, and then all that
was acknowledged must be there, all that was begun must end, and the data folder be whole.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from localassist.runs.state import TERMINAL
from localassist.runtime import open_keys
from tests.conformance.serving import scripted_settings
from tests.faults import stories
from tests.faults.children import Child, Nursery
from tests.faults.invariants import DAY_SECONDS, violations
from tests.faults.stories import Api, Story, Told

SETTLED_SECONDS = 60


@dataclass
class Lives:
    """A data folder, the server that works on it at the moment, and what its clients know."""

    nursery: Nursery
    home: Path
    luck: random.Random
    has_kernels: bool
    most_alive_seconds: float
    everything: list[Told] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.key = asyncio.run(self._first_key())
        with self._begin() as api:
            self.scene = stories.set_up(api, has_kernels=self.has_kernels)

    async def _first_key(self) -> str:
        async with open_keys(scripted_settings(self.home)) as keys:
            return (await keys.create("first", "default"))[1]

    def _begin(self) -> Api:
        self.server = self.nursery.start("serve", self.home)
        return Api(self.server.first_line(), self.key)

    def round(self, number: int) -> None:
        """Writers, deaths, and all that must hold afterwards."""
        told = Told()
        self.everything.append(told)
        keys = self._write_and_die(told, number)
        if self.luck.random() < 0.25:  # while it recovers
            child = self.nursery.start("serve", self.home)
            time.sleep(self.luck.uniform(0, 0.6))
            child.kill()
        self._make_old()
        with self._begin() as api:
            self._settle(api)
            told.check(api)
            for path, events in told.runs.items():
                self.ends[stories.check_run(api, path, events)] += 1
            self._check_unlocked(api, told)
            self._check_stores(api)
            self._check_swept()
        asyncio.run(self._check_keys(keys))

    def _write_and_die(self, told: Told, number: int) -> Child:
        """Returns the process that made keys."""
        kinds = list(Story.all)
        if not self.has_kernels or self.luck.random() < 0.7:  # kernels take their time to start
            kinds.remove(stories.RunsOfCode)
        keys = self.nursery.start("keys", self.home, str(number))
        keys.first_line()
        url = self.server.first_line()
        with ThreadPoolExecutor(len(kinds)) as pool:
            seeds = [random.Random(self.luck.random()) for _ in kinds]
            apis = [Api(url, self.key) for _ in kinds]
            begun = [
                pool.submit(kind(api, luck, told, self.scene).go_on)
                for kind, api, luck in zip(kinds, apis, seeds, strict=True)
            ]
            time.sleep(self.luck.uniform(0.05, self.most_alive_seconds))
            self.server.kill()
            keys.kill()
            for story in begun:
                story.result(30)
            for api in apis:
                api.__exit__()
        return keys

    def _make_old(self) -> None:
        """Two days go by for all contents, so that the sweep may take what belongs to nothing."""
        then = time.time() - 2 * DAY_SECONDS
        for path in (self.home / "blobs").glob("*/*"):
            os.utime(path, (then, then))

    def _settle(self, api: Api) -> None:
        """Wait until no run is worked and no file is read any more."""
        until = time.monotonic() + SETTLED_SECONDS
        while open_work := _open_work(self.home):
            assert time.monotonic() < until, f"still open: {open_work}"
            time.sleep(0.02)

    def _check_unlocked(self, api: Api, told: Told) -> None:
        """Threads whose run has ended take messages again."""
        for path in told.runs:
            thread = path.rpartition("/runs/")[0]
            if api.send("GET", path)["status"] in TERMINAL:
                api.post(f"{thread}/messages", role="user", content="And then?")

    def _check_stores(self, api: Api) -> None:
        """Counts are those of the rows, and what was read is found."""
        for store in api.send("GET", "/vector_stores?limit=100")["data"]:
            files = api.send("GET", f"/vector_stores/{store['id']}/files?limit=100")["data"]
            counted = Counter(file["status"] for file in files)
            counts = {name: n for name, n in store["file_counts"].items() if n and name != "total"}
            assert counts == counted and store["file_counts"]["total"] == len(files)
            assert store["usage_bytes"] == sum(file["usage_bytes"] for file in files)
        found = api.post(f"/vector_stores/{self.scene['store']}/search", query="lighthouse museum")
        assert [len(part["content"]) for part in found["data"]] == [1]

    def _check_swept(self) -> None:
        until = time.monotonic() + SETTLED_SECONDS
        while found := violations(self.home):
            # The sweep at the start may still be under way.
            assert time.monotonic() < until, "\n".join(found)
            time.sleep(0.1)

    async def _check_keys(self, child: Child) -> None:
        """Keys that were told of are there, and at most the one that was being made."""
        done = [line.split(" ", 1) for line in child.lines()[1:]]
        async with open_keys(scripted_settings(self.home)) as keys:
            found = {key.name: key.revoked_at is not None for key in await keys.list()}
        for (verb, name), following in zip(done, [*done[1:], None], strict=True):
            if verb == "made":
                assert name in found
                if following != ["revoking", name] and ["revoked", name] not in done:
                    assert not found[name]
            elif verb == "revoked":
                assert found[name]


def _open_work(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "localassist.db")) as database:
        waiting = "status IN ('queued', 'in_progress', 'cancelling')"
        runs = database.execute(f"SELECT id || ' is ' || status FROM runs WHERE {waiting}")
        files = database.execute(
            "SELECT file_id FROM vector_store_files WHERE status = 'in_progress'"
        )
        return [row[0] for row in (*runs, *files)]


def survive(
    nursery: Nursery,
    home: Path,
    *,
    rounds: int,
    seed: int,
    has_kernels: bool,
    most_alive_seconds: float,
) -> Lives:
    lives = Lives(nursery, home, random.Random(seed), has_kernels, most_alive_seconds)
    for number in range(rounds):
        lives.round(number)
    with Api(lives.server.first_line(), lives.key) as api:
        for told in lives.everything:
            # Of runs only the end: threads got messages since.
            told.check(api)
    print(f"{rounds} rounds, runs ended: {dict(lives.ends)}")
    return lives


@pytest.mark.timeout(400)
def test_everything_survives_eight_deaths(nursery: Nursery, tmp_path: Path) -> None:
    survive(nursery, tmp_path, rounds=8, seed=7, has_kernels=False, most_alive_seconds=1.5)


@pytest.mark.slow
@pytest.mark.sandbox
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(4))
def test_everything_survives_fifty_deaths(nursery: Nursery, tmp_path: Path, seed: int) -> None:
    lives = survive(nursery, tmp_path, rounds=50, seed=seed, has_kernels=True, most_alive_seconds=4)
    assert lives.ends["completed"]
