"""One token sequence on its way through the scheduler. Knows no text, sampler or grammar."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Status(Enum):
    """Where a sequence is. Only the scheduler changes it."""

    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()


@dataclass(slots=True, eq=False)
class Sequence:
    """Tokens, and how many of them have KV cells.

    ``scored_from`` is the position of the first token whose logits are wanted; None, the case of
    generation, means only the last token's. A ``is_disposable`` sequence shares the prefix of
    others but leaves nothing in the prefix cache.
    """

    tokens: list[int]
    scored_from: int | None = None
    is_disposable: bool = False
    status: Status = Status.WAITING
    slot: int = -1
    computed: int = 0
    cached_tokens: int | None = None
    """Prompt cells found in the cache when first admitted; None until then."""

    @property
    def pending(self) -> int:
        """Tokens that still need a model pass."""
        return len(self.tokens) - self.computed

    @property
    def logits_from(self) -> int:
        """First position whose logits are wanted; everything before it may come from the cache."""
        return len(self.tokens) - 1 if self.scored_from is None else self.scored_from

    def logits_rows(self, rows: int) -> int:
        """How many of the next ``rows`` rows want logits."""
        return max(0, self.computed + rows - max(self.computed, self.logits_from))
