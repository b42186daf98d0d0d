"""Questions with known answers, as people write them down: a table (CSV) or JSON lines.

Columns: ``question``, and what answers it, at least one of

- ``references``: excerpts of the documents. A text, or JSON: a list of texts or of objects with
  ``content`` (or ``start`` and ``end`` in code points of the parsed text, or both) and perhaps
  ``document``. ``start_index`` and ``end_index`` are understood as well.
- ``documents``: names of relevant documents, as JSON or separated by semicolons.

``document`` (or ``corpus_id``) says in which document the references are, ``id`` names the question
and ``generated_by`` the model that made it up.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localassist.errors import ConfigError

_LONGEST_CELL = 10_000_000


@dataclass(frozen=True, slots=True)
class Reference:
    """An excerpt that answers a question: its text, or where it stands, or both. ``document`` is
    empty where it may be any."""

    content: str = ""
    start: int | None = None
    end: int | None = None
    document: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """``documents`` are relevant as a whole; those of the references come on top.
    ``generated_by`` is the model that made the question up, empty for questions of people."""

    id: str
    text: str
    references: tuple[Reference, ...] = ()
    documents: tuple[str, ...] = ()
    generated_by: str = ""


def read_questions(path: Path) -> list[Question]:
    """Raises ConfigError that says what is wrong in which line."""
    try:
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            rows = list(_json_lines(path))
        else:
            rows = list(_table(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"The questions in {path} cannot be read: {error}") from error
    questions = [_question(row, where, number) for number, (where, row) in enumerate(rows, start=1)]
    if not questions:
        raise ConfigError(f"{path} holds no questions.")
    return questions


def write_questions(path: Path, questions: Iterable[Question]) -> None:
    """As JSON lines that ``read_questions`` takes."""
    with path.open("w", encoding="utf-8") as file:
        for question in questions:
            row: dict[str, Any] = {"id": question.id, "question": question.text}
            if question.references:
                row["references"] = [_shown(reference) for reference in question.references]
            if question.documents:
                row["documents"] = list(question.documents)
            if question.generated_by:
                row["generated_by"] = question.generated_by
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _shown(reference: Reference) -> dict[str, Any]:
    fields = ("content", "start", "end", "document")
    values = {name: getattr(reference, name) for name in fields}
    return {name: value for name, value in values.items() if value not in (None, "")}


def _json_lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(path.read_text("utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigError(f"{where}: not valid JSON ({error}).") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{where}: expected an object.")
        yield where, row


def _table(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        file.seek(0)
        # Spreadsheets write what their country's settings say.
        reader = csv.DictReader(file, delimiter=max(",;\t", key=head.count))
        columns = reader.fieldnames or ()
        if columns and "question" not in columns:
            found = ", ".join(columns)
            raise ConfigError(f"{path}: there is no column `question`, only {found}.")
        for row in reader:
            yield f"{path}, line {reader.line_num}", row


def _question(row: Mapping[str, Any], where: str, number: int) -> Question:
    text = row.get("question")
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"{where}: there is no `question`.")
    document = str(row.get("document") or row.get("corpus_id") or "")
    references = tuple(_references(row.get("references"), document, where))
    documents = tuple(_names(row.get("documents"), where))
    if not references and not documents:
        if not document:
            raise ConfigError(f"{where}: there are neither `references` nor `documents`.")
        documents = (document,)
    return Question(
        id=str(row.get("id") or number),
        text=text.strip(),
        references=references,
        documents=documents,
        generated_by=str(row.get("generated_by") or ""),
    )


def _references(value: object, document: str, where: str) -> Iterator[Reference]:
    value = _parsed(value, where)
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and item.strip():
            yield Reference(item, document=document)
        elif isinstance(item, dict):
            yield _reference(item, document, where)
        elif item not in (None, ""):
            raise ConfigError(f"{where}: a reference is a text or an object, not {item!r}.")


def _reference(item: Mapping[str, Any], document: str, where: str) -> Reference:
    content = item.get("content") or ""
    start, end = item.get("start", item.get("start_index")), item.get("end", item.get("end_index"))
    try:
        given = start is not None and end is not None
        first, last = (int(start), int(end)) if given else (None, None)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: `start` and `end` of a reference are numbers.") from error
    if not isinstance(content, str) or not (content.strip() or given):
        raise ConfigError(f"{where}: a reference needs `content`, or `start` and `end`.")
    return Reference(content, first, last, str(item.get("document") or document))


def _names(value: object, where: str) -> Sequence[str]:
    value = _parsed(value, where)
    if isinstance(value, list):
        return [str(name) for name in value]
    return [name.strip() for name in str(value or "").split(";") if name.strip()]


def _parsed(value: object, where: str) -> object:
    """A cell that holds JSON, read; any other as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        if value.lstrip().startswith(('["', '[{"', "[{", '{"')):
            raise ConfigError(f"{where}: this is not valid JSON: {value[:60]}") from None
        return value  # an excerpt that begins with a bracket
