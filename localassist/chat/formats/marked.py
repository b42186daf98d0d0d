"""Calls written as a name and a JSON object between fixed texts: rendered, enforced, read back.

One grammar per request covers text, calls and the choice between them, so a required call is
enforced, a named tool is the only one possible, and arguments always fit their schema. A text of
the markup that is a control token is that token in the grammar: the model would otherwise have to
spell out what it knows as one sign.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from localassist.chat.formats.base import (
    STAND_IN_ID,
    ControlToken,
    ToolChoice,
    arguments_of,
    plain_id,
    short_id,
    wire_call,
    wire_tool,
)
from localassist.chat.formats.json_values import grammar_of
from localassist.chat.formats.turn_grammar import TurnGrammar, is_bare_object
from localassist.chat.markup import ID, INDEX, SLOT_PATTERNS, CallMarkup
from localassist.chat.stream import TurnParser
from localassist.core import Constraint, ToolCall, ToolSpec
from localassist.errors import InvalidRequest

_SYSTEM_TEXT = """\
You may call functions to help with the user's request. Their signatures:
<tools>
{tools}
</tools>
To call one, answer with its name and arguments as JSON:
{example}
Only call a function when it is needed; otherwise answer in plain words."""

_NO_TOKENS: Mapping[str, int] = MappingProxyType({})
_MARKERS = re.compile(r"<[^<>]+>|\[[^\[\]]+\]")


@dataclass(frozen=True, slots=True)
class MarkedFormat:
    """``in_template``: the chat template itself shows tools, calls and results in this form.
    ``text_arguments``: it wants a call's arguments as JSON text, not as a value.
    ``control_tokens`` are the texts of the markup that are one control token, and which."""

    name: str
    markup: CallMarkup
    in_template: bool = True
    text_arguments: bool = False
    control_tokens: Mapping[str, int] = field(default_factory=lambda: _NO_TOKENS)

    def for_vocabulary(self, control_token: ControlToken) -> MarkedFormat:
        """The same with the control tokens of a vocabulary."""
        markers = dict.fromkeys(
            marker for text in self.markup.texts for marker in _MARKERS.findall(text)
        )
        found = {marker: control_token(marker) for marker in markers}
        tokens = {marker: token for marker, token in found.items() if token is not None}
        lead = self.markup.lead if self.markup.lead in tokens else ""
        return replace(self, markup=replace(self.markup, lead=lead), control_tokens=tokens)

    @property
    def text_begin(self) -> str:
        return self.markup.text_begin

    @property
    def calls_look_like_answers(self) -> bool:
        return is_bare_object(self.markup)

    def system_text(self, tools: Sequence[ToolSpec]) -> str:
        lines = "\n".join(json.dumps(wire_tool(tool), ensure_ascii=False) for tool in tools)
        example = self._written([("function-name", "{…}", STAND_IN_ID)])
        return _SYSTEM_TEXT.format(tools=lines, example=example)

    def can_show(self, calls: Sequence[ToolCall]) -> bool:
        """Whether the template can render these calls of one turn."""
        return self.in_template and (len(calls) == 1 or self.markup.joint is not None)

    def wire_call(self, call: ToolCall) -> dict[str, Any]:
        wired = wire_call(call, self.call_id(call.id))
        if self.text_arguments:
            text = json.dumps(arguments_of(call), ensure_ascii=False)
            wired["function"]["arguments"] = text
        return wired

    def call_id(self, call_id: str) -> str:
        """Where calls are written with their ids, nine letters and digits that stand for it."""
        if not self.markup.has_ids:
            return plain_id(call_id)
        return call_id if re.fullmatch(SLOT_PATTERNS[ID], call_id) else short_id(call_id)

    def around_name(self) -> tuple[str, str] | None:
        texts = (self.markup.begin, self.markup.middle, self.markup.end)
        begin, middle, end = (_filled(text, STAND_IN_ID, 0) for text in texts)
        return begin, f"{middle}{{}}{end}"

    def render_calls(self, calls: Sequence[ToolCall]) -> str:
        return self._written(
            [
                (
                    call.name,
                    json.dumps(arguments_of(call), ensure_ascii=False),
                    self.call_id(call.id),
                )
                for call in calls
            ]
        )

    def render_result(self, name: str | None, output: str) -> str:
        return f"<tool_response>\n{output}\n</tool_response>"

    def parser(self, tools: Sequence[ToolSpec] | None = None) -> TurnParser:
        names = None if tools is None else frozenset(tool.name for tool in tools)
        return TurnParser(self.markup, names)

    def constraint(
        self,
        tools: Sequence[ToolSpec],
        choice: ToolChoice,
        *,
        parallel: bool,
        answer: str | None = None,
    ) -> Constraint | None:
        callable_tools = choice.among(tools)
        begin = self.markup.text_begin
        if not begin and (not tools or (choice.mode == "none" and answer is not None)):
            return None if answer is None else grammar_of([f"start: {answer}"])
        for tool in callable_tools:
            if begin and tool.name == begin.strip():
                raise InvalidRequest(
                    f"Invalid 'tools': this model cannot call a function named '{tool.name}', "
                    "because it marks its answers with that word. Give it another name.",
                    param="tools",
                )
        grammar, spelled = (
            grammar_of(
                TurnGrammar(self.markup, tokens).rules(callable_tools, choice, parallel, answer)
            )
            for tokens in (self.control_tokens, _NO_TOKENS)
        )
        if not self.control_tokens:
            return grammar
        return replace(grammar, text_grammar=spelled.grammar)

    def _written(self, calls: Sequence[tuple[str, str, str]]) -> str:
        """Calls given as name, arguments and id."""
        markup = self.markup
        joint = markup.joint
        if joint is None:
            joint = f"{markup.end}\n{markup.begin}"
        id_follows = ID not in markup.begin + markup.middle
        text = ""
        for index, (name, arguments, call_id) in enumerate(calls):
            opening = markup.begin if index == 0 else joint
            # The id in a joint may be that of the call before it.
            named = calls[index - 1][2] if id_follows and index else call_id
            text += _filled(opening, named, index)
            text += f"{name}{_filled(markup.middle, call_id, index)}{arguments}"
        last_id = calls[-1][2] if calls else ""
        return text + _filled(markup.end, last_id, len(calls) - 1)


def _filled(text: str, call_id: str, index: int) -> str:
    return text.replace(ID, call_id).replace(INDEX, str(index))
