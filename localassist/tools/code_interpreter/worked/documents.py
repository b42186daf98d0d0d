"""Files as such: texts counted, tables written in another form."""

from __future__ import annotations

import re

from localassist.tools.code_interpreter.base import DATA_FOLDER, CodeFile
from localassist.tools.code_interpreter.tables import Table, extension
from localassist.tools.code_interpreter.wording import CONVERTING
from localassist.tools.code_interpreter.worked.base import Asked, Worked, cell, literal

_TEXTS = ("txt", "md", "log", "rst", "tex", "srt", "html")
_COUNTING = re.compile(
    r"\b(?:how many|count|number of|wie viele|zähle)\b.{0,40}\b(words?|lines?|characters?|letters?"
    r"|sentences?|wörter|worte|zeilen|zeichen)\b|\b(word|line|character) count\b",
    re.IGNORECASE,
)
_COMMON = re.compile(
    r"\b(?:most (?:common|frequent|used)|frequen\w+|häufigsten?)\b.{0,30}"
    r"\b(?:words?|terms|wörter)\b"
    r"|\bwords?\b.{0,30}\b(?:frequenc\w+|most often|most (?:common|frequent))",
    re.IGNORECASE,
)
_OCCURRENCES = re.compile(
    r"\b(?:how (?:often|many times)|occurrences of|count (?:of )?the word)\b.{0,30}?"
    r"[\"'“‘`](.+?)[\"'”’`]",
    re.IGNORECASE,
)
_TOP = re.compile(r"\b(\d{1,3})\b")
_WRITERS = {
    "json": 'df.to_json(path, orient="records", indent=2, force_ascii=False)',
    "xlsx": "df.to_excel(path, index=False)",
    "csv": "df.to_csv(path, index=False)",
    "tsv": 'df.to_csv(path, index=False, sep="\\t")',
    "html": "df.to_html(path, index=False)",
    "md": "df.to_markdown(path, index=False)",
    "parquet": "df.to_parquet(path, index=False)",
}
_EXTENSIONS = {"excel": "xlsx", "markdown": "md"}


def document(asked: Asked) -> Worked | None:
    """A text file counted, or a table in another form."""
    return _converted(asked) or _counted(asked)


def _converted(asked: Asked) -> Worked | None:
    wanted = [match[1].lower() for match in CONVERTING.finditer(asked.text)]
    last = re.findall(r"\b(?:to|into|as|in|nach|als)\s+(?:an?\s+)?(\w+)", asked.text.lower())
    named = [word for word in last if word in _WRITERS or word in _EXTENSIONS]
    goal = next(iter([*reversed(named), *reversed(wanted)]), None)
    if goal is None or not wanted or asked.meant is None:
        return None
    kind = _EXTENSIONS.get(goal, goal)
    table: Table = asked.meant.table
    source = extension(table.file.name)
    if kind == source or asked.meant.conditions:
        return None
    name = f"{table.file.name.rpartition('.')[0]}.{kind}"
    return Worked(
        cell(
            f"{table.file.name} as {name}",
            "import pandas as pd",
            "",
            *table.loading,
            f"path = {literal(f'{DATA_FOLDER}/{name}')}",
            _WRITERS[kind],
            'print(f"{len(df)} rows and {len(df.columns)} columns written")',
        ),
        f"{source} to {kind}",
    )


def _counted(asked: Asked) -> Worked | None:
    file = asked.of_extension(*_TEXTS)
    if file is None or any(table.file is file for table in asked.tables):
        return None
    single = _OCCURRENCES.search(asked.text)
    if single is not None:
        word = single[1]
        lines = [
            f"count = text.lower().count({literal(word.lower())})",
            f'print({literal(f"“{word}” occurs")}, count, "times")',
        ]
        return _over(file, f"How often {word!r} occurs in {file.name}", *lines)
    if _COMMON.search(asked.text):
        number = _TOP.search(asked.text)
        count = number[1] if number is not None else "10"
        return _over(
            file,
            f"The most frequent words of {file.name}",
            'words = re.findall(r"[^\\W\\d_]+", text.lower())',
            f"for word, count in Counter(words).most_common({count}):",
            '    print(f"{word}: {count}")',
            imports=("import re", "from collections import Counter", ""),
        )
    if _COUNTING.search(asked.text):
        return _over(
            file,
            f"Words, lines and characters of {file.name}",
            'print("Words:", len(text.split()))',
            'print("Lines:", len(text.splitlines()))',
            'print("Characters:", len(text))',
        )
    return None


def _over(file: CodeFile, comment: str, *lines: str, imports: tuple[str, ...] = ()) -> Worked:
    path = literal(f"{DATA_FOLDER}/{file.name}")
    opened = f'with open({path}, encoding="utf-8", errors="replace") as file:'
    return Worked(
        cell(comment, *imports, opened, "    text = file.read()", *lines), f"the text {file.name}"
    )
