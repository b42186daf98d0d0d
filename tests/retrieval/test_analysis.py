from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.analysis import MAX_TERM_CHARACTERS, analyse


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("en", "The Connected connections, of CONNECTING!", ["connect"] * 3),
        ("", "Parsing the parsers", ["pars", "parser"]),  # unknown counts as English
        ("de", "Die Häuser und das Haus", ["haus", "haus"]),
        ("xx", "The parsers", ["the", "parsers"]),  # no stemmer, no stop words
        ("en", "max_tokens ﬁle x2", ["max", "token", "file", "x2"]),
        ("ja", "東京都", ["東京", "京都"]),
        ("zh", "书", ["书"]),
        ("zh", "iPhone手机壳", ["iphone", "手机", "机壳"]),
        ("hi", "हिन्दी।", analyse("हिन्दी", "hi")),  # the danda is no letter
        ("en", " \n…!", []),
    ],
)
def test_texts_become_terms(language: str, text: str, terms: list[str]) -> None:
    assert analyse(text, language) == terms


def test_a_word_with_combining_marks_is_one_term() -> None:
    assert len(analyse("हिन्दी", "hi")) == 1


def test_a_run_without_end_is_cut() -> None:
    assert analyse("a" * 10_000, "xx") == ["a" * MAX_TERM_CHARACTERS]


@given(st.text(), st.sampled_from(["en", "de", "ru", "zh", "", "xx"]))
def test_terms_have_no_space_in_them_and_repeat(text: str, language: str) -> None:
    terms = analyse(text, language)
    assert all(term.split() == [term] for term in terms)
    assert analyse(text, language) == terms


def test_threads_do_not_share_a_stemmer() -> None:
    found: list[list[str]] = []
    text = " ".join(f"running{i} connections" for i in range(300))
    threads = [threading.Thread(target=lambda: found.append(analyse(text))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [analyse(text)] * 4
