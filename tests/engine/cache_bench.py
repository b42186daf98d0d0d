"""A prefix cache over cells and snapshots that are plain objects."""

from __future__ import annotations

from localassist.engine.kv_cache import KvCache
from localassist.engine.prefix_cache import PrefixCache
from localassist.engine.sequence import Sequence, Status
from tests.engine.cell_twin import CellTwin, StoreTwin


class Bench:
    """A cache, and sequences whose cells are written by hand."""

    def __init__(
        self,
        *,
        cells: int = 200,
        slots: int = 12,
        max_sequences: int = 4,
        idle_cells: int | None = None,
        store: StoreTwin | None = None,
        can_share: bool = True,
    ) -> None:
        self.twin = CellTwin()
        self.kv = KvCache(self.twin, cells=cells, slots=slots)
        self.store = store
        self.cache = PrefixCache(self.kv, store, can_share=can_share, idle_cells=idle_cells)
        self.cache.most_resident = slots - max_sequences
        self.running: list[Sequence] = []

    def start(self, tokens: list[int], *, can_wait: bool = False) -> Sequence:
        sequence = Sequence(list(tokens))
        self.claim(sequence, can_wait=can_wait)
        return sequence

    def claim(self, sequence: Sequence, *, can_wait: bool = False) -> int:
        match = self.cache.match(sequence.tokens, sequence.logits_from)
        late = self.cache.claim(sequence, match, can_wait=can_wait)
        if not late:
            sequence.status = Status.RUNNING
            self.running.append(sequence)
        return late

    def compute(self, sequence: Sequence, count: int | None = None) -> None:
        count = sequence.pending if count is None else min(count, sequence.pending)
        assert self.cache.make_room(count)
        self.kv.reserve(sequence.slot, count)
        for _ in range(count):
            self.twin.write(sequence.slot, sequence.computed, sequence.tokens[sequence.computed])
            sequence.computed += 1

    def leave(self, sequence: Sequence) -> None:
        self.cache.publish(sequence, is_last=True)
        self.cache.release(sequence)
        self.running.remove(sequence)

    def keep(self, tokens: list[int]) -> None:
        """Compute a whole text and leave it behind."""
        sequence = self.start(tokens)
        self.compute(sequence)
        self.leave(sequence)

    def known(self, tokens: list[int]) -> int:
        return self.cache.match(tokens, len(tokens)).length

    def check(self) -> None:
        """Everything adds up, and every slot's cells spell what they should."""
        self.cache.check_integrity(self.running)
        assert self.kv.used_cells == self.twin.used_cells
        for sequence in self.running:
            expected = dict(enumerate(sequence.tokens[: sequence.computed]))
            assert self.twin.spell(sequence.slot) == expected
        for node in self.cache._tree.nodes():
            if node.slot is not None:
                spelled = self.twin.spell(node.slot)
                assert spelled == dict(enumerate(node.tokens, node.start))
        seen = {slot for slot, cells in self.twin.slots.items() if cells}
        held = {s.slot for s in self.running} | {n.slot for n in self.cache._resident}
        assert seen <= held, "a slot nobody has still sees cells"


def long_text(first: int, length: int = 60) -> list[int]:
    return [first, *range(100, 99 + length)]
