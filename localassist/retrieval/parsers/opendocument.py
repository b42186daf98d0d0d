"""OpenDocument texts, spreadsheets and presentations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.archive import DAMAGED, open_archive, xml_root
from localassist.retrieval.parsers.base import HeadingPath, TextWriter, one_line
from localassist.retrieval.parsers.docx import local_name
from localassist.retrieval.parsers.tables import row_line, table_lines

_SKIPPED = frozenset("annotation tracked-changes forms desc title".split())
_WIDEST_ROW = 16_384


def parse(path: Path, out: TextWriter) -> None:
    with open_archive(path) as archive:
        try:
            manifest = archive.read("META-INF/manifest.xml")
        except KeyError:
            manifest = b""
        if b":encryption-data" in manifest:
            raise UnreadableFile(
                "The document is encrypted. Save it without a password and add it again."
            )
        try:
            root = xml_root(archive, "content.xml")
        except KeyError as error:
            raise UnreadableFile(DAMAGED) from error
    body = root.find("{*}body")
    for content in () if body is None else body:
        {"spreadsheet": _sheets, "presentation": _slides}.get(local_name(content), _write_text)(
            content, out
        )


def _write_text(content: Any, out: TextWriter) -> None:
    _blocks(content, out, HeadingPath())


def _blocks(parent: Any, out: TextWriter, headings: HeadingPath, mark: str = "") -> None:
    for element in parent:
        name = local_name(element)
        if name == "h":
            title = _text(element)
            if title.strip():
                out.place(heading=headings.enter(_number(element, "outline-level", 1), title))
            out.paragraph(title)
        elif name == "p":
            _paragraph(element, out, headings, mark)
        elif name == "table":
            for row in _rows(element):
                if line := row_line(row):
                    out.line(line)
            out.add("\n")
        elif name == "list":
            _blocks(element, out, headings, "- ")
            out.add("\n")
        elif name not in _SKIPPED:
            _blocks(element, out, headings, mark)


def _paragraph(element: Any, out: TextWriter, headings: HeadingPath, mark: str) -> None:
    text = _text(element).strip()
    if mark and text:
        out.line(f"{mark}{text}")
    else:
        out.paragraph(text)
    for box in element.iter("{*}text-box"):
        _blocks(box, out, headings)


def _sheets(content: Any, out: TextWriter) -> None:
    for table in content.iter("{*}table"):
        out.place(sheet=_attribute(table, "name") or None)
        for line in table_lines(_rows(table)):
            out.line(line)
        out.add("\n")


def _slides(content: Any, out: TextWriter) -> None:
    for number, page in enumerate(content.iter("{*}page"), 1):
        out.place(slide=number)
        _blocks(page, out, HeadingPath())


def _rows(table: Any) -> Iterator[list[str]]:
    """Rows of a table, one that is repeated once: sheets are filled up with empty ones."""
    for row in table.iter("{*}table-row"):
        cells: list[str] = []
        for cell in row:
            if local_name(cell) not in ("table-cell", "covered-table-cell"):
                continue
            count = _number(cell, "number-columns-repeated", 1)
            cells += [_cell(cell)] * min(count, _WIDEST_ROW - len(cells))
        yield cells


def _cell(cell: Any) -> str:
    date = _attribute(cell, "date-value")
    return date.replace("T", " ") or one_line(" ".join(_text(p) for p in cell.iter("{*}p")))


def _text(element: Any) -> str:
    """What a paragraph says, notes in their place; boxes stand for themselves."""
    parts: list[str] = [element.text or ""]
    for child in element:
        name = local_name(child)
        if name == "s":
            parts.append(" " * min(_number(child, "c", 1), 100))
        elif name == "tab":
            parts.append("\t")
        elif name == "line-break":
            parts.append("\n")
        elif name == "note":
            parts.append(f" ({one_line(' '.join(_text(p) for p in child.iter('{*}p')))})")
        elif name and name not in _SKIPPED and name != "frame":
            parts.append(_text(child))
        parts.append(child.tail or "")
    return "".join(parts)


def _attribute(element: Any, name: str) -> str:
    """An attribute by its name without namespace."""
    return next((str(v) for k, v in element.attrib.items() if k.rpartition("}")[2] == name), "")


def _number(element: Any, name: str, otherwise: int) -> int:
    value = _attribute(element, name)
    return int(value) if value.isascii() and value.isdigit() and len(value) < 9 else otherwise
