"""Finished sequences kept as reusable prefixes, least recently used first out.

First form: a flat list of idle sequences, searched for the longest common token prefix. A radix
tree over token ids replaces the search without changing this interface: ``claim`` for a new
sequence, ``insert`` for a finished one, ``evict`` when cells or slots run short,
``check_integrity`` whenever nothing is running.

Works on the accounting of ``KvCache`` alone; knows no model and no requests.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from localassist.engine.kv_cache import KvCache

_BLOCK = 256


def common_prefix(a: list[int], b: list[int]) -> int:
    """Length of the longest common prefix."""
    end = min(len(a), len(b))
    start = 0
    while start + _BLOCK <= end and a[start : start + _BLOCK] == b[start : start + _BLOCK]:
        start += _BLOCK
    while start < end and a[start] == b[start]:
        start += 1
    return start


@dataclass(frozen=True, slots=True)
class Source:
    """A slot whose cells hold ``tokens``, in order. ``is_idle``: nobody is using it."""

    slot: int
    tokens: list[int]
    is_idle: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """The best prefix found: ``length`` cells of ``source``, or nothing."""

    source: Source | None = None
    length: int = 0


class PrefixCache:
    """Idle sequences over a ``KvCache``, ordered from least to most recently used.

    With ``can_share`` False (models whose state cannot be cut) nothing is kept.
    """

    def __init__(self, kv: KvCache, *, can_share: bool = True) -> None:
        self.evictions = 0
        self._kv = kv
        self._can_share = can_share
        self._idle: dict[int, Source] = {}

    def __len__(self) -> int:
        return len(self._idle)

    def match(self, tokens: list[int], limit: int, running: Iterable[Source] = ()) -> Match:
        """The longest prefix of ``tokens[:limit]`` among idle and ``running`` sources.

        Does not modify the cache. On a tie the idle source that ends with the match wins, because
        it can be taken over without using another slot.
        """
        best = Match()
        if not self._can_share:
            return best
        best_rank = (0, False)
        for source in (*self._idle.values(), *running):
            length = min(common_prefix(source.tokens, tokens), limit)
            rank = (length, source.is_idle and len(source.tokens) <= length + 1)
            if length > 0 and rank > best_rank:
                best, best_rank = Match(source, length), rank
        return best

    def claim(self, match: Match, *, is_disposable: bool = False) -> int:
        """Turn a match into a locked slot holding exactly the matched cells.

        An idle source that ends where the match ends (give or take the one token that has to be
        computed again) is taken over, unless the claimer is disposable; any other source is
        copied. May evict idle sequences to find a slot; there must be a free or an idle one.
        """
        source, kv = match.source, self._kv
        if source is not None and source.is_idle and not is_disposable:
            if len(source.tokens) <= match.length + 1:
                return self._take_over(source, match.length)
        if source is not None and source.is_idle:
            self._touch(source)
        if not kv.has_free_slot:
            self._evict_other(source)
        if not kv.has_free_slot:
            assert source is not None and source.is_idle, "no slot left to claim"
            return self._take_over(source, match.length)
        slot = kv.acquire()
        if source is not None:
            kv.copy(source.slot, slot, match.length)
        kv.lock(slot)
        return slot

    def insert(self, slot: int, tokens: list[int]) -> None:
        """Keep a locked slot, whose cells hold ``tokens``, as idle; or release it.

        It is released when empty or when another idle sequence already holds the same prefix;
        idle sequences that are a prefix of the new one are released instead.
        """
        kv = self._kv
        assert kv.length(slot) == len(tokens), "tokens and cells disagree"
        kv.unlock(slot)
        if not tokens or not self._can_share:
            kv.release(slot)
            return
        for other in list(self._idle.values()):
            shared = common_prefix(other.tokens, tokens)
            if shared == len(tokens):
                self._touch(other)
                kv.release(slot)
                return
            if shared == len(other.tokens):
                self._drop(other)
        self._idle[slot] = Source(slot, tokens, is_idle=True)

    def evict(self) -> bool:
        """Release the least recently used idle sequence; False when there is none."""
        for source in self._idle.values():
            self._drop(source)
            self.evictions += 1
            return True
        return False

    def make_room(self, cells: int) -> bool:
        """Evict until ``cells`` cells are free; False when even an empty cache is not enough."""
        while self._kv.free_cells < cells:
            if not self.evict():
                return False
        return True

    def clear(self) -> None:
        """Release every idle sequence."""
        while self.evict():
            pass

    def check_integrity(self) -> None:
        """Recount: every idle source owns an unlocked slot with as many cells as tokens."""
        self._kv.check_integrity()
        for slot, source in self._idle.items():
            assert slot == source.slot and source.is_idle, f"entry of slot {slot}"
            assert self._kv.length(slot) == len(source.tokens), f"cells of slot {slot}"

    def _take_over(self, source: Source, length: int) -> int:
        del self._idle[source.slot]
        self._kv.truncate(source.slot, length)
        self._kv.lock(source.slot)
        return source.slot

    def _touch(self, source: Source) -> None:
        self._idle[source.slot] = self._idle.pop(source.slot)

    def _drop(self, source: Source) -> None:
        del self._idle[source.slot]
        self._kv.release(source.slot)

    def _evict_other(self, spared: Source | None) -> None:
        """Evict the least recently used idle sequence that is not ``spared``."""
        for source in self._idle.values():
            if source is not spared:
                self._drop(source)
                self.evictions += 1
                return
