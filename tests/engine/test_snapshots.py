"""The snapshot store: budgets, order, restarts, and never a wrong byte whatever the disk does."""

from __future__ import annotations

import errno
import logging
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.engine import snapshot_file, snapshots
from localassist.engine.snapshot_file import (
    SnapshotDamaged,
    file_name,
    file_size,
    read_entry,
    read_snapshot,
    snapshot_key,
    write_snapshot,
)
from localassist.engine.snapshots import PENDING, SnapshotStore

FINGERPRINT = "a" * 64
MB = 2**20

Make = Callable[..., SnapshotStore]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Opens stores, over one folder unless told otherwise, and closes them in the end."""
    stores: list[SnapshotStore] = []

    def make(
        memory: int = MB,
        disk: int = MB,
        *,
        folder: Path | None = tmp_path / "snapshots",
        fingerprint: str = FINGERPRINT,
        on_ready: Callable[[], None] = lambda: None,
    ) -> SnapshotStore:
        store = SnapshotStore(folder, fingerprint, memory, disk, on_ready)
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


def content(seed: int, size: int = 1000) -> memoryview:
    return memoryview(random.Random(seed).randbytes(size))


def fetch(store: SnapshotStore, key: bytes) -> bytes | None:
    """Ask until there is an answer."""
    deadline = time.monotonic() + 20
    while (data := store.fetch(key)) is PENDING:
        assert time.monotonic() < deadline, "the snapshot never arrives"
        time.sleep(0.001)
    assert data is not PENDING
    return None if data is None else bytes(data)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_was_put_is_there_at_once(make: Make) -> None:
    store = make()
    key = store.put([1, 2], [3, 4], content(1))
    assert store.fetch(key) == content(1)
    assert store.put([1, 2], [3, 4], content(1)) == key
    others = [store.put([1], [2, 3, 4], content(2)), store.put([1, 2], [3, 5], content(3))]
    assert len({key, *others}) == 3 and len(key) == 16
    assert store.fetch(b"?" * 16) is None
    counters = store.counters
    assert (counters.hits, counters.misses, counters.memory_bytes) == (1, 1, 3000)


def test_without_a_folder_memory_is_all_there_is(make: Make) -> None:
    store = make(memory=2500, folder=None)
    keys = [store.put([], [i], content(i)) for i in range(3)]
    assert [fetch(store, key) for key in keys] == [None, content(1), content(2)]
    assert store.counters.memory_bytes == 2000
    assert store.entries() == []
    assert store.wait_idle(0)


def test_the_least_recently_used_leaves_memory_first(make: Make) -> None:
    store = make(memory=3000, folder=None)
    first, second, third = (store.put([], [i], content(i)) for i in range(3))
    assert store.fetch(first) is not None
    store.touch([third, second])
    store.put([], [9], content(9))
    store.put([], [10], content(10))
    assert [store.fetch(key) is None for key in (first, second, third)] == [True, False, True]


def test_what_leaves_memory_comes_back_from_disk(make: Make) -> None:
    ready = threading.Semaphore(0)
    store = make(memory=2500, on_ready=ready.release)
    keys = []
    for i in range(20):
        keys.append(store.put(range(i), [i], content(i)))
        assert store.wait_idle(20)
    assert store.counters.memory_bytes == 2000
    assert store.counters.written == 20
    assert store.fetch(keys[0]) is PENDING
    assert ready.acquire(timeout=20)
    assert store.fetch(keys[0]) == content(0)
    assert [fetch(store, key) for key in keys] == [content(i) for i in range(20)]


def test_what_was_just_read_stays_until_all_of_its_conversation_is_there(make: Make) -> None:
    store = make(memory=0)
    keys = [store.put(range(i), [i], content(i)) for i in range(5)]
    assert store.wait_idle(20)
    assert store.counters.memory_bytes == 0
    assert all(store.fetch(key) is PENDING for key in keys)
    assert store.wait_idle(20)
    assert [store.fetch(key) for key in keys] == [content(i) for i in range(5)]


def test_a_new_store_knows_what_an_older_one_wrote(make: Make) -> None:
    store = make()
    tokens = list(range(100, 140))
    leaf = store.put(tokens[:30], tokens[30:], content(2))
    root = store.put([], tokens[:30], content(1))
    store.touch([leaf, root])
    store.close()
    again = make()
    assert [(entry.key, entry.start, list(entry.tokens)) for entry in again.entries()] == [
        (leaf, 30, tokens),
        (root, 0, tokens[:30]),
    ]
    assert fetch(again, leaf) == content(2)
    assert fetch(again, root) == content(1)
    assert again.counters.disk_bytes == file_size(40, 1000) + file_size(30, 1000)


def test_closing_writes_what_was_only_in_memory(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_QUEUED_WRITES", 0)  # a disk that never keeps up
    store = make(memory=10 * MB, disk=MB)
    keys = [store.put([], [i], content(i, 100_000)) for i in range(15)]
    store.wait_idle(20)
    before = store.counters.written
    assert before < 15
    store.close()
    store.close()
    assert store.fetch(keys[-1]) == content(14, 100_000)
    again = make()
    kept = {entry.key for entry in again.entries()}
    assert set(keys[-10:]) <= kept
    assert again.counters.disk_bytes <= MB


def slow_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Nothing is written until the event is set."""
    gate = threading.Event()
    write = snapshot_file.write_snapshot

    def slow(*arguments: object) -> int:
        gate.wait(20)
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "write_snapshot", slow)
    return gate


