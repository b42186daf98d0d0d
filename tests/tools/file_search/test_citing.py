"""Citations of what a model writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.tools.file_search import Citation, CitationReader, Cited
from tests.tools.file_search.found import BIOGRAPHY, HANDBOOK, MENU, results

FOUND = results(HANDBOOK, BIOGRAPHY, MENU)
A, B = "【4:0†source】", "【4:1†source】"


def read(text: str, size: int = 1) -> list[Cited]:
    """The pieces of an answer that comes in pieces of so many characters."""
    reader = CitationReader(FOUND)
    pieces = [c for at in range(0, len(text), size) for c in reader.feed(text[at : at + size])]
    return [*pieces, *reader.finish()]


def shown(text: str, size: int = 1) -> str:
    return "".join(piece.text for piece in read(text, size))


def citations(text: str, size: int = 1) -> list[Citation]:
    return [citation for piece in read(text, size) for citation in piece.citations]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (f"Gate 3 it is {A}.", f"Gate 3 it is {A}."),
        (f"Gate 3 it is. {A} Next", f"Gate 3 it is.{A} Next"),
        ("Gate 3 [4:0†source] it is", f"Gate 3 {A} it is"),
        ("Gate 3 【4:0†a.pdf】", f"Gate 3 {A}"),
        ("Gate 3 【4:0】", f"Gate 3 {A}"),
        ("In Bremen (source 1), yes", f"In Bremen {B}, yes"),
        ("In Bremen [Passage 1]", f"In Bremen {B}"),
        (f"Both {A}{B}.", f"Both {A}{B}."),
    ],
)
def test_markers_are_honoured_in_every_form(written: str, expected: str) -> None:
    assert shown(written) == expected


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_bracket_ends_where_it_is_closed_however_it_comes(size: int) -> None:
    assert shown("Gate 3 [4:0†source】 (source 1)", size) == f"Gate 3 {A} {B}"
    assert shown("Gate 3 【4:0†plan (1) [b].pdf】.", size) == f"Gate 3 {A}."


def test_markers_of_nothing_are_left_out() -> None:
    assert shown("Gate 9 【9:9†source】. In Rome (source 12) too") == "Gate 9. In Rome too"
    assert citations("Gate 9 【9:9†source】.") == []


@pytest.mark.parametrize(
    "text",
    ["see [1] and (4:30) or [a](b) 【x】", "sources (see below)", "e.g. this, v1.2 and 3.5 km.",
     "an open [4", "【4:0†", "“Well”, he said...", "1. First\n2. Second\n\n", "  two  spaces "],
)  # fmt: skip
def test_other_text_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    ("sentence", "marker"),
    [
        ("The Lyon warehouse was opened in March 2011.", A),
        ("It employs 250 people and has 40 loading docks.", A),
        ("Dr. Breuer invented the turbo lathe in 1923.", B),
        ("Emil Breuer sold the patent for 12000 marks.", B),
        ("The Lyon warehouse was opened in March 2012.", ""),  # another number
        ("The Paris warehouse was opened in March 2011.", ""),  # another name
        ("The warehouse was destroyed by an enormous fire.", ""),  # mostly made up
        ("I hope that this helps you!", ""),
        ("Was the Lyon warehouse opened in March 2011?", ""),
    ],
)
def test_a_sentence_gets_the_marker_of_what_bears_it_out(sentence: str, marker: str) -> None:
    assert shown(f"{sentence} All right.") == f"{sentence}{marker} All right."
    assert shown(f"{sentence}\nAll right.") == f"{sentence}{marker}\nAll right."
    assert shown(sentence) == f"{sentence}{marker}"


def test_a_sentence_with_a_marker_gets_no_other() -> None:
    text = f"The Lyon warehouse {A} was opened in March 2011. And then"
    assert shown(text) == text
    text = f"The Lyon warehouse was opened in March 2011.{B} And then"
    assert shown(text) == text


def test_quotes_are_the_files_own_words() -> None:
    [quoted] = citations(f"It says “the turbo lathe in 1923”{B}.")
    assert quoted.quote == "the turbo lathe\nin 1923"
    [stated] = citations(f"The patent went to her brother {B}.")
    assert stated.quote.startswith("The patent was granted")
    [found] = citations("Ada Breuer was born in Bremen in 1893.")
    assert (found.file_id, found.quote) == ("file-b", BIOGRAPHY.partition(" She")[0])


_PARTS = st.sampled_from(
    [A, B, "【9:9†source】", "[4:0†source]", "(source 1)", "【", "[", "4:0", "†source】",
     "†a (1).md", "]", ". ", " ", "\n", "? ", "。", "The Lyon warehouse was opened in March 2011",
     "Dr. ", "he said", "“x”", "…"]
)  # fmt: skip


@given(st.lists(_PARTS, max_size=12).map("".join), st.integers(1, 9))
def test_any_pieces_give_the_same_answer(text: str, size: int) -> None:
    assert shown(text, size) == shown(text, max(1, len(text)))
    assert citations(text, size) == citations(text, max(1, len(text)))
    for piece in read(text, size):
        for citation in piece.citations:
            assert piece.text[citation.start : citation.end] == citation.text in (A, B)


def test_text_is_held_back_only_where_something_may_begin() -> None:
    reader = CitationReader(FOUND)
    assert reader.feed("Hello, wor") == [Cited("Hello, wor")]
    assert reader.feed("ld") == [Cited("ld")]
    assert reader.feed("! ") == []
    assert reader.feed("you [see") == [Cited("! you [see")]
    assert reader.feed(" 【4:") == []
    space, marker = reader.feed("0†source】")
    assert (space.text, marker.text, len(marker.citations)) == (" ", A, 1)


@pytest.mark.parametrize("odd", [".", " ", "[", "【", "【4:0", "( ", "“"])
def test_what_never_becomes_a_marker_flows_on(odd: str) -> None:
    reader = CitationReader(FOUND)
    pieces = [reader.feed(odd) for _ in range(5000)]
    said = "".join(piece.text for shown in pieces for piece in shown)
    rest = "".join(piece.text for piece in reader.finish())
    assert said + rest == odd * 5000 and (odd == " " or len(rest) < 300)
