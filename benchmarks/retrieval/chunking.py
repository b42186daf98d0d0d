"""How much of the answers' text does a search bring, for what a prompt pays?

The chunking evaluation (research.trychroma.com/evaluating-chunking), or our own set without
``--data``: ours beside the hosted default, chunks of 800 tokens that overlap by 400 found by their
vectors, and beside BM25 on the same chunks. Recall at budgets of tokens rewards no large results;
recall of five results is what the published table shows, with the tokens that five results cost.
"""

from __future__ import annotations

from benchmarks import common
from benchmarks.retrieval import quality
from localassist.evaluation.chunking import Chunking
from localassist.evaluation.compare import Options
from localassist.evaluation.variants import Variant

QUESTION = "How much of the answers' text does a search bring, for what a prompt pays?"
HOSTED = Chunking("fixed", 800, 400)
VARIANTS = (
    Variant(Chunking("units", 100)),
    Variant(HOSTED, "dense"),
    Variant(HOSTED, "lexical"),
)
COLUMNS = {
    **{f"recall@{budget}t": f"R@{budget} %" for budget in (500, 1000, 2000, 4000)},
    "tokens@500t": "tokens at 500",
    "recall@5": "R of 5 %",
    "tokens@5": "tokens of 5",
    "precision@5": "P of 5 %",
    "iou@5": "IoU of 5 %",
}
GOALS = {"recall@1000t": 92.0, "recall@2000t": 96.0, "recall@5": 93.5}
MOST = {"tokens@5": 1600.0}


def main() -> None:
    options = common.options(QUESTION, repeats=1, add=quality.add_options)
    comparison = quality.measured("chunking", options, VARIANTS, Options())
    table = quality.rows(comparison, COLUMNS)
    quality.report(QUESTION, comparison, table, quality.goals(comparison, GOALS, MOST))


if __name__ == "__main__":
    main()
