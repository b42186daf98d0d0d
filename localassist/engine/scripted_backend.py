"""A deterministic ``Backend`` without a model, to test the real engine exactly.

Its KV cells are real: every cell holds one token at one position, there are only so many, and what
follows depends on all cells a slot sees. An engine that shares, cuts, restores or recomputes cells
wrongly therefore produces other tokens than one that runs each request alone.

Tokens are bytes (plus a few special ones), so texts and ids are easy to read.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from localassist.engine.backend import BackendError, Batch, Limits, Logits, ModelInfo

if TYPE_CHECKING:
    from llguidance import LLTokenizer

VOCAB_SIZE = 262
END_TOKEN = 261
"""The sizes of llguidance's own byte tokenizer, which provides the masks."""

NextToken = Callable[[Sequence[int]], int]


def hashed_letters(tokens: Sequence[int]) -> int:
    """A letter that depends on every token before it; now and then the end of the answer."""
    digest = zlib.crc32(b",".join(b"%d" % token for token in tokens))
    return END_TOKEN if digest % 29 == 0 else ord("a") + digest // 29 % 26


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    token: int


class ScriptedBackend:
    """``next_token`` maps the tokens of a sequence to the likeliest next one.

    ``passes`` records each forward pass as rows per slot. While ``refuses_loads`` is set, saved
    cells cannot be loaded. ``fingerprint`` plays another model where it differs.
    """

    def __init__(
        self,
        next_token: NextToken = hashed_letters,
        *,
        cells: int = 1024,
        context_length: int = 256,
        sequence_ids: int = 16,
        batch_rows: int = 32,
        logits_rows: int = 32,
        can_truncate: bool = True,
        fingerprint: str = "scripted",
    ) -> None:
        self.passes: list[Counter[int]] = []
        self.is_closed = False
        self.refuses_loads = False
        self._next_token = next_token
        self._limits = Limits(
            cells, context_length, sequence_ids, batch_rows, logits_rows, can_truncate
        )
        self._fingerprint = fingerprint
        self._slots: dict[int, dict[int, _Cell]] = {}  # cells by position
        self._logits: dict[int, Logits] = {}

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def model(self) -> ModelInfo:
        return ModelInfo(VOCAB_SIZE, (END_TOKEN,), "", "", None)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def used_cells(self) -> int:
        """Cells some slot sees, shared ones counted once."""
        return len({id(cell) for cells in self._slots.values() for cell in cells.values()})

    def tokens_in(self, slot: int) -> dict[int, int]:
        """The tokens whose cells a slot sees, by position."""
        return {position: cell.token for position, cell in sorted(self._cells(slot).items())}

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return list(text.encode())

    def token_bytes(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""

    def grammar_tokenizer(self) -> LLTokenizer:
        from llguidance import LLTokenizer

        return LLTokenizer("byte")

    def forward(self, batch: Batch) -> None:
        if len(batch) > self._limits.batch_rows:
            raise BackendError("too many rows")
        if sum(batch.wants_logits) > self._limits.logits_rows:
            raise BackendError("too many rows want logits")
        if self.used_cells + len(batch) > self._limits.cells:
            raise BackendError("no free cells")
        self._logits = {}
        self.passes.append(Counter(batch.slots))
        columns = zip(batch.tokens, batch.positions, batch.slots, batch.wants_logits, strict=True)
        for row, (token, position, slot, wants_logits) in enumerate(columns):
            cells = self._cells(slot)
            if len(cells) != position or max(cells, default=-1) != position - 1:
                raise BackendError(
                    f"slot {slot} has no cells for all positions before {position}, or more"
                )
            cells[position] = _Cell(token)
            if wants_logits:
                tokens = [cells[before].token for before in range(position + 1)]
                self._logits[row] = self._compute_logits(tokens)

    def set_threads(self, threads: int) -> None:
        """Makes no difference here."""

    def logits(self, row: int) -> Logits:
        return self._logits[row]

    def copy_cells(self, source: int, target: int, start: int, end: int) -> None:
        self._require_truncation()
        given, taken = self._cells(source), self._cells(target)
        if source == target or not 0 <= start <= end:
            raise BackendError(f"cells {start} to {end} of {source} cannot go to {target}")
        for position in range(start, end):
            if position not in given:
                raise BackendError(f"slot {source} has no cell at {position}")
            if position in taken:
                raise BackendError(f"slot {target} has a cell at {position} already")
            taken[position] = given[position]

    def drop_cells(self, slot: int, start: int = 0) -> None:
        if start > 0:
            self._require_truncation()
        cells = self._cells(slot)
        for position in [position for position in cells if position >= start]:
            del cells[position]

    def drop_range(self, slot: int, start: int, end: int) -> None:
        self._require_truncation()
        cells = self._cells(slot)
        for position in range(start, end):
            cells.pop(position, None)

    def save_cells(self, slot: int) -> memoryview:
        self._require_truncation()
        cells = self.tokens_in(slot)
        if not cells:
            raise BackendError(f"slot {slot} has nothing to save")
        text = json.dumps([self._fingerprint, list(cells.items())]).encode()
        return memoryview(zlib.crc32(text).to_bytes(4, "little") + text)

    def load_cells(self, slot: int, data: memoryview) -> bool:
        cells = self._cells(slot)
        if cells:
            raise BackendError(f"slot {slot} is not empty")
        text = bytes(data[4:])
        if self.refuses_loads or zlib.crc32(text).to_bytes(4, "little") != data[:4]:
            return False
        fingerprint, saved = json.loads(text)
        if fingerprint != self._fingerprint or self.used_cells + len(saved) > self._limits.cells:
            return False
        cells.update((position, _Cell(token)) for position, token in saved)
        return True

    def close(self) -> None:
        self.is_closed = True

    def _cells(self, slot: int) -> dict[int, _Cell]:
        if not 0 <= slot < self._limits.sequence_ids:
            raise BackendError(f"no slot {slot}")
        return self._slots.setdefault(slot, {})

    def _require_truncation(self) -> None:
        if not self._limits.can_truncate:
            raise BackendError("this model cannot share, cut or save sequences")

    def _compute_logits(self, tokens: list[int]) -> Logits:
        random = np.random.default_rng(zlib.crc32(repr(tokens).encode()))
        logits = random.standard_normal(VOCAB_SIZE).astype(np.float32)
        logits[self._next_token(tokens)] = logits.max() + 1
        return logits
