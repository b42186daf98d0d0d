"""KvCache against memory in which a cell is an object."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from localassist.engine.kv_cache import KvCache
from tests.engine.cell_twin import CellTwin

CELLS, SLOTS = 24, 6


class KvCacheTwin(RuleBasedStateMachine):
    """Slots with cells of their own from ``start`` on, and the cells of others before that."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = CellTwin()
        self.kv = KvCache(self.twin, cells=CELLS, slots=SLOTS)
        self.owned: dict[int, tuple[int, int]] = {}
        self.locked: set[int] = set()

    def draw_slot(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(sorted(self.owned)))

    @precondition(lambda self: len(self.owned) < SLOTS)
    @rule(start=st.integers(0, 5))
    def acquire(self, start: int) -> None:
        slot = self.kv.acquire()
        assert slot not in self.owned
        self.owned[slot] = start, start

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        slot = self.draw_slot(data)
        self.kv.release(slot)
        del self.owned[slot]
        self.locked.discard(slot)

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def toggle_lock(self, data: st.DataObject) -> None:
        slot = self.draw_slot(data)
        if slot in self.locked:
            self.kv.unlock(slot)
        else:
            self.kv.lock(slot)
        self.locked ^= {slot}

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def reserve(self, data: st.DataObject) -> None:
        slot = self.draw_slot(data)
        count = data.draw(st.integers(0, self.kv.free_cells))
        self.kv.reserve(slot, count)
        start, end = self.owned[slot]
        for position in range(end, end + count):
            self.twin.write(slot, position, position)
        self.owned[slot] = start, end + count

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        slot = self.draw_slot(data)
        start, end = self.owned[slot]
        count = data.draw(st.integers(0, end - start))
        self.kv.cut(slot, end - count, count)
        self.owned[slot] = start, end - count

    @precondition(lambda self: 0 < len(self.owned) < SLOTS)
    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        slot = self.draw_slot(data)
        start, end = self.owned[slot]
        if end - start < 2:
            return
        middle = data.draw(st.integers(start + 1, end - 1))
        target = self.kv.split(slot, middle, end)
        self.owned[slot] = start, middle
        self.owned[target] = middle, end
        if slot in self.locked:
            self.locked.add(target)

    @precondition(lambda self: 0 < len(self.owned) < SLOTS)
    @rule(data=st.data(), is_good=st.booleans())
    def save_and_load(self, data: st.DataObject, is_good: bool) -> None:
        source = self.draw_slot(data)
        start, end = self.owned[source]
        if start == end or end - start > self.kv.free_cells:
            return
        saved = self.kv.save(source) if is_good else memoryview(b"")
        target = self.kv.acquire()
        assert self.kv.load(target, saved, end - start) is is_good
        self.owned[target] = (start, end) if is_good else (0, 0)

    @invariant()
    def counts_agree(self) -> None:
        assert self.kv.used_cells == self.twin.used_cells
        assert self.kv.free_cells == CELLS - self.twin.used_cells
        for slot, (start, end) in self.owned.items():
            assert self.kv.owned(slot) == end - start
            assert sorted(self.twin.spell(slot)) == list(range(start, end))
        pinned = sum(end - start for start, end in map(self.owned.get, self.locked))
        assert self.kv.pinned_cells == pinned
        assert self.kv.free_slots == SLOTS - len(self.owned)
        self.kv.check_integrity()


TestKvCacheTwin = KvCacheTwin.TestCase
TestKvCacheTwin.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def fill(kv: KvCache, twin: CellTwin, start: int, end: int) -> int:
    slot = kv.acquire()
    kv.reserve(slot, end - start)
    for position in range(start, end):
        twin.write(slot, position, 100 + position)
    return slot


def test_shared_cells_belong_to_the_slot_they_came_from() -> None:
    twin = CellTwin()
    kv = KvCache(twin, cells=8, slots=3)
    segment, sequence = fill(kv, twin, 0, 4), kv.acquire()
    kv.lock(sequence)
    kv.share(segment, sequence, 0, 4)
    assert (kv.used_cells, kv.owned(sequence), kv.pinned_cells) == (4, 0, 0)
    assert twin.spell(sequence) == twin.spell(segment)


def test_cells_handed_over_are_seen_by_both_and_owned_by_the_other() -> None:
    twin = CellTwin()
    kv = KvCache(twin, cells=8, slots=3)
    sequence, segment = fill(kv, twin, 0, 4), kv.acquire()
    kv.lock(sequence)
    kv.hand_over(sequence, segment, 1, 4)
    assert (kv.owned(sequence), kv.owned(segment), kv.pinned_cells) == (1, 3, 1)
    assert twin.used_cells == kv.used_cells == 4
    assert sorted(twin.spell(sequence)) == [0, 1, 2, 3] and sorted(twin.spell(segment)) == [1, 2, 3]


def test_substituted_cells_become_free() -> None:
    twin = CellTwin()
    kv = KvCache(twin, cells=8, slots=3)
    segment, sequence = fill(kv, twin, 0, 3), fill(kv, twin, 0, 5)
    kv.substitute(sequence, segment, 0, 3)
    assert twin.used_cells == kv.used_cells == 5
    assert sorted(twin.spell(sequence)) == [0, 1, 2, 3, 4]


def test_integrity_check_notices_a_lost_cell_and_a_lost_slot() -> None:
    kv = KvCache(CellTwin(), cells=4, slots=2)
    slot = kv.acquire()
    kv._owned[slot] += 1
    with pytest.raises(AssertionError, match="used cells"):
        kv.check_integrity()
    kv._owned.clear()
    with pytest.raises(AssertionError, match="slot is lost"):
        kv.check_integrity()
