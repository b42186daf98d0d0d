"""BM25 of the index against BM25 by the book."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.errors import IndexUnavailable
from localassist.retrieval.lexical import (
    FIELDS,
    REACHES,
    LexicalIndex,
    file_number,
    pool,
    query_terms,
    weigh,
)

WORDS = "frog toad newt pond moss fern".split()
UNITS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
FILES = st.dictionaries(
    st.sampled_from(["f1", "f2", "f3"]), st.lists(UNITS, min_size=1, max_size=6), min_size=1
)
# The index keeps the length of a text in one byte; up to 40 words it is exact.


def bm25(files: dict[str, list[str]], reach: int, query: list[str]) -> dict[tuple[str, int], float]:
    documents = {
        (file_id, i): " ".join(units[max(i - reach, 0) : i + reach + 1]).split()
        for file_id, units in files.items()
        for i in range(len(units))
    }
    mean = sum(map(len, documents.values())) / len(documents)
    scores = {}
    for key, words in documents.items():
        score = 0.0
        for term in query:
            holding = sum(term in other for other in documents.values())
            idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            count = words.count(term)
            norm = count + 1.2 * (1 - 0.75 + 0.75 * len(words) / mean)
            score += idf * count * 2.2 / norm
        if score:
            scores[key] = score
    return scores


def found(index: LexicalIndex, field: str, query: str, files: dict[str, list[str]]) -> dict:
    terms = query_terms(query, index.languages)
    own = index.statistics(terms)
    matches = index.best(field, weigh(terms, own, own, field), 1000)
    names = {file_number(file_id): file_id for file_id in files}
    assert list(matches.scores) == sorted(matches.scores, reverse=True)
    return {
        (names[number], int(unit)): float(score)
        for number, unit, score in zip(matches.files, matches.units, matches.scores, strict=True)
    }


@settings(max_examples=15, deadline=None)
@given(files=FILES, query=st.lists(st.sampled_from([*WORDS, "stork"]), max_size=5))
def test_scores_are_those_of_the_formula(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, list[str]], query: list[str]
) -> None:
    index = LexicalIndex.open(tmp_path_factory.mktemp("lexical"))
    for file_id, units in files.items():
        index.add(file_id, "xx", units)  # without stemmer and stop words
    index.commit()
    assert index.units == {file_id: len(units) for file_id, units in files.items()}
    for field, reach in zip(FIELDS, REACHES, strict=True):
        assert found(index, field, " ".join(query), files) == pytest.approx(
            bm25(files, reach, query), rel=1e-4
        )


def test_a_query_is_analysed_in_every_language_there_is(tmp_path: Path) -> None:
    index = LexicalIndex.open(tmp_path)
    index.add("english", "en", ["the houses are connected"])
    index.add("german", "de", ["die Häuser sind verbunden"])
    index.add("unknown", "", ["connecting"])
    index.commit()
    assert index.languages == {"en", "de"}
    names = ["english", "german", "unknown"]
    files = dict.fromkeys(names, [""])
    assert {key for key, _ in found(index, "unit", "connection", files)} == {"english", "unknown"}
    assert {key for key, _ in found(index, "unit", "Haus", files)} == {"german"}
    assert query_terms("connect connect", ["en", "de"]) == Counter({"connect": 2})


def test_only_files_asked_for_and_none_that_were_removed(tmp_path: Path) -> None:
    index = LexicalIndex.open(tmp_path)
    for file_id in ("a", "b", "c"):
        index.add(file_id, "xx", ["frog", "toad"])
    index.commit()
    assert set(index.best("unit", {"frog": 1}, 10, ["a", "c"]).files) == {
        file_number("a"),
        file_number("c"),
    }
    assert len(index.best("unit", {"frog": 1}, 10, []).files) == 0
    index.remove("a")
    index.add("a", "xx", ["newt"])
    index.remove("b")
    assert set(index.units) == {"a", "b", "c"}  # until it is committed
    index.commit()
    assert index.units == {"a": 1, "c": 2}
    assert set(index.best("unit", {"frog": 1}, 10).files) == {file_number("c")}


def test_what_was_not_committed_is_gone_and_another_may_write(tmp_path: Path) -> None:
    index = LexicalIndex.open(tmp_path)
    index.add("a", "en", ["frog"])
    other = LexicalIndex.open(tmp_path)
    with pytest.raises(IndexUnavailable, match="lexical index"):
        other.add("b", "en", ["toad"])
    index.close()
    other.add("b", "en", ["toad"])
    other.commit()
    assert index.units == {}
    index.refresh()
    assert index.units == {"b": 1}


def test_terms_weigh_by_how_rare_they_are_in_all_indexes_together(tmp_path: Path) -> None:
    small, large = LexicalIndex.open(tmp_path / "small"), LexicalIndex.open(tmp_path / "large")
    small.add("s", "xx", ["frog"])
    large.add("l", "xx", ["frog", "toad", "moss", "fern"])
    for index in (small, large):
        index.commit()
    terms = Counter({"frog": 1, "toad": 1})
    own, other = small.statistics(terms), large.statistics(terms)
    pooled = pool([own, other])
    assert pooled.documents == 5 and pooled.frequencies["unit"] == {"frog": 2, "toad": 1}
    weights = weigh(terms, own, pooled, "unit")
    assert set(weights) == {"frog"}  # the other is not in this index
    assert weights["frog"] == pytest.approx(math.log(1 + 3.5 / 2.5) / math.log(1 + 0.5 / 1.5))
    assert weigh(Counter({"frog": 2}), own, pool([own]), "unit") == {"frog": 2}


def test_a_damaged_index_says_so(tmp_path: Path) -> None:
    index = LexicalIndex.open(tmp_path)
    index.add("a", "en", ["frog"])
    index.commit()
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(IndexUnavailable, match="Rebuild it"):
        LexicalIndex.open(tmp_path)
