"""PrefixCache over cells and snapshots that are plain objects: what is found, shared, kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from localassist.engine import prefix_cache
from localassist.engine.kv_cache import KvCache
from localassist.engine.prefix_cache import PrefixCache
from localassist.engine.radix_tree import RadixTree, common_prefix
from localassist.engine.sequence import Sequence, Status
from tests.engine.cell_twin import CellTwin, StoreTwin


@given(
    shared=st.integers(0, 700),
    a=st.lists(st.integers(0, 1)),
    b=st.lists(st.integers(0, 1)),
    start=st.integers(0, 9),
    cut=st.integers(0, 9),
)
def test_common_prefix_equals_the_naive_one(
    shared: int, a: list[int], b: list[int], start: int, cut: int
) -> None:
    a = list(range(shared)) + a
    b = [7] * start + list(range(shared)) + b
    end = len(b) - cut
    part = b[start : max(start, end)]
    naive = next((i for i, (x, y) in enumerate(zip(a, part, strict=False)) if x != y), None)
    expected = min(len(a), len(part)) if naive is None else naive
    assert max(0, common_prefix(a, b, start, end)) == expected


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
        self.patch.setattr(prefix_cache, "_WORTH_SAVING", 3)
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


def test_a_follow_up_computes_only_what_is_new_and_grows_the_same_segment() -> None:
    bench = Bench()
    bench.keep([1, 2, 3])
    follow_up = bench.start([1, 2, 3, 4, 5])
    assert follow_up.computed == 3
    bench.compute(follow_up)
    bench.leave(follow_up)
    assert bench.known([1, 2, 3, 4, 5]) == 5
    assert len(bench.cache._resident) == 1 and bench.kv.used_cells == 5
    bench.check()


def test_texts_that_diverge_share_the_cells_of_their_beginning() -> None:
    bench = Bench()
    bench.keep([1, 2, 3, 4, 5])
    other = bench.start([1, 2, 9, 9])
    assert other.computed == 2
    assert bench.kv.pinned_cells == 2 and bench.kv.used_cells == 5
    bench.compute(other)
    bench.leave(other)
    bench.keep([1, 2, 3, 8])
    assert bench.kv.used_cells == 8
    assert bench.known([1, 2, 3, 4, 5]) == 5 and bench.known([1, 2, 9, 9]) == 4
    bench.check()


def test_a_prefix_is_shared_while_it_is_still_being_computed() -> None:
    bench = Bench()
    first = bench.start([1, 2, 3, 4, 5, 6])
    bench.compute(first, 2)
    bench.cache.publish(first)
    second = bench.start([1, 2, 3, 4, 7])
    assert second.computed == 2
    bench.compute(first, 2)
    bench.cache.publish(first)
    bench.compute(second)
    bench.cache.publish(second)  # its own 3 and 4 give way to the first one's
    assert bench.kv.used_cells == 5
    bench.compute(first)
    bench.check()
    bench.leave(first)
    bench.leave(second)
    assert bench.kv.used_cells == 7 and bench.kv.pinned_cells == 0
    bench.check()


def test_splitting_a_locked_segment_leaves_its_users_whole() -> None:
    bench = Bench()
    first = bench.start([1, 2, 3, 4, 5, 6])
    bench.compute(first)
    bench.cache.publish(first)
    second = bench.start([1, 2, 3, 9])
    assert second.computed == 3
    bench.check()
    bench.leave(second)
    bench.check()
    assert not bench.cache.make_room(195) and bench.kv.used_cells == 6
    bench.leave(first)
    assert bench.cache.make_room(200)


def test_only_matched_cells_that_are_pinned_count_as_such() -> None:
    bench = Bench()
    first = bench.start([1, 2, 3, 4, 5, 6])
    bench.compute(first)
    bench.cache.publish(first)
    bench.keep([1, 2, 3, 4, 5, 6, 7, 8])
    for text, locked in (([1, 2, 3, 9], 3), ([1, 2, 3, 4, 5, 6, 7, 9], 6), ([2], 0)):
        assert bench.cache.locked_length(bench.cache.match(text, len(text))) == locked


def test_a_long_segment_does_not_pin_more_than_is_wanted_of_it() -> None:
    bench = Bench(cells=100)
    bench.keep(list(range(90)))
    other = bench.start([*range(10), *range(100, 180)])
    assert bench.kv.pinned_cells == 10
    bench.compute(other)
    bench.check()


def test_disposable_sequences_leave_nothing() -> None:
    bench = Bench()
    bench.keep([1, 2, 3])
    sequence = Sequence([1, 2, 3, 4, 5], is_disposable=True)
    bench.claim(sequence)
    bench.compute(sequence)
    bench.leave(sequence)
    assert bench.kv.used_cells == 3 and bench.known([1, 2, 3, 4]) == 3
    bench.check()


def test_models_that_cannot_share_keep_nothing() -> None:
    bench = Bench(can_share=False, store=StoreTwin())
    bench.keep([1, 2, 3])
    assert bench.kv.used_cells == 0 and bench.known([1, 2, 3]) == 0
    assert bench.start([1, 2, 3, 4]).computed == 0


def test_the_least_recently_used_leaf_goes_first() -> None:
    bench = Bench()
    for text in ([1, 1, 1], [2, 2, 2], [2, 2, 3]):
        bench.keep(text)
    bench.leave(bench.start([1, 1, 1, 9]))
    order = []
    while bench.cache.evict():
        order.append([bench.known(text) for text in ([1, 1, 1], [2, 2, 2], [2, 2, 3])])
    assert order == [[3, 2, 3], [3, 2, 2], [3, 0, 0], [0, 0, 0]]
    assert bench.cache.evictions == 4


def test_trimming_leaves_so_many_idle_cells_and_all_locked_ones() -> None:
    bench = Bench(idle_cells=5)
    for first in range(4):
        bench.keep([first] * 4)
    running = bench.start([0, 0, 0, 0, 1])
    bench.cache.trim()
    assert (bench.kv.pinned_cells, bench.kv.used_cells) == (4, 8)
    bench.check()
    bench.leave(running)


def test_cells_that_may_lie_far_behind_come_back_as_the_first_ones() -> None:
    bench = Bench(cells=900, idle_cells=0, store=StoreTwin())
    crowd = [bench.start(long_text(1) + [2 + i] * 200) for i in range(3)]
    for sequence in crowd:
        bench.compute(sequence)
    for sequence in crowd:
        bench.leave(sequence)
    assert bench.kv.peak_cells > 600
    wanted = long_text(1) + [2] * 40 + [9]
    match = bench.cache.match(wanted, 100)
    assert bench.cache.compact(match)
    assert bench.kv.used_cells == bench.kv.peak_cells == 0
    again = bench.start(wanted)
    assert again.computed == match.length == 100
    assert bench.kv.peak_cells < 600
    bench.check()


def test_cells_stay_when_they_lie_close_or_could_not_come_back() -> None:
    for store, idle_cells in ((StoreTwin(), 0), (None, 0), (StoreTwin(), None)):
        bench = Bench(cells=900, idle_cells=idle_cells, store=store)
        length = 200 if store is not None and idle_cells == 0 else 600
        bench.keep(long_text(1, length))
        bench.keep(long_text(2, 40))
        match = bench.cache.match(long_text(2, 40), 40)
        assert match.length == 40
        assert not bench.cache.compact(match)
        assert bench.known(long_text(1, length)) == length


def test_segments_leave_slots_for_running_sequences() -> None:
    bench = Bench(slots=5, max_sequences=3)
    for first in range(4):
        bench.keep([first, 7])
    assert bench.kv.free_slots == 3
    started = [bench.start([first, 7, 8]) for first in range(3)]
    for sequence in started:
        bench.compute(sequence)
        bench.cache.publish(sequence)
    bench.check()
    for sequence in started:
        bench.leave(sequence)
    bench.check()


def long_text(first: int, length: int = 60) -> list[int]:
    return [first, *range(100, 99 + length)]


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


def test_the_tree_is_bounded() -> None:
    store = StoreTwin()
    bench = Bench(store=store)
    bench.cache._most_tokens = 200
    for first in range(6):
        bench.keep(long_text(first))
        bench.cache.make_room(200)
        bench.cache.trim()
        bench.check()
    assert bench.cache._tree.tokens <= 200
    assert bench.known(long_text(5)) == 60 and bench.known(long_text(0)) == 0
    assert len(store.entries()) == bench.cache._tree.tokens // 60


def test_a_conversation_of_many_turns_needs_few_slots_and_is_found_whole() -> None:
    """Each turn adds to what is stored already; a path with more segments than there are slots
    could not be used whole."""
    bench = Bench(cells=4000, slots=12, store=StoreTwin(), idle_cells=0)
    texts = {speaker: [speaker] * 40 for speaker in (1, 2)}
    for turn in range(30):
        for text in texts.values():
            found = bench.known(text[:-1])
            assert turn == 0 or found == len(text) - 21
            bench.keep(text)
            bench.cache.trim()
            while bench.cache.save_some():
                pass
            text += [turn + 10] * 20 + [9]
            bench.check()
    assert len(bench.cache._resident) <= 8
    restarted = Bench(cells=4000, slots=12, store=bench.store, idle_cells=0)
    for text in texts.values():
        restarted.keep(text)
        assert restarted.cache.restored_tokens > 0
        restarted.check()


def test_segments_that_others_use_alone_are_not_joined() -> None:
    bench = Bench(cells=4000, slots=20, store=StoreTwin())
    text = [1] * 40
    borders = []
    for turn in range(12):
        bench.keep(text)
        bench.keep([*text, 8, turn])  # something branches off after every turn
        borders.append(len(text))
        text = [*text, *[turn + 10] * 3]
        while bench.cache.save_some():
            pass
        bench.check()
    assert all(bench.known([*text[:border], 8, i]) > border for i, border in enumerate(borders))


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
