"""Documents, sheets and slides of office programs."""

from __future__ import annotations

import datetime
import io
import zipfile

import pytest

from localassist.errors import UnreadableFile
from tests.documents import docx, epub, odp, ods, odt, pptx, rtf, xlsx, zipped
from tests.legacy_word import compound_file, doc
from tests.retrieval.parsers.reads import place_of, read

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
    'relationships/officeDocument" Target="word/document.xml"/></Relationships>'
)


def word(body: str, **parts: str) -> bytes:
    """A Word document of this XML; ``parts`` are further files of its folder."""
    members = {
        f"word/{name}.xml": f'<w:x xmlns:w="{WORD}">{xml}</w:x>' for name, xml in parts.items()
    }
    document = f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    fixed = {"[Content_Types].xml": "<Types/>", "_rels/.rels": RELATIONS}
    return zipped({**fixed, "word/document.xml": document, **members})


def test_word_headings_make_a_path() -> None:
    import docx as library

    document = library.Document()
    for level, text in ((0, "Manual"), (1, "Setup"), (2, "Linux"), (1, "Use")):
        document.add_heading(text, level)
        document.add_paragraph(f"About {text.lower()}.")
    out = io.BytesIO()
    document.save(out)
    read_back = read(out.getvalue(), "a.docx")
    assert place_of(read_back, "About linux") == "section Manual › Setup › Linux"
    assert place_of(read_back, "About use") == "section Manual › Use"


def test_word_tables_lists_notes_and_boxes() -> None:
    table = [("Metal", "Point"), ("zinc", 420)]
    assert "Metal | Point\nzinc | 420" in read(docx([("", "Text.")], table), "a.docx").text
    notes = '<w:footnote w:id="2"><w:p><w:r><w:t>Measured in 1902.</w:t></w:r></w:p></w:footnote>'
    document = read(
        word(
            '<w:p><w:r><w:t>It melts early.</w:t><w:footnoteReference w:id="2"/></w:r></w:p>'
            "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>first</w:t></w:r></w:p>"
            "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>second</w:t></w:r></w:p>"
            "<w:p><w:r><w:pict><w:txbxContent><w:p><w:r><w:t>In a box.</w:t></w:r></w:p>"
            "</w:txbxContent></w:pict></w:r></w:p>",
            footnotes=notes,
        ),
        "a.docx",
    )
    assert document.text == (
        "It melts early.\n\nMeasured in 1902.\n\n- first\n- second\n\nIn a box."
    )


def test_word_changes_are_read_as_accepted_and_field_codes_left_out() -> None:
    body = (
        "<w:p><w:r><w:t>It is </w:t></w:r><w:del><w:r><w:delText>not </w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>very</w:t><w:tab/><w:t>hot</w:t></w:r></w:ins>"
        "<w:r><w:instrText>PAGE</w:instrText></w:r></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>Controlled.</w:t></w:r></w:p></w:sdtContent></w:sdt>"
    )
    assert read(word(body), "a.docx").text == "It is very\thot\n\nControlled."


def test_legacy_word_is_read_from_its_pieces() -> None:
    text = "Zink schmilzt bei 420 °C – früh.\nWolfram schmilzt spät, bei 3422 Grad Celsius."
    assert read(doc(text), "a.doc").text == text.replace("\n", "\n\n")
    wide = "タングステンは最も融点が高い金属です。 Ω"
    assert read(doc(wide), "a.doc").text == wide


def test_legacy_word_fields_and_cells() -> None:
    text = "See \x13HYPERLINK x\x14the page\x15 now.\nzinc\x07420\x07\x07iron\x071538\x07\x07"
    assert read(doc(text), "a.doc").text == "See the page now.\n\nzinc | 420\niron | 1538"


def test_slides_with_notes_and_tables() -> None:
    content = pptx(
        [("Metals", "Zinc melts early."), ("More", "Iron melts late.")],
        notes=["Mention the lamps."],
        table=[("Metal", "Point"), ("zinc", 420)],
    )
    document = read(content, "a.pptx")
    assert place_of(document, "Zinc") == place_of(document, "Notes: Mention") == "slide 1"
    assert place_of(document, "Iron") == place_of(document, "zinc | 420") == "slide 2"
    assert document.places[0].heading == "Metals"


