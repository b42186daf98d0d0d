"""The snapshot store: budgets, order, restarts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from localassist.engine import snapshot_file, snapshots
from localassist.engine.snapshot_file import (
    file_name,
    file_size,
    snapshot_key,
)
from localassist.engine.snapshots import PENDING
from tests.engine.stored_snapshots import FINGERPRINT, MB, OpenStore, content, fetch, files


def test_what_was_put_is_there_at_once(open_store: OpenStore) -> None:
    store = open_store()
    key = store.put([1, 2], [3, 4], content(1))
    assert store.fetch(key) == content(1)
    assert store.put([1, 2], [3, 4], content(1)) == key
    others = [store.put([1], [2, 3, 4], content(2)), store.put([1, 2], [3, 5], content(3))]
    assert len({key, *others}) == 3 and len(key) == 16
    assert store.fetch(b"?" * 16) is None
    counters = store.counters
    assert (counters.hits, counters.misses, counters.memory_bytes) == (1, 1, 3000)


def test_without_a_folder_memory_is_all_there_is(open_store: OpenStore) -> None:
    store = open_store(memory=2500, folder=None)
    keys = [store.put([], [i], content(i)) for i in range(3)]
    assert [fetch(store, key) for key in keys] == [None, content(1), content(2)]
    assert store.counters.memory_bytes == 2000
    assert store.entries() == []
    assert store.wait_idle(0)


def test_the_least_recently_used_leaves_memory_first(open_store: OpenStore) -> None:
    store = open_store(memory=3000, folder=None)
    first, second, third = (store.put([], [i], content(i)) for i in range(3))
    assert store.fetch(first) is not None
    store.touch([third, second])
    store.put([], [9], content(9))
    store.put([], [10], content(10))
    assert [store.fetch(key) is None for key in (first, second, third)] == [True, False, True]


def test_what_leaves_memory_comes_back_from_disk(open_store: OpenStore) -> None:
    ready = threading.Semaphore(0)
    store = open_store(memory=2500, on_ready=ready.release)
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


def test_what_was_just_read_stays_until_all_of_its_conversation_is_there(
    open_store: OpenStore,
) -> None:
    store = open_store(memory=0)
    keys = [store.put(range(i), [i], content(i)) for i in range(5)]
    assert store.wait_idle(20)
    assert store.counters.memory_bytes == 0
    assert all(store.fetch(key) is PENDING for key in keys)
    assert store.wait_idle(20)
    assert [store.fetch(key) for key in keys] == [content(i) for i in range(5)]


def test_what_was_read_and_used_counts_for_the_budget_again(open_store: OpenStore) -> None:
    """However many conversations come back from disk at once, what is held levels off."""
    store = open_store(memory=2500)
    conversations = []
    for i in range(6):
        conversations.append([store.put([i], [i, part], content(i)) for part in range(2)])
        assert store.wait_idle(20)
    for keys in conversations * 2:
        assert None not in [fetch(store, key) for key in keys]
        store.touch(keys)
        assert store.counters.memory_bytes <= 2500


def test_a_new_store_knows_what_an_older_one_wrote(open_store: OpenStore) -> None:
    store = open_store()
    tokens = list(range(100, 140))
    leaf = store.put(tokens[:30], tokens[30:], content(2))
    root = store.put([], tokens[:30], content(1))
    store.touch([leaf, root])
    store.close()
    again = open_store()
    assert [(entry.key, entry.start, list(entry.tokens)) for entry in again.entries()] == [
        (leaf, 30, tokens),
        (root, 0, tokens[:30]),
    ]
    assert fetch(again, leaf) == content(2)
    assert fetch(again, root) == content(1)
    assert again.counters.disk_bytes == file_size(40, 1000) + file_size(30, 1000)


def test_closing_writes_what_was_only_in_memory(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_QUEUED_WRITES", 0)  # a disk that never keeps up
    store = open_store(memory=10 * MB, disk=MB)
    keys = [store.put([], [i], content(i, 100_000)) for i in range(15)]
    store.wait_idle(20)
    before = store.counters.written
    assert before < 15
    store.close()
    store.close()
    assert store.fetch(keys[-1]) == content(14, 100_000)
    again = open_store()
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
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = slow_disk(monkeypatch)
    store = open_store()
    keys = [store.put([], [i], content(i)) for i in range(40)]
    assert all(store.fetch(key) == content(i) for i, key in enumerate(keys))
    gate.set()
    assert store.wait_idle(20)
    assert 16 <= store.counters.written < 40


def test_what_leaves_memory_is_written_before_what_stays(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments of one conversation leave together; without its beginning the rest is lost."""
    gate = slow_disk(monkeypatch)
    store = open_store(memory=40 * 1000)
    keys = [store.put([], [i], content(i)) for i in range(40)]
    store.touch(keys[:17])  # those that are queued
    keys += [store.put([], [i], content(i)) for i in range(40, 50)]
    gate.set()
    assert store.wait_idle(20)
    assert [fetch(store, key) for key in keys] == [content(i) for i in range(50)]


def test_the_disk_budget_holds_and_the_least_recently_used_go(
    open_store: OpenStore, tmp_path: Path
) -> None:
    size = file_size(1, 1000)
    store = open_store(disk=10 * size)
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
    again = open_store(memory=0, disk=10 * size)
    assert {entry.key for entry in again.entries()} == {*keys[:3], *keys[7:]}
    assert fetch(again, keys[4]) is None
    smaller = open_store(memory=0, disk=4 * size)
    assert len(smaller.entries()) == 4 == len(files(tmp_path))
    assert open_store(disk=0).entries() == [] and files(tmp_path) == []


def test_something_larger_than_the_disk_budget_stays_in_memory(
    open_store: OpenStore, tmp_path: Path
) -> None:
    store = open_store(disk=500)
    key = store.put([], [1], content(1))
    assert store.wait_idle(20)
    assert store.fetch(key) == content(1)
    assert files(tmp_path) == []


def test_discarded_is_gone_everywhere(open_store: OpenStore, tmp_path: Path) -> None:
    store = open_store()
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


def test_two_stores_share_a_folder(open_store: OpenStore) -> None:
    one, two = open_store(memory=0), open_store(memory=0)
    key = one.put([1], [2], content(1))
    assert two.put([1], [2], content(1)) == key
    assert one.wait_idle(20) and two.wait_idle(20)
    assert fetch(one, key) == fetch(two, key) == content(1)
    third = open_store(memory=0)
    assert [entry.key for entry in third.entries()] == [key]
    one.discard(key)
    assert one.wait_idle(20)
    assert fetch(third, key) is None
    assert third.counters.damaged == 0


def test_another_fingerprint_sees_nothing_but_counts(open_store: OpenStore, tmp_path: Path) -> None:
    size = file_size(1, 1000)
    foreign = open_store(fingerprint="b" * 64)
    for i in range(3):
        foreign.put([], [i], content(i))
    foreign.close()
    store = open_store(disk=4 * size)
    assert store.entries() == []
    assert store.counters.disk_bytes == 3 * size
    assert store.fetch(snapshot_key("b" * 64, 0, [0])) is None
    for i in range(4):
        store.put([], [i], content(i))
        assert store.wait_idle(20)
    assert {path.parent.name for path in files(tmp_path)} == {FINGERPRINT}
    assert not (tmp_path / "snapshots" / ("b" * 64)).exists()
