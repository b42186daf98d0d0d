"""The snapshot store when things go wrong: never a wrong byte, whatever the disk does."""

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
from localassist.engine.snapshots import PENDING
from tests.engine.stored_snapshots import FINGERPRINT, MB, OpenStore, content, fetch, files


def test_a_foreign_file_in_our_folder_is_removed(open_store: OpenStore, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / FINGERPRINT
    write_snapshot(folder, "b" * 64, 0, [1, 2], content(1))
    (folder / "note.cells").write_bytes(b"hello")
    (folder / ("0" * 32 + ".cells")).write_bytes(b"")
    store = open_store()
    assert store.entries() == []
    assert store.wait_idle(20)
    assert store.counters.damaged == 2
    assert [path.name for path in files(folder)] == ["note.cells"]


def test_files_are_for_their_owner_only(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
    store.put([], [1], content(1))
    assert store.wait_idle(20)
    (path,) = files(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("position", [0, 9, 30, 36, 50, 300, -1])
def test_a_damaged_file_is_ignored_and_removed(
    open_store: OpenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, position: int
) -> None:
    first = open_store()
    key = first.put([1, 2, 3], [4, 5], content(1))
    first.close()
    (path,) = files(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 1
    path.write_bytes(damaged)
    ready = threading.Event()
    store = open_store(on_ready=ready.set)
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
    open_store: OpenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_full = True
    original = snapshot_file._write_all

    def write_all(file: object, data: memoryview) -> None:
        if is_full and len(data) > 500:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(file, data)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot_file, "_write_all", write_all)
    monkeypatch.setattr(snapshots, "_PAUSE_SECONDS", 0)
    store = open_store()
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
def test_a_really_full_disk(open_store: OpenStore, tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us mount")
    try:
        store = open_store(folder=mount / "snapshots")
        keys = [store.put([], [i], content(i, 20_000)) for i in range(8)]
        assert store.wait_idle(20)
        assert [store.fetch(key) for key in keys] == [content(i, 20_000) for i in range(8)]
        assert 1 <= len(files(mount)) <= 3
        assert {path.suffix for path in files(mount)} == {".cells"}
        store.close()
        again = open_store(folder=mount / "snapshots")
        for entry in again.entries():
            assert fetch(again, entry.key) == content(entry.tokens[0], 20_000)
        again.close()
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_a_folder_that_cannot_be_written_is_reported_once(
    open_store: OpenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    store = open_store(folder=tmp_path / "taken" / "snapshots")
    with caplog.at_level(logging.WARNING):
        keys = [store.put([], [i], content(i)) for i in range(3)]
        assert store.wait_idle(20)
    assert len(caplog.records) == 1
    assert [store.fetch(key) for key in keys] == [content(i) for i in range(3)]
    store.close()


def test_a_folder_that_cannot_be_read_is_reported_once(
    open_store: OpenStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = open_store()
    keys = [first.put([], [i], content(i)) for i in range(3)]
    first.close()

    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    store = open_store(memory=0)
    monkeypatch.setattr(snapshots, "read_snapshot", fail)
    with caplog.at_level(logging.WARNING):
        assert [fetch(store, key) for key in keys] == [None] * 3
    assert len(caplog.records) == 1
    assert len(files(tmp_path)) == 3


def test_what_no_disk_is_to_be_used_for_is_not_waited_for(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads it: without a budget there is no thread. The files cannot be removed."""
    first = open_store()
    key = first.put([], [1], content(1))
    first.close()

    def fail(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", fail)
    store = open_store(disk=0)
    assert store.entries() == []
    assert store.fetch(key) is None


def test_threads_put_and_fetch_at_once(open_store: OpenStore) -> None:
    store = open_store(memory=20_000, disk=10 * MB)
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


def test_a_killed_process_leaves_only_whole_files(open_store: OpenStore, tmp_path: Path) -> None:
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
    store = open_store(memory=10 * size, disk=110 * size)
    entries = store.entries()
    assert len(entries) >= 2
    for entry in entries:
        assert fetch(store, entry.key) == bytes([entry.tokens[0]]) * size
    assert store.counters.damaged == 0


def test_parts_left_by_the_dead_are_swept_up(open_store: OpenStore, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / FINGERPRINT
    folder.mkdir(parents=True)
    old, young = folder / "old.part", folder / "young.part"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (0, 0))
    open_store()
    assert files(folder) == [young]
