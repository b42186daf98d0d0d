"""KV cells of earlier prompts and answers, shared by whoever begins with the same tokens.

A radix tree over token ids (``radix_tree``) says which prefixes are known. The cells of a segment
lie in a slot of the context, in a snapshot, or in both. A sequence that begins with known segments
sees their cells; what it computes itself is *published*, that is, handed over to the tree, chunk by
chunk while its prompt is prefilled and once more when it leaves.

- Segments on the path of a running sequence are locked. Whatever is above a locked segment is
  locked too, and whatever is above one with cells has cells.
- When cells or slots run short the least recently used unlocked segment without resident children
  goes first. It is saved before, unless it is or is too short to be worth it.
- A segment is split where texts diverge; the snapshot of the whole is given up then. Segments that
  nothing branches off between are joined when a text has many.

Knows no model and no requests, and never waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from localassist.engine.kv_cache import KvCache
from localassist.engine.radix_tree import Match, Node, RadixTree, common_prefix, shortest_pair
from localassist.engine.sequence import Sequence
from localassist.engine.snapshots import PENDING, Pending
from localassist.engine.stored_segments import MOST_TOKENS, SnapshotStore, StoredSegments

_SCATTERED = 256  # cells that may lie in between; fewer cost less than moving them
# Loading a token's cells costs about a hundredth of computing them, and room. Of a segment of which
# less than this part is wanted, nothing is loaded.
_WORTH_LOADING = 1 / 8
# Segments of one text, if it can be helped: with the default settings as many as there are slots
# for when all running sequences go different ways.
_MOST_SEGMENTS = 6


class PrefixCache:
    """The segments of one context. With ``can_share`` False (models whose state cannot be cut)
    nothing is kept. ``idle_cells``: see ``trim``."""

    def __init__(
        self,
        kv: KvCache,
        store: SnapshotStore | None = None,
        *,
        can_share: bool = True,
        idle_cells: int | None = None,
        most_tokens: int = MOST_TOKENS,
    ) -> None:
        self.can_share = can_share
        self.most_resident = kv.total_slots
        """Segments that may have a slot; the other slots are for running sequences."""
        self.evictions = 0
        self.restored_tokens = 0
        self._kv = kv
        self._idle_cells = idle_cells
        self._tree = RadixTree()
        self._stored = StoredSegments(self._tree, kv, store if can_share else None, most_tokens)
        self._resident: dict[Node, None] = {}
        self._clock = self._stored.adopt()

    @property
    def saved(self) -> int:
        """Segments that were saved."""
        return self._stored.saved

    def match(self, tokens: list[int], limit: int) -> Match:
        """The longest prefix of ``tokens[:limit]`` whose cells are here or can be loaded.

        Does not modify the cache.
        """
        node = self._tree.root
        while node.end < limit:
            child = node.children.get(tokens[node.end])
            if child is None or child.is_hollow:
                break
            shared = common_prefix(child.tokens, tokens, node.end, limit)
            if shared < len(child):
                if child.slot is None and shared < len(child) * _WORTH_LOADING:
                    break
                return Match(child, node.end + shared)
            node = child
        return Match(node, node.end)

    def locked_length(self, match: Match) -> int:
        """How many of the matched cells are pinned already."""
        node = match.node
        while node.users == 0 and node.parent is not None:
            node = node.parent
        return min(node.end, match.length)

    def claim(self, sequence: Sequence, match: Match, *, can_wait: bool = True) -> int:
        """Give the sequence a slot that sees the matched cells, and lock them.

        Missing ones are loaded. The number of snapshots that are still on their way from the disk,
        if there are any and ``can_wait``: then nothing was changed, and a later call gets further.
        Otherwise 0, and ``sequence.computed`` says how many tokens it was in the end: snapshots may
        have been lost, damaged, late, or without room. There must be a free slot.
        """
        path = match.node.path()
        snapshots = {node: self._stored.fetch(node) for node in path if node.slot is None}
        late = sum(snapshot is PENDING for snapshot in snapshots.values())
        if late and can_wait:
            return late
        end = self._tree.root
        for node in path:
            if node.slot is None and not self._load(node, snapshots[node]):
                break
            self._lock(node)
            end = node
        end = self._end_at(end, match.length)
        sequence.slot = self._kv.acquire()
        self._kv.lock(sequence.slot)
        for node in end.path():
            self._kv.share(node.resident_slot, sequence.slot, node.start, node.end)
        sequence.path = end
        sequence.computed = sequence.published = end.end
        self._touch(end)
        return 0

    def publish(self, sequence: Sequence, *, is_last: bool = False) -> None:
        """Move computed cells of a running sequence into the tree; lock what they become.

        Cells that the tree already has are dropped in favour of its own. Those whose tokens end
        inside a known segment stay the sequence's, as more may follow, unless it ``is_last`` and
        the segment lacks them. Some also stay when slots run out.
        """
        if not self.can_share or sequence.is_disposable:
            return
        if is_last:
            self._shorten(sequence)
        while sequence.published < sequence.computed and self._publish_some(sequence, is_last):
            pass

    def release(self, sequence: Sequence) -> None:
        """Take the slot of a running sequence, with all cells that it owns, and unlock its path."""
        assert sequence.path is not None, "the sequence does not run"
        self._kv.release(sequence.slot)
        self._touch(sequence.path)
        for node in sequence.path.path():
            self._unlock(node)
        sequence.path = None
        sequence.slot = -1
        sequence.computed = sequence.published = 0

    def evict(self) -> bool:
        """Take the cells of the least recently used segment that can go; False: none can."""
        idle = [node for node in self._resident if not (node.users or node.resident_children)]
        if not idle:
            return False
        node = min(idle, key=lambda node: node.last_used)
        if self._stored.is_unsaved(node):
            self._stored.save(node)
        self._vacate(node)
        self._tree.prune(node)
        self.evictions += 1
        return True

    def make_room(self, cells: int) -> bool:
        """Evict until ``cells`` cells are free; False, with nothing evicted, when too many are
        pinned."""
        if cells > self._kv.unpinned_cells:
            return False
        while self._kv.free_cells < cells:
            evicted = self.evict()
            assert evicted, "cells that nobody needs cannot be freed"
        return True

    def trim(self) -> None:
        """Evict until no more than ``idle_cells`` cells are unlocked (None: any number may be).

        Attention on a processor costs time for each used cell, so call it when something runs.
        """
        if self._idle_cells is not None:
            idle = self._kv.used_cells - self._kv.pinned_cells
            self.make_room(self._kv.free_cells + idle - self._idle_cells)
        self._stored.forget_oldest()

    def compact(self, match: Match) -> bool:
        """While nothing runs: give up all cells if those of ``match`` may lie far behind others,
        so that they come back as the first ones. True: they were given up, match again.

        Attention on a processor passes over all cells up to the last one in use, and one short
        segment that everybody shares would keep that where the busiest moment has put it.
        """
        if not self._stored.is_kept or self._idle_cells is None:
            return False
        if self._kv.peak_cells <= match.length + _SCATTERED:
            return False
        while self.evict():
            pass
        self._kv.forget_peak()
        return True

    def save_some(self) -> bool:
        """Save one segment that is not stored yet, the most recently used first but none before
        what is above it; False: there is none left, or no memory for it."""
        unsaved = [
            node for node in self._resident if node.users == 0 and self._stored.is_unsaved(node)
        ]
        if not unsaved:
            return False
        latest = max(unsaved, key=lambda node: node.last_used)
        return self._stored.save(next(node for node in latest.path() if node.key is None))

    # Publishing.

    def _publish_some(self, sequence: Sequence, is_last: bool) -> bool:
        """Publish up to the next border of a segment; False: no more can be published now."""
        node, start, end = sequence.path, sequence.published, sequence.computed
        assert node is not None, "the sequence does not run"
        child = node.children.get(sequence.tokens[start])
        if child is None:
            return self._append(sequence, node)
        shared = common_prefix(child.tokens, sequence.tokens, start, end)
        if shared < len(child):
            is_divergent = start + shared < end
            is_refill = is_last and child.is_hollow
            return (is_divergent or is_refill) and self._divide(child, shared)
        if child.slot is not None:
            self._kv.substitute(sequence.slot, child.slot, start, child.end)
        elif self._has_slot():
            slot = self._give_slot(child)
            self._kv.hand_over(sequence.slot, slot, start, child.end)
        else:
            return False
        self._lock(child)
        sequence.path, sequence.published = child, child.end
        return True

    def _append(self, sequence: Sequence, node: Node) -> bool:
        """Publish what nobody has computed before: the leaf grows if it is the sequence's alone."""
        start, end = sequence.published, sequence.computed
        tokens = sequence.tokens[start:end]
        if node.users == 1 and node.key is None and not node.children:
            self._tree.extend(node, tokens)
        elif self._has_slot():
            node = self._tree.add(node, tokens)
            self._give_slot(node)
            self._lock(node)
        else:
            return False
        self._kv.hand_over(sequence.slot, node.resident_slot, start, end)
        sequence.path, sequence.published = node, end
        return True

    def _divide(self, node: Node, length: int) -> bool:
        """Split a segment of which only ``length`` tokens are wanted. True: look again."""
        if node.is_hollow:
            self._tree.split(node, length)
            return True
        if node.slot is None and not self._load(node, self._stored.fetch(node)):
            return node.is_hollow
        self._lock(node)  # it must not make room for its own half
        head = self._split(node, length)
        for half in (node, head):
            if half is not None:
                self._unlock(half)
        return head is not None

    def _shorten(self, sequence: Sequence) -> None:
        """Join segments of a path that has many. Their snapshots, which are of parts, are given up.

        Each turn of a conversation adds a segment to what is stored of it, but slots are few, and a
        path can only be used as far as there is one for each.
        """
        assert sequence.path is not None, "the sequence does not run"
        path = sequence.path.path()
        while len(path) > _MOST_SEGMENTS and (pair := shortest_pair(path)) is not None:
            upper, lower = pair
            self._stored.forget(upper)
            self._stored.forget(lower)
            self._kv.hand_over(upper.resident_slot, lower.resident_slot, upper.start, upper.end)
            self._kv.release(upper.resident_slot)
            del self._resident[upper]
            self._tree.join(upper, lower)
            path.remove(upper)

    # Cells, slots and locks.

    def _end_at(self, node: Node, length: int) -> Node:
        """Where a path that was locked down to ``node`` ends if ``length`` tokens are wanted."""
        if node.end <= length:
            return node
        head = self._split(node, length - node.start)
        self._unlock(node)
        if head is not None:
            return head
        assert node.parent is not None
        return node.parent

    def _split(self, node: Node, length: int) -> Node | None:
        """Split a locked segment; its users use both halves. None: there is no slot for one more.

        The upper half is new. The snapshot, which is of the whole, is given up.
        """
        if not self._has_slot():
            return None
        self._stored.forget(node)
        head = self._tree.split(node, length)
        head.slot = node.resident_slot
        head.resident_children = 1
        node.slot = self._kv.split(head.slot, node.start, node.end)
        self._resident[head] = None
        return head

    def _has_slot(self) -> bool:
        """Make sure that one more segment may have a slot."""
        return len(self._resident) < self.most_resident or self.evict()

    def _give_slot(self, node: Node) -> int:
        """Give a segment an empty slot; there must be one for it."""
        assert node.parent is not None
        node.slot = self._kv.acquire()
        node.parent.resident_children += 1
        node.last_used = self._clock
        self._resident[node] = None
        return node.slot

    def _vacate(self, node: Node) -> None:
        """Take the slot of an unlocked segment without resident children, with its cells."""
        assert node.parent is not None
        self._kv.release(node.resident_slot)
        node.slot = None
        node.parent.resident_children -= 1
        del self._resident[node]

    def _lock(self, node: Node) -> None:
        if node.users == 0:
            self._kv.lock(node.resident_slot)
        node.users += 1

    def _unlock(self, node: Node) -> None:
        node.users -= 1
        if node.users == 0:
            self._kv.unlock(node.resident_slot)

    def _touch(self, node: Node) -> None:
        """Note that a path has been used; what is above is kept longer than what is below."""
        self._clock += 1
        path = node.path()
        for each in path:
            each.last_used = self._clock
        self._stored.touch(path)

    def _load(self, node: Node, snapshot: memoryview | Pending | None) -> bool:
        """Bring a stored segment below resident, locked ones back into a slot, if possible."""
        if snapshot is PENDING:
            return False
        if snapshot is None:
            self._stored.forget(node)
            return False
        if not (self.make_room(len(node)) and self._has_slot()):
            return False
        slot = self._give_slot(node)
        if self._kv.load(slot, snapshot, len(node)):
            self.restored_tokens += len(node)
            return True
        self._vacate(node)
        self._stored.forget(node)
        return False

    def check_integrity(self, running: Iterable[Sequence] = ()) -> None:
        """Recount everything; ``running`` are the sequences that have a slot."""
        self._tree.check_integrity()
        self._kv.check_integrity()
        users: Counter[Node] = Counter()
        for sequence in running:
            assert sequence.path is not None and sequence.path.end == sequence.published
            users.update(sequence.path.path())
            own = sequence.computed + len(sequence.drafted) - sequence.published
            assert self._kv.owned(sequence.slot) == own, "cells of a sequence"
        resident = set()
        for node in self._tree.nodes():
            assert node.users == users[node], "users of a segment"
            if node.slot is not None:
                resident.add(node)
                assert self._kv.owned(node.slot) == len(node), "cells of a segment"
        assert resident == self._resident.keys(), "segments with slots"
        assert len(resident) <= max(0, self.most_resident), "more segments than slots for them"
