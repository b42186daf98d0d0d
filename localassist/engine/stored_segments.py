"""What is stored of the segments of a prefix cache: which are saved, fetched and given up.

The tree says which segments there are, the store keeps their cells. Without a store nothing is
saved and nothing known again. Knows no slots but the one a segment is saved from, and never waits.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from collections.abc import Sequence as Items
from typing import Protocol

from localassist.engine.kv_cache import KvCache
from localassist.engine.radix_tree import Node, RadixTree
from localassist.engine.snapshots import Entry, Pending

_log = logging.getLogger(__name__)

# Shorter texts are computed again sooner than they are saved and loaded.
_WORTH_SAVING = 32
# Tokens the tree may know. Snapshots of more than these have outgrown any sensible budget.
MOST_TOKENS = 1 << 20


class SnapshotStore(Protocol):
    """What the cache needs from ``snapshots.SnapshotStore``. Nothing here waits for a disk."""

    def put(self, prefix: Items[int], segment: Items[int], data: memoryview) -> bytes: ...

    def fetch(self, key: bytes) -> memoryview | Pending | None: ...

    def discard(self, key: bytes) -> None: ...

    def entries(self) -> Iterable[Entry]: ...

    def touch(self, keys: Iterable[bytes]) -> None: ...


class StoredSegments:
    """The snapshots of the segments of ``tree``, of which at most ``most_tokens`` are known."""

    def __init__(
        self, tree: RadixTree, kv: KvCache, store: SnapshotStore | None, most_tokens: int
    ) -> None:
        self.saved = 0
        self.is_kept = store is not None
        """Whether anything can be saved."""
        self._tree = tree
        self._kv = kv
        self._store = store
        self._most_tokens = most_tokens

    def adopt(self) -> int:
        """Know again what an earlier process has stored; returns how much that was. Where segments
        overlap, one is chosen; the other may be of use to another process."""
        if self._store is None:
            return 0
        found = list(enumerate(self._store.entries()))
        for age, entry in sorted(found, key=lambda item: (item[1].start, len(item[1].tokens))):
            node = self._tree.place(list(entry.tokens), entry.start)
            if node is not None:
                node.key, node.last_used = entry.key, age
        self.forget_oldest()
        return len(found)

    def is_unsaved(self, node: Node) -> bool:
        """Whether a segment is worth saving and not saved yet. Without what is above, what is
        stored below could not be used."""
        if self._store is None or node.key is not None:
            return False
        return node.end >= _WORTH_SAVING or bool(node.children)

    def save(self, node: Node) -> bool:
        """Store the cells of a resident segment; False: there is no memory for a copy."""
        assert self._store is not None
        try:
            data = self._kv.save(node.resident_slot)
            node.key = self._store.put(self._tree.prefix(node), node.tokens, data)
        except MemoryError:
            _log.warning("there is no memory to save %d tokens of a conversation", len(node))
            return False
        self.saved += 1
        return True

    def fetch(self, node: Node) -> memoryview | Pending | None:
        """The cells of a stored segment, or that they are on their way; None: they are lost."""
        assert self._store is not None and node.key is not None
        return self._store.fetch(node.key)

    def touch(self, path: Items[Node]) -> None:
        """Note that a path has been used, from the top down."""
        if self._store is not None:
            self._store.touch([each.key for each in reversed(path) if each.key is not None])

    def forget(self, node: Node) -> None:
        """Give up the snapshot of a segment; one without cells is hollow then, or gone."""
        if node.key is not None:
            assert self._store is not None
            self._store.discard(node.key)
            node.key = None
            self._tree.prune(node)

    def forget_oldest(self) -> None:
        """Bound the tree: its oldest leaves go, with their snapshots."""
        if self._tree.tokens <= self._most_tokens:
            return
        goal = self._most_tokens * 7 // 8
        while self._tree.tokens > goal:
            leaves = [n for n in self._tree.nodes() if n.slot is None and not n.children]
            if not leaves:
                return
            for leaf in sorted(leaves, key=lambda node: node.last_used):
                if self._tree.tokens > goal:
                    self.forget(leaf)
