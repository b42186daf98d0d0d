"""Damaged exports, and work that is stopped in the middle."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import sqlite3
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from localassist.archive.archive import Imported
from localassist.archive.export import Selection
from localassist.archive.planning import Policy
from localassist.errors import ConfigError, LocalAssistError, StorageUnavailable
from localassist.runtime import open_archive
from tests.archive import hosted
from tests.archive.conftest import Opened, settings_of
from tests.archive.moving import export, load

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")


def test_a_damaged_export_names_the_part(tmp_path: Path, filled: Path) -> None:
    export(filled, tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as whole:
        contents = {name: whole.read(name) for name in whole.namelist()}
    for name in ("threads.jsonl", next(n for n in contents if n.startswith("contents/"))):
        with zipfile.ZipFile(tmp_path / f"bad-{name[:7]}.zip", "w") as bad:
            for other, content in contents.items():
                bad.writestr(other, content + b" " if other == name else content)
        with pytest.raises(ConfigError, match=f"{name} is damaged"):
            load(tmp_path / "new", tmp_path / f"bad-{name[:7]}.zip")
        with zipfile.ZipFile(tmp_path / f"less-{name[:7]}.zip", "w") as bad:
            for other, content in contents.items():
                if other != name:
                    bad.writestr(other, content)
        with pytest.raises(ConfigError, match=f"{name} is missing"):
            load(tmp_path / "new", tmp_path / f"less-{name[:7]}.zip")
    manifest = json.loads(contents["manifest.json"])
    with zipfile.ZipFile(tmp_path / "newer.zip", "w") as newer:
        newer.writestr("manifest.json", json.dumps({**manifest, "version": 2, "parts": []}))
    with pytest.raises(ConfigError, match="upgrade localassist"):
        load(tmp_path / "new", tmp_path / "newer.zip")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "all.zip").read_bytes()[:-300])
    with pytest.raises(LocalAssistError):
        load(tmp_path / "new", tmp_path / "cut.zip")


def test_a_failure_in_the_middle_leaves_nothing(
    tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = hosted.write(tmp_path / "dump")

    def told(doing: str, done: int, total: int) -> None:
        if doing == "objects" and done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(BaseException):  # noqa: B017
        load(tmp_path / "data", dump, on_progress=told)
    with opened(tmp_path / "data") as client:
        assert not client.beta.assistants.list().data and not client.vector_stores.list().data
    assert not load(tmp_path / "data", dump).problems


@pytest.mark.parametrize("phase", ["reading", "objects"])
async def test_who_stops_an_import_stops_all_of_it(
    tmp_path: Path, phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Cancelled while it reads, and in the middle of its transaction."""
    dump = hosted.write(tmp_path / "dump")
    reached, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def told(doing: str, done: int, total: int) -> None:
        if doing == phase and not reached.is_set():
            loop.call_soon_threadsafe(reached.set)
            go_on.wait(30)

    async with open_archive(settings_of(tmp_path / "data")) as archive:
        task = asyncio.create_task(archive.load(dump, "default", on_progress=told))
        await reached.wait()
        task.cancel()
        loop.call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        done = await archive.load(dump, "default", is_dry=True)
        assert not done.problems and done.tally["threads"] == {"new": 2}
    del task
    gc.collect()
    assert not caplog.records  # of an exception that nobody has looked at


@pytest.mark.parametrize("project", ["default", "another"])
def test_what_came_meanwhile_is_not_written_over(tmp_path: Path, project: str) -> None:
    """Another import ends between the look at what is there and the transaction."""
    dump, home = hosted.write(tmp_path / "dump"), tmp_path / "data"
    others: list[Imported] = []

    def told(doing: str, done: int, total: int) -> None:
        if doing == "files" and not others:
            with ThreadPoolExecutor(1) as pool:
                others.append(pool.submit(load, home, dump, project).result())

    policy: Policy = "fail" if project == "default" else "replace"
    done = load(home, dump, on_progress=told, policy=policy)
    assert not others[0].problems
    said = "is there already" if project == "default" else "belongs to another project"
    assert len(done.problems) == 6 and all(said in problem for problem in done.problems)


def test_contents_that_are_needed_after_all_are_not_lost(tmp_path: Path) -> None:
    """A file that was there, and is skipped, goes before the transaction."""
    dump, home = hosted.write(tmp_path / "dump"), tmp_path / "data"
    load(home, dump)
    (dump / "more.json").write_text(json.dumps(hosted.file("file-more", "more.md", 4)))
    (dump / "file-more.md").write_bytes(b"text")

    def told(doing: str, done: int, total: int) -> None:
        if doing == "files":
            with closing(sqlite3.connect(home / "localassist.db")) as database, database:
                database.execute("DELETE FROM files WHERE id = ?", [hosted.FILE])

    with pytest.raises(StorageUnavailable, match="try again"):
        load(home, dump, policy="skip", on_progress=told)
    assert load(home, dump, policy="skip").tally["files"] == {"new": 2, "skipped": 1}


def leftovers(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_who_stops_an_export_has_no_file(tmp_path: Path, filled: Path) -> None:
    home = shutil.copytree(filled, tmp_path / "data")
    reached, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def told(doing: str, done: int, total: int) -> None:
        loop.call_soon_threadsafe(reached.set)
        go_on.wait(30)

    async with open_archive(settings_of(home)) as archive:
        target = tmp_path / "all.zip"
        task = asyncio.create_task(archive.export("default", target, Selection(), told))
        await reached.wait()
        task.cancel()
        loop.call_later(0.05, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert leftovers(tmp_path) == [home]
