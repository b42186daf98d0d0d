"""PrefixCache: what is found, shared, kept."""

from __future__ import annotations

from localassist.engine.sequence import Sequence
from tests.engine.cache_bench import Bench, long_text
from tests.engine.cell_twin import StoreTwin


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


def test_the_tree_is_bounded() -> None:
    store = StoreTwin()
    bench = Bench(store=store)
    bench.cache._stored._most_tokens = 200
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
