"""Accounting of KV cells and sequence ids, cell by cell; pure, the backend's cells follow it.

A *slot* is a sequence id of the backend. Slots may share cells (a copied prefix); a cell is free
again when no slot refers to it. A *locked* slot belongs to a running sequence: its cells are
*pinned* and must not be evicted. Every change that the backend has to repeat is appended to
``operations``, to be applied in order before the next forward pass.

Knows no tokens: which slot holds which text is the prefix cache's business.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Copy:
    """``target`` shares the first ``length`` cells of ``source``."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class Truncate:
    """``slot`` keeps only its first ``length`` cells."""

    slot: int
    length: int


Operation = Copy | Truncate


class KvCache:
    """``cells`` KV cells shared by ``slots`` sequence ids."""

    def __init__(self, *, cells: int, slots: int) -> None:
        self.total_cells = cells
        self.operations: list[Operation] = []
        self._free_cells = list(range(cells - 1, -1, -1))
        self._free_slots = list(range(slots - 1, -1, -1))
        self._cells_of: dict[int, list[int]] = {}
        self._references = [0] * cells
        self._locks = [0] * cells
        self._locked: set[int] = set()
        self._pinned = 0

    @property
    def free_cells(self) -> int:
        return len(self._free_cells)

    @property
    def used_cells(self) -> int:
        return self.total_cells - len(self._free_cells)

    @property
    def pinned_cells(self) -> int:
        """Cells of locked slots, shared ones counted once."""
        return self._pinned

    @property
    def has_free_slot(self) -> bool:
        return bool(self._free_slots)

    def length(self, slot: int) -> int:
        return len(self._cells_of[slot])

    def unpinned_cells(self, slot: int, length: int) -> int:
        """How many of the slot's first ``length`` cells locking it would newly pin."""
        locks = self._locks
        return sum(1 for cell in self._cells_of[slot][:length] if locks[cell] == 0)

    def acquire(self) -> int:
        """A free slot, empty and unlocked. There must be one (``has_free_slot``)."""
        slot = self._free_slots.pop()
        self._cells_of[slot] = []
        return slot

    def release(self, slot: int) -> None:
        """Give back the slot and its references to cells. It must be unlocked."""
        assert slot not in self._locked, "a locked slot cannot be released"
        self.truncate(slot, 0)
        del self._cells_of[slot]
        self._free_slots.append(slot)

    def lock(self, slot: int) -> None:
        """Pin the slot's cells, present and future."""
        assert slot not in self._locked, "slot is already locked"
        self._locked.add(slot)
        for cell in self._cells_of[slot]:
            self._pin(cell)

    def unlock(self, slot: int) -> None:
        """Undo ``lock``."""
        self._locked.remove(slot)
        for cell in self._cells_of[slot]:
            self._unpin(cell)

    def extend(self, slot: int, count: int) -> None:
        """Reserve ``count`` cells at the end of the slot; that many must be free."""
        assert count <= len(self._free_cells), "not enough free cells"
        is_locked = slot in self._locked
        cells = self._cells_of[slot]
        for _ in range(count):
            cell = self._free_cells.pop()
            self._references[cell] = 1
            if is_locked:
                self._pin(cell)
            cells.append(cell)

    def copy(self, source: int, target: int, length: int) -> None:
        """Let the empty, unlocked ``target`` share the first ``length`` cells of ``source``."""
        assert not self._cells_of[target], "the target of a copy must be empty"
        assert target not in self._locked, "the target of a copy must be unlocked"
        shared = self._cells_of[source][:length]
        for cell in shared:
            self._references[cell] += 1
        self._cells_of[target] = shared
        self.operations.append(Copy(source, target, length))

    def truncate(self, slot: int, length: int) -> None:
        """Drop the slot's references after ``length``."""
        cells = self._cells_of[slot]
        if length >= len(cells):
            return
        is_locked = slot in self._locked
        for cell in reversed(cells[length:]):
            if is_locked:
                self._unpin(cell)
            self._references[cell] -= 1
            if self._references[cell] == 0:
                self._free_cells.append(cell)
        del cells[length:]
        self.operations.append(Truncate(slot, length))

    def drain_operations(self) -> list[Operation]:
        """The changes since the last drain, oldest first."""
        operations, self.operations = self.operations, []
        return operations

    def _pin(self, cell: int) -> None:
        if self._locks[cell] == 0:
            self._pinned += 1
        self._locks[cell] += 1

    def _unpin(self, cell: int) -> None:
        self._locks[cell] -= 1
        if self._locks[cell] == 0:
            self._pinned -= 1

    def check_integrity(self) -> None:
        """Recount everything; an assertion fails when a cell or slot was lost or counted twice."""
        references = Counter(cell for cells in self._cells_of.values() for cell in cells)
        locks = Counter(cell for slot in self._locked for cell in self._cells_of[slot])
        for cell in range(self.total_cells):
            assert self._references[cell] == references[cell], f"references of cell {cell}"
            assert self._locks[cell] == locks[cell], f"locks of cell {cell}"
        assert self._pinned == len(locks), "pinned cells"
        free = set(self._free_cells)
        assert len(free) == len(self._free_cells), "a cell is free twice"
        assert free.isdisjoint(references), "a used cell is free"
        assert len(free) + len(references) == self.total_cells, "a cell is lost"
        assert set(self._free_slots).isdisjoint(self._cells_of), "a used slot is free"
        assert self._locked <= self._cells_of.keys(), "a free slot is locked"
