"""Runs a comparison: every variant over every question, each embedder and chunking built once."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from localassist.evaluation.chunk_search import ChunkSearch
from localassist.evaluation.chunking import Chunking, fixed_windows
from localassist.evaluation.corpus import Document, Problem
from localassist.evaluation.measure import BUDGETS, RESULTS, Ranking, Values, measure
from localassist.evaluation.spans import Span
from localassist.evaluation.tokens import TokenStarts, TokenTable
from localassist.evaluation.unit_search import UnitSearch
from localassist.evaluation.variants import Variant
from localassist.evaluation.vectors import CachedEmbedder, Vectors
from localassist.retrieval.analysis import analyse
from localassist.retrieval.embedders import Embedder
from localassist.retrieval.splitting import split

DEPTH = 400
"""Results that are looked at: more than fit into the largest budget, or matter to any rank."""

_BATCH = 128

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""

OpenEmbedder = Callable[[str], Awaitable[tuple[Embedder, str]]]
"""The embedder that a variant names, and an id that changes when its vectors would."""


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one variant: values by metric, one for each question; ``pieces`` is how many
    chunks or units were searched."""

    variant: Variant
    values: Mapping[str, Values]
    pieces: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """``tokens`` names whose tokens were counted, ``corpus_tokens`` is how many there are."""

    problem: Problem
    rows: tuple[Row, ...]
    tokens: str
    corpus_tokens: int
    budgets: tuple[int, ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """``count_tokens`` counts budgets and the sizes of fixed windows; None means the tokens of the
    first variant's embedder, so that all rows are measured alike. ``curve`` are more budgets, for
    plots. ``cache`` is a folder where vectors are kept; None keeps none."""

    budgets: tuple[int, ...] = BUDGETS
    numbers: tuple[int, ...] = RESULTS
    curve: tuple[int, ...] = ()
    count_tokens: TokenStarts | None = None
    tokens_name: str = ""
    cache: Path | None = None


async def compare(
    problem: Problem,
    variants: Sequence[Variant],
    open_embedder: OpenEmbedder,
    options: Options,
    on_progress: Progress,
) -> Comparison:
    """Measure the variants, in their order. Raises ModelError for an embedder, ConfigError."""
    with tempfile.TemporaryDirectory(prefix="localassist-bench-") as folder:
        cache = options.cache or Path(folder) / "vectors"
        rows: dict[Variant, Row] = {}
        tokens: TokenTable | None = None
        for name in dict.fromkeys(variant.embedder for variant in variants):
            on_progress(f"Loading {name or 'the embedder'}", 0, 0)
            embedder, identity = await open_embedder(name)
            file = cache / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.npz"
            with closing(CachedEmbedder(embedder, file)) as cached:
                if tokens is None:
                    tokens = await asyncio.to_thread(_token_table, problem, cached, options)
                bench = _Bench(problem, cached, tokens, options, Path(folder), on_progress)
                mine = [variant for variant in variants if variant.embedder == name]
                for row in await bench.rows(mine):
                    rows[row.variant] = row
        assert tokens is not None, "there is at least one variant"
        return Comparison(
            problem,
            tuple(rows[variant] for variant in variants),
            tokens.name,
            tokens.total,
            options.budgets,
            options.numbers,
        )


def _token_table(problem: Problem, embedder: Embedder, options: Options) -> TokenTable:
    if options.count_tokens is not None:
        return TokenTable(options.tokens_name, options.count_tokens, problem.documents)
    return TokenTable("the embedder's tokens", embedder.token_starts, problem.documents)


class _Bench:
    """The variants of one embedder."""

    def __init__(
        self,
        problem: Problem,
        embedder: CachedEmbedder,
        tokens: TokenTable,
        options: Options,
        folder: Path,
        on_progress: Progress,
    ) -> None:
        self._problem = problem
        self._embedder = embedder
        self._tokens = tokens
        self._options = options
        self._folder = folder
        self._on_progress = on_progress

    async def rows(self, variants: Sequence[Variant]) -> list[Row]:
        texts = [asked.question.text for asked in self._problem.asked]
        questions = await self._embed("questions", texts)
        rows = []
        for chunking in dict.fromkeys(variant.chunking for variant in variants):
            mine = [variant for variant in variants if variant.chunking == chunking]
            if chunking.kind == "units":
                rows += await self._units(chunking, mine, questions)
            else:
                rows += await self._chunks(chunking, mine, questions)
        return rows

    async def _units(
        self, chunking: Chunking, variants: Sequence[Variant], questions: Vectors
    ) -> list[Row]:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            found = await UnitSearch.build(
                self._problem.documents,
                self._embedder,
                chunking.size,
                Path(folder),
                lambda done, total: self._on_progress(f"Embedding {chunking}", done, total),
            )
            with closing(found):
                return [
                    await self._row(
                        variant,
                        lambda number, variant=variant: found.rank(  # type: ignore[misc]
                            self._problem.asked[number].question.text,
                            questions[number],
                            variant.weights,
                            DEPTH,
                            max(self._options.numbers),
                        ),
                        found.units,
                    )
                    for variant in variants
                ]

    async def _chunks(
        self, chunking: Chunking, variants: Sequence[Variant], questions: Vectors
    ) -> list[Row]:
        documents = {document.name: document for document in self._problem.documents}
        cut = await asyncio.to_thread(
            lambda: [
                (span, documents[span.document].text[span.start : span.end])
                for document in self._problem.documents
                for span in self._cut(document, chunking)
            ]
        )
        dense = any(variant.weights[0] for variant in variants)
        texts = [text for _, text in cut]
        vectors = await self._embed(str(chunking), texts if dense else [])
        languages = [documents[span.document].parsed.language for span, _ in cut]
        words = await asyncio.to_thread(lambda: list(map(analyse, texts, languages)))
        # Like the index of a vector store: the terms of every language that occurs.
        spoken = sorted(set(languages)) or [""]
        asked = [
            list(
                dict.fromkeys(
                    word for language in spoken for word in analyse(one.question.text, language)
                )
            )
            for one in self._problem.asked
        ]
        found = ChunkSearch([span for span, _ in cut], vectors, words)
        return [
            await self._row(
                variant,
                lambda number, weights=variant.weights: found.rank(  # type: ignore[misc]
                    questions[number], asked[number], weights[0], weights[3], DEPTH
                ),
                len(cut),
            )
            for variant in variants
        ]

    def _cut(self, document: Document, chunking: Chunking) -> list[Span]:
        starts = self._tokens.starts[document.name]
        if chunking.kind == "fixed":
            return list(fixed_windows(document, starts, chunking.size, chunking.overlap))
        rows = split(document.parsed, starts, chunking.size)
        return [Span(document.name, start, end) for start, end in rows[:, :2].tolist()]

    async def _embed(self, what: str, texts: Sequence[str]) -> Vectors:
        parts = [await self._embedder.embed([])]
        for first in range(0, len(texts), _BATCH):
            self._on_progress(f"Embedding {what}", first, len(texts))
            parts.append(await self._embedder.embed(texts[first : first + _BATCH]))
        return np.concatenate(parts)

    async def _row(self, variant: Variant, rank: Callable[[int], Ranking], pieces: int) -> Row:
        """Ask every question; then measure."""
        asked = self._problem.asked
        rankings = []
        for number in range(len(asked)):
            self._on_progress(f"Asking {variant}", number, len(asked))
            rankings.append(await asyncio.to_thread(rank, number))
        self._on_progress(f"Asking {variant}", len(asked), len(asked))
        values = await asyncio.to_thread(
            lambda: measure(
                asked,
                rankings,
                self._tokens,
                budgets=self._options.budgets + self._options.curve,
                numbers=self._options.numbers,
                ranks_documents=len(self._problem.documents) > 1,
            )
        )
        return Row(variant, values, pieces)
