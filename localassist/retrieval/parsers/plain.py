"""Plain text, Markdown and the like, as they are, with their headings."""

from __future__ import annotations

import re
from pathlib import Path

from localassist.retrieval.parsers.base import HeadingPath, TextWriter
from localassist.retrieval.parsers.encoding import read_text

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_RULE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,400}")
_LONGEST_HEADING = 400
# Marks of emphasis, code and links, which have no business in the name of a place.
_MARKS = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}|\]\([^)]*\)|!?\[")


def parse_text(path: Path, out: TextWriter) -> None:
    """Form feeds separate pages, as in texts made for printers."""
    pages = read_text(path, out.max_characters).split("\f")
    for number, page in enumerate(pages, 1):
        if len(pages) > 1:
            out.place(page=number)
        out.add(page if number == len(pages) else f"{page}\n")


def parse_markdown(path: Path, out: TextWriter) -> None:
    lines = read_text(path, out.max_characters).splitlines()
    headings = HeadingPath()
    fence = ""
    is_front_matter = bool(lines) and lines[0] == "---"
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if is_front_matter:
            is_front_matter = number == 0 or line not in ("---", "...")
        elif fence:
            if mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
        elif mark:
            fence = mark[1]
        elif heading := _heading(line, lines[number + 1] if number + 1 < len(lines) else ""):
            level, title = heading
            out.place(heading=headings.enter(level, _MARKS.sub("", title)))
        out.line(line)


def _heading(line: str, following: str) -> tuple[int, str] | None:
    """Level and title where a heading begins here, ``# so`` or underlined."""
    if len(line) > _LONGEST_HEADING:
        return None
    if atx := _ATX.fullmatch(line):
        return len(atx[1]), atx[2] or ""
    underline = _UNDERLINE.fullmatch(following)
    is_text = bool(line.strip()) and not line.startswith(("    ", "\t", "|", "-", ">", "*"))
    if is_text and underline and len(underline[1]) >= 2:
        return (1 if underline[1][0] == "=" else 2), line.strip()
    return None


def parse_marked(path: Path, out: TextWriter, mark: str) -> None:
    """Texts whose headings begin with one ``mark`` or more and a space: AsciiDoc, Org."""
    pattern = re.compile(rf"({re.escape(mark)}{{1,6}})[ \t]+(\S.*)")
    headings = HeadingPath()
    for line in read_text(path, out.max_characters).splitlines():
        found = pattern.fullmatch(line) if len(line) <= _LONGEST_HEADING else None
        if found:
            out.place(heading=headings.enter(len(found[1]), found[2]))
        out.line(line)


def parse_restructured(path: Path, out: TextWriter) -> None:
    """reStructuredText: underlined headings, their levels in the order in which signs appear."""
    lines = read_text(path, out.max_characters).splitlines()
    headings = HeadingPath()
    levels: dict[str, int] = {}
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if _RULE.fullmatch(following) and len(following) >= len(line) > 0 and line[0].isalnum():
            level = levels.setdefault(following[0], len(levels))
            out.place(heading=headings.enter(level, line))
        out.line(line)
