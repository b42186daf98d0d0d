"""Code of a thread: the files it finds, what it leaves, and what is said of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from localassist.engine import ScriptedEngine
from localassist.errors import KernelStartFailed, SandboxUnavailable, StorageUnavailable
from localassist.sandbox.outputs import CellEnded, CellOutput, Image
from localassist.sandbox.verdict import Verdict
from localassist.schemas.base import ListQuery
from localassist.services.interpreter import Printed, Shown
from localassist.services.sandbox_verdict import RememberedVerdict
from localassist.storage import code_files, items
from localassist.storage.blobs import Blob, BlobStore
from localassist.storage.database import Database
from tests.runs.conftest import OpenRuntime, P, open_scripted
from tests.services.interpreting import OK, Bench, make_bench, says

__all__ = ["open_scripted"]

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 50


@pytest_asyncio.fixture
async def bench(open_scripted: OpenRuntime, tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_scripted(ScriptedEngine()) as runtime:
        database = Database(
            f"sqlite:///{runtime.settings.home / 'localassist.db'}", runtime.settings.storage
        )
        yield await make_bench(runtime, tmp_path / "kernels", database)
        await database.close()


def nothing(data: Path) -> None:
    pass


# --- in -----------------------------------------------------------------------------------------


async def test_files_are_found_by_name_and_by_id(bench: Bench) -> None:
    first = await bench.upload("../über data.csv", b"a,b\n1,2\n")
    second = await bench.upload("über data.csv", b"other")
    found = {}

    def look(data: Path) -> None:
        found.update({path.name: path.read_bytes() for path in data.iterdir()})

    execution = await bench.run(look)
    assert bench.sessions.sessions[bench.thread_id].kernel.allowed == (13, 4)
    assert found == {
        "über data.csv": b"a,b\n1,2\n",
        first: b"a,b\n1,2\n",
        "über data (2).csv": b"other",
        second: b"other",
    }
    assert execution.ending == "ok" and execution.logs == "" and execution.files == {}
    described = await bench.code.files(P, bench.thread_id, bench.file_ids)
    assert [(file.name, file.file_id, file.size_bytes, file.head) for file in described] == [
        ("über data.csv", first, 8, "a,b\n1,2"),
        ("über data (2).csv", second, 5, "other"),
    ]


async def test_a_file_is_written_once_and_never_over_what_code_has_made_of_it(
    bench: Bench,
) -> None:
    original = await bench.upload("data.csv", b"original")

    def change(data: Path) -> None:
        (data / "data.csv").write_bytes(b"changed!")  # as long as the original

    inodes = []
    await bench.run(lambda data: inodes.append((data / "data.csv").stat().st_ino))
    changed = (await bench.run(change)).files["data.csv"]
    assert await bench.content(changed) == b"changed!"
    assert await bench.content(original) == b"original"
    await bench.run(lambda data: inodes.append((data / "data.csv").stat().st_ino))
    assert inodes[0] == inodes[1] and (bench.data / "data.csv").read_bytes() == b"changed!"
    # Without its new version the file is the given one again, but not in this kernel's folder.
    await bench.runtime.files.delete(P, changed)
    await bench.run(nothing)
    assert (bench.data / "data.csv").read_bytes() == b"changed!"


async def test_a_new_kernel_finds_what_earlier_code_has_written(bench: Bench) -> None:
    original = await bench.upload("data.csv", b"original")

    def write(data: Path) -> None:
        (data / "data.csv").write_bytes(b"changed")
        (data / "out").mkdir()
        (data / "out" / "table.csv").write_bytes(b"t")
        (data / "gone.txt").write_bytes(b"g")

    made = await bench.run(write)
    await bench.run(lambda data: (data / "gone.txt").unlink())
    await bench.code.drop(bench.thread_id)
    found = {}

    def look(data: Path) -> None:
        for path in data.rglob("*"):
            if path.is_file():
                found[str(path.relative_to(data))] = path.read_bytes()

    assert (await bench.run(look)).files == {}
    assert found == {"data.csv": b"changed", "out/table.csv": b"t", original: b"original"}
    names = {file.name: file.file_id for file in await bench.code.files(P, bench.thread_id, [])}
    assert names == {name: made.files[name] for name in ("data.csv", "out/table.csv")}


async def test_a_later_upload_has_the_name_of_what_code_wrote_before(bench: Bench) -> None:
    await bench.run(lambda data: (data / "report.csv").write_bytes(b"by code") and None)
    newer = await bench.upload("report.csv", b"edited by hand")
    await bench.run(nothing)
    assert (bench.data / "report.csv").read_bytes() == b"edited by hand"
    (described,) = await bench.code.files(P, bench.thread_id, bench.file_ids)
    assert described.file_id == newer


async def test_files_that_are_gone_or_damaged_stop_nothing(bench: Bench) -> None:
    gone = await bench.upload("gone.csv", b"1")
    damaged = await bench.upload("damaged.csv", b"2")
    await bench.runtime.files.delete(P, gone)
    file, _ = await bench.runtime.files.open(P, damaged)
    for path in (bench.runtime.settings.home / "blobs").glob("??/*"):
        path.unlink()
    (described,) = await bench.code.files(P, bench.thread_id, bench.file_ids)
    assert described.name == "damaged.csv" and described.head is None
    execution = await bench.run(lambda data: says("ran"))
    assert execution.logs.startswith("ran\n[damaged.csv could not be put in place: No such file")


# --- out ----------------------------------------------------------------------------------------


async def test_new_and_changed_files_become_files(bench: Bench) -> None:
    def write(data: Path) -> list[CellOutput]:
        (data / "a.txt").write_bytes(b"one")
        (data / "empty").touch()
        (data / "__pycache__").mkdir()
        (data / "__pycache__" / "x.pyc").touch()
        (data / ".cache").touch()
        return says("done")

    first = await bench.run(write)
    assert sorted(first.files) == ["a.txt", "empty"] and first.logs == "done"
    file = await bench.runtime.files.retrieve(P, first.files["a.txt"])
    assert (file.filename, file.purpose, file.bytes) == ("a.txt", "assistants_output", 3)
    assert await bench.content(first.files["empty"]) == b""
    second = await bench.run(lambda data: (data / "a.txt").write_bytes(b"two") and None)
    assert list(second.files) == ["a.txt"] and second.files["a.txt"] != first.files["a.txt"]
    assert await bench.content(first.files["a.txt"]) == b"one"
    assert (await bench.run(nothing)).files == {}


async def test_what_cannot_be_kept_is_said(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"the host's")

    def write(data: Path) -> None:
        (data / "good").touch()
        (data / "link").symlink_to(secret)
        os.link(secret, data / "hard")
        os.mkfifo(data / "pipe")
        with (data / "huge").open("wb") as file:
            file.truncate(1 << 40)
        (data / "/".join("d" * 20)).mkdir(parents=True)

    execution = await bench.run(write)
    assert list(execution.files) == ["good"]
    for words in (
        "[Not kept: link (links are not kept).]",
        "[Not kept: hard (files with several hard links are not kept).]",
        "[Not kept: pipe (only regular files are kept).]",
        "[Not kept: huge (its 1,099,511,627,776 bytes are more than the 536,870,912 allowed).]",
        "too deep",
    ):
        assert words in execution.logs
    page = await bench.runtime.files.list(P, ListQuery(limit=100))
    assert [file.filename for file in page.data] == ["good"]
    assert (await bench.run(nothing)).logs == "", "said once"


async def test_number_and_size_of_files_are_limited(bench: Bench) -> None:
    def many(data: Path) -> None:
        for number in range(5):
            (data / f"f{number}").touch()
            os.utime(data / f"f{number}", (number, number))

    execution = await bench.run(many, {"output_files": 3})
    assert list(execution.files) == ["f0", "f1", "f2"]
    assert "Not kept: f3, f4 (at most 3 files are kept after one piece of code)" in execution.logs
    assert bench.sessions.leased[-1].output_files == 3

    def large(data: Path) -> None:
        for name in "ab":
            (data / name).write_bytes(bytes(600 * 1024))

    execution = await bench.run(large, {"disk_mb": 1})
    assert len(execution.files) == 1 and "more than the 434,176 allowed" in execution.logs


async def test_strange_names_are_made_readable(bench: Bench) -> None:
    names = [b"caf\xe9.txt", b"caf\xe8.txt", b"two\nlines.txt", b"x" * 255]

    def write(data: Path) -> None:
        for name in names:
            (data / os.fsdecode(name)).write_bytes(name)

    execution = await bench.run(write)
    assert sorted(execution.files) == ["caf� (2).txt", "caf�.txt", "two\nlines.txt", "x" * 255]
    files = [await bench.runtime.files.retrieve(P, id_) for id_ in execution.files.values()]
    assert {f.filename for f in files} >= {"caf�.txt", "two_lines.txt", "x" * 200}
    contents = {await bench.content(id_) for id_ in execution.files.values()}
    assert contents == set(names)
    # The next cell finds them as they are, and a new kernel under the readable names.
    assert (await bench.run(nothing)).files == {}
    await bench.code.drop(bench.thread_id)
    assert (await bench.run(nothing)).files == {}
    assert sorted(p.name for p in bench.data.iterdir()) == sorted(execution.files)


async def test_images_are_stored_as_they_come(bench: Bench) -> None:
    picture = Image("image/png", PNG)
    bench.sessions.cells["cell"] = lambda data: [*says("a"), picture, *says("b")]
    items = [item async for item in bench.items("cell")]
    assert [type(item) for item in items[:3]] == [Printed, Shown, Printed]
    shown = items[1]
    assert isinstance(shown, Shown)
    file = await bench.runtime.files.retrieve(P, shown.file_id)
    assert (file.filename, file.purpose) == (f"{file.id}.png", "assistants_output")
    assert await bench.content(file.id) == PNG
    assert items[-1].execution.images == (file.id,)  # type: ignore[union-attr]


async def test_a_full_disk_is_said_and_the_run_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = BlobStore.put

    async def put(self: BlobStore, chunks: AsyncIterator[bytes], *, max_bytes: int) -> Blob:
        if max_bytes == len(PNG) or (bench.data / "full").exists():
            raise StorageUnavailable("The file could not be stored: No space left on device.")
        return await real(self, chunks, max_bytes=max_bytes)

    monkeypatch.setattr(BlobStore, "put", put)

    def write(data: Path) -> list[CellOutput]:
        (data / "full").touch()
        return [Image("image/png", PNG), *says("went on")]

    execution = await bench.run(write)
    assert execution.ending == "ok" and execution.images == () and execution.files == {}
    assert execution.logs == (
        "went on\n"
        "[An image could not be kept: The file could not be stored: No space left on device.]\n"
        "[full could not be kept: The file could not be stored: No space left on device.]"
    )


# --- how it ends --------------------------------------------------------------------------------


async def test_what_happened_is_the_last_line_of_the_logs(bench: Bench) -> None:
    await bench.run(nothing)
    bench.sessions.sessions[bench.thread_id].notice = "The kernel was started anew."
    ended = CellEnded("timed_out", "It ran longer than 120 s.")
    execution = await bench.run(lambda data: [*says("x"), ended])
    assert execution.ending == "timed_out"
    assert execution.logs == "x\n[The kernel was started anew.]\n[It ran longer than 120 s.]"


async def test_a_thread_whose_code_ran_in_another_process_has_lost_its_variables(
    bench: Bench,
) -> None:
    payload = {"call_id": "call_1", "name": "python", "built_in": "code_interpreter"}
    await bench.code._database.write(
        lambda session: items.append(session, bench.thread_id, "output", payload=payload)
    )
    first = await bench.run(nothing)
    assert first.logs.startswith("[The kernel was started anew, because the one before is gone;")
    bench.sessions.sessions[bench.thread_id].is_new = False
    assert (await bench.run(nothing)).logs == ""


async def test_closing_interrupts_and_the_next_cell_finds_the_files(bench: Bench) -> None:
    def write(data: Path) -> list[CellOutput]:
        (data / "half").write_bytes(b"written before the end")
        return says("a", "b", "c")

    bench.sessions.cells["cell"] = write
    items = bench.items("cell")
    await anext(items)
    await items.aclose()
    kernel = bench.sessions.sessions[bench.thread_id].kernel
    assert kernel.interrupted == 1 and kernel.running == 0
    assert list((await bench.run(nothing)).files) == ["half"]
    assert bench.sessions.made == 1


async def test_what_could_not_be_recorded_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageUnavailable("The database cannot be used: disk I/O error.")

    with monkeypatch.context() as patched:
        patched.setattr(code_files, "record", fail)
        execution = await bench.run(lambda data: (data / "a").touch())
    assert execution.files == {} and "disk I/O error" in execution.logs
    assert list((await bench.run(nothing)).files) == ["a"]


async def test_code_of_one_thread_runs_one_after_the_other(bench: Bench) -> None:
    bench.sessions.cells["cell"] = lambda data: says(*"abcdefgh")

    async def run() -> int:
        return len([item async for item in bench.items("cell")])

    assert await asyncio.gather(*(run() for _ in range(4))) == [9] * 4


async def test_a_deleted_thread_leaves_nothing_half_done(bench: Bench) -> None:
    def write(data: Path) -> list[CellOutput]:
        (data / "late").touch()
        return says("x")

    bench.sessions.cells["cell"] = write
    items = bench.items("cell")
    await anext(items)
    await bench.runtime.threads.delete(P, bench.thread_id)
    rest = [item async for item in items]
    assert "late" in rest[-1].execution.files  # type: ignore[union-attr]
    assert await bench.code.files(P, bench.thread_id, []) == []


# --- whether it works at all --------------------------------------------------------------------


async def test_a_verdict_is_remembered_and_a_bad_one_asked_again_later() -> None:
    bad = Verdict("fake", "none", False, ("no",))
    answers = [bad, bad, OK]
    now = [0.0]
    verdict = RememberedVerdict(lambda: answers.pop(0), lambda: now[0])
    assert await asyncio.gather(verdict.get(), verdict.get()) == [bad, bad]
    now[0] = 29.0
    assert await verdict.get() == bad and len(answers) == 2
    now[0] = 30.0
    assert await verdict.get() == bad and len(answers) == 1
    now[0] = 60.0
    assert await verdict.get() == OK
    now[0] = 1e6
    assert await verdict.get() == OK and verdict.so_far() == OK


async def test_a_kernel_that_cannot_be_started_is_an_error(bench: Bench) -> None:
    for error in (SandboxUnavailable("no bwrap"), KernelStartFailed("crashed")):
        bench.sessions.error = error
        with pytest.raises(type(error)):
            await bench.run(nothing)
        bench.code.prepare(bench.thread_id, {})  # in the background: nobody to tell
        await asyncio.gather(*bench.code._preparing)
    bench.sessions.error = None
    bench.code.prepare(bench.thread_id, {"memory_mb": 300})
    await asyncio.gather(*bench.code._preparing)
    assert bench.sessions.made == 1 and bench.sessions.leased[-1].memory_mb == 300


# --- several processes --------------------------------------------------------------------------


async def test_kernels_of_two_processes_share_the_newest_files(
    bench: Bench, tmp_path: Path
) -> None:
    database = bench.code._database
    here, there = bench, await make_bench(bench.runtime, tmp_path / "elsewhere", database)
    there.thread_id = here.thread_id
    await here.run(lambda data: (data / "a.txt").write_text("one") and None)
    await there.run(nothing)
    assert (there.data / "a.txt").read_text() == "one"
    await there.run(lambda data: (data / "a.txt").write_text("two") and None)
    assert (here.data / "a.txt").read_text() == "one"
    assert (await here.run(nothing)).files == {}
    assert (here.data / "a.txt").read_text() == "two"
    assert (await there.run(nothing)).files == {}
