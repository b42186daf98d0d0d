"""The grammar of one turn: text, calls and the choice between them, by a family's markup."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from localassist.chat.formats.base import ToolChoice
from localassist.chat.formats.json_values import json_rule, quote
from localassist.chat.markup import ID, INDEX, SLOT_PATTERNS, CallMarkup
from localassist.core import ToolSpec

_BARE_OBJECT = re.compile(r'\{"(\w+)": "$')
_BETWEEN_KEYS = re.compile(r'", "(\w+)": $')
_VALUES = ("const", "enum", "default", "examples")  # keywords whose values are no schemas
# Keywords below which names are the author's own, and each value is a schema.
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_ANY_TEXT = "/(.|\\n)*/"


def is_bare_object(markup: CallMarkup) -> bool:
    """A call is a JSON object and nothing else."""
    keys = _BARE_OBJECT.match(markup.begin) and _BETWEEN_KEYS.match(markup.middle)
    return bool(keys) and markup.end == "}"


class TurnGrammar:
    """The rules of one request for one markup."""

    def __init__(self, markup: CallMarkup, control_tokens: Mapping[str, int]) -> None:
        self._markup = markup
        self._tokens = control_tokens
        texts = sorted(control_tokens, key=len, reverse=True)
        self._cut = re.compile("|".join([f"[{ID}{INDEX}]", *map(re.escape, texts)]))

    def rules(
        self,
        tools: Sequence[ToolSpec],
        choice: ToolChoice,
        parallel: bool,
        answer: str | None,
    ) -> list[str]:
        markup = self._markup
        said = _sequence(self._spelled(markup.text_begin), "TEXT" if answer is None else answer)
        quiet = [] if answer is not None else [f"TEXT: {self._text_pattern()}"]
        if not tools:
            return [f"start: {said}", *quiet]
        if answer is not None and not choice.demands_call and is_bare_object(markup):
            return [f"start: {said} | call", *self._whole_calls(tools)]
        more = "next*" if parallel and markup.joint is not None else ""
        calls = _sequence("call", more, self._spelled(markup.end))
        rules: list[str] = []
        turns: list[str] = []
        if not choice.demands_call:
            turns.append(said)
            rules += quiet
        if not choice.demands_call and answer is None and markup.after_text is not None:
            rest = self._spelled(markup.after_text.removeprefix(markup.trigger))
            turns.append(_sequence(self._spelled(markup.text_begin), "lead", rest, calls))
            rules += self._lead()
        if not rules or not self._text_may_be_empty:
            turns.append(_sequence("opening", calls))
            rules.append(f"opening: {self._opening()}")
        if more:
            rules.append(f"next: {_sequence(self._spelled(markup.joint or ''), 'call')}")
        return [f"start: {' | '.join(turns)}", *rules, *self._call_rules(tools)]

    @property
    def _text_may_be_empty(self) -> bool:
        """A call at the start of the turn is a call after an empty text."""
        return self._markup.after_text == self._markup.begin and not self._markup.text_begin

    def _opening(self) -> str:
        begin = self._spelled(self._markup.begin) or '""'
        lead = self._spelled(self._markup.lead)
        return f"({lead})? {begin}" if lead else begin

    def _lead(self) -> list[str]:
        """Text up to and with the trigger."""
        token = self._tokens.get(self._markup.trigger)
        if token is not None:
            return [f"lead: TEXT <[{token}]>"]
        return [f"lead[lazy]: {_ANY_TEXT} {quote(self._markup.trigger)}"]

    def _text_pattern(self) -> str:
        """Texts that cannot be taken for calls."""
        markup = self._markup
        if markup.after_text is None:
            return f"{_ANY_TEXT} & ~/{_regex(markup.begin)}(.|\\n)*/"
        return f"{_ANY_TEXT} & ~/(.|\\n)*{_regex(markup.trigger)}(.|\\n)*/"

    def _call_rules(self, tools: Sequence[ToolSpec]) -> list[str]:
        """One rule per tool. The wrapper is literal text, so that each schema stays the root of its
        own document and its ``$ref`` keep pointing at the right place."""
        rules = ["call: " + " | ".join(f"call_{index}" for index in range(len(tools)))]
        for index, tool in enumerate(tools):
            opening = self._spelled(tool.name + self._markup.middle)
            rules.append(f"call_{index}: {opening} arguments_{index}")
            rules.append(f"arguments_{index}: {json_rule(tool.parameters)}")
        return rules

    def _whole_calls(self, tools: Sequence[ToolSpec]) -> list[str]:
        """Calls as JSON values, for grammars in which another JSON value is possible in the same
        place: llguidance decides between literal text and JSON at the first character."""
        name_key, arguments_key = _keys(self._markup)
        rules = ["call: " + " | ".join(f"call_{index}" for index in range(len(tools)))]
        for index, tool in enumerate(tools):
            parameters = {k: v for k, v in tool.parameters.items() if k != "x-guidance"}
            moved = _moved(parameters, f"#/properties/{arguments_key}")
            whole = {
                "type": "object",
                "properties": {name_key: {"const": tool.name}, arguments_key: moved},
                "required": [name_key, arguments_key],
                "additionalProperties": False,
                "x-guidance": tool.parameters.get("x-guidance", {}),
            }
            rules.append(f"call_{index}: {json_rule(whole)}")
        return rules

    def _spelled(self, text: str) -> str:
        """A text of the markup as a sequence of literals, tokens and slots; empty for none."""
        parts: list[str] = []
        end = 0
        for found in self._cut.finditer(text):
            parts.append(quote(text[end : found.start()]) if found.start() > end else "")
            parts.append(self._sign(found.group()))
            end = found.end()
        parts.append(quote(text[end:]) if end < len(text) else "")
        return _sequence(*parts)

    def _sign(self, text: str) -> str:
        if text in SLOT_PATTERNS:
            return f"/{SLOT_PATTERNS[text]}/"
        return f"<[{self._tokens[text]}]>"


def _sequence(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _keys(markup: CallMarkup) -> tuple[str, str]:
    """The two keys of a call that is a JSON object."""
    found = _BARE_OBJECT.match(markup.begin)
    middle = _BETWEEN_KEYS.match(markup.middle)
    assert found and middle, "asked only for JSON objects"
    return found.group(1), middle.group(1)


def _moved(schema: Any, place: str) -> Any:
    """The schema with its references as they are where it stands inside another one."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str) and value.startswith("#"):
            moved[key] = place + value[1:]
        elif key in _MAPS and isinstance(value, Mapping):
            moved[key] = {name: _moved(child, place) for name, child in value.items()}
        else:
            moved[key] = value if key in _VALUES else _moved(value, place)
    return moved


def _regex(text: str) -> str:
    """A regular expression of Lark for exactly this text, slots included."""
    escaped = re.escape(text).replace("/", "\\/").replace("\\\n", "\\n")
    for slot, pattern in SLOT_PATTERNS.items():
        escaped = escaped.replace(re.escape(slot), pattern)
    return escaped
