"""A page of documentation for a terminal: links by the names that ``localassist docs`` takes, and
tables as lists where they would be too narrow to read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localassist.pages import Page

_FENCE = re.compile(r" {0,3}(```|~~~)")
_RULE = re.compile(r"\|(?: *:?-+:? *\|)+\s*")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_CELL_ENDS = re.compile(r"(?<!\\)\|")
# Lines that nothing is added to, and lines that are added to nothing.
_ALONE = re.compile(r"\s*(?:#|\||---)")
_BEGINS = re.compile(r"\s*(?:[-*+] |\d+[.)] |#|\||>|---)")
_LEAST_COLUMN = 14
_GAP = 3
_LEAST_TITLE = 3


def for_terminal(page: Page, width: int) -> str:
    """The page's Markdown as it can be shown in ``width`` columns."""
    shown: list[str] = []
    for is_code, lines in _stretches(page.text().splitlines()):
        if is_code:
            shown += lines
            continue
        text = _LINK.sub(_named_by(page), "\n".join(lines))
        shown += _tables_fitted(list(_unwrapped(text.split("\n"))), width)
    return "\n".join(shown)


def _stretches(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Code blocks, with their fences, and what is between them."""
    stretch: list[str] = []
    is_code = False
    for line in lines:
        is_fence = _FENCE.match(line) is not None
        if is_fence and not is_code:
            yield False, stretch
            stretch = []
        stretch.append(line)
        if is_fence:
            if is_code:
                yield True, stretch
                stretch = []
            is_code = not is_code
    yield is_code, stretch


def _unwrapped(lines: list[str]) -> Iterator[str]:
    """Paragraphs and list items on one line each: the page's own line ends are the editor's."""
    whole = ""
    for line in lines:
        if whole.strip() and line.strip() and not (_ALONE.match(whole) or _BEGINS.match(line)):
            whole = f"{whole} {line.strip()}"
        else:
            yield whole
            whole = line
    yield whole


def _named_by(page: Page) -> Callable[[re.Match[str]], str]:
    from localassist.pages import linked

    def replacement(link: re.Match[str]) -> str:
        is_picture, text, target = link.groups()
        if is_picture:
            return f"*Picture: {text} ({page.path.parent / target})*"
        if "://" in target:
            return text if text == target else f"{text} ({target})"
        other = linked(page, target.partition("#")[0])
        same = other is None or re.sub(r"\W+", "_", text).lower() == other.name
        return text if same or other is None else f"{text} [{other.name}]"

    return replacement


def _tables_fitted(lines: list[str], width: int) -> Iterator[str]:
    at = 0
    while at < len(lines):
        if at + 1 < len(lines) and lines[at].startswith("|") and _RULE.fullmatch(lines[at + 1]):
            end = at + 2
            while end < len(lines) and lines[end].startswith("|"):
                end += 1
            yield from _table(lines[at:end], width)
            at = end
        else:
            yield lines[at]
            at += 1


def _table(lines: list[str], width: int) -> Iterator[str]:
    rows = [_cells(line) for line in lines]
    if _needed(rows) <= width:
        yield from (line.replace("<br>", ": ") for line in lines)
        return
    head = rows[0]
    for row in rows[2:]:
        first, *others = zip_longest(head, row, fillvalue="")
        parts = [part for part in first[1].split("<br>", 1) if part]
        for heading, cell in others:
            if cell:
                is_told = len(heading) >= _LEAST_TITLE and heading.casefold() != "value"
                parts.append(f"{heading.lower()}: {cell}" if is_told else cell)
        # Two spaces end a line of Markdown.
        yield "- " + "  \n  ".join(parts)
    yield ""


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _CELL_ENDS.split(line.strip().strip("|"))]


def _needed(rows: list[list[str]]) -> int:
    """Columns that a table takes in which no word is broken and no column is a mere strip."""
    columns = zip_longest(*(row for number, row in enumerate(rows) if number != 1), fillvalue="")
    return sum(
        max(
            max((len(word) for cell in column for word in cell.split()), default=0),
            min(_LEAST_COLUMN, max(map(len, column))),
        )
        + _GAP
        for column in columns
    )
