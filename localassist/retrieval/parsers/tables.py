"""Rows of a table as lines that can be found by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice

from localassist.retrieval.parsers.base import one_line

_LONGEST_NAME = 80
_NUMBER = re.compile(r"[-+]?[\d.,:/ %€$£-]*\d[\d.,:/ %€$£-]*")
# Rows that are looked at to tell whether the first one names the columns.
_JUDGED = 20


def row_line(cells: Iterable[str]) -> str:
    """``a | b``; of several empty cells one is left, at the end none."""
    shown = [one_line(cell) for cell in cells]
    kept = (cell for i, cell in enumerate(shown) if cell or i == 0 or shown[i - 1])
    return " | ".join(kept).rstrip("| ")


def record_line(header: Sequence[str], cells: Sequence[str]) -> str:
    """``Name: Ada | Town: London``; empty cells are left out, further ones have no name."""
    named = (
        f"{header[i]}: {one_line(cell)}" if i < len(header) and header[i] else one_line(cell)
        for i, cell in enumerate(cells)
        if cell.strip()
    )
    return " | ".join(named)


def table_lines(rows: Iterable[Sequence[str]], *, repeats_names: bool = True) -> Iterator[str]:
    """A line for each row that is not empty. Where the first one names the columns, every other
    line repeats the names, unless they would take too much room.

    After an empty row another table may begin: its first row gives new names where it stands above
    numbers, else the old names hold.
    """
    header: list[str] = []
    is_first = True
    for block in _blocks(rows):
        first = list(islice(block, _JUDGED))
        at = _header_row(first, needs_numbers=not is_first) if repeats_names else None
        if at is not None:
            yield from map(row_line, first[: at + 1])
            header = [one_line(cell) for cell in first[at]]
            first = first[at + 1 :]
        for row in chain(first, block):
            yield record_line(header, row) if header else row_line(row)
        is_first = False


def _blocks(rows: Iterable[Sequence[str]]) -> Iterator[Iterator[Sequence[str]]]:
    """Stretches of rows without an empty one between them."""
    for has_text, block in groupby(rows, key=lambda row: any(cell.strip() for cell in row)):
        if has_text:
            yield block


def _header_row(rows: Sequence[Sequence[str]], *, needs_numbers: bool) -> int | None:
    """Which of the first rows names the columns: the first with several cells, where these are
    short, different from each other and no numbers. Lines above it are titles of the table."""
    widest = max((_filled(row) for row in rows), default=0)
    for number, row in enumerate(rows[:-1]):
        if _filled(row) < 2 or 2 * _filled(row) < widest:
            continue
        cells = [cell.strip() for cell in row if cell.strip()]
        is_named = len(set(cells)) == len(cells) and all(
            len(cell) <= _LONGEST_NAME and not _is_number(cell) for cell in cells
        )
        below = (cell.strip() for under in rows[number + 1 :] for cell in under)
        is_named = is_named and (not needs_numbers or any(map(_is_number, below)))
        return number if is_named else None
    return None


def _is_number(cell: str) -> bool:
    return len(cell) <= _LONGEST_NAME and bool(_NUMBER.fullmatch(cell))


def _filled(row: Sequence[str]) -> int:
    return sum(1 for cell in row if cell.strip())
