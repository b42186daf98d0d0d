"""What kernels use, measured from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localassist.sandbox import process_usage
from localassist.sandbox.config import SandboxSettings
from localassist.sandbox.folder_usage import MAX_DEPTH, folder_usage
from localassist.sandbox.limits import Limits
from localassist.sandbox.process_usage import (
    MAX_DESCRIPTORS,
    Hidden,
    can_look,
    memory_bytes,
    started_at,
    threads,
    unlinked_bytes,
)
from localassist.sandbox.tree_removal import remove_tree
from localassist.sandbox.watchdog import (
    BUSY_SECONDS,
    IDLE_SECONDS,
    SPARE_FILES,
    Breach,
    Watchdog,
    Watched,
    rest_seconds,
)

MB = 1024 * 1024
LIMITS = Limits.of(SandboxSettings(disk_mb=1, files=10, memory_mb=256, processes=8))

HOG = """
import mmap, os, sys
shared = mmap.mmap(-1, 60 << 20)
for page in range(0, 60 << 20, 4096):
    shared[page] = 1
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        for page in range(0, 60 << 20, 4096):
            shared[page]
        print("touched", flush=True)
        sys.stdin.read()
        os._exit(0)
    children.append(child)
print("started", *children, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def family() -> Iterator[list[int]]:
    """A process and three children of its, which share 60 MB."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOG], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(4)]
        children = next(line[1:] for line in lines if line[0] == "started")
        yield [process.pid, *map(int, children)]
    finally:
        process.communicate("")


def test_shared_memory_is_counted_once(family: list[int]) -> None:
    assert memory_bytes(family, 1000 * MB) > 240 * MB  # not worth a closer look
    assert 60 * MB < memory_bytes(family, 100 * MB) < 180 * MB
    assert threads(family) == 4


def test_processes_that_are_gone_use_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    gone = [process.pid]
    assert memory_bytes(gone, 0) == threads(gone) == unlinked_bytes(gone, 0, (), 1) == 0
    assert started_at(process.pid) is None
    assert started_at(os.getpid()) is not None


def test_files_without_a_name_are_counted_once(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.write(bytes(3 * MB))
        file.flush()
        os.fsync(file.fileno())
        device = os.fstat(file.fileno()).st_dev
        before = unlinked_bytes([os.getpid()], device, (), 0)
        (tmp_path / "a").unlink()
        twice = os.dup(file.fileno())
        assert unlinked_bytes([os.getpid()], device, (), 0) - before >= 3 * MB
        assert unlinked_bytes([os.getpid()], device, (), 0) - before < 4 * MB
        os.close(twice)


HOLDER = """
import ctypes, os, sys
kind, folder = sys.argv[1:]
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
if kind == "mapped":
    with open(f"{folder}/a", "wb+") as file:
        file.write(b"x")
        file.flush()
        assert libc.mmap(None, 4096, 1, 1, file.fileno(), 0) != ctypes.c_void_p(-1).value
    os.unlink(f"{folder}/a")
if kind == "pieces":
    for number in range(30_000):
        assert libc.mmap(None, 4096, 1 + number % 2, 0x22, -1, 0) != ctypes.c_void_p(-1).value
if kind == "page tables":
    start = libc.mmap(None, ctypes.c_size_t(40 << 30), 1, 0x4022, -1, 0)
    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(40 << 30), 15)  # no huge pages
    for at in range(start, start + (40 << 30), 2 << 20):
        ctypes.c_ubyte.from_address(at).value
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(kind: str, folder: Path) -> Iterator[int]:
    """A process that holds something out of sight."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, kind, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None and process.stdout.readline()
        yield process.pid
    finally:
        process.communicate(b"")


def test_a_file_that_is_only_mapped_counts_as_large_as_it_may_be(tmp_path: Path) -> None:
    with holder("mapped", tmp_path) as pid:
        assert unlinked_bytes([pid, pid], 0, (str(tmp_path),), 7) == 7
        assert unlinked_bytes([pid], 0, (str(tmp_path / "other"),), 7) == 0


def test_page_tables_are_memory(tmp_path: Path) -> None:
    with holder("page tables", tmp_path) as pid:
        assert memory_bytes([pid], 1000 * MB) > 80 * MB
        assert memory_bytes([pid], 0) > 80 * MB


def test_too_much_to_look_at_is_hidden(tmp_path: Path) -> None:
    with holder("pieces", tmp_path) as pid:
        assert not can_look([pid])
        with pytest.raises(Hidden, match="too many pieces"):
            unlinked_bytes([pid], 0, (), 0)
    pids = [os.getpid()]
    assert can_look(pids)
    with pytest.raises(Hidden, match=f"more than {MAX_DESCRIPTORS:,} open files"):
        unlinked_bytes(pids * MAX_DESCRIPTORS, 0, (), 0)


def test_who_hides_later_is_ended_and_who_never_was_seen_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(pid: int) -> list[str]:
        raise Hidden("it hides")

    watch, said = watched(tmp_path, [os.getpid()])
    limits = Limits.of(SandboxSettings(memory_mb=100_000, processes=1000))
    watch.begin(limits)
    monkeypatch.setattr(process_usage, "_descriptors", closed)
    watch.look()
    assert said == [Breach("it hides", kills=True)]
    unseen, said = watched(tmp_path, [os.getpid()])
    unseen.begin(limits)
    unseen.look()
    assert said == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_closed_folder_is_opened_by_an_ordinary_user(tmp_path: Path) -> None:
    check_closed_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_closed_folder_is_opened_by_another_user(tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, 65534, 65534)
    child = os.fork()
    if not child:
        try:
            os.setresuid(65534, 65534, 65534)
            check_closed_folder(folder)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    try:
        assert os.waitpid(child, 0)[1] == 0
    finally:
        remove_tree(folder)


def check_closed_folder(folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "file").write_bytes(b"x" * MB)
    (folder / "below").chmod(0o300)
    folder.chmod(0o300)
    usage = folder_usage(folder, 10)
    assert usage.files == 2 and usage.disk_bytes >= MB and usage.is_complete


def test_folders_too_deep_to_be_looked_at_end_the_kernel(tmp_path: Path) -> None:
    watch, said = watched(tmp_path)
    tmp_path.joinpath(*["d"] * (MAX_DEPTH + 5)).mkdir(parents=True)
    watch.begin(LIMITS.lowered({}))
    watch._limits = Limits.of(SandboxSettings(files=1000))
    watch.look()
    assert [breach.kills for breach in said] == [True] and "too deeply" in said[0].because


def test_a_folder_is_counted_as_allocated_and_without_links(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    (data / "below").mkdir(parents=True)
    outside.mkdir()
    (outside / "large").write_bytes(bytes(5 * MB))
    (data / "link").symlink_to(outside)
    (data / "below" / "file-link").symlink_to(outside / "large")
    (data / "sparse").touch()
    os.truncate(data / "sparse", 1 << 40)
    (data / "file").write_bytes(b"x" * MB)
    os.link(data / "file", data / "below" / "same")
    os.mkfifo(data / "fifo")
    os.mkdir(os.fsencode(data) + b"/\xff\n")
    usage = folder_usage(data, 100)
    assert usage.files == 8 and usage.is_complete
    assert MB <= usage.disk_bytes < 2 * MB


def test_a_count_stops_where_there_is_too_much(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).touch()
    assert folder_usage(tmp_path, 10).files == 11
    assert not folder_usage(tmp_path, 10).is_complete
    deep = tmp_path / "deep"
    deep.joinpath(*["d"] * (MAX_DEPTH - 1)).mkdir(parents=True)
    assert folder_usage(deep, 1000).is_complete
    deep.joinpath(*["d"] * (MAX_DEPTH + 5)).mkdir(parents=True)
    assert not folder_usage(deep, 1000).is_complete
    assert folder_usage(tmp_path / "none", 10).files == 0


def watched(data: Path, pids: list[int] | None = None) -> tuple[Watched, list[Breach]]:
    said: list[Breach] = []
    return Watched(lambda: pids or [], data, said.append), said


def test_a_full_folder_is_said_once_and_may_be_emptied(tmp_path: Path) -> None:
    watch, said = watched(tmp_path)
    watch.begin(LIMITS)
    watch.look()
    (tmp_path / "a").write_bytes(b"x" * (MB + 4096))
    watch.look()
    watch.look()
    assert [breach.kills for breach in said] == [False]
    assert said[0].because == "it wrote 1 MB to its folder; the limit is 1 MB"
    watch.end()
    watch.look()
    watch.begin(LIMITS)
    watch.look()
    assert len(said) == 1  # still full, but no fuller
    (tmp_path / "b").write_bytes(b"x" * 4096)
    watch.look()
    assert len(said) == 2


def test_a_folder_that_goes_on_to_grow_is_no_longer_asked(tmp_path: Path) -> None:
    watch, said = watched(tmp_path)
    watch.begin(LIMITS)
    for number in range(15):
        (tmp_path / str(number)).touch()
    watch.look()
    watch.look()
    for number in range(15, 2 * LIMITS.files + SPARE_FILES + 1):
        (tmp_path / str(number)).touch()
    watch.look()
    watch.look()
    assert [breach.kills for breach in said] == [False, True]
    assert said[0].because == "there are more than 10 files and folders in its folder"


def test_what_was_given_does_not_count(tmp_path: Path) -> None:
    watch, said = watched(tmp_path)
    (tmp_path / "given").write_bytes(b"x" * 5 * MB)
    watch.allow(5 * MB, 1)
    watch.begin(LIMITS)
    watch.look()
    assert said == []


def test_a_look_that_had_to_wait_is_not_followed_by_a_long_rest() -> None:
    assert rest_seconds(2.0, 0.1, is_busy=True) == 2.0  # twelve others want the processor
    assert rest_seconds(0.5, 0.5, is_busy=True) == 2.0  # it is the one that takes it
    assert rest_seconds(0.0, 0.0, is_busy=True) == BUSY_SECONDS
    assert rest_seconds(0.0, 0.0, is_busy=False) == IDLE_SECONDS


def test_nothing_is_looked_at_before_code_has_run(tmp_path: Path) -> None:
    watch, said = watched(tmp_path / "none", [os.getpid()])
    watch.look()
    assert said == []


def test_too_much_memory_and_too_many_processes(family: list[int], tmp_path: Path) -> None:
    watch, said = watched(tmp_path, family)
    limits = Limits.of(SandboxSettings(memory_mb=256))
    watch.begin(limits)
    watch.look()
    assert said == []
    watch.begin(LIMITS.lowered({"memory_mb": 50}))
    watch.look()
    assert said.pop().kills
    many, said = watched(tmp_path, family * 5)
    many.begin(LIMITS.lowered({"memory_mb": 100_000}))
    many._limits = Limits.of(SandboxSettings(memory_mb=100_000, processes=8))
    many.look()
    assert [breach.because for breach in said] == [
        "it ran 20 processes and threads; the limit is 8"
    ]


def test_memory_that_no_process_shows_counts(tmp_path: Path) -> None:
    said: list[Breach] = []
    sizes = [255 * MB, 257 * MB]
    watch = Watched(list, tmp_path, said.append, unowned_bytes=lambda: sizes.pop(0))
    watch.begin(LIMITS)
    watch.look()
    assert said == []
    watch.look()
    assert said[0].kills and "files and sockets in memory, used up to 257 MB" in said[0].because


def test_the_thread_watches_all_and_survives_what_goes_wrong(tmp_path: Path) -> None:
    failed, seen = threading.Event(), threading.Event()

    def broken() -> list[int]:
        if not bad.is_busy:
            return []
        failed.set()
        raise RuntimeError("cannot be looked at")

    watchdog = Watchdog()
    bad = Watched(broken, tmp_path, lambda breach: None)
    good = Watched(lambda: [os.getpid()], tmp_path, lambda breach: seen.set())
    bad.begin(LIMITS)
    good.begin(LIMITS.lowered({"memory_mb": 1}))
    watchdog.add(bad)
    assert failed.wait(20)
    watchdog.add(good)
    watchdog.hurry(good)
    assert seen.wait(20)
    thread = watchdog._thread
    assert thread is not None
    watchdog.remove(bad)
    watchdog.remove(good)
    thread.join(20)
    assert not thread.is_alive()
