"""The metrics, each a pure function of one question's results. Means are taken elsewhere.

Recall, precision and IoU of characters are those of the chunking evaluation
(https://research.trychroma.com/evaluating-chunking), which counts tokens where this counts code
points. What is new is the budget: a prompt pays for tokens, while a number of results rewards large
ones. nDCG and the reciprocal rank are those of the TREC evaluations (Järvelin and Kekäläinen,
"Cumulated gain-based evaluation of IR techniques", 2002), with binary gains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from localassist.evaluation.spans import Span, merged, shared, total


@dataclass(frozen=True, slots=True)
class Coverage:
    """How results and the reference excerpts of a question cover each other, each 0 to 1."""

    recall: float
    precision: float
    iou: float


def coverage(results: Sequence[Span], references: Sequence[Span]) -> Coverage:
    """Of results, in any order, against at least one reference that is not empty.

    With ``found`` the characters in both, recall is found / references, precision found / results
    and IoU found / (results + references not found). A character that two results share is found
    once but counts twice among the results: who returns it twice pays for it twice. References that
    overlap are summed up too, as the evaluation does, so their recall stays below 1.
    """
    found = shared(results, references)
    returned = total(results)
    missed = total(merged(references)) - found
    return Coverage(
        recall=found / total(references),
        precision=found / returned if returned else 0.0,
        iou=found / (returned + missed) if returned + missed else 0.0,
    )


def within_budget(
    results: Sequence[Span], tokens: Callable[[Span], int], budget_tokens: int
) -> Sequence[Span]:
    """Whole results in rank order until the next would not fit. The first is always taken, so that
    chunks larger than a budget get what they can; their figures show the tokens they took."""
    used = 0
    for number, result in enumerate(results):
        used += tokens(result)
        if number and used > budget_tokens:
            return results[:number]
    return results


def document_order(results: Iterable[Span]) -> list[str]:
    """Documents in the order of their best result, each once."""
    return list(dict.fromkeys(result.document for result in results))


def ndcg(ranked: Sequence[str], relevant: Collection[str], cutoff: int = 10) -> float:
    """Gain 1 for a relevant document at rank i, divided by log2(i + 1), summed up over the first
    ``cutoff`` ranks, over the most that any order reaches. ``ranked`` has each document once."""
    gain = sum(
        _discount(rank)
        for rank, document in enumerate(ranked[:cutoff], start=1)
        if document in relevant
    )
    most = sum(_discount(rank) for rank in range(1, min(len(relevant), cutoff) + 1))
    return gain / most if most else 0.0


def reciprocal_rank(ranked: Sequence[str], relevant: Collection[str]) -> float:
    """1 / the rank of the first relevant document, 0 where there is none."""
    ranks = (rank for rank, document in enumerate(ranked, start=1) if document in relevant)
    first = next(ranks, None)
    return 0.0 if first is None else 1 / first


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)
