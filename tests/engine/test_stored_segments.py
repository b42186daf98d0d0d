"""Segments of a prefix cache that are stored, and come back."""

from __future__ import annotations

import pytest

from localassist.engine.sequence import Sequence
from tests.engine.cache_bench import Bench, long_text
from tests.engine.cell_twin import StoreTwin


def test_evicted_segments_come_back_from_the_store() -> None:
    bench = Bench(store=StoreTwin())
    bench.keep(long_text(1))
    assert bench.cache.evict() and bench.kv.used_cells == 0
    assert bench.cache.saved == 1
    again = bench.start([*long_text(1), 5])
    assert again.computed == 60 and bench.cache.restored_tokens == 60
    bench.check()


def test_short_segments_are_saved_only_below_or_above_others() -> None:
    bench = Bench(store=StoreTwin())
    bench.keep([1, 2, 3])
    assert not bench.cache.save_some()
    bench.keep([1, *long_text(9)])
    bench.keep([1, *long_text(8)])
    saved = 0
    while bench.cache.save_some():
        saved += 1
        assert saved == 1 or bench.store is not None
    assert saved == 3  # the shared first token, too: without it the others could not be used
    assert min(len(entry.tokens) for entry in bench.store.entries()) == 1


def test_a_short_beginning_is_saved_before_it_goes_if_others_are_stored_below() -> None:
    store = StoreTwin()
    before = Bench(store=store)
    for first in (1, 2):
        before.keep([5, *long_text(first)])
    assert before.cache.make_room(200)
    bench = Bench(store=store)
    assert bench.start([5, *long_text(1), 3]).computed == 61


def test_a_restart_finds_the_texts_of_the_process_before() -> None:
    store = StoreTwin()
    before = Bench(store=store)
    for first in (1, 2):
        before.keep([5, 5, *long_text(first)])
    while before.cache.save_some():
        pass
    bench = Bench(store=store)
    assert bench.known([5, 5, *long_text(2)]) == 62 and bench.kv.used_cells == 0
    assert bench.start([5, 5, *long_text(2), 3]).computed == 62
    bench.check()


def test_a_lost_beginning_makes_the_rest_wait_until_it_is_computed_again() -> None:
    store = StoreTwin()
    before = Bench(store=store)
    before.keep([5, 5, *long_text(1)])
    before.keep([5, 5, *long_text(2)])
    while before.cache.save_some():
        pass
    for entry in store.entries():
        if entry.start == 0:
            store.discard(entry.key)
    bench = Bench(store=store)
    text = [5, 5, *long_text(1)]
    assert bench.known(text) == 0
    bench.keep([5, 5, 6])
    assert bench.known(text) == 62
    assert bench.start([*text, 7]).computed == 62
    bench.check()


def test_part_of_a_lost_beginning_is_kept_when_its_sequence_leaves() -> None:
    store = StoreTwin()
    before = Bench(store=store)
    before.keep([*range(9), *long_text(50)])
    before.keep([*range(9), *long_text(51)])
    while before.cache.save_some():
        pass
    for entry in store.entries():
        if entry.start == 0:
            store.discard(entry.key)
    bench = Bench(store=store)
    bench.keep([0, 1, 2, 3])
    assert bench.known([0, 1, 2, 3]) == 4
    bench.keep(list(range(9)))
    assert bench.known([*range(9), *long_text(51)]) == 69
    bench.check()


def test_what_is_above_counts_as_used_after_what_is_below() -> None:
    store = StoreTwin()
    bench = Bench(store=store)
    bench.keep(long_text(1))
    bench.cache.save_some()
    bench.keep([*long_text(1), 5, 6])
    bench.cache.save_some()
    store.touched.clear()
    bench.start([*long_text(1), 5, 6, 7])
    ends = {entry.key: len(entry.tokens) for entry in store.entries()}
    assert [ends[key] for key in store.touched] == [62, 60]


def test_late_snapshots_are_waited_for_without_taking_anything() -> None:
    store = StoreTwin()
    bench = Bench(store=store)
    bench.keep(long_text(1))
    bench.cache.evict()
    (entry,) = store.entries()
    store.late[entry.key] = 2
    sequence = Sequence([*long_text(1), 5])
    assert bench.claim(sequence, can_wait=True) == 1
    assert bench.kv.free_slots == bench.kv.total_slots
    assert bench.claim(sequence, can_wait=False) == 0 and sequence.computed == 0
    bench.leave(sequence)
    assert bench.start([*long_text(1), 5]).computed == 60


def test_lost_and_damaged_snapshots_are_computed_again() -> None:
    for damage in (StoreTwin.discard, StoreTwin.spoil):
        store = StoreTwin()
        bench = Bench(store=store)
        bench.keep(long_text(1))
        bench.cache.evict()
        (entry,) = store.entries()
        damage(store, entry.key)
        sequence = bench.start([*long_text(1), 5])
        assert sequence.computed == 0
        assert not store.entries()
        bench.compute(sequence)
        bench.leave(sequence)
        assert bench.known([*long_text(1), 5]) == 61
        bench.check()


def test_little_of_a_long_stored_segment_is_not_worth_loading() -> None:
    bench = Bench(store=StoreTwin())
    bench.keep(long_text(1))
    bench.cache.evict()
    assert bench.known(long_text(1)[:7] + [0]) == 0
    assert bench.known(long_text(1)[:8] + [0]) == 8


def test_a_stored_segment_is_loaded_to_be_split() -> None:
    store = StoreTwin()
    bench = Bench(store=store)
    bench.keep(long_text(1))
    bench.cache.evict()
    bench.keep([*long_text(1)[:5], 0, 0])
    assert bench.known(long_text(1)) == 60 and bench.known([*long_text(1)[:5], 0, 0]) == 7
    assert not store.entries()  # the halves have not been saved yet
    bench.check()


def test_restoring_does_not_evict_its_own_path() -> None:
    store = StoreTwin()
    bench = Bench(cells=100, store=store)
    text = long_text(1, 40)
    bench.keep(text)
    bench.cache.save_some()
    bench.keep([*text, *range(40)])
    while bench.cache.evict():
        pass
    bench.keep([9] * 50)
    sequence = bench.start([*text, *range(40), 3])
    assert sequence.computed == 80
    bench.check()


def test_cells_that_there_is_no_memory_to_save_are_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Short(StoreTwin):
        def put(self, prefix: object, segment: object, data: memoryview) -> bytes:
            raise MemoryError

    bench = Bench(store=Short())
    bench.keep([1] * 50)
    bench.keep([2] * 50)
    with caplog.at_level("WARNING"):
        assert not bench.cache.save_some()
        assert bench.cache.make_room(140)
    assert "no memory" in caplog.text
    assert bench.cache.saved == 0 and bench.known([1] * 50) == 0 and bench.known([2] * 50) == 50
    bench.check()
