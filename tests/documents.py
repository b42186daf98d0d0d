"""Writes real files of every kind that can be searched, small and from plain data.

A *section* is a heading and the text under it; an empty heading is left out. ``of_type`` makes a
file of any suffix that says one sentence, ``PLACES`` what a citation of it then shows.
"""

from __future__ import annotations

import html as markup
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from typing import Any

from tests.legacy_word import doc

Section = tuple[str, str]
Rows = Sequence[Sequence[object]]

PLACES = {
    "pdf": "page 1",
    **dict.fromkeys("pptx pptm ppsx odp".split(), "slide 1"),
    **dict.fromkeys("xlsx xlsm xltx ods".split(), "sheet Findings"),
    **dict.fromkeys("docx docm dotx odt ott epub".split(), "section Findings"),
    **dict.fromkeys("html htm xhtml md markdown mdx qmd rmd".split(), "section Findings"),
    **dict.fromkeys("json geojson webmanifest".split(), "section finding"),
}
"""The label of the place where ``of_type`` puts its sentence; other suffixes have none."""


def pdf(pages: Sequence[str]) -> bytes:
    """Real pages in Helvetica, a line of text for each line; no line is broken."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, text in enumerate(pages):
        content = _page_content(text)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number)
        )
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
    return _pdf_file(objects)


def _page_content(text: str) -> bytes:
    lines = [b"BT /F1 11 Tf 14 TL 60 780 Td"]
    for line in text.split("\n"):
        shown = line.encode("cp1252").replace(b"\\", rb"\\")
        lines.append(b"(%b) Tj T*" % shown.replace(b"(", rb"\(").replace(b")", rb"\)"))
    return b"\n".join([*lines, b"ET"])


def _pdf_file(objects: Sequence[bytes], trailer: bytes = b"") -> bytes:
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    out += b"trailer\n<< /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        trailer,
        table,
    )
    return bytes(out)


def form_pdf(label: str, value: str) -> bytes:
    """A page with a form whose one field was filled in."""
    shown = f"BT /F1 11 Tf 2 5 Td ({value}) Tj ET".encode()
    printed = f"BT /F1 11 Tf 60 780 Td ({label}) Tj ET".encode()
    font = b"/Resources << /Font << /F1 3 0 R >> >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [6 0 R] >> >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R /Annots [6 0 R]"
        b" %b >>" % font,
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(printed), printed),
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (field) /V (%b) /Rect [160 775 300 795] /F 4"
        b" /AP << /N 7 0 R >> >>" % value.encode(),
        b"<< /Type /XObject /Subtype /Form /BBox [0 0 140 20] %b /Length %d >>\nstream\n%b\n"
        b"endstream" % (font, len(shown), shown),
    ]
    return _pdf_file(objects)


def encrypted_pdf() -> bytes:
    """A PDF whose password nobody knows."""
    noise = b"<" + b"5a" * 32 + b">"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [] /Count 0 >>",
        b"<< /Filter /Standard /V 1 /R 2 /O %b /U %b /P -4 >>" % (noise, noise),
    ]
    return _pdf_file(objects, b"/Encrypt 3 0 R /ID [<00> <00>]")


def docx(sections: Sequence[Section], table: Rows = ()) -> bytes:
    import docx as library

    document = library.Document()
    for heading, text in sections:
        if heading:
            document.add_heading(heading, level=1)
        document.add_paragraph(text)
    if table:
        grid = document.add_table(len(table), len(table[0]))
        for row, values in zip(grid.rows, table, strict=True):
            for cell, value in zip(row.cells, values, strict=True):
                cell.text = str(value)
    return _saved(document)


def pptx(slides: Sequence[Section], notes: Sequence[str] = (), table: Rows = ()) -> bytes:
    """Slides with a title and a text; ``table`` goes onto the last one."""
    import pptx as library

    deck = library.Presentation()
    for number, (title, text) in enumerate(slides):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = text
        if number < len(notes):
            slide.notes_slide.notes_text_frame.text = notes[number]
    if table:
        shape = slide.shapes.add_table(len(table), len(table[0]), 0, 0, 5_000_000, 2_000_000)
        for row, values in zip(shape.table.rows, table, strict=True):
            for cell, value in zip(row.cells, values, strict=True):
                cell.text = str(value)
    return _saved(deck)


def xlsx(sheets: Mapping[str, Rows]) -> bytes:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    return _saved(book)


def _saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def html(sections: Sequence[Section], title: str = "") -> bytes:
    body = "".join(
        (f"<h1>{markup.escape(heading)}</h1>" if heading else "") + f"<p>{markup.escape(text)}</p>"
        for heading, text in sections
    )
    head = f"<title>{markup.escape(title)}</title>" if title else ""
    page = f"<!DOCTYPE html><html><head><meta charset='utf-8'>{head}</head><body>{body}</body>"
    return f"{page}</html>".encode()


def epub(chapters: Sequence[Section]) -> bytes:
    names = [f"chapter{number}.xhtml" for number in range(len(chapters))]
    items = "".join(
        f'<item id="c{n}" href="{name}" media-type="application/xhtml+xml"/>'
        for n, name in enumerate(names)
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(names)))
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">'
        '<rootfiles><rootfile full-path="OEBPS/content.opf"'
        ' media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    members: dict[str, bytes | str] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": container,
        "OEBPS/content.opf": package,
    }
    pages = zip(names, chapters, strict=True)
    return zipped(members | {f"OEBPS/{name}": html([chapter]) for name, chapter in pages})


def zipped(members: Mapping[str, bytes | str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def rtf(text: str) -> bytes:
    escaped = "".join(c if c.isascii() else f"\\u{ord(c)}?" for c in text)
    body = escaped.replace("\n", "\\par\n")
    return (r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0 Arial;}}\f0\fs22 " + body + "}").encode()


def odt(sections: Sequence[Section]) -> bytes:
    from odf.opendocument import OpenDocumentText
    from odf.text import H, P

    document = OpenDocumentText()
    for heading, text in sections:
        if heading:
            document.text.addElement(H(outlinelevel=1, text=heading))
        document.text.addElement(P(text=text))
    return _written(document)


def ods(sheets: Mapping[str, Rows]) -> bytes:
    from odf.opendocument import OpenDocumentSpreadsheet
    from odf.table import Table, TableCell, TableRow
    from odf.text import P

    document = OpenDocumentSpreadsheet()
    for name, rows in sheets.items():
        table = Table(name=name)
        for values in rows:
            row = TableRow()
            for value in values:
                cell = TableCell(valuetype="string")
                cell.addElement(P(text=str(value)))
                row.addElement(cell)
            table.addElement(row)
        document.spreadsheet.addElement(table)
    return _written(document)


def odp(slides: Sequence[Section]) -> bytes:
    from odf.draw import Frame, Page, TextBox
    from odf.opendocument import OpenDocumentPresentation
    from odf.style import MasterPage, PageLayout
    from odf.text import P

    document = OpenDocumentPresentation()
    layout = PageLayout(name="plain")
    document.automaticstyles.addElement(layout)
    document.masterstyles.addElement(master := MasterPage(name="plain", pagelayoutname=layout))
    for title, text in slides:
        page = Page(masterpagename=master)
        for paragraph in (title, text):
            frame = Frame(width="20cm", height="5cm", x="1cm", y="1cm")
            box = TextBox()
            box.addElement(P(text=paragraph))
            frame.addElement(box)
            page.addElement(frame)
        document.presentation.addElement(page)
    return _written(document)


def _written(document: Any) -> bytes:
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def eml(subject: str, text: str) -> bytes:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "ada@example.org"
    message["To"] = "bob@example.org"
    message.set_content(text)
    return bytes(message)


def markdown(sections: Sequence[Section]) -> bytes:
    blocks = (f"# {heading}\n\n{text}" if heading else text for heading, text in sections)
    return ("\n\n".join(blocks) + "\n").encode()


def of_type(suffix: str, sentence: str) -> bytes:
    """A file of this suffix (without the dot) that says ``sentence``; suffixes that are not known
    here get it as plain text."""
    sections = [("Findings", sentence)]
    rows = [("Subject", "Statement"), ("finding", sentence)]
    separated = 'Subject{0}Statement\nfinding{0}"{1}"\n'
    makers: dict[str, Callable[[], bytes]] = {
        "pdf": lambda: pdf([sentence]),
        "doc": lambda: doc(sentence),
        **dict.fromkeys(("docx", "docm", "dotx"), lambda: docx(sections)),
        **dict.fromkeys(("pptx", "pptm", "ppsx"), lambda: pptx(sections)),
        **dict.fromkeys(("xlsx", "xlsm", "xltx"), lambda: xlsx({"Findings": rows})),
        **dict.fromkeys(("odt", "ott"), lambda: odt(sections)),
        "ods": lambda: ods({"Findings": rows}),
        "odp": lambda: odp(sections),
        "epub": lambda: epub(sections),
        **dict.fromkeys(("html", "htm", "xhtml"), lambda: html(sections)),
        **dict.fromkeys(("md", "markdown", "mdx", "qmd", "rmd"), lambda: markdown(sections)),
        "rtf": lambda: rtf(sentence),
        "eml": lambda: eml("Findings", sentence),
        **dict.fromkeys(
            ("json", "geojson", "webmanifest"), lambda: json.dumps({"finding": sentence}).encode()
        ),
        **dict.fromkeys(
            ("jsonl", "ndjson"), lambda: json.dumps({"finding": sentence}).encode() + b"\n"
        ),
        "csv": lambda: separated.format(",", sentence).encode(),
        **dict.fromkeys(("tsv", "tab"), lambda: separated.format("\t", sentence).encode()),
    }
    make = makers.get(suffix)
    return make() if make else f"{sentence}\n".encode()
