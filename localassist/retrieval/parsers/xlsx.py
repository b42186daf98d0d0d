"""Excel workbooks: the values of cells, as they were last computed. Macros are not looked at."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.archive import DAMAGED, check_archive
from localassist.retrieval.parsers.base import TextWriter
from localassist.retrieval.parsers.tables import table_lines


def parse(path: Path, out: TextWriter) -> None:
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    check_archive(path)
    with path.open("rb") as file:  # a path would have to end in the right suffix
        try:
            book = openpyxl.load_workbook(
                file, read_only=True, data_only=True, keep_links=False, rich_text=False
            )
            for sheet in book.worksheets:
                out.place(sheet=sheet.title)
                for line in table_lines(_rows(sheet)):
                    out.line(line)
                out.add("\n")
        except (InvalidFileException, ParseError, KeyError, ValueError) as error:
            raise UnreadableFile(DAMAGED) from error


def _rows(sheet: Any) -> Iterator[list[str]]:
    # What the file says about its size is often wrong.
    sheet.reset_dimensions()
    for row in sheet.iter_rows(values_only=True):
        # Sheets have rows of thousands of formatted cells without a value.
        is_empty = row.count(None) == len(row)
        yield [] if is_empty else [shown(value) for value in row]


def shown(value: Any) -> str:
    """A cell's value: dates as ISO 8601, whole numbers without a point."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        is_day = value.time() == datetime.time()
        return value.date().isoformat() if is_day else value.isoformat(" ", "seconds")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value)
