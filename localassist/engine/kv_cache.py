"""Who holds how many KV cells, and every change to them: counted here, made in the cell memory.

A *slot* is a sequence id of the backend; it sees the cells of some consecutive positions. Several
slots may see the same cell, but exactly one *owns* it: the slot of a cached segment, or the slot of
the running sequence that computed it. So counts per slot are enough; no cell is known by itself.
The cells of a *locked* slot are *pinned*: a running sequence needs them.

Knows no tokens: which slot holds which text is the prefix cache's business.
"""

from __future__ import annotations

from localassist.engine.backend import CellMemory


class KvCache:
    """``cells`` KV cells and ``slots`` sequence ids of a ``CellMemory``."""

    def __init__(self, memory: CellMemory, *, cells: int, slots: int) -> None:
        self.total_cells = cells
        self.total_slots = slots
        self._memory = memory
        self._free_slots = list(range(slots - 1, -1, -1))
        self._owned: dict[int, int] = {}
        self._locked: set[int] = set()
        self._used = 0
        self._pinned = 0
        self._peak = 0

    @property
    def used_cells(self) -> int:
        return self._used

    @property
    def free_cells(self) -> int:
        return self.total_cells - self._used

    @property
    def pinned_cells(self) -> int:
        """Cells that locked slots own."""
        return self._pinned

    @property
    def unpinned_cells(self) -> int:
        """Cells that are free, or would be without idle segments."""
        return self.total_cells - self._pinned

    @property
    def peak_cells(self) -> int:
        """Most cells used at once since ``forget_peak``. Free cells are filled from the first one
        on, so those in use lie among about so many."""
        return self._peak

    def forget_peak(self) -> None:
        """The cells in use lie close together again."""
        self._peak = self._used

    @property
    def free_slots(self) -> int:
        return len(self._free_slots)

    def owned(self, slot: int) -> int:
        """Cells the slot owns; it may see others."""
        return self._owned[slot]

    def acquire(self) -> int:
        """A free slot, empty and unlocked; there must be one."""
        slot = self._free_slots.pop()
        self._owned[slot] = 0
        return slot

    def release(self, slot: int) -> None:
        """Give back the slot; the cells it owns become free, so nobody else may see them."""
        if slot in self._locked:
            self.unlock(slot)
        self._memory.drop_cells(slot)
        self._used -= self._owned.pop(slot)
        self._free_slots.append(slot)

    def lock(self, slot: int) -> None:
        """Pin the slot's own cells, present and future."""
        assert slot not in self._locked, "slot is already locked"
        self._locked.add(slot)
        self._pinned += self._owned[slot]

    def unlock(self, slot: int) -> None:
        """Undo ``lock``."""
        self._locked.remove(slot)
        self._pinned -= self._owned[slot]

    def reserve(self, slot: int, count: int) -> None:
        """Count ``count`` cells that the next pass fills; that many must be free."""
        assert count <= self.free_cells, "not enough free cells"
        self._add(slot, count)

    def share(self, source: int, target: int, start: int, end: int) -> None:
        """Let ``target`` see what ``source`` owns from position ``start`` to ``end``."""
        self._memory.copy_cells(source, target, start, end)

    def hand_over(self, source: int, target: int, start: int, end: int) -> None:
        """Let ``target`` see and own these cells of ``source``, which goes on seeing them."""
        self._memory.copy_cells(source, target, start, end)
        self._add(source, start - end)
        self._add(target, end - start)

    def substitute(self, slot: int, source: int, start: int, end: int) -> None:
        """Let ``slot`` see the cells of ``source`` in place of its own equal ones."""
        self._memory.drop_range(slot, start, end)
        self._memory.copy_cells(source, slot, start, end)
        self._add(slot, start - end)

    def split(self, slot: int, middle: int, end: int) -> int:
        """Move the cells from ``middle`` to ``end``, the slot's last ones, to a new slot, which is
        as locked as the old one. There must be a free slot."""
        target = self.acquire()
        if slot in self._locked:
            self.lock(target)
        self.hand_over(slot, target, middle, end)
        self._memory.drop_cells(slot, middle)
        return target

    def cut(self, slot: int, start: int, count: int) -> None:
        """Drop the slot's last ``count`` cells, its own, which begin at position ``start``."""
        self._memory.drop_cells(slot, start)
        self._add(slot, -count)

    def save(self, slot: int) -> memoryview:
        """The contents of the slot's cells. Raises BackendError."""
        return self._memory.save_cells(slot)

    def load(self, slot: int, data: memoryview, count: int) -> bool:
        """Fill an empty slot with ``count`` saved cells; that many must be free.

        False: the data was refused, and the slot is still empty.
        """
        assert count <= self.free_cells, "not enough free cells"
        if not self._memory.load_cells(slot, data):
            return False
        self._add(slot, count)
        return True

    def _add(self, slot: int, count: int) -> None:
        self._owned[slot] += count
        self._used += count
        self._peak = max(self._peak, self._used)
        if slot in self._locked:
            self._pinned += count

    def check_integrity(self) -> None:
        """Recount; an assertion fails when a cell or slot was lost or counted twice."""
        assert all(count >= 0 for count in self._owned.values()), "a slot owns less than nothing"
        assert self._used == sum(self._owned.values()), "used cells"
        assert self._used <= self.total_cells, "more cells used than there are"
        assert self._pinned == sum(self._owned[slot] for slot in self._locked), "pinned cells"
        assert self._locked <= self._owned.keys(), "a free slot is locked"
        free = set(self._free_slots)
        assert free.isdisjoint(self._owned), "a used slot is free"
        assert len(free) == len(self._free_slots), "a slot is free twice"
        assert len(free) + len(self._owned) == self.total_slots, "a slot is lost"
