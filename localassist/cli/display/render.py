"""Parts of Markdown as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from markdown_it.tree import SyntaxTreeNode
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, NewLine, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from localassist.cli.display.blocks import Block, Code, Item, Part, Rows, code_lines, parts_of
from localassist.cli.display.clean import cleaned
from localassist.cli.display.code_lines import highlighted
from localassist.cli.display.inline import inline, without_task
from localassist.cli.display.tables import TableView

_MOST_WIDTH = 100  # cells of a line that is read with ease
_LEAST_WIDTH = 12  # cells that are left to text, however deep its list
_DIM = Style(dim=True)
_HEADINGS = {"h1": Style(bold=True, underline=True), "h2": Style(bold=True)}
_LOWER_HEADING = Style(bold=True, italic=True)
_MARKS = {"bullet": "•", "done": "☑", "todo": "☐", "quote": "▌", "rule": "─"}
_ASCII_MARKS = {"bullet": "*", "done": "[x]", "todo": "[ ]", "quote": ">", "rule": "-"}


def whole(text: str) -> RenderableType:
    """All parts of a text, which has been cleaned."""
    return Group(*separated(parts_of(text), is_first=True))


def separated(parts: Sequence[Part], *, is_first: bool) -> Iterator[RenderableType]:
    """The parts with an empty line between those that do not go on with the one before."""
    for part in parts:
        if not (is_first or part.joins):
            yield NewLine()
        is_first = False
        yield PartView(part)


class PartView:
    """A part; lines of code may be longer than the terminal is wide."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        options = options.update(width=max(_LEAST_WIDTH, min(options.max_width, _MOST_WIDTH)))
        for view in _views(self._part, options):
            yield from _lines(console, view, options)


class _Prefixed:
    """Something behind a prefix on its first line and another one on those that follow."""

    def __init__(
        self, first: str, rest: str, views: Iterable[RenderableType], style: Style | None = None
    ) -> None:
        self._first = Segment(first, style)
        self._rest = Segment(rest, style)
        self._views = views

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(_LEAST_WIDTH, options.max_width - self._first.cell_length)
        is_begun = False
        for view in self._views:
            segments = _lines(console, view, options.update(width=room))
            for line in Segment.split_lines(segments):
                yield self._rest if is_begun else self._first
                yield from line
                yield Segment.line()
                is_begun = True
        if not is_begun:
            yield self._first
            yield Segment.line()


def _lines(console: Console, view: RenderableType, options: ConsoleOptions) -> list[Segment]:
    return list(console.render(view, options))


def _views(part: Part, options: ConsoleOptions) -> Iterator[RenderableType]:
    if isinstance(part, Block):
        yield from _block(part.node, options)
    elif isinstance(part, Item):
        yield _item(part.node, part.number, options)
    elif isinstance(part, Code):
        yield from _code(part)
    else:
        yield TableView(part)


def _block(node: SyntaxTreeNode, options: ConsoleOptions) -> Iterator[RenderableType]:
    marks = _ASCII_MARKS if options.ascii_only else _MARKS
    if node.type == "heading":
        heading = inline(node)
        heading.stylize_before(_HEADINGS.get(node.tag, _LOWER_HEADING))
        yield heading
    elif node.type == "paragraph":
        yield inline(node)
    elif node.type == "hr":
        yield _Rule()
    elif node.type == "blockquote":
        prefix = f"{marks['quote']} "
        inside = _inside(node.children, options, is_loose=True)
        yield _Prefixed(prefix, prefix, inside, _DIM)
    elif node.type in ("bullet_list", "ordered_list"):
        first = int(node.children[0].info or 1) if node.type == "ordered_list" else None
        for number, item in enumerate(node.children):
            yield _item(item, None if first is None else first + number, options)
    elif node.type == "table":
        body = tuple(node.children[1].children) if len(node.children) > 1 else ()
        yield TableView(Rows(node.children[0].children[0], body, body))
    elif node.type in ("fence", "code_block"):
        language = (node.info.split() or [""])[0] if node.type == "fence" else ""
        yield from _code(Code(language, tuple(code_lines(node)), is_last=True))
    else:
        yield Text(cleaned(node.content))


def _item(node: SyntaxTreeNode, number: int | None, options: ConsoleOptions) -> RenderableType:
    marks = _ASCII_MARKS if options.ascii_only else _MARKS
    mark = marks["bullet"] if number is None else f"{number}."
    children = list(node.children)
    views: Iterable[RenderableType] = ()
    if children and children[0].type == "paragraph":
        is_done, text = without_task(inline(children[0]))
        if is_done is not None:
            mark = marks["done" if is_done else "todo"]
            rest = _inside(children[1:], options, is_loose=False)
            views = (text, *rest)
    prefix = f"{mark} "
    blank = " " * cell_len(prefix)
    return _Prefixed(prefix, blank, views or _inside(children, options, is_loose=False))


def _inside(
    nodes: Sequence[SyntaxTreeNode], options: ConsoleOptions, *, is_loose: bool
) -> Iterator[RenderableType]:
    """Blocks inside a block; in a list only paragraphs stand apart."""
    before: str | None = None
    for node in nodes:
        if before is not None and (is_loose or before == node.type == "paragraph"):
            yield Text("")
        before = node.type
        yield from _block(node, options)


def _code(part: Code) -> Iterator[RenderableType]:
    """Code between two rules, with nothing before its lines, so that it can be copied."""
    if not part.joins:
        yield _Rule(cleaned(part.language))
    yield from highlighted(part.lines, part.context, part.language)
    if part.is_last:
        yield _Rule()


class _Rule:
    def __init__(self, label: str = "") -> None:
        self._label = label

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        mark = (_ASCII_MARKS if options.ascii_only else _MARKS)["rule"]
        start = f"{mark * 2} {self._label} " if self._label else ""
        line = start + mark * max(0, options.max_width - cell_len(start))
        yield Text(line, _DIM, no_wrap=True, overflow="crop")
