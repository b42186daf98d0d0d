"""A radix tree over token ids: which token prefixes are known, in stretches that diverge nowhere.

A node is a *segment* of tokens after those of its ancestors. It is *resident* when a slot holds its
KV cells, *stored* when a snapshot does, and *hollow* when neither: then it is only the way to
descendants. Here is only the shape; cells, snapshots and locks are the prefix cache's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

_BLOCK = 256


def common_prefix(a: list[int], b: list[int], start: int = 0, end: int | None = None) -> int:
    """Length of the longest common prefix of ``a`` and ``b[start:end]``."""
    length = min(len(a), (len(b) if end is None else end) - start)
    same = 0
    while (
        same + _BLOCK <= length
        and a[same : same + _BLOCK] == b[start + same : start + same + _BLOCK]
    ):
        same += _BLOCK
    while same < length and a[same] == b[start + same]:
        same += 1
    return same


@dataclass(slots=True, eq=False)
class Node:
    """Tokens ``start`` to ``end`` of every text that goes through it. The root has none.

    ``slot`` and ``key`` say where its cells are: in the context, in the snapshot store.
    """

    tokens: list[int]
    start: int
    parent: Node | None
    children: dict[int, Node] = field(default_factory=dict)
    slot: int | None = None
    key: bytes | None = None
    users: int = 0
    """Running sequences whose path goes through here; above 0 the node is locked."""
    resident_children: int = 0
    last_used: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    @property
    def is_root(self) -> bool:
        return self.parent is None

    @property
    def is_hollow(self) -> bool:
        return self.slot is None and self.key is None

    @property
    def resident_slot(self) -> int:
        """The slot of a node that is known to have one."""
        assert self.slot is not None, "the segment has no cells"
        return self.slot

    def path(self) -> list[Node]:
        """From the first node below the root down to this one."""
        nodes: list[Node] = []
        node = self
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        nodes.reverse()
        return nodes


@dataclass(frozen=True, slots=True)
class Match:
    """The first ``length`` tokens are known; they end at ``node`` or inside it."""

    node: Node
    length: int


def shortest_pair(path: list[Node]) -> tuple[Node, Node] | None:
    """The neighbours on a path that are the fewest tokens together, of those between which nothing
    branches off and nobody ends; None: there are none."""
    pairs = [
        (upper, lower)
        for upper, lower in pairwise(path)
        if len(upper.children) == 1 and upper.users == lower.users
    ]
    return min(pairs, key=lambda pair: len(pair[0]) + len(pair[1]), default=None)


class RadixTree:
    """Nodes below ``root``. ``tokens`` is the sum of their lengths."""

    def __init__(self) -> None:
        self.root = Node([], 0, None)
        self.tokens = 0

    def add(self, parent: Node, tokens: list[int]) -> Node:
        """A new hollow leaf. No child of ``parent`` may begin with the same token."""
        assert tokens[0] not in parent.children, "the way is taken"
        node = Node(tokens, parent.end, parent)
        parent.children[tokens[0]] = node
        self.tokens += len(tokens)
        return node

    def extend(self, leaf: Node, tokens: list[int]) -> None:
        """Make a leaf longer."""
        assert not leaf.children and not leaf.is_root, "only leaves grow"
        leaf.tokens.extend(tokens)
        self.tokens += len(tokens)

    def split(self, node: Node, length: int) -> Node:
        """Put a new hollow node, with the first ``length`` tokens, above the rest of ``node``.

        The old object stays the lower end, so whoever ends there still does.
        """
        assert node.parent is not None and 0 < length < len(node), "no place to split"
        head = Node(
            node.tokens[:length],
            node.start,
            node.parent,
            users=node.users,
            last_used=node.last_used,
        )
        node.parent.children[head.tokens[0]] = head
        node.tokens = node.tokens[length:]
        node.start += length
        node.parent = head
        head.children[node.tokens[0]] = node
        return head

    def join(self, upper: Node, lower: Node) -> None:
        """Undo a split: the only child takes the tokens and the place of the node above."""
        assert upper.parent is not None and [*upper.children.values()] == [lower], (
            "no place to join"
        )
        upper.parent.children[upper.tokens[0]] = lower
        lower.tokens = upper.tokens + lower.tokens
        lower.start, lower.parent = upper.start, upper.parent

    def prune(self, node: Node) -> None:
        """Remove the node if it is hollow and leads nowhere, then its parent likewise, and so on.

        Idempotent."""
        while node.parent is not None and node.is_hollow and not node.children:
            parent = node.parent
            if parent.children.get(node.tokens[0]) is not node:
                return
            del parent.children[node.tokens[0]]
            self.tokens -= len(node)
            node = parent

    def place(self, tokens: list[int], start: int) -> Node | None:
        """The hollow node of ``tokens[start:]`` below ``tokens[:start]``, made if it is missing.

        None when a node that is not hollow stands in its place or across its borders.
        """
        node = self.root
        child: Node | None = node
        while child is not None and child.end < start:
            node, child = child, self._step(child, tokens, start)
        if child is not None:
            node, child = child, self._step(child, tokens, len(tokens))
        if child is None or child.end != len(tokens) or not child.is_hollow:
            self.prune(node)
            return None
        return child

    def _step(self, node: Node, tokens: list[int], border: int) -> Node | None:
        """The next node on the way to ``border``; hollow ones are made and split as needed."""
        child = node.children.get(tokens[node.end])
        if child is None:
            return self.add(node, tokens[node.end : border])
        shared = common_prefix(child.tokens, tokens, child.start, border)
        if shared == len(child):
            return child
        return self.split(child, shared) if child.is_hollow else None

    def prefix(self, node: Node) -> list[int]:
        """All tokens before the node's own."""
        return [token for ancestor in node.path()[:-1] for token in ancestor.tokens]

    def nodes(self) -> Iterator[Node]:
        """Every node below the root, parents first."""
        stack = list(self.root.children.values())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.children.values())

    def check_integrity(self) -> None:
        """Recount; an assertion fails when the shape is damaged."""
        tokens = 0
        for node in self.nodes():
            parent = node.parent
            assert parent is not None and node.start == parent.end, "a segment begins elsewhere"
            assert node.tokens and parent.children[node.tokens[0]] is node, "a child is misplaced"
            assert node.children or not node.is_hollow, "a hollow leaf"
            assert node.slot is None or parent.is_root or parent.slot is not None, (
                "cells below a segment that has none"
            )
            resident = sum(child.slot is not None for child in node.children.values())
            assert node.resident_children == resident, "resident children"
            users = sum(child.users for child in node.children.values())
            assert node.users >= users, "users of descendants do not use the ancestor"
            assert node.users == 0 or node.slot is not None, "a locked segment has no cells"
            tokens += len(node)
        assert self.tokens == tokens, "tokens in the tree"
