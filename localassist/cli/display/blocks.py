"""Markdown that is still being written, divided into what is finished and what is open.

Blocks of Markdown are made of lines, and a line can only go on with the last block: all blocks but
the last are finished for good as soon as their lines are complete. Of the last one, so are the
items of a list but the last, groups of lines of fenced code, and rows of a table once there are
enough to know its columns. What is finished is parsed no more, and is the same however the text was
cut on its way. Two rules of CommonMark are off because they work backwards: definitions of
references, and HTML, which a terminal shows as it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

GROUP_LINES = 16  # of code that are shown, and coloured, together
CONTEXT_LINES = 128  # of code before them that their colours are taken from
SAMPLE_ROWS = 20  # of a table that its columns are measured by

_MOST_LEVELS = 40  # of blocks in blocks; what is deeper is shown as it is written

_parser = MarkdownIt("commonmark", {"maxNesting": _MOST_LEVELS})
_parser.enable(["table", "strikethrough"])
_parser.disable(["reference", "html_block", "html_inline"])


@dataclass(frozen=True, slots=True)
class Block:
    """Anything that is shown as a whole."""

    node: SyntaxTreeNode
    joins = False


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a list; ``number`` is its own, None where items have none. ``joins``, here and
    below: it goes on with what is before it."""

    node: SyntaxTreeNode
    number: int | None
    joins: bool


