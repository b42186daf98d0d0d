"""Tables with separators: commas, semicolons, tabs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from localassist.retrieval.parsers.base import TextWriter
from localassist.retrieval.parsers.encoding import read_text
from localassist.retrieval.parsers.tables import table_lines

_SAMPLE = 1 << 14
# Of the characters a document may have, so many may become records with names.
_NAMED = 0.2
_SEPARATORS = ",;\t|"


def parse(path: Path, out: TextWriter) -> None:
    text = read_text(path, out.max_characters)
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    rows = _rows(text, separator_of(text[:_SAMPLE]))
    for line in table_lines(rows, repeats_names=len(text) < _NAMED * out.max_characters):
        out.line(line)


def separator_of(sample: str) -> str:
    """The separator that splits the most lines into the same number of cells, at least two."""

    def agreement(separator: str) -> tuple[int, int]:
        widths = [len(row) for row in _rows(sample, separator)][:50]
        # The last line of a sample may be cut.
        widths = [width for width in widths[:-1] or widths if width > 1]
        common = max(set(widths), key=widths.count, default=0)
        return widths.count(common) if common else 0, common

    return max(_SEPARATORS, key=agreement)


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    lines = io.StringIO(text.replace("\0", ""), newline="")
    return csv.reader(lines, delimiter=separator)
