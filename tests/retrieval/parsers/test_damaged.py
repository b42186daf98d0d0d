"""Files that are broken, hostile, or not what they seem: a document, or a sentence that says why
not."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localassist.errors import RetrievalError, UnreadableFile, UnsupportedFile
from localassist.retrieval.documents import ParsedDocument
from localassist.retrieval.parsers import PARSERS
from tests.documents import docx, of_type, pdf, xlsx, zipped
from tests.legacy_word import compound_file
from tests.retrieval.parsers.reads import read

SENTENCE = "The lighthouse at Ardnamurchan was lit in the year 1849 for the first time."
REAL = {suffix: of_type(suffix, SENTENCE) for suffix in PARSERS}
BINARY = sorted("pdf doc docx pptx xlsx odt ods odp epub rtf eml html json csv".split())


def outcome(content: bytes, filename: str) -> ParsedDocument | str:
    """What comes of a file; anything but a document or the two errors fails the test."""
    try:
        return read(content, filename)
    except RetrievalError as error:
        assert isinstance(error, UnsupportedFile | UnreadableFile)
        assert error.message[0].isupper() and error.message.count("\n") == 0
        return error.message


@given(st.binary(max_size=400), st.sampled_from([*PARSERS, "", "zzz"]))
@settings(max_examples=300)
def test_noise_is_a_document_or_an_error(content: bytes, suffix: str) -> None:
    outcome(content, f"a.{suffix}" if suffix else "a")


@given(st.binary(max_size=200), st.sampled_from(BINARY))
def test_noise_after_a_true_beginning(content: bytes, suffix: str) -> None:
    outcome(REAL[suffix][:64] + content, f"a.{suffix}")


@given(st.sampled_from(BINARY), st.data())
def test_files_that_were_cut_off(suffix: str, data: st.DataObject) -> None:
    whole = REAL[suffix]
    outcome(whole[: data.draw(st.integers(0, len(whole)))], f"a.{suffix}")


@given(st.sampled_from(BINARY), st.data())
def test_files_with_a_few_wrong_bytes(suffix: str, data: st.DataObject) -> None:
    content = bytearray(REAL[suffix])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    outcome(bytes(content), f"a.{suffix}")


@given(st.sampled_from(["docx", "pptx", "xlsx", "odt", "ods", "odp", "epub"]), st.data())
@settings(max_examples=60)
def test_archives_with_a_part_that_is_gone_or_noise(suffix: str, data: st.DataObject) -> None:
    with zipfile.ZipFile(io.BytesIO(REAL[suffix])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    victim = data.draw(st.sampled_from(sorted(members)))
    replacement = data.draw(st.none() | st.binary(max_size=100))
    if replacement is None:
        del members[victim]
    else:
        members[victim] = replacement
    outcome(zipped(members), f"a.{suffix}")


@pytest.mark.parametrize(
    "content, filename, said",
    [
        (b"", "a.txt", "The file is empty."),
        (b" \n\t\n", "a.md", "The file is empty."),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a.txt", "is a PNG image"),
        (b"\x1f\x8b\x08" + bytes(50), "a.csv", "is a gzip archive"),
        (SENTENCE.encode(), "a.pdf", "holds plain text"),
        (b"<!DOCTYPE html><p>Not found", "a.docx", "holds a web page"),
        (zipped({"a.txt": "x"}), "a.docx", "a ZIP archive without a document"),
        (zipped({"a.txt": "x"}), "a.txt", "is a ZIP archive. Unpack it"),
        (compound_file({"Workbook": b"x"}), "a.doc", "Save it as .xlsx"),
        (docx([("", SENTENCE)])[:5000], "a.docx", "damaged"),
        (b"PK\x03\x04 not an archive", "a.xlsx", "damaged"),
        (b"<p></p>", "a.html", "holds no text"),
        (b"<div>" * 5000 + b"text", "a.html", "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, filename: str, said: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        read(content, filename)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "content, filename, said",
    [
        (b"anything", "photo.JPG", "Pictures are not read"),
        (b"anything", "a.zip", "Unpack"),
        (b"anything", "a.xls", "Save it as .xlsx"),
        (b"anything", "a.zzz", "the extension .zzz"),
        (bytes(range(256)) * 4, "unknown", "what kind of data"),
        (b"GIF89a" + bytes(50), "unknown", "a GIF image"),
    ],
)
def test_what_has_no_parser_is_said(content: bytes, filename: str, said: str) -> None:
    with pytest.raises(UnsupportedFile) as caught:
        read(content, filename)
    assert said in caught.value.message


def test_macros_are_not_looked_at() -> None:
    with zipfile.ZipFile(io.BytesIO(xlsx({"S": [["a", "b"], ["zinc", "x"]]}))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["xl/vbaProject.bin"] = b"Sub AutoOpen()"
    text = read(zipped(members), "a.xlsm").text
    assert "zinc" in text and "AutoOpen" not in text


def test_bombs_are_not_unpacked() -> None:
    parts = {"[Content_Types].xml": "<Types/>", "word/document.xml": bytes(100 << 20)}
    with pytest.raises(UnreadableFile, match="unpacks to 100 MiB"):
        read(zipped(parts), "a.docx")


def test_entities_are_not_expanded() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]><document><body><p>&l9;</p></body></document>'
    reads_file = (
        '<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/passwd">]><d><body><p>x&f;</p></body></d>'
    )
    for xml in (bomb, reads_file):
        parts = {"[Content_Types].xml": "<T/>", "_rels/.rels": "<R/>", "word/document.xml": xml}
        result = outcome(zipped(parts), "a.docx")
        assert isinstance(result, str) or result.text == "x"


def sheet_with(rows: str) -> bytes:
    names = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    with zipfile.ZipFile(io.BytesIO(xlsx({"S": [["a"]]}))) as archive:
        members: dict[str, bytes | str] = {name: archive.read(name) for name in archive.namelist()}
    members["xl/worksheets/sheet1.xml"] = (
        f'<worksheet xmlns="{names}"><dimension ref="A1:XFD1048576"/>'
        f"<sheetData>{rows}</sheetData></worksheet>"
    )
    return zipped(members)


def test_a_sheet_of_empty_rows_holds_what_it_holds() -> None:
    cell = '<c t="inlineStr" r="{}"><is><t>{}</t></is></c>'
    rows = f'<row r="1">{cell.format("A1", "zinc")}</row>'
    rows += f'<row r="1048576">{cell.format("XFD1048576", "iron")}</row>'
    assert read(sheet_with(rows), "a.xlsx").text == "zinc\n | iron"


def test_a_single_line_of_ten_megabytes() -> None:
    line = b"word and more " * 750_000
    for suffix in ("txt", "csv", "html"):
        text = read(line, f"a.{suffix}", 20_000_000).text
        assert len(text) == len(line) - 1


@pytest.mark.parametrize(
    "line",
    ["# a" + " " * 200_000 + "b", "1" * 200_000 + "x", "a*&" * 70_000, " " * 200_000 + "x"],
    ids=["spaces", "digits", "signs", "indent"],
)
def test_lines_that_patterns_would_backtrack_over(line: str) -> None:
    """Done in no time, or the test would be stopped."""
    for suffix in ("md", "c", "py", "csv", "rst", "org", "html", "rtf", "txt"):
        begin = b"{\\rtf1 " if suffix == "rtf" else b""
        outcome(begin + line.encode() + b"\nsecond,line\n", f"a.{suffix}")


def test_too_much_text_is_refused_before_it_is_read_whole() -> None:
    for content, filename in (
        (b"x" * 5000, "a.txt"),
        (pdf(["word " * 15] * 80), "a.pdf"),
        (xlsx({"S": [["some text"]] * 500}), "a.xlsx"),
        (docx([("", "word " * 1000)]), "a.docx"),
    ):
        with pytest.raises(UnreadableFile, match="more than 1,000 characters"):
            read(content, filename, max_characters=1000)
