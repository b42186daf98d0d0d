"""A deterministic ``Backend`` without a model, to test the real engine exactly.

Its KV cells are real: every cell holds one token at one position and the slots that see it, there
are only so many, and what follows depends on all cells a slot sees. An engine that shares, cuts or
recomputes cells wrongly therefore produces other tokens than one that runs each request alone.

Tokens are bytes (plus a few special ones), so texts and ids are easy to read.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from localassist.engine.backend import BackendError, Batch, Limits, Logits, ModelInfo
from localassist.engine.sampler import (
    Draw,
    Greedy,
    LogitBias,
    MinP,
    Penalties,
    Stage,
    Temperature,
    TopK,
    TopP,
)

if TYPE_CHECKING:
    from llguidance import LLTokenizer

VOCAB_SIZE = 262
END_TOKEN = 261
"""The sizes of llguidance's own byte tokenizer, which provides the masks."""

_Row = NDArray[np.float64]
NextToken = Callable[[Sequence[int]], int]


def hashed_letters(tokens: Sequence[int]) -> int:
    """A letter that depends on every token before it; now and then the end of the answer."""
    digest = zlib.crc32(b",".join(b"%d" % token for token in tokens))
    return END_TOKEN if digest % 29 == 0 else ord("a") + digest // 29 % 26


@dataclass(slots=True, eq=False)
class _Cell:
    token: int
    slots: set[int] = field(default_factory=set)


class ScriptedBackend:
    """``next_token`` maps the tokens of a sequence to the likeliest next one.

    ``passes`` records each forward pass as rows per slot.
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
    ) -> None:
        self.passes: list[Counter[int]] = []
        self.is_closed = False
        self._next_token = next_token
        self._limits = Limits(
            cells, context_length, sequence_ids, batch_rows, logits_rows, can_truncate
        )
        self._sequences: dict[int, list[_Cell]] = {}
        self._logits: dict[int, Logits] = {}

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def model(self) -> ModelInfo:
        return ModelInfo(VOCAB_SIZE, (END_TOKEN,), "", "", None)

    @property
    def used_cells(self) -> int:
        """Cells some slot sees, shared ones counted once."""
        return len({id(cell) for cells in self._sequences.values() for cell in cells})

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return list(text.encode())

    def token_bytes(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""

    def grammar_tokenizer(self) -> LLTokenizer:
        from llguidance import LLTokenizer

        return LLTokenizer("byte")

    def create_sampler(self, stages: Sequence[Stage]) -> NumpySampler:
        return NumpySampler(stages, self.logits)

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
            if not 0 <= slot < self._limits.sequence_ids:
                raise BackendError(f"no slot {slot}")
            cells = self._sequences.setdefault(slot, [])
            if position != len(cells):
                raise BackendError(f"slot {slot} continues at {len(cells)}, not at {position}")
            cells.append(_Cell(token, {slot}))
            if wants_logits:
                self._logits[row] = self._compute_logits([cell.token for cell in cells])

    def logits(self, row: int) -> Logits:
        return self._logits[row]

    def copy_sequence(self, source: int, target: int, length: int) -> None:
        if not self._limits.can_truncate:
            raise BackendError("this model cannot share cells")
        if self._sequences.get(target):
            raise BackendError(f"slot {target} is not empty")
        self._sequences[target] = self._sequences[source][:length]

    def truncate_sequence(self, slot: int, length: int) -> None:
        if length > 0 and not self._limits.can_truncate:
            raise BackendError("this model cannot cut sequences")
        del self._sequences.get(slot, [])[length:]

    def close(self) -> None:
        self.is_closed = True

    def _compute_logits(self, tokens: list[int]) -> Logits:
        random = np.random.default_rng(zlib.crc32(repr(tokens).encode()))
        logits = random.standard_normal(VOCAB_SIZE).astype(np.float32)
        logits[self._next_token(tokens)] = logits.max() + 1
        return logits


class NumpySampler:
    """Every sampling stage in plain numpy: what a llama.cpp chain does, slowly and legibly."""

    def __init__(self, stages: Sequence[Stage], logits: Callable[[int], Logits]) -> None:
        self._stages = stages
        self._logits = logits
        self._seen: Counter[int] = Counter()
        seed = next((stage.seed for stage in stages if isinstance(stage, Draw)), 0)
        self._random = np.random.default_rng(seed)

    def sample(self, row: int) -> int:
        logits = self._logits(row).astype(np.float64)
        for stage in self._stages:
            self._apply(stage, logits)
        if isinstance(self._stages[-1], Greedy):
            token = int(logits.argmax())
        else:
            token = int(self._random.choice(len(logits), p=_softmax(logits)))
        self.accept(token)
        return token

    def accept(self, token: int) -> None:
        self._seen[token] += 1

    def close(self) -> None:
        """Nothing is held outside Python."""

    def _apply(self, stage: Stage, logits: _Row) -> None:
        match stage:
            case LogitBias(biases):
                for token, bias in biases:
                    logits[token] += bias
            case Penalties(repeat, frequency, presence):
                for token, count in self._seen.items():
                    value = logits[token]
                    value = value / repeat if value > 0 else value * repeat
                    logits[token] = value - count * frequency - presence
            case Temperature(value):
                logits /= value
            case TopK(k):
                order = np.argsort(-logits, kind="stable")
                logits[order[k:]] = -np.inf
            case TopP(p):
                order = np.argsort(-logits, kind="stable")
                before = np.cumsum(_softmax(logits)[order]) >= p
                logits[order[1:][before[:-1]]] = -np.inf
            case MinP(p):
                logits[logits < logits.max() + np.log(p)] = -np.inf
            case Greedy() | Draw():
                pass


def _softmax(logits: _Row) -> _Row:
    weights: _Row = np.exp(logits - logits.max())
    weights /= weights.sum()
    return weights
