"""Pages of PDFs into running text."""

from __future__ import annotations

import pytest

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.pages import Line, texts_of
from localassist.retrieval.parsers.pdf import _is_garbled
from tests.documents import encrypted_pdf, form_pdf, pdf
from tests.retrieval.parsers.reads import place_of, read


def test_every_page_is_a_place() -> None:
    document = read(
        pdf(["Zinc melts early.", "Iron melts late.", "Tungsten last of all."]), "a.pdf"
    )
    assert [place.page for place in document.places] == [1, 2, 3]
    for text, label in (("Zinc", "page 1"), ("Iron", "page 2"), ("Tungsten", "page 3")):
        assert place_of(document, text) == label


def test_pages_without_text_keep_the_count() -> None:
    document = read(pdf(["First.", "", "Third."]), "a.pdf")
    assert [place.page for place in document.places] == [1, 3]


def test_lines_flow_into_paragraphs_and_broken_words_are_mended() -> None:
    page = (
        "Metals\n"
        "\n"
        "The melting point of tungsten is the highest of all the ele-\n"
        "ments that are metals, which is why it was used for the wires of\n"
        "lamps.\n"
        "Another paragraph begins here, since the last line was not full at\n"
        "all.\n"
        "- an item\n"
        "- another item"
    )
    assert read(pdf([page]), "a.pdf").text == (
        "Metals\n\nThe melting point of tungsten is the highest of all the elements that are "
        "metals, which is why it was used for the wires of lamps.\nAnother paragraph begins here, "
        "since the last line was not full at all.\n- an item\n- another item"
    )


def test_a_hyphen_stays_where_the_text_has_it_elsewhere_and_before_capitals() -> None:
    page = (
        "A state-of-the-art furnace and a well-known method were used for the well-\n"
        "known samples of the year, which Doctor Mac-\n"
        "Donald brought along from the island where he had found these."
    )
    text = read(pdf([page]), "a.pdf").text
    assert "the well-known samples" in text and "Mac-Donald brought" in text


def test_running_headers_are_kept_once_and_page_numbers_go() -> None:
    subjects = ("zinc", "iron", "lead", "gold", "tin", "silver")
    pages = [
        f"Handbook of metals\nThis page is about {subject} only.\nPage {number} of 6"
        for number, subject in enumerate(subjects, 1)
    ]
    text = read(pdf(pages), "a.pdf").text
    assert text.count("Handbook") == 1 and "Page" not in text
    assert all(subject in text for subject in subjects)


def test_pages_that_only_differ_in_numbers_lose_nothing() -> None:
    pages = [f"Reading number {n}.\nThe value was {n * 7}." for n in range(1, 5)]
    text = read(pdf(pages), "a.pdf").text
    assert all(f"The value was {n * 7}." in text for n in range(1, 5))
    assert "Reading number 3." in text


def test_what_was_filled_into_a_form_is_read() -> None:
    assert read(form_pdf("Name of metal:", "Zinc"), "a.pdf").text == "Name of metal: Zinc"


def test_letters_that_only_their_font_knows_are_no_text() -> None:
    lines = Line("\ue001\ue002\ue003 1", 90, 700, 700, 12)
    assert _is_garbled([[lines]]) and not _is_garbled([[lines, Line("words", 90, 600, 600, 12)]])


def test_ligatures_are_letters() -> None:
    line = Line("eﬃcient ﬁre ﬂow", 200.0, 700.0, 700.0, 12.0)
    assert list(texts_of([[line]])) == ["efficient fire flow"]


def test_lines_of_another_column_or_size_are_not_joined() -> None:
    lines = [
        Line("A title in large letters", 300, 700, 700, 30.0),
        Line("and the text below it which fills the whole line", 300, 670, 670, 12.0),
        Line("goes on here and ends the first column on the left", 300, 656, 656, 12.0),
        Line("The second column begins at the top of the page.", 600, 670, 670, 12.0),
    ]
    assert list(texts_of([lines])) == [
        "A title in large letters\n\nand the text below it which fills the whole line goes on here "
        "and ends the first column on the left\n\nThe second column begins at the top of the page."
    ]


@pytest.mark.parametrize(
    "content, said",
    [
        (pdf(["", "", ""]), "3 pages but no text layer: it is probably scanned"),
        (encrypted_pdf(), "encrypted"),
        (pdf(["Some text."])[:300], "damaged"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 20, "damaged"),
        (pdf([]), "damaged or has no pages"),
    ],
    ids=["scanned", "encrypted", "cut", "noise", "without pages"],
)
def test_what_cannot_be_read_is_told(content: bytes, said: str) -> None:
    with pytest.raises(UnreadableFile, match=said):
        read(content, "a.pdf")


def test_the_limit_counts_characters_of_all_pages() -> None:
    with pytest.raises(UnreadableFile, match="more than 50 characters"):
        read(pdf(["Thirty characters are on this."] * 2), "a.pdf", max_characters=50)
