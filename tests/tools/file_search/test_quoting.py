"""Answers made of quotations."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.retrieval.documents import Place
from localassist.tools.file_search import QuotedAnswer, number, quote_first
from localassist.tools.file_search.results import spoken
from tests.tools.file_search.found import BIOGRAPHY, HANDBOOK, MENU, all_texts, passage, results

FOUND = results(HANDBOOK, BIOGRAPHY, MENU)


def answer(question: str, found: list = FOUND, **options: int) -> QuotedAnswer:
    made = quote_first(question, found, **options)
    assert made is not None
    return made


def quotes(made: QuotedAnswer) -> list[str]:
    return [citation.quote for piece in made.pieces for citation in piece.citations]


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("When did the Lyon warehouse open?", "The warehouse in Lyon"),
        ("How many people does the warehouse employ?", "It has 40"),
        ("Who invented the turbo lathe?", "She invented"),
        ("Who sold the patent?", "The patent"),
        ("Where was Ada Breuer born?", "Dr. Ada Breuer"),
        ("Is coffee free?", "Coffee is free"),
    ],
)
def test_the_sentence_that_answers_is_quoted(question: str, start: str) -> None:
    [quote] = quotes(answer(question, max_sentences=1))
    assert quote.startswith(start)


def test_an_answer_names_file_and_place_and_cites_behind_the_quotation() -> None:
    found = number([passage(HANDBOOK, "handbook", place="page 3")], 7)
    made = answer("Where do visitors report?", found, max_sentences=1)
    assert made.text == "handbook.pdf, page 3: “Visitors report at gate 3.”【7:0†source】"
    [citation] = [citation for piece in made.pieces for citation in piece.citations]
    assert made.pieces[-1].text[citation.start : citation.end] == citation.text == "【7:0†source】"
    assert (citation.file_id, citation.quote) == ("file-handbook", "Visitors report at gate 3.")


def test_a_quotation_has_single_spaces_and_its_quote_the_files_own() -> None:
    made = answer("When was the turbo lathe invented?", max_sentences=1)
    assert "“She invented the turbo lathe in 1923.”" in made.text
    assert quotes(made) == ["She invented the turbo lathe\nin 1923."]
    inner = answer("What does the canteen serve on Tuesdays?", max_sentences=1)
    assert '“On Tuesdays the canteen serves "soup of the day".”' in inner.text


def test_sentences_that_follow_one_another_are_one_quotation() -> None:
    made = answer("When did the warehouse in Lyon open, and how many people does it employ?")
    [quote] = quotes(made)
    assert quote == HANDBOOK.partition(" Visitors")[0]


def test_every_line_is_a_question_and_a_source_is_named_once() -> None:
    made = answer("Where do visitors report?\nHow many docks are there?", max_sentences=1)
    assert quotes(made) == [
        "It has 40 loading docks and employs 250 people. Visitors report at gate 3."
    ]
    made = answer("Who invented the turbo lathe?\nIs coffee free?", max_sentences=1)
    lines = made.text.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["b.pdf", "c.pdf"]


def test_the_place_of_another_unit_is_not_claimed() -> None:
    long = passage(f"{MENU} {HANDBOOK}", "x", place="page 1")
    unit = long.hits[0]
    first = type(unit)(**{**{f: getattr(unit, f) for f in unit.__slots__}, "end": len(MENU)})
    fields = {name: getattr(long, name) for name in long.__slots__}
    found = number([type(long)(**{**fields, "hits": (first,)})], 0)
    assert answer("Is coffee free?", found, max_sentences=1).text.startswith("x.pdf, page 1: “")
    assert answer("Where do visitors report?", found, max_sentences=1).text.startswith("x.pdf: “")


def test_a_sentence_is_cited_with_its_own_page() -> None:
    long = replace(passage(f"{MENU} {HANDBOOK}", "x", place="page 1", start=100))
    middle = 100 + len(MENU)
    pages = Place(0, middle, page=1), Place(middle + 1, 10_000, page=2)
    found = number([replace(long, places=pages)], 0)
    for question, page in (("Is coffee free?", "page 1"), ("Where do visitors report?", "page 2")):
        made = answer(question, found, max_sentences=1)
        assert made.text.startswith(f"x.pdf, {page}: “")
        assert [one.place for piece in made.pieces for one in piece.citations] == [page]


def test_headings_are_not_quoted() -> None:
    text = "# Coffee\nCoffee wants ninety-four degrees.\n\nTea\n===\n- Tea wants *eighty*."
    found = number([passage(text, "drinks")], 4)
    asked = "How many degrees does coffee want?\nWhat does tea want?"
    made = answer(asked, found, max_sentences=1)
    assert quotes(made) == ["Coffee wants ninety-four degrees.", "Tea wants *eighty*."]
    text = "Tea\n\nIt wants eighty degrees."
    place = Place(0, len(text), heading="Drinks › Tea")
    found = number([replace(passage(text), places=(place,))], 4)
    assert quotes(answer("What about tea?", found)) == ["It wants eighty degrees."]
    assert quotes(answer("Tea?", number([passage("# Tea")], 4))) == ["Tea"]


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("Drink: Latte | Price: 3.5\nDrink: Mocha | Price: 4.2", "Drink: Mocha | Price: 4.2"),
        ("| Drink | Price |\n|---|---|\n| Latte | 3.5 |\n| Mocha | 4.2 |", "Mocha | 4.2"),
        ("latte.price: 3.5\nmocha.price: 4.2", "mocha.price: 4.2"),
    ],
)
def test_of_a_table_only_the_row_is_quoted(table: str, row: str) -> None:
    found = number([passage(table)], 4)
    assert quotes(answer("How much is a mocha?", found, max_sentences=1)) == [row]


def test_without_passages_there_is_no_answer() -> None:
    assert quote_first("Why?", []) is None
    assert quote_first("  \n", FOUND) is None
    assert quote_first("Why?", results(" \n ")) is None


def test_an_answer_stays_short() -> None:
    rows = " ".join(f"The docks of the warehouse in Lyon number {n} {'very ' * 60}." for n in "abc")
    assert len(answer("How many docks has the warehouse in Lyon?", results(rows)).text.split()) < 90


@given(st.text(max_size=80), st.lists(st.text(max_size=120), max_size=4))
def test_every_quotation_is_verbatim(question: str, texts: list[str]) -> None:
    found = results(*texts)
    made = quote_first(question, found)
    for piece in () if made is None else made.pieces:
        for citation in piece.citations:
            assert citation.quote and citation.quote in all_texts(found)
            assert f"“{spoken(citation.quote)}”{citation.text}" in (made.text if made else "")
