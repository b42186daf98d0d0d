"""What the engine needs from a model: tokens in, logits out, and operations on sequences.

Implementations: ``llama.LlamaBackend`` (llama.cpp) and ``scripted_backend.ScriptedBackend``
(deterministic, no model). All methods are called by the engine's owner thread, except the
vocabulary methods ``tokenize``, ``token_bytes`` and ``grammar_tokenizer``, which any thread may
call until ``close``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from llguidance import LLTokenizer
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]
else:
    Logits = Any


class BackendError(Exception):
    """The model runtime returned an error; the context can no longer be trusted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes fixed when the context was created.

    ``can_truncate`` is False for recurrent models, whose state cannot be rolled back: their
    sequences are never shared or cut. ``cell_bytes`` is the memory that one cell takes.
    """

    cells: int
    context_length: int
    sequence_ids: int
    batch_rows: int
    logits_rows: int
    can_truncate: bool = True
    cell_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What the model file says about itself. The first of ``end_tokens`` is the usual one."""

    vocab_size: int
    end_tokens: tuple[int, ...]
    bos_text: str
    eos_text: str
    chat_template: str | None


@dataclass(slots=True)
class Batch:
    """Rows of one model pass, column by column. ``wants_logits[i]`` asks for row i's logits."""

    tokens: list[int]
    positions: list[int]
    slots: list[int]
    wants_logits: list[bool]

    def __len__(self) -> int:
        return len(self.tokens)


class CellMemory(Protocol):
    """Operations on KV cells. A *slot* is a sequence id of the context; it sees the cells of some
    consecutive positions, and cells may be seen by several slots."""

    def copy_cells(self, source: int, target: int, start: int, end: int) -> None:
        """Let ``target`` see the cells of ``source`` at positions ``start`` to ``end`` (exclusive),
        where it has none of its own."""
        ...

    def drop_cells(self, slot: int, start: int = 0) -> None:
        """``slot`` no longer sees positions from ``start`` on; cells nobody sees become free."""
        ...

    def drop_range(self, slot: int, start: int, end: int) -> None:
        """``slot`` no longer sees positions ``start`` to ``end`` (exclusive), which others fill."""
        ...

    def save_cells(self, slot: int) -> memoryview:
        """The contents of all cells of a slot, for ``load_cells`` of a context with the same
        ``fingerprint``. Raises BackendError."""
        ...

    def load_cells(self, slot: int, data: memoryview) -> bool:
        """Bring saved cells back into an empty slot. False: the data is damaged or foreign, or
        there is no room; the slot is empty then."""
        ...


class Backend(CellMemory, Protocol):
    """A loaded model with one context that holds many sequences."""

    @property
    def limits(self) -> Limits: ...

    @property
    def model(self) -> ModelInfo: ...

    @property
    def fingerprint(self) -> str:
        """Hash of everything that the contents of KV cells depend on: weights, adapters, element
        types, memory layout, and the runtime's version."""
        ...

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Token ids without an added BOS."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """The bytes a token stands for, control tokens written out."""
        ...

    def grammar_tokenizer(self) -> LLTokenizer:
        """A tokenizer over this vocabulary for llguidance; expensive, so built once."""
        ...

    def forward(self, batch: Batch) -> None:
        """Run one pass and store its KV cells. Raises BackendError; then nothing is certain."""
        ...

    def set_threads(self, threads: int) -> None:
        """Compute with this many threads from the next pass on, whatever its rows."""
        ...

    def logits(self, row: int) -> Logits:
        """Writable view of the logits of a row that asked for them, valid until ``forward``."""
        ...

    def close(self) -> None: ...
