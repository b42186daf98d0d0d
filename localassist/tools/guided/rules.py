"""Lark for a slot's value: copied from the question as far as possible, or anything of the schema.

A slot's text is a space, the value as JSON, and ``,`` or ``}``: as it stands in arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from localassist.chat.formats.json_values import json_rule
from localassist.tools.evidence.phrases import split
from localassist.tools.guided.schemas import (
    ANNOTATIONS,
    LONGEST_LIST,
    is_copyable,
    is_number,
    is_record,
    shortened,
    simplified,
)
from localassist.tools.guided.sheet import Sheet, reading_for

_PLAIN_INTEGER = "/-?(0|[1-9][0-9]{0,11})/"
_PLAIN_NUMBER = "/-?(0|[1-9][0-9]{0,11})(\\.[0-9]{1,8})?/"


def slot_rule(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The grammar of any value of the schema."""
    return _slot([f"value: {_json(schema, definitions)}"])


def written_rule(schema: Mapping[str, Any], sheet: Sheet, definitions: Mapping[str, Any]) -> str:
    """The grammar of a value whose texts and numbers are copied from the question."""
    writer = _RuleWriter(sheet, definitions)
    value = writer.write(schema)
    return _slot([f"value: {value}", *writer.rules])


class _RuleWriter:
    """Lark for a nested value. ``rules`` collects what the returned expressions refer to."""

    def __init__(self, sheet: Sheet, definitions: Mapping[str, Any]) -> None:
        self._sheet = sheet
        self._definitions = definitions
        self.rules: list[str] = []

    def write(self, schema: Mapping[str, Any]) -> str:
        schema = simplified(schema)
        kind = schema.get("type")
        if "enum" in schema:
            return json_rule({"enum": schema["enum"]})
        if kind == "string" and is_copyable(schema):
            return self._text(schema)
        if is_number(schema) and is_copyable(schema):
            return self._number(schema)
        if kind == "array" and set(schema) <= ANNOTATIONS | {"items", "minItems", "maxItems"}:
            return self._list(schema)
        if is_record(schema):
            return self._record(schema)
        return _json(schema, self._definitions)

    def _text(self, schema: Mapping[str, Any]) -> str:
        source = _copyable(self._sheet)
        if not source:
            return _json(schema, self._definitions)
        if not any(rule.startswith("WORDS:") for rule in self.rules):
            escaped = json.dumps(source, ensure_ascii=False)[1:-1]
            pattern = json.dumps({"substring_words": escaped}, ensure_ascii=False)
            self.rules.append(f"WORDS: %regex {pattern}")
        return '("\\"" WORDS "\\"")'

    def _number(self, schema: Mapping[str, Any]) -> str:
        readings = [reading_for(number, schema) for number in self._free_numbers()]
        fitting = [text for text in readings if text is not None]
        return f"({_alternatives(fitting)})" if fitting else _json(schema, self._definitions)

    def _list(self, schema: Mapping[str, Any]) -> str:
        items = schema.get("items", {"type": "string"})
        if not isinstance(items, Mapping):
            return _json(schema, self._definitions)
        least = schema.get("minItems", 0)
        most = max(least, min(schema.get("maxItems", LONGEST_LIST), self._room(items)), 1)
        if most > schema.get("maxItems", most):
            return _json(schema, self._definitions)
        item = self.write(items)
        return f'"[" {item} (", " {item}){{{max(0, least - 1)},{most - 1}}} "]"'

    def _room(self, items: Mapping[str, Any]) -> int:
        if "enum" in items:
            return min(len(items["enum"]), LONGEST_LIST)
        if is_number(items):
            return len(self._free_numbers()) or LONGEST_LIST
        return LONGEST_LIST

    def _free_numbers(self) -> list[Any]:
        return [n for n in self._sheet.question.numbers if self._sheet.is_free(n.span)]

    def _record(self, schema: Mapping[str, Any]) -> str:
        properties = schema["properties"]
        wanted = [key for key in properties if key in schema.get("required", properties)]
        fields = [
            f"{_literal(_dump(key) + ': ')} {self.write(properties[key])}"
            for key in wanted or properties
        ]
        return '"{" ' + ' ", " '.join(fields) + ' "}"'


def _json(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The schema's own grammar, with open ends kept short."""
    if set(schema) <= ANNOTATIONS and schema.get("type") == "integer":
        return _PLAIN_INTEGER
    if set(schema) <= ANNOTATIONS and schema.get("type") == "number":
        return _PLAIN_NUMBER
    return json_rule({**shortened(schema), **definitions})


def _copyable(sheet: Sheet) -> str:
    """The question's words that no argument has used yet, without punctuation at their ends, so
    that stretches of them make clean values."""
    return " ".join(word.text for word in split(sheet.question.text) if sheet.is_free(word.span))


def _slot(rules: Iterable[str]) -> str:
    return "\n".join(["%llguidance {}", 'start: " " value ("," | "}")', *rules, ""])


def _alternatives(texts: Iterable[str]) -> str:
    return " | ".join(_literal(text) for text in dict.fromkeys(texts))


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
