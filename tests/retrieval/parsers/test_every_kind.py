"""Every extension that is supported: what the file says is found, at its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.parsers import PARSERS, suffix_of, supported
from tests.documents import PLACES, docx, html, of_type, pdf, rtf, xlsx
from tests.retrieval.parsers.reads import place_of, read

SENTENCE = "The lighthouse at Ardnamurchan was lit in the year 1849 for the first time."

# The list of the hosted API.
HOSTED = "c cpp cs css doc docx go html java js json md pdf php pptx py rb sh tex ts txt".split()


def check(document: ParsedDocument) -> None:
    """Places are in order, apart from each other, not empty and within the text."""
    at = 0
    for place in document.places:
        assert at <= place.start < place.end <= len(document.text)
        at = place.end


@pytest.mark.parametrize("suffix", sorted(PARSERS))
def test_a_sentence_is_found_at_its_place(suffix: str) -> None:
    document = read(of_type(suffix, SENTENCE), f"Report.{suffix.upper()}")
    assert place_of(document, SENTENCE) == PLACES.get(suffix, "")
    assert document.language == "en"
    check(document)


def test_what_the_hosted_api_reads_is_read() -> None:
    assert all(supported(f"file.{suffix}") for suffix in HOSTED)


@pytest.mark.parametrize(
    "filename, suffix",
    [
        ("Report.PDF", "pdf"),
        ("archive.tar.gz", "gz"),
        ("README", ""),
        (".gitignore", ""),
        ("folder.d/Makefile", ""),
        ("Minutes 2024.11", ""),
        ("notes.txt ", "txt"),
        ("sound.mp3", "mp3"),
        ("C:\\texts\\a.md", "md"),
    ],
)
def test_extensions(filename: str, suffix: str) -> None:
    assert suffix_of(filename) == suffix


def test_supported_looks_at_the_extension_and_lets_files_without_one_pass() -> None:
    assert supported("a.pdf") and supported("Dockerfile")
    assert not supported("a.png") and not supported("a.zip") and not supported("a.xls")


@pytest.mark.parametrize(
    "content, filename, place",
    [
        (pdf([SENTENCE]), "really.txt", "page 1"),
        (pdf([SENTENCE]), "no extension", "page 1"),
        (docx([("Findings", SENTENCE)]), "really.pdf", "section Findings"),
        (docx([("Findings", SENTENCE)]), "really.doc", "section Findings"),
        (xlsx({"S": [["a", "b"], [SENTENCE, "x"]]}), "really.docx", "sheet S"),
        (rtf(SENTENCE), "really.doc", ""),
        (html([("Findings", SENTENCE)]), "saved for Word.doc", "section Findings"),
        (html([("Findings", SENTENCE)]), "page", "section Findings"),
        (SENTENCE.encode(), "README", ""),
        (SENTENCE.encode(), "manual.doc", ""),
        (f"ID3 and GIF8 are signs. {SENTENCE}".encode(), "signs.txt", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_file_is_counts_more_than_its_name(
    content: bytes, filename: str, place: str
) -> None:
    assert place_of(read(content, filename), SENTENCE) == place


@pytest.mark.parametrize(
    "text, language",
    [
        ("Der Leuchtturm wurde im Jahr 1849 zum ersten Mal angezündet.", "de"),
        ("Le phare fut allumé pour la première fois en 1849.", "fr"),
        ("El faro se encendió por primera vez en 1849.", "es"),
        ("Маяк был впервые зажжён в 1849 году на мысе.", "ru"),
        ("灯台は1849年に初めて点灯されました。", "ja"),
        ("灯塔于1849年首次点亮。", "zh"),
        ("등대는 1849년에 처음 불을 밝혔습니다.", "ko"),
        ("1849 12 7", ""),
        ("ok", ""),
    ],
)
def test_the_language_is_told(text: str, language: str) -> None:
    assert read(text.encode(), "a.txt").language == language


def test_the_page_on_documents_lists_what_is_read() -> None:
    page = (Path(__file__).parents[3] / "localassist" / "docs" / "documents.md").read_text("utf-8")
    read_part = page.partition("## What is not read")[0].partition("| Place |")[2]
    listed = re.findall(r"`([a-z0-9]+)`", read_part)
    assert sorted(listed) == sorted(PARSERS)
