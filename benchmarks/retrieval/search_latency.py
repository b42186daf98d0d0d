"""How long does a hybrid search take, and what does it need in memory?

Files of 250 units of made-up words, as frequent as words are, with random unit vectors: no model is
needed. Beside our search, in the same process on the same data and questions, the parts it could
be made of: an exact scan, Chroma and tantivy, each alone. Every size has a process of its own; the
memory is what the store and its search have taken after the questions, segments not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from benchmarks import common
from localassist.retrieval.indexes import ChromaIndex
from localassist.retrieval.lexical import query_terms
from localassist.retrieval.search import Query, Source, search
from localassist.retrieval.segment import Segment, window_norms
from localassist.retrieval.store_index import StoreIndex

QUESTION = "How long does a hybrid search take, and what does it need in memory?"
SIZES = (1_000, 10_000, 100_000)
DIMENSIONS = 384
UNITS_PER_FILE = 250
WORDS_PER_UNIT = 50
VOCABULARY = 30_000
LIMIT = 50
GOAL_MS = 15


Ask: TypeAlias = Callable[[Query], object]


@dataclass(frozen=True, slots=True)
class Corpus:
    members: dict[str, Segment]
    queries: list[Query]


def corpus(units: int, questions: int) -> Corpus:
    """Word frequencies after Zipf; a question is eight words of one unit and a vector near its."""
    rng = np.random.default_rng(7)
    words = np.array([f"w{_letters(i)}" for i in range(VOCABULARY)])
    weights = 1 / (np.arange(VOCABULARY) + 10)
    cumulated = np.cumsum(weights / weights.sum())
    members, places = {}, []
    for first in range(0, units, UNITS_PER_FILE):
        count = min(UNITS_PER_FILE, units - first)
        drawn = np.searchsorted(cumulated, rng.random((count, WORDS_PER_UNIT)))
        texts = [" ".join(words[row]) for row in np.minimum(drawn, VOCABULARY - 1)]
        ends = np.cumsum([len(text) + 1 for text in texts])
        spans = [(end - 1 - len(text), end - 1) for text, end in zip(texts, ends, strict=True)]
        vectors = _unit_length(rng.standard_normal((count, DIMENSIONS), np.float32))
        table = np.array([(*span, WORDS_PER_UNIT) for span in spans], np.int32)
        name = f"file-{first // UNITS_PER_FILE:06}"
        text = " ".join(texts)
        members[name] = Segment(
            name, text, (), "en", "synthetic", table, vectors, window_norms(vectors)
        )
        places += [(name, unit) for unit in range(count)]
    queries = []
    for at in rng.integers(0, len(places), questions):
        name, unit = places[at]
        asked = rng.permutation(members[name].unit_text(unit).split())[:8]
        near = members[name].vectors[unit] + 0.05 * rng.standard_normal(DIMENSIONS)
        queries.append(Query(" ".join(asked), _unit_length(near[None].astype(np.float32))[0]))
    return Corpus(members, queries)


def measure(units: int, questions: int) -> list[common.Row]:
    """The parts alone are those of the same store, if it has them: Chroma takes minutes to fill."""
    data = corpus(units, questions)
    with tempfile.TemporaryDirectory() as folder:
        before = common.memory_mb() or 0.0
        begin = time.perf_counter()
        index = StoreIndex.rebuild(Path(folder) / "store", DIMENSIONS, data.members)
        seconds = time.perf_counter() - begin
        source = Source(index, data.members)
        first = _asked(lambda query: search([source], [query], limit=LIMIT), data)
        gc.collect()
        ours = {
            "units": units,
            "subject": "hybrid",
            **first,
            "made in s": seconds,
            "MB more": (common.memory_mb() or 0.0) - before,
        }
        alone = {
            "exact scan": exact_scan(data),
            "tantivy": lambda query: index.lexical.best(
                "unit", query_terms(query.text, ["en"]), LIMIT
            ),
            "chroma": chroma(index, data, Path(folder) / "chroma"),
        }
        rows = [
            {
                "units": units,
                "subject": f"{name} alone",
                **_asked(ask, data),
                "made in s": None,
                "MB more": None,
            }
            for name, ask in alone.items()
        ]
        index.close()
    return [ours, *rows]


def exact_scan(data: Corpus) -> Ask:
    block = np.concatenate([segment.vectors for segment in data.members.values()])
    return lambda query: np.argpartition(block @ query.vector, -LIMIT)[-LIMIT:]


def chroma(index: StoreIndex, data: Corpus, folder: Path) -> Ask:
    if index.collected:
        return lambda query: index.nearest(query.vector, LIMIT)
    collection = ChromaIndex.open(folder, DIMENSIONS)
    for name, segment in data.members.items():
        collection.add(name, segment.vectors)
    return lambda query: collection.nearest(query.vector, LIMIT)


def in_processes(sizes: tuple[int, ...], questions: int) -> Iterator[common.Row]:
    for units in sizes:
        command = [sys.executable, "-m", "benchmarks.retrieval.search_latency"]
        command += ["--units", str(units), "--questions", str(questions)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        yield from json.loads(done.stdout.rstrip().rsplit("\n", 1)[-1])


def _unit_length(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _letters(number: int) -> str:
    """A number as letters, so that stemming and digits play no part."""
    found = ""
    while True:
        found = "bcdfghjklm"[number % 10] + found
        number //= 10
        if not number:
            return found


def _asked(ask: Ask, data: Corpus) -> common.Row:
    """After one question to warm up. Processor time says the same on a busy machine."""
    ask(data.queries[0])
    times, used = [], []
    for query in data.queries:
        begin, before = time.perf_counter(), time.process_time()
        ask(query)
        times.append((time.perf_counter() - begin) * 1000)
        used.append((time.process_time() - before) * 1000)
    return {
        "p50 ms": common.median(times),
        "p99 ms": common.percentile(times, 99),
        "processor p50 ms": common.median(used),
    }


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--units", type=int, help="this size only, in this process")
    parser.add_argument("--questions", type=int, default=200, help="per subject and size")


def main() -> None:
    options = common.options(QUESTION, repeats=1, add=_arguments)
    if options.units is not None:
        print(json.dumps(measure(options.units, options.questions)))
        return
    sizes = (200, 1_000) if options.smoke else SIZES
    rows = list(in_processes(sizes, 20 if options.smoke else options.questions))
    largest = next(row for row in reversed(rows) if row["subject"] == "hybrid")
    common.report(
        QUESTION,
        rows,
        environment=common.environment(common.embedded_model()),
        goal={"units": largest["units"], "p50 ms": largest["p50 ms"], "at most": GOAL_MS},
    )


if __name__ == "__main__":
    main()
