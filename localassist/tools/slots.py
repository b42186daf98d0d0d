"""One argument at a time: from a parameter's schema and a question to the values that may stand.

A ``Sheet`` remembers which numbers, dates and words earlier arguments have used, so that each is
used once. It proposes a value, a grammar of candidate values, or nothing. Pure: a model decodes
elsewhere (``guided``), and whatever it decodes is checked against the schema there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from localassist.chat.formats.json_call import json_rule
from localassist.core import ToolSpec
from localassist.tools import evidence

_ANNOTATIONS = frozenset({"type", "description", "title", "default", "examples"})
# Limits that a copied value may break: it is checked and, if it does, decoded again.
_LIMITS = frozenset({"minLength", "maxLength", "minimum", "maximum"})
_PLAIN_INTEGER = "/-?(0|[1-9][0-9]{0,11})/"
_PLAIN_NUMBER = "/-?(0|[1-9][0-9]{0,11})(\\.[0-9]{1,8})?/"
_LONGEST_LIST = 8
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Proposal:
    """What may fill one slot. ``value`` when ``is_settled``, else the ``grammar`` to decode under.

    The grammar's text is a space, the value as JSON, and ``,`` or ``}``: as it stands in arguments.
    """

    evidence: str
    is_settled: bool = False
    value: Any = None
    grammar: str = ""


@dataclass(slots=True)
class Sheet:
    """The question's material while one call's arguments are filled in, in order."""

    question: str
    definitions: Mapping[str, Any] = field(default_factory=dict)
    _used: set[int] = field(default_factory=set)  # starts of numbers and dates
    _used_words: list[str] = field(default_factory=list)

    def propose(self, name: str, schema: Mapping[str, Any], *, required: bool) -> Proposal | None:
        """The slot's candidates; None leaves an optional argument out."""
        schema = simplified(schema)
        if not required and not self._has_reason(name, schema):
            return None
        if "const" in schema:
            return Proposal("const", is_settled=True, value=schema["const"])
        if "enum" in schema:
            return self._choice(schema["enum"], required)
        if is_number(schema):
            return self._number(schema, required)
        if schema.get("type") == "string" and evidence.is_date_parameter(name, schema):
            days = self._days()
            if days:
                texts = [evidence.formatted(day, _description(schema)) for day in days]
                return self._among([_dump(text) for text in texts], "date in the question")
        named = [] if required else self._names_left(schema)
        if named and not evidence.speaks_of(self.question, name, schema):
            return self._among([_dump(phrase) for phrase in named], "name in the question")
        return Proposal("words of the question", grammar=self._written(schema))

    def grammar_only(self, schema: Mapping[str, Any]) -> Proposal:
        """Any value of the schema, whatever the question says."""
        return Proposal("schema", grammar=_slot([f"value: {self._json(schema)}"]))

    def take(self, name: str, schema: Mapping[str, Any], value: Any) -> None:
        """Mark what a chosen value was made of as used."""
        schema = simplified(schema)
        if "enum" in schema or isinstance(value, bool):
            return
        if isinstance(value, int | float):
            self._use_number(value)
        elif isinstance(value, str):
            self._use_text(schema, value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, int | float) and not isinstance(item, bool):
                    self._use_number(item)

    def _has_reason(self, name: str, schema: Mapping[str, Any]) -> bool:
        if is_number(schema):
            free = self._free_numbers()
            in_digits = any(self.question[number.start] in "-−0123456789" for number in free)
            return bool(free) and (in_digits or evidence.speaks_of(self.question, name, schema))
        return evidence.speaks_of(self.question, name, schema) or bool(self._names_left(schema))

    def _names_left(self, schema: Mapping[str, Any]) -> list[str]:
        """Proper names for a text argument, as long as no other text argument took its value."""
        if self._used_words or schema.get("type") != "string" or not is_copyable(schema):
            return []
        return evidence.proper_names(self.question)

    def _choice(self, values: Sequence[Any], required: bool) -> Proposal | None:
        said = [value for value in values if evidence.mentions(self.question, value)]
        if len(said) == 1:
            return Proposal("named in the question", is_settled=True, value=said[0])
        if not said and not required:
            return None
        return self._among([_dump(value) for value in said or values], "one of the schema's values")

    def _number(self, schema: Mapping[str, Any], required: bool) -> Proposal | None:
        check = Draft202012Validator({key: schema[key] for key in schema if key != "$ref"})
        numbers = self._free_numbers() or self._numbers()
        readings = [reading for number in numbers for reading in number.readings]
        fitting = [reading for reading in readings if check.is_valid(json.loads(reading))]
        if fitting:
            return self._among(fitting, "number in the question")
        return self.grammar_only(schema) if required else None

    def _among(self, texts: Iterable[str], reason: str) -> Proposal:
        """One of these JSON texts; settled when there is only one."""
        distinct = list(dict.fromkeys(texts))
        if len(distinct) == 1:
            return Proposal(reason, is_settled=True, value=json.loads(distinct[0]))
        return Proposal(reason, grammar=_slot([f"value: {_alternatives(distinct)}"]))

    def _written(self, schema: Mapping[str, Any]) -> str:
        """The grammar of a value whose texts and numbers are copied from the question."""
        writer = _RuleWriter(self)
        value = writer.write(schema)
        return _slot([f"value: {value}", *writer.rules])

    def _json(self, schema: Mapping[str, Any]) -> str:
        """The schema's own grammar, with open ends kept short."""
        if is_plain(schema):
            if schema.get("type") == "integer":
                return _PLAIN_INTEGER
            if schema.get("type") == "number":
                return _PLAIN_NUMBER
        return json_rule({**shortened(schema), **self.definitions})

    def copyable(self) -> str:
        """The question's words that no text argument has used yet."""
        rest = evidence.copyable(self.question)
        for used in self._used_words:
            if len(rest) > len(used) + 8:
                rest = " ".join(rest.replace(used, "", 1).split())
        return rest

    def _days(self) -> list[Any]:
        found = evidence.dates(self.question)
        free = [span for span in found if span.start not in self._used]
        return [span.day for span in free or found]

    def _numbers(self) -> list[evidence.Number]:
        taken = [(span.start, span.end) for span in evidence.dates(self.question)]
        return [
            number
            for number in evidence.numbers(self.question)
            if not any(start <= number.start < end for start, end in taken)
        ]

    def _free_numbers(self) -> list[evidence.Number]:
        return [number for number in self._numbers() if number.start not in self._used]

    def _use_number(self, value: float) -> None:
        for number in self._free_numbers():
            if any(float(reading) == float(value) for reading in number.readings):
                self._used.add(number.start)
                return

    def _use_text(self, schema: Mapping[str, Any], value: str) -> None:
        for span in evidence.dates(self.question):
            if evidence.formatted(span.day, _description(schema)) == value:
                self._used.add(span.start)
                return
        if value and value in self.copyable():
            self._used_words.append(value)


