"""Are the right documents ranked first?

Cranfield: 1,400 abstracts and 225 questions of engineers, each document of grade above 0 relevant
(binary gains), or our own set without ``--data``. A document stands where its best unit does.
"""

from __future__ import annotations

from benchmarks import common
from benchmarks.retrieval import quality
from localassist.evaluation.chunking import Chunking
from localassist.evaluation.compare import Options
from localassist.evaluation.variants import Variant

QUESTION = "Are the right documents ranked first?"
HOSTED = Chunking("fixed", 800, 400)
VARIANTS = (
    Variant(Chunking("units", 100)),
    Variant(Chunking("units", 100), "dense"),
    Variant(Chunking("units", 100), "lexical"),
    Variant(HOSTED, "dense"),
    Variant(HOSTED, "lexical"),
    Variant(HOSTED),
)
COLUMNS = {"ndcg@10": "nDCG@10 %", "mrr": "MRR %"}
GOALS = {"ndcg@10": 43.0}


def main() -> None:
    options = common.options(QUESTION, repeats=1, add=quality.add_options)
    comparison = quality.measured("cranfield", options, VARIANTS, Options())
    table = quality.rows(comparison, COLUMNS)
    quality.report(QUESTION, comparison, table, quality.goals(comparison, GOALS))


if __name__ == "__main__":
    main()
