"""PrefixCache: what is found, what is shared, what goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from localassist.engine.kv_cache import Copy, KvCache
from localassist.engine.prefix_cache import PrefixCache, Source, common_prefix

short_tokens = st.lists(st.integers(0, 2), min_size=1, max_size=8)


@given(shared=st.integers(0, 700), a=st.lists(st.integers(0, 1)), b=st.lists(st.integers(0, 1)))
def test_common_prefix_equals_the_naive_one(shared: int, a: list[int], b: list[int]) -> None:
    head = list(range(shared))
    a, b = head + a, head + b
    naive = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
    assert common_prefix(a, b) == (min(len(a), len(b)) if naive is None else naive)


def make_cache(cells: int = 64, slots: int = 4) -> tuple[KvCache, PrefixCache]:
    kv = KvCache(cells=cells, slots=slots)
    return kv, PrefixCache(kv)


def store(kv: KvCache, cache: PrefixCache, tokens: list[int]) -> int:
    """Put an idle sequence into the cache as a finished request would."""
    slot = cache.claim(cache.match([], 0))
    kv.extend(slot, len(tokens))
    cache.insert(slot, tokens)
    return slot


@given(stored=st.lists(short_tokens, max_size=4), running=short_tokens, wanted=short_tokens)
def test_match_is_the_longest_prefix_of_all_sources(
    stored: list[list[int]], running: list[int], wanted: list[int]
) -> None:
    kv, cache = make_cache(slots=6)
    for tokens in stored:
        store(kv, cache, tokens)
    limit = len(wanted) - 1
    match = cache.match(wanted, limit, [Source(5, running)])
    best = max(min(common_prefix(tokens, wanted), limit) for tokens in [*stored, running])
    assert match.length == best
    assert (match.source is None) == (best == 0)
    cache.check_integrity()


def test_a_follow_up_takes_the_idle_sequence_over() -> None:
    kv, cache = make_cache()
    stored = store(kv, cache, [1, 2, 3])
    kv.drain_operations()
    slot = cache.claim(cache.match([1, 2, 3, 4, 5], 4))
    assert slot == stored and kv.length(slot) == 3 and len(cache) == 0
    assert kv.drain_operations() == []
    assert kv.pinned_cells == 3


def test_a_diverging_prompt_shares_the_cells_of_the_beginning() -> None:
    kv, cache = make_cache()
    stored = store(kv, cache, [1, 2, 3, 4, 5])
    kv.drain_operations()
    slot = cache.claim(cache.match([1, 2, 9, 9], 3))
    assert slot != stored and len(cache) == 1
    assert kv.drain_operations() == [Copy(stored, slot, 2)]
    assert kv.used_cells == 5 and kv.pinned_cells == 2


def test_a_disposable_claim_leaves_the_source_in_place() -> None:
    kv, cache = make_cache()
    stored = store(kv, cache, [1, 2, 3])
    slot = cache.claim(cache.match([1, 2, 3, 4], 3), is_disposable=True)
    assert slot != stored and len(cache) == 1


def test_least_recently_used_goes_first() -> None:
    kv, cache = make_cache()
    for tokens in ([1, 1, 1], [2, 2, 2], [3, 3, 3]):
        store(kv, cache, tokens)
    touched = cache.claim(cache.match([1, 9, 9, 9], 3))  # copies, so [1, 1, 1] is fresh again
    assert cache.evict() and cache.evict()
    assert cache.match([1, 1, 1, 1], 3).length == 3
    assert cache.match([2, 2, 2, 2], 3).length == 0
    assert cache.match([3, 3, 3, 3], 3).length == 0
    assert cache.evictions == 2
    cache.insert(touched, [1])
    cache.check_integrity()


def test_the_only_idle_source_is_taken_over_when_slots_run_out() -> None:
    kv, cache = make_cache(slots=1)
    stored = store(kv, cache, [1, 2, 3, 4, 5, 6])
    slot = cache.claim(cache.match([1, 2, 9], 2))
    assert slot == stored and kv.length(slot) == 2 and len(cache) == 0


def test_a_sequence_that_others_contain_is_not_kept_twice() -> None:
    kv, cache = make_cache()
    store(kv, cache, [1, 2, 3])
    store(kv, cache, [1, 2])
    assert len(cache) == 1 and kv.used_cells == 3
    store(kv, cache, [1, 2, 3, 4])
    assert len(cache) == 1 and kv.used_cells == 4


def test_make_room_evicts_only_what_is_needed() -> None:
    kv, cache = make_cache(cells=10)
    store(kv, cache, [1] * 4)
    store(kv, cache, [2] * 4)
    assert cache.make_room(2) and len(cache) == 2
    assert cache.make_room(5) and len(cache) == 1
    assert not cache.make_room(11) and len(cache) == 0


def test_models_that_cannot_share_keep_nothing() -> None:
    kv = KvCache(cells=8, slots=2)
    cache = PrefixCache(kv, can_share=False)
    store(kv, cache, [1, 2, 3])
    assert len(cache) == 0 and kv.used_cells == 0
    assert cache.match([1, 2, 3, 4], 3, [Source(0, [1, 2, 3])]).source is None
