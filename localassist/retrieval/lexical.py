"""BM25 over the units of a vector store, on disk: the only module that knows tantivy.

Every unit is a document with three fields of terms: its own text, the text of the units around it
(±1) and a wide one (±4). The terms are made by ``analysis``; tantivy counts and ranks them
(k1 = 1.2, b = 0.75). Which unit a document is stands in columns, so that hits are read without
loading documents.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from localassist.errors import IndexUnavailable
from localassist.retrieval.analysis import STANDARD_LANGUAGE, analyse

FIELDS = ("unit", "near", "wide")
REACHES = (0, 1, 4)
"""Units on either side whose text a field includes, in the order of ``FIELDS``."""

_HEAP_BYTES = 15_000_000  # the least tantivy accepts
_MOST_FILES = 65_000
_MASK = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Statistics:
    """What IDF is made of: documents, and for every field how many of them hold a term."""

    documents: int
    frequencies: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Matches:
    """Units with their BM25 of one field, best first; ``files`` as in ``file_number``."""

    files: np.ndarray
    units: np.ndarray
    scores: np.ndarray


def file_number(file_id: str) -> int:
    """What a file is called in the columns of the index: 63 bits of its hash."""
    digest = hashlib.blake2b(file_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & _MASK


def idf(documents: int, frequency: int) -> float:
    """Lucene's inverse document frequency."""
    return math.log(1 + (documents - frequency + 0.5) / (frequency + 0.5))


