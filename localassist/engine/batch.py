"""The scheduler's plan → rows for one forward pass, and where the wanted logits will be."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass

from localassist.engine.backend import Batch
from localassist.engine.scheduler import Chunk
from localassist.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Output:
    """Logits to read after the pass: those of ``sequence`` after the token at ``position``."""

    sequence: Sequence
    position: int
    row: int


def build_batch(chunks: Items[Chunk]) -> tuple[Batch, list[Output]]:
    """Rows in chunk order; one ``Output`` per row that wants logits. Drafted rows all want them."""
    batch = Batch([], [], [], [])
    outputs: list[Output] = []
    for chunk in chunks:
        sequence, end = chunk.sequence, chunk.start + chunk.rows
        confirmed_end = chunk.start + chunk.count
        first_wanted = min(max(chunk.start, sequence.logits_from), confirmed_end)
        wanted = end - first_wanted
        first_row = len(batch) + chunk.rows - wanted
        batch.tokens += sequence.tokens[chunk.start : confirmed_end]
        batch.tokens += sequence.draft[: chunk.drafted]
        batch.positions += range(chunk.start, end)
        batch.slots += [sequence.slot] * chunk.rows
        batch.wants_logits += [False] * (chunk.rows - wanted) + [True] * wanted
        outputs += [Output(sequence, first_wanted + i, first_row + i) for i in range(wanted)]
    return batch, outputs
