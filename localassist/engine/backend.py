"""What the engine needs from a model: tokens in, logits out, and operations on sequences.

Implementations: ``llama_backend.LlamaBackend`` (llama.cpp) and ``scripted_backend.ScriptedBackend``
(deterministic, no model). All methods are called by the engine's owner thread, except the
vocabulary methods ``tokenize``, ``token_bytes`` and ``grammar_tokenizer``, which any thread may
call until ``close``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from localassist.engine.sampler import Stage

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
    sequences are never shared or cut.
    """

    cells: int
    context_length: int
    sequence_ids: int
    batch_rows: int
    logits_rows: int
    can_truncate: bool = True


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


class TokenSampler(Protocol):
    """Chooses tokens for one sequence; owns its random state and its penalties' memory."""

    def sample(self, row: int) -> int:
        """Choose from the logits of ``row`` of the last batch and remember the choice."""
        ...

    def accept(self, token: int) -> None:
        """Remember a token that was not sampled (forced, or produced before a restart)."""
        ...

    def close(self) -> None:
        """Free it; further calls are errors."""
        ...


class Backend(Protocol):
    """A loaded model with one context that holds many sequences."""

    @property
    def limits(self) -> Limits: ...

    @property
    def model(self) -> ModelInfo: ...

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Token ids without an added BOS."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """The bytes a token stands for, control tokens written out."""
        ...

    def grammar_tokenizer(self) -> LLTokenizer:
        """A tokenizer over this vocabulary for llguidance; expensive, so built once."""
        ...

    def create_sampler(self, stages: Sequence[Stage]) -> TokenSampler: ...

    def forward(self, batch: Batch) -> None:
        """Run one pass and store its KV cells. Raises BackendError; then nothing is certain."""
        ...

    def logits(self, row: int) -> Logits:
        """Writable view of the logits of a row that asked for them, valid until ``forward``."""
        ...

    def copy_sequence(self, source: int, target: int, length: int) -> None:
        """Let the empty ``target`` share the first ``length`` cells of ``source``."""
        ...

    def truncate_sequence(self, slot: int, length: int) -> None:
        """Keep only the first ``length`` cells of ``slot``."""
        ...

    def close(self) -> None: ...
