"""Tables among the files of a thread, read off the beginnings of their texts: how to load them,
what their columns are called and hold."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Literal

from localassist.tools.code_interpreter.base import DATA_FOLDER, CodeFile

Kind = Literal["number", "date", "text"]

_SEPARATORS = ",;\t|"
_MOST_ROWS = 200
_MOST_COLUMNS = 200
_MOSTLY = 0.8  # of the values that are not missing
_MISSING = frozenset(["", "na", "n/a", "nan", "null", "none", "-", "?"])
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_COMMA = re.compile(r"[-+]?\d+(?:\.\d{3})*,\d+|[-+]?\d{1,3}(?:\.\d{3}){2,}")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+(?:\.\d{3})*,\d+|[-+]?\d{1,3}(?:\.\d{3})+")
_MARKED = re.compile(r"[$€£¥%]|\d,\d{3}\b|\s(?:USD|EUR|GBP)$")
_MARKS = re.compile(r"[$€£¥%,\s]|USD|EUR|GBP")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    r"\d{4}[-/]\d{1,2}(?:[-/]\d{1,2})?"
    r"(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}"
    rf"|(?:\d{{1,2}}\s)?{_MONTH}[\s-]+(?:\d{{1,2}},?\s)?\d{{2,4}}",
    re.IGNORECASE,
)
_DAY_FIRST = re.compile(r"(1[3-9]|2\d|3[01])[/.-]\d{1,2}[/.-]\d{2,4}|\d{1,2}\.\d{1,2}\.\d{2,4}")
_CALENDAR = re.compile(
    r"(?:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez|mon|tue|wed|thu|fri|sat|sun"
    r")[a-z]*\.?|q[1-4]",
    re.IGNORECASE,
)
_ADDITIVE = re.compile(
    r"sales?|revenue|amount|quantity|units|sold|count|profit|total|turnover|orders|visits|clicks"
    r"|goals|points|umsatz|menge|anzahl|hours|expenses?|spend|population|deaths|cases",
    re.IGNORECASE,
)
_PRICE = re.compile(r"price|preis", re.IGNORECASE)
_QUANTITY = re.compile(r"quantity|qty|units|menge|anzahl|sold", re.IGNORECASE)
_SALES = re.compile(r"sales|revenue|turnover|umsatz|total|amount", re.IGNORECASE)
_RUNNING = re.compile(r"(?:.*[_\s])?(?:id|index|nr|no|key|uuid)|unnamed.*|#|rowid", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Column:
    """``values`` are those of the head, in order, missing ones left out. ``is_marked``: numbers
    with signs of currency, per cent or thousands, which code has to take off."""

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    is_marked: bool = False
    is_day_first: bool = False

    @property
    def is_running(self) -> bool:
        """It only tells rows apart."""
        return _RUNNING.fullmatch(self.name) is not None

    @property
    def is_additive(self) -> bool:
        """Its numbers are amounts, so that sums of them say something."""
        return _ADDITIVE.search(self.name) is not None

    @property
    def is_calendar(self) -> bool:
        """Months, days of the week or quarters: their order is not that of the alphabet."""
        return bool(self.values) and all(map(_CALENDAR.fullmatch, self.values))

    @property
    def is_year(self) -> bool:
        years = [value for value in self.values if re.fullmatch(r"(?:19|20)\d\d", value)]
        return self.kind == "number" and bool(years) and len(years) == len(self.values)


@dataclass(frozen=True, slots=True)
class Table:
    """``columns`` are empty where only code can tell them."""

    file: CodeFile
    columns: tuple[Column, ...]
    call: str  # of pandas, with {path}
    made: str = ""  # a statement that adds the last column

    @property
    def path(self) -> str:
        return f"{DATA_FOLDER}/{self.file.name}"

    @property
    def loading(self) -> list[str]:
        """The statements that make ``df`` of it."""
        read = f"df = {self.call.replace('{path}', json.dumps(self.path, ensure_ascii=False))}"
        return [read, self.made] if self.made else [read]

    def with_sales(self) -> Table:
        """With price times quantity as a last column, where the table has just those two."""
        plain = [column for column in self.columns if column.kind == "number"]
        prices = [column for column in plain if _PRICE.search(column.name)]
        counts = [column for column in plain if _QUANTITY.search(column.name)]
        has_sales = any(_SALES.search(column.name) for column in plain)
        if has_sales or len(prices) != 1 or len(counts) != 1 or prices[0].is_marked:
            return self
        price, count = (json.dumps(c.name, ensure_ascii=False) for c in (prices[0], counts[0]))
        made = f'df["sales"] = df[{price}] * df[{count}]'
        return replace(self, columns=(*self.columns, Column("sales", "number")), made=made)

    def of_kind(self, kind: Kind) -> list[Column]:
        """Those of a kind that say something, or if there are none, all of that kind."""
        found = [column for column in self.columns if column.kind == kind]
        return [column for column in found if not column.is_running] or found

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


def tables(files: Sequence[CodeFile]) -> list[Table]:
    """The tables among the files, in their order."""
    found = (_table(file) for file in files)
    return [table for table in found if table is not None]


def extension(name: str) -> str:
    """In small letters, without the dot."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def _table(file: CodeFile) -> Table | None:
    kind = extension(file.name)
    if kind in ("xlsx", "xls", "xlsm"):
        return Table(file, (), "pd.read_excel({path})")
    if kind == "parquet":
        return Table(file, (), "pd.read_parquet({path})")
    if file.head is None:
        return None
    head = file.head.removeprefix("\ufeff")
    if kind in ("json", "jsonl", "ndjson"):
        return _json_table(file, head)
    if kind in ("csv", "tsv", "tab", "dat") or (kind == "txt" and _looks_like_a_table(head)):
        return _separated(file, head)
    return None


