"""No markup at all: for small models, whose calls are decided outside of their own text.

A call and its result become plain words in the conversation, which a model without tool training
follows better than any markup. The model's text is never read as a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from localassist.chat.formats.base import ToolChoice
from localassist.chat.formats.json_call import grammar_of
from localassist.chat.stream import TurnParser
from localassist.core import Constraint, ToolCall, ToolSpec


@dataclass(frozen=True, slots=True)
class PlainFormat:
    name: str = "plain"

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

    def parser(self) -> TurnParser:
        return TurnParser(None)


PLAIN = PlainFormat()
