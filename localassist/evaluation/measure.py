"""Rankings into figures: every metric of every question, for one variant. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from localassist.evaluation.corpus import Asked
from localassist.evaluation.metrics import (
    coverage,
    document_order,
    ndcg,
    reciprocal_rank,
    within_budget,
)
from localassist.evaluation.spans import Span
from localassist.evaluation.tokens import TokenTable

BUDGETS = (500, 1_000, 2_000, 4_000)
SMALL_BUDGETS = (100, 250, 500, 1_000)
RESULTS = (5,)
NDCG_CUTOFF = 10

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a variant returns for a question, best first. ``pieces`` fill a prompt's budget;
    ``results`` are what a search for k of them returns. The two are the same for most."""

    pieces: Sequence[Span]
    results: Sequence[Span]


def measure(
    asked: Sequence[Asked],
    rankings: Sequence[Ranking],
    tokens: TokenTable,
    *,
    budgets: Sequence[int] = BUDGETS,
    numbers: Sequence[int] = RESULTS,
    ranks_documents: bool = True,
) -> Mapping[str, Values]:
    """Values by metric, one for each question, such as ``recall@1000t`` (at a budget of 1,000
    tokens), ``precision@5`` (of 5 results), ``tokens@5`` (what they cost), ``ndcg@10``, ``mrr``.

    Of a question that has no references, coverage is NaN. ``ranks_documents`` False leaves the last
    two out: among one document there is nothing to rank.
    """
    columns: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        columns.setdefault(name, []).append(value)

    for one, ranking in zip(asked, rankings, strict=True):
        cuts = {f"{size}t": within_budget(ranking.pieces, tokens.count, size) for size in budgets}
        cuts |= {str(number): ranking.results[:number] for number in numbers}
        for cut, results in cuts.items():
            nan = float("nan")
            found = coverage(results, one.references) if one.references else None
            note(f"recall@{cut}", nan if found is None else found.recall)
            note(f"precision@{cut}", nan if found is None else found.precision)
            note(f"iou@{cut}", nan if found is None else found.iou)
            note(f"tokens@{cut}", float(sum(map(tokens.count, results))))
        if ranks_documents:
            ranked = document_order(ranking.pieces)
            note(f"ndcg@{NDCG_CUTOFF}", ndcg(ranked, one.relevant, NDCG_CUTOFF))
            note("mrr", reciprocal_rank(ranked, one.relevant))
    return {
        name: values
        for name, values in ((name, np.asarray(column)) for name, column in columns.items())
        if not np.isnan(values).all()
    }
