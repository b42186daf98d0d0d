"""Naive twins of what the caches work on: KV cells that are objects, and a store that is a dict."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from localassist.engine.backend import Batch
from localassist.engine.snapshots import PENDING, Entry, Pending


@dataclass(frozen=True, eq=False)
class Cell:
    """One token at one position."""

    token: int


class CellTwin:
    """A ``CellMemory``: for each slot a dict from positions to cells. Misuse is an assertion."""

    def __init__(self) -> None:
        self.slots: dict[int, dict[int, Cell]] = {}

    @property
    def used_cells(self) -> int:
        """Cells that some slot sees, shared ones counted once."""
        return len({id(cell) for cells in self.slots.values() for cell in cells.values()})

    def spell(self, slot: int) -> dict[int, int]:
        """The tokens a slot sees, by position."""
        return {position: cell.token for position, cell in self.slots.get(slot, {}).items()}

    def write(self, slot: int, position: int, token: int) -> None:
        cells = self.slots.setdefault(slot, {})
        assert position not in cells, "the position is taken"
        cells[position] = Cell(token)

    def copy_cells(self, source: int, target: int, start: int, end: int) -> None:
        assert source != target and start < end
        cells = self.slots.setdefault(target, {})
        for position in range(start, end):
            assert position not in cells, "the position is taken"
            cells[position] = self.slots[source][position]

    def drop_cells(self, slot: int, start: int = 0) -> None:
        cells = self.slots.get(slot, {})
        self.slots[slot] = {p: cell for p, cell in cells.items() if p < start}

    def drop_range(self, slot: int, start: int, end: int) -> None:
        for position in range(start, end):
            del self.slots[slot][position]

    def save_cells(self, slot: int) -> memoryview:
        assert self.spell(slot), "nothing to save"
        return memoryview(json.dumps(list(self.spell(slot).items())).encode())

    def load_cells(self, slot: int, data: memoryview) -> bool:
        assert not self.slots.get(slot), "the slot is not empty"
        if not data.nbytes:
            return False
        self.slots[slot] = {p: Cell(token) for p, token in json.loads(bytes(data))}
        return True


class ModelTwin(CellTwin):
    """Cells that answer: the token after a row depends on every token the row's slot sees."""

    def forward(self, batch: Batch) -> list[int]:
        """The likeliest next token after every row."""
        answers = []
        columns = zip(batch.tokens, batch.positions, batch.slots, strict=True)
        for token, position, slot in columns:
            seen = self.spell(slot)
            assert sorted(seen) == list(range(position)), "cells are missing"
            self.write(slot, position, token)
            answers.append(next_token([*(seen[p] for p in range(position)), token]))
        return answers


def next_token(tokens: list[int]) -> int:
    """One of four tokens, depending on all that came before."""
    return blake2b(repr(tokens).encode(), digest_size=1).digest()[0] % 4


def alone(prompt: list[int], answer_tokens: int) -> list[int]:
    """What the model says when nothing else exists."""
    tokens = list(prompt)
    for _ in range(answer_tokens):
        tokens.append(next_token(tokens))
    return tokens


@dataclass
class StoreTwin:
    """A snapshot store that is late, forgets and spoils as it is told."""

    entry_of: dict[bytes, tuple[Entry, memoryview]] = field(default_factory=dict)
    late: dict[bytes, int] = field(default_factory=dict)
    """How many more fetches of a key are answered with PENDING."""
    touched: list[bytes] = field(default_factory=list)

    def put(self, prefix: Sequence[int], segment: Sequence[int], data: memoryview) -> bytes:
        tokens = (*prefix, *segment)
        key = blake2b(repr((len(prefix), tokens)).encode(), digest_size=16).digest()
        self.entry_of[key] = Entry(key, len(prefix), tokens), data
        return key

    def fetch(self, key: bytes) -> memoryview | Pending | None:
        if key not in self.entry_of:
            return None
        if self.late.get(key, 0) > 0:
            self.late[key] -= 1
            return PENDING
        return self.entry_of[key][1]

    def discard(self, key: bytes) -> None:
        self.entry_of.pop(key, None)

    def entries(self) -> list[Entry]:
        return [entry for entry, _ in self.entry_of.values()]

    def touch(self, keys: Iterable[bytes]) -> None:
        self.touched += keys

    def spoil(self, key: bytes) -> None:
        """Let the data of a snapshot be refused."""
        self.entry_of[key] = self.entry_of[key][0], memoryview(b"")
