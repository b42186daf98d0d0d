"""What the benchmarks of retrieval quality share: the sets, the rows, and tokens as published."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from benchmarks import common
from localassist import load_settings
from localassist.errors import ConfigError
from localassist.evaluation.compare import Comparison, Options, Row, compare
from localassist.evaluation.corpus import Problem
from localassist.evaluation.embedding import embedders_of
from localassist.evaluation.report import differences, figures, notes
from localassist.evaluation.sets import own_set, third_party
from localassist.evaluation.tokens import cl100k
from localassist.evaluation.variants import Variant

LIBRARIES = ("tantivy", "openvino", "sentence-transformers", "numpy")
EMPTY: Mapping[str, float] = MappingProxyType({})
_SMOKE_QUESTIONS = 8


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="folder of the set; default: the own set")
    parser.add_argument(
        "--vocabulary",
        type=Path,
        help="cl100k_base.tiktoken: count in cl100k, as published figures",
    )
    parser.add_argument("--limit", type=int, help="ask at most so many of the questions")


def measured(
    name: str, options: argparse.Namespace, variants: Sequence[Variant], default: Options
) -> Comparison:
    """The variants on the set ``name``, or on the own set where its data is not given."""
    try:
        problem = own_set() if options.data is None else third_party(name, options.data)
        if options.vocabulary is not None:
            counting = cl100k(options.vocabulary)
            default = replace(default, count_tokens=counting, tokens_name="cl100k tokens")
    except ConfigError as error:
        sys.exit(error.message)
    limit = options.limit or (_SMOKE_QUESTIONS if options.smoke else None)
    settings = load_settings(common.PROBE_FOLDER)
    default = replace(default, cache=common.PROBE_FOLDER / "cache" / "evaluation")
    return asyncio.run(
        compare(
            _part(problem, limit), variants, embedders_of(settings), default, lambda *progress: None
        )
    )


def _part(problem: Problem, limit: int | None) -> Problem:
    """Every n-th question: those of a set are ordered by document."""
    count = len(problem.asked)
    if limit is None or limit >= count:
        return problem
    return replace(
        problem, asked=tuple(problem.asked[number * count // limit] for number in range(limit))
    )


def rows(comparison: Comparison, columns: Mapping[str, str]) -> list[common.Row]:
    """A row for each variant: the metrics in ``columns`` under their heads, in % but for tokens,
    ± half of the 95 % interval."""
    return [
        {
            "subject": str(row.variant),
            "pieces": row.pieces,
            **{head: _shown(row, metric) for metric, head in columns.items()},
        }
        for row in comparison.rows
    ]


def goals(
    comparison: Comparison, least: Mapping[str, float], most: Mapping[str, float] = EMPTY
) -> list[common.Row]:
    """Whether our row, the first, reaches them, and how far it is ahead of the others. Shares in
    %, tokens as they are."""
    ours, *others = comparison.rows
    found = figures(ours)
    table = []
    for metric, limit in (*least.items(), *most.items()):
        value = _readable(metric, found[metric].mean)
        is_met = value >= limit if metric in least else value <= limit
        row = {
            "goal": metric,
            "wanted": f"{'≥' if metric in least else '≤'} {limit:g}",
            "ours": str(value),
            "met": "yes" if is_met else "no",
        }
        for other in others:
            ahead = -differences(other, ours)[metric].mean
            row[f"more than {other.variant}"] = str(_readable(metric, ahead))
        table.append(row)
    return table


def report(
    question: str, comparison: Comparison, table: list[common.Row], reached: list[common.Row]
) -> None:
    print("\n".join(notes(comparison)))
    common.print_table(reached)
    common.report(
        question,
        table,
        data=comparison.problem.name,
        questions=len(comparison.problem.asked),
        tokens=comparison.tokens,
        goals=reached,
        environment=common.machine(LIBRARIES),
    )


def _shown(row: Row, metric: str) -> common.Spread | float | None:
    found = figures(row).get(metric)
    if found is None:
        return None
    value = _readable(metric, found.mean)
    if metric.startswith("tokens"):
        return value
    return common.Spread(value, _readable(metric, (found.high - found.low) / 2))


def _readable(metric: str, value: float) -> float:
    return round(value) if metric.startswith("tokens") else round(100 * value, 1)