@dataclass(frozen=True, slots=True)
class Code:
    """Lines of fenced code after ``context``, which has been shown."""

    language: str
    lines: tuple[str, ...]
    context: tuple[str, ...] = ()
    joins: bool = False
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table; columns are measured by the head and ``sample``."""

    head: SyntaxTreeNode
    rows: tuple[SyntaxTreeNode, ...]
    sample: tuple[SyntaxTreeNode, ...]
    joins: bool = False


Part = Block | Item | Code | Rows


@dataclass(frozen=True, slots=True)
class _Begun:
    """What has been shown of the block that the open lines begin with."""

    items: int = 0
    first_number: int | None = None
    code: tuple[str, ...] | None = None
    sample: tuple[SyntaxTreeNode, ...] | None = None


_NOTHING = _Begun()


class Blocks:
    """A text by its parts: ``add`` pieces, take what is ``finished``, look at what is ``open``."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._lines: list[str] = []
        self._parsed_lines = 0
        self._begun = _NOTHING
        self._source: Sequence[str] = ()  # what was parsed last

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    def finished(self) -> list[Part]:
        """What has become final since the last call."""
        self._take_lines()
        if self._parsed_lines == len(self._lines):
            return []
        nodes = self._parsed(self._lines)
        parts: list[Part] = []
        for node in nodes[:-1]:
            parts.extend(self._rest_of(node))
        if nodes:
            parts.extend(self._final_of_last(nodes[-1]))
        self._parsed_lines = len(self._lines)
        return parts

    def open(self) -> list[Part]:
        """What is not final yet, as it would end now."""
        begun = self._begun
        tail = "".join(self._pieces)
        nodes = self._parsed([*self._lines, tail])
        parts = [part for node in nodes for part in self._rest_of(node)]
        self._begun = begun
        return parts

    def end(self) -> list[Part]:
        """What is left, now that nothing follows."""
        return self.finished() + self.open()

    def _take_lines(self) -> None:
        *complete, tail = "".join(self._pieces).split("\n")
        self._lines.extend(complete)
        self._pieces = [tail]

    def _final_of_last(self, node: SyntaxTreeNode) -> Iterator[Part]:
        """The parts of the last block that nothing can change any more; its lines are dropped."""
        start = _map(node)[0]
        kept: list[str] = []
        if node.type in ("bullet_list", "ordered_list"):
            start = _map(node.children[-1])[0]
            yield from self._items(node, node.children[:-1])
        elif node.type == "fence":
            lines = code_lines(node)
            count = len(lines) // GROUP_LINES * GROUP_LINES
            if count:
                kept = [self._lines[start]]
                start += 1 + count
                yield from self._code(node, lines[:count], is_end=False)
        elif node.type == "table":
            rows = _rows(node)
            if self._begun.sample is not None or len(rows) >= SAMPLE_ROWS:
                kept = self._lines[start : start + 2]
                start += 2 + len(rows)
                yield self._table(node, rows)
        self._lines = kept + self._lines[start:]

    def _rest_of(self, node: SyntaxTreeNode) -> Iterator[Part]:
        """All parts of a finished block; it is over."""
        if node.type in ("bullet_list", "ordered_list"):
            yield from self._items(node, node.children)
        elif node.type == "fence":
            yield from self._code(node, code_lines(node), is_end=True)
        elif node.type == "table":
            rows = _rows(node)
            if rows or self._begun.sample is None:
                yield self._table(node, rows)
        else:
            yield Block(self._verbatim(node) if _is_too_deep(node) else node)
        self._begun = _NOTHING

    def _items(self, node: SyntaxTreeNode, items: Sequence[SyntaxTreeNode]) -> Iterator[Part]:
        if self._begun.items == 0 and node.type == "ordered_list":
            first = int(node.children[0].info or 1)
            self._begun = replace(self._begun, first_number=first)
        for item in items:
            shown, first_number = self._begun.items, self._begun.first_number
            number = None if first_number is None else first_number + shown
            if _is_too_deep(item):
                yield Block(self._verbatim(item))
            else:
                yield Item(item, number, joins=shown > 0)
            self._begun = replace(self._begun, items=shown + 1)

    def _code(self, node: SyntaxTreeNode, lines: Sequence[str], *, is_end: bool) -> Iterator[Part]:
        language = (node.info.split() or [""])[0]
        groups = [
            tuple(lines[at : at + GROUP_LINES]) for at in range(0, len(lines), GROUP_LINES)
        ] or [()]
        for number, group in enumerate(groups, 1):
            context = self._begun.code
            is_last = is_end and number == len(groups)
            yield Code(language, group, context or (), context is not None, is_last)
            shown = ((context or ()) + group)[-CONTEXT_LINES:]
            self._begun = replace(self._begun, code=shown)

    def _parsed(self, lines: Sequence[str]) -> list[SyntaxTreeNode]:
        self._source = lines
        return SyntaxTreeNode(_parser.parse("\n".join(lines))).children

    def _verbatim(self, node: SyntaxTreeNode) -> SyntaxTreeNode:
        """The lines of a block as a block of code."""
        start, end = _map(node)
        code = Token("code_block", "code", 0, content="\n".join(self._source[start:end]))
        return SyntaxTreeNode([code]).children[0]

    def _table(self, node: SyntaxTreeNode, rows: Sequence[SyntaxTreeNode]) -> Rows:
        sample = self._begun.sample
        joins = sample is not None
        sample = tuple(rows[:SAMPLE_ROWS]) if sample is None else sample
        self._begun = replace(self._begun, sample=sample)
        return Rows(node.children[0].children[0], tuple(rows), sample, joins)


def parts_of(text: str) -> list[Part]:
    """A whole text."""
    blocks = Blocks()
    blocks.add(text)
    return blocks.end()


def _is_too_deep(node: SyntaxTreeNode) -> bool:
    """Whether the parser has left out some of it."""
    tokens = node.to_tokens()
    return any(token.level >= _MOST_LEVELS - 1 for token in tokens)


def _map(node: SyntaxTreeNode) -> tuple[int, int]:
    assert node.map is not None, "blocks have lines"
    return node.map


def code_lines(node: SyntaxTreeNode) -> list[str]:
    """The lines of a block of code."""
    return node.content.removesuffix("\n").split("\n") if node.content else []


def _rows(node: SyntaxTreeNode) -> list[SyntaxTreeNode]:
    return node.children[1].children if len(node.children) > 1 else []
