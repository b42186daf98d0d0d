"""HTML: what a reader sees of a page, with its headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.archive import raise_if_out_of_memory
from localassist.retrieval.parsers.base import HeadingPath, TextWriter, one_line, squeezed
from localassist.retrieval.parsers.encoding import read_text
from localassist.retrieval.parsers.tables import row_line

_DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n]+")
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_DROPPED = frozenset(
    "script style noscript template nav iframe object embed svg canvas audio video button select "
    "input textarea head".split()
)
_BLOCKS = frozenset(
    "p div section article main header footer aside blockquote figure figcaption ul ol dl dt dd "
    "address details summary fieldset hr table caption pre form body html".split()
)


def parse(path: Path, out: TextWriter) -> None:
    with path.open("rb") as file:
        declared = _DECLARED.search(file.read(2048))
    encoding = declared[1].decode("ascii", "replace") if declared else None
    write_html(read_text(path, out.max_characters, encoding), out)


def write_html(text: str, out: TextWriter, headings: HeadingPath | None = None) -> None:
    """Add a page to a document. The title stands for a first heading where the page has none."""
    root = _tree(text)
    if root is None:
        return
    title = one_line(root.findtext(".//title") or "")
    headings = HeadingPath() if headings is None else headings
    if title and root.find(".//h1") is None:
        out.place(heading=headings.enter(0, title))
        out.paragraph(title)
    page = _Page(out, headings)
    page.walk(root)
    page.flush()


def _tree(text: str) -> Any:
    from lxml import etree

    # Bytes, since lxml refuses text that declares an encoding of its own.
    # Long texts are no bombs here: HTML has no entities that a page could define.
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True, recover=True)
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        if not text.strip() or "empty" in str(error):
            return None
        raise_if_out_of_memory(error)
        raise UnreadableFile("The HTML is too damaged to be read.") from error
    fatal = {entry.type for entry in parser.error_log.filter_from_fatals()}
    if etree.ErrorTypes.ERR_NO_MEMORY in fatal:
        raise MemoryError
    if etree.ErrorTypes.ERR_RESOURCE_LIMIT in fatal:
        raise UnreadableFile("The HTML is nested too deeply to be read.")
    return root


class _Page:
    """Turns the events of a walk through the tree into lines."""

    def __init__(self, out: TextWriter, headings: HeadingPath) -> None:
        self._out = out
        self._headings = headings
        self._line: list[str] = []
        self._pre = 0
        self._cells: list[str] | None = None
        self._tables = 0

    def walk(self, root: Any) -> None:
        """Without recursion: a page decides how deep it goes."""
        for event, element in visible_events(root):
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                self._start(tag)
                self._text(element.text)
            elif event == "end":
                self._end(tag)
                if element is not root:
                    self._text(element.tail)
            elif element is not root:  # dropped, but not what follows it
                self._text(element.tail)

    def _start(self, tag: str) -> None:
        if tag in _HEADINGS and not self._tables:
            self.flush()
        elif tag == "br":
            self._line.append("\n")
        elif tag == "table":
            self.flush()
            self._tables += 1
        elif tag == "tr":
            self.flush()
            self._cells = []
        elif tag in ("td", "th"):
            self._take_line()
        elif tag == "li" and self._cells is None:
            self.flush(blank=False)
            self._line.append("- ")
        elif tag in _BLOCKS:
            self._break()
        self._pre += tag == "pre"

    def _end(self, tag: str) -> None:
        if tag in _HEADINGS and not self._tables:
            title = one_line(self._take_line())
            if title:
                self._out.place(heading=self._headings.enter(_HEADINGS[tag], title))
                self._out.paragraph(title)
        elif tag in ("td", "th") and self._cells is not None:
            self._cells.append(self._take_line())
        elif tag == "tr" and self._cells is not None:
            if line := row_line(self._cells):
                self._out.line(line)
            self._cells = None
        elif tag == "table":
            self._tables = max(0, self._tables - 1)
            self.flush()
            self._out.add("\n")
        elif tag == "li" and self._cells is None:
            self.flush(blank=False)
        elif tag in ("ul", "ol") and self._cells is None:
            self.flush(blank=False)
            self._out.add("\n")
        elif tag in _BLOCKS:
            self._break()
        self._pre -= tag == "pre"

    def _text(self, text: str | None) -> None:
        if text:
            self._line.append(text if self._pre else _SPACES.sub(" ", text))

    def _break(self) -> None:
        """A block begins or ends: a paragraph, or a space within a cell."""
        if self._cells is None:
            self.flush()
        else:
            self._line.append(" ")

    def flush(self, blank: bool = True) -> None:
        text = self._take_line()
        if text.strip(" -\n"):
            self._out.add(f"{text}\n\n" if blank else f"{text}\n")

    def _take_line(self) -> str:
        text = "".join(self._line)
        self._line.clear()
        if self._pre:
            return text.strip("\n")
        lines = [" ".join(filter(None, line.split(" "))) for line in text.split("\n")]
        return lines[0] if len(lines) == 1 else squeezed("\n".join(lines)).strip()


def visible_events(root: Any) -> Iterator[tuple[str, Any]]:
    """``start`` and ``end`` of every element that is shown, ``drop`` for the others."""
    stack: list[tuple[Any, Iterator[Any]]] = []
    if _is_dropped(root):
        return
    yield "start", root
    stack.append((root, iter(root)))
    while stack:
        element, children = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
            yield "end", element
        elif _is_dropped(child):
            yield "drop", child
        else:
            yield "start", child
            stack.append((child, iter(child)))


def _is_dropped(element: Any) -> bool:
    """Comments and the like have no name; hidden elements are not what a reader sees."""
    if not isinstance(element.tag, str) or element.tag.lower() in _DROPPED:
        return True
    style = (element.get("style") or "").replace(" ", "").lower()
    return element.get("hidden") is not None or "display:none" in style