class _RuleWriter:
    """Lark for a nested value. ``rules`` collects what the returned expressions refer to."""

    def __init__(self, sheet: Sheet) -> None:
        self._sheet = sheet
        self.rules: list[str] = []

    def write(self, schema: Mapping[str, Any]) -> str:
        schema = simplified(schema)
        kind = schema.get("type")
        if "enum" in schema:
            return json_rule({"enum": schema["enum"]})
        if kind == "string" and is_copyable(schema):
            return self._text(schema)
        if kind in ("integer", "number") and is_copyable(schema):
            return self._number(schema)
        if kind == "array" and set(schema) <= _ANNOTATIONS | {"items", "minItems", "maxItems"}:
            return self._list(schema)
        if kind == "object" and self._is_record(schema):
            return self._record(schema)
        return self._sheet._json(schema)

    def _text(self, schema: Mapping[str, Any]) -> str:
        source = self._sheet.copyable()
        hinted = [
            value
            for value in evidence.quoted(_description(schema))
            if evidence.mentions(self._sheet.question, value)
        ]
        choices = [_literal(_dump(value)) for value in hinted]
        if source:
            if not any(rule.startswith("WORDS:") for rule in self.rules):
                escaped = json.dumps(source, ensure_ascii=False)[1:-1]
                pattern = json.dumps({"substring_words": escaped}, ensure_ascii=False)
                self.rules.append(f"WORDS: %regex {pattern}")
            choices.append('"\\"" WORDS "\\""')
        return f"({' | '.join(choices)})" if choices else self._sheet._json(schema)

    def _number(self, schema: Mapping[str, Any]) -> str:
        whole = schema["type"] == "integer"
        readings = [text for number in self._sheet._free_numbers() for text in number.readings]
        fitting = [text for text in readings if not whole or "." not in text and "e" not in text]
        return f"({_alternatives(fitting)})" if fitting else self._sheet._json(schema)

    def _list(self, schema: Mapping[str, Any]) -> str:
        items = schema.get("items", {"type": "string"})
        if not isinstance(items, Mapping):
            return self._sheet._json(schema)
        least = schema.get("minItems", 0)
        most = max(least, min(schema.get("maxItems", _LONGEST_LIST), self._room(items)), 1)
        if most > schema.get("maxItems", most):
            return self._sheet._json(schema)
        item = self.write(items)
        return f'"[" {item} (", " {item}){{{max(0, least - 1)},{most - 1}}} "]"'

    def _room(self, items: Mapping[str, Any]) -> int:
        if "enum" in items:
            return min(len(items["enum"]), _LONGEST_LIST)
        if is_number(items):
            return len(self._sheet._free_numbers()) or _LONGEST_LIST
        return _LONGEST_LIST

    def _is_record(self, schema: Mapping[str, Any]) -> bool:
        known = _ANNOTATIONS | {"properties", "required", "additionalProperties"}
        return bool(schema.get("properties")) and set(schema) <= known

    def _record(self, schema: Mapping[str, Any]) -> str:
        properties = schema["properties"]
        wanted = [key for key in properties if key in schema.get("required", properties)]
        fields = [
            f"{_literal(_dump(key) + ': ')} {self.write(properties[key])}"
            for key in wanted or properties
        ]
        return '"{" ' + ' ", " '.join(fields) + ' "}"'


