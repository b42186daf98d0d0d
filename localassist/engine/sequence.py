"""One token sequence on its way through the scheduler. Knows no text, sampler or grammar."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from localassist.engine.radix_tree import Node


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

    Who appends to ``tokens`` sets ``draft`` to a new list: a guess of what comes next, perhaps
    none. When a step has been planned that computes all tokens, it is as much of it as that step
    computes too.
    """

    tokens: list[int]
    scored_from: int | None = None
    is_disposable: bool = False
    draft: list[int] = field(default_factory=list)
    status: Status = Status.WAITING
    slot: int = -1
    computed: int = 0
    """Tokens with cells; those of drafted tokens, right behind, count once they are confirmed."""
    drafted: list[int] = field(default_factory=list)
    """Drafted tokens with cells, until the scheduler settles them."""
    published: int = 0
    """The first so many cells belong to the prefix cache, the others to this sequence."""
    path: Node | None = None
    """Where the published cells end in the prefix cache; locked, with all above it."""
    prefill_end: int = 0
    """How many tokens there were when it was admitted: up to here it is being prefilled."""
    cached_tokens: int | None = None
    """Prompt cells found in the cache when first admitted; None until then."""

    @property
    def pending(self) -> int:
        """Tokens that still need a model pass."""
        return len(self.tokens) - self.computed

    @property
    def is_prefilling(self) -> bool:
        return self.status is Status.RUNNING and self.computed < self.prefill_end

    @property
    def logits_from(self) -> int:
        """First position whose logits are wanted; everything before it may come from the cache."""
        return len(self.tokens) - 1 if self.scored_from is None else self.scored_from

    def logits_rows(self, rows: int) -> int:
        """How many of the next ``rows`` rows want logits."""
        return max(0, self.computed + rows - max(self.computed, self.logits_from))