def test_a_slow_disk_keeps_snapshots_in_memory_only(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = slow_disk(monkeypatch)
    store = make()
    keys = [store.put([], [i], content(i)) for i in range(40)]
    assert all(store.fetch(key) == content(i) for i, key in enumerate(keys))
    gate.set()
    assert store.wait_idle(20)
    assert 16 <= store.counters.written < 40


def test_what_leaves_memory_is_written_before_what_stays(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments of one conversation leave together; without its beginning the rest is lost."""
    gate = slow_disk(monkeypatch)
    store = make(memory=40 * 1000)
    keys = [store.put([], [i], content(i)) for i in range(40)]
    store.touch(keys[:17])  # those that are queued
    keys += [store.put([], [i], content(i)) for i in range(40, 50)]
    gate.set()
    assert store.wait_idle(20)
    assert [fetch(store, key) for key in keys] == [content(i) for i in range(50)]


def test_the_disk_budget_holds_and_the_least_recently_used_go(make: Make, tmp_path: Path) -> None:
    size = file_size(1, 1000)
    store = make(disk=10 * size)
    keys = []
    for i in range(10):
        keys.append(store.put([], [i], content(i)))
        assert store.wait_idle(20)
    store.touch(keys[:3])
    assert store.wait_idle(20)
    for i in range(10, 14):
        keys.append(store.put([], [i], content(i)))
        assert store.wait_idle(20)
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 10 * size
    store.close()
    again = make(memory=0, disk=10 * size)
    assert {entry.key for entry in again.entries()} == {*keys[:3], *keys[7:]}
    assert fetch(again, keys[4]) is None
    smaller = make(memory=0, disk=4 * size)
    assert len(smaller.entries()) == 4 == len(files(tmp_path))
    assert make(disk=0).entries() == [] and files(tmp_path) == []


def test_something_larger_than_the_disk_budget_stays_in_memory(make: Make, tmp_path: Path) -> None:
    store = make(disk=500)
    key = store.put([], [1], content(1))
    assert store.wait_idle(20)
    assert store.fetch(key) == content(1)
    assert files(tmp_path) == []


def test_discarded_is_gone_everywhere(make: Make, tmp_path: Path) -> None:
    store = make()
    keys = [store.put([], [i], content(i)) for i in range(8)]
    for key in keys[:4]:  # some are queued, one may be being written
        store.discard(key)
    assert store.wait_idle(20)
    for key in keys[4:7]:
        store.discard(key)
    store.discard(keys[4])
    assert store.wait_idle(20)
    assert [store.fetch(key) is None for key in keys] == [True] * 7 + [False]
    assert [path.name for path in files(tmp_path)] == [file_name(keys[7])]
    assert store.counters.disk_bytes == file_size(1, 1000)
    assert store.put([], [0], content(0)) == keys[0]
    assert store.wait_idle(20)
    assert len(files(tmp_path)) == 2


def test_two_stores_share_a_folder(make: Make) -> None:
    one, two = make(memory=0), make(memory=0)
    key = one.put([1], [2], content(1))
    assert two.put([1], [2], content(1)) == key
    assert one.wait_idle(20) and two.wait_idle(20)
    assert fetch(one, key) == fetch(two, key) == content(1)
    third = make(memory=0)
    assert [entry.key for entry in third.entries()] == [key]
    one.discard(key)
    assert one.wait_idle(20)
    assert fetch(third, key) is None
    assert third.counters.damaged == 0


def test_another_fingerprint_sees_nothing_but_counts(make: Make, tmp_path: Path) -> None:
    size = file_size(1, 1000)
    foreign = make(fingerprint="b" * 64)
    for i in range(3):
        foreign.put([], [i], content(i))
    foreign.close()
    store = make(disk=4 * size)
    assert store.entries() == []
    assert store.counters.disk_bytes == 3 * size
    assert store.fetch(snapshot_key("b" * 64, 0, [0])) is None
    for i in range(4):
        store.put([], [i], content(i))
        assert store.wait_idle(20)
    assert {path.parent.name for path in files(tmp_path)} == {FINGERPRINT}
    assert not (tmp_path / "snapshots" / ("b" * 64)).exists()


def test_a_foreign_file_in_our_folder_is_removed(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / FINGERPRINT
    write_snapshot(folder, "b" * 64, 0, [1, 2], content(1))
    (folder / "note.cells").write_bytes(b"hello")
    (folder / ("0" * 32 + ".cells")).write_bytes(b"")
    store = make()
    assert store.entries() == []
    assert store.wait_idle(20)
    assert store.counters.damaged == 2
    assert [path.name for path in files(folder)] == ["note.cells"]


def test_files_are_for_their_owner_only(make: Make, tmp_path: Path) -> None:
    store = make()
    store.put([], [1], content(1))
    assert store.wait_idle(20)
    (path,) = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("position", [0, 9, 30, 36, 50, 300, -1])
def test_a_damaged_file_is_ignored_and_removed(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture, position: int
) -> None:
    first = make()
    key = first.put([1, 2, 3], [4, 5], content(1))
    first.close()
    (path,) = files(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 1
    path.write_bytes(damaged)
    ready = threading.Event()
    store = make(on_ready=ready.set)
    with caplog.at_level(logging.WARNING):
        assert fetch(store, key) is None
    assert ready.wait(20)
    assert store.wait_idle(20)
    assert files(tmp_path) == []
    assert (store.counters.damaged, store.counters.disk_bytes) == (1, 0)
    assert "damaged" in caplog.text
    assert store.put([1, 2, 3], [4, 5], content(1)) == key
    assert store.wait_idle(20)
    assert len(files(tmp_path)) == 1


@given(
    tokens=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=12),
    data=st.binary(max_size=60),
    damage=st.data(),
)
def test_no_damage_yields_a_wrong_payload(
    tokens: list[int], data: bytes, damage: st.DataObject
) -> None:
    start = damage.draw(st.integers(0, len(tokens) - 1), label="start")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write_snapshot(folder, FINGERPRINT, start, tokens, memoryview(data))
        key = snapshot_key(FINGERPRINT, start, tokens)
        path = folder / file_name(key)
        whole = path.read_bytes()
        assert len(whole) == size == file_size(len(tokens), len(data))
        entry, read = read_snapshot(folder, FINGERPRINT, key)
        assert (entry.start, list(entry.tokens), bytes(read)) == (start, tokens, data)

        broken = bytearray(whole)
        match damage.draw(st.sampled_from(["flip", "cut", "extend", "swap"]), label="how"):
            case "flip":
                for _ in range(damage.draw(st.integers(1, 4))):
                    place = damage.draw(st.integers(0, len(broken) - 1))
                    broken[place] ^= damage.draw(st.integers(1, 255))
            case "cut":
                del broken[damage.draw(st.integers(0, len(broken) - 1)) :]
            case "extend":
                broken += damage.draw(st.binary(min_size=1, max_size=40))
            case "swap":
                one, two = (damage.draw(st.integers(0, len(broken) - 1)) for _ in range(2))
                broken[one], broken[two] = broken[two], broken[one]
        path.write_bytes(broken)
        if bytes(broken) == whole:
            return
        with pytest.raises(SnapshotDamaged):
            read_snapshot(folder, FINGERPRINT, key)
        try:
            head = read_entry(folder, FINGERPRINT, key)
        except SnapshotDamaged:
            return
        assert (head.start, list(head.tokens)) == (start, tokens)


def test_a_header_that_promises_too_much_allocates_nothing(tmp_path: Path) -> None:
    write_snapshot(tmp_path, FINGERPRINT, 0, [1], memoryview(b"x"))
    key = snapshot_key(FINGERPRINT, 0, [1])
    path = tmp_path / file_name(key)
    content = bytearray(path.read_bytes())
    for field in (slice(28, 32), slice(32, 40)):
        broken = bytearray(content)
        broken[field] = b"\xff" * (field.stop - field.start)
        path.write_bytes(broken)
        with pytest.raises(SnapshotDamaged):
            read_snapshot(tmp_path, FINGERPRINT, key)


def test_a_full_disk_is_reported_once_and_memory_goes_on(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_full = True
    original = snapshot_file._write_all

    def write_all(file: object, data: memoryview) -> None:
        if is_full and len(data) > 500:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(file, data)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot_file, "_write_all", write_all)
    monkeypatch.setattr(snapshots, "_PAUSE_SECONDS", 0)
    store = make()
    with caplog.at_level(logging.WARNING):
        keys = []
        for i in range(5):
            keys.append(store.put([], [i], content(i)))
            assert store.wait_idle(20)
    assert caplog.text.count("No space left") == 1
    assert files(tmp_path) == []
    assert [store.fetch(key) for key in keys] == [content(i) for i in range(5)]
    is_full = False
    store.put([], [9], content(9))
    assert store.wait_idle(20)
    assert len(files(tmp_path)) == 1
    store.close()
    assert len(files(tmp_path)) == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_really_full_disk(make: Make, tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount")
    try:
        store = make(folder=mount / "snapshots")
        keys = [store.put([], [i], content(i, 20_000)) for i in range(8)]
        assert store.wait_idle(20)
        assert [store.fetch(key) for key in keys] == [content(i, 20_000) for i in range(8)]
        assert 1 <= len(files(mount)) <= 3
        assert {path.suffix for path in files(mount)} == {".cells"}
        store.close()
        again = make(folder=mount / "snapshots")
        for entry in again.entries():
            assert fetch(again, entry.key) == content(entry.tokens[0], 20_000)
        again.close()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_folder_that_cannot_be_written_is_reported_once(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    store = make(folder=tmp_path / "taken" / "snapshots")
    with caplog.at_level(logging.WARNING):
        keys = [store.put([], [i], content(i)) for i in range(3)]
        assert store.wait_idle(20)
    assert len(caplog.records) == 1
    assert [store.fetch(key) for key in keys] == [content(i) for i in range(3)]
    store.close()


def test_a_folder_that_cannot_be_read_is_reported_once(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = make()
    keys = [first.put([], [i], content(i)) for i in range(3)]
    first.close()

    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    store = make(memory=0)
    monkeypatch.setattr(snapshots, "read_snapshot", fail)
    with caplog.at_level(logging.WARNING):
        assert [fetch(store, key) for key in keys] == [None] * 3
    assert len(caplog.records) == 1
    assert len(files(tmp_path)) == 3


def test_what_no_disk_is_to_be_used_for_is_not_waited_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads it: without a budget there is no thread. The files cannot be removed."""
    first = make()
    key = first.put([], [1], content(1))
    first.close()

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", fail)
    store = make(disk=0)
    assert store.entries() == []
    assert store.fetch(key) is None


def test_threads_put_and_fetch_at_once(make: Make) -> None:
    store = make(memory=20_000, disk=10 * MB)
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        choose = random.Random(seed)
        try:
            for _ in range(150):
                i = choose.randrange(40)
                key = snapshot_key(FINGERPRINT, 0, [i])
                match choose.randrange(4):
                    case 0 | 1:
                        assert store.put([], [i], content(i)) == key
                    case 2:
                        assert store.fetch(key) in (None, PENDING, content(i))
                    case _ if choose.random() < 0.2:
                        store.discard(key)
                    case _:
                        store.touch([key])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert store.wait_idle(20)
    for i in range(40):
        assert fetch(store, snapshot_key(FINGERPRINT, 0, [i])) in (None, content(i))


def test_a_killed_process_leaves_only_whole_files(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    size = 20_000_000
    program = f"""
from pathlib import Path
from localassist.engine.snapshot_file import write_snapshot
for i in range(100):
    data = memoryview(bytes([i]) * {size})
    write_snapshot(Path({str(folder / FINGERPRINT)!r}), {FINGERPRINT!r}, 0, [i], data)
    print(i, flush=True)
"""
    command = [sys.executable, "-c", program]
    root = Path(snapshots.__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(2):
            process.stdout.readline()
        time.sleep(0.01)  # most of the time goes into writing
        process.send_signal(signal.SIGKILL)
    store = make(memory=10 * size, disk=110 * size)
    entries = store.entries()
    assert len(entries) >= 2
    for entry in entries:
        assert fetch(store, entry.key) == bytes([entry.tokens[0]]) * size
    assert store.counters.damaged == 0


def test_parts_left_by_the_dead_are_swept_up(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / FINGERPRINT
    folder.mkdir(parents=True)
    old, young = folder / "old.part", folder / "young.part"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (0, 0))
    make()
    assert files(folder) == [young]
