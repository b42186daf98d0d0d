"""Calls written as a JSON object between two markers, as Hermes and Qwen models do.

One grammar per request covers text, calls and the choice between them, so a required call is
enforced, a named tool is the only one possible, and arguments always fit their schema.
The markers are ordinary text here; a family whose markers are control tokens needs them as tokens
in the grammar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localassist.chat.formats.base import ToolChoice, arguments_of, wire_tool
from localassist.chat.stream import CallMarkup, TurnParser
from localassist.core import Constraint, ToolCall, ToolSpec

# JSON exactly as json.dumps writes it: one form for the model, the parser and the KV cache.
COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

_SYSTEM_TEXT = """\
You may call functions to help with the user's request. Their signatures:
<tools>
{tools}
</tools>
To call one, answer with its name and arguments as JSON:
{example}
Only call a function when it is needed; otherwise answer in plain words."""


@dataclass(frozen=True, slots=True)
class JsonCallFormat:
    """``begin`` + ``{"name": …, "arguments": {…}}`` + ``end``, calls joined by ``separator``.

    ``trigger`` is the start of ``begin`` whose appearance in text means that a call follows.
    """

    name: str
    begin: str
    end: str
    separator: str
    trigger: str
    name_key: str = "name"
    arguments_key: str = "arguments"

    def system_text(self, tools: Sequence[ToolSpec]) -> str:
        lines = "\n".join(json.dumps(wire_tool(tool), ensure_ascii=False) for tool in tools)
        example = self._call_text("function-name", "{…}")
        return _SYSTEM_TEXT.format(tools=lines, example=example)

    def render_calls(self, calls: Sequence[ToolCall]) -> str:
        return self.separator.join(
            self._call_text(call.name, json.dumps(arguments_of(call), ensure_ascii=False))
            for call in calls
        )

    def render_result(self, name: str | None, output: str) -> str:
        return f"<tool_response>\n{output}\n</tool_response>"

    def constraint(
        self,
        tools: Sequence[ToolSpec],
        choice: ToolChoice,
        *,
        parallel: bool,
        answer: str | None = None,
    ) -> Constraint | None:
        callable_tools = choice.among(tools)
        if not tools or (choice.mode == "none" and answer is not None):
            return None if answer is None else grammar_of([f"start: {answer}"])
        quiet = f"TEXT: {self._text_pattern()}"
        if not callable_tools:
            return grammar_of(["start: TEXT", quiet])
        more = " (next)*" if parallel else ""
        rules = [f"next: {_quote(self.separator)} one", f"one: {_quote(self.begin)} call"]
        if choice.demands_call:
            rules.append(f"start: one{more}")
        elif answer is not None:
            rules.append(f"start: one{more} | {answer}")
        else:
            rest = self.begin.removeprefix(self.trigger)
            rules += [
                f"start: TEXT | first{more}",
                f"first: lead {_quote(rest)} call" if rest else "first: lead call",
                f"lead[lazy]: /(.|\\n)*/ {_quote(self.trigger)}",
                quiet,
            ]
        if not parallel:
            rules = [rule for rule in rules if not rule.startswith("next:")]
        return grammar_of(rules + self._call_rules(callable_tools))

    def parser(self) -> TurnParser:
        return TurnParser(
            CallMarkup(self.trigger, self.end.strip(), self.name_key, self.arguments_key)
        )

    def _text_pattern(self) -> str:
        trigger = re.escape(self.trigger).replace("/", "\\/")
        return f"/(.|\\n)*/ & ~/(.|\\n)*{trigger}(.|\\n)*/"

    def _call_rules(self, tools: Sequence[ToolSpec]) -> list[str]:
        """One rule per tool. The wrapper is literal text, so that each schema stays the root of its
        own document and its ``$ref`` keep pointing at the right place."""
        names = " | ".join(f"call_{index}" for index in range(len(tools)))
        rules = [f"call: ({names}) {_quote('}' + self.end)}"]
        for index, tool in enumerate(tools):
            opening = _quote(self._opening(tool.name))
            rules.append(f"call_{index}: {opening} arguments_{index}")
            rules.append(f"arguments_{index}: {json_rule(tool.parameters)}")
        return rules

    def _call_text(self, name: str, arguments: str) -> str:
        return f"{self.begin}{self._opening(name)}{arguments}}}{self.end}"

    def _opening(self, name: str) -> str:
        return f"{{{_quote(self.name_key)}: {_quote(name)}, {_quote(self.arguments_key)}: "


def json_rule(schema: Mapping[str, Any]) -> str:
    """A Lark expression for one JSON value. The schema's own ``x-guidance`` adds to ours."""
    options = {**COMPACT, **schema.get("x-guidance", {})}
    return f"%json {json.dumps({**schema, 'x-guidance': options})}"


def grammar_of(rules: Sequence[str]) -> Constraint:
    """The rules under llguidance's header."""
    return Constraint("%llguidance {}\n" + "\n".join(rules) + "\n")


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
