"""Word documents (Office Open XML): paragraphs, headings, lists, tables, notes, text boxes."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localassist.errors import UnreadableFile
from localassist.retrieval.parsers.archive import DAMAGED, open_archive, xml_root
from localassist.retrieval.parsers.base import HeadingPath, TextWriter, one_line
from localassist.retrieval.parsers.tables import row_line

# What is not part of the text as it reads now: deleted, moved away, code of fields, a second
# rendering of the same drawing.
_SKIPPED = frozenset("del moveFrom instrText delText pPr rPr Fallback txbxContent".split())
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}


def parse(path: Path, out: TextWriter) -> None:
    with open_archive(path) as archive:
        try:
            main = _main_part(archive)
            root = xml_root(archive, main)
        except KeyError as error:
            raise UnreadableFile(DAMAGED) from error
        folder = posixpath.dirname(main)
        levels = _heading_levels(_optional(archive, f"{folder}/styles.xml"))
        notes = {
            (kind, note.get(_attribute(note, "id"))): note
            for kind in ("footnote", "endnote")
            for note in _children(_optional(archive, f"{folder}/{kind}s.xml"), kind)
        }
    body = root.find("{*}body")
    if body is not None:
        _Writer(out, levels, notes).blocks(body)


class _Writer:
    def __init__(
        self, out: TextWriter, levels: dict[str, int], notes: dict[tuple[str, str | None], Any]
    ) -> None:
        self._out = out
        self._levels = levels
        self._notes = notes
        self._headings = HeadingPath()
        self._is_in_list = False

    def blocks(self, parent: Any) -> None:
        for element in parent:
            name = local_name(element)
            if name == "p":
                self._paragraph(element)
            elif name == "tbl":
                self._table(element)
            elif name not in _SKIPPED:  # content controls and other wrappers
                self.blocks(element)

    def _paragraph(self, element: Any) -> None:
        text = _text(element).strip()
        level = self._level(element)
        is_item = element.find("{*}pPr/{*}numPr") is not None and level is None
        if self._is_in_list and not is_item:
            self._out.add("\n")
        self._is_in_list = is_item and bool(text)
        if text and level is not None:
            self._out.place(heading=self._headings.enter(level, text))
        if is_item and text:
            self._out.line(f"- {text}")
        else:
            self._out.paragraph(text)
        for note in self._notes_of(element):
            self._out.paragraph(note)
        for box in element.iter("{*}txbxContent"):
            if not any(local_name(above) == "Fallback" for above in box.iterancestors()):
                self.blocks(box)

    def _level(self, element: Any) -> int | None:
        own = element.find("{*}pPr/{*}outlineLvl")
        if own is not None and (own.get(_attribute(own, "val")) or "").isdigit():
            level = int(own.get(_attribute(own, "val")))
            return level + 1 if level < 9 else None
        style = element.find("{*}pPr/{*}pStyle")
        return None if style is None else self._levels.get(style.get(_attribute(style, "val")))

    def _notes_of(self, element: Any) -> Iterator[str]:
        for kind in ("footnote", "endnote"):
            for reference in element.iter(f"{{*}}{kind}Reference"):
                note = self._notes.get((kind, reference.get(_attribute(reference, "id"))))
                if note is not None:
                    yield one_line(" ".join(_text(p) for p in note.iter("{*}p")))

    def _table(self, table: Any) -> None:
        for row in _children(table, "tr"):
            cells = [
                " ".join(one_line(_text(p)) for p in cell.iter("{*}p"))
                for cell in _children(row, "tc")
            ]
            if line := row_line(cells):
                self._out.line(line)
            for note in self._notes_of(row):
                self._out.line(note)
        self._out.add("\n")


def local_name(element: Any) -> str:
    """The name of an element without its namespace; strict documents use other ones."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def _attribute(element: Any, name: str) -> str:
    """An attribute's full name: it is in the namespace of its element."""
    return f"{element.tag.rpartition('}')[0]}}}{name}"


def _children(parent: Any, name: str) -> Iterator[Any]:
    """Children of that name, also those wrapped in content controls or changes."""
    for element in () if parent is None else parent:
        found = local_name(element)
        if found == name:
            yield element
        elif found in ("sdt", "sdtContent", "ins", "moveTo", "customXml"):
            yield from _children(element, name)


def _text(element: Any) -> str:
    """What a paragraph says."""
    parts: list[str] = []
    stack = [element]
    while stack:
        current = stack.pop()
        name = local_name(current)
        if name == "t":
            parts.append(current.text or "")
        elif name in _SIGNS:
            parts.append(_SIGNS[name])
        elif name not in _SKIPPED and name != "tabs":
            stack.extend(reversed(current))
    return "".join(parts)


def _main_part(archive: zipfile.ZipFile) -> str:
    """Where the text is; programs need not call it ``word/document.xml``."""
    for relation in xml_root(archive, "_rels/.rels"):
        if (relation.get("Type") or "").endswith("/officeDocument"):
            return (relation.get("Target") or "").lstrip("/")
    return "word/document.xml"


def _optional(archive: zipfile.ZipFile, name: str) -> Any:
    try:
        return xml_root(archive, name)
    except KeyError:
        return None


def _heading_levels(styles: Any) -> dict[str, int]:
    """Style ids of headings, with their level, the title's is 0. A style may inherit it."""
    own: dict[str, int] = {}
    parents: dict[str, str] = {}
    for style in _children(styles, "style"):
        key = style.get(_attribute(style, "styleId")) or ""
        level = style.find("{*}pPr/{*}outlineLvl")
        name = style.find("{*}name")
        title = "" if name is None else (name.get(_attribute(name, "val")) or "").lower()
        parent = style.find("{*}basedOn")
        if parent is not None:
            parents[key] = parent.get(_attribute(parent, "val")) or ""
        if title == "title":
            own[key] = 0
        elif level is not None and (level.get(_attribute(level, "val")) or "").isdigit():
            own[key] = int(level.get(_attribute(level, "val"))) + 1
        elif title.startswith("heading ") and title[8:].isdigit():
            own[key] = int(title[8:])
    found = {}
    for key in {*own, *parents}:
        at, steps = key, 0
        while at not in own and at in parents and steps < len(parents):
            at, steps = parents[at], steps + 1
        if 0 <= own.get(at, -1) <= 9:
            found[key] = own[at]
    return found
