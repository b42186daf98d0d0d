"""How a model family writes tool calls: the interface, and the caller's wish for this turn.

A format is shown to the model (``system_text``, ``render_calls``, ``render_result``), enforced by
a grammar (``constraint``) and read back (``parser``). Formats know no tokenizer and no schema
rules: the parameters of a tool arrive ready for a grammar, ``tools.grammar`` prepares them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from localassist.chat.stream import TurnParser
from localassist.core import Constraint, ToolCall, ToolSpec
from localassist.errors import InvalidRequest

STAND_IN_ID = "000000000"
"""The id of a call that is rendered only to find out what stands around it."""

_ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 9

ControlToken: TypeAlias = Callable[[str], int | None]
"""The control token that a text is in a vocabulary, None when it is ordinary text there."""


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether this turn may or must call a tool. ``name`` belongs to mode ``named``."""

    mode: Literal["auto", "required", "none", "named"] = "auto"
    name: str | None = None

    @classmethod
    def from_wire(cls, value: str | Mapping[str, Any] | None) -> ToolChoice:
        """``"auto"``, ``"required"``, ``"none"`` or ``{"type":"function","function":{"name":…}}``.

        Absent is auto. A choice of a built-in tool is auto too: it is not among the functions.
        """
        if isinstance(value, str):
            return cls(mode=value)  # type: ignore[arg-type]  # the wire schema has checked it
        function = value.get("function") if value is not None else None
        return cls("auto") if function is None else cls("named", function["name"])

    @property
    def demands_call(self) -> bool:
        return self.mode in ("required", "named")

    def among(self, tools: Sequence[ToolSpec]) -> list[ToolSpec]:
        """The tools this choice leaves. Raises InvalidRequest when the named one is not there."""
        if self.mode == "none":
            return []
        if self.mode != "named":
            return list(tools)
        chosen = [tool for tool in tools if tool.name == self.name]
        if not chosen:
            raise InvalidRequest(
                f"Invalid 'tool_choice': no function named '{self.name}' is among the tools.",
                param="tool_choice",
                code="invalid_value",
            )
        return chosen


class ToolCallFormat(Protocol):
    """Implementations are stateless and shared by all requests; see ``FORMATS``."""

    @property
    def name(self) -> str: ...

    @property
    def in_template(self) -> bool:
        """The chat template shows tools, calls and results in this form, as far as it can."""
        ...

    @property
    def text_begin(self) -> str:
        """What the model writes before a text that is no call; empty for most families."""
        ...

    @property
    def calls_look_like_answers(self) -> bool:
        """A call is a bare JSON object, so a grammar that allows an answer in JSON allows what
        reads as a call and is none: wrong arguments, or more keys after them."""
        ...

    def for_vocabulary(self, control_token: ControlToken) -> ToolCallFormat:
        """The same with what is a control token written as one."""
        ...

    def can_show(self, calls: Sequence[ToolCall]) -> bool:
        """Whether a template that shows calls can show these, made in one turn."""
        ...

    def wire_call(self, call: ToolCall) -> dict[str, Any]:
        """The call as the template wants to be given it."""
        ...

    def call_id(self, call_id: str) -> str:
        """A call's id as prompts show it."""
        ...

    def around_name(self) -> tuple[str, str] | None:
        """What a rendered call with ``STAND_IN_ID`` and no arguments has before and behind its
        name; None for a format without markup."""
        ...

    def system_text(self, tools: Sequence[ToolSpec]) -> str:
        """What the system message says about the tools when the template cannot show them."""
        ...

    def render_calls(self, calls: Sequence[ToolCall]) -> str:
        """The calls as the model itself would have written them."""
        ...

    def render_result(self, name: str | None, output: str) -> str:
        """A tool's output as a user turn, for templates without a tool role."""
        ...

    def constraint(
        self,
        tools: Sequence[ToolSpec],
        choice: ToolChoice,
        *,
        parallel: bool,
        answer: str | None = None,
    ) -> Constraint | None:
        """The grammar of this turn, None when anything may be said.

        ``answer`` is a Lark expression that replaces free text when the turn is not a call
        (``tools.grammar.answer_rule``). Raises InvalidRequest for a named tool that is not there.
        """
        ...

    def parser(self, tools: Sequence[ToolSpec] | None = None) -> TurnParser:
        """A fresh parser for one turn in which these may be called; None: anything may."""
        ...


def wire_tool(tool: ToolSpec) -> dict[str, Any]:
    """The tool as templates and prompts show it: as its author declared it."""
    parameters = dict(tool.parameters if tool.declared is None else tool.declared)
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}


def wire_call(call: ToolCall, call_id: str) -> dict[str, Any]:
    """The call as most templates want to be given it."""
    function = {"name": call.name, "arguments": arguments_of(call)}
    return {"id": call_id, "type": "function", "function": function}


def plain_id(call_id: str) -> str:
    """The id, or a short one that stands for it when it is no plain word: callers choose ids, and
    templates write them among control tokens."""
    return call_id if re.fullmatch(r"[\w.:-]*", call_id, re.ASCII) else short_id(call_id)


def short_id(call_id: str) -> str:
    """Nine letters and digits that stand for an id."""
    number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "replace")).digest()[:8], "big")
    size = len(_ID_LETTERS)
    return "".join(_ID_LETTERS[number // size**place % size] for place in range(_ID_LENGTH))


def arguments_of(call: ToolCall) -> Any:
    """The call's arguments as a value; the text itself when it is not JSON, or
    nested too deeply to be read."""
    try:
        return json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return call.arguments