def lacks_numbers(tool: ToolSpec, question: str) -> bool:
    """The tool requires more numbers than the question has."""
    properties = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", ())
    wanted = [name for name in required if is_number(simplified(properties.get(name, {})))]
    return len(wanted) > len(evidence.numbers(question))


def simplified(schema: Any) -> Mapping[str, Any]:
    """A nullable schema as its non-null side: whoever gives a value gives a real one. ``true`` as
    the schema without demands that it is."""
    if not isinstance(schema, Mapping):
        return {}
    kinds = schema.get("type")
    if isinstance(kinds, list):
        real = [kind for kind in kinds if kind != "null"]
        return {**schema, "type": real[0]} if len(real) == 1 else schema
    branches = schema.get("anyOf")
    if isinstance(branches, list):
        real = [branch for branch in branches if branch != {"type": "null"}]
        if len(real) == 1 and isinstance(real[0], Mapping):
            outer = {key: value for key, value in schema.items() if key != "anyOf"}
            return simplified({**outer, **real[0]})
    return schema


def shortened(schema: Any) -> Any:
    """The schema with short limits on open strings and arrays: a small model rambles in them."""
    if isinstance(schema, list):
        return [shortened(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "enum" in schema or "const" in schema:
        return schema
    short = {key: shortened(value) for key, value in schema.items()}
    if schema.get("type") == "string" and not {"pattern", "format"} & set(schema):
        longest = max(schema.get("minLength", 0), _LONGEST_TEXT)
        short["maxLength"] = min(schema.get("maxLength", longest), longest)
    if schema.get("type") == "array":
        most = max(schema.get("minItems", 0), _LONGEST_LIST)
        short["maxItems"] = min(schema.get("maxItems", most), most)
    return short


def is_number(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") in ("integer", "number") and "enum" not in schema


def is_copyable(schema: Mapping[str, Any]) -> bool:
    """A stretch of the question is likely to be a value of it."""
    return set(schema) <= _ANNOTATIONS | _LIMITS


def is_plain(schema: Mapping[str, Any]) -> bool:
    """Nothing but a type and words about it."""
    return set(schema) <= _ANNOTATIONS


def _slot(rules: Sequence[str]) -> str:
    return "\n".join(["%llguidance {}", 'start: " " value ("," | "}")', *rules, ""])


def _alternatives(texts: Iterable[str]) -> str:
    return " | ".join(_literal(text) for text in dict.fromkeys(texts))


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _description(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", ""))