def test_rows_of_a_sheet_carry_their_headers() -> None:
    day, moment = datetime.date(2024, 3, 1), datetime.datetime(2024, 3, 1, 12, 30)
    rows = [
        ["Prices of metals", None, None, None],
        [None, None, None, None],
        ["Metal", "Price", "Since", "Note"],
        ["zinc", 2.5, day, None],
        ["iron", 3.0, moment, "two\nlines"],
    ]
    document = read(xlsx({"Prices": rows, "Other": [["x", "y"], [1, 2]]}), "a.xlsx")
    assert document.text == (
        "Prices of metals\nMetal | Price | Since | Note\nMetal: zinc | Price: 2.5 | Since: "
        "2024-03-01\nMetal: iron | Price: 3 | Since: 2024-03-01 12:30:00 | Note: two lines\n\n"
        "x | y\nx: 1 | y: 2"
    )
    assert (
        place_of(document, "iron") == "sheet Prices" and place_of(document, "x: 1") == "sheet Other"
    )


def test_a_second_table_of_a_sheet_has_its_own_names() -> None:
    rows = [["Metal", "Price"], ["zinc", 2], [], ["iron", 3], [], ["Town", "People"], ["Bern", 9]]
    assert read(xlsx({"S": rows}), "a.xlsx").text == (
        "Metal | Price\nMetal: zinc | Price: 2\nMetal: iron | Price: 3\n"
        "Town | People\nTown: Bern | People: 9"
    )


def test_formulas_are_read_by_their_last_value() -> None:
    plain = xlsx({"S": [["Metal", "Sum"], ["zinc", 1]]})
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name).replace(b"<v>1</v>", b"<f>6*7</f><v>42</v>")
            new.writestr(name, content)
    assert "Metal: zinc | Sum: 42" in read(out.getvalue(), "a.xlsx").text


def test_open_documents() -> None:
    sections = [("Metals", "Zinc melts early."), ("Other", "Wood burns.")]
    assert place_of(read(odt(sections), "a.odt"), "Wood") == "section Other"
    assert place_of(read(odp(sections), "a.odp"), "Wood") == "slide 2"
    sheets = ods({"Prices": [["Metal", "Price"], ["zinc", "2.5"]]})
    document = read(sheets, "a.ods")
    assert document.text == "Metal | Price\nMetal: zinc | Price: 2.5"
    assert place_of(document, "zinc") == "sheet Prices"


def test_repeated_cells_of_an_open_sheet_are_not_multiplied() -> None:
    names = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<o:document-content xmlns:o="{names}:office:1.0" xmlns:t="{names}:table:1.0"'
        f' xmlns:x="{names}:text:1.0"><o:body><o:spreadsheet><t:table t:name="S">'
        '<t:table-row t:number-rows-repeated="1048576"><t:table-cell><x:p>zinc</x:p></t:table-cell>'
        '<t:table-cell t:number-columns-repeated="999999999"/></t:table-row>'
        "</t:table></o:spreadsheet></o:body></o:document-content>"
    )
    archive = {"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": content}
    assert read(zipped(archive), "a.ods").text == "zinc"


def test_a_book_is_read_in_the_order_of_its_spine() -> None:
    document = read(
        epub([("One", "It began."), ("Two", "It went on."), ("Three", "It ended.")]), "a.epub"
    )
    assert document.text == "One\n\nIt began.\n\nTwo\n\nIt went on.\n\nThree\n\nIt ended."
    assert place_of(document, "It went on.") == "section Two"


def test_pictures_in_rich_text_are_passed_over() -> None:
    picture = r"{\pict\pngblip " + "89504e47\n" * 200_000 + "}"
    content = rtf("Before. PLACE After.").decode().replace("PLACE", picture)
    assert read(content.encode(), "a.rtf").text == "Before.  After."


def test_rich_text_in_its_code_page() -> None:
    assert read(rtf("Früh: 420 °C\nSpät: Ω"), "a.rtf").text == "Früh: 420 °C\nSpät: Ω"
    cyrillic = rb"{\rtf1\ansi\ansicpg1251 \'cf\'f0\'e8\'e2\'e5\'f2}"
    assert read(cyrillic, "a.rtf").text == "Привет"


@pytest.mark.parametrize(
    "content, filename",
    [
        (doc("Some text.", is_encrypted=True), "a.doc"),
        (compound_file({"EncryptedPackage": b"?" * 5000, "EncryptionInfo": b"?"}), "a.docx"),
        (compound_file({"EncryptedPackage": b"?" * 5000, "EncryptionInfo": b"?"}), "a.xlsx"),
    ],
)
def test_encrypted_documents_say_so(content: bytes, filename: str) -> None:
    with pytest.raises(UnreadableFile, match="encrypted"):
        read(content, filename)


def test_a_protected_book_says_so() -> None:
    with zipfile.ZipFile(io.BytesIO(epub([("One", "It began.")]))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["META-INF/encryption.xml"] = (
        b'<encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData>'
        b'<e:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#aes128-cbc"/>'
        b"</e:EncryptedData></encryption>"
    )
    with pytest.raises(UnreadableFile, match="protected"):
        read(zipped(members), "a.epub")
