"""What worked forms share: a question with its files in, a cell out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from localassist.tools.code_interpreter.base import CodeFile
from localassist.tools.code_interpreter.columns import Meant
from localassist.tools.code_interpreter.tables import Column, Table, extension, tables
from localassist.tools.code_interpreter.wording import (
    DATA_WORDS,
    DUPLICATES,
    MISSING,
    SALES,
    Measure,
    has_any,
)
from localassist.tools.evidence.words import mentions, name_words, stems


@dataclass(frozen=True)
class Asked:
    """A question and the files it may be about. ``similarities`` are cosines of the question and
    names of columns, where somebody computed them. ``newest`` is the last message alone, where the
    question is more than that. ``is_decided``: code is wanted, whether a form fits or not."""

    text: str
    files: tuple[CodeFile, ...] = ()
    today: date = date.min
    similarities: Mapping[str, float] = field(default_factory=dict)
    newest: str = ""
    is_decided: bool = False

    @cached_property
    def tables(self) -> list[Table]:
        return tables(self.files)

    @cached_property
    def named_file(self) -> CodeFile | None:
        """The file that the question names, with or without its extension."""
        spoken = self.text.lower()
        whole = [file for file in self.files if file.name.lower() in spoken]
        stemmed = [file for file in self.files if mentions(self.text, file.name.rpartition(".")[0])]
        return max([*whole, *stemmed], key=lambda file: len(file.name), default=None)

    @cached_property
    def meant(self) -> Meant | None:
        """The question about the table it most likely means."""
        if not self.tables:
            return None
        if self.named_file is not None:
            chosen = [table for table in self.tables if table.file is self.named_file]
            return self._about(chosen[0]) if chosen else None
        return max(map(self._about, self.tables), key=self._fit)

    @property
    def is_about_a_table(self) -> bool:
        """The question names a column, a value or the file, or speaks of data at all."""
        meant = self.meant
        if meant is None:
            return False
        is_named = meant.named or meant.conditions or self.named_file is not None
        is_named = is_named or has_any(self.text, (MISSING, DUPLICATES))
        return bool(is_named) or DATA_WORDS.search(self.text) is not None

    def _about(self, table: Table) -> Meant:
        if SALES.search(self.text):
            table = table.with_sales()
        return Meant(self.text, table, self.similarities, self.newest)

    def _fit(self, meant: Meant) -> tuple[float, int]:
        """How many columns the question names, then how many words of the file's name."""
        names = name_words(meant.table.file.name.rpartition(".")[0])
        shared = stems(names) & stems(self.text)
        return len(meant.named) + 0.5 * len(meant.conditions), len(shared)

    def of_extension(self, *extensions: str) -> CodeFile | None:
        """The file of such a kind that is meant."""
        named = self.named_file
        if named is not None:
            return named if extension(named.name) in extensions else None
        return next((file for file in self.files if extension(file.name) in extensions), None)


@dataclass(frozen=True, slots=True)
class Worked:
    """A cell and what in the question led to it."""

    code: str
    evidence: str


Form = Callable[[Asked], Worked | None]

MEASURED: dict[Measure, str] = {
    "mean": "average",
    "median": "median",
    "sum": "total",
    "min": "lowest",
    "max": "highest",
    "std": "standard deviation of",
    "nunique": "number of different",
    "count": "number of",
}
"""Before the name of a column."""


def literal(value: str | Sequence[str]) -> str:
    """As Python writes it, in double quotes."""
    return json.dumps(value, ensure_ascii=False)


def item(column: Column) -> str:
    return f"df[{literal(column.name)}]"


def spoken(name: str) -> str:
    """A column's name as a title has it: ``unit_price`` is unit price."""
    return re.sub(r"[_\s]+", " ", name).strip() or name


def escaped(name: str) -> str:
    """The text of a name inside an f-string in double quotes."""
    return literal(name)[1:-1].replace("{", "{{").replace("}", "}}")


def loading(meant: Meant, columns: Sequence[Column | None] = (), *, imports: str = "") -> list[str]:
    """Imports, and ``df`` with the rows that are meant, columns made numbers and dates where they
    are not."""
    lines = ["import pandas as pd", *([imports] if imports else []), "", *meant.table.loading]
    needed = {column.name: column for column in columns if column is not None}
    for condition in meant.conditions:
        needed.setdefault(condition.column.name, condition.column)
    for column in needed.values():
        if column.kind == "date":
            options = ", dayfirst=True" if column.is_day_first else ""
            lines.append(f"{item(column)} = pd.to_datetime({item(column)}{options})")
        elif column.is_marked:
            digits = f'{item(column)}.astype(str).str.replace(r"[^0-9.\\-]", "", regex=True)'
            lines.append(f'{item(column)} = pd.to_numeric({digits}, errors="coerce")')
    if meant.conditions:
        lines.append(f"df = df[{' & '.join(each.code for each in meant.conditions)}]")
    return lines


def cell(comment: str, *lines: str) -> str:
    """The lines under a comment that says what they do."""
    return "\n".join([f"# {' '.join(comment.split())}", *lines]) + "\n"
