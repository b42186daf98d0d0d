"""KvCache against a naive twin in which a cell is an object and a slot a list of them."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from localassist.engine.kv_cache import Copy, KvCache, Truncate

CELLS, SLOTS = 12, 5


class KvCacheTwin(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.kv = KvCache(cells=CELLS, slots=SLOTS)
        self.slots: dict[int, list[object]] = {}
        self.locked: set[int] = set()

    @precondition(lambda self: len(self.slots) < SLOTS)
    @rule()
    def acquire(self) -> None:
        assert self.kv.has_free_slot
        slot = self.kv.acquire()
        assert slot not in self.slots
        self.slots[slot] = []

    @precondition(lambda self: set(self.slots) - self.locked)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(set(self.slots) - self.locked)))
        self.kv.release(slot)
        del self.slots[slot]

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def toggle_lock(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.slots)))
        if slot in self.locked:
            self.kv.unlock(slot)
        else:
            self.kv.lock(slot)
        self.locked ^= {slot}

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.slots)))
        count = data.draw(st.integers(0, self.kv.free_cells))
        self.kv.extend(slot, count)
        self.slots[slot] += [object() for _ in range(count)]

    @precondition(lambda self: self.slots)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.slots)))
        length = data.draw(st.integers(0, CELLS))
        self.kv.truncate(slot, length)
        del self.slots[slot][length:]

    @precondition(lambda self: self.slots and len(self.slots) < SLOTS)
    @rule(data=st.data())
    def copy_to_new(self, data: st.DataObject) -> None:
        source = data.draw(st.sampled_from(sorted(self.slots)))
        length = data.draw(st.integers(0, len(self.slots[source])))
        target = self.kv.acquire()
        self.kv.copy(source, target, length)
        self.slots[target] = self.slots[source][:length]

    @invariant()
    def counts_agree(self) -> None:
        used = {id(cell) for cells in self.slots.values() for cell in cells}
        pinned = {id(cell) for slot in self.locked for cell in self.slots[slot]}
        assert self.kv.used_cells == len(used)
        assert self.kv.free_cells == CELLS - len(used)
        assert self.kv.pinned_cells == len(pinned)
        for slot, cells in self.slots.items():
            assert self.kv.length(slot) == len(cells)
            unpinned = sum(1 for cell in cells if id(cell) not in pinned)
            assert self.kv.unpinned_cells(slot, len(cells)) == unpinned
        self.kv.check_integrity()


TestKvCacheTwin = KvCacheTwin.TestCase
TestKvCacheTwin.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_operations_come_in_order_and_once() -> None:
    kv = KvCache(cells=8, slots=2)
    first, second = kv.acquire(), kv.acquire()
    kv.extend(first, 5)
    kv.copy(first, second, 3)
    kv.truncate(first, 4)
    kv.truncate(first, 6)  # nothing to cut, nothing to repeat
    assert kv.drain_operations() == [Copy(first, second, 3), Truncate(first, 4)]
    assert kv.drain_operations() == []


def test_a_locked_slot_cannot_be_released() -> None:
    kv = KvCache(cells=4, slots=1)
    slot = kv.acquire()
    kv.lock(slot)
    with pytest.raises(AssertionError):
        kv.release(slot)


def test_integrity_check_notices_a_lost_cell() -> None:
    kv = KvCache(cells=4, slots=1)
    kv._free_cells.pop()
    with pytest.raises(AssertionError, match="lost"):
        kv.check_integrity()
