"""Tables of Markdown: columns where there is room for them, records where there is not."""

from __future__ import annotations

from collections.abc import Sequence

from markdown_it.tree import SyntaxTreeNode
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from localassist.cli.display.blocks import Rows
from localassist.cli.display.inline import inline

_BETWEEN = 2  # cells between columns
_LONGEST_WORD = 24  # cells of a word that is not broken for its column


class TableView:
    """Rows of a table. Widths come from the head and the sample alone, so that rows which follow
    later stand in the same columns."""

    def __init__(self, part: Rows) -> None:
        self._part = part
        self._head = [inline(cell) for cell in part.head.children]
        self._rows = [_cells(row, len(self._head)) for row in part.rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        sample = [_cells(row, len(self._head)) for row in self._part.sample]
        widths = column_widths([self._head, *sample], options.max_width)
        if widths is None:
            yield from self._records()
        else:
            yield self._table(widths)

    def _table(self, widths: Sequence[int]) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD,
            show_header=not self._part.joins,
            show_edge=False,
            header_style="bold",
            pad_edge=False,
            padding=(0, _BETWEEN - 1, 0, 0),
        )
        for cell, head, width in zip(self._part.head.children, self._head, widths, strict=True):
            justify = str(cell.attrs.get("style", "")).removeprefix("text-align:")
            table.add_column(
                head,
                width=width,
                overflow="fold",
                justify="right"
                if justify == "right"
                else "center"
                if justify == "center"
                else "left",
            )
        for row in self._rows:
            table.add_row(*row)
        return table

    def _records(self) -> RenderResult:
        for number, row in enumerate(self._rows):
            if number or self._part.joins:
                yield Text("")
            for name, value in zip(self._head, row, strict=True):
                line = name.copy()
                line.stylize("bold")
                yield line.append(": ").append_text(value) if name.plain else value
        if not self._part.rows:
            yield Text(", ").join(self._head)


def column_widths(rows: Sequence[Sequence[Text]], width: int) -> list[int] | None:
    """Cells for each column in ``width`` of them; None where words would have to be broken."""
    columns = list(zip(*rows, strict=True))
    wanted = [max(1, *(_longest(cell.plain.split("\n")) for cell in cells)) for cells in columns]
    least = [
        max(1, *(min(_longest(cell.plain.split()), _LONGEST_WORD) for cell in cells))
        for cells in columns
    ]
    room = width - _BETWEEN * (len(columns) - 1)
    if sum(least) > room:
        return None
    while (over := sum(wanted) - room) > 0:
        widest = max(range(len(wanted)), key=lambda at: (wanted[at] - least[at], wanted[at]))
        others = max((wanted[at] for at in range(len(wanted)) if at != widest), default=0)
        step = min(over, wanted[widest] - least[widest], max(1, wanted[widest] - others))
        wanted[widest] -= step
    return wanted


def _longest(texts: Sequence[str]) -> int:
    return max(map(cell_len, texts), default=0)


def _cells(row: SyntaxTreeNode, count: int) -> list[Text]:
    cells = [inline(cell) for cell in row.children[:count]]
    return cells + [Text() for _ in range(count - len(cells))]
