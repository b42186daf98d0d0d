"""Sentence ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.tools.file_search.sentences import sentences


def said(text: str) -> list[str]:
    return [text[span.start : span.end] for span in sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["Dr. Breuer met J. R. Hale at 3.5 p.m. in St. Gallen.", "It rained."],
        ["He asked “Why?”", "Nobody knew.", "“So what?” she said."],
        ["It cost $1.50 (see Fig. 3).", "Then it fell.[12]", "Prices rose…", "Again!"],
        ["The U.S. Army left.", "Éva stayed."],
    ],
)
def test_full_stops_of_abbreviations_end_nothing(expected: list[str]) -> None:
    assert said(" ".join(expected)) == expected


def test_chinese_sentences_need_no_space() -> None:
    assert said("他来了。他走了！为什么？") == ["他来了。", "他走了！", "为什么？"]


def test_headings_and_items_of_lists_stand_alone() -> None:
    text = "Opening hours\n\n- Monday to Friday\n- Saturday, by\n  appointment\n2. Closed"
    parts = ["Opening hours", "- Monday to Friday", "- Saturday, by\n  appointment", "2. Closed"]
    assert said(text) == parts


@pytest.mark.parametrize(
    "parts",
    [
        ["# Coffee", "It wants ninety-four degrees.", "## Tea", "It does not."],
        ["Milk\n====", "It is white, and it is\nkept in the cold."],
        ["| Drink | Price |", "|---|---|", "| Latte | 3.50 |"],
        ["Drink: Latte | Price: 3.5", "Drink: Mocha | Price: 4.2"],
        ["name\tprice", "latte\t3.50"],
        ["coffee.degrees: 94", "tea.degrees: 80"],
        ["retries = 4", "timeout = 30"],
        ["Opening hours", "The reading room is open from Tuesday to Saturday,\nbut not on Monday."],
    ],
)
def test_headings_rows_and_records_are_lines_of_their_own(parts: list[str]) -> None:
    assert said("\n".join(parts)) == parts


@pytest.mark.parametrize(
    "wrapped",
    [
        "The ferry leaves the pier at six in the morning and\nNorway is where it goes to.",
        "Es gab\nGründe dafür, aber die kannte an diesem Abend im Hafen noch niemand.",
        "Note: the ferry\nleaves at six.",
    ],
)
def test_wrapped_lines_go_on(wrapped: str) -> None:
    text = f"All of it began in the year\nof the flood. {wrapped}"
    assert len(said(text)) == 2


def test_an_endless_sentence_is_cut_where_clauses_end() -> None:
    text = ", ".join(f"item {at} of a long row" for at in range(200))
    parts = said(text)
    assert max(map(len, parts)) <= 600 and all(part.endswith(",") for part in parts[:-1])
    assert max(map(len, said("x" * 5000))) <= 600


@given(st.text(alphabet="Ab.!?\n -1“”。(),", max_size=200))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    spans = sentences(text)
    assert all(span.start < span.end for span in spans)
    assert all(a.end <= b.start for a, b in zip(spans, spans[1:], strict=False))
    assert "".join("".join(said(text)).split()) == "".join(text.split())


@pytest.mark.parametrize("odd", [".", " ", "\n", "!?", ". ", "- ", "(", "“"])
def test_a_file_of_one_character_is_read_to_its_end(odd: str) -> None:
    text = odd * 100_000 + "end"
    assert said(text)[-1].endswith("end")
