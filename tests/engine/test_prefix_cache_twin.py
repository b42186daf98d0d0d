"""PrefixCache against a naive twin, and how segments are placed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from localassist.engine import prefix_cache, stored_segments
from localassist.engine.radix_tree import RadixTree, common_prefix
from localassist.engine.sequence import Sequence
from tests.engine.cache_bench import Bench
from tests.engine.cell_twin import StoreTwin

LETTERS = st.lists(st.integers(0, 1), min_size=1, max_size=6)
MAX_SEQUENCES = 3


class CacheTwin(RuleBasedStateMachine):
    """Sequences start, grow, are preempted and leave in any order, over a store that loses things.

    The twin of the tree is the set of all texts that were ever published.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = StoreTwin()
        self.texts: list[list[int]] = []
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(stored_segments, "_WORTH_SAVING", 3)
        self.patch.setattr(prefix_cache, "_WORTH_LOADING", 0.3)
        self.patch.setattr(prefix_cache, "_MOST_SEGMENTS", 2)
        self.open()

    def teardown(self) -> None:
        self.patch.undo()

    def open(self) -> None:
        self.bench = Bench(
            cells=40,
            slots=MAX_SEQUENCES + 5,
            max_sequences=MAX_SEQUENCES,
            idle_cells=12,
            store=self.store,
        )
        self.waiting: list[Sequence] = []

    def draw_running(self, data: st.DataObject) -> Sequence:
        return data.draw(st.sampled_from(self.bench.running))

    @property
    def can_start(self) -> bool:
        return len(self.bench.running) < MAX_SEQUENCES

    def fits(self, sequence: Sequence) -> bool:
        match = self.bench.cache.match(sequence.tokens, sequence.logits_from)
        needed = len(sequence.tokens) - self.bench.cache.locked_length(match)
        pending = sum(other.pending for other in self.bench.running)
        return self.bench.kv.pinned_cells + pending + needed <= self.bench.kv.total_cells

    def draw_text(self, data: st.DataObject, tail: list[int]) -> list[int]:
        """A text that begins like one that was there before, for a while."""
        known = data.draw(st.sampled_from(self.texts)) if self.texts else []
        return (known[: data.draw(st.integers(0, len(known)))] + tail)[:20]

    @precondition(lambda self: self.can_start)
    @rule(
        data=st.data(),
        tail=LETTERS,
        is_disposable=st.booleans(),
        can_wait=st.booleans(),
        count=st.integers(0, 20),
    )
    def start(
        self,
        data: st.DataObject,
        tail: list[int],
        is_disposable: bool,
        can_wait: bool,
        count: int,
    ) -> None:
        sequence = Sequence(self.draw_text(data, tail), is_disposable=is_disposable)
        if self.begin(sequence, can_wait):
            self.compute_some(sequence, count, publishes=True)

    @precondition(lambda self: self.can_start)
    @rule(data=st.data(), tail=LETTERS, step=st.integers(1, 20))
    def keep(self, data: st.DataObject, tail: list[int], step: int) -> None:
        """A sequence from its start to its end."""
        sequence = Sequence(self.draw_text(data, tail))
        if self.begin(sequence, can_wait=False):
            while sequence.pending and self.compute_some(sequence, step, publishes=True):
                self.all_adds_up()
            self.part_with(sequence, publishes=True)

    @precondition(lambda self: self.can_start and self.waiting)
    @rule(can_wait=st.booleans())
    def try_again(self, can_wait: bool) -> None:
        self.begin(self.waiting.pop(0), can_wait)

    def begin(self, sequence: Sequence, can_wait: bool) -> bool:
        if not self.fits(sequence):
            return False
        before = self.bench.kv.used_cells
        promised = self.bench.cache.match(sequence.tokens, sequence.logits_from).length
        late = self.bench.claim(sequence, can_wait=can_wait)
        if late:
            assert can_wait and self.bench.kv.used_cells == before
            self.waiting.append(sequence)
        else:
            assert sequence.computed == sequence.published <= promised
        return not late

    @precondition(lambda self: self.bench.running)
    @rule(data=st.data(), tail=LETTERS, count=st.integers(1, 9), publishes=st.booleans())
    def go_on(self, data: st.DataObject, tail: list[int], count: int, publishes: bool) -> None:
        sequence = self.draw_running(data)
        sequence.tokens += tail[: 20 - len(sequence.tokens)]
        self.compute_some(sequence, count, publishes)

    def compute_some(self, sequence: Sequence, count: int, publishes: bool) -> bool:
        count = min(count, sequence.pending)
        if not self.bench.cache.make_room(count):
            return False
        self.bench.compute(sequence, count)
        if publishes:
            self.bench.cache.publish(sequence)
        return True

    @precondition(lambda self: self.bench.running)
    @rule(data=st.data(), publishes=st.booleans())
    def leave(self, data: st.DataObject, publishes: bool) -> None:
        self.part_with(self.draw_running(data), publishes)

    def part_with(self, sequence: Sequence, publishes: bool) -> None:
        self.texts.append(list(sequence.tokens))
        if publishes:
            self.bench.cache.publish(sequence, is_last=True)
        self.bench.cache.release(sequence)
        self.bench.running.remove(sequence)

    @rule(action=st.sampled_from(["evict", "evict all", "trim", "save", "save all"]))
    def make_way(self, action: str) -> None:
        cache, kv = self.bench.cache, self.bench.kv
        idle = kv.used_cells - kv.pinned_cells
        if action.startswith("evict"):
            # Cells of sequences are pinned, so whatever is not can go.
            assert cache.evict() is (idle > 0)
            while action == "evict all" and cache.evict():
                pass
        elif action == "trim":
            cache.trim()
            assert kv.used_cells - kv.pinned_cells <= 12
        else:
            saved = cache.saved
            assert cache.save_some() is (cache.saved == saved + 1)
            while action == "save all" and cache.save_some():
                pass

    @precondition(lambda self: self.store.entry_of)
    @rule(data=st.data(), action=st.sampled_from(["lose", "delay", "spoil"]))
    def disturb_store(self, data: st.DataObject, action: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.store.entry_of)))
        if action == "lose":
            del self.store.entry_of[key]
        elif action == "delay":
            self.store.late[key] = 2
        else:
            self.store.spoil(key)

    @rule(is_orderly=st.booleans())
    def restart(self, is_orderly: bool) -> None:
        """A new process: the store is all that is left. A killed one leaves whatever it had."""
        if is_orderly:
            for sequence in list(self.bench.running):
                self.bench.leave(sequence)
            while self.bench.cache.save_some():
                pass
        self.open()

    @invariant()
    def all_adds_up(self) -> None:
        self.bench.check()

    @invariant()
    def matches_are_true_and_nothing_with_cells_is_missed(self) -> None:
        tree = self.bench.cache._tree
        whole = {tuple(tree.prefix(node) + node.tokens): node for node in tree.nodes()}
        for text in self.texts[-4:]:
            match = self.bench.cache.match(text, len(text))
            path = match.node.path()
            assert [t for n in path for t in n.tokens][: match.length] == text[: match.length]
            assert not any(node.is_hollow for node in path)
            best = 0
            for tokens, node in whole.items():
                if node.slot is not None:
                    best = max(best, common_prefix(list(tokens), text))
            assert match.length >= best


TestCacheTwin = CacheTwin.TestCase
TestCacheTwin.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@settings(deadline=None, max_examples=100)
@given(
    texts=st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=10), min_size=1, max_size=12),
    borders=st.lists(st.integers(0, 9), min_size=12, max_size=12),
)
def test_placed_segments_never_overlap(texts: list[list[int]], borders: list[int]) -> None:
    """Whatever is found on disk: each segment has its place to itself or is left out."""
    tree = RadixTree()
    placed = []
    for text, border in zip(texts, borders, strict=False):
        start = min(border, len(text) - 1)
        node = tree.place(text, start)
        if node is not None:
            node.key = bytes([len(placed)])
            placed.append((node, start, text))
        tree.check_integrity()
    for node, start, text in placed:
        assert node.start == start and tree.prefix(node) + node.tokens == text
    for node, *_ in placed:
        node.key = None
        tree.prune(node)
    assert tree.tokens == 0 and not tree.root.children