def _looks_like_a_table(head: str) -> bool:
    rows, _ = _rows(head)
    return len(rows) > 2 and len(rows[0]) > 1 and len({len(row) for row in rows}) == 1


def _rows(head: str) -> tuple[list[list[str]], str]:
    """The rows of the head and the separator that makes the most even table of them."""
    best: tuple[tuple[float, int], list[list[str]], str] = ((-1.0, 0), [], ",")
    for separator in _SEPARATORS:
        try:
            read = csv.reader(io.StringIO(head), delimiter=separator, skipinitialspace=True)
            rows = [row for row in _first(read) if row]
        except csv.Error:
            continue
        widths = Counter(len(row) for row in rows)
        width, count = widths.most_common(1)[0] if widths else (0, 0)
        score = (count / len(rows) if width > 1 else 0.0, width)
        if score > best[0]:
            best = (score, rows, separator)
    return best[1], best[2]


def _notes(head: str) -> int:
    """How many lines before the table are notes, with ``#`` at their beginning."""
    lines = head.split("\n")
    notes = sum(1 for _ in takewhile(lambda line: line.startswith("#"), lines))
    rows, separator = _rows("\n".join(lines[notes:]))
    width = len(rows[0]) if rows else 1
    # A "#" may also begin the first name of a column.
    last = lines[notes - 1] if notes else ""
    has_names = not last.startswith("# ") and len(last.split(separator)) == width
    return 0 if width < 2 else notes - has_names


def _first(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    for _, row in zip(range(_MOST_ROWS), rows, strict=False):
        yield row


def _separated(file: CodeFile, head: str) -> Table | None:
    notes = _notes(head)
    rows, separator = _rows("\n".join(head.split("\n")[notes:]))
    if not rows or len(rows[0]) > _MOST_COLUMNS:
        return None
    options = "" if separator == "," else f", sep={json.dumps(separator)}"
    options += f", skiprows={notes}" if notes else ""
    names = [name.strip() for name in rows[0]]
    body = rows[1:]
    is_named = all(names) and len(set(names)) == len(names) and not any(map(_is_number, names))
    if not is_named and all(map(_is_number, filter(None, names))):
        names = [f"column_{number}" for number in range(1, len(rows[0]) + 1)]
        body = rows
        options += f", header=None, names={json.dumps(names)}"
    elif not is_named:
        names = list(dict.fromkeys(name for name in names if name))
        body = []
    elif any(name != raw for name, raw in zip(names, rows[0], strict=True)):
        options += ", skipinitialspace=True"
    has_decimal_comma = separator != "," and any(
        _COMMA.fullmatch(cell.strip()) for row in body for cell in row
    )
    columns = [
        _column(name, [row[at].strip() for row in body if at < len(row)], has_decimal_comma)
        for at, name in enumerate(names)
    ]
    if has_decimal_comma:
        options += ', decimal=",", thousands="."'
        # Without that, 01.02.2024 is the number 1022024.
        dates = {column.name: "str" for column in columns if column.kind == "date"}
        options += f", dtype={json.dumps(dates, ensure_ascii=False)}" if dates else ""
    return Table(file, tuple(columns), f"pd.read_csv({{path}}{options})")


def _json_table(file: CodeFile, head: str) -> Table | None:
    """A list of objects, or one object per line."""
    decoder = json.JSONDecoder()
    is_list = head.lstrip().startswith("[")
    records: list[dict[str, object]] = []
    at = head.find("{")
    while at >= 0 and len(records) < _MOST_ROWS:
        try:
            record, end = decoder.raw_decode(head, at)
        except (ValueError, RecursionError):
            break
        records.append(record)
        at = head.find("{", end)
    if not records or (not is_list and len(records) < 2 and extension(file.name) == "json"):
        return None
    names = list(dict.fromkeys(name for record in records for name in record))[:_MOST_COLUMNS]
    columns = [_column(name, [str(record.get(name, "")) for record in records]) for name in names]
    lines = "" if is_list else ", lines=True"
    return Table(file, tuple(columns), f"pd.read_json({{path}}{lines})")


def _column(name: str, cells: Sequence[str], has_decimal_comma: bool = False) -> Column:
    values = tuple(cell for cell in cells if cell.lower() not in _MISSING)
    if has_decimal_comma:
        values = tuple(
            value.replace(".", "").replace(",", ".") if _DECIMAL_COMMA.fullmatch(value) else value
            for value in values
        )
    if _mostly(values, _is_number):
        return Column(name, "number", values)
    if _mostly(values, _DATE.fullmatch):
        return Column(name, "date", values, is_day_first=any(map(_DAY_FIRST.match, values)))
    if _mostly(values, lambda value: bool(_MARKED.search(value)) and _is_number(_bare(value))):
        return Column(name, "number", tuple(map(_bare, values)), is_marked=True)
    return Column(name, "text", values)


def _mostly(values: Sequence[str], claim: Callable[[str], object]) -> bool:
    return bool(values) and sum(bool(claim(v)) for v in values) >= _MOSTLY * len(values)


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text.strip()) is not None


def _bare(value: str) -> str:
    return _MARKS.sub("", value)
