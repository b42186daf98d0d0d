from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.highlights import highlights


@pytest.mark.parametrize(
    ("text", "query", "language", "words"),
    [
        ("The cats were sleeping.", "Does the cat sleep?", "en", ["cats", "sleeping"]),
        ("the_cat-flap, CAT5", "cat", "", ["cat"]),
        ("Die Häuser brennen", "Haus in Brand", "de", ["Häuser"]),
        ("東京都の人口は多い", "東京の人口", "ja", ["東京", "の人口"]),
        ("Nothing of it", "with and of", "en", []),
    ],
)
def test_words_that_mean_the_same(text: str, query: str, language: str, words: list[str]) -> None:
    spans = highlights(text, [query], language)
    assert [text[start:end] for start, end in spans] == words


@given(st.text(), st.lists(st.text(), max_size=2), st.sampled_from(["en", "de", "zh", ""]))
def test_spans_are_in_order_and_within_the_text(
    text: str, queries: list[str], language: str
) -> None:
    flat = [edge for span in highlights(text, queries, language) for edge in span]
    assert flat == sorted(set(flat))
    assert all(0 <= edge <= len(text) for edge in flat)
