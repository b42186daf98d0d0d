"""No markup at all: for small models, whose calls are decided outside of their own text.

A call and its result become plain words in the conversation, which a model without tool training
follows better than any markup. The model's text is never read as a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from localassist.chat.formats.base import ControlToken, ToolChoice, plain_id, wire_call
from localassist.chat.formats.json_values import grammar_of
from localassist.chat.stream import TurnParser
from localassist.core import Constraint, ToolCall, ToolSpec


@dataclass(frozen=True, slots=True)
class PlainFormat:
    name: str = "plain"
    in_template: bool = True
    text_begin: str = ""
    calls_look_like_answers: bool = False

    def for_vocabulary(self, control_token: ControlToken) -> PlainFormat:
        return self

    def can_show(self, calls: Sequence[ToolCall]) -> bool:
        return True

    def wire_call(self, call: ToolCall) -> dict[str, Any]:
        return wire_call(call, self.call_id(call.id))

    def call_id(self, call_id: str) -> str:
        return plain_id(call_id)

    def around_name(self) -> tuple[str, str] | None:
        return None

    def system_text(self, tools: Sequence[ToolSpec]) -> str:
        return ""

    def render_calls(self, calls: Sequence[ToolCall]) -> str:
        return "I need to look this up."

    def render_result(self, name: str | None, output: str) -> str:
        source = "this" if name is None else name.replace("_", " ")
        return f"The result of {source} is: {output}\nNow answer my question from this result."

    def constraint(
        self,
        tools: Sequence[ToolSpec],
        choice: ToolChoice,
        *,
        parallel: bool,
        answer: str | None = None,
    ) -> Constraint | None:
        return None if answer is None else grammar_of([f"start: {answer}"])

    def parser(self, tools: Sequence[ToolSpec] | None = None) -> TurnParser:
        return TurnParser(None)


PLAIN = PlainFormat()