class LexicalIndex:
    """Made with ``open``. One process writes, any number read; the methods are synchronous.

    A reader sees the last commit, also another process's, from its next ``refresh`` on.
    """

    def __init__(self, folder: Path, index: Any) -> None:
        self._folder = folder
        self._index = index
        self._schema = index.schema
        self._writer: Any = None
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._units: dict[str, int] = {}
        self._languages: frozenset[str] = frozenset()
        self.refresh()

    @classmethod
    def open(cls, folder: Path) -> LexicalIndex:
        """Open or create the index. Raises IndexUnavailable when what is there is damaged."""
        import tantivy

        folder.mkdir(parents=True, exist_ok=True)
        try:
            index = tantivy.Index(_schema(), path=str(folder), reuse=True)
            whitespace = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build()
            index.register_tokenizer("terms", whitespace)
            return cls(folder, index)
        except (ValueError, OSError) as error:
            raise _unavailable(folder, error) from error

    # --- writing ---------------------------------------------------------------------------------

    def add(self, file_id: str, language: str, units: Sequence[str]) -> None:
        """Add a file's units in order; visible after ``commit``. The caller has removed an older
        version."""
        import tantivy

        language = language or STANDARD_LANGUAGE
        terms = [" ".join(analyse(text, language)) for text in units]
        number = file_number(file_id)
        writer = self._open_writer()
        try:
            for i in range(len(units)):
                document = tantivy.Document()
                document.add_unsigned("file", number)
                document.add_unsigned("number", i)
                document.add_text("name", file_id)
                document.add_text("language", language)
                for field, reach in zip(FIELDS, REACHES, strict=True):
                    around = terms[max(i - reach, 0) : i + reach + 1]
                    document.add_text(field, " ".join(around))
                writer.add_document(document)
        except (ValueError, OSError) as error:
            raise _unavailable(self._folder, error) from error

    def remove(self, file_id: str) -> None:
        """Remove a file's units; after ``commit`` they are gone."""
        self._open_writer().delete_documents_by_term("name", file_id)

    def commit(self) -> None:
        """Make what was added and removed durable and visible, and let another writer in."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.commit()
            writer.wait_merging_threads()
        except (ValueError, OSError) as error:
            raise _unavailable(self._folder, error) from error
        self.refresh()

    def close(self) -> None:
        """Give up what was not committed."""
        self._writer = None

    def _open_writer(self) -> Any:
        if self._writer is None:
            try:
                self._writer = self._index.writer(_HEAP_BYTES, 1)
            except ValueError as error:
                raise _unavailable(self._folder, error) from error
        return self._writer

    # --- reading ---------------------------------------------------------------------------------

    def refresh(self) -> None:
        """See the last commit, whichever process made it. Cheap when there is none. An index whose
        folder was removed shows what it last showed."""
        try:
            status = (self._folder / "meta.json").stat()
        except FileNotFoundError:
            return
        stamp = (status.st_mtime_ns, status.st_ino)
        with self._lock:
            if stamp == self._stamp:
                return
            try:
                self._index.reload()
                self._units = self._count("name")
                self._languages = frozenset(self._count("language"))
            except (ValueError, OSError) as error:
                raise _unavailable(self._folder, error) from error
            self._stamp = stamp

    @property
    def units(self) -> Mapping[str, int]:
        """Units of every file in the index."""
        return self._units

    @property
    def languages(self) -> frozenset[str]:
        return self._languages

    def statistics(self, terms: Iterable[str]) -> Statistics:
        """Of these terms. Units that were removed count until their segment is merged away."""
        searcher, terms = self._index.searcher(), list(terms)
        frequencies = {
            field: {term: searcher.doc_freq(field, term) for term in terms} for field in FIELDS
        }
        return Statistics(searcher.num_docs, frequencies)

    def best(
        self,
        field: str,
        weights: Mapping[str, float],
        limit: int,
        files: Iterable[str] | None = None,
    ) -> Matches:
        """The units with the highest BM25 for the weighted terms, best first, of ``files`` if
        given."""
        if not weights or not limit:
            return Matches(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        query = self._disjunction(field, weights)
        if files is not None:
            query = self._within(query, files)
        searcher = self._index.searcher()
        try:
            hits = searcher.search(query, limit, count=False).hits
            addresses = [address for _, address in hits]
            numbers = searcher.fast_field_values("file", addresses)
            units = searcher.fast_field_values("number", addresses)
        except (ValueError, OSError) as error:
            raise _unavailable(self._folder, error) from error
        return Matches(
            np.array(numbers, np.int64),
            np.array(units, np.int64),
            np.array([score for score, _ in hits], np.float64),
        )

    def _within(self, query: Any, files: Iterable[str]) -> Any:
        import tantivy

        numbers = [file_number(file_id) for file_id in files]
        allowed = tantivy.Query.term_set_query(self._schema, "file", numbers)
        without_score = tantivy.Query.const_score_query(allowed, 0.0)
        must = tantivy.Occur.Must
        return tantivy.Query.boolean_query([(must, query), (must, without_score)])

    def _disjunction(self, field: str, weights: Mapping[str, float]) -> Any:
        import tantivy

        parts = []
        for term, weight in sorted(weights.items()):
            query = tantivy.Query.term_query(self._schema, field, term, index_option="freq")
            if weight != 1:
                query = tantivy.Query.boost_query(query, weight)
            parts.append((tantivy.Occur.Should, query))
        return tantivy.Query.boolean_query(parts)

    def _count(self, column: str) -> dict[str, int]:
        import tantivy

        buckets = {"values": {"terms": {"field": column, "size": _MOST_FILES}}}
        found = self._index.searcher().aggregate(tantivy.Query.all_query(), buckets)
        return {bucket["key"]: bucket["doc_count"] for bucket in found["values"]["buckets"]}


def query_terms(text: str, languages: Iterable[str]) -> Counter[str]:
    """The terms of a query in an index with files of these languages, and how often each counts."""
    terms: Counter[str] = Counter()
    for language in sorted(languages):
        terms |= Counter(analyse(text, language))
    return terms


def weigh(
    terms: Mapping[str, int], own: Statistics, pooled: Statistics, field: str
) -> dict[str, float]:
    """Weights that make BM25 of an index comparable with that of others: terms count by what is
    rare in all of them together. In a single index a weight is how often the term is asked for."""
    weights = {}
    for term, count in terms.items():
        frequency = own.frequencies[field][term]
        if frequency == 0:
            continue
        pooled_idf = idf(pooled.documents, pooled.frequencies[field][term])
        ratio = 1.0 if own is pooled else pooled_idf / idf(own.documents, frequency)
        weights[term] = count * ratio
    return weights


def pool(statistics: Sequence[Statistics]) -> Statistics:
    """Of several indexes as if they were one."""
    if len(statistics) == 1:
        return statistics[0]
    return Statistics(
        sum(one.documents for one in statistics),
        {
            field: sum((Counter(one.frequencies[field]) for one in statistics), Counter())
            for field in FIELDS
        },
    )


def _schema() -> Any:
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("file", indexed=True, fast=True)
    builder.add_unsigned_field("number", fast=True)
    for name in ("name", "language"):
        builder.add_text_field(name, tokenizer_name="raw", fast=True, index_option="basic")
    for field in FIELDS:
        builder.add_text_field(field, tokenizer_name="terms", index_option="freq")
    return builder.build()


def _unavailable(folder: Path, error: Exception) -> IndexUnavailable:
    return IndexUnavailable(
        f"The lexical index {folder.name} of {folder.parent.name} does not work: {error}. "
        "Rebuild it from the store's segments."
    )
